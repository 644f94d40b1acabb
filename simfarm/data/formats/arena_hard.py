"""Arena-Hard's judgments: a row for each question, with the games in both orders (`gen_judgment.py` and
`show_result.py` of lmarena/arena-hard-auto).

Assistant A is the baseline in the first game and the model in the second. Rows of its first version name neither judge
nor baseline. Upstream counts A>>B three times; here it is a verdict of strength 2, and what that is worth is the
ranking's to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from simfarm.data.formats.chats import answered, asked, two
from simfarm.data.formats.format import (
    Format,
    Left,
    LeftOut,
    Unfit,
    calls_together,
    carried,
    each,
    identity,
    name_of,
    named,
    passed,
    structure,
    unpassed,
)
from simfarm.data.formats.shown import shown_pair
from simfarm.data.formats.verdicts import preferred, verdict
from simfarm.data.meaning import order_of
from simfarm.data.parsing import Row

__all__ = ["ARENA_HARD"]

LABELS = {"A>>B": (0, 2), "A>B": (0, 1), "A=B": (0.5, 0), "B>A": (1, 1), "B>>A": (1, 2)}
"""How strongly B is preferred, and the strength."""

_SAME = {"A<<B": "B>>A", "A<B": "B>A", "B=A": "A=B", "B<A": "A>B", "B<<A": "A>>B"}

_USED = {"uid", "question_id", "model", "baseline", "judge", "games"}


def _games(row: Row) -> Iterator[Row]:
    key = "uid" if "uid" in row else "question_id"
    if key not in row:
        raise Unfit("has neither 'uid' nor 'question_id'; one must say which question it is")
    about: Row = {
        "instruction_id": identity(row, key),
        "generator_1": named(row, "baseline"),
        "generator_2": named(row, "model"),
        "annotator": named(row, "judge"),
    }
    about = {name: value for name, value in about.items() if value is not None} | passed(row, _USED)
    for place, game in enumerate(structure(row["games"], list, "games")):
        if game is not None and not isinstance(game, Mapping):
            raise Unfit(f"has a {type(game).__name__} as a game; it must be an object with a score")
        yield about | _game(game, "21" if place % 2 else "12", place // 2)


def _game(game: Mapping[str, Any] | None, order: str, repeat: int) -> Row:
    """One call: output_1 is the baseline's, whoever was shown first."""
    call: Row = {"order": order, "repeat": repeat}
    if game is None:
        return verdict(None, "error") | call
    score = game.get("score")
    label = _SAME.get(score, score) if isinstance(score, str) else None
    if label in LABELS:
        second, strength = LABELS[label]
        call |= verdict(1 + (second if order == "12" else 1 - second)) | {"strength": strength}
    else:
        call |= verdict(None)
    call |= {"raw_completion": game.get("judgment"), "score": score} | passed(game, {"score", "judgment"})
    return _texts(game, order) | call


def _texts(game: Mapping[str, Any], order: str) -> Row:
    prompt = game.get("user_prompt")
    if isinstance(game.get("prompt"), list) and game["prompt"] and isinstance(game["prompt"][-1], Mapping):
        prompt = game["prompt"][-1].get("content")
    pair = shown_pair(prompt)
    if pair is None:
        return {}
    try:
        before, first, second = two(*(pair if order == "12" else pair[::-1]))
    except LeftOut:
        return {}
    return asked(before) | answered(first, "1") | answered(second, "2")


_TOLD = ("annotator", "instruction_id", "order", "repeat")
_HELD = ("score", "prompt", "user_prompt", "their_messages")


def _write(rows: Iterator[Row], left: Left) -> Iterator[Row]:
    for calls in calls_together(rows):
        try:
            yield _judgment(calls)
        except LeftOut as why:
            left.counts[str(why)] += len(calls)


def _judgment(calls: list[Row]) -> Row:
    first = calls[0]
    uid = first.get("instruction_id") or first.get("instruction")
    if uid is None:
        raise LeftOut("neither an id nor an instruction")
    games: dict[int, Row | None] = {}
    for call in calls:
        order = order_of(call.get("order")) if call.get("order") is not None else None
        repeat = int(call.get("repeat") or 0)
        for turned in (0, 1) if order is None else (int(order == "21"),):
            games[2 * repeat + turned] = _as_game(call, bool(turned))
    extras = carried(first, *_TOLD) | unpassed(first, _HELD)
    key = "uid" if first.get("generator_1") is not None else "question_id"
    row = {key: uid, "judge": first.get("annotator"), "model": name_of(first, "generator_2", "output_2")}
    row |= {"baseline": first.get("generator_1")}
    listed = [games.get(place) for place in range(max(games) + 1 + (max(games) + 1) % 2)]
    return {name: value for name, value in row.items() if value is not None} | {"games": listed} | extras


def _as_game(call: Row, turned: bool) -> Row | None:
    if call.get("status") == "error":
        return None
    game: Row = {"score": _label(call, turned), "judgment": call.get("raw_completion")}
    if call.get("prompt") is not None:
        game["prompt"] = structure(call["prompt"], list, "prompt")
    return game | ({} if call.get("user_prompt") is None else {"user_prompt": call["user_prompt"]})


def _label(call: Row, turned: bool) -> str | None:
    """The label of a verdict: the one that was read where it still says the same."""
    preference = preferred(call)
    if preference is None:
        score = call.get("score")
        return score if isinstance(score, str) and _SAME.get(score, score) not in LABELS else None
    second = 2 - preference if turned else preference - 1
    score = call.get("score")
    if isinstance(score, str) and LABELS.get(_SAME.get(score, score), (None,))[0] == second:
        return score
    if second == 0.5:
        return "A=B"
    sign = ">>" if call.get("strength") == 2 else ">"
    return f"B{sign}A" if second > 0.5 else f"A{sign}B"


ARENA_HARD = Format(
    "arena-hard",
    "judgments of a model against a baseline, in both orders",
    lambda columns: {"games", "model"} <= {*columns},
    each(_games, ("games", "model")),
    _write,
)
