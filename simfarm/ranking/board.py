"""The leaderboard: verdicts in, one board per annotator out, every headline number with its interval."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from simfarm.data.frames import Verdicts
from simfarm.data.inspection import Flag
from simfarm.errors import InputError
from simfarm.ranking import alpaca_eval
from simfarm.ranking.each import each_or_else, warned
from simfarm.ranking.flips import unflipped
from simfarm.ranking.guard import watch as guard
from simfarm.ranking.lengths import LENGTH_CONTROLS, Slope, equal_length
from simfarm.ranking.panel import Panel, panels
from simfarm.ranking.remarks import remarks, told_apart, unnamed
from simfarm.ranking.table import COLUMNS, PLACES, barely_met, best_first, board_table, plain, records, tiered
from simfarm.ranking.units import Units, find_baseline, units_of
from simfarm.ranking.winrate import breakdown, win_rates
from simfarm.statistics.estimate import Estimate
from simfarm.statistics.marginal import SMALL_PANEL
from simfarm.statistics.tiers import power
from simfarm.text.shown import Shown
from simfarm.text.words import named

__all__ = ["COLUMNS", "Board", "boards"]

ENOUGH = 30
"""Instructions below which the spread of differences is too unsure to plan by."""


@dataclass(frozen=True)
class Board(Shown):
    """What one annotator says about every model against one baseline.

    `table` has the columns `COLUMNS`, then `length_controlled_winrate_NAME` of further length controls and `PLACES`
    (tier, rank_low, rank_high), best model first by `headline`. `estimates` and `lc_estimates` (by length control, then
    model) hold fractions; the table holds percent. `counts` says what stands beside the numbers: rows left out, empty
    and cut-off outputs, and what the two orders did (see `Orders`). `panel_hash` names the set of models that `joint`
    was fitted on: length-controlled win rates of two panels must not be compared.
    """

    annotator: str
    baseline: str
    level: float
    headline: str
    table: pd.DataFrame
    breakdown: pd.DataFrame
    estimates: Mapping[str, Estimate]
    lc_estimates: Mapping[str, Mapping[str, Estimate]]
    slope: Slope | None
    panel_size: int
    panel_hash: str
    counts: Mapping[str, int | float | None]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def length_worth(self) -> dict[str, float]:
        """What length is worth to each model, in points: win rate − length-controlled, by the first definition."""
        led = next(iter(self.lc_estimates.values()), {})
        return {m: 100 * (self.estimates[m].value - e.value) for m, e in led.items() if m != self.baseline}

    def to_json(self) -> dict[str, Any]:
        """The board as plain JSON values; a number that does not exist is null."""
        slope = None if self.slope is None else {k: plain(v) for k, v in vars(self.slope).items()}
        return {
            "annotator": self.annotator,
            "baseline": self.baseline,
            "level": self.level,
            "headline": self.headline,
            "models": records(self.table),
            "breakdown": records(self.breakdown),
            "length_slope": slope,
            "length_worth": {m: plain(worth) for m, worth in self.length_worth.items()},
            "panel_size": self.panel_size,
            "panel_hash": self.panel_hash,
            "counts": {k: plain(v) for k, v in self.counts.items()},
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }


def boards(
    verdicts: Verdicts,
    *,
    baseline: str | None = None,
    length_control: Sequence[str] = ("joint",),
    lc_data: Path | None = None,
    level: float = 0.95,
    allow_mixed: bool = False,
    panel: Verdicts | None = None,
    flip_rate: float | None = None,
) -> list[Board]:
    """One board for each annotator.

    `length_control` names definitions from `LENGTH_CONTROLS`; the first fills `length_controlled_winrate`, others get a
    column of their own; empty or "none" means none. `lc_data` is the folder of AlpacaEval's two files for
    `alpaca-eval-2`. `panel` has the same judge's verdicts on other models, which `joint` is fitted with; they are
    on no board, and an annotator that cannot use them has a warning, where others can. An annotator that mixes two
    judges has a board without models that says so, where there are others. `flip_rate` is the share of verdicts flipped
    by chance, which is undone in the win rates; no length control has it.
    Raises `InputError` for anything that would make a number mean something else than its name.
    """
    controls = [name for name in dict.fromkeys(length_control) if name != "none"]
    for name in controls:
        if name not in LENGTH_CONTROLS:
            raise InputError(f"unknown length control {name!r}; choose from {', '.join(LENGTH_CONTROLS)} or none")
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1, not {level}; 0.95 is usual")
    reference = find_baseline(verdicts, baseline)
    judged = each_or_else(
        verdicts.by_annotator(),
        lambda name, part: units_of(part, name, reference, allow_mixed=allow_mixed),
        lambda name, _, why: _unranked(name, reference, level, why),
    )
    _require_met(verdicts.table, reference)
    published = alpaca_eval.load_data(lc_data) if "alpaca-eval-2" in controls else None
    raised = guard.flags_of(verdicts)
    units = [u for u in judged if isinstance(u, Units)]
    beside: list[Panel] = [(None, [])] * len(units)
    if panel is not None:
        beside = panels(verdicts, panel, units, allow_mixed=allow_mixed)

    def controlled(u: Units, panel: Panel) -> Board:
        board = _board(u, raised, controls, published, level=level, aside=panel[0], flip_rate=flip_rate)
        return replace(board, warnings=(*board.warnings, *panel[1]))

    ranked = each_or_else(
        ((u.annotator, (u, panel)) for u, panel in zip(units, beside, strict=True)),
        lambda _, one: controlled(*one),
        lambda name, one, why: warned(
            _board(one[0], raised, [], None, level=level, flip_rate=flip_rate), f"no length control for {name}: {why}"
        ),
    )
    in_order = iter(ranked)
    made = [board if isinstance(board, Board) else next(in_order) for board in judged]
    first, *others = [replace(b, warnings=told_apart(b.annotator, b.warnings, len(made))) for b in made]
    for line in unnamed({*(m for board in ranked for m in board.estimates), reference}):
        first = warned(first, line)
    return [first, *others]


def _unranked(annotator: str, baseline: str, level: float, why: str) -> Board:
    """A board without models, and why that is so."""
    return Board(
        annotator=annotator,
        baseline=baseline,
        level=level,
        headline="win_rate",
        table=pd.DataFrame(columns=[*COLUMNS, *PLACES]),
        breakdown=breakdown(pd.DataFrame(), level),
        estimates={},
        lc_estimates={},
        slope=None,
        panel_size=0,
        panel_hash="",
        counts={},
        warnings=(f"{annotator} is not ranked: {why}",),
        notes=(),
    )


def _require_met(data: pd.DataFrame, baseline: str) -> None:
    """Raise `InputError` for a model that was never compared with the baseline: it would vanish from the board."""
    first, second = data["generator_1"], data["generator_2"]
    met = {*pd.unique(second[first == baseline]), *pd.unique(first[second == baseline])}
    lost = sorted({*pd.unique(first), *pd.unique(second)} - met - {baseline}, key=str)
    if lost:
        raise InputError(
            f"{named([*map(str, lost)])} was never compared with the baseline {baseline}; "
            "annotate those pairs, or rank all models together by --rank bradley-terry"
        )


def _board(
    units: Units,
    raised: Mapping[str, tuple[Flag, ...]],
    controls: Sequence[str],
    published: alpaca_eval.LengthControlData | None,
    *,
    level: float,
    aside: pd.DataFrame | None = None,
    flip_rate: float | None = None,
) -> Board:
    baseline, table = units.baseline, units.table
    estimates, corrected = unflipped(win_rates(table), flip_rate)
    warnings, notes = remarks(units, estimates, raised)
    panel = sorted(m for m in estimates if m != baseline and estimates[m].n_clusters)
    flagged = {m for m, flags in raised.items() if any(flag in guard.MEANINGS for flag in flags)}
    equal = equal_length(
        table, baseline, estimates, controls, published=published, level=level, aside=aside, flagged=flagged
    )
    fitted = panel if aside is None else sorted({*panel, *aside["model"].astype(str)})
    if baseline in estimates:
        clusters = estimates[baseline].clusters
        for by_model in (estimates, *equal.estimates.values()):
            if by_model:
                by_model[baseline] = Estimate(0.5, np.zeros(len(clusters)), clusters, bounds=(0.5, 0.5))
    first = equal.estimates[controls[0]] if controls else {}
    leads = bool(first) and (controls[0] != "joint" or len(fitted) >= SMALL_PANEL)
    headline = "length_controlled_winrate" if leads else "win_rate"
    usable = [e for m, e in estimates.items() if m != baseline and e.n_clusters > 1]
    planned = power(usable, level=level) if len(usable) > 1 else None
    told = planned is not None and planned.detectable > 0 and planned.have >= ENOUGH
    lines = best_first(board_table(units, estimates, equal.estimates, raised, level), headline)
    ranked = [str(model) for model in lines["model"] if model != baseline]
    return Board(
        annotator=units.annotator,
        baseline=baseline,
        level=level,
        headline=headline,
        table=tiered(lines, first if leads else estimates, level),
        breakdown=breakdown(table.iloc[:0] if flip_rate else table, level, ranked),
        estimates=estimates,
        lc_estimates=equal.estimates,
        slope=equal.slope,
        panel_size=len(fitted),
        panel_hash=hashlib.sha256("\n".join([baseline, *fitted]).encode()).hexdigest()[:12],
        counts=_counts(units),
        warnings=(*warnings, *equal.warnings, *barely_met({m: estimates[m] for m in panel})),
        notes=(
            *corrected,
            *notes,
            *equal.notes,
            *([f"by win rate, {planned}"] if told else []),
        ),
    )


def _counts(units: Units) -> dict[str, int | float | None]:
    """What stands beside a board's numbers."""
    return {
        "n_left_out": units.left_out,
        "n_empty_outputs": units.empty_outputs,
        "n_cut_off_outputs": units.cut_off_outputs,
        "order_reversals": units.orders.reversals,
        "order_tie_changes": units.orders.tie_changes,
        "n_half_asked": units.orders.half_asked,
        "first_shown": units.first_shown,
    }
