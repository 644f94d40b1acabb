"""The verbs that rank, as functions: verdicts in (or outputs, which are judged first), boards and tables out.

As in `asking`, they do what the command line does, with the same names, defaults and refusals.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from simfarm.api.asking import annotated, opened_run
from simfarm.api.calls import judging_in, nearest_named, running_in, warn
from simfarm.data.sources import Source, Sources, called, opened
from simfarm.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from simfarm.backends.base import Backend
    from simfarm.judges import Judge
    from simfarm.ranking import Board, Bridged, Ratings, Rejudged
    from simfarm.ranking.scores import ScoreBoard
    from simfarm.report.evaluation import Evaluation

__all__ = ["compare", "evaluate", "evaluation", "rejudge"]


@nearest_named
def evaluate(
    inputs: Sources,
    *,
    baseline: Source | None = None,
    length_control: str | Sequence[str] | None = None,
    lc_data: str | os.PathLike[str] | None = None,
    panel: Source | None = None,
    level: float = 0.95,
    mix_judges: bool = False,
    rank: str | None = None,
    control: str | None = None,
    flip_rate: float | None = None,
    tau: float | None = None,
    human: Source | None = None,
    breakdown: bool = False,
    criteria: str | None = None,
    board: str | None = None,
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
    columns: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """The leaderboard as a DataFrame, all annotators' one below the other; the columns are those of `-o board.csv`.

    It is the `table` of `evaluation`, which says what the options mean, and has the rest.
    """
    return _evaluation(locals()).table


@nearest_named
def evaluation(
    inputs: Sources,
    *,
    baseline: Source | None = None,
    length_control: str | Sequence[str] | None = None,
    lc_data: str | os.PathLike[str] | None = None,
    panel: Source | None = None,
    level: float = 0.95,
    mix_judges: bool = False,
    rank: str | None = None,
    control: str | None = None,
    flip_rate: float | None = None,
    tau: float | None = None,
    human: Source | None = None,
    breakdown: bool = False,
    criteria: str | None = None,
    board: str | None = None,
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
    columns: Mapping[str, str] | None = None,
) -> Evaluation:
    """What every annotator says: boards, rates at equal style and as people would judge, places, warnings.

    `inputs` are annotations, or anything that `annotate` takes: then it annotates first, with the options as there.
    Scores of single outputs, given or asked for (by `rating-5`), are ranked by their means, with a `baseline` (a name)
    or a `rank` by the preferences that they imply.
    `rank` is `win-rate` (over the baseline), `bradley-terry` or `lottery`, by default the first where there is a
    baseline and the second where there is none. `length_control` is `joint` (the default), `alpaca-eval-2` (`lc_data`:
    the folder of its two files; where the instructions are AlpacaEval's it is then the default), several of them, or
    `none`; `panel` are the same judge's verdicts on other models, which `joint` is fitted with; `control` names
    what to hold equal: features of style, `order` (by bradley-terry), and any NAME with a number in columns NAME_1 and
    NAME_2 of every row (`length,markdown,order,latency`); `human` are labels of some of the comparisons; `mix_judges`
    accepts two judge hashes under one annotator; `breakdown` adds rates by dataset or category, `criteria` the scores
    by criterion (`mean`, or `win-rate` over the baseline), `board` the places among a published one's models.

    Raises `InputError` for bad input, and for options of `annotate` where the verdicts are given already; what cannot
    be ranked is refused before the judge is asked.
    """
    return _evaluation(locals())


def _evaluation(given: Mapping[str, Any]) -> Evaluation:
    """What `evaluation` does with its arguments."""
    from simfarm.data.frames import frame_rows, frame_verdicts
    from simfarm.data.inputs import scores_for
    from simfarm.data.scores import scores_from_rows
    from simfarm.ranking import inspection
    from simfarm.report.evaluation import evaluate, evaluate_scores, labels_in, verdicts_in
    from simfarm.report.ranking import RankingOptions
    from simfarm.report.rehearsal import rehearse
    from simfarm.runs.judging import alone_in
    from simfarm.settings import refuse_asking
    from simfarm.settings.options import RANKING

    # values that cannot be are refused before anything is read
    judging_in(given), running_in(given)
    options = RankingOptions.of(**{option.name: given[option.name] for option in RANKING if option.name in given})
    beside = (options.baseline, options.human, options.panel)
    with opened(given["inputs"], *beside, columns=given["columns"]) as (sources, (baseline, human, panel)):
        options = replace(options, baseline=baseline, human=human, panel=panel)
        read, labels = verdicts_in(sources, options), labels_in(options)
        scores = scores_for(sources, **options.of_scores) if read is None else None
        if scores is not None:
            refuse_asking(given, called(sources[0], 1, "the input"))
            return _told(evaluate_scores(scores, options, labels))
        if read is None:
            run, pairs = opened_run(sources, baseline, given, ranks=True)
            rehearse(options, run, pairs, labels)
            if alone_in(run) is not None:
                scores = scores_from_rows([("scores", frame_rows(annotated(run, pairs)))], **options.of_scores)
                return _told(evaluate_scores(scores, options, labels))
            looked = inspection(options.control, options.criteria is not None)
            verdicts, name = frame_verdicts(annotated(run, pairs), "annotations", looked), None
        else:
            refuse_asking(given, called(sources[0], 1, "the input"))
            verdicts, name = read
        return _told(evaluate(verdicts, name, options, labels))


def _told(result: Evaluation) -> Evaluation:
    """The evaluation, once its warnings were given."""
    _warn_of([*(one.board for one in result.boards), *result.ratings, *result.scored])
    for line in (*(line for one in result.criteria.values() for line in one.warnings), *result.doubts):
        warn(line)
    return result


def _warn_of(results: Sequence[Board | Ratings | ScoreBoard]) -> None:
    """The warnings of boards or ratings, and the confession of a judge that reads no meaning."""
    from simfarm.judges.rules import banners

    for one in results:
        for line in (*banners(one.annotator, one.table["judge_hash"].dropna().astype(str)), *one.warnings):
            warn(line)


@nearest_named
def compare(
    inputs: Sources,
    a: str,
    b: str,
    *,
    baseline: Source | None = None,
    length_control: str | Sequence[str] | None = None,
    lc_data: str | os.PathLike[str] | None = None,
    panel: Source | None = None,
    level: float = 0.95,
    mix_judges: bool = False,
    columns: Mapping[str, str] | None = None,
    flip_rate: float | None = None,
) -> pd.DataFrame:
    """Is the difference of two models real? One row for each annotator, raw and under each length control.

    `inputs` are annotations, `a` and `b` generators in them (or the baseline). The columns are those of
    `simfarm.ranking.Difference`: the difference in points with its interval, p, and whether it is `real` at `level`.
    Where the inputs have no single baseline the rows are `by` Bradley-Terry (Elo points, and the expected win rate of
    `a` over `b`) and, where the two met, head to head. `flip_rate` is the share of verdicts known to be flipped by
    chance, undone in win rates over a baseline. Raises `InputError` for bad input.
    """
    import pandas as pd

    from simfarm.report.compared import compared
    from simfarm.report.evaluation import annotations_in
    from simfarm.report.ranking import RankingOptions

    options = RankingOptions.of(
        length_control=length_control,
        lc_data=lc_data,
        panel=panel,
        level=level,
        mix_judges=mix_judges,
        flip_rate=flip_rate,
    )
    with opened(inputs, baseline, panel, columns=columns) as (sources, (base, aside)):
        found = compared(*annotations_in(sources, base), replace(options, panel=aside), a, b)
    _warn_of(found.sides)
    return pd.DataFrame([difference.to_json() for difference in found.differences])


@overload
def rejudge(
    a: Source,
    b: Source,
    *,
    baseline: Source | None = None,
    level: float = 0.95,
    mix_judges: bool = False,
    bridge: Literal[False] = False,
    hindsight: bool = False,
    columns: Mapping[str, str] | None = None,
) -> Rejudged: ...


@overload
def rejudge(
    a: Source,
    b: Source,
    *,
    baseline: Source | None = None,
    level: float = 0.95,
    mix_judges: bool = False,
    bridge: Literal[True],
    hindsight: bool = False,
    columns: Mapping[str, str] | None = None,
) -> Bridged: ...


@nearest_named
def rejudge(
    a: Source,
    b: Source,
    *,
    baseline: Source | None = None,
    level: float = 0.95,
    mix_judges: bool = False,
    bridge: bool = False,
    hindsight: bool = False,
    columns: Mapping[str, str] | None = None,
) -> Rejudged | Bridged:
    """Does the ranking survive a change of judge? `a` and `b` are annotations by two judges of the same outputs.

    The value has both win rates of every model (`table`), Spearman's correlation, the mean absolute difference and the
    pairs of models that change sides (`flips`), and `to_json()`; with `hindsight`, where `b` judged what became of the
    answers, `gaps` says by model what was promised beyond what was found. With `bridge`, `a` holds a board's verdicts
    and `b` those of a new judge on a random part of its comparisons (or no row): the value's `table` is the board in
    the new judge's units, with what carries each rate and how many instructions `to_judge` with both; it has the `link`
    between the two, `flips` and `to_json()` too. Raises `InputError` for bad input.
    """
    from simfarm.report.ranking import RankingOptions
    from simfarm.settings import refuse, spelled

    refuse({"hindsight": hindsight if bridge else None}, f"with {spelled('bridge')}, which carries a board")
    options = RankingOptions.of(level=level, mix_judges=mix_judges)
    with opened([a, b], baseline, columns=columns) as (sources, (base,)):
        if len(sources) != 2:
            raise InputError(f"the two inputs are {len(sources)} files; name two")
        if bridge:
            from simfarm.report.bridged import bridged

            carried = bridged(sources[0], sources[1], base, options)
            for line in carried.warnings:
                warn(line)
            return carried
        from simfarm.report.rejudged import rejudged

        found = rejudged(sources[0], sources[1], base, options, hindsight=hindsight)
    for line in found.warnings:
        warn(line)
    return found
