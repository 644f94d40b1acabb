"""A crowd of simulated people fitted to real ones, and held against them where it was not fitted.

What is reported of a crowd comes from a half of the instructions that a second fit, to the other half, has not seen:
on its own labels any fit with a parameter for it agrees with people as often as they do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from simfarm.agreement.fidelity import fidelity
from simfarm.agreement.measures import Fidelity, Labels
from simfarm.agreement.votes import Mask, Votes, runs_of
from simfarm.errors import InputError
from simfarm.ranking.table import plain
from simfarm.statistics.agreement import sides
from simfarm.statistics.crowd import crowd_logit, crowd_votes, unanimity
from simfarm.statistics.crowd_fit import CrowdFit, fit_crowd
from simfarm.statistics.crowd_measures import crowd_errors
from simfarm.statistics.estimate import Array
from simfarm.text.words import named, plural

__all__ = ["PARAMETERS", "Calibration", "calibrated"]

PARAMETERS = {
    "scale": "characters of length that count as one",
    "judge": "follows the judge where its runs agree, β_J",
    "length": "prefers the longer output, β_L",
    "bias": "prefers output_2, β_0",
    "item_sd": "what people see that neither tells, τ",
    "tie": "calls it a tie",
    "length_sd": "persons differ in taste for length",
    "position_sd": "persons differ in taste for a place",
}
RUNS = 8
FEW = 200
"""Items with several labels below which a fit is vague."""
_COST = {1: 0.13, 2: 0.09, 3: 0.06, 4: 0.04, 5: 0.03, 6: 0.02, 7: 0.01}
"""How much less ρ is with fewer runs than eight (benchmarks/crowd.py, 648 comparisons; 3 and 5 to 7 in between)."""


@dataclass(frozen=True)
class Calibration:
    """A crowd fitted to people's labels (`fit`), by `runs` runs of a judge, with `people` persons in the labels.

    `fidelity` holds such a crowd, fitted to one half of the instructions, against people on the other; None where that
    cannot be done, and `why`. `notes` say what was done to the rows, `advice` what to know before the crowd is used.
    """

    fit: CrowdFit
    runs: int
    people: int
    fidelity: Fidelity | None
    why: str = ""
    notes: tuple[str, ...] = ()
    level: float = 0.95

    @property
    def table(self) -> pd.DataFrame:
        """One row a parameter: value, standard error and limits (missing where it was given, not fitted), `fitted`."""
        rows = []
        for name in PARAMETERS:
            low, high = self.fit.interval(name, self.level)
            error = self.fit.standard_errors.get(name, np.nan)
            value = getattr(self.fit.parameters, name)
            fitted = name in self.fit.free
            rows.append(
                {"parameter": name, "value": value, "standard_error": error, "low": low, "high": high, "fitted": fitted}
            )
        return pd.DataFrame(rows)

    @property
    def advice(self) -> list[str]:
        """What to know of it, the gravest first."""
        fit, said = self.fit, []
        if "item_sd" in fit.free and fit.n_several < FEW:
            low, high = fit.interval("item_sd", self.level)
            where = "unknown" if np.isnan(low) else f"anywhere from {low:.2f} to {high:.2f}"
            said.append(
                f"vague: {plural(fit.n_several, 'comparison')} with several labels leave item_sd {where}; "
                f"from {FEW} on a fit is worth having, more is better"
            )
        if self.runs < RUNS:
            said.append(
                f"{plural(self.runs, 'run')} of the judge: the crowd's leanings follow people's less than with "
                f"{RUNS}, by about {_COST[self.runs]:.2f} in ρ (measured elsewhere); ask with --repeats {RUNS}"
            )
        if not fit.n_persons and self.people > 1:
            said.append(
                "persons are taken to be alike: fewer than three of them gave eight labels, and errors have nothing of "
                "what other people would say"
            )
        return said

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; a number that does not exist is null."""
        fit = self.fit
        return {
            "parameters": [{k: plain(v) for k, v in row.items()} for row in self.table.to_dict("records")],
            "covariance": {"of": list(fit.covered), "values": [[plain(x) for x in row] for row in fit.covariance]},
            "log_likelihood": plain(fit.loglik),
            "n_labels": fit.n_labels,
            "n_comparisons": fit.n_items,
            "n_with_several": fit.n_several,
            "n_instructions": fit.n_clusters,
            "n_people": self.people,
            "n_runs": self.runs,
            "level": self.level,
            "fidelity": None if self.fidelity is None else self.fidelity.to_json(),
            "no_fidelity": self.why or None,
            "advice": self.advice,
            "notes": list(self.notes),
        }


def calibrated(votes: Votes, *, fixed: Mapping[str, float], runs: int = RUNS, level: float = 0.95) -> Calibration:
    """The crowd around the judge of `votes` that is most like its people. `fixed` are parameters that are given (see
    `fit_crowd`), `runs` how many of the judge's runs there are to be; more are left out.

    Raises `InputError` without lengths or labels, with fewer than two runs where more are wanted, and for what
    `fit_crowd` cannot fit.
    """
    if not len(votes.labels[0]):
        raise InputError("the labels hold no preference of anybody; give people's labels")
    every = _runs(votes)
    if len(every) < min(2, runs):
        raise InputError(
            f"a crowd follows a judge where its runs agree, and there {'is' if len(every) == 1 else 'are'} "
            f"{plural(len(every), 'run')}; ask the judge several times (simfarm annotate --repeats {runs}), or set "
            "runs: 1 in the population"
        )
    used = every[:runs]
    delta = (votes.items["length_2"] - votes.items["length_1"]).to_numpy(dtype=np.float64)
    if np.isnan(delta).all():
        raise InputError("the files do not tell how long the outputs are; give their texts, or length_1 and length_2")
    material = _Material(votes, used, delta, dict(fixed))
    fit = material.fit(np.ones(len(delta), dtype=bool))
    notes = list(votes.notes)
    if len(votes.judges) > 1:
        notes.append(f"the runs are of several judges ({named(sorted(votes.judges))}) and are taken for one judge's")
    if len(every) > runs:
        notes.append(f"{len(every):,} runs of the judge: the first {runs} are used, as the population says")
    found, why = material.held_out(fit, level)
    people = len(np.unique(votes.labels[2]))
    return Calibration(fit, len(used), people, found, why, tuple(notes), level)


def _runs(votes: Votes) -> Array:
    """p of each run of each judge on each comparison."""
    return np.concatenate([runs_of(votes.of(name), len(votes.items)) for name in votes.judges])


@dataclass(frozen=True)
class _Material:
    """What a crowd is fitted to: votes, a judge's runs (runs × items), length differences, what is given."""

    votes: Votes
    runs: Array
    delta: Array
    fixed: dict[str, float]

    def fit(self, items: Mask, **given: float) -> CrowdFit:
        """The crowd of some of the items (a mask)."""
        item, p, person = self.votes.labels
        unanimous = np.where(items, unanimity(self.runs), np.nan)
        fixed = given | self.fixed
        return fit_crowd(unanimous, self.delta, item, person, p, cluster=self.votes.cluster, fixed=fixed)

    def held_out(self, whole: CrowdFit, level: float) -> tuple[Fidelity | None, str]:
        """(a crowd fitted to one half of the instructions beside people on the other; why there is none)."""
        cluster = self.votes.cluster
        random = np.random.default_rng(0)
        fitted = np.isin(cluster, random.permutation(int(cluster.max()) + 1)[::2])
        item, p, person = self.votes.labels
        unanimous = unanimity(self.runs)
        known = ~np.isnan(unanimous) & ~np.isnan(self.delta)
        rows = np.flatnonzero((known & ~fitted)[item] & ~np.isnan(p))
        try:
            fit = self.fit(fitted, scale=whole.parameters.scale)
            people = Labels(item[rows], np.array([0.0, 0.5, 1.0])[sides(p[rows])], person[rows])
            count = np.bincount(people.item, minlength=len(cluster))
            own = random.standard_normal((2, int(person.max()) + 1))
            seen = random.standard_normal(len(cluster)) * (count > 1)
            eta = crowd_logit(
                fit.parameters,
                unanimous[people.item],
                self.delta[people.item],
                person_length=own[0][people.person],
                person_position=own[1][people.person],
                item=seen[people.item],
            )
            crowd = Labels(people.item, crowd_votes(fit.parameters, eta, random.random(len(rows))), people.person)
            shown = np.flatnonzero(count)
            lean = np.nanmean(np.sign(self.runs[:, shown] - 0.5), axis=0)
            usual = int(np.bincount(np.minimum(count[shown], 6)).argmax())
            errors = crowd_errors(fit, lean, self.delta[shown], usual)
            found = fidelity(
                crowd,
                people,
                self.votes.items,
                runs=self.runs,
                name="fitted to one half, on the other half",
                level=level,
                fit_errors=errors,
            )
        except InputError as error:
            return None, f"a half of these labels is not enough to hold a crowd against: {error}"
        return found, ""
