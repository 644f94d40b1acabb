"""The joint protocol: of two answers to two instructions, which is the better of its kind? Pure functions.

Judges that only ever compare answers to one instruction say nothing across instructions (Bansal et al. 2024, Comparing
Bad Apples to Good Oranges). A comparison that is not joint is one whose two instructions are the same. Replies are read
as those about pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from simfarm.data.decision import Decision
from simfarm.data.exchange import Completion, Message
from simfarm.data.joint import instructions_of
from simfarm.data.records import Comparison
from simfarm.errors import InputError
from simfarm.judges.orders import orders
from simfarm.judges.protocols import pairwise
from simfarm.judges.spec import Judge
from simfarm.judges.verdict import Verdict

__all__ = ["calls", "messages", "messages_of", "parse", "parse_all", "preference", "refuse_joint", "scores"]


def refuse_joint(judge: Judge) -> InputError:
    """What is said where the outputs answer two instructions and the judge is shown one."""
    return InputError(
        f"these are joint comparisons (instruction_1, instruction_2), and the judge {judge.name} is shown one "
        "instruction; name one with protocol: joint (joint-letter)"
    )


def calls(judge: Judge, comparison: Comparison, repeats: int) -> Iterator[tuple[str | None, int]]:
    """(order, repeat) of every question about a pair. The same answer to the same instruction is a tie without one."""
    one, other = instructions_of(comparison)
    if one == other and comparison.output_1 == comparison.output_2:
        yield None, 0
        return
    for repeat in range(repeats):
        for order in orders(judge.order, comparison):
            yield order, repeat


def messages(judge: Judge, comparison: Comparison, order: str) -> tuple[Message, ...]:
    """What the judge is sent: each instruction with its answer, in the order in which they are shown."""
    asked = instructions_of(comparison)
    return judge.compiled.render_joint(comparison, order, asked, judge.criteria)


def messages_of(judge: Judge, shown: Sequence[tuple[Comparison, str]]) -> tuple[Message, ...]:
    """The same, for exactly one."""
    ((comparison, order),) = shown
    return messages(judge, comparison, order)


def parse(judge: Judge, answer: Completion | Decision) -> Verdict:
    """The verdict in an answer, as on a pair."""
    return pairwise.parse(judge, answer)


def parse_all(judge: Judge, answer: Completion | Decision, shown: Sequence[tuple[Comparison, str]]) -> list[Verdict]:
    """The same as a list of one."""
    return [parse(judge, answer) for _ in shown]


def preference(verdict: Verdict, order: str | None) -> float | None:
    """The file's preference, as of a pair."""
    return pairwise.preference(verdict, order)


def scores(verdict: Verdict, order: str | None) -> Mapping[str, float] | None:
    """The scores of a verdict by the output they are of, as of a pair."""
    return pairwise.scores(verdict, order)
