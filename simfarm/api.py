"""The main verbs as functions: paths or DataFrames in, DataFrames out.

They do what the command line does, with the same names; use them in notebooks and scripts.
"""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfarm.engine.stream import interrupt
from simfarm.errors import InputError
from simfarm.generation.sampling import MAX_TOKENS
from simfarm.harmless import one_line
from simfarm.inputs import Source, comparisons_for, read_for_evaluation

if TYPE_CHECKING:
    import pandas as pd

    from simfarm.backends.base import Backend
    from simfarm.judges import Judge
    from simfarm.ranking import Board

__all__ = ["annotate", "evaluate", "generate", "leaderboards"]

Sources = Source | Sequence[Source]


def _listed(inputs: Sources) -> list[Source]:
    if isinstance(inputs, (str, os.PathLike)) or not isinstance(inputs, Sequence):
        return [inputs]
    return list(inputs)


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
    stop: Sequence[str] = (),
    chat_template: str | None = None,
    template_args: Mapping[str, Any] | None = None,
    limit: int | None = None,
    **options: Any,
) -> pd.DataFrame:
    """What a model answers to each instruction, `n` answers each; one row per output, in input order.

    `inputs` are files or DataFrames of instructions (or of outputs, whose instructions are taken). `model` is a spec
    (`embedded`, a GGUF file, a model's folder, `vllm/NAME`, `openai/NAME` …) or a model opened with `open_model`, which
    can judge afterwards without being loaded again. Sampling is as in `simfarm.generation.sampling.Sampling`
    (`max_tokens` of an answer; `chat_template` is the template's text). `options` are those of `Generation.open`:
    generator, system, base_url, engine, store, concurrency, timeout (seconds), rpm, tpm, budget (US dollars), price.
    Raises `InputError` for bad input; an output that cannot be made has no row and is named in a warning.
    """
    import pandas as pd

    from simfarm.generation.run import Generation
    from simfarm.generation.sampling import Sampling
    from simfarm.inputs import instructions_for

    sampling = Sampling(
        n=n,
        temperature=temperature,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        max_tokens=max_tokens,
        seed=seed,
        stop=(stop,) if isinstance(stop, str) else stop,
        chat_template=chat_template,
        template_args=template_args or {},
    )
    run = Generation.open(model, sampling, **options)
    instructions = instructions_for(_listed(inputs), limit)
    rows = _collected(lambda: _rows(run.outputs(instructions)))
    told = run.closing_lines()
    if run.failed or any(line.startswith("warning") for line in told):
        _warn("; ".join(told))
    return pd.DataFrame(rows)


def annotate(
    inputs: Sources,
    *,
    baseline: Source | None = None,
    judge: str | Path | Judge | None = None,
    model: str | Backend | None = None,
    allow_missing: bool = False,
    limit: int | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Ask a judge which outputs are better; one row per call, in input order (the columns of an annotation file).

    `inputs` are files or DataFrames of outputs (then `baseline` is a file, a DataFrame or a generator's name) or of
    comparisons. `judge` is a name or a file, by default the embedded one; `model` is `openai/…`, `anthropic/…`,
    `litellm/…`, `replay/FILE`, a model on this machine (as in `generate`), or one opened with `open_model`. `options`
    are those of `Session.open`: base_url, engine, order, repeats, concurrency, rpm, tpm, budget (US dollars), price,
    timeout (seconds), store, retry_unparseable. Raises `InputError` for bad input and
    `ProviderError` when the provider refuses every call; a call that fails, or that the budget did not allow, is a row
    with status `error`. What the command line says on stderr comes as Python warnings.
    """
    import pandas as pd

    from simfarm.engine.session import Session

    session = Session.open(judge, model=model, **options)
    pairs = comparisons_for(_listed(inputs), baseline, allow_missing=allow_missing, limit=limit, note=_warn)
    for line in session.notes(pairs):
        _warn(line)
    rows = _collected(lambda: _rows(session.annotations(pairs)))
    told = session.closing_lines()
    if session.summary.missing or any(line.startswith("warning") for line in told):
        _warn("; ".join(told))
    return pd.DataFrame(rows)


def _rows(made: Generator[Any]) -> Generator[dict[str, Any]]:
    """The rows of a run's results; the run is closed at the end, however it comes."""
    with closing(made):
        for result in made:
            yield result.row()


def _collected(made: Callable[[], Generator[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of a run. A notebook's event loop already runs in this thread: there the run gets another one, which
    ends as it would here when the user interrupts."""
    threads: list[int] = []

    def work() -> list[dict[str, Any]]:
        threads.append(threading.get_ident())
        with closing(made()) as rows:
            return list(rows)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        try:
            return working.result()
        except KeyboardInterrupt:
            for thread in threads:
                interrupt(thread)
            raise


def _warn(line: str) -> None:
    warnings.warn(one_line(line.removeprefix("warning: ")), stacklevel=3)


def leaderboards(
    inputs: Sources,
    *,
    baseline: Source | None = None,
    length_control: str | Sequence[str] = ("joint",),
    lc_data: str | os.PathLike[str] | None = None,
    level: float = 0.95,
    allow_mixed: bool = False,
    **options: Any,
) -> list[Board]:
    """One board for each annotator: its table, estimates, warnings and breakdowns.

    `inputs` are annotations, or anything that `annotate` takes: then it annotates first, with `options` as there.
    `length_control` is `joint`, `alpaca-eval-2`, several of them, or `none`. Raises `InputError` for bad input, and for
    `options` where the verdicts are given already.
    """
    from simfarm.ranking import leaderboard

    sources = _listed(inputs)
    read = read_for_evaluation(sources, baseline)
    if read is None:
        from simfarm.tables import annotations_frame

        read = annotations_frame(annotate(sources, baseline=baseline, **options), "annotations"), None
    elif options:
        raise InputError(f"{next(iter(options))} is for asking a judge, but the input holds verdicts; leave it out")
    frame, name = read
    wanted = (length_control,) if isinstance(length_control, str) else tuple(length_control)
    return leaderboard(
        frame,
        baseline=name,
        length_control=[control for control in wanted if control != "none"],
        lc_data=None if lc_data is None else Path(lc_data),
        level=level,
        allow_mixed=allow_mixed,
    )


def evaluate(inputs: Sources, **options: Any) -> pd.DataFrame:
    """The leaderboard as a DataFrame (all annotators' boards one below the other); options as in `leaderboards`."""
    import pandas as pd

    return pd.concat([board.table for board in leaderboards(inputs, **options)], ignore_index=True)
