"""Recorded completions, served again: judges run on real judge text without a model, a key or a network.

A recording is an annotation file with its texts and `raw_completion`; a completion is found by what was judged
(instruction, generator_1, generator_2, order, repeat, step), because the prompt that led to it may be another today.
Where several judges are in one file each finds its own by its name; one that is not there finds what all agree on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

from simfarm.backends.http.answers import message_text, token_logprobs
from simfarm.data.decision import Decision, Question
from simfarm.data.exchange import CallError, Completion, Likelihood, Request
from simfarm.data.files import read_rows
from simfarm.data.meaning import alpaca_eval_order
from simfarm.errors import InputError
from simfarm.text.words import named

__all__ = ["ReplayBackend", "completion_from_recording"]

KNOWN = ("text", "message", "answers", "nats")
"""Of which a recorded completion, decision or likelihood has one."""

Answer: TypeAlias = Completion | Decision | Likelihood
Recorded = TypeVar("Recorded", Completion, Decision, Likelihood)

_Key = tuple[str, str | None, str | None, str, int, int]


class ReplayBackend:
    """Serves the completions of one annotation file.

    Rows without an `order` column are AlpacaEval's, whose order follows from the instruction alone. A completion that
    was not recorded is a `CallError`: that row becomes an error, never a guess. Raises `InputError` for a file without
    recordings, or with two different ones for the same call.
    """

    name = "replay"
    in_process = False
    concurrency = 64

    def __init__(self, path: str) -> None:
        self.base_url: str | None = None
        self.models: set[str] = set()
        """Names of the models that were recorded (column `model`)."""
        self._recorded: dict[_Key, dict[str, Answer]] = {}
        for number, row in enumerate(read_rows(path), 1):
            raw = row.get("raw_completion")
            if raw is None:
                continue
            if not isinstance(row.get("instruction"), str):
                raise InputError(
                    f"{path}: row {number} has no 'instruction'; a replay file needs its texts, join them in"
                )
            self._record(path, number, row, _unpacked(raw))
        if not self._recorded:
            raise InputError(f"{path}: no row has a 'raw_completion' to replay; use a file written by simfarm annotate")

    def _record(self, path: str, number: int, row: Mapping[str, Any], raw: Any) -> None:
        alone = "output" in row and "output_1" not in row  # a rating: of one output, in the one order there is
        order = "1" if alone else row.get("order") or alpaca_eval_order(row["instruction"])
        if row.get("model"):
            self.models.add(row["model"])
        for step, value in enumerate(raw if isinstance(raw, list) else [raw]):
            key = (
                row["instruction"].strip(),
                row.get("generator" if alone else "generator_1"),
                row.get("generator_2"),
                str(order),
                int(row.get("repeat") or 0),
                _step(value, step),
            )
            completion = completion_from_recording(value, row)
            if completion is None:
                raise InputError(
                    f"{path}: row {number} has a 'raw_completion' of unknown shape; record text or a choice"
                )
            if self._recorded.setdefault(key, {}).setdefault(str(row.get("annotator")), completion) != completion:
                raise InputError(f"{path}: row {number} records a second answer to the same call; keep one of the two")

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        """A recording answers as it did, whatever is asked of it."""

    def most_tokens(self, request: Request) -> int | None:
        """None: nothing is generated."""
        return None

    def check_questions(self, model: str, questions: Sequence[Question]) -> None:
        """A recording answers what it did, whatever is asked of it."""

    async def complete(self, request: Request) -> Completion:
        """The recorded completion of what `request.judged` names; raises `CallError` where there is none."""
        recorded = self._find(request)
        if isinstance(recorded, Decision):
            raise CallError("what was recorded is a decision: replay it with a decision judge (pairwise-decision)")
        if isinstance(recorded, Likelihood):
            raise CallError("what was recorded is a likelihood: replay it with the judge that asked for it")
        return recorded

    async def decide(self, request: Request) -> Decision:
        """The recorded decision, in the same way."""
        recorded = self._find(request)
        if not isinstance(recorded, Decision):
            raise CallError("what was recorded is a text, no decision: replay it with the judge that asked for it")
        return recorded

    def check_likelihoods(self, model: str, sampling: Mapping[str, Any]) -> None:
        """A recording tells what it did, whatever is asked of it."""

    async def likelihood(self, request: Request) -> Likelihood:
        """The recorded likelihood, in the same way."""
        recorded = self._find(request)
        if not isinstance(recorded, Likelihood):
            raise CallError("what was recorded is no likelihood: replay it with the judge that asked for it")
        return recorded

    def _find(self, request: Request) -> Answer:
        about = request.judged
        if about is None:
            raise CallError("a recording can only answer a judge")
        key = (about.instruction.strip(), about.generator_1, about.generator_2, about.order, about.repeat, about.step)
        recorded = self._recorded.get(key, {})
        if (own := recorded.get(str(about.annotator))) is not None:
            return own
        first, *others = recorded.values() or [None]
        if first is None:
            raise CallError("no recorded completion for this comparison and order")
        if any(one != first for one in others):
            raise CallError(f"{named(sorted(recorded))} were recorded, and not {about.annotator}; keep the rows of one")
        return first

    async def close(self) -> None:
        """Nothing is open."""


def _step(value: Any, place: int) -> int:
    """Which request about a pair an answer is to: of a judge of several calls it says so itself, else by its place."""
    said = value.get("step") if isinstance(value, Mapping) else None
    return said if isinstance(said, int) else place


def _unpacked(raw: Any) -> Any:
    """CSV and Parquet carry a completion as JSON text; plain judge text stays as it is."""
    if isinstance(raw, str) and raw.startswith(("{", "[")):
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):
            return raw
        known = value if isinstance(value, list) else [value]
        if all(isinstance(v, dict) and not v.keys().isdisjoint(KNOWN) for v in known):
            return value
    return raw


def completion_from_recording(value: Any, row: Mapping[str, Any]) -> Answer | None:
    """An answer from text, from simfarm's own shapes, or from an OpenAI `choices[0]`; None if it is none of these."""
    if isinstance(value, Mapping) and "answers" in value:
        return _recorded(value, row, Decision)
    if isinstance(value, Mapping) and "nats" in value:
        return _recorded(value, row, Likelihood)
    raw: dict[str, Any] = {"text": value} if isinstance(value, str) else {}
    if isinstance(value, Mapping):
        message, logprobs = value.get("message"), value.get("logprobs")
        content = message_text(message.get("content")) if isinstance(message, Mapping) else ""
        raw = {"text": content if value.get("text") is None else value["text"], "logprobs": logprobs}
        raw |= {name: value.get(name) for name in ("finish_reason", "thinking")}
        if isinstance(logprobs, Mapping):
            completion = _recorded(raw | {"logprobs": None}, row, Completion)
            return None if completion is None else replace(completion, logprobs=token_logprobs(logprobs))
    return _recorded(raw, row, Completion)


def _recorded(raw: Mapping[str, Any], row: Mapping[str, Any], kind: type[Recorded]) -> Recorded | None:
    # the counts of a row are those of all its answers
    counts: Sequence[str] = () if kind is Likelihood else ("input_tokens", "output_tokens")
    about = {name: row.get(name) for name in ("model", *counts)}
    try:
        return kind.from_json({**raw, **about, "seconds": row.get("seconds", row.get("time_per_example"))})
    except ValueError:
        return None
