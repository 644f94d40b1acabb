"""Readers side by side, as pictures: what people and judges reward, and what two judges make of the same models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from simfarm.agreement.dissect import DISCOVERY, OUTPUT_2, called
from simfarm.errors import InputError
from simfarm.report.plots.forest import Forest, Series, draw
from simfarm.report.plots.style import LOOKS, PEOPLE, WIDE, Look, label, percent
from simfarm.text.marks import SHOWN_FIRST
from simfarm.text.words import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simfarm.agreement.dissect import Rewards
    from simfarm.ranking import Rejudged
    from simfarm.report.dissected import Dissection
    from simfarm.statistics.estimate import Estimate

__all__ = ["rejudged", "rejudged_forest", "rewards", "rewards_forests"]

_NAME = 24
_WORDS = {SHOWN_FIRST: "shown first", OUTPUT_2: "being output_2"}
_FILE = 36
_APART = 2
"""Judges up to which each has a picture of its own, on the comparisons that it shares with people."""
_FAR = 3
"""Times the largest weight, from which on a limit is an arrow."""


def rewards(dissection: Dissection, axes: Axes | None = None, *, judge: str | None = None, width: float = WIDE) -> Axes:
    """How much each property of the outputs weighs for people and for a judge (the first, where none is named), in
    logits for one spread of the outputs' difference; * marks those in which the two differ beyond chance.

    Raises `InputError` for a judge that is not in it."""
    known = {one.name: one for one in dissection.rewards}
    if judge is not None and judge not in known:
        raise InputError(f"no judge {judge!r}; there are {', '.join(known)}")
    one = dissection.rewards[0] if judge is None else known[judge]
    return draw(_forest([one], dissection.level), axes, width)


def rewards_forests(dissection: Dissection) -> list[Forest]:
    """One for each of two judges; of more the first six in one."""
    if len(dissection.rewards) <= _APART:
        return [_forest([one], dissection.level) for one in dissection.rewards]
    return [_forest(dissection.rewards, dissection.level)]


def _forest(judges: Sequence[Rewards], level: float) -> Forest:
    """The weights of judges, and of people on the most comparisons that one of them shares with them."""
    shown = judges[: len(LOOKS)]
    widest = max(shown, key=lambda one: one.n_comparisons)
    readers: list[tuple[str, Mapping[str, Estimate], Look]] = []
    if widest.people:
        readers.append(("people", widest.people, PEOPLE))
    readers += [(label(one.name, _NAME), one.judge, look) for one, look in zip(shown, LOOKS, strict=False)]
    names = list(dict.fromkeys(name for _, weights, _ in readers for name in weights))
    differs = {name for name, q in widest.q.items() if q <= DISCOVERY and len(shown) == 1}
    words = [_WORDS.get(name, called(name)) + (" *" if name in differs else "") for name in names]
    left = len(judges) - len(shown)
    series = [
        Series(who, np.array([_numbers(weights.get(name), level) for name in names]), look)
        for who, weights, look in readers
    ]
    return Forest(
        names=words,
        series=_legible(series),
        what=("weight" if len(readers) > 1 else f"weight for {readers[0][0]}")
        + ", logits for one spread of the difference"
        + ("; * judge and people differ" if differs else "")
        + f"\n{percent(level)} intervals, {plural(widest.n_comparisons, 'comparison')}"
        + (f"; {plural(left, 'more judge')} not drawn" if left else ""),
        lines=[(0.0, "-")],
        rows="property",
    )


def _legible(series: Sequence[Series]) -> list[Series]:
    """The same with limits as endless that are so far out that nothing else could be read: a judge that follows a rule
    has weights of any size."""
    values = np.concatenate([one.values[:, 0] for one in series])
    end = _FAR * max(1.0, float(np.nanmax(np.abs(values))))
    made = []
    for one in series:
        shown = one.values.copy()
        limits = shown[:, 1:]
        limits[limits < -end], limits[limits > end] = -np.inf, np.inf
        made.append(one._replace(values=shown))
    return made


def _numbers(e: Estimate | None, level: float) -> tuple[float, float, float]:
    return (np.nan,) * 3 if e is None else (e.value, *e.interval(level))


def rejudged(both: Rejudged, axes: Axes | None = None, *, width: float = WIDE) -> Axes:
    """The win rates that two judges give the same models, those of the first from above, and the second's less the
    first's beside them."""
    return draw(rejudged_forest(both), axes, width)


def rejudged_forest(both: Rejudged) -> Forest:
    """What `rejudged` draws."""
    table = both.table
    sides = {side: [f"win_rate_{side}", f"win_rate_{side}_low", f"win_rate_{side}_high"] for side in ("a", "b")}
    names = {"a": both.annotator_a, "b": both.annotator_b}
    return Forest(
        names=[str(model) for model in table["model"]],
        series=[
            Series(f"{side.upper()}: {label(names[side], _FILE)}", table[columns].to_numpy(float), look)
            for (side, columns), look in zip(sides.items(), LOOKS, strict=False)
        ],
        what=f"preferred over {label(both.baseline, _NAME)}, %\n{percent(both.level)} intervals, "
        f"{plural(both.n_instructions, 'instruction')}",
        within=(0, 100),
        lines=[(50, "-")],
        columns=[("B − A", [f"{value:+.1f}".replace("-", "−") for value in table["difference"]])],
    )
