"""Half of a swap is no verdict: one rule, for rankings and for samples that are chosen among."""

import numpy as np

from simfarm.data.records import Annotation, Output
from simfarm.selection.contests import against_siblings
from simfarm.statistics.swaps import Orders, swap_means


def means(*calls: tuple[int, int, str, float], n: int = 1) -> tuple[list[float], Orders]:
    """Of calls (comparison, repeat, order, p)."""
    questions: dict[tuple[int, int], int] = {}
    question = np.array([questions.setdefault(call[:2], len(questions)) for call in calls], dtype=np.int64)
    comparison = np.array([k for k, _ in questions], dtype=np.int64)
    order, p = np.array([call[2] for call in calls], dtype=object), np.array([call[3] for call in calls])
    found, orders = swap_means(question, comparison, p, (order == "12", order == "21"), n)
    return found.tolist(), orders


def test_a_question_that_lost_an_order_leaves_its_comparison_to_the_others() -> None:
    nan = float("nan")
    whole = [(0, 0, "12", 1.0), (0, 0, "21", 0.5)]
    assert means(*whole, (0, 1, "12", 0.0), (0, 1, "21", nan)) == ([0.75], Orders(0.0, 1.0, twice_asked=1))
    assert means(*whole, (0, 1, "12", 0.0)) == ([0.75], Orders(0.0, 1.0, twice_asked=1))
    (first, second), orders = means(*whole, (1, 0, "21", 0.0), n=2)
    assert (first, np.isnan(second), orders.half_asked) == (0.75, True, 1)
    assert means((0, 0, "12", 1.0), (0, 1, "12", 0.0)) == ([0.5], Orders(once_asked=1))
    assert np.isnan(means(n=1)[0]).all()


def test_a_sample_that_met_its_rival_in_one_order_only_has_no_verdict() -> None:
    outputs = [Output("q", text, "m", sample=k) for k, text in enumerate("ab")]
    contest = against_siblings(outputs, [(0, 1)])
    (pair,) = contest.comparisons
    both = [Annotation(pair, "j", p, "verdict" if p else "error", order=o) for p, o in ((2.0, "12"), (None, "21"))]
    assert np.isnan(contest.scores(both).values).all()
    assert contest.scores([both[0], Annotation(pair, "j", 2.0, "verdict", order="21")]).values != [0.5, 0.5]


def test_one_comparison_asked_twice_does_not_empty_two_hundred() -> None:
    once = [(k, 0, "12", float(k % 5 < 3)) for k in range(200)]
    found, orders = means(*once, (1, 0, "21", 0.0), n=200)
    assert found == [p if k != 1 else 0.5 for k, (_, _, _, p) in enumerate(once)]
    assert (orders.half_asked, orders.reversals, orders.once_asked, orders.twice_asked) == (0, 1.0, 199, 1)
    # half of them in both orders: whoever asks so means both
    twice = [(k, 0, "21", 1.0) for k in range(100)]
    found, orders = means(*once, *twice, n=200)
    assert (int(np.isnan(found).sum()), orders.half_asked) == (100, 100)
    assert not np.isnan(means(*once, *twice[:99], n=200)[0]).any()
    # an order that failed beside one that did not is half a swap under either protocol
    assert np.isnan(means(*once, (1, 0, "21", float("nan")), n=200)[0]).sum() == 1


def test_a_judge_that_records_both_orders_leaves_halves_without_a_verdict() -> None:
    """Though the half-asked are the majority, as where a budget ran out."""
    outputs = [Output("q", text, "m", sample=k) for k, text in enumerate("abcd")]
    contest = against_siblings(outputs, [(0, 1, 2, 3)])
    whole, *halves = contest.comparisons

    def scores(judge_order: str | None) -> list[float]:
        told = {"judge_order": judge_order}
        calls = [Annotation(whole, "j", 2.0, "verdict", order=o, **told) for o in ("12", "21")]
        calls += [Annotation(pair, "j", 2.0, "verdict", order="12", **told) for pair in halves]
        return contest.scores(calls).values

    assert int(np.isnan(scores("both")).sum()) == 2
    assert not np.isnan(scores("hashed")).any()
    assert not np.isnan(scores(None)).any()
