"""Flags on models whose standing may not be their answers': one output for all, or outputs that address the judge.

AlpacaEval's NullModel answers all 805 instructions with one string written to fool the judge and holds first place
upstream. A flag is a warning to a reader, never a change of a number.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pandas as pd

from simfarm.data.frames import Verdicts
from simfarm.data.inspection import Flag, Inspection
from simfarm.ranking.guard.hints import PROOF, Sign, sign
from simfarm.ranking.guard.repeats import Commons, Repeats, Trace, traces
from simfarm.ranking.guard.suspects import suspects
from simfarm.text.disguise import readings
from simfarm.text.harmless import one_line
from simfarm.text.marks import FEATURES, control_names, covariate_names
from simfarm.text.words import plural

__all__ = ["CONSTANT_OUTPUT", "MEANINGS", "NOT_CHECKED", "SPEAKS_TO_JUDGE", "Watch", "flags_of", "inspection"]

CONSTANT_OUTPUT = "constant-output"
SPEAKS_TO_JUDGE = "speaks-to-judge"
NOT_CHECKED = "not checked"
MEANINGS = {
    CONSTANT_OUTPUT: "gives the same output, or nearly, to many instructions",
    SPEAKS_TO_JUDGE: "has outputs that address the judge, not the user",
}

HINT_COUNT = 3
HINT_SHARE = 0.03
"""Hints are a sign in so many outputs, and in so large a share of them. Honest models have them in .1 % at most."""

_TOGETHER = 1 << 22
"""Characters of outputs that are looked at in one go, which is many times faster than one by one."""

QUOTED = 60
"""Characters of an output that a warning shows."""


class Watch:
    """Outputs seen one by one, in any order and from any number of files; `flags` says at any time what they show.

    No text is kept for long, but a few excerpts: an output leaves some 200 bytes behind.
    """

    def __init__(self) -> None:
        self._of: dict[str, _Seen] = {}
        self._waiting: list[tuple[_Seen, int, str, object]] = []
        self._length = 0

    def see(self, generator: str, cluster: Hashable, text: str, where: object = None) -> None:
        """One output to one instruction (`cluster`), which warnings name as `where`, or as the cluster if that is None:
        an id, or (id, dataset).

        The same text for the same instruction counts once.
        """
        seen = self._of.get(generator)
        if seen is None:
            seen = self._of[generator] = _Seen()
        if not seen.new(hash((cluster, text))):
            return
        self._waiting.append((seen, hash(cluster), text, cluster if where is None else where))
        self._length += len(text)
        if self._length >= _TOGETHER:
            self._look()

    def _look(self) -> None:
        """Look at what waits."""
        waiting, self._waiting, self._length = self._waiting, [], 0
        texts = [text for _, _, text, _ in waiting]
        read = [readings(text) for text in texts]
        traced = traces([latin for _, latin in read])
        for (seen, cluster, text, where), trace, suspect in zip(waiting, traced, suspects(texts, read), strict=True):
            seen.add(cluster, trace, text, where, sign(text) if suspect else None)

    def flags(self) -> dict[str, tuple[Flag, ...]]:
        """The flags of every generator seen, empty where it is clean.

        What every generator repeats is the instructions' doing ("yes" or "no", one sum after the other), and no flag.
        """
        self._look()
        commons = {generator: seen.repeats.commons() for generator, seen in self._of.items()}
        shared = _shared(list(commons.values()))
        return {
            generator: tuple(seen.flags(_without(commons[generator], shared))) for generator, seen in self._of.items()
        }


class _Seen:
    """What is left of one generator's outputs."""

    def __init__(self) -> None:
        self.repeats = Repeats()
        self._known: set[int] = set()
        self._hinting = 0
        self._weight = 0
        self._example = ""

    def new(self, key: int) -> bool:
        """Whether an output was not seen yet, by its hash."""
        known = len(self._known)
        self._known.add(key)
        return len(self._known) > known

    def add(self, cluster: int, trace: Trace, text: str, where: object, found: Sign | None) -> None:
        if self.repeats.add(cluster, trace):
            self.repeats.show(_excerpt(text, where))
        if found is not None:
            self._hinting += 1
            if found.weight > self._weight:
                self._weight, self._example = found.weight, _excerpt(found.quote, where)

    def flags(self, own: Commons) -> list[Flag]:
        raised = []
        n = len(self._known)
        if (verdict := self.repeats.verdict(own)) is not None:
            raised.append(Flag(CONSTANT_OUTPUT, _example(verdict[1], verdict[0], n)))
        if self._weight >= PROOF or self._hinting >= max(HINT_COUNT, HINT_SHARE * n):
            raised.append(Flag(SPEAKS_TO_JUDGE, _example(self._example, self._hinting, n)))
        return raised


def _excerpt(text: str, where: object) -> str:
    short = " ".join(text[: 4 * QUOTED].split())
    shown = short[:QUOTED] + ("…" if len(short) > QUOTED else "")
    return f'"{one_line(shown)[: QUOTED + 1]}" (instruction {_named(where)}'


def _named(where: object) -> str:
    """An instruction as a warning names it: its id, or its id and its dataset."""
    parts = where if isinstance(where, tuple) else (where,)
    return " of ".join(one_line(part).removesuffix(".0")[:24] for part in parts if part is not None)


def _example(excerpt: str, count: int, n: int) -> str:
    return f"{excerpt}; {count} of {plural(n, 'output')})" if excerpt else f"({count} of {plural(n, 'output')})"


def _shared(commons: list[Commons]) -> Commons | None:
    """What is common to all generators, where there are several."""
    if len(commons) < 2:
        return None
    texts, runs = commons[0]
    for other_texts, other_runs in commons[1:]:
        texts, runs = np.intersect1d(texts, other_texts), np.intersect1d(runs, other_runs)
    return texts, runs


def _without(own: Commons, shared: Commons | None) -> Commons:
    return own if shared is None else (np.setdiff1d(own[0], shared[0]), np.setdiff1d(own[1], shared[1]))


def flags_of(verdicts: Verdicts) -> dict[str, tuple[Flag, ...]]:
    """Flags of each generator, on either side; `("not checked",)` where there were no texts, none where it is clean."""
    sides = (verdicts.table[f"generator_{side}"] for side in ("1", "2"))
    names = dict.fromkeys(name for side in sides for name in pd.unique(side))
    return {name: verdicts.flags.get(name, (Flag(NOT_CHECKED),)) for name in names}


def inspection(control: str | None = None, criteria: bool = False) -> Inspection:
    """What is looked for in texts while verdicts are read: signs that outputs cheat, and the features of style
    and covariates that will be held equal (`control`, as in `control_names`), and the scores by `criteria`.
    One for each reading; raises `InputError`."""
    names = control_names(control) if control else ()
    features = tuple(name for name in names if name in FEATURES)
    return Inspection(Watch(), features, covariate_names(names), criteria=criteria)
