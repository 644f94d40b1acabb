"""A causal language model and its tokenizer, read from a folder with transformers: all that can go wrong, in one line.

transformers only warns where weights are missing and makes them up at random; here that is an error. The folder's own
sampling defaults (generation_config.json) are not used: what a request does not ask for is not done to its answer.
"""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from simfarm.backends.base import Prompt
from simfarm.backends.local.framing import encode, first_line, frame
from simfarm.data.exchange import CallError
from simfarm.errors import InputError

__all__ = ["Checkpoint", "free_memory", "out_of_memory", "transformers"]

transformers: Any = importlib.import_module("transformers")
"""Without its types, which are there in part and contradict each other."""

LONGEST = 2**20
"""Tokens that a model without a limit of its own (a recurrent one) is given; also what no tokenizer's limit exceeds,
where 10**30 stands for none."""

STRETCHED = ("yarn", "linear", "dynamic")
"""Rotary scalings whose factor stretches the context they were trained on."""

TROUBLES = (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError, SafetensorError)
"""What transformers raises for a folder it cannot read, MemoryError apart."""


def out_of_memory(error: BaseException) -> bool:
    """Whether this error is the GPU's or the machine's memory (torch's CPU allocator has no class of its own)."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and ("allocate memory" in str(error) or "out of memory" in str(error))


def free_memory() -> None:
    """Gives memory that nothing refers to any more back to the GPU."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class Checkpoint:
    """The model on its device, its tokenizer, and what both say: `context` in tokens, `ends` the tokens that end an
    answer. `kind` is transformers' class for what the model is. Raises `InputError` where it cannot be loaded."""

    kind = "AutoModelForCausalLM"

    def __init__(
        self, path: Path, name: str, *, device: str, dtype: str, attention: str | None, adapter: Path | None
    ) -> None:
        self.name = name
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self.tokenizer: Any = self._tokenizer(path)
        try:
            self.model = self._model(path, device, dtype, attention, adapter)
        except (*TROUBLES, MemoryError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(self._remedy(error, device, attention)) from None
        config = self.model.config.get_text_config()
        self.context = _context(config, self.tokenizer.model_max_length)
        own = getattr(self.model, "generation_config", None)
        ends = [own and own.eos_token_id, config.eos_token_id, self.tokenizer.eos_token_id]
        self.ends = frozenset(t for end in ends for t in (end if isinstance(end, list) else [end]) if t is not None)
        self.vocabulary = int(config.vocab_size)
        pad = self.tokenizer.pad_token_id
        # a tokenizer may have been given one that the model has no row for
        self.pad = pad if pad is not None and pad < self.vocabulary else min(self.ends, default=0)
        self._spelt: dict[int, str] = {}
        self.model.generation_config = transformers.GenerationConfig()

    def _tokenizer(self, path: Path) -> Any:
        try:
            return transformers.AutoTokenizer.from_pretrained(path, trust_remote_code=False, local_files_only=True)
        except TROUBLES as error:
            raise InputError(
                f"{self.name}: its tokenizer cannot be read ({first_line(error)}); "
                "copy tokenizer.json and tokenizer_config.json of the same model beside the weights"
            ) from None

    def _model(self, path: Path, device: str, dtype: str, attention: str | None, adapter: Path | None) -> Any:
        model, report = getattr(transformers, self.kind).from_pretrained(
            path,
            dtype=dtype if dtype == "auto" else getattr(torch, dtype),
            attn_implementation=attention,
            trust_remote_code=False,
            local_files_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
        if report["missing_keys"] or report["mismatched_keys"]:
            bad = sorted([*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])])
            raise InputError(
                f"{self.name}: {len(bad)} of its weights are missing or of another shape ({bad[0]} …); "
                "is the download complete, and config.json this model's?"
            )
        if adapter is not None:
            model = _adapted(model, adapter)
        return model.to(device).eval()

    def _remedy(self, error: BaseException, device: str, attention: str | None) -> str:
        why = first_line(error)
        if attention is not None and "attention" in why.lower():
            return f"attn_implementation={attention}: cannot be used for this model here ({why}); leave it out"
        if out_of_memory(error):
            where = "this machine's memory" if device == "cpu" else "the GPU's memory"
            return f"{self.name} does not fit in {where}: take a smaller or a quantized model, or dtype=bfloat16"
        if isinstance(error, ValueError | KeyError) and ("model type" in why or "configuration class" in why):
            return f"{self.name}: transformers {transformers.__version__} cannot run this kind of model ({why}); " + (
                "update transformers, or serve it with vLLM and use openai/NAME --base-url URL"
            )
        return f"{self.name}: transformers cannot load it ({why}); is the download complete?"

    def decode(self, tokens: list[int]) -> str:
        """The text of some tokens, special ones left out, spaces as they are."""
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def spell(self, token: int) -> str:
        """One token as text, special ones by their name."""
        if token not in self._spelt:
            self._spelt[token] = self.spelt([token])
        return self._spelt[token]

    def spelt(self, tokens: list[int]) -> str:
        """The text of some tokens, special ones by their names."""
        return str(self.tokenizer.decode(tokens, clean_up_tokenization_spaces=False))

    def encode(self, text: str) -> list[int]:
        """A text's own tokens, without special ones. Raises `CallError` for what is not Unicode text, and for tokens
        that the model does not have."""
        return self._known(encode(self.tokenizer, text))

    def frame(self, prompt: Prompt, sampling: Mapping[str, Any]) -> list[int]:
        """The tokens of a prompt, as `framing.frame` gives them. Raises `CallError` for tokens that the model does not
        have."""
        return self._known(frame(self.tokenizer, self.name, prompt, sampling))

    def _known(self, tokens: list[int]) -> list[int]:
        if max(tokens, default=0) >= self.vocabulary:
            raise CallError(
                f"the tokenizer gives token {max(tokens)} and the model has {self.vocabulary}: "
                "copy the tokenizer of this very model beside its weights"
            )
        return tokens


def _context(config: Any, tokenizer_limit: int) -> int:
    """Tokens that a prompt and its answer may have together: the least of what model and tokenizer say, as in vLLM."""
    names = ("max_position_embeddings", "max_seq_len", "seq_length", "n_ctx")
    limit = next((value for name in names if isinstance(value := getattr(config, name, None), int)), LONGEST)
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") in STRETCHED and rope.get("original_max_position_embeddings"):
        limit = max(limit, int(rope["original_max_position_embeddings"] * rope.get("factor", 1)))
    return min(limit, tokenizer_limit, LONGEST)


def _adapted(model: Any, adapter: Path) -> Any:
    """The model with a LoRA adapter merged into its weights, as fast as without."""
    import peft

    try:
        return peft.PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    except TROUBLES as error:
        raise InputError(f"adapter={adapter}: does not fit this model ({first_line(error)})") from None
