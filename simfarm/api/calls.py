"""What every Python function of simfarm shares: keywords that name the right one, rows out of a run, remarks told."""

from __future__ import annotations

import asyncio
import difflib
import functools
import inspect
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from simfarm.errors import SimfarmWarning
from simfarm.runs.stream import interrupt
from simfarm.text.harmless import one_line

if TYPE_CHECKING:
    from simfarm.runs.options import JudgeOptions, RunOptions
    from simfarm.runs.run import Run

__all__ = ["collected", "followed", "judging_in", "nearest_named", "rows_of", "running_in", "tell", "tell_all", "warn"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_log = logging.getLogger("simfarm")


def nearest_named(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose unknown keywords are a `TypeError` that names the nearest known one; its signature stays."""
    known = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    def checked(*arguments: P.args, **options: P.kwargs) -> R:
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
                raise TypeError(f"{function.__name__}() has no option {name!r}; {hint}")
        return function(*arguments, **options)

    return checked


def judging_in(given: Mapping[str, Any]) -> JudgeOptions:
    """Whom to ask for verdicts, among a function's keywords; raises `InputError` for a value that cannot be."""
    from simfarm.runs.options import JudgeOptions

    named = {field.name: given.get(field.name) for field in fields(JudgeOptions)}
    return JudgeOptions(**{name: value for name, value in named.items() if value is not None})


def running_in(given: Mapping[str, Any]) -> RunOptions:
    """How hard to ask, among a function's keywords; raises `InputError` for a value that cannot be."""
    from simfarm.runs.options import RunOptions

    store, engine_args = given["store"], given["engine_args"] or {}
    values = {field.name: given[field.name] for field in fields(RunOptions)}
    return RunOptions(**values | {"store": None if store is None else Path(store), "engine_args": engine_args})


def rows_of(results: Generator[Any]) -> Generator[dict[str, Any]]:
    """The rows of a run's results; the run is closed at the end, however it comes."""
    with closing(results):
        for result in results:
            yield result.row()


def followed(run: Run[Any, Any], records: Sequence[Any]) -> list[Any]:
    """All results of a run."""
    with closing(run.results(records)) as results:
        return list(results)


def collected(run: Callable[[], Generator[T]]) -> list[T]:
    """What a run gives. A notebook's event loop already runs in this thread: there the run gets another one, which ends
    as it would here when the user interrupts."""
    threads: list[int] = []
    stopped = threading.Event()

    def work() -> list[T]:
        threads.append(threading.get_ident())
        given: list[T] = []
        with closing(run()) as results:
            for result in results:
                given.append(result)
                if stopped.is_set():
                    break
        return given

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        try:
            return working.result()
        except KeyboardInterrupt:
            # at the next row, or at once where the run waits for it
            stopped.set()
            for thread in threads:
                interrupt(thread)
            raise


def warn(line: str) -> None:
    """A Python warning that points at the caller's own line, outside simfarm."""
    depth = 1
    frame = sys._getframe()
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "simfarm":
        frame, depth = frame.f_back, depth + 1
    warnings.warn(one_line(line.removeprefix("warning: ")), SimfarmWarning, stacklevel=max(depth, 2))


def tell(line: str) -> None:
    """A line that the command line would say: a warning, or a routine one for the log."""
    if line.startswith("warning: "):
        warn(line)
    else:
        _log.info("%s", line)


def tell_all(lines: Sequence[str], *, bad: bool = False) -> None:
    """Tell each line; all at once in one warning where the run ended `bad`, with rows missing."""
    if bad:
        warn("; ".join(line.removeprefix("warning: ") for line in lines))
        return
    for line in lines:
        tell(line)
