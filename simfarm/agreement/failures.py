"""Slices of the instructions, and those on which a judge or a model fails, as far as other instructions bear it out.

With forty slices some look bad by chance. So the instructions are halved, by a hash of their texts: one half says which
slices look bad, the other tests these and gives their figures, and of those that are named a tenth at most are false.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simfarm.agreement.votes import Votes
from simfarm.data.identity import Codes
from simfarm.errors import InputError
from simfarm.settings import spelled
from simfarm.statistics.discoveries import false_discovery_rates, lower_groups
from simfarm.statistics.estimate import Array, Estimate, mean_estimate

if TYPE_CHECKING:
    from simfarm.agreement.topics import Tree

__all__ = ["Slices", "Tested", "agreement_by_slice", "failures", "slices_of"]


@dataclass(frozen=True)
class Slices:
    """The slice of each comparison (`code`, places in `names`), made `by` a column or the instructions' words. Of the
    latter `tree` is how they were made, of the instructions `texts`; `words` are the names that it gave, where a model
    has given others."""

    by: str
    code: Codes
    names: tuple[str, ...]
    first: NDArray[np.bool_]
    tree: Tree | None = None
    texts: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tested:
    """A slice that one half of the instructions put forward, and what the other half says of it.

    `inside` and `outside` are the mean there and elsewhere (a judge's agreement with people, a model's win rate),
    `difference` is inside − outside; `p` is one-sided, `q` adjusted for all tests made.
    """

    who: str
    what: str
    slice: str
    n_instructions: int
    inside: Estimate
    outside: Estimate
    difference: Estimate
    p: float
    q: float


def slices_of(votes: Votes, by: str) -> Slices:
    """Slices by `category` (that column, else `dataset`) or by `instructions` (topics of their words).

    Raises `InputError` where the files have no such column or text, or hold too few instructions for topics.
    """
    items = votes.items
    if by == "instructions":
        made = _topics(votes)
    else:
        column = next((c for c in ("category", "dataset") if c in items and items[c].notna().any()), None)
        if column is None:
            raise InputError(
                "the files have no column 'category' or 'dataset' to slice by; add one, name it (--columns "
                f"category=…), or give {spelled('by', 'instructions')}"
            )
        code, names = pd.factorize(
            items[column].astype(object).where(items[column].notna(), "none").astype(str), sort=True
        )
        made = Slices(column, code.astype(np.int64), tuple(map(str, names)), np.zeros(0, dtype=bool))
    return replace(made, first=_first_half(items))


def _topics(votes: Votes) -> Slices:
    from simfarm.agreement.topics import topics

    chats, texts = (
        votes.items[c].tolist() if c in votes.items else [None] * len(votes.items)
        for c in ("messages_start", "instruction_start")
    )
    texts = [_said(chat) if isinstance(chat, str) else text for chat, text in zip(chats, texts, strict=True)]
    if not all(isinstance(text, str) for text in texts):
        raise InputError(
            "slices by instructions need the text of each, and some rows have none; give files with 'instruction', or "
            f"{spelled('by', 'category')}"
        )
    cluster = votes.cluster
    _, lead, place = np.unique(cluster, return_index=True, return_inverse=True)
    asked = tuple(str(texts[k]) for k in lead)
    tree = topics(asked)
    return Slices("topic", tree.code[place], tree.names, np.zeros(0, dtype=bool), tree, asked)


def _said(chat: str) -> str:
    """What was said in a chat, without the names of its parts."""
    parts = [message.get("content") for message in json.loads(chat)]
    return "\n".join(part for part in parts if isinstance(part, str))


def _first_half(items: pd.DataFrame) -> NDArray[np.bool_]:
    """Which comparisons are in the first half: by a hash of the instruction (or its id), the same on every machine."""
    named = next(
        (c for c in ("instruction_sha256", "instruction_id") if c in items and items[c].notna().all()), "cluster"
    )
    keys = items[named].astype(str)
    odd = {key: hashlib.sha256(key.encode()).digest()[0] & 1 == 1 for key in keys.unique()}
    return keys.map(odd).to_numpy(dtype=bool)


def agreements(votes: Votes, judge: str) -> Array:
    """How far a judge agrees with people on each comparison: the mean of 1 − |judge − label| over its labels, NaN where
    one of them has none. A tie beside a choice is half an agreement."""
    item, label, _ = votes.labels
    judged = votes.judged[votes.judges.index(judge)]
    total = np.bincount(item, 1 - np.abs(judged[item] - label), minlength=len(judged))
    count = np.bincount(item, minlength=len(judged))
    found: Array = np.divide(total, count, out=np.full(len(judged), np.nan), where=count > 0)
    return found


def agreement_by_slice(votes: Votes, judge: str, slices: Slices) -> Mapping[str, Estimate]:
    """Agreement with people in each slice, over all its instructions."""
    value, cluster = agreements(votes, judge), votes.cluster
    return {
        name: mean_estimate(value[slices.code == k], cluster[slices.code == k]) for k, name in enumerate(slices.names)
    }


def failures(votes: Votes, judge: str, slices: Slices) -> list[Tested]:
    """The slices that were tested, those least likely by chance first: where the judge agrees less with people than
    elsewhere, and where a model wins less than elsewhere in the judge's eyes (a baseline that is in all comparisons
    apart)."""
    cluster, found = votes.cluster, []
    for who, what, value in _measured(votes, judge):
        known = ~np.isnan(value)
        ids, lead, place = np.unique(cluster[known], return_index=True, return_inverse=True)
        if not len(ids):
            continue
        means = np.bincount(place, value[known]) / np.bincount(place)
        of, first = slices.code[known][lead], slices.first[known][lead]
        p = lower_groups(means, of, first)
        for k in np.flatnonzero(~np.isnan(p)):
            inside, outside = (mean_estimate(means[m & ~first], ids[m & ~first]) for m in (of == k, of != k))
            found.append(
                Tested(
                    who=who,
                    what=what,
                    slice=slices.names[k],
                    n_instructions=inside.n_clusters,
                    inside=inside,
                    outside=outside,
                    difference=inside - outside,
                    p=float(p[k]),
                    q=np.nan,
                )
            )
    q = false_discovery_rates(np.array([one.p for one in found]))
    return sorted((replace(one, q=float(v)) for one, v in zip(found, q, strict=True)), key=lambda one: (one.q, one.p))


def _measured(votes: Votes, judge: str) -> Iterator[tuple[str, str, Array]]:
    """(who, what is measured of it, its value on each comparison)."""
    if votes.people:
        yield judge, "agreement", agreements(votes, judge)
    judged = votes.judged[votes.judges.index(judge)]
    one, other = (votes.items[f"generator_{side}"].astype(object).to_numpy() for side in ("1", "2"))
    names = sorted({str(name) for side in (one, other) for name in side if isinstance(name, str)})
    for name in names:
        second, either = other == name, (one == name) | (other == name)
        if not either.all() or len(names) == 1:
            yield name, "win rate", np.where(either & (one != other), np.where(second, judged, 1 - judged), np.nan)
