"""Pairs of outputs with one reader's preference, texts and all, split into what is learnt from and what tests.

Split by instruction, by a hash of its text: the same on every machine, whatever order the rows come in, and no
instruction is on both sides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simfarm.agreement.votes import opinion
from simfarm.data.cells import stable_digest
from simfarm.data.frames import Verdicts, read_verdicts, row_columns
from simfarm.data.identity import Codes, comparison_codes, lacking
from simfarm.data.inputs import named_rows
from simfarm.data.records import Comparison, comparisons_from_rows
from simfarm.data.sources import Source
from simfarm.errors import InputError
from simfarm.ranking.units import judge_hash_of
from simfarm.settings import spelled
from simfarm.text.words import plural

__all__ = ["FEWEST", "Labelled", "Parts", "labelled", "parts_of", "shuffled"]

FEWEST = 20
"""Pairs with a preference: of fewer nothing would pass a test, or be tested."""
_FEWEST_INSTRUCTIONS = 10
_HELD_OUT = 0.4
_READ_MOST = 60
"""Pairs that principles are read from: of as many a dozen requests propose what there is, the rest is better spent on
putting it to the vote."""


@dataclass(frozen=True)
class Labelled:
    """`pairs` that `annotator` decided, each once; `second`: whether output_2 is preferred; `cluster`: its instruction
    as a code from 0. `notes` say what was left out."""

    annotator: str
    pairs: tuple[Comparison, ...]
    second: NDArray[np.bool_]
    cluster: Codes
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parts:
    """Places in `Labelled.pairs`: those that principles are read from, that vote on them, and that are held out."""

    read: Codes
    vote: Codes
    held: Codes


def labelled(sources: Sequence[Source], by: str | None, *, limit: int | None, mix_judges: bool) -> Labelled:
    """The preferences of one annotator (`by`, where there are several), of the first `limit` instructions.

    Several verdicts on a pair are averaged as everywhere; ties and pairs of equal texts are left out. Raises
    `InputError` for rows without texts, several annotators, and fewer than 20 preferences or 10 instructions.
    """
    pairs: list[Comparison] = []
    parts = []
    for position, source in enumerate(sources, 1):
        name, rows = named_rows(source, position)
        _refuse_without_texts(rows, name)
        pairs += comparisons_from_rows(rows, name)
        parts.append((name, row_columns(rows)))
    verdicts = read_verdicts(iter(parts))
    if verdicts is None:
        raise InputError("the input holds no verdicts (a column 'preference'); annotate it first, or give labels")
    annotator = _annotator(verdicts, by)
    own = np.flatnonzero((verdicts.table["annotator"].astype(str) == annotator).to_numpy())
    part = verdicts.table.iloc[own].reset_index(drop=True)
    judge_hash_of(part, annotator, mix_judges)
    code = comparison_codes(part, lacking(part))
    calls = pd.DataFrame({"item": code, "repeat": part["repeat"], "order": part["order"], "p": part["preference"] - 1})
    n = int(code.max()) + 1
    lead = np.full(n, len(code))
    np.minimum.at(lead, code, np.arange(len(code)))
    made = [pairs[row] for row in own[lead]]
    return _decided(annotator, made, opinion(calls, n), part["cluster"].to_numpy()[lead], limit)


def _refuse_without_texts(rows: Sequence[Mapping[str, Any]], name: str) -> None:
    if not any("preference" in row for row in rows[:100]):
        raise InputError(f"{name}: holds no verdicts (a column 'preference'); annotate it first, or give labels")
    for number, row in enumerate(rows, 1):
        asked = row.get("instruction") is not None or row.get("messages")
        if not asked or row.get("output_1") is None or row.get("output_2") is None:
            raise InputError(
                f"{name}: row {number} has no texts (a slim file?), and principles are read from them; give the file "
                "with instruction, output_1 and output_2"
            )


def _annotator(verdicts: Verdicts, by: str | None) -> str:
    names = verdicts.annotators()
    listed = f"{', '.join(names[:6])}{' …' if len(names) > 6 else ''}"
    if by is None and len(names) > 1:
        raise InputError(f"the verdicts are by {len(names)} annotators ({listed}); name one with {spelled('by')}")
    if by is not None and by not in names:
        raise InputError(f"no verdict is by {by!r}; {spelled('by')} is one of {listed}")
    return names[0] if by is None else by


def _decided(
    annotator: str, pairs: Sequence[Comparison], p: NDArray[np.float64], cluster: Codes, limit: int | None
) -> Labelled:
    keep = np.array([pair.output_1 != pair.output_2 for pair in pairs])
    if limit is not None:
        keep &= np.isin(cluster, pd.unique(cluster)[:limit])
    unknown, ties = int((keep & np.isnan(p)).sum()), int((keep & (p == 0.5)).sum())
    places = np.flatnonzero(keep & ~np.isnan(p) & (p != 0.5))
    code = pd.factorize(cluster[places])[0].astype(np.int64)
    if len(places) < FEWEST:
        beside = f", beside {plural(ties, 'tie')}" if ties else ""
        raise InputError(
            f"{annotator}: {plural(len(places), 'preference')} on two different texts{beside}; principles need "
            f"{FEWEST} at least, better 200: give more annotations"
        )
    if code.max() + 1 < _FEWEST_INSTRUCTIONS:
        raise InputError(
            f"{annotator}: the preferences are on {plural(int(code.max()) + 1, 'instruction')}, which are split in "
            f"three; give {_FEWEST_INSTRUCTIONS} at least"
        )
    notes = []
    if ties:
        notes.append(f"{plural(ties, 'tie')} left out")
    if unknown:
        notes.append(f"{plural(unknown, 'pair')} without a verdict left out")
    return Labelled(annotator, tuple(pairs[int(k)] for k in places), p[places] > 0.5, code, tuple(notes))


def parts_of(data: Labelled) -> Parts:
    """Two fifths of the instructions are held out; of the rest one half, up to 60 pairs, is read, and the other votes:
    a principle is never put to the vote on pairs that it was read from."""
    n = int(data.cluster.max()) + 1
    _, lead = np.unique(data.cluster, return_index=True)
    hashes = [hashlib.sha256(data.pairs[k].instruction.strip().encode()).digest() for k in lead]
    ranked = sorted(range(n), key=lambda k: hashes[k])
    n_held = round(_HELD_OUT * n)
    size = np.bincount(data.cluster)
    learnt = size[ranked[n_held:]]
    n_read = int(np.searchsorted(np.cumsum(learnt), min(_READ_MOST, learnt.sum() / 2))) + 1
    n_read = min(n_read, len(learnt) - 1)
    role = np.empty(n, dtype=np.int64)
    role[ranked] = np.repeat([0, 1, 2], [n_held, n_read, n - n_held - n_read])
    held, read, vote = (np.flatnonzero(role[data.cluster] == k) for k in range(3))
    return Parts(read, vote, held)


def shuffled(data: Labelled) -> NDArray[np.bool_]:
    """Preferences that a fair coin gives each pair, always the same: what explains them explains nothing."""
    coins = [stable_digest("shuffled", p.instruction, p.output_1, p.output_2)[0] & 1 for p in data.pairs]
    return np.array(coins, dtype=bool)
