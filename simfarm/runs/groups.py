"""Which comparisons a judge that ranks is shown together: those of one instruction, whose outputs one reply orders.

The company of an output is part of what the judge saw, so it follows from the comparisons alone, in whichever order the
file has them, and a group is never split: parts of it would be verdicts in another company, and the pairs across parts
would have none.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

from simfarm.data.records import Comparison
from simfarm.errors import InputError
from simfarm.judges import Judge
from simfarm.judges.listing import MOST_OUTPUTS
from simfarm.judges.protocols.ranking import sequence, turned
from simfarm.text.words import plural

__all__ = ["Groups"]

Mates = tuple[tuple[Comparison, str], ...]


class Groups:
    """The groups of a run's comparisons, by places in `comparisons`: one instruction (of one dataset), one sample, and
    where a model's own samples are compared, that model. Raises `InputError` for a group that has more outputs than
    there are letters."""

    def __init__(self, comparisons: Sequence[Comparison]) -> None:
        self._comparisons = comparisons
        self._of = array("q")
        self._places: list[array[int]] = []
        numbers: dict[int, int] = {}
        texts: list[set[int]] = []
        for place, pair in enumerate(comparisons):
            own = pair.generator_1 if pair.generator_1 == pair.generator_2 else None
            key = hash((pair.instruction.strip(), pair.dataset, str(pair.extra.get("sample")), own))
            number = numbers.setdefault(key, len(numbers))
            if number == len(self._places):
                self._places.append(array("q"))
                texts.append(set())
            self._of.append(number)
            self._places[number].append(place)
            texts[number] |= {hash(pair.output_1), hash(pair.output_2)}
            if len(texts[number]) > MOST_OUTPUTS:
                raise _too_many(pair, len(texts[number]))
        self._known: tuple[object, list[tuple[Mates, dict[int, int]]]] = (None, [])

    def calls(self, place: int, judge: Judge, repeats: int) -> Iterator[tuple[str | None, int, Mates, int]]:
        """(order, repeat, all that the prompt is about, this one's place among them) of every question about the
        comparison at a place. Identical outputs are a tie without one."""
        pair = self._comparisons[place]
        if _alike(pair):
            yield None, 0, (), 0
            return
        prompts = self._prompts(self._of[place], judge)
        asked = sorted(((mates[at[place]][1], mates, at[place]) for mates, at in prompts), key=lambda one: one[0])
        for repeat in range(repeats):
            for order, mates, nth in asked:
                yield order, repeat, mates, nth

    def _prompts(self, number: int, judge: Judge) -> list[tuple[Mates, dict[int, int]]]:
        """(mates, place in the run -> place among them) of each prompt about a group: its order, and the reverse. Those
        of the last group are kept: the next comparison is mostly of the same."""
        if self._known[0] != (number, judge.order):
            places = [p for p in self._places[number] if not _alike(self._comparisons[p])]
            pairs = [self._comparisons[p] for p in places]
            texts = sequence(judge, pairs)
            at = {p: nth for nth, p in enumerate(places)}
            ways = (texts, texts[::-1]) if judge.order == "both" else (texts,)
            made = [(tuple((pair, turned(pair, way)) for pair in pairs), at) for way in ways]
            self._known = ((number, judge.order), made)
        return self._known[1]


def _alike(pair: Comparison) -> bool:
    return pair.output_1 == pair.output_2


def _too_many(pair: Comparison, count: int) -> InputError:
    return InputError(
        f"{plural(count, 'output')} and more to {pair.instruction[:40]!r}: a ranking has a letter for {MOST_OUTPUTS}; "
        "name fewer files, or use a judge that compares two (pairwise-letter)"
    )
