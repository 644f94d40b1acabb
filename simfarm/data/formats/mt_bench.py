"""MT-bench's judgments: pairs in both orders, and grades of single answers (`llm_judge/common.py` of lm-sys/FastChat).

A judge there is a model with a prompt; its model is the annotator here, its prompt stands in `judge_prompt`. A winner
`error` is no verdict, and a grade of -1 is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from simfarm.data.formats.chats import answer, answered, asked, two
from simfarm.data.formats.format import (
    Format,
    Left,
    LeftOut,
    Unfit,
    calls_together,
    carried,
    each,
    identity,
    named,
    passed,
    structure,
    unpassed,
)
from simfarm.data.formats.shown import shown, shown_pair
from simfarm.data.formats.verdicts import preferred, three_way, verdict, word_of
from simfarm.data.meaning import order_of
from simfarm.data.parsing import Row

__all__ = ["PAIR", "SINGLE"]

_WINNERS = {"model_1": 1.0, "model_2": 2.0, "tie": 1.5}
_OF_PAIR = ("question_id", "model_1", "model_2", "g1_winner", "g2_winner", "judge")
_OF_SINGLE = ("question_id", "model", "judge", "judgment", "score")
_NOT_GRADED = -1
_SCALE = (1, 10)
"""As its prompts for single answers have it."""


def _judge(row: Mapping[str, Any]) -> Row:
    judge = row["judge"]
    if isinstance(judge, str) and judge.startswith("["):
        judge = structure(judge, list, "judge")
    if isinstance(judge, str) and judge:
        return {"annotator": judge}
    if isinstance(judge, list) and judge and all(isinstance(part, str) for part in judge):
        return {"annotator": judge[0], "judge_prompt": " ".join(judge[1:])}
    raise Unfit("has a 'judge' that is neither a name nor a list of names")


def _their_judge(row: Mapping[str, Any]) -> list[str]:
    return [str(row.get("annotator") or "unknown"), str(row.get("judge_prompt") or row.get("judge_hash") or "")]


def _pair(row: Row) -> Iterator[Row]:
    used = {*_OF_PAIR, "g1_user_prompt", "g1_judgment", "g2_user_prompt", "g2_judgment"}
    about: Row = {"instruction_id": identity(row, "question_id")}
    about |= {"generator_1": named(row, "model_1"), "generator_2": named(row, "model_2")} | _judge(row)
    for game, order in ((1, "12"), (2, "21")):
        prompt = row.get(f"g{game}_user_prompt")
        winner = row[f"g{game}_winner"]
        call = verdict(word_of(winner, _WINNERS)) | {"order": order, "raw_completion": row.get(f"g{game}_judgment")}
        call |= {"user_prompt": prompt} | ({} if winner in (*_WINNERS, "error") else {"winner": winner})
        yield about | _texts(prompt, order, row.get("turn")) | call | passed(row, used)


def _texts(prompt: Any, order: str, turn: Any) -> Row:
    """What both were asked, and their answers; without them the turn is what tells two comparisons apart."""
    pair = shown_pair(prompt)
    try:
        if pair is None:
            raise LeftOut("no texts")
        before, first, second = two(*(pair if order == "12" else pair[::-1]))
    except LeftOut:
        return {"sample": turn - 1} if isinstance(turn, int) and turn > 1 else {}
    return asked(before) | answered(first, "1") | answered(second, "2")


def _write_pairs(rows: Iterator[Row], left: Left) -> Iterator[Row]:
    for calls in calls_together(rows, ("turn", "judge_prompt")):
        try:
            yield _their_pair(calls, left)
        except LeftOut as why:
            left.counts[str(why)] += len(calls)


def _their_pair(calls: list[Row], left: Left) -> Row:
    first = calls[0]
    names = [first.get("generator_1"), first.get("generator_2")]
    if None in names:
        raise LeftOut("no names of models")
    row: Row = {"question_id": _id(first), "model_1": names[0], "model_2": names[1]}
    for call in calls:
        order = order_of(call.get("order")) if call.get("order") is not None else None
        for game in (1, 2) if order is None else (2,) if order == "21" else (1,):
            if f"g{game}_winner" in row:
                left.out("a second call in one order")
                continue
            row[f"g{game}_winner"] = _winner(call)
            row[f"g{game}_user_prompt"] = call.get("user_prompt")
            row[f"g{game}_judgment"] = call.get("raw_completion")
    for game in (1, 2):
        row.setdefault(f"g{game}_winner", "error")
        row.setdefault(f"g{game}_judgment", None)
        row.setdefault(f"g{game}_user_prompt", None)
    row |= {"judge": _their_judge(first)} | carried(first, "annotator", "instruction_id", "order", "repeat")
    return row | unpassed(first, ("user_prompt", "judge_prompt", "winner"))


def _id(row: Mapping[str, Any]) -> Any:
    """What a question is known by."""
    known = row.get("instruction_id")
    if known is None:
        known = row.get("instruction")
    if known is None:
        raise LeftOut("neither an id nor an instruction")
    return known


def _winner(call: Row) -> str:
    preference = preferred(call)
    if preference is None:
        return str(call.get("winner") or "error")
    return ("model_1", "tie", "model_2")[three_way(preference) + 1]


def _single(row: Row) -> Iterator[Row]:
    score = row["score"]
    if score is not None and (not isinstance(score, int | float) or isinstance(score, bool)):
        raise Unfit(f"has a {type(score).__name__} as its score; it must be a number")
    about = {"instruction_id": identity(row, "question_id"), "generator": named(row, "model")}
    turns = shown(row.get("user_prompt"))
    if turns is not None:
        about |= asked(turns[:-1]) | {"output": answer(turns[-1:])}
    elif isinstance(row.get("turn"), int) and row["turn"] > 1:
        about["sample"] = row["turn"] - 1
    yield (
        about
        | {"score": None if score == _NOT_GRADED else score, "scale_low": _SCALE[0], "scale_high": _SCALE[1]}
        | _judge(row)
        | passed(row, {*_OF_SINGLE} - {"judgment"})
    )


def _write_single(rows: Iterator[Row], left: Left) -> Iterator[Row]:
    for row in rows:
        try:
            if "preference" in row or "generator" not in row:
                raise LeftOut("no grade of a single output")
            graded = {"question_id": _id(row), "model": row["generator"], "judge": _their_judge(row)}
            score = row.get("score")
            graded |= {"score": _NOT_GRADED if score is None else score} | carried(row, "annotator", "instruction_id")
            yield graded | unpassed(row, ("score", "judge_prompt", "scale_low", "scale_high"))
        except LeftOut as why:
            left.out(str(why))


PAIR = Format(
    "mt-bench-pair",
    "judgments of two models, in both orders",
    lambda columns: {"model_1", "model_2", "g1_winner", "g2_winner"} <= {*columns},
    each(_pair, _OF_PAIR),
    _write_pairs,
)
SINGLE = Format(
    "mt-bench-single",
    "outputs with a judge's grade",
    lambda columns: {*_OF_SINGLE} <= {*columns},
    each(_single, _OF_SINGLE),
    _write_single,
)
