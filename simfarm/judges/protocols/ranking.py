"""The ranking protocol: K outputs to one instruction in one prompt, and an ordering of them. Pure functions.

One reply gives a verdict on every pair of the outputs, so that K outputs are one question (two, in an order and its
reverse) where pairs are K(K − 1)/2. What is shown together are comparisons of one instruction: their texts, each once,
in an order that follows from them by a stable hash, and turned round where a comparison is wanted the other way. Every
pair is then seen both ways, as it is by a judge of pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from simfarm.data.cells import stable_digest
from simfarm.data.decision import Decision
from simfarm.data.exchange import Completion, Message
from simfarm.data.records import Comparison
from simfarm.judges.listing import Ordering, labels_of, parse_ordering
from simfarm.judges.protocols import pairwise
from simfarm.judges.spec import Judge
from simfarm.judges.verdict import Verdict

__all__ = ["calls", "messages", "messages_of", "parse", "parse_all", "preference", "scores", "sequence", "turned"]

Shown = tuple[Comparison, str]
"""A comparison and the order in which its outputs come."""


def sequence(judge: Judge, comparisons: Sequence[Comparison]) -> list[str]:
    """The texts of comparisons of one instruction, each once, in the one order that the judge has for them: by a hash
    of each, or as they come."""
    texts = list(dict.fromkeys(text for pair in comparisons for text in (pair.output_1, pair.output_2)))
    if judge.order != "fixed":
        texts.sort(key=lambda text: stable_digest("ranking", comparisons[0].instruction, text))
    return texts


def turned(comparison: Comparison, texts: Sequence[str]) -> str:
    """The order of a comparison whose outputs differ, where these texts are shown."""
    return "12" if texts.index(comparison.output_1) < texts.index(comparison.output_2) else "21"


def calls(judge: Judge, comparison: Comparison, repeats: int) -> Iterator[tuple[str | None, int]]:
    """(order, repeat) of every question about a pair that has no company. Identical outputs are a tie without one."""
    if comparison.output_1 == comparison.output_2:
        yield None, 0
        return
    both = judge.order == "both"
    for repeat in range(repeats):
        yield from ((order, repeat) for order in (("12", "21") if both else (_alone(judge, comparison),)))


def _alone(judge: Judge, comparison: Comparison) -> str:
    return turned(comparison, sequence(judge, [comparison]))


def messages(judge: Judge, comparison: Comparison, order: str) -> tuple[Message, ...]:
    """What the judge is sent about a pair that has no company: a ranking of two."""
    return messages_of(judge, [(comparison, order)])


def messages_of(judge: Judge, shown: Sequence[Shown]) -> tuple[Message, ...]:
    """What the judge is sent about all outputs of (comparison, order), which agree in how their texts follow."""
    texts = _shown(judge, shown)
    return judge.compiled.render_outputs(
        shown[0][0], dict(zip(labels_of(len(texts)), texts, strict=True)), judge.criteria
    )


def _shown(judge: Judge, shown: Sequence[Shown]) -> list[str]:
    """The texts in the order in which they are shown."""
    texts = sequence(judge, [comparison for comparison, _ in shown])
    comparison, order = shown[0]
    return texts if turned(comparison, texts) == order else texts[::-1]


def parse(judge: Judge, answer: Completion | Decision) -> Verdict:
    """The verdict on a pair that was shown without company."""
    places, said = _ordering(judge, answer, 2)
    return Verdict(None, said) if places is None else Verdict(_p_second(places["A"], places["B"]), reason=said)


def parse_all(judge: Judge, answer: Completion | Decision, shown: Sequence[Shown]) -> list[Verdict]:
    """The verdict on each of the comparisons whose outputs were shown: all of them, or none. The reason says by which
    letters."""
    texts = _shown(judge, shown)
    label = dict(zip(texts, labels_of(len(texts)), strict=True))
    places, said = _ordering(judge, answer, len(texts))
    if places is None:
        return [Verdict(None, said)] * len(shown)
    found = []
    for pair, order in shown:
        sides = label[pair.output_1], label[pair.output_2]
        first, second = sides[::-1] if order == "21" else sides
        who = f"output_1 is {sides[0]}, output_2 is {sides[1]} of {len(texts)}"
        found.append(Verdict(_p_second(places[first], places[second]), reason=f"{who}: {said}" if said else who))
    return found


def _ordering(judge: Judge, answer: Completion | Decision, count: int) -> tuple[Ordering | None, str | None]:
    spec = judge.verdict
    if spec is None or isinstance(answer, Decision):
        raise ValueError(f"judge {judge.name} reads orderings from text")
    return parse_ordering(answer, spec, count)


def _p_second(first: int, second: int) -> float:
    """How strongly the output that is shown second is preferred, by the places of both."""
    return 0.5 if first == second else float(second < first)


def preference(verdict: Verdict, order: str | None) -> float | None:
    """The file's preference, as of a pair."""
    return pairwise.preference(verdict, order)


def scores(verdict: Verdict, order: str | None) -> Mapping[str, float] | None:
    """The file's scores by what programs check, as of a pair; the ordering itself is one criterion."""
    return pairwise.scores(verdict, order)
