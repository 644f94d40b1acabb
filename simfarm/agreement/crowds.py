"""Labels of simulated people beside those of real ones, and a judge's runs, on the same comparisons."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from simfarm.agreement.matching import as_one
from simfarm.agreement.measures import Labels
from simfarm.agreement.votes import Votes, by_person, questions, runs_of, votes_of
from simfarm.data.frames import Verdicts
from simfarm.data.identity import row_codes
from simfarm.data.meaning import NAMES
from simfarm.errors import InputError
from simfarm.ranking.units import judge_hash_of
from simfarm.statistics.agreement import sides
from simfarm.statistics.estimate import Array
from simfarm.statistics.means import group_means
from simfarm.text.words import named, plural

__all__ = ["Crowds", "crowds_of"]

_SIMULATED, _RUNS = "simulated ", "run "
"""Before a rater's name: people may be called as they are in the simulation."""


@dataclass(frozen=True)
class Crowds:
    """What is compared: the labels of the `simulated` crowd and of `human` people on the comparisons `items` (see
    `Votes.items`); the p of a judge's `runs` (runs × items, NaN none) where they are given. `name` is the crowd's."""

    name: str
    simulated: Labels
    human: Labels
    items: pd.DataFrame
    runs: Array | None
    notes: tuple[str, ...]


def crowds_of(
    simulated: Verdicts, human: Verdicts, runs: Verdicts | None = None, *, allow_mixed: bool = False
) -> Crowds:
    """The crowds of three files' rows, matched as a judge's and people's are (see `matching`).

    A simulated person is the `person` of a row, else its `annotator`; every repeat is a label of its own. A run of the
    judge is one call of one annotator, in either order. Raises `InputError` for what cannot be matched, two crowds in
    one file, a person's contradiction, and runs of none of the comparisons.
    """
    name = _crowd_name(simulated)
    parts = [_under(by_person(simulated), _SIMULATED)]
    if runs is not None:
        for annotator, part in runs.by_annotator():
            judge_hash_of(part, annotator, allow_mixed)
        parts.append(_under(runs, _RUNS))
    joined = parts[0] if len(parts) == 1 else Verdicts(as_one(parts[0], parts[1])[0])
    # a population draws another member for each comparison: its people have many judges' hashes
    votes = votes_of(joined, human, allow_mixed=True)
    rater = votes.votes["rater"].astype(str)
    said = votes.votes["p"].notna()
    crowd, notes = _labels(votes.votes[rater.str.startswith(_SIMULATED) & said], own_repeats=True)
    people, more = _labels(votes.votes[votes.votes["human"] & said], own_repeats=False)
    made = Crowds(name, crowd, people, votes.items, None, (*_without_prefix(votes.notes), *notes, *more))
    return made if runs is None else replace(made, runs=_runs(votes, made))


def _crowd_name(simulated: Verdicts) -> str:
    names = simulated.annotators()
    if len(names) > 1 and "person" in simulated.table and simulated.table["person"].notna().any():
        raise InputError(
            f"the simulated labels are of {len(names)} crowds ({named(names)}); give one of them at a time"
        )
    known = [one for one in names if one != NAMES["annotator"]]
    return known[0] if len(known) == 1 else "the crowd"


def _under(verdicts: Verdicts, prefix: str) -> Verdicts:
    """The same rows under annotators' names that begin with `prefix`."""
    return Verdicts(verdicts.table.assign(annotator=pd.Categorical(prefix + verdicts.table["annotator"].astype(str))))


def _without_prefix(notes: tuple[str, ...]) -> list[str]:
    """What was said of how labels found their comparisons; the prefixes of our own are nobody's names."""
    return [note.replace(_SIMULATED, "").replace(_RUNS, "") for note in notes]


def _labels(calls: pd.DataFrame, *, own_repeats: bool) -> tuple[Labels, list[str]]:
    """(the labels in calls with a verdict, what was done to them): one for each person and comparison, or repeat of it;
    both orders of a question are one label, which is a tie where they contradict each other."""
    person = calls["rater"].cat.codes.to_numpy().astype(np.int64)
    repeat = calls["repeat"] if own_repeats else pd.Series(0, index=calls.index)
    asker = row_codes([person, repeat])
    question, item, _ = questions(calls.assign(repeat=asker))
    p = calls["p"].to_numpy()
    vote = group_means(p, question, len(item))
    of = np.zeros(len(item), dtype=np.int64)
    of[question] = person
    shown = np.where(calls["order"] == "21", 1.0, np.where(calls["order"] == "12", 0.0, np.nan))
    swapped = group_means(shown, question, len(item))
    swapped = np.where((swapped == 0) | (swapped == 1), swapped, np.nan)
    side = np.array([0.0, 0.5, 1.0])[sides(vote)]
    soft = int((side != vote).sum())
    notes = [f"{plural(soft, 'soft preference')}: each counts as the side that it takes"] if soft else []
    return Labels(item, side, of, swapped), notes


def _runs(votes: Votes, crowds: Crowds) -> Array:
    """p of each run of the judge on each comparison."""
    runs = np.concatenate(
        [runs_of(votes.of(name), len(votes.items)) for name in votes.judges if name.startswith(_RUNS)]
    )
    shared = np.intersect1d(crowds.simulated.item, crowds.human.item)
    if np.isnan(runs[:, shared]).all():
        raise InputError(
            f"the judge's runs are of none of the {plural(len(shared), 'comparison')} that people and the crowd "
            "labelled; give its annotations of these"
        )
    return runs
