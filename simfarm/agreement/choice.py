"""Which judge to take: agreement with people against what it costs.

A judge is on the front where no other agrees as much for less: whoever is off it is dominated. On noise a front has
many, so the plainer answer is beside it: the cheapest judge that the best one is not shown to beat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simfarm.errors import InputError

if TYPE_CHECKING:
    from simfarm.agreement.card import ReportCard

__all__ = ["Choice", "choice_of"]

COST = "price_per_1000"


@dataclass(frozen=True)
class Choice:
    """The judges of a `card`, by agreement. `front` are those that no other beats in agreement and price at once (empty
    where no price is known), `unpriced` those without a price, who have no place there. `enough` is the cheapest that
    the best is not shown to beat, the best itself where all others are; None without prices."""

    card: ReportCard
    front: tuple[str, ...]
    unpriced: tuple[str, ...]
    enough: str | None


def choice_of(card: ReportCard) -> Choice:
    """The choice among the judges of a card with people's labels. Raises `InputError` for fewer than two judges, and
    without labels."""
    if len(card.judges) < 2:
        raise InputError(f"there is only {card.judges[0].name!r}; name two judges or more to choose among")
    if not card.people:
        raise InputError("which judge is better is told by people's labels; give --human LABELS")
    agreement = {row.name: a.value for row in card.judges if (a := row.get("agreement")) is not None}
    price = {row.name: p.value for row in card.judges if (p := row.get(COST)) is not None}
    both = [name for name in agreement if name in price]
    front = tuple(name for name in both if not any(_beats(other, name, agreement, price) for other in both))
    beaten = {pair.b for pair in card.pairs if pair.real and pair.a == card.judges[0].name}
    equal = [name for name in both if name not in beaten]
    enough = min(equal, key=lambda name: (price[name], -agreement[name])) if equal else None
    return Choice(card, front, tuple(row.name for row in card.judges if row.name not in price), enough)


def _beats(other: str, name: str, agreement: dict[str, float], price: dict[str, float]) -> bool:
    """Whether the other agrees as much for as little, and one of the two is better."""
    gains = agreement[other] - agreement[name], price[name] - price[other]
    return min(gains) >= 0 and max(gains) > 0
