"""Scores of samples by a judge: each sample against the baseline's output, or against its siblings.

Both are comparisons like any other, so they pass through the same judge, store and budget as `annotate`; what is added
is who meets whom, and that no question is asked twice: samples with the same text share their comparisons, and are a
tie with each other without a call.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from simfarm.data.pairing import compared, pair_with_baseline
from simfarm.data.records import Annotation, Comparison, Output
from simfarm.judges import Judge
from simfarm.selection.samples import Cost, Manner, Scores, stable_number
from simfarm.statistics.swaps import asked_orders, swap_means, wanted_both
from simfarm.text.words import plural

__all__ = ["Contest", "against_baseline", "against_siblings", "judged_manner", "sibling_pairs"]


@dataclass(slots=True)
class Meeting:
    """One comparison and the samples (positions) that share it: those with its output_1, those with its output_2.
    A sample that is named twice meets two rivals with one text."""

    comparison: Comparison
    group: int
    firsts: list[int] = field(default_factory=list)
    seconds: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Contest:
    """Who meets whom: `outputs` are all of the file, `groups` as from `sample_groups`.

    `prior` is how many wins, and as many losses, a score starts with: none where everyone has one opponent; one (the
    mean under a uniform prior, Laplace's rule) where the number of verdicts can differ, or the sample with one lucky
    verdict would beat the one that won fourteen of fifteen."""

    outputs: Sequence[Output]
    groups: Sequence[Sequence[int]]
    meetings: list[Meeting]
    prior: int = 0

    @property
    def comparisons(self) -> list[Comparison]:
        """What the judge is to be asked, in input order."""
        return [meeting.comparison for meeting in self.meetings]

    def uneven(self) -> int:
        """How many samples are output_1 of their comparisons more often than output_2, or less often: those that a
        judge asked in one order only treats unlike the rest. A comparison of equal texts is never shown."""
        lead = Counter[int]()
        for meeting in self.meetings:
            if meeting.comparison.output_1 != meeting.comparison.output_2:
                lead.update(meeting.firsts)
                lead.subtract(meeting.seconds)
        return sum(count != 0 for count in lead.values())

    def order_notes(self, judge: Judge) -> list[str]:
        """What a user must know of a judge that sees every pair in one order only."""
        one_order = judge.order in ("fixed", "alpaca-eval") and judge.rule in (None, "first") and judge.scoring is None
        uneven = self.uneven() if one_order and self.prior else 0
        if not uneven:
            return []
        samples = plural(uneven, "sample is", "samples are")
        return [
            f"warning: {samples} shown first more often than second, or less often, and the judge's order "
            f"is {judge.order}: where it leans to a position they gain or lose by it; --order both is even"
        ]

    def scores(self, annotations: Iterable[Annotation]) -> Scores:
        """Each sample's mean preference, in [0, 1], over its comparisons that have a verdict and the `prior`; NaN
        without a verdict.

        `annotations` are the judge's answers to `comparisons`, averaged as in every estimate (`swap_means`). The cost
        is of every question asked, repairs and earlier attempts too.
        """
        place = {id(meeting.comparison): k for k, meeting in enumerate(self.meetings)}
        questions: dict[tuple[int, int], int] = {}
        recorded = np.full(len(self.meetings), -1, dtype=np.int64)
        calls: list[tuple[int, float, str | None]] = []
        costs = [Cost() for _ in self.groups]
        for annotation in annotations:
            k = place[id(annotation.comparison)]
            p = math.nan if annotation.preference is None else annotation.preference - 1
            calls.append((questions.setdefault((k, annotation.repeat), len(questions)), p, annotation.order))
            if annotation.judge_order is not None:
                recorded[k] = annotation.judge_order == "both"
            if annotation.calls:
                cost = costs[self.meetings[k].group]
                cost.add(annotation.calls, annotation.input_tokens, annotation.output_tokens)
        won: list[list[float]] = [[] for _ in self.outputs]
        for meeting, p in zip(self.meetings, self._preferences(questions, calls, recorded), strict=True):
            if not math.isnan(p):
                for row in meeting.firsts:
                    won[row].append(1 - p)
                for row in meeting.seconds:
                    won[row].append(p)
        # rounded, so that equal records are a tie whatever order they were added up in
        values = [round(self._score(record), 12) for record in won]
        return Scores(values, costs, [len(record) for record in won])

    def _preferences(
        self,
        questions: Mapping[tuple[int, int], int],
        calls: Sequence[tuple[int, float, str | None]],
        recorded: NDArray[np.int64],
    ) -> list[float]:
        """p of each meeting, from the calls: (question, p, order), and whether it was to be asked in both orders, as
        `recorded` for `wanted_both`."""
        comparison = np.array([k for k, _ in questions], dtype=np.int64)
        question = np.array([number for number, _, _ in calls], dtype=np.int64)
        order = np.array([order or "" for _, _, order in calls], dtype=object)
        p = np.array([p for _, p, _ in calls], dtype=float)
        n, asked = len(self.meetings), (order == "12", order == "21")
        wanted = wanted_both(asked_orders(question, comparison, asked, n), recorded)
        means, _ = swap_means(question, comparison, p, asked, n, both_wanted=wanted)
        return [float(mean) for mean in means]

    def _score(self, record: Sequence[float]) -> float:
        return (math.fsum(record) + self.prior) / (len(record) + 2 * self.prior) if record else math.nan


def against_baseline(
    outputs: Sequence[Output],
    groups: Sequence[Sequence[int]],
    baseline: Sequence[Output],
    *,
    allow_missing: bool = False,
    note: Callable[[str], None] | None = None,
) -> Contest:
    """Every sample against the baseline's output to its instruction (its first, where it has several: rivals for one
    place must meet the same opponent). Raises `InputError` as `pair_with_baseline`."""
    fixed: dict[tuple[str, str | None], Output] = {}
    for output in sorted(baseline, key=lambda o: o.sample):
        fixed.setdefault((output.instruction.strip(), output.dataset), output)
    candidates, alike = [], {}
    for number, group in enumerate(groups):
        texts: dict[str, list[int]] = {}
        for row in group:
            texts.setdefault(outputs[row].output, []).append(row)
        for rows in texts.values():
            alike[rows[0]] = (number, rows)
            candidates.append(_marked(outputs[rows[0]], rows[0]))
    in_order = [o for o in baseline if fixed[o.instruction.strip(), o.dataset] is o]
    pairs = pair_with_baseline(candidates, in_order, allow_missing=allow_missing, note=note)
    meetings = []
    for pair in pairs:
        row = pair.extra["row"]
        number, rows = alike[row]
        named = replace(pair, generator_2=_name(outputs[row]))
        meetings.append(Meeting(named, number, seconds=rows))
    return Contest(outputs, groups, meetings)


def _marked(output: Output, row: int) -> Output:
    """The output with its position; what else its row says (a reference, a checklist) a judge may be shown."""
    return replace(output, extra={**output.extra, "row": row})


def _name(output: Output) -> str:
    """Whose output the judge is told of: a recording of sample 0 must not answer for the others."""
    return f"{output.generator} #{output.sample}" if output.sample else output.generator


def against_siblings(outputs: Sequence[Output], groups: Sequence[Sequence[int]], rivals: int | None = None) -> Contest:
    """Every sample against `rivals` of its siblings, or against all. A sample without siblings ties with itself.

    Samples with the same text share their questions, and so an order: see `Contest.uneven`."""
    meetings: list[Meeting] = []
    for number, group in enumerate(groups):
        circle = sorted(group, key=lambda i: stable_number("rivals", outputs[i].instruction.strip(), outputs[i].sample))
        shared: dict[frozenset[str], Meeting] = {}
        for first, second in sibling_pairs(len(group), rivals) or [(0, 0)]:
            one, two = circle[first], circle[second]
            texts = frozenset({outputs[one].output, outputs[two].output})
            if texts not in shared:
                shared[texts] = Meeting(_siblings(outputs[one], outputs[two]), number)
            meeting = shared[texts]
            if outputs[one].output != meeting.comparison.output_1:
                one, two = two, one
            meeting.firsts.append(one)
            if one != two:
                meeting.seconds.append(two)
        meetings += shared.values()
    return Contest(outputs, groups, meetings, prior=1)


def _siblings(one: Output, two: Output) -> Comparison:
    made = compared(one, two)
    # all siblings are one company, whichever sample is the second
    extra = {k: v for k, v in made.extra.items() if k != "sample"}
    return replace(made, generator_1=_name(one), generator_2=_name(two), extra=extra)


def sibling_pairs(n: int, rivals: int | None = None) -> list[tuple[int, int]]:
    """Who meets whom among n places on a circle, so that everyone meets `rivals` others (n - 1 where that is less).

    Neighbours at distance 1, 2, … meet, which gives everyone the same number of rivals, and makes everyone the first
    of a pair as often as the second. An odd number of rivals is completed by those opposite each other, where half of
    the places are first once more and half second; where n is odd too, one place is left with one rival less.
    """
    wanted = n - 1 if rivals is None else min(rivals, n - 1)
    whole = [(i, (i + step) % n) for step in range(1, wanted // 2 + 1) for i in range(n)]
    if wanted % 2 == 0:
        return whole
    half = n // 2
    if n % 2 == 0:
        return whole + [(i, i + half) for i in range(half)]
    # steps of (n-1)/2 go once round all places: every other step is a pair
    tour = [i * half % n for i in range(n)]
    return whole + list(zip(tour[:-1:2], tour[1::2], strict=True))


def judged_manner(
    judge: Judge, *, against: str | None, rivals: int | None = None, order: str | None = None, repeats: int = 1
) -> Manner:
    """How samples were chosen by a judge: `against` the baseline's generator, or (None) against `rivals` siblings.
    `order` is one that the user asked for; the hash in `method` covers it, the template and the model."""
    by = f"by {judge.name}"
    if judge.rule is None and judge.model:
        by += f" ({judge.model})"
    if order is not None:
        by += f" order {order}"
    if repeats > 1:
        by += f" {repeats} times"
    method = f"by judge {judge.name} ({judge.hash})"
    if against is not None:
        return Manner(f"{by} against {against}", f"best-of-n {method}", {"selection_baseline": against})
    if rivals is not None:
        by += f" {rivals} rivals"
    return Manner(by, f"win-share {method}", {"selection_rivals": rivals})
