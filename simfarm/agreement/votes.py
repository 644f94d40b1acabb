"""Verdicts of judges and labels of people as votes on the same comparisons, each seen the same way round.

What a comparison is, and what a vote, is decided here once for everything that compares judges with people or with each
other. Nothing is dropped or averaged without a word: `notes` say what was done to the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simfarm.agreement.matching import Matched, matched
from simfarm.data.frames import Verdicts
from simfarm.data.identity import Codes, row_codes
from simfarm.data.meaning import NAMES
from simfarm.errors import InputError
from simfarm.ranking.units import judge_hash_of
from simfarm.statistics.estimate import Array
from simfarm.statistics.swaps import asked_orders, swap_means, wanted_both
from simfarm.text.words import named, plural

__all__ = ["Votes", "by_person", "runs_of", "votes_of"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Votes:
    """Who said what about which comparison.

    `items` has one row a comparison (its position is the `item` of a vote): cluster (codes from 0 of the instruction,
    the unit of independence), generator_1, generator_2, length_1, length_2 and, where the files have them, dataset,
    category, instruction_id, `style_FEATURE_1` …, `covariate_NAME_1` …; output_1 is that of the comparison's first row.

    `votes` has one row a call, all outputs in the items' order: item, rater (category), human, p (how strongly output_2
    is preferred, 0 to 1; NaN without a verdict), order ("12", "21" or missing), repeat, status, judge_hash, and where
    known judge_order, price (dollars), seconds and model. `judges` and `people` are the raters' names in order of
    appearance; `matched_by` says what told comparisons apart (texts, generators, lengths or instructions).
    """

    items: pd.DataFrame
    votes: pd.DataFrame
    judges: tuple[str, ...]
    people: tuple[str, ...]
    matched_by: str
    notes: tuple[str, ...] = ()

    @property
    def cluster(self) -> Codes:
        """The instruction of each comparison."""
        return self.items["cluster"].to_numpy()

    @cached_property
    def judged(self) -> Array:
        """p of each judge (rows, as in `judges`) on each comparison, NaN without a verdict: the mean of complete
        repeats, of both orders where the judge was to be asked both ways (see `swap_means`)."""
        made = [opinion(self.of(name), len(self.items), self._pair) for name in self.judges]
        return np.array(made).reshape(len(self.judges), len(self.items))

    @cached_property
    def labels(self) -> tuple[Codes, Array, Codes]:
        """(comparison, p, person as a place in `people`) of every person's label, several calls of one averaged; those
        without a verdict left out."""
        votes = self.votes
        own = (votes["human"] & votes["p"].notna()).to_numpy()
        place = pd.Index(self.people).get_indexer(votes["rater"].cat.categories)
        person = place[votes["rater"].cat.codes.to_numpy()[own]]
        item, p = votes["item"].to_numpy()[own], votes["p"].to_numpy()[own]
        each = row_codes([item, person])
        n = int(each.max()) + 1 if len(each) else 0
        if n == len(each):
            return item, p, person.astype(np.int64)
        lead = np.empty(n, dtype=np.int64)
        lead[each[::-1]] = np.arange(len(each))[::-1]
        return item[lead], np.bincount(each, p) / np.bincount(each), person[lead].astype(np.int64)

    def of(self, rater: str) -> pd.DataFrame:
        """One rater's calls."""
        return self.votes.iloc[self._rows[rater]]

    @cached_property
    def _pair(self) -> Codes:
        """The pair of models of each comparison, in either place."""
        sides = [self.items[f"generator_{side}"].astype(object).to_numpy() for side in ("1", "2")]
        one, other = pd.factorize(np.concatenate(sides))[0].reshape(2, -1)
        return row_codes([np.minimum(one, other), np.maximum(one, other)])

    @cached_property
    def _rows(self) -> dict[str, NDArray[np.intp]]:
        raters = self.votes["rater"]
        order = np.argsort(raters.cat.codes.to_numpy(), kind="stable")
        ends = np.cumsum(np.bincount(raters.cat.codes.to_numpy(), minlength=len(raters.cat.categories)))
        return dict(zip(map(str, raters.cat.categories), np.split(order, ends[:-1]), strict=True))


def opinion(calls: pd.DataFrame, n: int, pair: Codes | None = None) -> Array:
    """p of one judge on each of n comparisons (of the models `pair`), from its calls (rows of `Votes.votes`).

    Half of a swap is no verdict; whether both orders were to be asked is told as on a board (`wanted_both`).
    """
    item = calls["item"].to_numpy()
    if not len(item):
        return np.full(n, np.nan)
    recorded = np.full(n, -1, dtype=np.int64)
    if "judge_order" in calls:
        for says, rows in ((0, calls["judge_order"].notna()), (1, calls["judge_order"] == "both")):
            recorded[item[rows.to_numpy(dtype=bool)]] = says
    question, of_question, asked = questions(calls)
    wanted = wanted_both(asked_orders(question, of_question, asked, n), recorded, pair)
    return swap_means(question, of_question, calls["p"].to_numpy(), asked, n, both_wanted=wanted)[0]


def runs_of(calls: pd.DataFrame, n: int) -> Array:
    """p of each run of one judge on each of n comparisons (runs × n; NaN for none): every call is a run, in whichever
    order, since a crowd is drawn around calls and not around the mean of two orders."""
    in_turn = calls.sort_values(["repeat", "order"], kind="stable")
    nth = in_turn.groupby("item").cumcount().to_numpy()
    made = np.full((int(nth.max()) + 1 if len(nth) else 0, n), np.nan)
    made[nth, in_turn["item"].to_numpy()] = in_turn["p"].to_numpy()
    return made


def questions(calls: pd.DataFrame) -> tuple[Codes, Codes, tuple[Mask, Mask]]:
    """(the question of each call, the comparison of each question, which calls showed either output first) as
    `swap_means` takes them; a question is one repeat of a comparison."""
    item = calls["item"].to_numpy()
    question = row_codes([item, calls["repeat"]])
    of_question = np.zeros(int(question.max()) + 1 if len(question) else 0, dtype=np.int64)
    of_question[question] = item
    return question, of_question, ((calls["order"] == "12").to_numpy(), (calls["order"] == "21").to_numpy())


def votes_of(verdicts: Verdicts, labels: Verdicts | None = None, *, allow_mixed: bool = False) -> Votes:
    """The votes of judges (`verdicts`) and of people (`labels`), matched by what both have (see `matching`).

    A person is the `person` of a row, else its `annotator`. Several verdicts of one judge on the same question are its
    repeats; two different labels of one person on the same question are an error. Raises `InputError` for them, for one
    name on both sides, two judge hashes under one name unless `allow_mixed`, and labels that match no comparison.
    """
    own = None if labels is None else by_person(labels)
    for annotator, part in verdicts.by_annotator():
        judge_hash_of(part, annotator, allow_mixed)
    judges = tuple(verdicts.annotators())
    people = () if own is None else tuple(own.annotators())
    if both := sorted(set(judges) & set(people)):
        raise InputError(
            f"{both[0]!r} is an annotator of the annotations and of the labels; is it a judge or a person? Leave its "
            "rows out of one of the two, or rename it there"
        )
    crowd = [] if labels is None else labels.simulated()
    # nobody else holds the rows, so that a million of them go as soon as they are together
    rows: list[Any] = [verdicts, own]
    del verdicts, labels, own
    made = matched(rows.pop(0), rows.pop())
    items = _items(made)
    votes, notes = _numbered(_votes(made, [*judges, *people]), made)
    said = [f"the labels are simulated, by {named(crowd)}: what is called people here is a crowd"] if crowd else []
    return Votes(items, votes, judges, people, made.by, (*said, *_said(made, items), *notes))


def by_person(labels: Verdicts) -> Verdicts:
    """The labels under their persons' names, else their annotators'; who has neither is `people`."""
    table = labels.table
    names = table["annotator"].astype(object)
    names = names.where(names != NAMES["annotator"], "people")
    if "person" in table:
        names = table["person"].astype(object).where(table["person"].notna(), names)
    return Verdicts(table.assign(annotator=pd.Categorical(names.astype(str))))


_SIDED = ("generator", "length")
_PLAIN = ("dataset", "category", "instruction_id", "instruction_sha256", "instruction_start", "messages_start")


def _items(made: Matched) -> pd.DataFrame:
    """One row a comparison: each cell the first that is known among the comparison's rows, turned as its first row."""
    table, item, turned = made.table, made.item, made.turned
    n = int(item.max()) + 1
    columns: dict[str, Any] = {"cluster": _first(table["cluster"], item, n)}
    columns |= {name: _first(table[name], item, n) for name in _PLAIN if name in table}
    own = [str(c) for c in table if str(c).startswith(("style_", "covariate_")) and str(c).endswith("_1")]
    for name in (*_SIDED, *(column.removesuffix("_1") for column in own)):
        sides = [table[f"{name}_{side}"] for side in ("1", "2")]
        if name == "generator":
            sides = [s.astype(object).where(s != NAMES[f"generator_{k}"]) for k, s in enumerate(sides, 1)]
        one, other = (s.to_numpy() for s in sides)
        if turned.any():
            one, other = np.where(turned, other, one), np.where(turned, one, other)
        columns |= {f"{name}_1": _first(pd.Series(one), item, n), f"{name}_2": _first(pd.Series(other), item, n)}
    items = pd.DataFrame(columns)
    return items.assign(cluster=_instructions(items))


def _first(column: pd.Series[Any], item: Codes, n: int) -> Any:
    """The first known value of each comparison, missing where it has none."""
    known = np.flatnonzero(column.notna().to_numpy())
    where = np.full(n, -1)
    where[item[known[::-1]]] = known[::-1]
    if (where >= 0).all():
        return column.take(where).reset_index(drop=True)
    values = column.take(np.maximum(where, 0)).reset_index(drop=True)
    return values.where(where >= 0)


def _instructions(items: pd.DataFrame) -> Codes:
    """The unit of independence: the instruction's text where all are known and ids number the same one several times,
    else the id."""
    by_id = row_codes([items["cluster"]])
    if "instruction_sha256" not in items or items["instruction_sha256"].isna().any():
        return by_id
    by_text = row_codes([items["instruction_sha256"]])
    return by_text if by_text.max() < by_id.max() else by_id


def _votes(made: Matched, raters: Sequence[str]) -> pd.DataFrame:
    """One row a call, turned as its comparison's first row."""
    table, turned = made.table, made.turned
    p = table["preference"].to_numpy() - 1
    order = table["order"]
    if turned.any():
        p = np.where(turned, 1 - p, p)
        swapped = order.astype(object).map({"12": "21", "21": "12"})
        order = order.astype(object).where(~turned, swapped)
    names = pd.Categorical(table["annotator"].astype(str), categories=list(raters))
    votes = pd.DataFrame({"item": made.item, "rater": names, "human": made.people, "p": p})
    for column in ("repeat", "status", "judge_hash", "judge_order", "price", "seconds", "model"):
        if column in table:
            votes[column] = table[column].to_numpy() if column == "repeat" else table[column].array
    codes = np.where(order == "12", 0, np.where(order == "21", 1, -1)).astype(np.int8)
    votes["order"] = pd.Categorical.from_codes(codes, pd.Index(["12", "21"]))
    return votes


def _numbered(votes: pd.DataFrame, made: Matched) -> tuple[pd.DataFrame, list[str]]:
    """(the votes, a judge's verdicts on one question numbered as its repeats; what was done, in words)."""
    notes: list[str] = []
    key = row_codes([votes["item"], votes["rater"].cat.codes, votes["repeat"], votes["order"].cat.codes])
    again = pd.Series(key).duplicated().to_numpy()
    if not again.any():
        return votes, notes
    by_people = again & votes["human"].to_numpy()
    if by_people.any():
        _refuse_contradictions(votes, made, key)
        n = int(by_people.sum())
        notes.append(f"{plural(n, 'label')} that repeat another of the same person word for word: each counts once")
        votes, key, again = votes[~by_people].reset_index(drop=True), key[~by_people], again[~by_people]
    if again.any():
        nth = pd.Series(key).groupby(key).cumcount().to_numpy()
        crowded = np.isin(key, key[again])
        repeat = votes["repeat"].to_numpy(dtype=object)
        repeat[crowded] = [f"{own}.{k}" for own, k in zip(repeat[crowded], nth[crowded], strict=True)]
        votes = votes.assign(repeat=pd.factorize(repeat)[0])
        notes.append(
            f"{plural(int(again.sum()), 'verdict')} on a question that the same judge was asked before: taken for its "
            "repeats"
        )
    return votes, notes


def _refuse_contradictions(votes: pd.DataFrame, made: Matched, key: Codes) -> None:
    own = votes["human"].to_numpy()
    said = row_codes([key[own], votes["p"].to_numpy()[own]])
    n_said = pd.Series(said).groupby(key[own]).nunique()
    if not (n_said > 1).any():
        return
    n, first = int((n_said > 1).sum()), n_said.index[n_said > 1][0]
    row = int(np.flatnonzero(key == first)[0])
    where = made.table.iloc[row]
    known = where.get("instruction_id")
    about = repr(where.get("instruction_start")) if pd.isna(known) else f"instruction {known}"
    raise InputError(
        f"{votes['rater'].iloc[row]!r} gave {plural(n, 'comparison')} two different labels (first: {about}); keep one "
        "of the two, number them in a column 'repeat' to have them averaged, or name people apart in a column 'person'"
    )


def _said(made: Matched, items: pd.DataFrame) -> list[str]:
    """What a user should know of how labels found their comparisons."""
    notes = []
    labels = int(made.people.sum())
    if labels:
        turned = int((made.turned & made.people).sum())
        if turned:
            notes.append(
                f"{plural(turned, 'label')} of {labels:,} show their outputs the other way round than the annotations: "
                f"mapped, by the outputs' {made.by}"
            )
        lost = int((~np.isin(made.item[made.people], made.item[~made.people])).sum())
        if lost:
            notes.append(f"{plural(lost, 'label')} of {labels:,} are for comparisons that no judge has judged")
        if made.by == "instructions":
            notes.append(
                "labels and annotations have an instruction's id in common and nothing of the outputs: output_1 is "
                "taken to be the same in both"
            )
    ids = made.table["cluster"].nunique()
    texts = int(items["cluster"].max()) + 1
    if texts < ids:
        notes.append(
            f"{ids:,} ids are of {plural(texts, 'instruction')}, by the texts: intervals take these as independent"
        )
    return notes
