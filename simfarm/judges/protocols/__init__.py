"""What kinds of question a judge can ask: one module for each, all with the same functions.

`judge.protocol` names the kind. They are pure: what is asked follows from the record and the judge alone, and a verdict
from the answer alone. What is the same for every kind of question stands in `simfarm.judges.question`.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping, Sequence

from simfarm.data.decision import Decision
from simfarm.data.exchange import Completion, Message
from simfarm.data.records import Comparison
from simfarm.judges.protocols import joint, likelihood, pairwise, ranking, rating
from simfarm.judges.spec import Judge
from simfarm.judges.verdict import Verdict

__all__ = ["PROTOCOLS", "Protocol", "protocol_of"]


class Protocol(typing.Protocol):
    """A kind of question. `order` says which texts of the record are shown, in the order in which they are ("12": both,
    output_1 first; "1": the one there is); it stands in files, and None is for a record that needs no question: that is
    a tie."""

    def calls(self, judge: Judge, comparison: Comparison, repeats: int) -> Iterator[tuple[str | None, int]]:
        """(order, repeat) of every call that a record needs, as they come in a file."""

    def messages(self, judge: Judge, comparison: Comparison, order: str) -> tuple[Message, ...]:
        """What the judge is sent for one call."""

    def messages_of(self, judge: Judge, shown: Sequence[tuple[Comparison, str]]) -> tuple[Message, ...]:
        """The same for several (record, order) in one prompt; this and `parse_all` where judges can be asked so."""

    def parse(self, judge: Judge, answer: Completion | Decision) -> Verdict:
        """The verdict in an answer, on what was shown; not `found` where there is none."""

    def parse_all(
        self, judge: Judge, answer: Completion | Decision, shown: Sequence[tuple[Comparison, str]]
    ) -> list[Verdict]:
        """The verdicts on each of the (record, order) that were shown together."""

    def preference(self, verdict: Verdict, order: str | None) -> float | None:
        """The file's preference (1.0 output_1 … 2.0 output_2) for a verdict on what was shown in `order`, None for
        none."""

    def scores(self, verdict: Verdict, order: str | None) -> Mapping[str, float] | None:
        """The file's scores for those of a verdict on what was shown in `order`, None for none."""


PROTOCOLS: Mapping[str, Protocol] = {
    "pairwise": pairwise,
    "rating": rating,
    "ranking": ranking,
    "joint": joint,
    "likelihood": likelihood,
}
"""The word in a judge's file -> the module."""


def protocol_of(judge: Judge) -> Protocol:
    """The kind of question that a judge asks."""
    return PROTOCOLS[judge.protocol]
