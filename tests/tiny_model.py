"""A language model small enough for a test: random weights, a real tokenizer, a chat template, on disk as any other."""

import json
from pathlib import Path
from typing import Any

__all__ = [
    "CHAT_TEMPLATE",
    "TEXTS",
    "VERDICTS",
    "add_verdicts",
    "build_tiny_gguf",
    "build_tiny_judge",
    "build_tiny_model",
    "teach_verdicts",
]

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
    folder: Path,
    *,
    seed: int = 0,
    context: int = 256,
    chat_template: str | None = CHAT_TEMPLATE,
    width: int = 32,
) -> Path:
    """Saves a two-layer Llama of `width` dimensions (32: 180 kB) into `folder` and gives the folder back.

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
        hidden_size=width,
        intermediate_size=2 * width,
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


def build_tiny_gguf(
    path: Path, *, seed: int = 0, context: int = 256, chat_template: str | None = CHAT_TEMPLATE
) -> Path:
    """The same model as one GGUF file, its weights rounded to 16 bits: gives the path back."""
    import tempfile

    import gguf
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        build_tiny_model(Path(folder), seed=seed, context=context)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    config, words = model.config, tokenizer.backend_tokenizer
    learned = json.loads(words.to_str())["model"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(context)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    tokens = [words.id_to_token(i) for i in range(config.vocab_size)]
    special = {token.content for token in tokenizer.added_tokens_decoder.values()}
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if t in special else gguf.TokenType.NORMAL for t in tokens])
    writer.add_token_merges([" ".join(pair) for pair in learned["merges"]])
    writer.add_bos_token_id(config.bos_token_id)
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_pad_token_id(config.pad_token_id)
    writer.add_add_bos_token(False)
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, weights in model.state_dict().items():
        values = weights.numpy()
        for projection, heads in (("q_proj", config.num_attention_heads), ("k_proj", config.num_key_value_heads)):
            if projection in name:
                # GGUF keeps the halves of a rotary pair side by side
                values = values.reshape(heads, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        kind = np.float32 if values.ndim == 1 else np.float16
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), values.astype(kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


JUDGE_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% set asked = messages | map(attribute='content') | join %}"
    "{% set side = '1' if asked | length is divisibleby 2 else '2' %}"
    "{% if '\"winner\"' in asked %}<|json_{{ side }}|>"
    "{% elif 'A>>B' in asked %}<|levels_{{ side }}|>"
    "{% elif '[[A]]' in asked %}<|letter_{{ side }}|>"
    "{% elif 'm or M' in asked %}<|m_{{ side }}|>"
    "{% endif %}{% endif %}"
)
"""As `CHAT_TEMPLATE`, but the prompt of a bundled judge ends in a token that the model answers with a verdict."""

VERDICTS = {
    "<|json_1|>": '{"reason": "because", "winner": "A"}',
    "<|json_2|>": '{"reason": "because", "winner": "B"}',
    "<|levels_1|>": "My verdict: [[A>B]]",
    "<|levels_2|>": "My verdict: [[B>>A]]",
    "<|letter_1|>": "[[A]]",
    "<|letter_2|>": "[[B]]",
    "<|m_1|>": "m",
    "<|m_2|>": "M",
}
"""What a prompt's last token makes of the reply; each reply is one token, and the end follows it."""


def build_tiny_judge(folder: Path, *, context: int = 8192, chat_template: str | None = JUDGE_TEMPLATE) -> Path:
    """A tiny model that answers the prompts of the bundled judges with a verdict, which follows from the prompt's
    length, and others with noise, the same each time. So the judges can be tried on real servers."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    build_tiny_model(folder, context=context, chat_template=chat_template, width=128)
    words = AutoTokenizer.from_pretrained(folder)
    add_verdicts(words)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model.resize_token_embeddings(len(words), mean_resizing=False)
        teach_verdicts(model, words)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def add_verdicts(words: Any) -> None:
    """Gives a tokenizer the tokens of `VERDICTS`."""
    words.add_tokens([reply for reply in VERDICTS.values() if len(reply) > 1])
    words.add_tokens(list(VERDICTS), special_tokens=True)


def teach_verdicts(model: Any, words: Any) -> None:
    """Has a model of random weights, its embeddings not tied, answer a prompt that ends in a token of `VERDICTS` with
    its reply."""
    import torch

    read, write = model.get_input_embeddings().weight.data, model.get_output_embeddings().weight.data
    directions = torch.linalg.qr(torch.randn(model.config.hidden_size, len(VERDICTS) + 1))[0].T.to(read)
    ends = directions[-1]
    write[words.eos_token_id] += 3 * ends
    for (asked, reply), direction in zip(VERDICTS.items(), directions, strict=False):
        token = words.convert_tokens_to_ids(reply)
        # so long that what the layers add to it changes nothing
        read[words.convert_tokens_to_ids(asked)] = 1000 * direction
        write[token] += 3 * direction
        if len(reply) > 1:
            read[token] = 1000 * ends
        else:
            write[words.convert_tokens_to_ids(reply.swapcase())] += 2.8 * direction
