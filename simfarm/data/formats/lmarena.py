"""LMArena's battles: two anonymous models, a conversation with each, and a person's vote
(`serve/monitor/clean_battle_data.py` of lm-sys/FastChat; lmsys/chatbot_arena_conversations and later sets; MT-bench's
human judgments have the same columns). `tie (bothbad)` is a tie here, its word stays in `winner`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from simfarm.data.formats.chats import Turn, answered, asked, conversation, prompt, rest_of, two
from simfarm.data.formats.format import (
    Format,
    Left,
    LeftOut,
    carried,
    each,
    identity,
    named,
    passed,
    structure,
    unpassed,
)
from simfarm.data.formats.verdicts import PEOPLE, by_person, preferred, three_way, verdict, word_of
from simfarm.data.parsing import Row

__all__ = ["LMARENA"]

_WINNERS = {
    "model_a": 1.0,
    "model_b": 2.0,
    "tie": 1.5,
    "tie (bothbad)": 1.5,
    "both_bad": 1.5,
    "bothbad": 1.5,
}
_FLAGS = {"winner_model_a": 1.0, "winner_model_b": 2.0, "winner_tie": 1.5}
_USED = {"model_a", "model_b", "winner", "judge", "conversation_a", "conversation_b"}
_SHORT = {"prompt", "response_a", "response_b", *_FLAGS}
"""A later set has no conversations: lists of questions and of answers, as JSON text, and a flag for each verdict."""


def _battle(row: Row) -> Iterator[Row]:
    flags = "winner_model_a" in row
    winner = next((flag for flag in _FLAGS if row.get(flag) in (1, True, "1")), None) if flags else row.get("winner")
    about: Row = {"generator_1": named(row, "model_a"), "generator_2": named(row, "model_b")}
    judge = row.get("judge")
    # MT-bench names a model as a judge in a list, with its prompt
    about |= {"annotator": str(judge[0])} if isinstance(judge, list) and judge else by_person(named(row, "judge"))
    about |= verdict(_FLAGS.get(winner or "") if flags else word_of(winner, _WINNERS))
    extras = passed(row, _USED | (_SHORT if flags else set()))
    if winner is not None and not flags:
        extras["winner"] = winner
    if "conversation_a" not in row and not flags:
        if "question_id" not in row:
            raise LeftOut("neither conversations nor a question_id")
        yield {"instruction_id": identity(row, "question_id")} | about | extras
        return
    before, *rests = two(*(_first_turns(turns, row.get("turn")) for turns in _both(row)))
    yield asked(before) | answered(rests[0], "1") | answered(rests[1], "2") | about | extras


def _both(row: Row) -> Iterator[list[Turn]]:
    if "conversation_a" in row:
        yield from (conversation(row.get(name), name) for name in ("conversation_a", "conversation_b"))
        return
    questions = structure(row.get("prompt"), list, "prompt")
    for name in ("response_a", "response_b"):
        answers = structure(row.get(name), list, name)
        if len(answers) != len(questions) or not all(isinstance(text, str) for text in (*questions, *answers)):
            raise LeftOut("a turn without text")
        roles = zip(questions, answers, strict=True)
        yield [
            {"role": role, "content": text}
            for pair in roles
            for role, text in zip(("user", "assistant"), pair, strict=True)
        ]


def _first_turns(turns: list[Turn], count: Any) -> list[Turn]:
    """The conversation up to the answer that was voted on: a vote on the first of two turns saw no more."""
    asked_at = [place for place, turn in enumerate(turns) if turn["role"] == "user"]
    if isinstance(count, str) and count.isdecimal():
        count = int(count)
    return turns[: asked_at[count]] if isinstance(count, int) and 0 < count < len(asked_at) else turns


def _write(rows: Iterator[Row], left: Left) -> Iterator[Row]:
    for row in rows:
        try:
            yield _their_battle(row)
        except LeftOut as why:
            left.out(str(why))


def _their_battle(row: Mapping[str, Any]) -> Row:
    names = {"model_a": row.get("generator_1"), "model_b": row.get("generator_2")}
    if None in names.values():
        raise LeftOut("no names of models")
    preference = preferred(row)
    word = row.get("winner")
    if preference is None:
        battle = names | {"winner": word}
    elif word_of(word, _WINNERS) != preference:
        battle = names | {"winner": ("model_a", "tie", "model_b")[three_way(preference) + 1]}
    else:
        battle = names | {"winner": word}
    if row.get("person") is not None:
        battle["judge"] = row["person"]
    elif row.get("annotator") not in (None, PEOPLE):
        battle["judge"] = [row["annotator"]]
    if row.get("question_id") is None and row.get("instruction_id") is not None:
        battle["question_id"] = row["instruction_id"]
    if "output_1" in row or "messages_1" in row:
        before = prompt(row)
        battle |= {f"conversation_{name}": before + rest_of(row, side) for name, side in (("a", "1"), ("b", "2"))}
    elif "question_id" not in battle and "question_id" not in row:
        raise LeftOut("no texts")
    return battle | carried(row, "annotator", "instruction_id") | unpassed(row, ("winner", "person"))


LMARENA = Format(
    "lmarena",
    "battles of two models with a person's vote",
    lambda columns: {"model_a", "model_b"} <= {*columns} and not {"winner", "winner_model_a"}.isdisjoint(columns),
    each(_battle, ("model_a", "model_b")),
    _write,
)
