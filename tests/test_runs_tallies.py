"""What runs count: parts add up to the whole, failures keep their records' places, clocks are each machine's own."""

import pickle
import time

import pytest

from simfarm.data.records import Annotation, Comparison, Instruction
from simfarm.engine.stats import Stats
from simfarm.runs.options import RunOptions
from simfarm.runs.tallies import AnnotationTallies, Failure, GenerationTallies

PAIR = Comparison("Why?", "One.", "Two.", "a", "b")


def counted(*statuses: str) -> AnnotationTallies:
    tallies = AnnotationTallies(stats=Stats(asked=len(statuses), cost=0.5))
    for status in statuses:
        problem = None if status == "verdict" else "no label"
        tallies.count(Annotation(PAIR, "judge", None, status, error=problem, model="m"))
    return tallies


def test_annotations_of_parts_are_those_of_the_whole() -> None:
    whole = AnnotationTallies()
    for part in (counted("verdict", "error"), counted("verdict", "unparseable", "verdict")):
        whole.add(pickle.loads(pickle.dumps(part)), start=7)
    assert whole == AnnotationTallies(
        stats=Stats(asked=5, cost=1.0),
        status=counted("verdict", "error", "verdict", "unparseable", "verdict").status,
        problems=counted("error", "error").problems,
        answered_by=counted(*["verdict"] * 5).answered_by,
    )
    assert (whole.missing, whole.exit_status) == (2, 4)
    stopped = counted("error")
    stopped.stopped = "the budget"
    whole.add(stopped, start=0)
    assert (whole.stopped, whole.exit_status) == ("the budget", 3)


def test_failures_keep_the_place_of_their_records() -> None:
    asked = Instruction("Why?")
    second = GenerationTallies(
        made=1, further=1, repeated=1, failed=[Failure(2, asked, 0, "b"), Failure(1, asked, 1, "a")]
    )
    first = GenerationTallies(made=2, further=1, passing=1, failed=[Failure(3, asked, 0, "c")])
    whole = GenerationTallies()
    whole.add(second, start=5)
    whole.add(first, start=0)
    assert [(failure.position, failure.sample) for failure in whole.failed] == [(3, 0), (6, 1), (7, 0)]
    assert (whole.made, whole.further, whole.repeated, whole.passing, whole.missing) == (3, 2, 1, 1, 3)


def test_the_moment_a_run_began_travels_as_seconds_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = pickle.dumps(Stats(output_tokens=10, since=time.perf_counter() - 5))
    monkeypatch.setattr("simfarm.engine.stats.time.perf_counter", lambda: 100.0)
    arrived = pickle.loads(packed)
    assert arrived.since == pytest.approx(95.0, abs=1.0)
    whole = Stats()
    whole.add(Stats())
    assert whole.since is None
    for stats in (Stats(since=97.0, budgeted=True), arrived, Stats()):
        whole.add(stats)
    assert (whole.since, whole.output_tokens, whole.budgeted) == (arrived.since, 10, True)


def test_workers_share_the_caps_of_the_run() -> None:
    options = RunOptions(rpm=300, tpm=9000, timeout=30)
    assert options.shared_by(3) == RunOptions(rpm=100, tpm=3000, timeout=30)
    assert RunOptions(concurrency=4).shared_by(2) == RunOptions(concurrency=4)
