"""What a user names, files or DataFrames, into comparisons to judge or annotations to read.

The one place that decides what a file is (by its columns) and what `--baseline` means (a file, else a generator).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from simfarm.data.company import pair_all
from simfarm.data.entrance import columns_in, our_rows, rows_in, table_columns
from simfarm.data.files import MANIFEST, Row
from simfarm.data.formats.format import Left
from simfarm.data.joint import joint_rows, pair_jointly
from simfarm.data.pairing import pair_with_baseline, split_baseline
from simfarm.data.rated import rated
from simfarm.data.reading import Columns
from simfarm.data.records import (
    Comparison,
    Instruction,
    Output,
    each_comparison,
    each_output,
    instructions_from_rows,
    kind_of_rows,
)
from simfarm.data.siblings import pair_samples
from simfarm.data.sources import Source, called, frame_of, is_path, same_source, table_rows
from simfarm.data.spool import spooled
from simfarm.errors import InputError
from simfarm.settings import check, refuse, spelled

if TYPE_CHECKING:
    from simfarm.data.frames import Verdicts
    from simfarm.data.inspection import Inspection
    from simfarm.data.scores import Scores

__all__ = [
    "Source",
    "comparisons_for",
    "instructions_for",
    "named_rows",
    "outputs_for",
    "read_for_evaluation",
    "refuse_scores",
    "scores_for",
    "split_outputs",
]


def named_rows(source: Source, position: int = 1, role: str = "table") -> tuple[str, list[Row]]:
    """(name for messages, rows) of a path or a table, which is called by its `role` and `position`."""
    name = called(source, position, role)
    return name, list(_rows(source, name))


def _rows(source: Source, name: str, left: Left | None = None) -> Iterator[Row]:
    return rows_in(source, name, left) if is_path(source) else our_rows(table_rows(source, name), name, left=left)


class _Rows(Iterator[Row]):
    """The rows of a source as they are read; `first` are those that tell what it holds, and come again."""

    def __init__(self, source: Source, position: int = 1, role: str = "table") -> None:
        self.name = called(source, position, role)
        rows = _rows(source, self.name)
        self.first = list(islice(rows, 100))
        self._rows = chain(self.first, rows)

    def __next__(self) -> Row:
        return next(self._rows)


def _is_file(baseline: str) -> bool:
    """Whether `--baseline` names a file (or a hub dataset, or a folder of parts) and not a generator."""
    path = Path(baseline)
    there = path.is_file() or (path / MANIFEST).is_file()
    return baseline.startswith("hf://") or there or path.suffix in {".json", ".jsonl"}


def _kind(sources: Sequence[_Rows]) -> str:
    """The one kind that all files are of; raises `InputError` for a mixture."""
    kinds = {rows.name: kind_of_rows(rows.first, rows.name) for rows in sources}
    if len(set(kinds.values())) > 1:
        listed = ", ".join(f"{name} holds {kind}" for name, kind in list(kinds.items())[:4])
        raise InputError(f"the files are of different kinds ({listed}); give one kind at a time")
    return next(iter(kinds.values()))


def comparisons_for(
    sources: Sequence[Source],
    baseline: Source | None = None,
    *,
    allow_missing: bool = False,
    limit: int | None = None,
    note: Callable[[str], None] | None = None,
    pair: str | None = None,
    score: str | None = None,
    alone: str | None = None,
    or_pairs: bool = False,
    whole: bool = False,
    joint: bool = False,
) -> Sequence[Comparison]:
    """The comparisons to judge: of output files each output beside the baseline's, or the samples of each model that
    `pair` puts together (by the column `score`); of comparison files their rows.

    `alone` names a judge that rates outputs one by one: then each output is a record of its own, beside nothing; with
    `or_pairs` it takes files of comparisons as they are too. `whole` is for a judge that orders all outputs to an
    instruction: without a baseline these are all compared with each other. `joint` is for one that is shown answers to
    two instructions. Annotation files are read as comparisons
    (their pairs are judged anew). `limit` keeps the first N instructions. `note` is told what was left out. Raises
    `InputError` for anything that does not fit together.
    """
    check({"limit": limit, "pair": pair})
    if pair != "best-worst":
        refuse({"score": score}, f"without {spelled('pair', 'best-worst')}")
    named = [_Rows(s, i) for i, s in enumerate(sources, 1) if not same_source(s, baseline)]
    if not named and sources:
        raise InputError("the only output file is the baseline itself; name another model's output file")
    if not named:
        raise InputError("there is no input; name a file of outputs or of comparisons")
    kind = _kind(named)
    if alone is not None and not (or_pairs and kind != "outputs"):
        where = f"with {alone!r}, which rates each output by itself"
        refuse({"baseline": baseline, "allow_missing": allow_missing, "pair": pair}, where)
        if kind != "outputs":
            raise InputError(
                f"{named[0].name}: holds pairs, and {alone!r} rates single outputs; name a file of outputs "
                "(instruction, output, generator)"
            )
        pairs: Iterable[Comparison] = map(rated, _each_of_one_file(named))
    elif kind == "outputs" and pair is not None:
        given = {"baseline": baseline, "allow_missing": allow_missing}
        refuse(given, f"with {spelled('pair', pair)}, which compares a model's own samples")
        pairs = pair_samples(list(_each_of_one_file(named)), pair, score)
    elif kind == "outputs" and joint:
        pairs = _pair_jointly(named, baseline, allow_missing, note)
    elif kind == "outputs" and whole and baseline is None:
        pairs = pair_all(spooled(_each_of_one_file(named)), allow_missing=allow_missing, note=note)
    elif kind == "outputs":
        pairs = _pair(named, baseline, allow_missing, note)
    else:
        where = f"with {named[0].name}, which already holds pairs"
        refuse({"baseline": baseline, "allow_missing": allow_missing, "pair": pair}, where)
        pairs = (pair for rows in named for pair in each_comparison(joint_rows(rows, rows.name), rows.name))
        if kind == "annotations":
            pairs = _once(pairs)
    pairs = pairs if limit is None else _first(pairs, limit)
    return pairs if isinstance(pairs, Sequence) else spooled(pairs)


def scores_for(sources: Sequence[Source], criteria: bool = False, *, texts: bool = False) -> Scores | None:
    """The scores of files or tables that a judge of single outputs has written, with those by criterion where
    `criteria` are asked for and with the outputs where `texts` are; None where the first holds none.
    Raises `InputError` for wrong values, and where others hold something else."""
    from simfarm.data.scores import holds_scores, scores_from_rows

    named = [(called(source, position), source) for position, source in enumerate(sources, 1)]
    # whoever reads them to the end says what is left out
    holds = [holds_scores(list(islice(_rows(source, name, Left(told=True)), 100))) for name, source in named]
    if not any(holds[:1]):
        return None
    if not all(holds):
        other = named[holds.index(False)][0]
        raise InputError(f"{other}: holds no scores, but {named[0][0]} does; give one kind of file at a time")
    return scores_from_rows(((name, _rows(source, name)) for name, source in named), criteria, texts=texts)


def instructions_for(sources: Sequence[Source], limit: int | None = None) -> list[Instruction]:
    """What to ask a model, of files or DataFrames of instructions, chat messages or outputs; the first `limit`.

    Raises `InputError` for anything that cannot be asked, and for an instruction that two files hold.
    """
    if not sources:
        raise InputError("there is no input; name a file of instructions")
    check({"limit": limit})
    asked: list[Instruction] = []
    home: dict[tuple[str, str | None], tuple[int, str]] = {}
    for position, source in enumerate(sources, 1):
        rows = _Rows(source, position)
        name = rows.name
        for one in instructions_from_rows(rows, name):
            first, where = home.setdefault((one.instruction.strip(), one.dataset), (position, name))
            if first != position:
                raise InputError(f"{name}: has an instruction that {where} has too; drop one of them")
            asked.append(one)
    return asked if limit is None else asked[:limit]


def outputs_for(sources: Sequence[Source], limit: int | None = None) -> list[Output]:
    """The outputs of files or tables, of all models, to the first `limit` instructions. Raises `InputError` for files
    of anything else, and for a model that two of them hold."""
    check({"limit": limit})
    named = [_Rows(source, position) for position, source in enumerate(sources, 1)]
    if not named or _kind(named) != "outputs":
        where = named[0].name if named else "there is no input"
        raise InputError(f"{where}: outputs are needed here (instruction, output, generator); name a file of them")
    wanted: dict[str, None] = {}
    kept = []
    for output in _each_of_one_file(named):
        key = output.instruction.strip()
        if key in wanted or limit is None or len(wanted) < limit:
            wanted[key] = None
            kept.append(output)
    return kept


def _pair(
    named: list[_Rows], baseline: Source | None, allow_missing: bool, note: Callable[[str], None] | None
) -> Sequence[Comparison]:
    base, outputs = split_outputs(spooled(_each_of_one_file(named)), baseline)
    return pair_with_baseline(outputs, base, allow_missing=allow_missing, note=note)


def _pair_jointly(
    named: list[_Rows], baseline: Source | None, allow_missing: bool, note: Callable[[str], None] | None
) -> Sequence[Comparison]:
    """The joint comparisons of all files' outputs, or of the baseline's with each other model's."""
    outputs = list(_each_of_one_file(named))
    base: Sequence[Output] = ()
    if baseline is not None:
        base, others = split_outputs(outputs, baseline)
        outputs = [*base, *others]
    return pair_jointly(outputs, base[0].generator if base else None, allow_missing=allow_missing, note=note)


def _each_of_one_file(named: list[_Rows]) -> Iterator[Output]:
    """The outputs of all files; raises `InputError` for a model that two of them hold."""
    home: dict[str, str] = {}
    for rows in named:
        for output in each_output(rows, rows.name):
            if home.setdefault(output.generator, rows.name) != rows.name:
                raise InputError(
                    f"{rows.name}: the generator {output.generator!r} is also in {home[output.generator]}; give each "
                    "model its own name"
                )
            yield output


def split_outputs(outputs: Sequence[Output], baseline: Source | None) -> tuple[Sequence[Output], Sequence[Output]]:
    """(the baseline's outputs, everybody else's); the baseline is a file, a DataFrame or a generator among `outputs`.

    Raises `InputError` where it is none of these.
    """
    if baseline is None:
        names = sorted({o.generator for o in outputs})
        raise InputError(
            f"outputs are compared with a baseline: add {spelled('baseline', 'FILE')}, or the name of one of "
            f"{', '.join(names[:6])}"
        )
    if isinstance(baseline, str) and not _is_file(baseline):
        return split_baseline(outputs, baseline)
    rows = _Rows(baseline, role="baseline table")
    if kind_of_rows(rows.first, rows.name) != "outputs":
        raise InputError(f"{rows.name}: the baseline must be a file of outputs (instruction, output, generator)")
    return spooled(each_output(rows, rows.name)), outputs


def _once(pairs: Iterable[Comparison]) -> Iterator[Comparison]:
    """Each pair of an annotation file once: its rows are calls, two or more to a pair."""
    seen: set[int] = set()
    for p in pairs:
        names = (p.generator_1, p.generator_2, str(p.extra.get("sample")))
        key = hash((p.instruction, p.dataset, p.output_1, p.output_2, *names))
        if key not in seen:
            seen.add(key)
            yield p


def _first(pairs: Iterable[Comparison], limit: int) -> Iterator[Comparison]:
    wanted: set[int] = set()
    for pair in pairs:
        key = hash(pair.instruction.strip())
        if key in wanted or len(wanted) < limit:
            wanted.add(key)
            yield pair


def refuse_scores(sources: Sequence[Source]) -> None:
    """Raise `InputError` for scores of single outputs, where preferences on pairs are needed."""
    from simfarm.data.scores import holds_scores

    for position, source in enumerate(sources, 1):
        name = called(source, position)
        if holds_scores(list(islice(_rows(source, name, Left(told=True)), 100))):
            raise InputError(
                f"{name}: holds scores of single outputs, which evaluate and rejudge take; here verdicts on pairs are "
                "needed, by a judge that compares two (pairwise-letter)"
            )


def read_for_evaluation(
    sources: Sequence[Source], baseline: Source | None = None, inspection: Inspection | None = None
) -> tuple[Verdicts, str | None] | None:
    """(verdicts, the baseline's name if one was given), or None where the sources hold no verdicts.

    A baseline that is a file gives its name, and its outputs' lengths to annotation rows that came without output_1.
    `inspection` sees the texts, which are gone afterwards.
    """
    from simfarm.data.baseline import fill_baseline
    from simfarm.data.frames import read_verdicts

    if not sources:
        raise InputError(f"there is no input; name an annotation file, or output files with {spelled('baseline')}")
    named = (_named_columns(source, position, inspection) for position, source in enumerate(sources, 1))
    with _uncollected():
        verdicts = read_verdicts(named, inspection)
    if verdicts is None:
        return None
    if baseline is None or (isinstance(baseline, str) and not _is_file(baseline)):
        return verdicts, baseline
    rows = _Rows(baseline, role="baseline table")
    return fill_baseline(verdicts, rows, rows.name)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Rows are trees, and go when they are done with: looking for circles among a million of them takes as long again
    as reading them."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def _named_columns(source: Source, position: int, inspection: Inspection | None) -> tuple[str, Iterator[Columns]]:
    """(name for messages, the columns that estimates read) of a path or a table."""
    from simfarm.data.evidence import wanted
    from simfarm.data.frames import frame_columns

    name = called(source, position)
    if not is_path(source):
        frame = frame_of(source, name)
        return name, table_columns(frame, wanted(inspection), name) or frame_columns(frame, name, inspection)
    return name, columns_in(source, wanted(inspection), name)
