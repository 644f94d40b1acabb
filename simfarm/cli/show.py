"""Read verdicts as a person does: the instruction, both outputs, the verdict and the judge's reason."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from simfarm.cli.options import INPUT_HELP, whole
from simfarm.data.meaning import NAMES, STATUSES, TIE, order_of, preference_of, status_of
from simfarm.report.terminal import answer, answer_lines, width_of, wrapped
from simfarm.text.harmless import one_line, visible
from simfarm.text.words import plural

__all__ = ["add_arguments", "run"]

PIPE = 114
"""Columns where stdout is no terminal: a pager has a width too."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", metavar="FILE", help=f"annotations: {INPUT_HELP}")
    parser.add_argument("-n", "--number", type=whole, default=10, metavar="N", help="how many verdicts (default 10)")
    parser.add_argument("--status", choices=STATUSES, help="only rows of this status")
    parser.add_argument("--generator", metavar="NAME", help="only comparisons with this model")
    parser.add_argument("--full", action="store_true", help="whole outputs (default: the first lines)")
    parser.add_argument("--json", action="store_true", help="the rows themselves, as JSON lines")


def run(arguments: argparse.Namespace) -> int:
    """Print the first N rows that match; raises `InputError` when the file holds no annotations."""
    from simfarm.data.files import read_rows, write_rows
    from simfarm.data.records import kind_of_rows
    from simfarm.data.sources import opened
    from simfarm.errors import InputError

    with opened(arguments.input) as (inputs, _):
        rows = [row for file in inputs for row in read_rows(file)]
    if kind_of_rows(rows, arguments.input) != "annotations":
        raise InputError(f"{arguments.input}: holds no verdicts (column 'preference'); make them by simfarm annotate")
    chosen = [row for row in rows if _matches(row, arguments)]
    if not chosen:
        raise InputError(f"{arguments.input}: none of its {plural(len(rows), 'row')} matches --status and --generator")
    if arguments.json:
        write_rows(None, chosen[: arguments.number])
        return 0
    width = width_of(sys.stdout) or PIPE
    for number, row in enumerate(chosen[: arguments.number], 1):
        answer(_paragraphs(row, number, len(chosen), arguments.full, width))
    if len(chosen) > arguments.number:
        answer_lines([f"… {len(chosen) - arguments.number} more; -n N shows more of them"])
    return 0


def _status(row: Mapping[str, Any]) -> str:
    return str(status_of(row.get("status"), row.get("preference") not in (None, "")))


def _matches(row: Mapping[str, Any], arguments: argparse.Namespace) -> bool:
    if arguments.status and _status(row) != arguments.status:
        return False
    return not arguments.generator or arguments.generator in (row.get("generator_1"), row.get("generator_2"))


def _verdict(row: Mapping[str, Any]) -> str:
    if _status(row) != "verdict":
        return f"no verdict: {_status(row)}" + (f" ({row['error']})" if row.get("error") else "")
    preference = preference_of(float(row["preference"]))
    if preference == TIE:
        return f"tie ({TIE})"
    side = 2 if preference > TIE else 1
    name = row.get(f"generator_{side}") or NAMES[f"generator_{side}"]
    grade = {"1": ", slightly", "2": ", clearly"}.get(str(row.get("strength")), "")
    return f"output {side} is preferred: {name} ({preference:.4g}{grade})"


def _reply(raw: Any) -> str | None:
    """The text of the last completion in a `raw_completion` (one, or a list where the judge was asked again)."""
    last = raw[-1] if isinstance(raw, list) and raw else raw
    if isinstance(last, Mapping):
        last = last.get("text")
    return None if last is None else str(last)


def _shown(text: Any, full: bool, width: int) -> list[str]:
    """The lines of a text, indented, each of them harmless; the first ones only, if not `full`."""
    if text is None:
        return ["    (the file does not hold this text)"]
    if text == "":
        return ["    (empty)"]
    # a text of a megabyte is not wrapped for eight lines of it
    shown = str(text) if full else str(text)[: 100 * width]
    unbroken = [visible(line).expandtabs() for line in shown.splitlines()]
    lines = [part for line in unbroken for part in wrapped(line, width - 4, "")]
    cut = lines if full else lines[:8]
    if len(cut) < len(lines):
        over = "over " * (len(shown) < len(str(text)))
        cut.append(f"… {over}{plural(len(lines) - len(cut), 'more line')} (--full)")
    return [f"    {line}".rstrip() for line in cut]


def _paragraphs(row: Mapping[str, Any], number: int, total: int, full: bool, width: int) -> str:
    about = [
        f"{key} {row[key]}" for key in ("dataset", "instruction_id", "repeat") if row.get(key) not in (None, "", 0)
    ]
    order = {"12": "output 1 shown first", "21": "output 2 shown first"}.get(order_of(row.get("order") or ""), "")
    head = " · ".join(
        [f"── {number} of {total}", *about, str(row.get("annotator") or NAMES["annotator"]), *filter(None, [order])]
    )

    def line(text: str) -> list[str]:
        return wrapped(one_line(text), width, "     ")

    parts = [*line(head), "  instruction", *_shown(row.get("instruction"), full, width)]
    for side in ("1", "2"):
        parts += line(f"  output {side} · {row.get(f'generator_{side}') or 'unnamed'}")
        parts += _shown(row.get(f"output_{side}"), full, width)
    parts += line(f"  verdict · {_verdict(row)}")
    if _status(row) == "unparseable":
        parts += ["  the judge's reply", *_shown(_reply(row.get("raw_completion")), full, width)]
    if row.get("reason"):
        parts += ["  reason", *_shown(row["reason"], full, width)]
    return "\n".join(parts) + "\n"
