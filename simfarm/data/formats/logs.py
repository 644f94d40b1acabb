"""Logs of other evaluations as outputs with their scores: lm-eval's `samples_*.jsonl` (`evaluator.py` and
`loggers/evaluation_tracker.py` of EleutherAI/lm-evaluation-harness) and inspect's `.eval` (`log/_log.py` of
UKGovernmentBEIS/inspect_ai). What a model answered is taken, whatever was filtered out of it afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from simfarm.data.formats.chats import answer, asked, conversation
from simfarm.data.formats.format import Format, Left, LeftOut, Unfit, each, identity, named, passed, structure
from simfarm.data.parsing import Row

__all__ = ["INSPECT", "LM_EVAL"]

_OF_LM_EVAL = ("doc_id", "doc", "arguments", "resps")
_FILE = re.compile(r"samples_(?P<task>.+)_\d{4}-\d{2}-\d{2}T[^/]*\.jsonl(?:\.(?:gz|zst))?")


def _lm_eval(rows: Iterator[Row], source: str, left: Left) -> Iterator[Row]:
    """The model is the folder and the task in the file's name, since the rows say neither. A task with several filters
    has its answers once for each: those of the first are taken."""
    named_so = _FILE.fullmatch(Path(source).name)
    about: Row = {}
    if named_so:
        about = {"generator": Path(source).absolute().parent.name, "dataset": named_so["task"]}
    filters: list[Any] = []

    def samples(row: Row) -> Iterator[Row]:
        filters[:] = filters or [row.get("filter")]
        if row.get("filter") != filters[0]:
            raise LeftOut(f"the answers of filter {str(filters[0])[:40]!r} again")
        question = _asked(row["arguments"])
        for sample, text in enumerate(_answers(row["resps"])):
            made = {"instruction_id": row["doc_id"]} | question | {"output": text} | about
            yield made | ({"sample": sample} if sample else {}) | passed(row, ("doc_id", "arguments", "resps"))

    yield from each(samples, _OF_LM_EVAL)(rows, source, left)


def _asked(arguments: Any) -> Row:
    """The prompt of the one request: {gen_args_0: {arg_0: prompt, arg_1: {…}}}, in older files [[prompt, {…}]].

    What is asked for the likelihood of a text has no second argument that is an object.
    """
    requests = [*arguments.values()] if isinstance(arguments, Mapping) else arguments
    first = requests[0] if isinstance(requests, list) and len(requests) == 1 else None
    given = [*first.values()] if isinstance(first, Mapping) else first
    if not isinstance(given, list) or len(given) < 2 or not isinstance(given[1], Mapping):
        raise LeftOut("log likelihoods and no text")
    asking = given[0]
    if isinstance(asking, list) and len(asking) == 1:
        # a chat as it is sent to a server: JSON text in a tuple of its own
        asking = asking[0]
    if not isinstance(asking, str):
        raise LeftOut("a prompt that is no text")
    if asking.lstrip().startswith('[{"role"'):
        return asked(conversation(asking, "arguments"))
    return {"instruction": asking}


def _answers(responses: Any) -> list[str]:
    """The texts that one request got: [[text, …]]."""
    first = responses[0] if isinstance(responses, list) and len(responses) == 1 else None
    if not isinstance(first, list) or not first or not all(isinstance(text, str) for text in first):
        raise LeftOut("responses that are no texts")
    return first


def _inspect(row: Row) -> Iterator[Row]:
    run, sample = structure(row["eval"], dict, "eval"), structure(row["sample"], dict, "sample")
    attached = sample.get("attachments") or {}
    made: Row = {"instruction_id": identity(sample, "id")}
    asking = _resolved(sample.get("input"), attached)
    if isinstance(asking, str):
        made["instruction"] = asking
    else:
        made |= asked(conversation(asking, "input"))
    output = structure(sample.get("output") or {}, dict, "output")
    made |= {"output": _completion(_resolved(output, attached)), "generator": named(run, "model")}
    made["dataset"] = named(run, "task")
    epoch = sample.get("epoch")
    if isinstance(epoch, int) and epoch > 1:
        made["sample"] = epoch - 1
    usage = structure(output.get("usage") or {}, dict, "usage")
    made |= {name: usage[name] for name in ("input_tokens", "output_tokens") if usage.get(name) is not None}
    if isinstance(output.get("time"), float):
        made["seconds"] = output["time"]
    scores = sample.get("scores")
    if isinstance(scores, Mapping):
        made["scores"] = {name: score.get("value") for name, score in scores.items() if isinstance(score, Mapping)}
    kept = {
        name: _resolved(sample.get(name), attached) for name in ("target", "choices", "metadata") if sample.get(name)
    }
    yield made | kept


def _completion(output: Mapping[str, Any]) -> str:
    choices = output.get("choices")
    message = (
        choices[0].get("message") if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
    )
    if not isinstance(message, Mapping):
        raise LeftOut("no answer")
    content = message.get("content")
    if isinstance(content, list):
        # a model's thoughts stand beside its answer
        content = [part for part in content if not isinstance(part, Mapping) or part.get("type") != "reasoning"]
    return answer(conversation([{"role": "assistant", "content": content}], "output"))


_ATTACHED = "attachment://"


def _resolved(value: Any, attached: Mapping[str, Any]) -> Any:
    """A value with its long texts, which a log keeps aside, each once."""
    if isinstance(value, str) and value.startswith(_ATTACHED):
        key = value.removeprefix(_ATTACHED)
        if not isinstance(attached, Mapping) or key not in attached:
            raise Unfit(f"refers to the attachment {key[:40]!r}, which the log does not have; is the file whole?")
        return attached[key]
    if isinstance(value, Mapping):
        return {name: _resolved(one, attached) for name, one in value.items()}
    return [_resolved(one, attached) for one in value] if isinstance(value, list) else value


LM_EVAL = Format("lm-eval", "outputs with their metrics", lambda columns: {*_OF_LM_EVAL} <= {*columns}, _lm_eval)
INSPECT = Format(
    "inspect", "outputs with their scores", lambda columns: {"sample", "eval"} <= {*columns},
    each(_inspect, ("eval", "sample")),
)  # fmt: skip
