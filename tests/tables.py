"""Rows in a DataFrame as the verdicts that estimates take, read as a file of them is, and the boards they give."""

from typing import Any

import pandas as pd

from simfarm.data.frames import Verdicts, frame_verdicts
from simfarm.ranking import Board, boards, inspection


def verdicts_of(rows: pd.DataFrame, control: str | None = None) -> Verdicts:
    return frame_verdicts(rows, "the rows", inspection(control))


def boards_of(rows: pd.DataFrame, **options: Any) -> list[Board]:
    return boards(verdicts_of(rows), **options)
