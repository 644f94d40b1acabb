"""A fitted judge as people read it: what it weighs, and how often it is right beside the longer output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from simfarm.errors import InputError
from simfarm.methods.fitting import FittedJudge
from simfarm.ranking.table import plain
from simfarm.report.tables import Part, Sheet
from simfarm.statistics.estimate import Estimate
from simfarm.text.words import plural

__all__ = ["check_judge_path", "fitted_sheet"]


def check_judge_path(path: str) -> None:
    """Raise `InputError` for a file that is no judge's."""
    if Path(path).suffix not in (".yaml", ".yml"):
        raise InputError(f"{path}: a judge's file ends in .yaml; name one")


def fitted_sheet(found: FittedJudge, level: float) -> Sheet:
    """The weights, the cross-validated agreement and what it is beside, all columns, and plain values."""

    def limits(estimate: Estimate, sign: str = "") -> str:
        low, high = (100 * x for x in estimate.interval(level))
        return f"{100 * estimate.value:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f})".replace("-", "−")

    worth = [
        ["agreement with people", limits(found.agreement)],
        ["  the longer output", limits(found.longest)],
        ["  above it", limits(found.gap, "+")],
    ]
    if found.beside_best is not None:
        worth.append([f"  beside {found.best}, the best of the judges", limits(found.beside_best, "+")])
    title = f"a judge fitted on {plural(found.fitted.comparisons, 'comparison')} of {found.fitted.name}"
    remarks = ["on instructions whose labels it never saw (10 folds of whole instructions)"]
    parts = [Part(title, ["", f"in percent ({100 * level:g} %)"], worth, remarks)]
    weights = [(name, weight, "judge") for name, weight in found.members.items()]
    weights += [(name, weight, "signal") for name, weight in found.signals.items()]
    shown = [[name, kind, f"{weight:+.3f}".replace("-", "−")] for name, weight, kind in weights if weight]
    said = "a judge's weight is of its vote, a signal's in logits for one scale; what has none is left out"
    parts.append(Part("what it weighs", ["", "of a", "weight"], shown, [said]))
    return Sheet(parts, pd.DataFrame(weights, columns=["name", "weight", "kind"]), _record(found, level))


def _record(found: FittedJudge, level: float) -> dict[str, Any]:
    def figure(estimate: Estimate | None) -> dict[str, Any] | None:
        if estimate is None:
            return None
        low, high = (plain(100 * x) for x in estimate.interval(level))
        return {"value": 100 * estimate.value, "low": low, "high": high}

    return {
        "level": level,
        "comparisons": found.fitted.comparisons,
        "instructions": found.fitted.instructions,
        "agreement": figure(found.agreement),
        "longest": figure(found.longest),
        "above_longest": figure(found.gap),
        "best": found.best,
        "beside_best": figure(found.beside_best),
        "beats_longest": found.beats(level),
        "members": found.members,
        "signals": found.signals,
        "notes": list(found.notes),
    }
