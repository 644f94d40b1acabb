"""Reward models: sequence classifiers with one label that transformers can read. They write nothing; the one number
that they say of a conversation is their answer.

A conversation is framed by the model's chat template, the answer as the assistant's turn; a model without one is given
question and answer as a pair of texts, as DeBERTa's are. Nothing is cut: what does not fit the context has no reward.
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfarm.backends.base import Prompt
from simfarm.backends.local.framing import check_framing, first_line, frame
from simfarm.backends.local.models import check_sampling, find_model
from simfarm.backends.local.worker import Job, Worker
from simfarm.backends.transformers.backend import ATTENTIONS, BATCH, DTYPES, GPU_BATCH, device_of, whole
from simfarm.data.exchange import CallError, Completion, Message, Request
from simfarm.errors import InputError
from simfarm.text.words import plural

if TYPE_CHECKING:
    from simfarm.backends.transformers.checkpoint import Checkpoint

__all__ = ["RewardBackend", "is_reward_model"]

OPTIONS = ("attn_implementation", "batch_size", "device", "dtype")
GATHERED = 0.005
"""Seconds to wait for more conversations after the first."""


def is_reward_model(name: str) -> bool:
    """Whether a folder or a hub name holds a sequence classifier, by its config.json. Raises `InputError` for what
    cannot be found."""
    if name.lower().endswith(".gguf") or importlib.util.find_spec("transformers") is None:
        return False
    path = Path(name).expanduser()
    if not path.exists():
        path = find_model("transformers", name).path
    try:
        config = json.loads((path / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    known = config.get("architectures") if isinstance(config, dict) else None
    return isinstance(known, list) and any(str(one).endswith("ForSequenceClassification") for one in known)


@dataclass(slots=True, eq=False)
class _Row:
    """A conversation in the tokenizer's words, by the names of the model's inputs, and who waits for its reward."""

    job: Job[Request]
    inputs: dict[str, list[int]]

    @property
    def size(self) -> int:
        return len(self.inputs["input_ids"])


class RewardBackend:
    """A folder or hub name with a sequence classifier of one label. The text of a completion is the reward, as Python
    writes the number; of the sampling only what frames the chat counts.

    Options: `device` (cuda where there is one, else cpu), `dtype` (the model's own on a GPU, float32 on a CPU),
    `batch_size`, `attn_implementation`. Raises `InputError` for what cannot be found or run here, and for another
    number of labels.
    """

    name = "transformers"
    in_process = True
    only_rewards = True
    base_url: str | None = None

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        if unknown := options.keys() - set(OPTIONS):
            raise InputError(f"unknown engine option '{min(unknown)}': a reward model takes {', '.join(OPTIONS)}")
        self._device = device_of(options.get("device"))
        on_cpu = self._device == "cpu"
        self._dtype = options.get("dtype") or ("float32" if on_cpu else "auto")
        self._attention = options.get("attn_implementation")
        for option, known in (("dtype", DTYPES), ("attn_implementation", ATTENTIONS)):
            if options.get(option, known[0]) not in known:
                raise InputError(f"{option}={options[option]}: must be one of {', '.join(known)}")
        self._batch = whole("batch_size", options.get("batch_size", BATCH if on_cpu else GPU_BATCH))
        self.concurrency = 2 * self._batch
        local = find_model("transformers", name, {} if self._dtype == "auto" else {"dtype": self._dtype})
        self.model, self._path = local.full_name, local.path
        _check_labels(self._path, self.model)
        self._worker: Worker[Request] = Worker("reward", self._work)

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        """Refuses sampling options and template arguments that are none. Raises `InputError`."""
        check_sampling(self.name, sampling)
        check_framing(sampling)

    def most_tokens(self, request: Request) -> int | None:
        """None: nothing is generated."""
        return None

    async def complete(self, request: Request) -> Completion:
        """The reward of a conversation, whose last message is the answer. Raises `CallError` for one that the context
        does not hold."""
        if "log_likelihood" not in request.sampling:
            raise InputError(self._alone())
        answer: Completion = await self._worker.ask(request)
        return answer

    async def log_likelihood(
        self, prompt: Prompt, continuation: str, framing: Mapping[str, Any] | None = None
    ) -> float:
        """Raises `InputError`: it has none."""
        raise InputError(self._alone())

    async def count_tokens(self, text: str) -> int:
        """Raises `InputError`, for the same reason."""
        raise InputError(self._alone())

    def _alone(self) -> str:
        return (
            f"{self.model} is a reward model, which writes no text and tells no likelihood: it is for a judge with "
            "protocol: likelihood and score: reward"
        )

    async def close(self) -> None:
        """Frees the model after the batch it is at."""
        await self._worker.close()

    def _work(self, worker: Worker[Request]) -> None:
        from simfarm.backends.transformers.checkpoint import Checkpoint, free_memory

        class Classifier(Checkpoint):
            kind = "AutoModelForSequenceClassification"

        checkpoint: Checkpoint | None = Classifier(
            self._path, self.model, device=self._device, dtype=self._dtype, attention=self._attention, adapter=None
        )
        assert checkpoint is not None
        pad = checkpoint.model.config.get_text_config().pad_token_id
        # without a token to pad with such a model reads one row at a time
        size = 1 if pad is None else self._batch
        waiting: list[_Row] = []
        while (jobs := worker.take(wait=not waiting)) is not None:
            if not waiting:
                time.sleep(GATHERED)
                jobs += worker.take(wait=False) or []
            waiting = [row for row in waiting if not row.job.abandoned]
            waiting += _prepared(checkpoint, jobs)
            waiting.sort(key=lambda row: row.size)
            _answer(checkpoint, waiting[:size], pad or 0)
            del waiting[:size]
        del checkpoint
        free_memory()


def _check_labels(path: Path, model: str) -> None:
    """Refuse a classifier into several labels: none of its numbers is a reward."""
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(path, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{model}: transformers cannot read its config.json ({first_line(error)})") from None
    if config.num_labels != 1:
        raise InputError(
            f"{model} tells {plural(config.num_labels, 'label')} apart, and a reward model has one: name another model"
        )


def _prepared(checkpoint: Checkpoint, jobs: Sequence[Job[Request]]) -> list[_Row]:
    """Conversations as tokens; what cannot be asked is answered at once."""
    ready = []
    for job in jobs:
        try:
            row = _Row(job, _tokens(checkpoint, job.asked.messages, job.asked.sampling))
            if row.size > checkpoint.context:
                raise CallError(
                    f"the conversation has {row.size} tokens and the context holds {checkpoint.context}: name a model "
                    "that holds more"
                )
            ready.append(row)
        except (InputError, CallError) as error:
            job.fail(error)
    return ready


def _tokens(checkpoint: Checkpoint, messages: Sequence[Message], sampling: Mapping[str, Any]) -> dict[str, list[int]]:
    """The model's inputs for a conversation, never cut."""
    tokenizer = checkpoint.tokenizer
    if sampling.get("chat_template") or getattr(tokenizer, "chat_template", None):
        return {"input_ids": frame(tokenizer, checkpoint.name, messages, sampling, answered=True)}
    if [message["role"] for message in messages] != ["user", "assistant"]:
        raise CallError("this model has no chat template: it takes one question and its answer, and no longer chat")
    texts = [message["content"] for message in messages]
    try:
        for text in texts:
            text.encode()
    except UnicodeEncodeError:
        raise CallError("the text is not valid Unicode") from None
    encoded = tokenizer(*texts, truncation=False, verbose=False)
    return {name: list(encoded[name]) for name in encoded if name != "attention_mask"}


def _padded(lists: Sequence[list[int]], width: int, fill: int) -> list[list[int]]:
    return [[*one, *[fill] * (width - len(one))] for one in lists]


def _answer(checkpoint: Checkpoint, rows: Sequence[_Row], pad: int) -> None:
    """Gives the rewards of some conversations, padded on the right; one batch that does not fit in memory is run again
    in halves."""
    import torch

    from simfarm.backends.transformers.checkpoint import free_memory, out_of_memory, transformers

    if not rows:
        return
    started, device, widest = time.perf_counter(), checkpoint.model.device, max(row.size for row in rows)
    columns = {name: [row.inputs[name] for row in rows] for name in rows[0].inputs}
    columns["attention_mask"] = [[1] * row.size for row in rows]
    try:
        inputs = {
            name: torch.tensor(_padded(lists, widest, pad if name == "input_ids" else 0), device=device)
            for name, lists in columns.items()
        }
        with torch.inference_mode():
            rewards = checkpoint.model(**inputs).logits[:, 0].float().tolist()
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise InputError(f"{checkpoint.name}: transformers failed while it ran ({first_line(error)})") from None
        rewards = None
    if rewards is None:
        # out of the except block: the error's frames held the batch's tensors
        free_memory()
        if len(rows) == 1:
            rows[0].job.fail(CallError(f"no memory for this call alone (a conversation of {rows[0].size} tokens)"))
            return
        for part in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
            _answer(checkpoint, part, pad)
        return
    for row, reward in zip(rows, rewards, strict=True):
        row.job.finish(
            Completion(
                text=repr(reward),
                finish_reason="stop",
                input_tokens=row.size,
                output_tokens=0,
                model=checkpoint.name,
                seconds=round(time.perf_counter() - started, 4),
                engine=f"transformers {transformers.__version__}",
            )
        )
