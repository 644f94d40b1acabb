"""A language model small enough for a test: random weights, a real tokenizer, a chat template, on disk as any other."""

from pathlib import Path

__all__ = ["CHAT_TEMPLATE", "TEXTS", "build_tiny_model"]

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% if thinking %}<think>\n{% endif %}{% endif %}"
)

TEXTS = [
    "Explain why the sky turns red at sunset to a ten-year-old.",
    "A refrigerator keeps food cold: a fluid takes up the heat inside and gives it off outside.",
    "Write a short poem about an old lighthouse keeper on his last night of work.",
    "Why do we have leap years? Because a year is a little longer than 365 days.",
    "The quick brown fox jumps over the lazy dog; pack my box with five dozen jugs.",
    "Weather is what you get today, climate is what you expect: the mean over thirty years.",
    "What is inflation, and why should someone with a savings account care about it?",
]
"""What the tokenizer learned its merges from; any other text has tokens too (it falls back to bytes)."""


def build_tiny_model(
    folder: Path, *, seed: int = 0, context: int = 256, chat_template: str | None = CHAT_TEMPLATE
) -> Path:
    """Saves a two-layer Llama of 32 dimensions (180 kB) into `folder` and gives the folder back.

    Weights are drawn wide, so that the most likely token is far ahead of the next and a rounding in the last digit
    changes no greedy answer. Another `seed` is another model with the same tokenizer.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator(TEXTS * 2, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=context,
    )
    if chat_template is not None:
        tokenizer.chat_template = chat_template
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.3,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
