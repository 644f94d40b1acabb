"""The verbs that ask, as functions: files or tables in, DataFrames out.

They do what the command line does, with the same names, defaults and refusals; use them in notebooks and scripts. What
the command line says on stderr is logged (`logging.getLogger("simfarm")`, level INFO), its warnings are warnings.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from simfarm.api.calls import collected, judging_in, nearest_named, rows_of, running_in, tell, tell_all, warn
from simfarm.data.inputs import comparisons_for
from simfarm.data.sampling import MAX_TOKENS
from simfarm.data.sources import Source, Sources, opened
from simfarm.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from simfarm.backends.base import Backend
    from simfarm.data.records import Comparison
    from simfarm.data.sampling import Sampling
    from simfarm.judges import Judge, Panel, Population
    from simfarm.runs.judging import JudgingRun
    from simfarm.selection.choice import Selection
    from simfarm.selection.samples import Manner, Scores

__all__ = ["annotate", "annotated", "generate", "opened_run", "select"]


@nearest_named
def generate(
    inputs: Sources,
    model: str | Backend,
    *,
    n: int = 1,
    temperature: float | None = None,
    top_p: float | None = None,
    repetition_penalty: float | None = None,
    max_tokens: int = MAX_TOKENS,
    seed: int | None = None,
    effort: str | None = None,
    stop: Sequence[str] = (),
    chat_template: str | None = None,
    template_args: Mapping[str, Any] | None = None,
    limit: int | None = None,
    generator: str | None = None,
    system: str | None = None,
    base_url: str | None = None,
    engine_args: Mapping[str, Any] | None = None,
    store: str | os.PathLike[str] | None = None,
    concurrency: int | None = None,
    timeout: float | None = None,
    rpm: float | None = None,
    tpm: float | None = None,
    budget: float | None = None,
    price: tuple[float, float] | None = None,
    columns: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """What a model answers to each instruction, `n` answers each; one row per output, in input order.

    `inputs` are files or tables of instructions (or of outputs, whose instructions are taken): see `annotate`. `model`
    is a spec (`embedded`, a GGUF file, a model's folder, `vllm/NAME`, `openai/NAME` …) or a model opened with
    `open_model`, which can judge afterwards without being loaded again. Sampling is as in
    `simfarm.data.sampling.Sampling` (`max_tokens` of an answer; `chat_template` is the template's text);
    `generator` is the name outputs are filed under, `system` a message before every instruction. The rest is as in
    `annotate`. Raises `InputError` for bad input; an output that cannot be made has no row and is named in a warning.
    """
    from simfarm.data.sampling import Sampling

    sampling = Sampling(
        n=n,
        temperature=temperature,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        max_tokens=max_tokens,
        seed=seed,
        effort=effort,
        stop=(stop,) if isinstance(stop, str) else stop,
        chat_template=chat_template,
        template_args=template_args or {},
    )
    return _generated(inputs, model, sampling, locals())


def _generated(inputs: Sources, model: str | Backend, sampling: Sampling, given: Mapping[str, Any]) -> pd.DataFrame:
    """What `generate` does, with its other keywords as they were `given`."""
    from simfarm.data.frames import rows_frame
    from simfarm.data.inputs import instructions_for
    from simfarm.runs.generation import GenerationRun

    run = GenerationRun.open(model, sampling, running_in(given), generator=given["generator"], system=given["system"])
    with opened(inputs, columns=given["columns"]) as (sources, _):
        instructions = instructions_for(sources, given["limit"])
    rows = collected(lambda: rows_of(run.results(instructions)))
    tell_all(run.closing_lines(), bad=bool(run.tallies.missing))
    return rows_frame(rows)


@nearest_named
def annotate(
    inputs: Sources,
    *,
    baseline: Source | None = None,
    judge: str | Path | Judge | Population | Panel | None = None,
    model: str | Backend | None = None,
    base_url: str | None = None,
    engine_args: Mapping[str, Any] | None = None,
    order: str | None = None,
    repeats: int = 1,
    annotators: int = 1,
    soft: bool = False,
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    effort: str | None = None,
    limit: int | None = None,
    allow_missing: bool = False,
    pair: str | None = None,
    score: str | None = None,
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
    """Ask a judge which outputs are better; one row per call, in input order (the columns of an annotation file). One
    that rates outputs (`rating-5`) takes outputs without a `baseline` and gives a row with a `score` for each; one that
    ranks them (`ranking-letter`) compares all outputs to an instruction with each other where there is none.

    `inputs` are outputs (then `baseline` is a source of its own or a generator's name) or comparisons: a path (also a
    glob, a folder, `-`), a list or iterator of dicts, a table of pandas, polars, pyarrow or datasets, or a list of any
    of these; `columns` says what theirs are called, {our name: their name}. `judge` is a name or a file, by default
    the embedded one; of a population `annotators` people label each comparison, or the crowd's mean stands for them
    (`soft`). `pair` (random, best-worst by the column `score`, all) compares the samples of one model with each other
    and takes the place of a baseline. `model` is `openai/…`, `anthropic/…`, `litellm/…`, `replay/FILE`, a model on this
    machine (as in `generate`), or one opened with `open_model`. `max_tokens`, `temperature`, `top_p` and `effort` (how
    much a model thinks: none, low, medium …) replace the judge's own, and so change its hash. `limit` keeps the first N
    instructions. `budget` is in US dollars, `price` (IN, OUT) in dollars a million tokens, `timeout` in seconds, `rpm`
    and `tpm` a minute; `engine_args` are the options of a model in this process.

    Raises `InputError` for bad input and for an option that would do nothing, `ProviderError` when the provider refuses
    every call; a call that fails, or that the budget did not allow, is a row with status `error`.
    """
    given = dict(locals())
    with opened(inputs, baseline, columns=columns) as (sources, (base,)):
        run, pairs = opened_run(sources, base, given)
        _introduce(run)
        return annotated(run, pairs)


def opened_run(
    sources: Sequence[Source], baseline: Source | None, given: Mapping[str, Any], *, ranks: bool = False
) -> tuple[JudgingRun, Sequence[Comparison]]:
    """A judge that is ready, and what it is to judge, as a function's keywords were `given`. Where the verdicts are
    ranked afterwards (`ranks`), the baseline of a judge that rates outputs one by one is the ranking's."""
    from simfarm.runs.judging import alone_in, open_judging, takes_all, takes_joint, takes_pairs

    run = open_judging(judging_in(given), running_in(given))
    if ranks and alone_in(run) is not None:
        baseline = None
    pairing: dict[str, Any] = {name: given.get(name) for name in ("pair", "score")}
    pairing |= {name: given[name] for name in ("allow_missing", "limit")}
    pairing |= {"or_pairs": not ranks and takes_pairs(run), "whole": takes_all(run), "joint": takes_joint(run)}
    pairs = comparisons_for(sources, baseline, note=tell, alone=alone_in(run), **pairing)
    return run, pairs


def _introduce(run: JudgingRun) -> None:
    """Warn of a judge that reads no meaning."""
    if run.introduction is not None:
        warn(run.introduction)


def annotated(run: JudgingRun, pairs: Sequence[Comparison]) -> pd.DataFrame:
    """The rows of a run; what it has to say is told."""
    from simfarm.data.frames import rows_frame

    tell_all(run.notes(pairs))
    rows = collected(lambda: rows_of(run.results(pairs)))
    tell_all(run.closing_lines(), bad=bool(run.tallies.missing))
    return rows_frame(rows)


@nearest_named
def select(
    inputs: Source,
    method: str,
    *,
    n: int | None = None,
    by: str | None = None,
    baseline: Source | None = None,
    rivals: int | None = None,
    score: str | None = None,
    seed: int | None = None,
    chat_template: str | os.PathLike[str] | None = None,
    generator: str | None = None,
    gold: str | None = None,
    level: float | None = None,
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
    """Choose one of n samples: the chosen rows of a file or table of outputs, as outputs of a generator of their own.

    `method` is `best-of-n` (by the `judge` against `baseline`, by `likelihood` of `model`, or by a column),
    `win-share` (against `rivals` siblings), `random`, `longest` or `oracle` (by the column `score`). With `gold`, a
    column of true scores, the best-of-n curve is in the result's `attrs["curve"]`, a row for every n. The rest is as in
    `annotate`. Raises `InputError` for bad input and for an option that the method would ignore.
    """
    return _selected(locals())


def _selected(given: Mapping[str, Any]) -> pd.DataFrame:
    """What `select` does with its arguments."""
    from simfarm.data.frames import rows_frame
    from simfarm.selection.choice import Choice, Selection

    names = ("method", "n", "by", "rivals", "score", "seed", "generator", "gold", "level", "limit", "allow_missing")
    template = None if given["chat_template"] is None else os.fspath(given["chat_template"])
    judging, running = judging_in(given), running_in(given)
    beside = (given["baseline"], template)
    with opened(given["inputs"], *beside, columns=given["columns"]) as (sources, (baseline, template)):
        if len(sources) != 1:
            raise InputError(f"the input is {len(sources)} files; select takes one")
        choice = Choice(
            **{name: given[name] for name in names},
            baseline=baseline,
            chat_template=template,
            judging=judging,
            running=running,
        )
        choice.check()
        selection = Selection.of(sources[0], choice, tell)
        scores, manner, stopped = _scored(selection)
        rows, lines = selection.chosen(scores, manner, stopped=stopped)
        chosen = rows_frame(rows)
        tell_all(lines)
        if given["gold"] is not None:
            chosen.attrs["curve"] = [row for curve in selection.curve(scores) for row in curve]
    return chosen


def _scored(selection: Selection) -> tuple[Scores, Manner, bool]:
    """(each sample's score, how the scores were made, whether the budget stopped that)."""
    from simfarm.runs.annotation import AnnotationRun

    choice = selection.choice
    if choice.asks:
        contest = selection.contest()
        run = AnnotationRun.open(choice.judging, choice.running)
        _introduce(run)
        tell_all(run.notes(contest.comparisons))
        scored = selection.judged(contest, run, lambda run, pairs: collected(lambda: run.results(pairs)))
        tell_all(run.closing_lines(), bad=bool(run.tallies.missing))
        return *scored, run.tallies.stopped is not None
    if choice.score_by == "likelihood":
        (likelihoods,) = collected(lambda: (selection.likelihoods(_unseen) for _ in range(1)))
        return *cast("tuple[Scores, Manner]", likelihoods), False
    return *selection.free(), False


@contextmanager
def _unseen(name: str, total: int) -> Iterator[Any]:
    """Steps that nobody watches."""
    yield lambda: None
