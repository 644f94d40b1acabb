"""The answers already paid for: where they are, how many, and which to let go.

A request whose answer is in the store is never asked again. --prune deletes the answers that fit all that is named
(age, model, judge) and says how many; what is deleted would be asked, and paid for, again."""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from simfarm.report.terminal import answer, answer_json, answer_lines, say, width_of
from simfarm.text.words import plural

if TYPE_CHECKING:
    from simfarm.engine.stored import Contents

__all__ = ["add_arguments", "run"]

_SECONDS = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


def age(text: str) -> float:
    """`12h`, `90d` or `8w`, in seconds."""
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([hdw])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no age: write hours, days or weeks as 12h, 90d or 8w")
    return float(match[1]) * _SECONDS[match[2]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", type=Path, metavar="FILE", help="the store (default: the one in your data folder)")
    parser.add_argument("--json", action="store_true", help="what it holds, for machines")
    prune = parser.add_argument_group("prune")
    prune.add_argument("--prune", action="store_true", help="delete the answers that fit all of the following")
    prune.add_argument("--older-than", type=age, metavar="AGE", help="answered longer ago than 12h, 90d, 8w")
    prune.add_argument("--model", metavar="NAME", help="by this model, as the list names it")
    prune.add_argument("--judge", metavar="NAME|HASH", help="to this judge's questions")
    prune.add_argument("--dry-run", action="store_true", help="say how many, delete nothing")


def run(arguments: argparse.Namespace) -> int:
    """Print what the store holds, or prune it; gives the exit status."""
    from simfarm.engine.store import default_store_path
    from simfarm.engine.stored import Chosen, Contents, contents, prune
    from simfarm.errors import InputError
    from simfarm.settings import refuse

    pruning = {name: getattr(arguments, name) for name in ("older_than", "model", "judge", "dry_run")}
    path = arguments.store or default_store_path()
    if not arguments.prune:
        refuse(pruning, "without --prune")
        held = Contents(str(path), 0, 0, ()) if arguments.store is None and not path.exists() else contents(path)
        if arguments.json:
            answer_json(held.to_json())
        else:
            answer_lines(_lines(held))
        return 0
    if arguments.json:
        raise InputError("--json goes with the list, not with --prune; leave one of them out")
    chosen = Chosen(arguments.older_than, arguments.model, arguments.judge)
    before = contents(path)
    count, freed = prune(path, chosen, dry_run=arguments.dry_run)
    if arguments.dry_run:
        answer(f"{count:,} of {plural(before.answers, 'answer')} would be deleted from {path}")
        return 0
    answer(f"deleted {count:,} of {plural(before.answers, 'answer')} from {path}")
    if freed:
        say(f"{_size(before.bytes)} before, {_size(contents(path).bytes)} now")
    elif count:
        say("another process has the store open: the room is given back by the next --prune")
    return 0


def _lines(held: Contents) -> list[str]:
    from simfarm.report.tables import table_lines

    if not held.groups:
        return [f"{held.path}: holds no answer yet"]
    headings = ("model", "judge", "answers", "size", "from", "to")
    rows = [(g.model, g.judge, f"{g.answers:,}", _size(g.bytes), _day(g.first), _day(g.last)) for g in held.groups]
    lines, narrow = table_lines(headings, rows, width_of(sys.stdout), least=("from", "size", "to"))
    return [f"{held.path}: {plural(held.answers, 'answer')}, {_size(held.bytes)}", "", *lines, *narrow]


def _size(count: int) -> str:
    if count < 1_000_000:
        return f"{count / 1e3:.1f} kB"
    return f"{count / 1e6:.1f} MB" if count < 1_000_000_000 else f"{count / 1e9:.2f} GB"


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(moment))
