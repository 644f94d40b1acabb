"""Models behind a server: OpenAI and whatever speaks its format, Anthropic, litellm; what they refuse and bill."""
