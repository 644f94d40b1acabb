"""Where a verb writes: each target is looked at before anything is read or paid for, and refused where it cannot be."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from simfarm.data.files import check_writable
from simfarm.errors import InputError

__all__ = [
    "PICTURES",
    "check_board_file",
    "missing_plots",
    "refuse_overwriting",
    "rows_and_curve_targets",
    "rows_target",
]

PICTURES = frozenset({".svg", ".png", ".pdf"})
_TABLES = frozenset({".csv", ".json", ".md"})


def rows_target(output: str | None, inputs: Sequence[object]) -> str | None:
    """The file that rows are written to, None for standard output. Raises `InputError` where it cannot be written, or
    is read."""
    if output is None or output == "-":
        return None
    if not output:
        raise InputError("-o is empty; name a file, or - for standard output")
    check_writable(output, inputs)
    return output


def rows_and_curve_targets(output: str | None, curve: str | None, inputs: Sequence[object]) -> str | None:
    """As `rows_target`, where a `curve` is written beside the rows: raises `InputError` also where that cannot be, is
    read, or is the rows' own file."""
    if output == "":
        raise InputError("-o is empty; name a file, or - for standard output")
    if curve:
        check_board_file(curve, drawn=True)
    taken = {
        os.path.realpath(path): f"{path} is read" for path in inputs if isinstance(path, str) and os.path.exists(path)
    }
    rows = None if output == "-" else output
    for option, path in (("-o", rows), ("--curve", curve)):
        if path is None:
            continue
        place = os.path.realpath(path)
        if place in taken:
            raise InputError(f"{option} {path} would write over it: {taken[place]}; name another file")
        taken[place] = f"{path} is where the chosen outputs go"
    if rows:
        check_writable(rows)
    return rows


def refuse_overwriting(output: str, inputs: Sequence[object]) -> None:
    """Raise `InputError` where the target is one of the inputs."""
    place = os.path.realpath(output)
    if any(isinstance(i, str | os.PathLike) and os.path.realpath(i) == place for i in inputs):
        raise InputError(f"{output}: is an input as well, and would be replaced; choose another -o FILE")


def missing_plots() -> str | None:
    """What to do where matplotlib is not installed, None where it is."""
    return None if find_spec("matplotlib") else "pictures need matplotlib: pip install 'simfarm[plots]'"


def check_board_file(path: str | os.PathLike[str], *, drawn: bool = False) -> None:
    """Raise `InputError` for a file of boards or curves that cannot be written, one of what can be `drawn` as a picture
    too."""
    if Path(path).is_dir():
        raise InputError(f"{path}: is a folder; name a file in it")
    suffix = Path(path).suffix
    if suffix not in (_TABLES | PICTURES if drawn else _TABLES):
        pictures = ", as a picture .svg, .png or .pdf" if drawn else ""
        raise InputError(f"{path}: a board is written as .csv, .json or .md{pictures}; choose one of these names")
    if suffix in PICTURES and (missing := missing_plots()):
        raise InputError(f"{path}: {missing}")
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise InputError(f"{path}: the folder {folder} does not exist; make it first")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{path}: cannot be written there; choose another file")
