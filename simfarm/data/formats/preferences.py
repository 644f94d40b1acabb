"""A prompt with a chosen and a rejected answer: TRL's preference format, texts or chats, with the prompt or with it in
both (`docs/source/dataset_formats.md` of huggingface/trl); RewardBench's sets, with the models' names, and its second
version's lists of answers (`rewardbench/utils.py` of allenai/reward-bench).

Which of the two is output_1 follows from a hash of their texts. Chosen always first would be position confounded with
the label: every label would say output_1, and whatever learns from them would learn the place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from simfarm.data.cells import stable_digest
from simfarm.data.formats.chats import Turn, answer, answered, asked, asked_text, conversation, prompt, rest_of, two
from simfarm.data.formats.format import Format, Left, LeftOut, carried, each, named, passed, unpassed
from simfarm.data.formats.verdicts import preferred, three_way, verdict
from simfarm.data.parsing import Row

__all__ = ["REWARDBENCH", "TRL"]

_USED = {"prompt", "chosen", "rejected", "chosen_model", "rejected_model", "score_chosen", "score_rejected", "messages"}
_SPEAKER = "\n\nAssistant:"


def _labels(row: Row) -> Iterator[Row]:
    chosen, rejected = row["chosen"], row["rejected"]
    if row.get("images") or row.get("image"):
        raise LeftOut("an image")
    if _texts(chosen) and _texts(rejected):
        for good in chosen:
            for bad in rejected:
                yield _label(row, *_of_texts(row.get("prompt"), good, bad))
        return
    if isinstance(chosen, str) and isinstance(rejected, str) and not chosen.lstrip().startswith("[{"):
        yield _label(row, *_of_texts(row.get("prompt"), chosen, rejected))
    else:
        yield _label(row, *_of_chats(row.get("prompt"), chosen, rejected))


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def _of_texts(asking: Any, chosen: str, rejected: str) -> tuple[Row, list[Turn], list[Turn]]:
    if isinstance(asking, str) and not asking.lstrip().startswith("[{"):
        before = {"instruction": asking}
    elif asking is not None:
        before = asked(conversation(asking, "prompt"), chat=True)
    else:
        differ = (i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b)
        shared = chosen[: next(differ, min(len(chosen), len(rejected)))]
        spoken = shared.rfind(_SPEAKER)
        # at a word's end: " blue" and " green" share their space
        end = spoken + len(_SPEAKER) if spoken >= 0 else shared.rfind(" ") if shared[-1:] == " " else len(shared)
        if end <= 0:
            raise LeftOut("no prompt, and nothing that both answers begin with")
        before, chosen, rejected = {"instruction": shared[:end]}, chosen[end:], rejected[end:]
    return before, [{"role": "assistant", "content": chosen}], [{"role": "assistant", "content": rejected}]


def _of_chats(asking: Any, chosen: Any, rejected: Any) -> tuple[Row, list[Turn], list[Turn]]:
    first, second = (
        conversation(value, name) if not isinstance(value, str) or value.lstrip().startswith("[{")
        else [{"role": "assistant", "content": value}]
        for value, name in ((chosen, "chosen"), (rejected, "rejected"))
    )  # fmt: skip
    if first and first[0]["role"] != "assistant":
        before, good, bad = two(first, second)
        return asked(before, chat=True), good, bad
    for turns in (first, second):
        if not turns or turns[0]["role"] != "assistant" or turns[-1]["role"] != "assistant":
            raise LeftOut("a conversation that does not end with an answer")
    if isinstance(asking, str) and not asking.lstrip().startswith("[{"):
        return {"instruction": asking}, first, second
    return asked(conversation(asking, "prompt"), chat=True), first, second


def _label(row: Row, before: Row, chosen: Sequence[Turn], rejected: Sequence[Turn]) -> Row:
    good, bad = answer(chosen), answer(rejected)
    if good == bad:
        raise LeftOut("a chosen answer that is the rejected one")
    sides = ("1", "2") if _digest(before, good) < _digest(before, bad) else ("2", "1")
    made: Row = dict(before)
    for side, turns in sorted(zip(sides, (chosen, rejected), strict=True)):
        made |= answered(turns, side)
    for side, which in zip(sides, ("chosen", "rejected"), strict=True):
        name, score = named(row, f"{which}_model"), row.get(f"score_{which}")
        made |= {} if name is None else {f"generator_{side}": name}
        made |= {} if score is None else {f"score_{side}": score}
    extras = passed(row, _USED)
    if row.get("messages") is not None and row["messages"] != row["chosen"]:
        extras["their_messages"] = row["messages"]
    return made | verdict(float(sides[0])) | extras


def _digest(before: Row, text: str) -> bytes:
    return stable_digest(before.get("instruction"), before.get("messages"), text)


def _sides(row: Mapping[str, Any]) -> tuple[str, str]:
    """(the chosen side, the rejected one) of a row of ours. Raises `LeftOut` for a tie and for no verdict."""
    which = three_way(preferred(row))
    if which == 0:
        raise LeftOut("a tie, which has no chosen answer")
    return ("2", "1") if which > 0 else ("1", "2")


def _trl(row: Mapping[str, Any]) -> Row:
    sides = _sides(row)
    if not row.get("messages") and not row.get("messages_1") and not row.get("messages_2"):
        made: Row = {"prompt": asked_text(row)}
        for side, which in zip(sides, ("chosen", "rejected"), strict=True):
            made[which] = rest_of(row, side)[0]["content"]
    else:
        made = {"prompt": prompt(row)}
        made |= {which: rest_of(row, side) for side, which in zip(sides, ("chosen", "rejected"), strict=True)}
    return made | _beside(row, sides)


def _rewardbench(row: Mapping[str, Any]) -> Row:
    sides = _sides(row)
    made: Row = {"prompt": asked_text(row)}
    made |= {which: answer(rest_of(row, side)) for side, which in zip(sides, ("chosen", "rejected"), strict=True)}
    return made | _beside(row, sides)


def _beside(row: Mapping[str, Any], sides: tuple[str, str]) -> Row:
    made: Row = {}
    for side, which in zip(sides, ("chosen", "rejected"), strict=True):
        if row.get(f"generator_{side}") is not None:
            made[f"{which}_model"] = row[f"generator_{side}"]
        if row.get(f"score_{side}") is not None:
            made[f"score_{which}"] = row[f"score_{side}"]
    extras = unpassed(row, ("score_1", "score_2"))
    return made | carried(row) | extras


def _writer(one: Any) -> Any:
    def write(rows: Iterator[Row], left: Left) -> Iterator[Row]:
        for row in rows:
            try:
                yield one(row)
            except LeftOut as why:
                left.out(str(why))

    return write


_READ = each(_labels, ("chosen", "rejected"))

TRL = Format(
    "trl", "a prompt with a chosen and a rejected answer", lambda columns: {"chosen", "rejected"} <= {*columns}, _READ,
    _writer(_trl),
)  # fmt: skip
REWARDBENCH = Format(
    "rewardbench", "the same in texts, with the models' names", lambda columns: False, None, _writer(_rewardbench)
)
