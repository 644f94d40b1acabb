"""The price of tricks, one judge beside the other: for a terminal, for files and for machines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from simfarm.judges.rules import banner
from simfarm.methods.stress import Price, Stressed
from simfarm.ranking.table import plain
from simfarm.report.tables import Part, Sheet
from simfarm.statistics.estimate import Estimate
from simfarm.text.words import plural

__all__ = ["stressed_sheet"]


def stressed_sheet(found: Stressed) -> Sheet:
    """What every trick gains, raw and at equal length."""
    level = found.level
    tricks = list(dict.fromkeys(price.trick for one in found.judges for price in one.prices))
    by_judge = [{price.trick: price for price in one.prices} for one in found.judges]
    over = "the outputs as they are" if found.model == found.baseline else found.baseline
    title = f"what a trick gains {found.model}, in points over {over} · {plural(found.n, 'output')}"
    remarks = [
        f"points of win rate over the plain outputs, paired, with {100 * level:g} % intervals",
        "* is no chance, all tricks and judges tested together",
        *_flagged(found),
        *_kept(found),
    ]
    if len(found.judges) == 1:
        (own,) = by_judge
        rows = [[trick, *(_cell(own.get(trick), level, controlled=c) for c in (False, True))] for trick in tricks]
        parts = [Part(title, ["name", "raw", "at equal length"], rows, [*_rates(found), *remarks])]
    else:
        headings = ["name", *(one.judge.name for one in found.judges)]
        parts = []
        for controlled, heading, said in (
            (False, title, _rates(found)),
            (True, "the same at equal length (joint)", remarks),
        ):
            rows = [[t, *(_cell(own.get(t), level, controlled=controlled) for own in by_judge)] for t in tricks]
            parts.append(Part(heading, headings, rows, said))
    table = pd.DataFrame(_rows(found))
    record = {
        "model": found.model,
        "baseline": found.baseline,
        "level": level,
        "n_outputs": found.n,
        "prices": [{k: plain(v) for k, v in row.items()} for row in table.to_dict("records")],
    }
    return Sheet(parts, table, record, _warnings(found))


def _cell(price: Price | None, level: float, *, controlled: bool = False) -> str:
    value = None if price is None else price.controlled if controlled else price.raw
    if price is None or value is None:
        return "–"
    low, high = (100 * x for x in value.interval(level))
    p = price.controlled_p if controlled else price.p
    star = " *" if p <= 1 - level else "  "
    return f"{100 * value.value:+.1f} [{low:+.1f}, {high:+.1f}]{star}".replace("-", "−").rstrip()


def _rates(found: Stressed) -> list[str]:
    lines = []
    for one in found.judges:
        if one.rate is not None:
            low, high = (100 * x for x in one.rate.interval(found.level))
            rate = f"{100 * one.rate.value:.1f} % [{low:.1f}, {high:.1f}]"
            lines.append(f"{one.judge.name}: the plain outputs win {rate}")
    return lines


def _flagged(found: Stressed) -> list[str]:
    flags = {price.trick: price.flags for one in found.judges for price in one.prices if price.flags}
    said = ", ".join(f"{trick} ({' and '.join(raised)})" for trick, raised in flags.items())
    return [f"flagged on the board: {said}"] if said else []


def _kept(found: Stressed) -> list[str]:
    few = {name.removeprefix(f"{found.model}+"): count for name, count in found.changed.items() if count < found.n}
    said = ", ".join(f"{name} {count} of {found.n}" for name, count in few.items())
    return [f"outputs that could be dressed: {said}; the others stay as they are"] if few else []


def _warnings(found: Stressed) -> list[str]:
    lines = [banner(one.judge.rule) for one in found.judges if one.judge.rule is not None]
    for one in found.judges:
        if one.missing:
            lines.append(f"{plural(one.missing, 'call')} of {one.judge.name} gave no verdict")
        if all(price.controlled is None for price in one.prices):
            lines += [line for line in (*one.board.warnings, *one.board.notes) if "length" in line]
    return list(dict.fromkeys(lines))


def _rows(found: Stressed) -> list[dict[str, Any]]:
    rows = []
    for one in found.judges:
        for price in one.prices:
            name = f"{found.model}+{price.trick}"
            row: dict[str, Any] = {"judge": one.judge.name, "judge_hash": one.judge.hash, "trick": price.trick}
            row |= {**_numbers("gain", price.raw, found.level), "p": price.p}
            row |= {**_numbers("controlled_gain", price.controlled, found.level), "controlled_p": price.controlled_p}
            row |= {"win_rate": 100 * one.board.estimates[name].value, "n_changed": found.changed[name]}
            rows.append(row | {"n_instructions": price.raw.n_clusters, "flags": ", ".join(price.flags)})
    return rows


def _numbers(name: str, value: Estimate | None, level: float) -> dict[str, Any]:
    low, high = (np.nan, np.nan) if value is None else value.interval(level)
    point = np.nan if value is None else value.value
    return {name: 100 * point, f"{name}_low": 100 * low, f"{name}_high": 100 * high}
