"""One run over many machines: a pool of actors in Ray Data, each running simfarm's own run over one part at a time.

Ray Data schedules the parts, keeps the workers busy and starts those again that die; nothing here does. A worker is an
ordinary run over a part's records: it opens the model once, keeps its answers in the
store of its machine and writes the part's file whole. Whatever dies, what was answered on a machine is not asked there
again, and a file is there whole or not at all.

Ray Data's own processor for vLLM (`ray.data.llm`) is not used: `ray[llm]` pins an older vLLM than the one simfarm runs,
and the `vllm` backend in an actor batches as well, for the other backends too, with their stores and their records.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
import logging
import os
import pickle
import re
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simfarm.backends import opened
from simfarm.backends.base import Backend
from simfarm.backends.local.models import ENGINES, local_spec
from simfarm.data.files import write_rows
from simfarm.errors import InputError, SimfarmError
from simfarm.runs.connection import connected, first_line, rows_of, stoppable
from simfarm.runs.parts import Part, begun
from simfarm.text.words import plural

__all__ = ["Job", "Pool", "ray_missing", "run_parts"]

TRIES = 4
"""How often a part is begun in one run. Ray Data begins the part of a dead worker again without end, and one that kills
each of its workers (memory) must not hold the others."""

TALLIES = ("made", "cut_off", "empty", "passing", "failed", "stats", "summary", "stopped")
"""What a `GenerationRun` or a `AnnotationRun` counts; a worker's counts are added to those of the run that sent it."""

PASSED_ON = {
    "openai": r"OPENAI_.*|AZURE_OPENAI_.*",
    "anthropic": r"ANTHROPIC_.*",
    "litellm": r".*_API_KEY|.*_API_BASE|AWS_.*|AZURE_.*|VERTEX.*",
} | dict.fromkeys(ENGINES, "HF_.*")
"""Backend -> the variables of the environment (credentials, addresses) that its workers need, wherever they run."""


@dataclass(frozen=True, slots=True)
class Pool:
    """How many workers, with how many GPUs each, on which cluster; None where the cluster itself says it."""

    workers: int | None = None
    gpus: float | None = None
    address: str | None = None


class Job:
    """What every worker is told. Not a dataclass: Ray Data writes down the fields of those it is given, and this one
    holds credentials.

    `make` is the method that gives the run's records (`GenerationRun.outputs`), `spec` the
    model as the user wrote it (None for a judge that asks no model).
    """

    def __init__(
        self,
        run: Any,
        make: Callable[[Any, Sequence[Any]], Iterator[Any]],
        folder: Path,
        *,
        spec: str | None,
        base_url: str | None = None,
        engine: Mapping[str, Any] | None = None,
        columns: Sequence[str] = (),
    ) -> None:
        backend: Backend | None = run.backend
        wanted = re.compile(PASSED_ON.get(backend.name, "(?!)") if backend is not None else "(?!)")
        self.environment = {name: value for name, value in os.environ.items() if wanted.fullmatch(name)}
        self.run = dataclasses.replace(run, backend=None)
        if hasattr(run, "judge"):
            # a copy: the compiled template, kept in the judge once it is used, cannot travel
            self.run.judge = dataclasses.replace(run.judge)
        self.make = make
        self.folder = folder
        self.spec = spec if backend is not None else None
        self.base_url = base_url
        self.engine = dict(engine or {})
        self.columns = tuple(columns)
        self.place = os.getcwd()

    def shared_by(self, workers: int) -> None:
        """The caps on requests and tokens a minute are the whole run's: each worker keeps to its share."""
        caps = {name: getattr(self.run.options, name) for name in ("rpm", "tpm")}
        shares = {name: cap / workers for name, cap in caps.items() if cap is not None}
        self.run.options = dataclasses.replace(self.run.options, **shares)

    def gpus(self) -> int:
        """GPUs that one model takes: none where a server is asked, and none of what openvino runs."""
        local = None if self.spec is None else local_spec(self.spec)
        if local is None or local.startswith("openvino/") or str(self.engine.get("device", "")).startswith("cpu"):
            return 0
        sizes = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
        product = 1
        for name in sizes:
            product *= int(self.engine.get(name, 1))
        return product


class Worker:
    """An actor: `job`'s run, one part at a call. The model stays open between calls; a server's client does not, since
    it belongs to the event loop of one run."""

    def __init__(self, job: Job) -> None:
        os.environ.update(job.environment)
        # relative paths (a model, a store, a .env file) mean what they mean to the one who started the run
        with contextlib.suppress(OSError):
            os.chdir(job.place)
        self._job = job
        self._model: Backend | None = None

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Makes the part of `row` and writes it; gives the run's tallies, or the error that ends the run, or None for
        a part given up."""
        told: Any = None
        if begun(self._job.folder, row["name"]) <= TRIES:
            try:
                told = self._made(row["name"], pickle.loads(row["records"]))
            except SimfarmError as error:
                told = error
        return {"part": row["part"], "told": pickle.dumps(told)}

    def _made(self, name: str, records: Sequence[Any]) -> dict[str, Any]:
        run = self._opened()
        rows = [made.row() for made in self._job.make(run, records)]
        if rows:
            write_rows(self._job.folder / name, rows, self._job.columns)
        tallies = {name: getattr(run, name) for name in TALLIES if hasattr(run, name)}
        if run.stats is not None and run.stats.since is not None:
            run.stats.since -= time.perf_counter()
        return tallies

    def _opened(self) -> Any:
        """A run of its own for one part: its tallies are at zero."""
        job = self._job
        fresh = pickle.loads(pickle.dumps(job.run))
        if job.spec is None:
            return fresh
        backend = self._model
        if backend is None:
            timeout = fresh.options.timeout
            backend, model = opened(job.spec, base_url=job.base_url, timeout=timeout, engine_args=job.engine)
            if model != fresh.model:
                raise InputError(
                    f"a worker found {model} where the run began with {fresh.model}: bring the same weights to all "
                    "machines, then run it again"
                )
            if backend.in_process:
                self._model = backend
        return dataclasses.replace(fresh, backend=backend, owned=not backend.in_process)


def ray_missing() -> str | None:
    """What to say where Ray Data is not installed."""
    if importlib.util.find_spec("ray") is None:
        return "--engine ray needs: pip install 'simfarm[ray]'"
    return None


def run_parts(job: Job, parts: Sequence[Part], pool: Pool, run: Any) -> Generator[Part]:
    """Has `parts` made, and gives each as it is done, in any order, its tallies added to those of `run`.

    A part that its workers died over `TRIES` times is not given. Raises what ended a worker's run (`ProviderError`,
    `InputError`), and `InputError` for a cluster that is not there or too small.
    """
    missing = ray_missing()
    if missing:
        raise InputError(missing)
    with stoppable() as stop, connected(pool.address):
        ray: Any = importlib.import_module("ray")
        data: Any = importlib.import_module("ray.data")
        workers, gpus = _sizes(ray.cluster_resources(), pool, job.gpus(), len(parts))
        job.shared_by(workers)
        context = data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        # a part that fails for a reason of ours is left out, and the others are made
        context.max_errored_blocks = -1
        logging.getLogger("ray.data").setLevel(logging.CRITICAL + 1)
        rows = [
            {"part": number, "name": part.name, "records": pickle.dumps(list(part.records))}
            for number, part in enumerate(parts)
        ]
        made = data.from_items(rows, override_num_blocks=len(rows)).map(
            Worker,
            fn_constructor_kwargs={"job": job},
            compute=data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1),
            num_cpus=1,
            num_gpus=gpus,
        )
        try:
            with contextlib.closing(rows_of(made, stop)) as rows_made:
                for row in rows_made:
                    told = pickle.loads(row["told"])
                    if isinstance(told, SimfarmError):
                        raise told
                    if told is not None:
                        part = parts[row["part"]]
                        _add(run, told, part.start)
                        yield part
        except ray.exceptions.RayError as error:
            raise SimfarmError(f"the cluster gave up ({first_line(error)}); run the same command again") from error


def _sizes(resources: Mapping[str, float], pool: Pool, model_gpus: int, parts: int) -> tuple[int, float]:
    """(workers, GPUs each) on a cluster of `resources`; raises `InputError` for more than it has."""
    cpus, there = int(resources.get("CPU", 0)), resources.get("GPU", 0.0)
    gpus = pool.gpus if pool.gpus is not None else float(model_gpus if there else 0)
    most = min(cpus, int(there / gpus)) if gpus else cpus
    if most < 1 or (pool.workers or 0) > most:
        raise InputError(
            f"the cluster has {plural(cpus, 'CPU')} and {there:g} GPUs: room for {plural(most, 'worker')} with a CPU "
            f"and {gpus:g} GPUs each; set --workers and --gpus-per-worker to fit"
        )
    return min(parts, pool.workers or (most if gpus else min(2, most))), gpus


def _add(total: Any, told: Mapping[str, Any], start: int) -> None:
    """Adds a part's tallies to the run's; failures of its records get their place among all."""
    for name, value in told.items():
        if name == "failed":
            total.failed.extend((start + position, *rest) for position, *rest in value)
            total.failed.sort(key=lambda failure: (failure[0], failure[2]))
        elif name == "stats" and value is not None:
            if value.since is not None:
                value.since += time.perf_counter()
            if total.stats is None:
                total.stats = value
            else:
                _add_fields(total.stats, value)
        elif name == "summary":
            _add_fields(total.summary, value)
        elif name == "stopped":
            total.stopped = total.stopped or value
        elif name != "stats":
            setattr(total, name, getattr(total, name) + value)


def _add_fields(total: Any, more: Any) -> None:
    for field in dataclasses.fields(more):
        old, new = getattr(total, field.name), getattr(more, field.name)
        if field.name == "since":
            known = [moment for moment in (old, new) if moment is not None]
            total.since = min(known) if known else None
        elif isinstance(new, Counter):
            old.update(new)
        elif isinstance(new, int | float):
            setattr(total, field.name, old + new)
        elif new is not None:
            setattr(total, field.name, new)
