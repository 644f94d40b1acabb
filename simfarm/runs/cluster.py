"""One run over many machines: a pool of actors in Ray Data, each running simfarm's own run over one part at a time.

Ray Data schedules the parts, keeps the workers busy and starts those again that die; nothing here does. A worker is an
ordinary run over a part's records: it opens the model once, keeps its answers in the store of its machine and writes
the part's file whole. Whatever dies, what was answered on a machine is not asked there again, and a file is there whole
or not at all.

Ray Data's own processor for vLLM (`ray.data.llm`) is not used: `ray[llm]` pins an older vLLM than the one simfarm runs,
and the `vllm` backend in an actor batches as well, for the other backends too, with their stores and their records.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import pickle
import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic

from simfarm.backends.local.models import ENGINES, local_spec
from simfarm.data.files import write_rows
from simfarm.data.records import Record
from simfarm.errors import InputError, SimfarmError
from simfarm.runs.connection import connected, first_line, rows_of, stoppable
from simfarm.runs.parts import Folder, Part, begun, cut
from simfarm.runs.run import OpenModel, Result, Run
from simfarm.runs.stream import frozen
from simfarm.runs.tallies import Tallies
from simfarm.text.words import plural

__all__ = ["PARTITION_ROWS", "Kit", "Pool", "Worker", "folder_of", "model_gpus", "ray_missing", "run_parts"]

PARTITION_ROWS = 1000
"""Records in a part, where the user names no number: some minutes' work, so that a lost worker loses no more."""

TRIES = 4
"""How often a part is begun in one run. Ray Data begins the part of a dead worker again without end, and one that kills
each of its workers (memory) must not hold the others."""

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


class Kit(Generic[Record, Result]):
    """What every worker is given. Not a dataclass: Ray Data writes down the fields of those it is given, and this one
    holds credentials."""

    def __init__(self, run: Run[Record, Result], folder: Path) -> None:
        wanted = re.compile("(?!)" if run.backend is None else PASSED_ON.get(run.backend.name, "(?!)"))
        self.environment = {name: value for name, value in os.environ.items() if wanted.fullmatch(name)}
        self.run = run.bare()
        self.asks = run.backend is not None
        self.folder = folder
        self.place = os.getcwd()


class Worker(Generic[Record, Result]):
    """An actor: the kit's run, one part at a call. The model stays open between calls; a server's client does not,
    since it belongs to the event loop of one run."""

    def __init__(self, kit: Kit[Record, Result]) -> None:
        os.environ.update(kit.environment)
        # relative paths (a model, a store, a .env file) mean what they mean to the one who started the run
        with contextlib.suppress(OSError):
            os.chdir(kit.place)
        self._kit = kit
        self._model: OpenModel | None = None

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Makes the part of `row` and writes it; gives the run's tallies, or the error that ends the run, or None for
        a part given up."""
        outcome: Tallies | SimfarmError | None = None
        if begun(self._kit.folder, row["name"]) <= TRIES:
            try:
                outcome = self._tallies(row["name"], pickle.loads(row["records"]))
            except SimfarmError as error:
                outcome = error
        return {"part": row["part"], "outcome": pickle.dumps(outcome)}

    def _tallies(self, name: str, records: Sequence[Record]) -> Tallies:
        run = self._opened()
        with frozen():
            rows = [result.row() for result in run.results(records)]
        if rows:
            write_rows(self._kit.folder / name, rows, run.columns)
        return run.tallies

    def _opened(self) -> Run[Record, Result]:
        """A run of its own for one part: its tallies are at zero."""
        run = self._kit.run.bare()
        if not self._kit.asks:
            return run
        model = self._model or run.reopened()
        if model.backend.in_process:
            self._model = model
        return replace(run, backend=model.backend, owned=not model.backend.in_process)


def model_gpus(spec: str | None, engine_args: Mapping[str, Any]) -> int:
    """GPUs that one model takes: none where a server is asked, and none of what openvino runs."""
    local = None if spec is None else local_spec(spec)
    if local is None or local.startswith("openvino/") or str(engine_args.get("device", "")).startswith("cpu"):
        return 0
    product = 1
    for name in ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"):
        product *= int(engine_args.get(name, 1))
    return product


def folder_of(
    run: Run[Record, Result], records: Sequence[Record], path: str | os.PathLike[str], size: int | None = None
) -> Folder[Record]:
    """The folder of a run's parts of `size` records each. Raises `InputError` for one that something else made."""
    size = size or PARTITION_ROWS
    return Folder(path, cut(records, size, run.count), run.made_by() | {"partition_rows": size})


def ray_missing() -> str | None:
    """What to say where Ray Data is not installed."""
    if importlib.util.find_spec("ray") is None:
        return "--cluster ray needs: pip install 'simfarm[ray]'"
    return None


def run_parts(
    run: Run[Record, Result], parts: Sequence[Part[Record]], folder: Path, pool: Pool
) -> Generator[Part[Record]]:
    """Has `parts` made, and gives each as it is done, in any order, its tallies added to those of `run`.

    A part that its workers died over `TRIES` times is not given. Raises what ended a worker's run (`ProviderError`,
    `InputError`), and `InputError` for a cluster that is not there or too small.
    """
    missing = ray_missing()
    if missing:
        raise InputError(missing)
    with stoppable() as stop, connected(pool.address):
        ray: Any = importlib.import_module("ray")
        gpus = model_gpus(run.spec, run.options.engine_args)
        workers, gpus_each = _sizes(ray.cluster_resources(), pool, gpus, len(parts))
        shared = replace(run, options=run.options.shared_by(workers))
        dataset = _dataset(Kit(shared, folder), parts, workers, gpus_each)
        try:
            with contextlib.closing(rows_of(dataset, stop)) as rows:
                for row in rows:
                    outcome: Tallies | SimfarmError | None = pickle.loads(row["outcome"])
                    if isinstance(outcome, SimfarmError):
                        raise outcome
                    if outcome is not None:
                        part = parts[row["part"]]
                        run.tallies.add(outcome, part.start)
                        yield part
        except ray.exceptions.RayError as error:
            raise SimfarmError(f"the cluster gave up ({first_line(error)}); run the same command again") from error


def _dataset(kit: Kit[Record, Result], parts: Sequence[Part[Record]], workers: int, gpus: float) -> Any:
    """The Ray dataset whose rows are the parts' outcomes; nothing runs until they are read."""
    data: Any = importlib.import_module("ray.data")
    context = data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    # a part that fails for a reason of ours is left out, and the others are made
    context.max_errored_blocks = -1
    logging.getLogger("ray.data").setLevel(logging.CRITICAL + 1)
    rows = [
        {"part": number, "name": part.name, "records": pickle.dumps(list(part.records))}
        for number, part in enumerate(parts)
    ]
    return data.from_items(rows, override_num_blocks=len(rows)).map(
        Worker,
        fn_constructor_kwargs={"kit": kit},
        compute=data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1),
        num_cpus=1,
        num_gpus=gpus,
    )


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
