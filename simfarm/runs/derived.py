"""Runs of judges that derive their criteria: what calls compare, and what comparing every two answers would take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from simfarm.data.rated import Rated
from simfarm.data.records import Comparison
from simfarm.engine.runner import Engine
from simfarm.judges.derived import compared, instruction_key
from simfarm.judges.stages import told_to
from simfarm.runs.asking import Call, request_for
from simfarm.runs.outlook import most
from simfarm.text.words import plural

__all__ = ["beside_pairwise", "with_compared"]


def with_compared(calls: Iterable[Call], records: Sequence[Comparison], count: int) -> Iterator[Call]:
    """The calls, each with the answers that are compared for its instruction. Raises `InputError` as `compared`."""
    texts = compared(records, count)
    for call in calls:
        record = call.comparison
        if isinstance(record, Rated):
            record = replace(record, beside=texts[instruction_key(record)])
        yield replace(call, comparison=record)


def beside_pairwise(calls: Sequence[Call], engine: Engine) -> str:
    """What it would take to compare every two answers to an instruction in both orders, by the same model and with
    replies as long: each prompt as long as that of a rating, with a second answer in the place of the criteria.

    An answer a meets N−1 others in two orders, so that all prompts together have (N−1)·Σ(the rating of a, and a once
    more): nothing that grows with N² has to be gone through.
    """
    answers = Counter(instruction_key(call.comparison) for call in calls if call.repeat == 0)
    questions = tokens_in = tokens_out = 0
    prices: list[float | None] = []
    for call in calls:
        others = answers[instruction_key(call.comparison)] - 1
        assert call.order is not None
        rated = request_for(replace(call, told=told_to(call.member.judge.stages, {}, "", call.order)))
        other = {"role": "user", "content": call.comparison.output_1}
        used_in, used_out, price = engine.estimate(replace(rated, messages=(*rated.messages, other)))
        questions += others
        tokens_in, tokens_out = tokens_in + others * used_in, tokens_out + others * used_out
        prices.append(None if price is None else others * price)
    priced = "" if engine.backend.in_process else f", price {most(prices)}"
    return (
        f"to compare every two answers in both orders instead would be {plural(questions, 'question')}{priced}; at "
        f"most about {tokens_in:,} input and {tokens_out:,} output tokens"
    )
