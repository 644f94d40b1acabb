"""One output for all instructions, or nearly: what recurs in outputs of which each leaves but a few hashes behind.

An output is compared by its letters alone (no case, digits, accents, look-alikes, unseen characters): it is the set of
its runs of `GRAM` letters, and leaves the `SKETCH` lowest of their hashes. Where half of them stand in the outputs to
many other instructions, the output is no answer to its own. Of AlpacaEval's models and those of the human sets none has
one such output in a hundred (sums done digit by digit apart); a constant with anything around it has all.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from simfarm.text.disguise import bare, letters

__all__ = ["Commons", "Repeats", "Trace", "traces"]

Hashes: TypeAlias = npt.NDArray[Any]
Trace: TypeAlias = tuple[int, Hashes]
"""What an output leaves: the hash of all its letters and digits, and the lowest hashes of its runs of letters."""

Commons: TypeAlias = tuple[Hashes, Hashes]
"""(whole texts, runs of letters) that occur in a generator's outputs to many instructions, as hashes."""

GRAM = 16
SKETCH = 32
SHORTEST = 32
LONGEST = 1 << 16
"""Letters: a shorter output is compared as a whole only ("the answer is 12"), of a longer one the beginning is read."""

COUNT = 5
COMMON = 0.02
CONSTANT = 0.05
ROTATED = 0.10
NEAR = 0.20
HALF = 0.5
"""A text or a run is common that stands in the outputs to 2 % of the instructions, and to 5. Flagged are one common
text in 5 % of the outputs, common texts in 10 % together, outputs half made of common runs in 20 %."""

KEPT = 1 << 16
SHOWN = 128
"""At most so many outputs keep a sketch, and so many an excerpt: when it is full, every second one goes."""

_BASE = 0x9E3779B1
_BLOCK = 1 << 16
"""Letters that are hashed at a time: what a processor's cache holds."""


class Repeats:
    """The outputs of one generator, seen one by one."""

    def __init__(self) -> None:
        self._clusters, self._texts = array("q"), array("q")
        self._of, self._sizes, self._grams = array("q"), array("B"), array("I")
        self._examples: list[tuple[int, str]] = []
        self._every, self._show_every = 1, 1

    def add(self, cluster: int, trace: Trace) -> bool:
        """What an output to the instruction of that hash leaves; true where an excerpt of it is wanted (see `show`)."""
        number = len(self._clusters)
        self._clusters.append(cluster)
        self._texts.append(trace[0])
        if number % self._every == 0:
            self._of.append(number)
            self._sizes.append(len(trace[1]))
            self._grams.frombytes(trace[1].tobytes())
            if len(self._of) >= KEPT:
                self._thin()
        return number % self._show_every == 0

    def show(self, excerpt: str) -> None:
        """How the output added last would be shown."""
        self._examples.append((len(self._clusters) - 1, excerpt))
        if len(self._examples) >= SHOWN:
            self._examples, self._show_every = self._examples[::2], 2 * self._show_every

    def commons(self) -> Commons:
        """What recurs in the outputs to many instructions."""
        clusters, texts, of, grams = self._arrays()
        return (
            _common(clusters, texts, len(np.unique(clusters))),
            _common(clusters[of], grams, len(np.unique(clusters[np.frombuffer(self._of, np.int64)]))),
        )

    def verdict(self, own: Commons) -> tuple[int, str] | None:
        """(outputs that repeat what is in `own`, an example of them); None where they are too few."""
        clusters, texts, of, runs = self._arrays()
        same = np.isin(texts, own[0])
        most = max((len(np.unique(clusters[texts == text])) for text in own[0]), default=0)
        if most < CONSTANT * len(texts) and same.sum() < ROTATED * len(texts):
            same[:] = False
        kept = np.frombuffer(self._of, np.int64)
        all_runs = np.bincount(of, minlength=len(texts))[kept]
        common_runs = np.bincount(of, np.isin(runs, own[1]), len(texts))[kept]
        near = kept[(all_runs > 0) & (common_runs >= HALF * all_runs)]
        if len(near) < NEAR * len(kept) or len(np.unique(clusters[near])) < COUNT:
            near = near[:0]
        count = min(len(texts), int(same.sum()) + self._every * int((~same[near]).sum()))
        if not count:
            return None
        same[near] = True
        return count, next((example for number, example in self._examples if same[number]), "")

    def _arrays(self) -> tuple[Hashes, Hashes, Hashes, Hashes]:
        """(cluster and text of each output, output and hash of each run)."""
        of = np.repeat(np.frombuffer(self._of, np.int64), np.frombuffer(self._sizes, np.uint8))
        clusters, texts = (np.frombuffer(values, np.int64) for values in (self._clusters, self._texts))
        return clusters, texts, of, np.frombuffer(self._grams, np.uint32)

    def _thin(self) -> None:
        """Every second sketch goes: what is shared by a fiftieth of the rest is shared by a fiftieth of all."""
        _, _, of, grams = self._arrays()
        self._every *= 2
        keep = np.frombuffer(self._of, np.int64) % self._every == 0
        sizes, kept = np.frombuffer(self._sizes, np.uint8)[keep], np.frombuffer(self._of, np.int64)[keep]
        grams = grams[of % self._every == 0]
        self._of, self._sizes, self._grams = (array(kind) for kind in "qBI")
        self._of.frombytes(kept.tobytes())
        self._sizes.frombytes(sizes.tobytes())
        self._grams.frombytes(grams.tobytes())


def _common(clusters: Hashes, values: Hashes, n_clusters: int) -> Hashes:
    """The values that stand in the outputs to at least `COMMON` of the instructions, each counted once in one."""
    order = np.lexsort((clusters, values))
    values, clusters = values[order], clusters[order]
    first = np.ones(len(values), bool)
    first[1:] = (values[1:] != values[:-1]) | (clusters[1:] != clusters[:-1])
    found, counts = np.unique(values[first], return_counts=True)
    return found[counts >= max(COUNT, COMMON * n_clusters)]


def traces(latin_texts: Sequence[str]) -> list[Trace]:
    """What outputs in Latin letters leave behind, one for each."""
    plain = bare(latin_texts)
    wholes = [hash(own or text) for own, text in zip(plain, latin_texts, strict=True)]
    return list(zip(wholes, _sketches([text[:LONGEST] for text in letters(plain)]), strict=True))


def _sketches(texts: Sequence[str]) -> list[Hashes]:
    """Of each text the lowest hashes of its runs of `GRAM` letters.

    All texts are hashed as one. Of each are taken the hashes below a bound that twice `SKETCH` of its runs keep to, of
    these the lowest: no text is sorted.
    """
    sizes = np.array([len(text) for text in texts], dtype=np.int64)
    runs = np.where(sizes < SHORTEST, 0, sizes - GRAM + 1)
    bounds = np.minimum((2 * SKETCH << 32) / np.maximum(runs, 1), 2**32 - 1).astype(np.uint32)
    joined = "".join(texts)
    ascii_only = joined.isascii()
    data = joined.encode() if ascii_only else joined.encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(data, np.uint8 if ascii_only else np.uint32)
    starts = np.cumsum(sizes) - sizes
    of = np.repeat(np.arange(len(texts)), sizes)
    found: list[Hashes] = []
    for at in range(0, len(codes), _BLOCK):
        hashes = _hashes(codes[at : at + _BLOCK + GRAM - 1])
        low = np.flatnonzero(hashes <= bounds[of[at : at + len(hashes)]])
        own = of[at + low]
        within = at + low < (starts + runs)[own]
        found.append(own[within].astype(np.uint64) << np.uint64(32) | hashes[low[within]])
    kept = np.sort(np.concatenate([np.zeros(0, np.uint64), *found]))
    kept = kept[np.diff(kept, prepend=~np.uint64(0)) != 0]
    edges = np.searchsorted(kept, np.arange(len(texts) + 1, dtype=np.uint64) << np.uint64(32))
    lowest = kept.astype(np.uint32)
    made = [lowest[start : min(end, start + SKETCH)] for start, end in pairwise(edges.tolist())]
    for number in np.flatnonzero((np.diff(edges) < SKETCH) & (runs > SKETCH)).tolist():
        # it repeats itself, or most of its hashes are high
        made[number] = np.unique(_hashes(codes[starts[number] : starts[number] + sizes[number]]))[:SKETCH]
    return made


def _hashes(codes: Hashes) -> Hashes:
    """A hash of each run of `GRAM` letters: of runs of 2, then of 4, 8 and 16 out of two halves."""
    hashes = codes.astype(np.uint32)
    base, width = _BASE, 1
    while width < GRAM:
        hashes = hashes[:-width] * np.uint32(base) + hashes[width:]
        base, width = base * base % 2**32, 2 * width
    hashes ^= hashes >> np.uint32(15)
    hashes *= np.uint32(0x85EBCA6B)
    hashes ^= hashes >> np.uint32(13)
    return hashes
