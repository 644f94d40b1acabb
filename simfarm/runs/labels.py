"""Which labels a population gives, and what must be asked for them: all by hashes, before anything is asked.

A label is wanted of one person about one comparison. Most need a verdict of the member who was drawn; those that noise
decides need none. In a calibrated crowd the member is asked several times about a comparison, and all of its people's
labels are drawn around what those runs say. Where a member takes several comparisons in one prompt, its calls are
packed in the order of the file: rows that are added at its end change no prompt but the last, unfilled one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from simfarm.data.records import Comparison
from simfarm.judges.draws import comparison_key, ranked, uniform
from simfarm.judges.marks import check_records
from simfarm.judges.population import Population
from simfarm.judges.protocols import protocol_of
from simfarm.runs.asking import Call, Member

__all__ = ["Item", "Label", "Plan"]


@dataclass(frozen=True, slots=True)
class Label:
    """One label: by which `person`, and `coin`, the preference that noise puts in the place of a verdict (None: ask).
    `member` is the position of the one who is asked."""

    person: str
    member: int
    coin: float | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """What is wanted about one comparison: its labels, and how many calls each of `asked` (members, in the order of the
    calls) makes."""

    comparison: Comparison
    key: str
    labels: tuple[Label, ...]
    asked: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The labels of a population about comparisons, `annotators` each; `soft` wants the mean of all, and no noise."""

    population: Population
    comparisons: Sequence[Comparison]
    annotators: int = 1
    soft: bool = False

    def items(self) -> Iterator[Item]:
        """Each comparison with its labels, in input order."""
        for comparison in self.comparisons:
            yield self._item(comparison)

    def _item(self, comparison: Comparison) -> Item:
        people, key = self.population, comparison_key(comparison)
        places = {member.key: place for place, member in enumerate(people.members)}
        order = [places[name] for name in ranked(people.weights, "member", key)]
        if people.crowd is not None:
            asked = order[0]
            labels = tuple(Label(person, asked) for person in self._persons(key))
            return Item(comparison, key, labels, (asked,))
        same = comparison.output_1 == comparison.output_2
        labels = tuple(Label(people.members[m].name, m, self._coin(key, m, same)) for m in order[: self.annotators])
        return Item(comparison, key, labels, tuple(label.member for label in labels if label.coin is None))

    def _persons(self, key: str) -> Sequence[str]:
        """The people of a calibrated crowd who label a comparison; nobody in particular where the mean is wanted."""
        n = self.population.people
        if self.soft:
            return [""]
        if n is None:
            return [f"person-{k}" for k in range(1, self.annotators + 1)]
        names = [f"person-{k:0{len(str(n))}d}" for k in range(1, n + 1)]
        return ranked(dict.fromkeys(names, 1.0), "person", key)[: self.annotators]

    def _coin(self, key: str, place: int, same: bool) -> float | None:
        """What noise says of a comparison: with a chance of twice the flip rate a fair coin, which is then right half
        of the time, else nothing (Dubois et al. 2023, AlpacaFarm). Identical outputs are a tie to everyone."""
        member = self.population.members[place].key
        if self.soft or same or uniform("noise", key, member) >= 2 * self.population.flip:
            return None
        return 2.0 if uniform("coin", key, member) < 0.5 else 1.0

    def questions(self, item: Item, member: int) -> list[tuple[str | None, int]]:
        """(order, repeat) of the calls that a member makes about a comparison: once as its judge asks, or as many as a
        crowd wants runs, in turn in its orders. A member whose twin stands before it makes draws of its own."""
        people = self.population
        judge = people.members[member].judge
        if people.crowd is None:
            twins = [other.judge.hash for other in people.members[:member]].count(judge.hash)
            calls = protocol_of(judge).calls(judge, item.comparison, 1)
            return [(order, repeat + (twins if order else 0)) for order, repeat in calls]
        return list(islice(protocol_of(judge).calls(judge, item.comparison, people.crowd.runs), people.crowd.runs))

    def calls(self, seats: Sequence[Member], items: Iterator[Item] | None = None) -> Iterator[Call]:
        """Every call, comparison by comparison, in the order of each one's `asked`; `seats` are the members as they are
        asked, in the population's order. `items` are those of this plan, where somebody goes through them anyway."""
        for member in self.population.members:
            check_records(member.judge, self.comparisons)
        packs = {place: _Pack(self, place) for place, m in enumerate(self.population.members) if m.comparisons > 1}
        for each in packs.values():
            each.fill()
        for item in items or self.items():
            for place in item.asked:
                questions = self.questions(item, place)
                pack = packs.get(place)
                if pack is None or questions[0][0] is None:
                    yield from (Call(item.comparison, order, repeat, seats[place]) for order, repeat in questions)
                    continue
                for turn, (order, repeat) in enumerate(questions):
                    mates, at = pack.mates(turn)
                    yield Call(item.comparison, order, repeat, seats[place], mates if len(mates) > 1 else (), at)
                pack.next()


class _Pack:
    """The prompts of a member who takes several comparisons in one: whom each shows, as the calls come to them."""

    def __init__(self, plan: Plan, member: int) -> None:
        self._plan = plan
        self._member = member
        self._size = plan.population.members[member].comparisons
        self._places = array("q")
        self._nth = 0
        self._shown: tuple[int, dict[int, tuple[tuple[Comparison, str], ...]]] = (-1, {})

    def fill(self) -> None:
        """Finds the comparisons that the member is asked about."""
        for place, item in enumerate(self._plan.items()):
            if self._member in item.asked and item.comparison.output_1 != item.comparison.output_2:
                self._places.append(place)

    def mates(self, turn: int) -> tuple[tuple[tuple[Comparison, str], ...], int]:
        """(all that the prompt of the present comparison shows in its `turn`th call, the comparison's place in it)."""
        number, at = divmod(self._nth, self._size)
        if self._shown[0] != number:
            self._shown = (number, {})
        if turn not in self._shown[1]:
            start = number * self._size
            self._shown[1][turn] = tuple(
                self._turned(place, turn) for place in self._places[start : start + self._size]
            )
        return self._shown[1][turn], at

    def next(self) -> None:
        """Goes on to the member's next comparison."""
        self._nth += 1

    def _turned(self, place: int, turn: int) -> tuple[Comparison, str]:
        item = self._plan._item(self._plan.comparisons[place])
        order, _ = self._plan.questions(item, self._member)[turn]
        assert order is not None
        return item.comparison, order
