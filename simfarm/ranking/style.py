"""Style held equal: which marks of an answer's look the verdicts' texts left, and win rates without what they did."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from simfarm.data.frames import Verdicts
from simfarm.errors import InputError
from simfarm.ranking.board import Board
from simfarm.ranking.units import averaged
from simfarm.statistics.style import ControlledWinRates, StyleDifferences, controlled_win_rates, style_differences
from simfarm.text.marks import control_names

__all__ = ["style_of", "style_win_rates"]


def style_win_rates(verdicts: Verdicts, board: Board, control: str) -> ControlledWinRates:
    """Each model's win rate over the board's baseline (fractions), raw and at equal style, from the
    verdicts of the board.

    Raises `InputError` for an unknown feature, or where a feature needs texts that the rows do not have.
    """
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

    Slim rows have lengths alone. Raises `InputError` where a feature needs texts that the rows do not have.
    """
    names = control_names(control)
    counted = [[f"length_{side}" if n == "length" else f"style_{n}_{side}" for n in names] for side in ("1", "2")]
    if not all(c in head and head[c].notna().all() for side in counted for c in side):
        raise InputError(
            f"--control {control} needs both outputs' texts in every row (length_1 and length_2 for length)"
        )
    first, second = (np.ascontiguousarray(head[side].to_numpy(dtype=float)) for side in counted)
    return style_differences(first, second, names)
