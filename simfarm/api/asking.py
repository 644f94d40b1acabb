"""The verbs that ask, as functions: files or tables in, DataFrames out.

They do what the command line does, with the same names, defaults and refusals; use them in notebooks and scripts. What
the command line says on stderr is logged (`logging.getLogger("simfarm")`, level INFO), its warnings are warnings.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from simfarm.api.calls import collected, nearest_named, rows_of, tell, tell_all, warn
from simfarm.data.inputs import comparisons_for
from simfarm.data.sampling import MAX_TOKENS
from simfarm.data.sources import Source, Sources, opened
from simfarm.errors import InputError
from simfarm.runs.options import JudgeOptions, RunOptions

if TYPE_CHECKING:
    import pandas as pd

    from simfarm.backends.base import Backend
    from simfarm.data.records import Comparison
    from simfarm.judges import Judge
    from simfarm.runs.annotation import AnnotationRun

__all__ = ["annotate", "annotated", "asking_options", "generate", "opened_session", "select"]


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
) -> pd.DataFrame:
    """What a model answers to each instruction, `n` answers each; one row per output, in input order.

    `inputs` are files or tables of instructions (or of outputs, whose instructions are taken): see `annotate`. `model`
    is a spec (`embedded`, a GGUF file, a model's folder, `vllm/NAME`, `openai/NAME` …) or a model opened with
    `open_model`, which can judge afterwards without being loaded again. Sampling is as in
    `simfarm.data.sampling.Sampling` (`max_tokens` of an answer; `chat_template` is the template's text);
    `generator` is the name outputs are filed under, `system` a message before every instruction. The rest is as in
    `annotate`. Raises `InputError` for bad input; an output that cannot be made has no row and is named in a warning.
    """
    from simfarm.data.frames import rows_frame
    from simfarm.data.inputs import instructions_for
    from simfarm.data.sampling import Sampling
    from simfarm.runs.generation import GenerationRun

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
    run = GenerationRun.open(
        model,
        sampling,
        RunOptions(
            base_url=base_url,
            engine_args=engine_args or {},
            store=_path(store),
            concurrency=concurrency,
            timeout=timeout,
            rpm=rpm,
            tpm=tpm,
            budget=budget,
            price=price,
        ),
        generator=generator,
        system=system,
    )
    with opened(inputs) as (sources, _):
        instructions = instructions_for(sources, limit)
    rows = collected(lambda: rows_of(run.results(instructions)))
    tell_all(run.closing_lines(), bad=bool(run.tallies.missing))
    return rows_frame(rows)


@nearest_named
def annotate(
    inputs: Sources,
    *,
    baseline: Source | None = None,
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
    """Ask a judge which outputs are better; one row per call, in input order (the columns of an annotation file).

    `inputs` are outputs (then `baseline` is a source of its own or a generator's name) or comparisons: a path (also a
    glob, a folder, `-`), a list or iterator of dicts, a table of pandas, polars, pyarrow or datasets, or a list of any
    of these. `judge` is a name or a file, by default the embedded one; `model` is `openai/…`, `anthropic/…`,
    `litellm/…`, `replay/FILE`, a model on this machine (as in `generate`), or one opened with `open_model`.
    `max_tokens`, `temperature`, `top_p` and `effort` (how much a model thinks: none, low, medium …) replace the judge's
    own, and so change its hash. `limit` keeps the first N instructions. `budget` is in US dollars, `price` (IN, OUT) in
    dollars a million tokens, `timeout` in seconds, `rpm` and `tpm` a minute; `engine_args` are the options of a model
    in this process.

    Raises `InputError` for bad input and for an option that would do nothing, `ProviderError` when the provider refuses
    every call; a call that fails, or that the budget did not allow, is a row with status `error`.
    """
    options = asking_options(locals())
    with opened(inputs, baseline) as (sources, (base,)):
        session, pairs = opened_session(sources, base, limit, allow_missing, options)
        _introduce(session)
        return annotated(session, pairs)


def asking_options(given: Mapping[str, Any]) -> tuple[JudgeOptions, RunOptions]:
    """How to judge and how hard to ask, among a function's arguments."""
    running = {field.name: given[field.name] for field in fields(RunOptions)}
    running |= {"engine_args": given["engine_args"] or {}, "store": _path(given["store"])}
    return JudgeOptions(**{field.name: given[field.name] for field in fields(JudgeOptions)}), RunOptions(**running)


def _path(store: str | os.PathLike[str] | None) -> Path | None:
    return None if store is None else Path(store)


def opened_session(
    sources: Sequence[Source],
    baseline: Source | None,
    limit: int | None,
    allow_missing: bool,
    options: tuple[JudgeOptions, RunOptions],
) -> tuple[AnnotationRun, Sequence[Comparison]]:
    """A judge that is ready, and what it is to judge."""
    from simfarm.runs.annotation import AnnotationRun

    session = AnnotationRun.open(*options)
    return session, comparisons_for(sources, baseline, allow_missing=allow_missing, limit=limit, note=tell)


def _introduce(session: AnnotationRun) -> None:
    """Warn of a judge that reads no meaning."""
    if session.judge.rule is not None:
        from simfarm.judges.rules import banner

        warn(banner(session.judge.rule))


def annotated(session: AnnotationRun, pairs: Sequence[Comparison]) -> pd.DataFrame:
    """The rows of a run; what it has to say is told."""
    from simfarm.data.frames import rows_frame

    tell_all(session.notes(pairs))
    rows = collected(lambda: rows_of(session.results(pairs)))
    tell_all(session.closing_lines(), bad=bool(session.tallies.missing))
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
) -> pd.DataFrame:
    """Choose one of n samples: the chosen rows of a file or table of outputs, as outputs of a generator of their own.

    `method` is `best-of-n` (by the `judge` against `baseline`, by `likelihood` of `model`, or by a column),
    `win-share` (against `rivals` siblings), `random`, `longest` or `oracle` (by the column `score`). With `gold`, a
    column of true scores, the best-of-n curve is in the result's `attrs["curve"]`, a row for every n. The rest is as in
    `annotate`. Raises `InputError` for bad input and for an option that the method would ignore.
    """
    from simfarm.data.frames import rows_frame
    from simfarm.runs.annotation import AnnotationRun
    from simfarm.selection.choice import Choice, Selection

    names = ("method", "n", "by", "rivals", "score", "seed", "generator", "gold", "level", "limit", "allow_missing")
    given, (judging, running) = dict(locals()), asking_options(locals())
    template = None if chat_template is None else os.fspath(chat_template)
    with opened(inputs, baseline, template) as (sources, (base, template)):
        if len(sources) != 1:
            raise InputError(f"the input is {len(sources)} files; select takes one")
        choice = Choice(
            **{name: given[name] for name in names},
            baseline=base,
            chat_template=template,
            judging=judging,
            running=running,
        )
        choice.check()
        selection = Selection.of(sources[0], choice, tell)
        stopped = False
        if choice.asks:
            contest = selection.contest()
            session = AnnotationRun.open(judging, running)
            _introduce(session)
            tell_all(session.notes(contest.comparisons))
            scores, manner = selection.judged(
                contest, session, lambda run, pairs: collected(lambda: run.results(pairs))
            )
            tell_all(session.closing_lines(), bad=bool(session.tallies.missing))
            stopped = session.tallies.stopped is not None
        elif choice.score_by == "likelihood":
            (found,) = collected(lambda: (selection.likelihoods(_unseen) for _ in range(1)))
            scores, manner = cast("tuple[Any, Any]", found)
        else:
            scores, manner = selection.free()
        rows, told = selection.chosen(scores, manner, stopped=stopped)
        made = rows_frame(rows)
        tell_all(told)
        if gold is not None:
            made.attrs["curve"] = [row for curve in selection.curve(scores) for row in curve]
    return made


@contextmanager
def _unseen(name: str, total: int) -> Iterator[Any]:
    """Steps that nobody watches."""
    yield lambda: None
