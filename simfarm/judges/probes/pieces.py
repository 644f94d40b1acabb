"""A text in the pieces that probes take out, repeat or change: paragraphs, sentences, list items, numbers.

Which of several pieces is taken is a stable hash's to say, so that the same output gives the same twin everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from simfarm.data.cells import stable_digest
from simfarm.data.records import Output

__all__ = ["Item", "chosen", "is_code", "items", "numbers", "paragraphs", "sentences"]

_FENCE = re.compile(r"^ {0,3}(?:```|~~~)")
_ITEM = re.compile(r"^([ \t]*)([-*+•]|(\d{1,3})([.)]))[ \t]+\S")
_NUMBER = re.compile(r"(?<![\w.,])\d+(?:[.,]\d+)*(?![\w])")
_COUNTER = re.compile(r"^[ \t]*(\d{1,3})[.)]\s", re.MULTILINE)
_END = re.compile(r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\be\.g\.)(?<!\bi\.e\.)\s+(?=[A-Z0-9\"“(])|(?<=[。！？])")
_FEWEST = 3
"""Items of a list from which one may be missing without a sign that there was a list."""


@dataclass(frozen=True, slots=True)
class Item:
    """The lines [start, end) of one item of a list, and its number where the list has numbers."""

    start: int
    end: int
    number: int | None


def chosen(purpose: str, output: Output, n: int) -> int:
    """One of n (0 … n − 1), always the same for the same output and purpose."""
    return int.from_bytes(stable_digest(purpose, output.instruction, output.output)[:4]) % n


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a text, in order; a fenced code block is one, whatever blank lines it has."""
    made: list[list[str]] = [[]]
    inside = False
    for line in text.split("\n"):
        inside ^= _FENCE.match(line) is not None
        if line.strip() or inside:
            made[-1].append(line)
        elif made[-1]:
            made.append([])
    return ["\n".join(lines) for lines in made if lines]


def is_code(paragraph: str) -> bool:
    """Whether a paragraph is a fenced code block, or has one."""
    return any(_FENCE.match(line) for line in paragraph.split("\n"))


def sentences(text: str) -> list[str]:
    """The sentences of a text's running paragraphs; those that hold code or a list are left out, being none."""
    made = []
    for part in paragraphs(text):
        if is_code(part) or any(_ITEM.match(line) for line in part.split("\n")):
            continue
        made += [one.strip() for one in _END.split(" ".join(part.split())) if one.strip()]
    return made


def items(lines: Sequence[str]) -> list[Item]:
    """The items of the first list of three or more in a text's lines; lines indented further belong to the item above
    them. Lists in code blocks are none."""
    run: list[Item] = []
    indent, inside = "", False
    for place, line in enumerate([*lines, "end"]):
        inside ^= _FENCE.match(line) is not None
        found = None if inside else _ITEM.match(line)
        if found is not None and (not run or found[1] == indent):
            indent = found[1]
            run.append(Item(place, place + 1, None if found[3] is None else int(found[3])))
        elif run and line.strip() and not line.startswith((f"{indent} ", f"{indent}\t")):
            if len(run) >= _FEWEST:
                break
            run = []
        elif run and line.strip():
            last = run[-1]
            run[-1] = Item(last.start, place + 1, last.number)
    return run if len(run) >= _FEWEST else []


def numbers(text: str) -> list[re.Match[str]]:
    """The numbers of a text, those that count the items of a list apart."""
    counters = {m.start(1) for m in _COUNTER.finditer(text)}
    return [m for m in _NUMBER.finditer(text) if m.start() not in counters]
