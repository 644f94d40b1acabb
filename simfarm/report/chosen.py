"""A choice among judges as people read it: agreement, cost and time, who is dominated, and how sure the order is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfarm.agreement.choice import Choice, choice_of
from simfarm.agreement.figures import FIGURES
from simfarm.errors import InputError
from simfarm.report.agreement import cell, pairs_parts
from simfarm.report.tables import Part, Sheet
from simfarm.report.votes import read_votes
from simfarm.text.words import named, plural

if TYPE_CHECKING:
    from simfarm.data.sources import Source

__all__ = ["choice_sheet", "chosen", "files_and_names"]

_SHOWN = (
    ("agreement", "with people"),
    ("above_longest", "over longest"),
    ("price_per_1000", "$/1,000"),
    ("seconds_per_1000", "s/1,000"),
)


def files_and_names(given: Sequence[str]) -> tuple[list[str], list[str]]:
    """(the annotation files, the judges' names) among what is compared. Raises `InputError` where there is no file."""
    files = [one for one in given if one == "-" or one.startswith("hf://") or "*" in one or os.path.exists(one)]
    names = [one for one in given if one not in files]
    if not files:
        raise InputError(
            f"no file is called {named(names)}; name the annotation files too: judges compare A B annotations.jsonl "
            "--human LABELS"
        )
    if odd := [name for name in names if Path(name).suffix in (".json", ".jsonl", ".csv", ".parquet")]:
        raise InputError(f"{odd[0]}: there is no such file; annotate first, or mend the name")
    return files, names


def chosen(
    annotations: Sequence[Source],
    human: Sequence[Source],
    *,
    names: Sequence[str] = (),
    level: float = 0.95,
    mix_judges: bool = False,
) -> Choice:
    """The choice among the judges of annotations (`names` of them, where given) by people's labels. Raises
    `InputError` for what cannot be read, matched or compared."""
    from simfarm.agreement.card import report_card

    votes = read_votes(annotations, human, mix_judges=mix_judges, names=names)
    return choice_of(report_card(votes, level=level))


def choice_sheet(choice: Choice) -> Sheet:
    """The judges by agreement, the pairs, all columns, and plain values."""
    card = choice.card
    figures = {figure.name: figure for figure in FIGURES}
    rows = [*card.rows_beside, *card.judges]
    shown = [(name, head) for name, head in _SHOWN if any(row.get(name) is not None for row in card.judges)]
    wide = {"agreement"}
    cells = [
        [
            row.name,
            *(cell(row, figures[name], interval=name in wide) for name, _ in shown),
            *(["front" if row.name in choice.front else ""] if choice.front else []),
        ]
        for row in rows
    ]
    headings = ["judge", *(head for _, head in shown), *([""] if choice.front else [])]
    title = f"{plural(len(card.judges), 'judge')} on {card.judges[0].n_labelled:,} labelled comparisons"
    parts = [Part(title, headings, cells, _remarks(choice), ("s/1,000", "over longest")), *pairs_parts(card)]
    columns = ["rater", *(c for c in card.table if any(str(c).startswith(name) for name, _ in _SHOWN))]
    table = card.table[columns].assign(front=card.table["rater"].isin(choice.front))
    return Sheet(parts, table, _record(choice))


def _remarks(choice: Choice) -> list[str]:
    best, lines = choice.card.judges[0].name, []
    if choice.front:
        lines.append("front: no other judge agrees as much with people for as little")
    if choice.unpriced:
        lines.append(f"no price is known of {named(choice.unpriced)}: not on the front, nor off it")
    if choice.enough is not None and choice.enough != best:
        pair = next((p for p in choice.card.pairs if (p.a, p.b) == (best, choice.enough)), None)
        more = (
            ""
            if pair is None or pair.needed > 1e6
            else f" ({plural(round(pair.needed), 'label')} would show such a difference)"
        )
        lines.append(f"take {choice.enough}: the cheapest that {best} is not shown to beat{more}")
    elif choice.enough is not None:
        lines.append(f"take {best}: whoever is cheaper is shown to agree less with people")
    return lines


def _record(choice: Choice) -> dict[str, Any]:
    whole = choice.card.to_json()
    kept = {name: whole[name] for name in ("level", "people", "raters", "pairs", "notes")}
    return kept | {"front": list(choice.front), "unpriced": list(choice.unpriced), "enough": choice.enough}
