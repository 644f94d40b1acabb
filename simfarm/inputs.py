"""What a user names, files or DataFrames, into comparisons to judge or annotations to read.

The one place that decides what a file is (by its columns) and what `--baseline` means (a file, else a generator).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union

from simfarm.errors import InputError
from simfarm.files import Row, read_rows
from simfarm.pairing import pair_with_baseline, split_baseline
from simfarm.records import Comparison, Output, comparisons_from_rows, kind_of_rows, outputs_from_rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Source", "comparisons_for", "is_file", "named_rows", "source_kind"]

Source: TypeAlias = Union[str, "os.PathLike[str]", "pd.DataFrame"]


def named_rows(source: Source, position: int = 1) -> tuple[str, list[Row]]:
    """(name for messages, rows) of a path or a DataFrame."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source), read_rows(source)
    from simfarm.tables import frame_rows

    return f"DataFrame {position}", frame_rows(source)


def is_file(baseline: str) -> bool:
    """Whether `--baseline` names a file (or a hub dataset) and not a generator."""
    return baseline.startswith("hf://") or Path(baseline).is_file() or Path(baseline).suffix in {".json", ".jsonl"}


def _same_file(source: Source, baseline: Source | None) -> bool:
    if not isinstance(source, (str, os.PathLike)) or not isinstance(baseline, (str, os.PathLike)):
        return source is baseline
    return os.path.realpath(source) == os.path.realpath(baseline)


def source_kind(sources: Sequence[tuple[str, list[Row]]]) -> str:
    """The one kind that all files are of; raises `InputError` for a mixture."""
    kinds = {name: kind_of_rows(rows, name) for name, rows in sources}
    if len(set(kinds.values())) > 1:
        told = ", ".join(f"{name} holds {kind}" for name, kind in list(kinds.items())[:4])
        raise InputError(f"the files are of different kinds ({told}); give one kind at a time")
    return next(iter(kinds.values()))


def comparisons_for(
    sources: Sequence[Source],
    baseline: Source | None = None,
    *,
    allow_missing: bool = False,
    limit: int | None = None,
) -> list[Comparison]:
    """The comparisons to judge: of output files each output beside the baseline's, of comparison files their rows.

    Annotation files are read as comparisons (their pairs are judged anew). `limit` keeps the first N instructions.
    Raises `InputError` for anything that does not fit together.
    """
    named = [named_rows(s, i) for i, s in enumerate(sources, 1) if not _same_file(s, baseline)]
    if not named and sources:
        raise InputError("the only output file is the baseline itself; name another model's output file")
    if not named:
        raise InputError("there is no input; name a file of outputs or of comparisons")
    kind = source_kind(named)
    if kind == "outputs":
        pairs = _pair(named, baseline, allow_missing)
    else:
        if baseline is not None:
            raise InputError(f"--baseline goes with output files, but {named[0][0]} already holds pairs; leave it out")
        pairs = [pair for name, rows in named for pair in comparisons_from_rows(rows, name)]
    return pairs if limit is None else _first(pairs, limit)


def _pair(named: list[tuple[str, list[Row]]], baseline: Source | None, allow_missing: bool) -> list[Comparison]:
    outputs: list[Output] = []
    home: dict[str, str] = {}
    for name, rows in named:
        made = outputs_from_rows(rows, name)
        for generator in dict.fromkeys(o.generator for o in made):
            if home.setdefault(generator, name) != name:
                raise InputError(
                    f"{name}: the generator {generator!r} is also in {home[generator]}; give each model its own name"
                )
        outputs += made
    if baseline is None:
        raise InputError(
            f"outputs are compared with a baseline: add --baseline FILE, or the name of one of "
            f"{', '.join(sorted(home)[:6])}"
        )
    if isinstance(baseline, str) and not is_file(baseline):
        base, outputs = split_baseline(outputs, baseline)
    else:
        name, rows = named_rows(baseline)
        if kind_of_rows(rows, name) != "outputs":
            raise InputError(f"{name}: the baseline must be a file of outputs (instruction, output, generator)")
        base = outputs_from_rows(rows, name)
    return pair_with_baseline(outputs, base, allow_missing=allow_missing)


def _first(pairs: list[Comparison], limit: int) -> list[Comparison]:
    wanted: set[str] = set()
    kept = []
    for pair in pairs:
        key = pair.instruction.strip()
        if key in wanted or len(wanted) < limit:
            wanted.add(key)
            kept.append(pair)
    return kept
