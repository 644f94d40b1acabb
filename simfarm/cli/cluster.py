"""`--cluster ray`: a run over many machines, its options and what it says; shared by the verbs that have it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from simfarm.cli.options import number, whole
from simfarm.errors import InputError
from simfarm.report.terminal import answer, say
from simfarm.text.words import plural

if TYPE_CHECKING:
    from simfarm.data.records import Record
    from simfarm.runs.run import Result, Run

__all__ = ["add_cluster", "check_cluster", "run_on_cluster"]

CLUSTER_ONLY = ("workers", "ray_address", "gpus_per_worker", "partition_rows")


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Where a run goes that is too long for one process."""
    cluster = parser.add_argument_group("cluster")
    cluster.add_argument(
        "--cluster", choices=["ray"], help="run over a Ray cluster, or workers on this machine; -o is then a folder"
    )
    cluster.add_argument("--workers", type=whole, metavar="N", help="default: one for each GPU, else 2")
    cluster.add_argument("--gpus-per-worker", type=number, metavar="X", help="default: what the model's options take")
    cluster.add_argument("--ray-address", metavar="ADDR", help="default: RAY_ADDRESS, else this machine alone")
    cluster.add_argument("--partition-rows", type=whole, metavar="N", help="input rows in a part (default 1000)")


def check_cluster(arguments: argparse.Namespace) -> None:
    """Raise `InputError` for options that do not go together, before anything is read."""
    if not arguments.cluster:
        given = [name for name in CLUSTER_ONLY if getattr(arguments, name) is not None]
        if given:
            raise InputError(f"--{given[0].replace('_', '-')} goes with --cluster ray; add that or leave it out")
        return
    if not arguments.output:
        raise InputError("--cluster ray writes a folder of Parquet files: name it with -o FOLDER")
    if arguments.budget is not None:
        raise InputError(
            "--budget watches the calls of one process, and --cluster ray has several: leave it out (--dry-run tells "
            "the cost), or run without --cluster ray"
        )
    if not arguments.dry_run:
        from simfarm.runs.cluster import ray_missing

        missing = ray_missing()
        if missing:
            raise InputError(missing)


def run_on_cluster(arguments: argparse.Namespace, run: Run[Record, Result], records: Sequence[Record]) -> int:
    """Has the parts made that are missing, with a progress bar of parts, and sums up on stderr; gives the exit
    status."""
    from simfarm.cli.progress import progress
    from simfarm.runs.annotation import AnnotationRun
    from simfarm.runs.cluster import TRIES, Pool, folder_of, run_parts

    if isinstance(run, AnnotationRun) and run.judge.auxiliary:
        raise InputError(
            f"{run.name} derives its criteria from all answers to an instruction, which a part of the file may not "
            "hold: run it without --cluster ray"
        )
    folder = folder_of(run, records, arguments.output, arguments.partition_rows)
    missing = folder.missing()
    if arguments.dry_run:
        answer(run.estimate([record for part in missing for record in part.records]))
        return 0
    for line in run.notes(records):
        say(line)
    folder.begin()
    known = len(folder.parts) - len(missing)
    if known:
        say(f"{known} of {len(folder.parts)} parts are there already")
    if not missing:
        return 0
    pool = Pool(arguments.workers, arguments.gpus_per_worker, arguments.ray_address)
    lost = len(missing)
    with progress(run.name, lost) as bar, closing(run_parts(run, missing, folder.path, pool)) as parts:
        for _ in parts:
            lost -= 1
            bar.step(run.pace())
    folder.tidy()
    say(f"wrote {arguments.output} ({folder.written()} of {len(folder.parts)} parts)")
    for line in run.closing_lines():
        say(line)
    if lost:
        say(
            f"{plural(lost, 'part')} could not be made: each failed, or its worker died {TRIES} times (out of "
            "memory?); Ray's log files say why. Run the same command again: only what is missing is asked",
        )
    return 4 if lost else run.tallies.exit_status
