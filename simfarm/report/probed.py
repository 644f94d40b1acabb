"""What a judge can be fooled by, as one card: for a terminal, for files and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from simfarm.judges.rules import banner
from simfarm.methods.probed import FEWEST, Manner, Probed, Tried, Turned
from simfarm.ranking.table import plain
from simfarm.report.tables import Part, Sheet
from simfarm.statistics.estimate import Estimate
from simfarm.text.words import named, plural

__all__ = ["probed_sheet"]

_WORDS = {
    "fooled": "fooled",
    "holds": "holds",
    "not told": "–",
    "blind": "blind to it",
    "heeds": "heeds it",
}


def probed_sheet(found: Probed) -> Sheet:
    """The card: probes, words that it should heed, manners that should change nothing."""
    tried = [one for one in found.tried if one.n]
    parts = [
        _tried(found, tried),
        _turned(found, [one for one in found.turned if one.n]),
        _manners(found),
    ]
    table = pd.DataFrame(_rows(found))
    return Sheet([part for part in parts if part.rows], table, _record(found, table), _warnings(found))


def _percent(value: Estimate | None, level: float) -> str:
    if value is None or not value.n_clusters:
        return "–"
    low, high = (100 * x for x in _limits(value, level))
    limits = "" if np.isnan(low) else f" [{low:.0f}, {high:.0f}]"
    return f"{100 * value.value:.0f}{limits}"


def _limits(value: Estimate | None, level: float) -> tuple[float, float]:
    """An interval, where there are instructions enough for one."""
    return (np.nan, np.nan) if value is None or value.n_clusters < FEWEST else value.interval(level)


def _tried(found: Probed, tried: Sequence[Tried]) -> Part:
    rows = [
        [
            f"{one.probe.name}: {one.probe.title}" if one.probe.kind != "twins" else one.probe.title,
            _percent(one.right, found.level),
            "–" if np.isnan(one.longest) else f"{100 * one.longest:.0f}",
            f"{one.n:,}",
            _WORDS[one.found],
        ]
        for one in tried
    ]
    remarks = [
        f"right: percent of pairs whose right answer won, with {100 * found.level:g} % intervals; 50 is a coin's",
        "identity has no right answer: below 50 the greater name won",
    ]
    few = [f"of fewer than {plural(FEWEST, 'instruction')} there is no interval and no finding"]
    remarks += few if found.n < FEWEST else _summary(found)
    if seen := sum(one.guarded for one in tried if one.probe.kind == "orders"):
        of = sum(one.n + one.missing for one in tried if one.probe.kind == "orders")
        remarks.append(f"a board's guard flags {seen} of the {plural(of, 'answer')} with an order in it")
    title = f"{found.judge.name}: what it can be fooled by · {plural(found.n, 'instruction')}"
    headings = ["name", "right", "longest", "pairs", "finding"]
    return Part(title, headings, rows, remarks, ("pairs",))


def _summary(found: Probed) -> list[str]:
    fooled, holds = found.names("fooled"), found.names("holds")
    unsure = found.names("not told")
    lines = []
    order = next((one.same for one in found.manners if one.name == "order" and one.same is not None), None)
    if order is not None and _limits(order, found.level)[1] < 0.5:
        lines.append("the place decides: most verdicts turn round when the two answers are swapped")
    if fooled or not lines:
        lines.append(f"fooled by: {named(fooled, 20) if fooled else 'nothing that was shown'}")
    if holds:
        lines.append(f"holds against: {named(holds, 20)}")
    if unsure:
        lines.append(f"not told from a coin: {named(unsure, 20)} (all probes tested together)")
    return lines


def _turned(found: Probed, turned: Sequence[Turned]) -> Part:
    rows = [
        [
            f"{one.probe.name}: {one.probe.title}",
            _percent(one.flips, found.level),
            _percent(one.both, found.level),
            f"{one.n:,}",
            _WORDS[one.heed],
        ]
        for one in turned
    ]
    remarks = ["flips: verdicts that turn round with the word; both: pairs that are right under both words"]
    blind = [one.probe.name for one in turned if one.heed == "blind"]
    if blind:
        remarks.append(
            f"criteria-blind ({named(blind)}): what it is told to judge by changes few of its verdicts, if any"
        )
    return Part(
        "does it go by what it is told?", ["name", "flips", "both", "pairs", "finding"], rows, remarks, ("pairs",)
    )


def _manners(found: Probed) -> Part:
    rows = [
        [f"{one.name}: {one.title}", _percent(one.same, found.level), _ranks(one), f"{one.n:,}" if one.n else "–"]
        for one in found.manners
    ]
    remarks = ["same: verdicts on the same side as before; ranks: Spearman's correlation of the models, or –"]
    absent: dict[str, list[str]] = {}
    for one in found.manners:
        if one.same is None:
            absent.setdefault(one.why, []).append(one.name)
    remarks += [f"{named(names)}: {why}" for why, names in absent.items()]
    return Part("what should change nothing", ["name", "same", "ranks", "pairs"], rows, remarks, ("pairs", "ranks"))


def _ranks(one: Manner) -> str:
    if one.ranks is None:
        return "–"
    figure = one.ranks
    return f"{figure.plain:.2f} [{figure.low:.2f}, {figure.high:.2f}]".replace("-", "−")


def _warnings(found: Probed) -> list[str]:
    lines = [banner(found.judge.rule)] if found.judge.rule is not None else []
    left = [(one.probe.name, one.not_made) for one in found.tried]
    left = [(name, n) for name, n in [*left, *((one.probe.name, one.not_made) for one in found.turned)] if n]
    if left:
        said = ", ".join(f"{name} for {n}" for name, n in left)
        lines.append(f"not made: {said} of {plural(found.n, 'output')} (nothing there to change: no list, no number …)")
    if found.missing:
        total = found.missing + found.verdicts
        lines.append(f"{found.missing:,} of {plural(total, 'call')} gave no verdict: their pairs count nowhere")
    return lines


def _rows(found: Probed) -> list[dict[str, Any]]:
    """One row a figure: of a probe its accuracy, of opposite words flips and both, of a manner the stability."""
    level = found.level
    rows = []
    for tried in found.tried:
        rows.append(
            {
                **_row(tried.probe.name, tried.probe.kind, "right", tried.right, level),
                "n_pairs": tried.n,
                "n_missing": tried.missing,
                "n_not_made": tried.not_made,
                "finding": tried.found,
                "p": plain(tried.p),
                "longest": plain(100 * tried.longest),
            }
        )
    for turned in found.turned:
        for what, value in (("flips", turned.flips), ("both", turned.both)):
            rows.append(
                {
                    **_row(turned.probe.name, turned.probe.kind, what, value, level),
                    "n_pairs": turned.n,
                    "n_missing": turned.missing,
                    "n_not_made": turned.not_made,
                    "finding": turned.heed,
                }
            )
    for manner in found.manners:
        row = {**_row(manner.name, "manner", "same", manner.same, level), "n_pairs": manner.n}
        if manner.ranks is not None:
            figure = manner.ranks
            row |= {"ranks": figure.plain, "ranks_low": figure.low, "ranks_high": figure.high}
        rows.append(row | ({"why": manner.why} if manner.why else {}))
    return rows


def _row(name: str, kind: str, what: str, value: Estimate | None, level: float) -> dict[str, Any]:
    low, high = _limits(value, level)
    known = value is not None and value.n_clusters
    return {
        "probe": name,
        "kind": kind,
        "figure": what,
        "value": 100 * value.value if known and value is not None else None,
        "low": plain(100 * low),
        "high": plain(100 * high),
    }


def _record(found: Probed, table: pd.DataFrame) -> dict[str, Any]:
    figures = [{k: plain(v) for k, v in row.items()} for row in table.to_dict("records")]
    return {
        "judge": found.judge.name,
        "judge_hash": found.judge.hash,
        "model": found.judge.model,
        "level": found.level,
        "n_instructions": found.n,
        "n_verdicts": found.verdicts,
        "n_missing": found.missing,
        "fooled_by": found.names("fooled"),
        "criteria_blind": [one.probe.name for one in found.turned if one.heed == "blind"],
        "figures": figures,
        "variants": {
            one.probe.name: {
                name: {"right": plain(100 * share), "n_pairs": n} for name, (share, n) in one.variants.items()
            }
            for one in found.tried
            if one.variants and one.probe.kind != "twins"
        },
    }
