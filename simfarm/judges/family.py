"""Which model family a name belongs to: judges favour their own, so a user is told when a candidate is of it."""

from __future__ import annotations

import re

__all__ = ["model_family"]

_FAMILIES = {
    "OpenAI": r"(?<![a-z])gpt-?(\d|oss)|chatgpt|\bchat-latest|\bcodex|\bo[1-9](-|$)|\b(text-)?(davinci|curie|babbage)",
    "Anthropic": r"claude",
    "Google": r"gemini|gemma|palm\b|bard",
    "Llama": r"llama|alpaca|vicuna|tulu",
    "Qwen": r"qwen|qwq",
    "Mistral": r"mistral|mixtral|magistral|ministral",
    "DeepSeek": r"deepseek",
    "Phi": r"\bphi-?\d",
    "Cohere": r"command-r|\baya\b",
    "SmolLM": r"smollm",
    "Grok": r"grok",
    "Yi": r"\byi-",
    "GLM": r"\bglm",
    "Kimi": r"kimi|moonshot",
}


def model_family(name: str) -> str | None:
    """The family a model's name speaks of (fine-tunes count with their base where the name tells), or None.

    The last part of a path counts (`openai/gpt-6-luna`, `meta-llama/Llama-3-8B`), or the whole where that says nothing.
    """
    lowered = name.lower()
    for text in (lowered.rsplit("/", 1)[-1], lowered):
        for family, pattern in _FAMILIES.items():
            if re.search(pattern, text):
                return family
    return None
