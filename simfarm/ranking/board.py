"""The leaderboard: verdicts in, one board per annotator out, every headline number with its interval."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from simfarm.data.frames import Verdicts
from simfarm.data.inspection import Flag
from simfarm.errors import InputError
from simfarm.ranking import alpaca_eval
from simfarm.ranking.each import each_or_else, warned
from simfarm.ranking.guard.watch import flags_of
from simfarm.ranking.remarks import UNCHECKED, remarks, unnamed
from simfarm.ranking.table import COLUMNS, best_first, board_table, plain, records, tiered
from simfarm.ranking.units import Units, find_baseline, units_of
from simfarm.ranking.winrate import breakdown, win_rates
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.length_control import SMALL_PANEL, JointFit, fit_joint
from simfarm.statistics.tiers import power
from simfarm.text.words import plural

__all__ = ["COLUMNS", "LENGTH_CONTROLS", "UNCHECKED", "Board", "Slope", "boards", "paired_difference"]

LENGTH_CONTROLS = ("joint", "alpaca-eval-2")
THIN_SIDE = 0.10


@dataclass(frozen=True)
class Slope:
    """The panel's length slope on tanh(Δlength / sd): positive where the judge prefers the longer output.

    Below 20 models, and with soft preferences, the interval is approximate: `JointFit` says how often it covers.
    """

    value: float
    standard_error: float
    low: float
    high: float
    spread: float
    n_models: int


@dataclass(frozen=True)
class Board:
    """What one annotator says about every model against one baseline.

    `table` has the columns `COLUMNS`, then `length_controlled_winrate_NAME` of further length controls and `tier`, best
    model first by `headline`. `estimates` and `lc_estimates` (by length control, then model) hold fractions; the table
    holds percent. `counts` says what stands beside the numbers: rows left out, empty and cut-off outputs, and
    what the two orders did (see `Orders`). `panel_hash` names the set of models that `joint` was fitted on:
    length-controlled win rates of two panels must not be compared.
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
) -> list[Board]:
    """One board for each annotator.

    `length_control` names definitions from `LENGTH_CONTROLS`; the first fills `length_controlled_winrate`, others get a
    column of their own; empty or "none" means none. `lc_data` is the folder of AlpacaEval's two files for
    `alpaca-eval-2`. An annotator that mixes two judges has a board without models that says so, where there are others.
    Raises `InputError` for anything that would make a number mean something else than its name.
    """
    controls = [name for name in dict.fromkeys(length_control) if name != "none"]
    for name in controls:
        if name not in LENGTH_CONTROLS:
            raise InputError(f"unknown length control {name!r}; choose from {', '.join(LENGTH_CONTROLS)} or none")
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1, not {level}; 0.95 is usual")
    reference = find_baseline(verdicts, baseline)
    found = each_or_else(
        verdicts.by_annotator(),
        lambda name, part: units_of(part, name, reference, allow_mixed=allow_mixed),
        lambda name, _, why: _unranked(name, reference, level, why),
    )
    _require_met(verdicts.table, reference)
    published = alpaca_eval.load_data(lc_data) if "alpaca-eval-2" in controls else None
    raised = flags_of(verdicts)
    ranked = each_or_else(
        ((u.annotator, u) for u in found if isinstance(u, Units)),
        lambda _, u: _board(u, raised, controls, published, level),
        lambda name, u, why: warned(_board(u, raised, [], None, level), f"no length control for {name}: {why}"),
    )
    in_order = iter(ranked)
    first, *others = [board if isinstance(board, Board) else next(in_order) for board in found]
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
        table=pd.DataFrame(columns=[*COLUMNS, "tier"]),
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
            f"{', '.join(map(str, lost[:4]))} was never compared with the baseline {baseline}; "
            "annotate those pairs, or rank all models together by --rank bradley-terry"
        )


def paired_difference(board: Board, a: str, b: str, *, length_control: str | None = None) -> Estimate:
    """How much more `a` wins than `b` on the same instructions, as a fraction, with `interval` and `p_value`.

    On raw win rates, or on the named length control. The baseline stands at one half against itself, exactly.
    """
    known = dict(board.estimates if length_control is None else board.lc_estimates.get(length_control, {}))
    for name, other in ((a, b), (b, a)):
        if name == board.baseline and other in known:
            clusters = known[other].clusters
            known.setdefault(name, Estimate(0.5, np.zeros(len(clusters)), clusters))
    for name in (a, b):
        if name not in known:
            names = ", ".join(sorted({*known, board.baseline}))
            raise InputError(f"no estimate of {name!r} on this board; it has {names}")
    left, right = known[a], known[b]
    shared, at, of = np.intersect1d(left.clusters, right.clusters, return_indices=True)
    if len(shared) < 2:
        raise InputError(
            f"{a} and {b} share {plural(len(shared), 'instruction')}; a paired difference needs at least two"
        )
    if length_control is not None:
        return left - right
    paired = (left.value + left.influence[at]) - (right.value + right.influence[of])
    return Estimate(float(paired.mean()), paired - paired.mean(), shared, rate=False)


def _board(
    units: Units,
    raised: Mapping[str, tuple[Flag, ...]],
    controls: Sequence[str],
    published: alpaca_eval.LengthControlData | None,
    level: float,
) -> Board:
    table = units.table
    estimates = win_rates(table)
    warnings, notes = remarks(units, estimates, raised)
    panel = sorted(m for m in estimates if m != units.baseline and estimates[m].n_clusters)
    panel_hash = hashlib.sha256("\n".join([units.baseline, *panel]).encode()).hexdigest()[:12]
    slope: Slope | None = None
    lc_estimates: dict[str, dict[str, Estimate]] = {}
    cells = _cells(table, panel) if controls else pd.DataFrame()
    if controls and cells.empty:
        warnings.append(f"no length-controlled win rate: {_why_no_cells(table, units.baseline)}")
    for name in controls:
        found: dict[str, Estimate] = {}
        if name == "joint" and not cells.empty:
            found, joint = _joint(cells, estimates, warnings)
            slope = None if joint is None else _slope(joint, level)
            if joint is not None and slope is not None and slope.n_models < SMALL_PANEL:
                notes.append(
                    f"length slope estimated from {plural(slope.n_models, 'model')}; its interval is approximate"
                )
        elif not cells.empty:
            assert published is not None
            found = _alpaca_eval(cells, estimates, published)
        lc_estimates[name] = found
    if units.baseline in estimates:
        half = Estimate(0.5, np.zeros_like(estimates[units.baseline].influence), estimates[units.baseline].clusters)
        estimates[units.baseline] = half
        for found in lc_estimates.values():
            found[units.baseline] = half
    leads = bool(controls) and bool(lc_estimates[controls[0]]) and (controls[0] != "joint" or len(panel) >= SMALL_PANEL)
    headline = "length_controlled_winrate" if leads else "win_rate"
    leading = lc_estimates[controls[0]] if leads else estimates
    usable = [e for m, e in estimates.items() if m != units.baseline and e.n_clusters > 1]
    if len(usable) > 1 and (planned := power(usable, level=level)).detectable > 0:
        notes.append(f"by win rate, {planned}")
    return Board(
        annotator=units.annotator,
        baseline=units.baseline,
        level=level,
        headline=headline,
        table=tiered(best_first(board_table(units, estimates, lc_estimates, raised, level), headline), leading, level),
        breakdown=breakdown(table[table["model"] != units.baseline], level),
        estimates=estimates,
        lc_estimates=lc_estimates,
        slope=slope,
        panel_size=len(panel),
        panel_hash=panel_hash,
        counts={
            "n_left_out": units.left_out,
            "n_empty_outputs": units.empty_outputs,
            "n_cut_off_outputs": units.cut_off_outputs,
            "order_reversals": units.orders.reversals,
            "order_tie_changes": units.orders.tie_changes,
            "n_half_asked": units.orders.half_asked,
            "first_shown": units.first_shown,
        },
        warnings=tuple(warnings),
        notes=tuple(notes),
    )


def _cells(table: pd.DataFrame, panel: Sequence[str]) -> pd.DataFrame:
    """One row per (model, cluster) with a verdict and both lengths: mean p, mean delta, first of the rest."""
    known = table[table["model"].isin(panel) & table["p"].notna()]
    rest = {c: "first" for c in ("instruction_sha256", "instruction_id", "dataset") if c in known}
    known = known.assign(delta=known["length"] - known["length_baseline"]).dropna(subset=["delta"])
    known = known[["model", "cluster", "p", "delta", *rest]]
    if not known.duplicated(["model", "cluster"]).any():
        return known.sort_values(["model", "cluster"], ignore_index=True)
    return (
        known.groupby(["model", "cluster"], sort=True, observed=True)
        .agg({"p": "mean", "delta": "mean", **rest})
        .reset_index()
    )


def _extreme(p: Array) -> bool:
    """All lost or all won: no finite effect exists, and equal length could not change the win rate."""
    return bool((p == 0).all() or (p == 1).all())


def _why_no_cells(table: pd.DataFrame, baseline: str) -> str:
    """Why nothing is left to control: no model, no verdict, or no lengths."""
    others = table[table["model"] != baseline]
    if others.empty:
        return f"there is no model but the baseline {baseline}"
    if others["p"].isna().all():
        return "no comparison has a verdict"
    return "the rows have neither outputs nor length_1 and length_2"


def _joint(
    cells: pd.DataFrame, raw: Mapping[str, Estimate], warnings: list[str]
) -> tuple[dict[str, Estimate], JointFit | None]:
    p = cells.pivot(index="cluster", columns="model", values="p")
    extreme = [m for m in p.columns if _extreme(p[m].dropna().to_numpy())]
    found = {str(m): raw[m] for m in extreme}
    p = p.drop(columns=extreme).dropna(how="all")
    if p.empty:
        return found, None
    delta = cells.pivot(index="cluster", columns="model", values="delta").reindex_like(p)
    joint = fit_joint(p.to_numpy(), delta.to_numpy())
    if joint.thin_side < THIN_SIDE:
        warnings.append(
            f"only {100 * joint.thin_side:.1f} % of the length differences lie on one side of zero: "
            "the length-controlled win rate is an extrapolation"
        )
    clusters = p.index.to_numpy(dtype=np.int64)
    for model, estimate in zip(p.columns, joint.estimates, strict=True):
        found[str(model)] = Estimate(estimate.value, estimate.influence, clusters, shared=estimate.shared)
    return found, joint


def _alpaca_eval(
    cells: pd.DataFrame, raw: Mapping[str, Estimate], published: alpaca_eval.LengthControlData
) -> dict[str, Estimate]:
    cells = cells.assign(position=alpaca_eval.positions(cells))
    found = {}
    for model, part in cells.groupby("model", observed=True):
        p = part["p"].to_numpy()
        if _extreme(p):
            found[str(model)] = raw[str(model)]
            continue
        position, cluster = part["position"].to_numpy(), part["cluster"].to_numpy()
        found[str(model)] = alpaca_eval.fit(p, -part["delta"].to_numpy(), position, cluster, published)
    return found


def _slope(joint: JointFit, level: float) -> Slope | None:
    """The pooled slope for readers; None where one instruction alone, or no two lengths, say nothing of it."""
    low, high = joint.pooled.interval(level)
    error = joint.pooled.standard_error
    if not (math.isfinite(error) and joint.slopes.any()):
        return None
    return Slope(joint.pooled.value, error, low, high, joint.spread_slope, len(joint.slopes))
