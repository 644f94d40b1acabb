"""A verdict as a person reads it: the instruction, both outputs, what was preferred and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from simfarm.data.meaning import NAMES, TIE, order_of, preference_of, status_of
from simfarm.judges.derived import listed
from simfarm.report.terminal import wrapped
from simfarm.text.harmless import one_line, visible
from simfarm.text.words import plural

__all__ = ["row_status", "verdict_text"]


def row_status(row: Mapping[str, Any]) -> str:
    """A row's status, also where the file has none."""
    return str(status_of(row.get("status"), row.get("score" if _is_rated(row) else "preference") not in (None, "")))


def _is_rated(row: Mapping[str, Any]) -> bool:
    """Whether one output was judged by itself."""
    return "preference" not in row


def _verdict(row: Mapping[str, Any]) -> str:
    if row_status(row) != "verdict":
        return f"no verdict: {row_status(row)}" + (f" ({row['error']})" if row.get("error") else "")
    if _is_rated(row):
        ends = [float(end) for end in (row.get("scale_low"), row.get("scale_high")) if end not in (None, "")]
        scale = f" on a scale from {ends[0]:g} to {ends[1]:g}" if len(ends) == 2 else ""
        return f"score {float(row['score']):.4g}{scale}"
    preference = preference_of(float(row["preference"]))
    if preference == TIE:
        return f"tie ({TIE})"
    side = 2 if preference > TIE else 1
    name = row.get(f"generator_{side}") or NAMES[f"generator_{side}"]
    grade = {"1": ", slightly", "2": ", clearly"}.get(str(row.get("strength")), "")
    return f"output {side} is preferred: {name} ({preference:.4g}{grade})"


def _reply(raw: Any) -> str | None:
    """What the last answer in a `raw_completion` says (one, or a list where the judge was asked again): its text, or
    the probabilities of a decision."""
    last = raw[-1] if isinstance(raw, list) and raw else raw
    whole = _unpacked(last)
    if isinstance(whole, Mapping) and "answers" in whole:
        return json.dumps({key: whole[key] for key in ("answers", "refused") if whole.get(key)}, ensure_ascii=False)
    if isinstance(last, Mapping):
        last = last.get("text")
    return None if last is None else str(last)


def _stages(raw: Any) -> list[tuple[str, str]]:
    """(name, text) of each answer of a judge of several calls; none of any other."""
    whole = _unpacked(raw)
    given = whole if isinstance(whole, list) else [whole]
    named = [one for one in given if isinstance(one, Mapping) and isinstance(one.get("stage"), str)]
    return [(str(one["stage"]), listed(_reply(one) or "")) for one in named]


def _unpacked(value: Any) -> Any:
    """A mapping or a list that a CSV or Parquet file holds as JSON text; anything else as it is."""
    if isinstance(value, str) and value.startswith(("{", "[{")):
        with suppress(ValueError, RecursionError):
            return json.loads(value)
    return value


def _scores(value: Any) -> str | None:
    """The marks by criterion: NAME_1 and NAME_2 as one with both outputs' marks, others alone."""
    scores = _unpacked(value)
    if not isinstance(scores, Mapping) or not scores:
        return None
    marks: dict[str, list[str]] = {}
    for name, mark in scores.items():
        number = isinstance(mark, int | float) and not isinstance(mark, bool)
        stem = str(name)[:-2] if str(name).endswith(("_1", "_2")) else str(name)
        both = f"{stem}_1" in scores and f"{stem}_2" in scores
        marks.setdefault(stem if both else str(name), []).append(f"{mark:.3g}" if number else str(mark))
    return ", ".join(f"{name} {' : '.join(given)}" for name, given in marks.items())


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


def verdict_text(row: Mapping[str, Any], place: str, *, full: bool, width: int) -> str:
    """A row of an annotation file in lines of `width` columns, under its `place` among others; with `full` whole texts.

    Whatever stands in the row is harmless on a terminal.
    """
    known = ("dataset", "instruction_id", "repeat", "person")
    about = [f"{key} {row[key]}" for key in known if row.get(key) not in (None, "", 0)]
    about += ["decided by noise"] if str(row.get("is_noised")).lower() == "true" else []
    order = {"12": "output 1 shown first", "21": "output 2 shown first"}.get(order_of(row.get("order") or ""), "")
    head = " · ".join([f"── {place}", *about, str(row.get("annotator") or NAMES["annotator"]), *filter(None, [order])])

    def line(text: str) -> list[str]:
        return wrapped(one_line(text), width, "     ")

    parts = [*line(head), "  instruction", *_shown(row.get("instruction"), full, width)]
    for side in ("",) if _is_rated(row) else ("_1", "_2"):
        parts += line(f"  output{side.replace('_', ' ')} · {row.get(f'generator{side}') or 'unnamed'}")
        parts += _shown(row.get(f"output{side}"), full, width)
    for name, text in _stages(row.get("raw_completion")):
        parts += line(f"  stage · {name}")
        parts += _shown(text, full, width)
    parts += line(f"  verdict · {_verdict(row)}")
    if scores := _scores(row.get("scores")):
        parts += line(f"  scores · {scores}")
    if row_status(row) == "unparseable":
        parts += ["  the judge's reply", *_shown(_reply(row.get("raw_completion")), full, width)]
    if row.get("reason"):
        parts += ["  reason", *_shown(row["reason"], full, width)]
    return "\n".join(parts) + "\n"
