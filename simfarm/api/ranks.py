"""The verbs that rank, as functions: verdicts in (or outputs, which are judged first), boards and tables out.

As in `api`, they do what the command line does, with the same names, defaults and refusals.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfarm.api.asking import annotated, asking_options, opened_session
from simfarm.api.calls import nearest_named, warn
from simfarm.data.inputs import read_for_evaluation
from simfarm.data.sources import Source, Sources, called, opened
from simfarm.errors import InputError
from simfarm.runs.options import JudgeOptions, RunOptions, by_name

if TYPE_CHECKING:
    import pandas as pd

    from simfarm.backends.base import Backend
    from simfarm.data.frames import Verdicts
    from simfarm.judges import Judge
    from simfarm.ranking import Board, Rejudged
    from simfarm.report.evaluation import Ranking

__all__ = ["compare", "evaluate", "leaderboards", "rejudge"]


@nearest_named
def leaderboards(
    inputs: Sources,
    *,
    baseline: Source | None = None,
    length_control: str | Sequence[str] | None = None,
    lc_data: str | os.PathLike[str] | None = None,
    level: float = 0.95,
    mix_judges: bool = False,
    judge: str | Path | Judge | None = None,
    model: str | Backend | None = None,
    base_url: str | None = None,
    engine_args: Mapping[str, Any] | None = None,
    order: str | None = None,
    repeats: int = 1,
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    effort: str | None = None,
    limit: int | None = None,
    allow_missing: bool = False,
    concurrency: int | None = None,
    rpm: float | None = None,
    tpm: float | None = None,
    timeout: float | None = None,
    budget: float | None = None,
    price: tuple[float, float] | None = None,
    store: str | os.PathLike[str] | None = None,
    retry_unparseable: bool = False,
) -> list[Board]:
    """One board for each annotator: its table, estimates, warnings and breakdowns.

    `inputs` are annotations, or anything that `annotate` takes: then it annotates first, with the options as there.
    `length_control` is `joint` (the default), `alpaca-eval-2` (`lc_data`: the folder of its two files), several of
    them, or `none`; `mix_judges` accepts two judge hashes under one annotator. Raises `InputError` for bad input, and
    for options of `annotate` where the verdicts are given already; what cannot be ranked is refused before the judge is
    asked.
    """
    from simfarm.report.evaluation import Ranking

    asking = asking_options(locals())
    ranking = Ranking.of(length_control, lc_data, level, mix_judges, rank="win-rate")
    boards = ranking.boards(
        *_verdicts(inputs, baseline, None, ranking, asking, limit=limit, allow_missing=allow_missing)[:2]
    )
    _warn_of(boards)
    return boards


def _verdicts(
    inputs: Sources,
    baseline: Source | None,
    human: Source | None,
    ranking: Ranking,
    asking: tuple[JudgeOptions, RunOptions],
    *,
    limit: int | None,
    allow_missing: bool,
) -> tuple[Verdicts, str | None, Verdicts | None]:
    """(verdicts, the baseline's name, human labels), where `inputs` hold outputs of a judge that is asked now."""
    from simfarm.data.frames import frame_verdicts
    from simfarm.ranking import inspection
    from simfarm.report.evaluation import annotations_in
    from simfarm.settings import refuse_asking

    with opened(inputs, baseline, human) as (sources, (base, people)):
        labels = None if people is None else annotations_in([people])[0]
        read = read_for_evaluation(sources, base, inspection(ranking.control))
        if read is not None:
            given = by_name(asking[0]) | by_name(asking[1]) | {"limit": limit, "allow_missing": allow_missing}
            refuse_asking(given, called(sources[0], 1, "the input"))
            return *read, labels
        session, pairs = opened_session(sources, base, limit, allow_missing, asking)
        ranking.rehearse(session, pairs, labels, {"human": human})
        looked = inspection(ranking.control)
        return frame_verdicts(annotated(session, pairs), "annotations", looked), None, labels


def _warn_of(boards: Sequence[Board]) -> None:
    """Each board's warnings, and the confession of a judge that reads no meaning."""
    from simfarm.judges.rules import banner, rule_of

    for board in boards:
        hashes = board.table["judge_hash"].dropna().astype(str).unique()
        rules = {rule_of(board.annotator, judge_hash) for judge_hash in hashes} - {None}
        for line in (*(banner(str(rule)) for rule in sorted(map(str, rules))), *board.warnings):
            warn(line)


@nearest_named
def evaluate(
    inputs: Sources,
    *,
    baseline: Source | None = None,
    rank: str | None = None,
    control: str | None = None,
    human: Source | None = None,
    length_control: str | Sequence[str] | None = None,
    lc_data: str | os.PathLike[str] | None = None,
    level: float = 0.95,
    mix_judges: bool = False,
    judge: str | Path | Judge | None = None,
    model: str | Backend | None = None,
    base_url: str | None = None,
    engine_args: Mapping[str, Any] | None = None,
    order: str | None = None,
    repeats: int = 1,
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    effort: str | None = None,
    limit: int | None = None,
    allow_missing: bool = False,
    concurrency: int | None = None,
    rpm: float | None = None,
    tpm: float | None = None,
    timeout: float | None = None,
    budget: float | None = None,
    price: tuple[float, float] | None = None,
    store: str | os.PathLike[str] | None = None,
    retry_unparseable: bool = False,
) -> pd.DataFrame:
    """The leaderboard as a DataFrame, all annotators' one below the other; the columns are those of `-o board.csv`.

    `rank` is `win-rate` (over the baseline), `bradley-terry` or `lottery`, by default the first where there is a
    baseline and the second where there is none. `control` names features of style to hold equal (`length,markdown`),
    `human` labels of some of the comparisons: their rates are columns of their own. The rest is as in `leaderboards`.
    """
    import pandas as pd

    from simfarm.report.evaluation import Ranking
    from simfarm.report.ratings import ratings_sheet, with_rates

    asking = asking_options(locals())
    ranking = Ranking.of(length_control, lc_data, level, mix_judges, rank=rank, control=control, human=human)
    verdicts, name, labels = _verdicts(
        inputs, baseline, human, ranking, asking, limit=limit, allow_missing=allow_missing
    )
    if ranking.by_rating(verdicts, name, {"human": human, "length_control": length_control, "lc_data": lc_data}):
        found = ranking.rated(verdicts)
        for line in (line for one in found for line in one.warnings):
            warn(line)
        tables = [ratings_sheet(one).table for one in found]
        return pd.concat([table for table in tables if not table.empty] or tables, ignore_index=True)
    boards, styles, people = ranking.extras(verdicts, ranking.boards(verdicts, name), labels)
    _warn_of(boards)
    for one in (one for found in people if found for one in found.values()):
        for line in one.warnings:
            warn(line)
    rated = [with_rates(b, style, found or {}) for b, style, found in zip(boards, styles, people, strict=True)]
    return pd.concat([board.table for board in rated], ignore_index=True)


@nearest_named
def compare(
    inputs: Sources,
    a: str,
    b: str,
    *,
    baseline: Source | None = None,
    length_control: str | Sequence[str] | None = None,
    lc_data: str | os.PathLike[str] | None = None,
    level: float = 0.95,
    mix_judges: bool = False,
) -> pd.DataFrame:
    """Is the difference of two models real? One row for each annotator, raw and under each length control.

    `inputs` are annotations, `a` and `b` generators in them (or the baseline). The columns are those of
    `simfarm.ranking.Difference`: the difference in points with its interval, p, and whether it is `real` at `level`.
    Raises `InputError` for bad input.
    """
    import pandas as pd

    from simfarm.ranking import differences
    from simfarm.report.evaluation import Ranking, annotations_in

    ranking = Ranking.of(length_control, lc_data, level, mix_judges)
    with opened(inputs, baseline) as (sources, (base,)):
        boards = ranking.boards(*annotations_in(sources, base))
    found = [difference.to_json() for board in boards if board.estimates for difference in differences(board, a, b)]
    _warn_of(boards)
    return pd.DataFrame(found)


@nearest_named
def rejudge(
    a: Source, b: Source, *, baseline: Source | None = None, level: float = 0.95, mix_judges: bool = False
) -> Rejudged:
    """Does the ranking survive a change of judge? `a` and `b` are annotations by two judges of the same outputs.

    The value has both win rates of every model (`table`), Spearman's correlation, the mean absolute difference and the
    pairs of models that change sides (`flips`), and `to_json()`. Raises `InputError` for bad input.
    """
    from simfarm.report.evaluation import Ranking, rejudged

    ranking = Ranking.of((), level=level, mix_judges=mix_judges)
    with opened([a, b], baseline) as (sources, (base,)):
        if len(sources) != 2:
            raise InputError(f"the two inputs are {len(sources)} files; name two")
        return rejudged(sources[0], sources[1], base, ranking)
