"""Conversations as an instruction and an answer: what two of them share was asked, what follows was answered.

Two battles of several turns share the first question and part with the first answers, so what was answered is the rest
of each conversation: as one text, its turns named, with the messages themselves beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from simfarm.data.formats.format import LeftOut, structure
from simfarm.data.parsing import Row

__all__ = ["answer", "answered", "asked", "asked_text", "conversation", "prompt", "rest_of", "two"]

Turn = dict[str, Any]

_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}


def conversation(value: Any, name: str) -> list[Turn]:
    """The turns of a conversation, their contents texts. Raises `InputError` for what is none, `LeftOut` for one with
    anything but text in it."""
    return [_turn(one) for one in structure(value, list, name)]


def _turn(one: Any) -> Turn:
    if not isinstance(one, Mapping) or not isinstance(one.get("role"), str):
        raise LeftOut("a turn without a role")
    if one.get("tool_calls"):
        raise LeftOut("calls of tools")
    rest = {name: value for name, value in one.items() if name not in ("role", "content") and value is not None}
    return {"role": _ROLES.get(one["role"], one["role"]), "content": _text(one.get("content"))} | rest


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        parts = [part if isinstance(part, Mapping) else {"type": "text", "text": part} for part in content]
        for part in parts:
            if "image" in str(part.get("type")) or part.get("image") is not None:
                raise LeftOut("an image")
            if not isinstance(part.get("text"), str):
                raise LeftOut("content that is no text")
        return "".join(part["text"] for part in parts)
    raise LeftOut("a turn without text")


def two(first: Sequence[Turn], second: Sequence[Turn]) -> tuple[list[Turn], list[Turn], list[Turn]]:
    """(what both were asked, the rest of the first, the rest of the second). Raises `LeftOut` where that cannot be."""
    for turns in (first, second):
        if not turns or turns[-1]["role"] != "assistant":
            raise LeftOut("a conversation that does not end with an answer")
    shared = 0
    while shared < min(len(first), len(second)) - 1 and _said(first[shared]) == _said(second[shared]):
        shared += 1
    while shared and first[shared - 1]["role"] == "assistant":
        shared -= 1
    before, rests = list(first[:shared]), (list(first[shared:]), list(second[shared:]))
    if not any(turn["role"] == "user" for turn in before):
        raise LeftOut("conversations that begin with different questions")
    if any(rest[0]["role"] != "assistant" for rest in rests):
        raise LeftOut("conversations that part before an answer")
    return before, *rests


def _said(turn: Turn) -> tuple[str, str]:
    return turn["role"], turn["content"]


def _bare(turn: Turn) -> bool:
    return len(turn) == 2


def asked(turns: Sequence[Turn], *, chat: bool = False) -> Row:
    """What was asked as our columns: a lone question is an `instruction`, anything else `messages`; both where the
    question was a `chat` of one message, so that it joins with files of texts and is written as a chat again."""
    if len(turns) == 1 and turns[0]["role"] == "user":
        keep = chat or not _bare(turns[0])
        return {"instruction": turns[0]["content"]} | ({"messages": list(turns)} if keep else {})
    return {"messages": list(turns)}


def answered(rest: Sequence[Turn], side: str) -> Row:
    """An answer as our columns: `output_1` and, where it is more than one plain message, `messages_1`."""
    text = answer(rest)
    return {f"output_{side}": text} | ({} if len(rest) == 1 and _bare(rest[0]) else {f"messages_{side}": list(rest)})


def answer(rest: Sequence[Turn]) -> str:
    """The rest of a conversation as one text: the first answer as it is, later turns under their roles."""
    first, *more = rest
    return "".join([first["content"], *(f"\n\n{turn['role'].capitalize()}: {turn['content']}" for turn in more)])


def prompt(row: Mapping[str, Any]) -> list[Turn]:
    """What a row of ours asked, as messages. Raises `LeftOut` where it does not say."""
    if row.get("messages"):
        return [dict(turn) for turn in structure(row["messages"], list, "messages")]
    if not isinstance(row.get("instruction"), str):
        raise LeftOut("no texts")
    return [{"role": "user", "content": asked_text(row)}]


def asked_text(row: Mapping[str, Any]) -> str:
    """What a row of ours asked, as one text. Raises `LeftOut` where it does not say."""
    if isinstance(row.get("instruction"), str):
        extra = row.get("input")
        whole = isinstance(extra, str) and extra.strip()
        return f"{row['instruction']}\n\n{extra}" if whole else str(row["instruction"])
    return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in prompt(row))


def rest_of(row: Mapping[str, Any], side: str) -> list[Turn]:
    """What a row of ours answered on one side, as messages. Raises `LeftOut` for a row without texts."""
    if row.get(f"messages_{side}"):
        return [dict(turn) for turn in structure(row[f"messages_{side}"], list, f"messages_{side}")]
    if not isinstance(row.get(f"output_{side}"), str):
        raise LeftOut("no texts")
    return [{"role": "assistant", "content": row[f"output_{side}"]}]
