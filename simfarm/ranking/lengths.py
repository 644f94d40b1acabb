"""Win rates at equal length, by each definition that was asked for, and what a reader must know of them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from simfarm.ranking import alpaca_eval
from simfarm.settings import spelled
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.length_control import JointFit, fit_joint
from simfarm.statistics.marginal import SMALL_PANEL
from simfarm.text.words import named, plural

__all__ = ["LENGTH_CONTROLS", "EqualLength", "Slope", "equal_length"]

LENGTH_CONTROLS = ("joint", "alpaca-eval-2")
THIN_SIDE = 0.10
_NO_WIDTH = 1e-6


@dataclass(frozen=True)
class Slope:
    """The panel's length slope on tanh(Δlength / sd): positive where the judge prefers the longer output.

    The interval has the models as its units: with a few models it is wide.
    """

    value: float
    standard_error: float
    low: float
    high: float
    spread: float
    n_models: int


@dataclass(slots=True)
class EqualLength:
    """Win rates (fractions) by length control, then model; the slope of `joint`, and what stands beside them."""

    estimates: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    slope: Slope | None = None
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def equal_length(
    table: pd.DataFrame,
    baseline: str,
    raw: Mapping[str, Estimate],
    controls: Sequence[str],
    *,
    published: alpaca_eval.LengthControlData | None,
    level: float,
    aside: pd.DataFrame | None = None,
    flagged: Collection[str] = (),
) -> EqualLength:
    """The rates of all models of `Units.table` but the baseline under each of `controls`; `raw` are their win rates.

    `published` is what `alpaca-eval-2` needs; `aside` has the models of a panel (`panel_table`), which `joint` is
    fitted with. Where there is nothing to control, no model has a rate and a warning says why; nor has any under
    `joint` where all but one of the fitted are flagged or missing, and a note says what helps. Raises `InputError` as
    the definitions do.
    """
    equal = EqualLength({name: {} for name in controls})
    panel = [m for m in raw if m != baseline and raw[m].n_clusters]
    cells = _cells(table, panel) if controls else pd.DataFrame()
    if controls and cells.empty:
        equal.warnings.append(f"no length-controlled win rate: {_why_no_cells(table, baseline)}")
        return equal
    for name in controls:
        if name == "joint":
            fitted = cells if aside is None else pd.concat([cells, _cells(aside, list(aside["model"].unique()))])
            alone = _alone(fitted, flagged)
            if alone is not None:
                equal.notes.append(_what_helps(alone, table))
                continue
            rates, joint = _joint(fitted, raw, flagged)
            equal.estimates[name] = {model: rate for model, rate in rates.items() if model in raw}
            if aside is not None:
                equal.notes.append(_held_with(sorted(map(str, aside["model"].unique()))))
            if joint is not None:
                equal.slope = _slope(joint, level)
                warnings, notes = _joint_lines(joint, equal.slope)
                equal.warnings += warnings
                equal.notes += notes
        else:
            assert published is not None
            equal.estimates[name] = _alpaca_eval(cells, raw, published)
    return equal


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


def _alone(cells: pd.DataFrame, flagged: Collection[str]) -> str | None:
    """The one model that length would be held equal by, where it is one: its slope is not identified."""
    finite = [str(m) for m, part in cells.groupby("model", observed=True) if not _extreme(part["p"].to_numpy())]
    honest = [m for m in finite if m not in flagged]
    return honest[0] if len(honest) == 1 else finite[0] if len(finite) == 1 else None


def _what_helps(model: str, table: pd.DataFrame) -> str:
    line = (
        f"no length-controlled win rate: the verdicts on {model} alone do not tell what length is worth; add "
        f"{spelled('panel', 'FILE')}, the same judge's verdicts on other models and these instructions"
    )
    if alpaca_eval.recognised(table):
        line += (
            f", or {spelled('length_control', 'alpaca-eval-2')} ({spelled('lc_data', 'DIR')}): they are AlpacaEval's"
        )
    return line


def _held_with(models: Sequence[str]) -> str:
    return f"length is held equal with {plural(len(models), 'model')} of the panel, not on this board: {named(models)}"


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
    cells: pd.DataFrame, raw: Mapping[str, Estimate], apart: Collection[str]
) -> tuple[dict[str, Estimate], JointFit | None]:
    """(the rates of `joint`, its fit; None where every model won or lost everything).

    A model that stands `apart`, because its outputs may be written to fool the judge, would move everybody's rate: the
    panel is fitted without it, and its own rate is that of a fit of the panel with it. Where all are such models, they
    are the panel.
    """
    p = cells.pivot(index="cluster", columns="model", values="p")
    extreme = [m for m in p.columns if _extreme(p[m].dropna().to_numpy())]
    estimates = {str(m): raw[m] for m in extreme if m in raw}
    p = p.drop(columns=extreme)
    if p.empty or not len(p.columns):
        return estimates, None
    delta = cells.pivot(index="cluster", columns="model", values="delta")
    clean = [m for m in p.columns if m not in apart]
    panel = clean if clean else list(p.columns)
    joint = _fitted(p, delta, panel, panel, estimates)
    n_terms = len(joint.estimates[0].shared)
    for model in p.columns.difference(panel):
        own = _fitted(p, delta, [*panel, model], [model], estimates).estimates[-1].shared
        # its priors are another fit's: no term of them is one of the panel's, or of the next one's
        estimates[str(model)] = replace(estimates[str(model)], shared=np.concatenate([np.zeros(n_terms), own]))
        n_terms += len(own)
    return {m: replace(e, plain=raw[m]) if m in raw and e.bounds is None else e for m, e in estimates.items()}, joint


def _fitted(
    p: pd.DataFrame, delta: pd.DataFrame, panel: Sequence[str], kept: Sequence[str], into: dict[str, Estimate]
) -> JointFit:
    """The fit of the models `panel`; the rates of those `kept` go `into`."""
    p = p[list(panel)].dropna(how="all")
    joint = fit_joint(p.to_numpy(), delta.loc[p.index, list(panel)].to_numpy())
    clusters = p.index.to_numpy(dtype=np.int64)
    for model, estimate in zip(panel, joint.estimates, strict=True):
        if model in kept:
            into[str(model)] = replace(estimate, clusters=clusters)
    return joint


def _alpaca_eval(
    cells: pd.DataFrame, raw: Mapping[str, Estimate], published: alpaca_eval.LengthControlData
) -> dict[str, Estimate]:
    cells = cells.assign(position=alpaca_eval.positions(cells))
    estimates = {}
    for model, part in cells.groupby("model", observed=True):
        p = part["p"].to_numpy()
        if _extreme(p):
            estimates[str(model)] = raw[str(model)]
            continue
        position, cluster = part["position"].to_numpy(), part["cluster"].to_numpy()
        fitted = alpaca_eval.fit(p, -part["delta"].to_numpy(), position, cluster, published)
        estimates[str(model)] = replace(fitted, plain=raw[str(model)])
    return estimates


def _joint_lines(joint: JointFit, slope: Slope | None) -> tuple[list[str], list[str]]:
    """(warnings, notes) about what the fit rests on."""
    warnings, notes = [], []
    if not joint.converged:
        warnings.append("the length-controlled fit did not converge: take the win rates, or judge more instructions")
    if joint.thin_side < THIN_SIDE:
        warnings.append(
            f"only {100 * joint.thin_side:.1f} % of the length differences lie on one side of zero: "
            "the length-controlled win rate is an extrapolation"
        )
    if slope is not None and slope.n_models < SMALL_PANEL:
        notes.append(f"length slope estimated from {plural(slope.n_models, 'model')}; its interval is approximate")
    if slope is None and joint.slopes.any():
        notes.append("length slope: too few instructions, or verdicts too much alike, to estimate")
    return warnings, notes


def _slope(joint: JointFit, level: float) -> Slope | None:
    """The pooled slope for readers; None where two instructions, verdicts all alike, or no two lengths say nothing of
    it: no interval of two holds the truth, and where nothing varies an interval has no width."""
    low, high = joint.pooled.interval(level)
    error = joint.pooled.standard_error
    few = max(e.n_clusters for e in joint.estimates) < 3
    if few or not (math.isfinite(error) and joint.slopes.any()) or high - low < _NO_WIDTH:
        return None
    return Slope(joint.pooled.value, error, low, high, joint.spread_slope, len(joint.slopes))
