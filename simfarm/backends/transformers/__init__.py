"""Models in this process, through Hugging Face transformers."""
