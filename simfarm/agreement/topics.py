"""Topics of instructions: a tree of two levels, made of their words and named by them, the same on every machine.

TF-IDF, its leading directions (Deerwester et al. 1990), and Ward's tree of the instructions in them, cut twice, so that
every topic lies within one area. No starting point is drawn and no model is asked: the same instructions in another
order have the same topics.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from simfarm.errors import InputError
from simfarm.statistics.estimate import Array
from simfarm.statistics.logistic import Codes
from simfarm.text.properties import lexicon
from simfarm.text.words import plural

__all__ = ["Tree", "topics"]

_WORD = re.compile(r"[^\W\d_]{3,}")
_FEWEST_DIRECTIONS, _MOST_DIRECTIONS = 5, 20
"""Of words, as many as topics between these: in more, short texts are all far apart, and one topic takes most."""
_PER_TOPIC, _PER_AREA = 20, 60
"""Instructions to a topic and to an area, on average: with fewer no rate of theirs is worth a line."""
_MOST_AREAS, _MOST_TOPICS = 12, 40
_IN_TREE = 4000
"""Instructions that the tree is made of, the rest is put with the nearest: its memory is the square of their number."""
_AREA_WORDS, _TOPIC_WORDS = 2, 3


@dataclass(frozen=True)
class Tree:
    """The topic of each instruction (`code`, places in `own`), and each topic's `area` (a place in `areas`): both as
    the foremost words of theirs, a topic's without those of its area."""

    code: Codes
    own: tuple[str, ...]
    area: Codes
    areas: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The topics' names by their words."""
        return self.called(self.areas, self.own)

    def called(self, areas: Sequence[str], own: Sequence[str]) -> tuple[str, ...]:
        """The topics' names, "area / topic" where there are several areas, of what areas and topics are called."""
        if len(areas) == 1:
            return tuple(own)
        return tuple(f"{areas[a]} / {name}" if name else areas[a] for a, name in zip(self.area, own, strict=True))


def topics(texts: Sequence[str]) -> Tree:
    """Topics of different instructions, some twenty to a topic, fewer areas above them.

    Raises `InputError` for fewer than 40, of which no tree can be made. Words are runs of three letters or more: in a
    script without spaces a phrase is one word, and such texts mostly share one topic.
    """
    if len(texts) < 2 * _PER_TOPIC:
        raise InputError(
            f"{plural(len(texts), 'instruction')} make no tree of topics; give at least {2 * _PER_TOPIC}, or a column "
            "category and --by category"
        )
    counted, words = _counted(texts)
    n_topics = min(_MOST_TOPICS, len(texts) // _PER_TOPIC)
    at = _placed(_weighted(counted), min(_MOST_DIRECTIONS, max(_FEWEST_DIRECTIONS, n_topics)))
    n_areas = max(1, min(_MOST_AREAS, len(texts) // _PER_AREA, n_topics))
    tree = _order_free(at)
    some = tree[:: max(1, -(-len(tree) // _IN_TREE))]
    linked = linkage(at[some], method="ward")
    fine, coarse = (_with_rest(at, some, fcluster(linked, n, "maxclust")) for n in (n_topics, n_areas))
    area_of = np.zeros(fine.max() + 1, dtype=np.int64)
    area_of[fine] = coarse
    areas = _names(counted, words, coarse, _AREA_WORDS, [()] * (coarse.max() + 1))
    taken = [tuple(areas[a].split(", ")) if n_areas > 1 else () for a in area_of]
    return Tree(fine, _names(counted, words, fine, _TOPIC_WORDS, taken), area_of, areas)


def _counted(texts: Sequence[str]) -> tuple[csr_array, list[str]]:
    """(how often each instruction has each word, the words): those of two instructions at least, common words apart."""
    bags = [Counter(w for w in _WORD.findall(text.lower()) if w not in lexicon().common) for text in texts]
    spread = Counter(word for bag in bags for word in bag)
    words = sorted(word for word, n in spread.items() if n > 1)
    place = {word: k for k, word in enumerate(words)}
    cells = [(row, place[w], n) for row, bag in enumerate(bags) for w, n in bag.items() if w in place]
    row, column, count = np.array(cells, dtype=np.int64).reshape(-1, 3).T
    return csr_array((count.astype(float), (row, column)), shape=(len(texts), max(1, len(words)))), words


def _weighted(counted: csr_array) -> csr_array:
    """(1 + log count) · log(n / instructions with the word), rows of length 1; an instruction without words is 0."""
    made = counted.copy()
    made.data = 1 + np.log(made.data)
    n = made.shape[0]
    rare = np.log(n / np.maximum(1, np.bincount(made.indices, minlength=made.shape[1])))
    made.data *= rare[made.indices]
    length = np.sqrt(np.asarray(made.multiply(made).sum(axis=1)).ravel())
    made.data /= np.repeat(np.maximum(length, 1e-300), np.diff(made.indptr))
    return made


def _placed(weighted: csr_array, directions: int) -> Array:
    """The instructions in the leading directions of their words, each of length 1 (an empty one 0)."""
    k = min(directions, min(weighted.shape) - 1)
    if k < 1:
        return np.asarray(weighted.todense(), dtype=np.float64)
    left, sizes, _ = svds(weighted, k=k, v0=np.ones(min(weighted.shape)))
    at = left * sizes
    length = np.linalg.norm(at, axis=1, keepdims=True)
    at = np.divide(at, length, out=np.zeros_like(at), where=length > 1e-9)
    # a direction has no sign of its own
    return np.asarray(at * np.where(at.sum(axis=0) < 0, -1, 1), dtype=np.float64)


def _order_free(at: Array) -> Codes:
    """The instructions in an order of their own, whichever they came in."""
    return np.lexsort(np.round(at, 6).T)


def _with_rest(at: Array, some: Codes, code: Codes) -> Codes:
    """The groups (from 0) of all instructions: those in the tree have theirs, the rest that of the nearest mean."""
    made = np.full(len(at), -1)
    made[some] = code - 1
    rest = np.flatnonzero(made < 0)
    means = np.array([at[made == k].mean(axis=0) for k in range(code.max())])
    made[rest] = (at[rest] @ means.T - (means**2).sum(axis=1) / 2).argmax(axis=1)
    return made


def _names(
    counted: csr_array, words: Sequence[str], code: Codes, most: int, taken: Sequence[Sequence[str]]
) -> tuple[str, ...]:
    """The foremost words of each group that are not `taken`, by class-based TF-IDF (Grootendorst 2022), of instructions
    with a word rather than of its occurrences."""
    n = int(code.max()) + 1
    has = (counted > 0).astype(float)
    member = csr_array((np.ones(len(code)), (code, np.arange(len(code)))), shape=(n, len(code)))
    found = np.asarray((member @ has).todense())
    total = found.sum(axis=0)
    scores = found * np.log(1 + found.sum() / n / np.maximum(total, 1))
    names = []
    for k in range(n):
        ranked = (words[w] for w in np.argsort(-scores[k], kind="stable") if scores[k, w] > 0)
        names.append(", ".join([word for word in ranked if word not in taken[k]][:most]))
    return tuple(names)
