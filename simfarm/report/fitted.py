"""A fitted judge as people read it: what it weighs, and how often it is right beside the longer output."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from simfarm.data.sources import Source
from simfarm.errors import InputError
from simfarm.judges import load_one
from simfarm.methods.fitting import FittedJudge, fitted_judge
from simfarm.methods.weighing import FittedCriteria, fitted_criteria
from simfarm.ranking.table import plain
from simfarm.report.tables import Part, Sheet
from simfarm.report.told import Told
from simfarm.settings import refuse, spelled
from simfarm.statistics.estimate import Estimate
from simfarm.text.words import plural

__all__ = ["check_judge_path", "fitted_to"]


def check_judge_path(path: str) -> None:
    """Raise `InputError` for a file that is no judge's."""
    if Path(path).suffix not in (".yaml", ".yml"):
        raise InputError(f"{path}: a judge's file ends in .yaml; name one")


def fitted_to(
    labels: Source,
    annotations: Sequence[Source],
    *,
    judge: str | os.PathLike[str] | None = None,
    signed: bool = False,
    level: float = 0.95,
    mix_judges: bool = False,
) -> Told[FittedJudge] | Told[FittedCriteria]:
    """A judge fitted to people's labels; where a `judge` is named it is that one, by the weights of its criteria.
    Raises `InputError` for what cannot be read or fitted."""
    if judge is None:
        made = fitted_judge(labels, annotations, signed=signed, mix_judges=mix_judges)
        return Told(made, _fitted_sheet(made, level))
    refuse({"signed": signed}, f"with {spelled('judge')}, whose criteria count for what they say")
    found = fitted_criteria(load_one(os.fspath(judge)), labels, annotations, mix_judges=mix_judges)
    return Told(found, _weighed_sheet(found, level))


def _fitted_sheet(found: FittedJudge, level: float) -> Sheet:
    """The weights, the cross-validated agreement and what it is beside, all columns, and plain values."""

    worth = [
        ["agreement with people", _limits(found.agreement, level)],
        ["  the longer output", _limits(found.longest, level)],
        ["  above it", _limits(found.gap, level, "+")],
    ]
    if found.beside_best is not None:
        worth.append([f"  beside {found.best}, the best of the judges", _limits(found.beside_best, level, "+")])
    title = f"a judge fitted on {plural(found.fitted.comparisons, 'comparison')} of {found.fitted.name}"
    parts = [Part(title, ["", f"in percent ({100 * level:g} %)"], worth, [_UNSEEN])]
    weights = [(name, weight, "judge") for name, weight in found.members.items()]
    weights += [(name, weight, "signal") for name, weight in found.signals.items()]
    shown = [[name, kind, f"{weight:+.3f}".replace("-", "−")] for name, weight, kind in weights if weight]
    said = "a judge's weight is of its vote, a signal's in logits for one scale; what has none is left out"
    parts.append(Part("what it weighs", ["", "of a", "weight"], shown, [said]))
    return Sheet(parts, pd.DataFrame(weights, columns=["name", "weight", "kind"]), _record(found, level))


_UNSEEN = "on instructions whose labels it never saw (10 folds of whole instructions)"


def _weighed_sheet(found: FittedCriteria, level: float) -> Sheet:
    """The weights of a judge's criteria, what they are worth beside equal ones, all columns, and plain values."""
    worth = [
        ["agreement with people", _limits(found.agreement, level)],
        ["  equal weights", _limits(found.equal, level)],
        ["  above them", _limits(found.gap, level, "+")],
        ["  the weights of its file", _limits(found.own, level)],
        ["  the longer output", _limits(found.longest, level)],
    ]
    title = (
        f"weights of {found.judge.name}'s criteria fitted on {plural(found.fitted.comparisons, 'comparison')} of "
        f"{found.fitted.name}"
    )
    remarks = [_UNSEEN, "in the row of equal weights, of the file's and of the longer output nothing is fitted"]
    parts = [Part(title, ["", f"in percent ({100 * level:g} %)"], worth, remarks)]
    own = {criterion.name: criterion.weight for criterion in found.judge.marks}
    rows = [[name, f"{weight:.2f}", f"{own[name]:g}"] for name, weight in found.weights.items()]
    said = "one on average; a criterion that adds nothing to the others has none"
    parts.append(Part("what it weighs", ["", "fitted", "in its file"], rows, [said]))
    table = pd.DataFrame([(n, w, own[n]) for n, w in found.weights.items()], columns=["name", "weight", "own"])
    figures = {n: getattr(found, n) for n in ("agreement", "equal", "own", "longest")} | {"above_equal": found.gap}
    record = {
        "level": level,
        "comparisons": found.fitted.comparisons,
        "instructions": found.fitted.instructions,
        **{name: _figure(estimate, level) for name, estimate in figures.items()},
        "beats_equal": found.beats(level),
        "weights": found.weights,
        "notes": list(found.notes),
    }
    return Sheet(parts, table, record)


def _limits(estimate: Estimate, level: float, sign: str = "") -> str:
    low, high = (100 * x for x in estimate.interval(level))
    return f"{100 * estimate.value:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f})".replace("-", "−")


def _figure(estimate: Estimate | None, level: float) -> dict[str, Any] | None:
    if estimate is None:
        return None
    low, high = (plain(100 * x) for x in estimate.interval(level))
    return {"value": 100 * estimate.value, "low": low, "high": high}


def _record(found: FittedJudge, level: float) -> dict[str, Any]:
    return {
        "level": level,
        "comparisons": found.fitted.comparisons,
        "instructions": found.fitted.instructions,
        "agreement": _figure(found.agreement, level),
        "longest": _figure(found.longest, level),
        "above_longest": _figure(found.gap, level),
        "best": found.best,
        "beside_best": _figure(found.beside_best, level),
        "beats_longest": found.beats(level),
        "members": found.members,
        "signals": found.signals,
        "notes": list(found.notes),
    }
