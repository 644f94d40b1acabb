"""From annotation files and ranking options to boards: shared by the verbs that rank."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from simfarm.errors import InputError
from simfarm.inputs import read_for_evaluation

if TYPE_CHECKING:
    import pandas as pd

    from simfarm.ranking import Board

__all__ = ["annotations_in", "boards_of", "ranked"]


def annotations_in(inputs: Sequence[str], baseline: str | None) -> tuple[pd.DataFrame, str | None]:
    """(annotations, the baseline's name where one was given); raises `InputError` for files without verdicts."""
    read = read_for_evaluation(inputs, baseline)
    if read is None:
        raise InputError(f"{inputs[0]}: holds no verdicts (column 'preference'); make them by simfarm annotate")
    return read


def ranked(frame: pd.DataFrame, baseline: str | None, arguments: argparse.Namespace) -> list[Board]:
    """The boards of `frame` under the options that `add_ranking` adds."""
    from simfarm.ranking import leaderboard

    boards = leaderboard(
        frame,
        baseline=baseline,
        length_control=[c for c in arguments.length_control or ["joint"] if c != "none"],
        lc_data=arguments.lc_data,
        level=arguments.level,
        allow_mixed=arguments.mix_judges,
    )
    if all(set(board.table["model"]) <= {board.baseline} for board in boards):
        raise InputError(f"there is no model but the baseline {boards[0].baseline}; annotate another model's outputs")
    if max((e.n_clusters for board in boards for e in board.estimates.values()), default=0) == 1:
        raise InputError("all verdicts are about one instruction; an interval needs at least two, annotate more")
    return boards


def boards_of(arguments: argparse.Namespace) -> list[Board]:
    """The boards of annotation files."""
    return ranked(*annotations_in(arguments.inputs, arguments.baseline), arguments)
