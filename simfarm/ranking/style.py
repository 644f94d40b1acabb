"""Style and covariates held equal: what the verdicts' rows say of them, and win rates without what they did."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from simfarm.data.frames import Verdicts
from simfarm.data.identity import Codes, comparison_codes, lacking
from simfarm.errors import InputError
from simfarm.ranking.board import Board
from simfarm.ranking.units import averaged
from simfarm.settings import spelled
from simfarm.statistics.estimate import Array
from simfarm.statistics.style import ControlledWinRates, StyleDifferences, controlled_win_rates, style_differences
from simfarm.text.marks import FEATURES, ORDER, control_names, covariate_names

__all__ = ["Calls", "calls_of", "style_of", "style_win_rates"]


@dataclass(frozen=True)
class Calls:
    """The calls behind comparisons: the place of each one's comparison, its p, and its order as in `Matches`."""

    comparison: Codes
    p: Array
    order: Codes


def style_win_rates(verdicts: Verdicts, board: Board, control: str) -> ControlledWinRates:
    """Each model's win rate over the board's baseline (fractions), raw and at equal style, from the
    verdicts of the board.

    Raises `InputError` where a feature needs texts that the rows do not have, and for `order`.
    """
    if ORDER in control_names(control):
        raise InputError(
            f"the control {ORDER!r} needs every call apart, and a win rate is a mean over both orders; "
            f"rank by bradley-terry ({spelled('rank', 'bradley-terry')}), or leave {ORDER!r} out"
        )
    own = verdicts.of(board.annotator).table
    sides = own[["generator_1", "generator_2"]].to_numpy()
    head, p, _ = averaged(own[(sides == board.baseline).sum(axis=1) == 1])
    style = style_of(head, control)
    flipped = (head["generator_2"] == board.baseline).to_numpy()
    names, model = np.unique(
        np.where(flipped, head["generator_1"], head["generator_2"]).astype(str), return_inverse=True
    )
    turned = replace(style, x=np.where(flipped[:, None], -style.x, style.x))
    return controlled_win_rates(
        tuple(str(n) for n in names), model, np.where(flipped, 1 - p, p), head["cluster"].to_numpy(), turned
    )


def style_of(head: pd.DataFrame, control: str) -> StyleDifferences:
    """Style differences of comparisons (rows of `Verdicts.table`), output_2 minus output_1.

    Slim rows have lengths alone. Covariates are there as an `Inspection` that names them left them. Raises
    `InputError` where a feature needs texts that the rows do not have.
    """
    names = tuple(name for name in control_names(control) if name != ORDER)
    own = covariate_names(names)
    if own and f"covariate_{own[0]}_1" not in head:
        raise InputError(f"the verdicts were read without {own[0]!r}; read them with inspection({control!r})")
    counted = [[_column(name, side) for name in names] for side in ("1", "2")]
    if not all(c in head and head[c].notna().all() for side in counted for c in side):
        raise InputError(
            f"--control {control} needs both outputs' texts in every row (length_1 and length_2 for length)"
        )
    first, second = (np.ascontiguousarray(head[side].to_numpy(dtype=float)) for side in counted)
    return style_differences(first, second, names, covariates=own)


def _column(name: str, side: str) -> str:
    if name == "length":
        return f"length_{side}"
    return f"style_{name}_{side}" if name in FEATURES else f"covariate_{name}_{side}"


def calls_of(part: pd.DataFrame, kept: Codes) -> Calls:
    """The calls with a verdict of the comparisons `kept` (numbers of those that `averaged` gives) of one annotator's
    rows (of `Verdicts.table`). Raises `InputError` where none says which output was shown first."""
    place = np.full(len(part), -1)
    place[kept] = np.arange(len(kept))
    comparison = place[comparison_codes(part, lacking(part))]
    p = part["preference"].to_numpy() - 1
    used = (comparison >= 0) & ~np.isnan(p)
    order = (part["order"] == "21").to_numpy().astype(np.int64) - (part["order"] == "12").to_numpy()
    if not order[used].any():
        raise InputError(
            "no verdict says which output was shown first (column 'order', 12 or 21); add the column, or leave "
            f"{ORDER!r} out of the controls"
        )
    return Calls(comparison[used], p[used], order[used])
