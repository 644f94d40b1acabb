"""`--engine ray`: a verb's run over a cluster, its options and what it says; shared by generate and annotate."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from contextlib import closing
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from simfarm.cli.options import number, whole
from simfarm.errors import InputError
from simfarm.report.terminal import answer, say
from simfarm.text.words import plural

if TYPE_CHECKING:
    from simfarm.data.records import Comparison, Instruction
    from simfarm.runs.annotation import AnnotationRun
    from simfarm.runs.cluster import Job
    from simfarm.runs.generation import GenerationRun
    from simfarm.runs.parts import Folder

__all__ = ["add_cluster", "annotate_on_cluster", "check_cluster", "generate_on_cluster"]

PARTITION_ROWS = 1000
"""Records in a part, where the user names no number: some minutes' work, so that a lost worker loses no more."""

PLAIN = re.compile(r"[A-Za-z]{0,12}|v\d+")
"""A part of an address's path that is a word (v1, openai) and no key."""

CLUSTER_ONLY = ("workers", "ray_address", "gpus_per_worker", "partition_rows")


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Where a run goes that is too long for one process."""
    cluster = parser.add_argument_group("cluster")
    cluster.add_argument(
        "--engine", choices=["ray"], help="run over a Ray cluster, or workers on this machine; -o is then a folder"
    )
    cluster.add_argument("--workers", type=whole, metavar="N", help="default: one for each GPU, else 2")
    cluster.add_argument("--gpus-per-worker", type=number, metavar="X", help="default: what the model's options take")
    cluster.add_argument("--ray-address", metavar="ADDR", help="default: RAY_ADDRESS, else this machine alone")
    cluster.add_argument(
        "--partition-rows", type=whole, metavar="N", help=f"input rows in a part (default {PARTITION_ROWS})"
    )


def check_cluster(arguments: argparse.Namespace) -> None:
    """Raise `InputError` for options that do not go together, before anything is read."""
    if not arguments.engine:
        given = [name for name in CLUSTER_ONLY if getattr(arguments, name) is not None]
        if given:
            raise InputError(f"--{given[0].replace('_', '-')} goes with --engine ray; add that or leave it out")
        return
    if not arguments.output:
        raise InputError("--engine ray writes a folder of Parquet files: name it with -o FOLDER")
    if arguments.budget is not None:
        raise InputError(
            "--budget watches the calls of one process, and --engine ray has several: leave it out (--dry-run tells "
            "the cost), or run without --engine ray"
        )
    if not arguments.dry_run:
        from simfarm.runs.cluster import ray_missing

        missing = ray_missing()
        if missing:
            raise InputError(missing)


def generate_on_cluster(
    arguments: argparse.Namespace, generation: GenerationRun, instructions: Sequence[Instruction]
) -> int:
    """Generate the parts that are missing, sum up on stderr; gives the exit status."""
    from simfarm.runs.cluster import Job
    from simfarm.runs.generation import GenerationRun
    from simfarm.runs.parts import Folder, cut

    samples = generation.sampling.n
    size = arguments.partition_rows or PARTITION_ROWS
    made_by = {
        "verb": "generate",
        "model": f"{generation.backend.name}/{generation.model}",
        "server": _server(generation.backend.base_url),
        "generator": generation.generator,
        "system": generation.system,
        "sampling": generation.sampling.recorded(0),
        "samples": samples,
        "partition_rows": size,
    }
    parts = cut(instructions, size, lambda records: samples * len(records))
    folder = Folder(arguments.output, parts, made_by)
    if arguments.dry_run:
        answer(generation.estimate([asked for part in folder.missing() for asked in part.records]))
        return 0
    job = Job(
        generation,
        GenerationRun.outputs,
        folder.path,
        spec=arguments.model,
        base_url=arguments.base_url,
        engine=dict(arguments.engine_args),
    )
    return _run(arguments, job, folder, generation)


def annotate_on_cluster(arguments: argparse.Namespace, session: AnnotationRun, pairs: Sequence[Comparison]) -> int:
    """Judge the parts that are missing, sum up on stderr; gives the exit status."""
    from simfarm.data.records import ANNOTATION_COLUMNS
    from simfarm.judges import load_judge
    from simfarm.runs.annotation import DEFAULT_JUDGE, AnnotationRun
    from simfarm.runs.cluster import Job
    from simfarm.runs.parts import Folder, cut

    size = arguments.partition_rows or PARTITION_ROWS
    made_by = {
        "verb": "annotate",
        "judge": session.judge.name,
        "judge_hash": session.judge.hash,
        "server": _server(session.backend.base_url) if session.backend is not None else None,
        "repeats": session.repeats,
        "partition_rows": size,
    }
    parts = cut(pairs, size, session.count_calls)
    folder = Folder(arguments.output, parts, made_by)
    if arguments.dry_run:
        answer(session.estimate([pair for part in folder.missing() for pair in part.records]))
        return 0
    for note in session.notes(pairs):
        say(note)
    spec = arguments.model or load_judge(arguments.judge or DEFAULT_JUDGE).model
    job = Job(
        session,
        AnnotationRun.annotations,
        folder.path,
        spec=spec,
        base_url=arguments.base_url,
        engine=dict(arguments.engine_args),
        columns=ANNOTATION_COLUMNS,
    )
    return _run(arguments, job, folder, session)


def _run(arguments: argparse.Namespace, job: Job, folder: Folder, run: GenerationRun | AnnotationRun) -> int:
    """Has the missing parts made, with a progress bar of parts, and sums up on stderr; gives the exit status."""
    from simfarm.cli.progress import progress
    from simfarm.runs.cluster import TRIES, Pool, run_parts
    from simfarm.runs.generation import GenerationRun

    folder.begin()
    missing = folder.missing()
    known = len(folder.parts) - len(missing)
    if known:
        say(f"{known} of {len(folder.parts)} parts are there already")
    if not missing:
        return 0
    pool = Pool(arguments.workers, arguments.gpus_per_worker, arguments.ray_address)
    lost = len(missing)
    name = run.generator if isinstance(run, GenerationRun) else run.judge.name
    with progress(name, len(missing)) as bar, closing(run_parts(job, missing, pool, run)) as made:
        for _ in made:
            lost -= 1
            bar.step(run.pace() if isinstance(run, GenerationRun) else run.cost_so_far())
    folder.tidy()
    say(f"wrote {arguments.output} ({folder.written()} of {len(folder.parts)} parts)")
    for line in run.closing_lines():
        say(line)
    if lost:
        say(
            f"{plural(lost, 'part')} could not be made: each failed, or its worker died {TRIES} times (out of "
            "memory?); Ray's log files say why. Run the same command again: only what is missing is asked",
        )
    failed = len(run.failed) if isinstance(run, GenerationRun) else run.summary.missing
    return 4 if lost or failed else 0


def _server(base_url: str | None) -> str | None:
    """The address without a user name, password or query; a part of its path that may be a key is its hash."""
    if base_url is None:
        return None
    parts = urlsplit(base_url)
    path = (p if PLAIN.fullmatch(p) else sha256(p.encode()).hexdigest()[:8] for p in parts.path.rstrip("/").split("/"))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{'/'.join(path)}"
