"""A report card as people read it: one judge's figures as lines, beside people and the longest output; many judges as a
table; and what the figures say to do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from simfarm.agreement.card import ONE_BY_ONE, scaled
from simfarm.agreement.figures import BOARDS, CALLS, CHANCE, FIGURES, HABITS, SOFT, TRUST, Figure, Row
from simfarm.data.sources import Source
from simfarm.report.jury import jury_part
from simfarm.report.tables import Part, Sheet
from simfarm.text.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from simfarm.agreement.card import ReportCard
    from simfarm.data.juries import JuryRule

__all__ = ["card_of", "card_sheet", "cell", "pairs_parts"]

_ROWS = 20
"""Judges that a table shows; files have all."""

_GROUPS = (
    ("can it be trusted?", (*TRUST, *CHANCE)),
    ("what moves it?", HABITS),
    ("its preferences as probabilities", SOFT),
    ("the models, as people rank them", BOARDS),
    ("its calls", CALLS),
)

_SHORT = (
    ("agreement", "with people"),
    ("above_longest", "over longest"),
    ("cohen_kappa", "κ"),
    ("first", "first"),
    ("reversals", "swapped"),
    ("longer", "longer"),
    ("longer_excess", "too long"),
    ("ties", "ties"),
    ("unparseable", "no reply"),
    ("spearman", "ranks"),
    ("price_per_1000", "$/1,000"),
)
_NARROW = ("ties", "longer", "no reply", "too long", "κ", "$/1,000", "swapped", "on", "ranks", "over longest")
"""What goes first where a terminal is narrow."""


_ABSENT = {
    "agreement": "agreement, and all that needs people",
    "winning_rate": "replacing people",
    "calibration_error": "calibration",
    "spearman": "ranks of models",
    "self_preference": "self-preference",
    "first": "position",
    "reversals": "swaps",
    "retest": "asking again",
    "longer": "length",
    "lists": "lists",
    "bold": "bold text",
    "price_per_1000": "price",
    "seconds_per_1000": "time",
}
"""What a reader misses, by the figure that would say it."""


def card_of(
    annotations: Sequence[Source],
    human: Sequence[Source] = (),
    *,
    level: float = 0.95,
    compat: str | None = None,
    own: Mapping[str, str] | None = None,
    epsilon: float = 0.1,
    mix_judges: bool = False,
    jury: JuryRule | None = None,
) -> ReportCard:
    """The report card of annotation files or tables and those of people's labels. Raises `InputError` for what cannot
    be read or matched."""
    from simfarm.agreement.card import report_card
    from simfarm.report.votes import read_votes

    votes = read_votes(annotations, human, mix_judges=mix_judges)
    return report_card(votes, level=level, compat=compat, own=own, epsilon=epsilon, jury=jury)


def card_sheet(card: ReportCard) -> Sheet:
    """The card as tables for people, all its columns, and plain values."""
    one_by_one = len(card.judges) <= ONE_BY_ONE
    parts = [_whole(card, row) for row in card.judges] if one_by_one else [_all(card)]
    parts += jury_part(card) + pairs_parts(card) + _alike(card) + _slices(card) + _sets(card)
    warnings = () if card.jury is None else card.jury.warnings
    return Sheet(parts, _with_kappas(card), card.to_json(), warnings)


def _with_kappas(card: ReportCard) -> pd.DataFrame:
    """The card's table, and of each judge its κ with every other one."""
    columns: dict[str, dict[str, float]] = {row.name: {} for row in card.judges} if card.alike else {}
    for one in card.alike:
        columns[one.b][one.a] = columns[one.a][one.b] = one.kappa
    made = {f"cohen_kappa_with_{name}": card.table["rater"].map(of) for name, of in columns.items()}
    return card.table.assign(**made)


def cell(row: Row | None, figure: Figure, *, interval: bool = True) -> str:
    """A figure as it is printed, with its interval; – for none."""
    numbers = None if row is None else scaled(row, figure)
    if numbers is None:
        return "–"
    digits = {"percent": 1, "points": 1, "number": 2, "dollars": 2, "seconds": 0}[figure.unit]
    sign = "+" if figure.unit == "points" else ""
    value, low, high = (_number(x, digits, sign) for x in numbers)
    return f"{value} ({low} to {high})" if interval and not math.isnan(numbers[1]) else value


def _number(x: float, digits: int, sign: str = "") -> str:
    if math.isinf(x):
        return "∞"
    rounded = round(x, digits) + 0.0
    return f"{rounded:{sign if rounded else ''},.{digits}f}".replace("-", "−")


def _whole(card: ReportCard, row: Row) -> Part:
    """One judge's card: a line a figure, and what to do."""
    beside = {other.kind: other for other in card.beside(row.name) if other.figures}
    heads = [name for name in ("people", "longest") if name in beside]
    rows: list[list[str]] = []
    for title, figures in _GROUPS:
        lines = [
            [f"  {figure.words}", cell(row, figure), *(cell(beside[name], figure, interval=False) for name in heads)]
            for figure in figures
            if row.get(figure.name) is not None or (figure.name == "pairwise" and "people" in beside)
        ]
        if lines:
            rows += [[title, *[""] * (1 + len(heads))], *lines]
    count = plural(row.n_comparisons, "comparison")
    people = plural(len(card.people), "person", "people")
    labelled = f", {row.n_labelled:,} with labels by {people}" if card.people else ""
    remarks = [
        *_terms(card, row, heads),
        *_unknown(row),
        "",
        "what to do",
        *(f"- {line}" for line in card.advice[row.name] or ["nothing"]),
    ]
    heading = f"judge ({100 * card.level:g} %)"
    return Part(f"{row.name} · {count}{labelled}", ["figure", heading, *heads], rows, remarks, heads[::-1])


def _terms(card: ReportCard, row: Row, heads: Sequence[str]) -> list[str]:
    """What a reader must know to read the columns side by side, and the share of people replaced."""
    lines = []
    if row.name in card.own_beside and heads:
        lines.append(f"{' and '.join(heads)}: on the comparisons that {row.name} has verdicts on")
    if row.get("winning_rate") is not None:
        lines.append(
            f"may replace: as a person, or worse by less than {card.epsilon:g}; it counts people, and in brackets is "
            "what as many other comparisons might say"
        )
    return lines


def _unknown(*rows: Row) -> list[str]:
    """What is on none of the cards, and why it is not on the first."""
    names = [name for name in rows[0].why if name in _ABSENT and all(name in row.why for row in rows)]
    absent = [f"{_ABSENT[name]} ({rows[0].why[name]})" for name in names]
    return [f"not known: {'; '.join(absent)}"] if absent else []


def _all(card: ReportCard) -> Part:
    """All judges, a row each, those that agree most with people first."""
    named = {figure.name: figure for figure in FIGURES}
    rows = [*card.rows_beside, *card.judges]
    shown = [(name, head) for name, head in _SHORT if any(row.get(name) is not None for row in rows)]
    wide = {"agreement", "above_longest"}
    cells = [
        [row.name, *(cell(row, named[name], interval=name in wide) for name, _ in shown), f"{_on(card, row):,}"]
        for row in rows[: len(card.rows_beside) + _ROWS]
    ]
    remarks = [] if len(rows) == len(cells) else [f"{plural(len(rows) - len(cells), 'more judge')}: -o FILE has all"]
    remarks += _summary(card)
    title = f"{plural(len(card.judges), 'judge')}, in percent" + (", by agreement with people" if card.people else "")
    return Part(title, ["judge", *(head for _, head in shown), "on"], cells, remarks, _NARROW)


def _on(card: ReportCard, row: Row) -> int:
    """How many comparisons the row is about."""
    return row.n_labelled if card.people else row.n_comparisons


def _summary(card: ReportCard) -> list[str]:
    """What many judges' cards come to."""
    lines = [f"no ceiling: {why}" for row in card.rows_beside if (why := row.why.get("agreement"))]
    judged = [row for row in card.judges if row.get("above_longest") is not None]
    if judged:
        beat = sum(row.above("above_longest", 0) for row in judged)
        lines.append(f"{beat} of {plural(len(judged), 'judge')} beat 'longest output wins' beyond noise")
    if len({_on(card, row) for row in card.judges}) > 1:
        lines.append("not all judged the same comparisons (on): the pairs below are on shared ones")
    if card.panel is not None and not math.isnan(card.panel.value):
        low, high = card.panel.interval(card.level)
        of = "how far they are off" if card.people else "their verdicts"
        lines.append(
            f"by {of} these {plural(card.panel.n, 'judge')} are worth {_number(card.panel.value, 1)} independent ones "
            f"({_number(low, 1)} to {_number(high, 1)})"
        )
    first = card.judges[0].name
    lines += _unknown(*card.judges)
    return [*lines, "", f"what to do with {first}", *(f"- {line}" for line in card.advice[first] or ["nothing"])]


def pairs_parts(card: ReportCard) -> list[Part]:
    """Which judge is better, and how many labelled comparisons would tell."""
    if not card.pairs:
        return []
    best = card.pairs[0].a
    alone = all(pair.a == best for pair in card.pairs)
    rows = []
    for pair in card.pairs[:_ROWS]:
        low, high = (100 * x for x in pair.difference.interval(card.level))
        needed = "–" if pair.real else "> 1,000,000" if pair.needed > 1e6 else f"{pair.needed:,.0f}"
        gap = f"{_number(100 * pair.difference.value, 1, '+')} ({_number(low, 1, '+')} to {_number(high, 1, '+')})"
        names = [pair.b] if alone else [pair.a, pair.b]
        rows.append([*names, gap, "yes" if pair.real else "no", f"{pair.n_comparisons:,}", needed])
    named = ["judge", f"{best} is better by"] if alone else ["first", "second", "first is better by"]
    remarks = [
        "agreement with people, in points, on the comparisons that both judged",
        "needed: as many labelled comparisons would tell such a difference apart (4 times in 5)",
    ]
    if len(card.judges) > 2:
        remarks.append("real: allowing for how many pairs of judges there are; each interval is that of its pair alone")
    if len(card.pairs) > _ROWS:
        remarks.append(f"{plural(len(card.pairs) - _ROWS, 'more pair')}: --json has all")
    title = f"is {best} better?" if alone else "is one judge better than another?"
    return [Part(title, [*named, "real", "on", "needed"], rows, remarks, ("on", "needed"))]


def _alike(card: ReportCard) -> list[Part]:
    """Which judges say the same."""
    if not card.alike:
        return []
    rows = []
    for one in card.alike[:_ROWS]:
        value, *limits = (_number(x, 2, "") for x in (one.kappa, *(one.limits or ())))
        between = f" ({limits[0]} to {limits[1]})" if limits else ""
        rows.append([one.a, one.b, f"{value}{between}", f"{one.n_comparisons:,}"])
    remarks = ["Cohen's κ on the comparisons that both judged: 1 is one judge asked twice, 0 what chance would do"]
    if len(card.alike) > _ROWS:
        remarks.append(f"{plural(len(card.alike) - _ROWS, 'more pair')}: -o FILE and --json have all")
    return [Part("which judges say the same?", ["first", "second", "κ", "on"], rows, remarks, ("on",))]


def _slices(card: ReportCard) -> list[Part]:
    """What the judges reach where, and whether one that was chosen elsewhere is the right one here."""
    parts = []
    for column in dict.fromkeys(one.column for one in card.slices):
        own = [one for one in card.slices if one.column == column]
        names = list(dict.fromkeys(one.name for one in own))
        judges = [row.name for row in card.judges][:_ROWS]
        if len(judges) > ONE_BY_ONE:
            found = {(one.judge, one.name): f"{100 * one.agreement.value:.1f}" for one in own}
            rows = [[judge, *(found.get((judge, name), "–") for name in names)] for judge in judges]
            headings = ["judge", *names]
        else:
            headings = ["group", *(["judge"] if len(judges) > 1 else []), "agreement", "beside the rest", "on"]
            rows = []
            for one in own:
                there, beside = (x.interval(card.level) for x in (one.agreement, one.beside_rest))
                rows.append(
                    [
                        one.name,
                        *([one.judge] if len(judges) > 1 else []),
                        f"{100 * one.agreement.value:.1f} ({100 * there[0]:.1f} to {100 * there[1]:.1f})",
                        f"{_number(100 * one.beside_rest.value, 1, '+')} ({_number(100 * beside[0], 1, '+')} to "
                        f"{_number(100 * beside[1], 1, '+')})",
                        f"{one.n_comparisons:,}",
                    ]
                )
        remarks = [
            f"{one.name}: judges rank as elsewhere with Spearman {_number(one.spearman, 2)}; the best elsewhere "
            f"({one.chosen}) is {100 * one.loss:.1f} points below the best here ({one.best})"
            for one in card.travel
            if one.column == column
        ]
        parts.append(Part(f"does it travel? agreement by {column}", headings, rows, remarks))
    return parts


def _sets(card: ReportCard) -> list[Part]:
    """Whether sets of instructions rank the models otherwise than random ones of their size."""
    if not card.sets:
        return []
    first = card.judges[0].name
    rows = [
        [
            one.name,
            f"{one.found.n_in:,}",
            _number(one.found.value, 3),
            f"{_number(one.found.low, 3)} to {_number(one.found.high, 3)}",
            "yes" if one.found.news else "no",
        ]
        for one in card.sets
        if one.judge == first
    ]
    headings = ["group", "instructions", "Spearman", "random sets", "news"]
    models = plural(max(one.n_models for one in card.sets), "model")
    remarks = [
        f"{models} ranked by {first} on the set and on all other instructions; within the band (the middle 95 % of "
        "random sets of its size) a set says nothing that any other would not"
    ]
    if len(card.judges) > 1:
        remarks.append("--json has the other judges'")
    if not rows:
        return []
    return [Part("does a set of instructions rank as the rest?", headings, rows, remarks)]
