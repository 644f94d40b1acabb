"""Simulated people fitted to real ones: do the fit's errors hold, and can the crowd be told from people?

    python benchmarks/crowd.py --data ../shared/data/human -o crowd.md

Planted: labels of crowds with known parameters; how often 95 % intervals hold them. Recorded: 648 comparisons with four
labels each by 16 people and eight recorded runs of a judge; every crowd is fitted on half of the comparisons (by
instruction) and held against people on the other half: by six measures under the rule |crowd − people| ≤ 1.96 standard
errors of test and fit together, and by scikit-learn's classifiers. Then the ranking of eight models, another data set,
fewer runs, and other families, chosen on one set of comparisons and tested on another.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import entr, expit
from scipy.stats import spearmanr
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from simfarm.errors import InputError
from simfarm.statistics.agreement import pairwise_agreement, side_counts, sides
from simfarm.statistics.bradley_terry import Matches, bradley_terry
from simfarm.statistics.crowd import (
    CrowdParameters,
    crowd_logit,
    crowd_mean,
    crowd_probability,
    crowd_votes,
    length_scale,
    unanimity,
)
from simfarm.statistics.crowd_fit import CrowdFit, fit_crowd
from simfarm.statistics.crowd_likelihood import Labels, State, look
from simfarm.statistics.crowd_measures import crowd_errors
from simfarm.statistics.habits import preference_for
from simfarm.statistics.ratios import ratio_estimate
from simfarm.text.properties import measures as measured

STYLE = ("lists", "bold", "hedges", "numbers")
ALIKE = {"bias": 0.0, "length_sd": 0.0, "position_sd": 0.0}
"""The crowd of three parameters: people who are all alike."""


@dataclass(frozen=True)
class Set:
    """One set of recorded labels: what `fit_crowd` takes, the judge's runs (runs × items), and the models."""

    runs: np.ndarray
    delta: np.ndarray
    item: np.ndarray
    person: np.ndarray
    vote: np.ndarray
    cluster: np.ndarray
    style: np.ndarray
    models: pd.DataFrame | None = None

    @property
    def unanimous(self) -> np.ndarray:
        return unanimity(self.runs)

    @property
    def lean(self) -> np.ndarray:
        return np.nanmean(np.sign(self.runs - 0.5), axis=0)

    def fit(self, items: np.ndarray, fixed: dict[str, float], runs: np.ndarray | None = None) -> CrowdFit:
        """The crowd of some of the items (a mask), lengths scaled as in all."""
        unanimous = np.where(items, self.unanimous if runs is None else unanimity(runs), np.nan)
        given = {"scale": length_scale(self.delta), **fixed}
        return fit_crowd(unanimous, self.delta, self.item, self.person, self.vote, cluster=self.cluster, fixed=given)

    def halves(self, splits: int) -> Iterator[tuple[np.random.Generator, np.ndarray]]:
        """(generator, which items are fitted on), halves of the instructions."""
        n = int(self.cluster.max()) + 1
        for seed in range(splits):
            random = np.random.default_rng(seed)
            yield random, np.isin(self.cluster, random.permutation(n)[: n // 2])


def read(data: Path, name: str) -> Set:
    """A set with the runs of its judges; items without any are left out."""
    labels = pd.read_parquet(data / f"{name}.parquet")
    judges = pd.read_parquet(data / f"{name}_judges.parquet")
    if name == "vicuna80":
        judges = judges[judges.judge == "gpt-4"]
    by = ["judge", "seed"] if "seed" in judges else ["judge", "order"]
    runs = judges.pivot_table(index="item_id", columns=by, values="preference")
    names = np.array(sorted(set(runs.index) & set(labels.item_id)))
    labels = labels[labels.item_id.isin(names)]
    rows = labels.drop_duplicates("item_id").set_index("item_id").loc[names]
    texts = rows.output_1, rows.output_2
    meta = pd.read_parquet(data / f"{name}_items.parquet").set_index("item_id").loc[names]
    return Set(
        runs=runs.loc[names].to_numpy().T - 1,
        delta=(rows.output_2.str.len() - rows.output_1.str.len()).to_numpy(float),
        item=np.searchsorted(names, labels.item_id.to_numpy(object)),
        person=pd.factorize(labels.annotator)[0],
        vote=labels.preference.to_numpy() - 1,
        cluster=pd.factorize(rows.instruction)[0],
        style=np.array([np.subtract(measured(b, STYLE), measured(a, STYLE)) for a, b in zip(*texts, strict=True)]),
        models=meta if "model_1" in meta else None,
    )


def drawn(data: Set, rows: np.ndarray, crowd: CrowdParameters, random: np.random.Generator) -> np.ndarray:
    """Votes of a crowd where people gave theirs (`rows` of labels), as many persons with a taste of their own."""
    item, person = data.item[rows], data.person[rows]
    own, u = random.standard_normal((2, int(data.person.max()) + 1)), random.standard_normal(len(data.delta))
    eta = crowd_logit(
        crowd,
        data.unanimous[item],
        data.delta[item],
        person_length=own[0][person],
        person_position=own[1][person],
        item=u[item],
    )
    return crowd_votes(crowd, eta, random.random(len(item)))


def flipped(data: Set, rows: np.ndarray, flip: float, one: bool, random: np.random.Generator) -> np.ndarray:
    """Votes of one run for all, or of another run for each label, turned round with this chance."""
    item = data.item[rows]
    place = pd.Series(item).groupby(item).cumcount().to_numpy()
    order = np.argsort(random.random((len(data.delta), len(data.runs))), axis=1)
    run = np.zeros(len(item), dtype=int) if one else order[item, place % len(data.runs)]
    vote = data.runs[run, item]
    return np.where(random.random(len(item)) < flip, 1 - vote, vote)


def fitted_flip(data: Set, items: np.ndarray) -> float:
    """The flip that makes labels of different runs agree as often as people's do on these items."""
    rows = items[data.item]
    people = pairwise_agreement(data.item[rows], data.vote[rows], data.cluster).value
    n = len(data.runs)
    ones = data.runs.sum(axis=0)
    runs = float(((ones * (ones - 1) + (n - ones) * (n - ones - 1)) / (n * (n - 1)))[items].mean())
    return (1 - np.sqrt(max(0.0, (2 * people - 1) / (2 * runs - 1)))) / 2


def measures(data: Set, rows: np.ndarray, vote: np.ndarray) -> dict[str, object]:
    """The six measures of votes on `rows` of labels, as estimates."""
    item, lean = data.item[rows], data.lean
    sure = np.abs(lean) == 1
    which = {
        "longer": np.sign(data.delta) * (np.abs(data.delta) > 30),
        "output_1": -np.ones(len(lean)),
        "follows_sure": np.where(sure, lean, 0.0),
        "follows_unsure": np.where(sure, 0.0, np.sign(lean)),
    }
    found = {"pairwise": pairwise_agreement(item, vote, data.cluster), "entropy": entropy(item, vote, data.cluster)}
    return found | {
        name: preference_for(item, vote, side.astype(np.int64), data.cluster, ties=False)
        for name, side in which.items()
    }


def entropy(item: np.ndarray, vote: np.ndarray, cluster: np.ndarray) -> object:
    shares = side_counts(item, vote, len(cluster))
    total = shares.sum(axis=1, keepdims=True)
    shares = np.divide(shares, total, out=np.full(shares.shape, np.nan), where=total > 0)
    bits = entr(shares).sum(axis=1) / np.log(2)
    return ratio_estimate(bits, np.ones(len(cluster)), cluster, (0.0, 1.0))


def with_people(data: Set, rows: np.ndarray, vote: np.ndarray) -> float:
    """How often a vote is a person's on the same item."""
    n = len(data.delta)
    one, other = (side_counts(data.item[rows], v, n) for v in (data.vote[rows], vote))
    known = one.sum(axis=1) > 0
    one, other = (x[known] / x[known].sum(axis=1, keepdims=True) for x in (one, other))
    return float((one * other).sum(axis=1).mean())


def rho(data: Set, items: np.ndarray, p: np.ndarray) -> float:
    """ρ of people's leanings with those of a crowd whose p of each item is known; people's second moment by pairs."""
    rows = items[data.item]
    e = np.bincount(data.item[rows], 2 * data.vote[rows] - 1, len(data.delta))
    squares = np.bincount(data.item[rows], (2 * data.vote[rows] - 1) ** 2, len(data.delta))
    n = np.bincount(data.item[rows], minlength=len(data.delta))
    used = n > 1
    h2 = float(((e**2 - squares)[used] / (n * (n - 1))[used]).mean())
    s = 2 * p[used] - 1
    return float((e[used] / n[used] * s).mean() / np.sqrt(h2 * (s**2).mean()))


def areas(data: Set, rows: np.ndarray, sets: tuple[np.ndarray, np.ndarray], seed: int) -> list[float]:
    """Areas under the curve of two classifiers of scikit-learn, cross-fitted by instruction, on each item's two sets of
    labels and what is known of the item."""
    item, used = data.item[rows], np.unique(data.item[rows])
    x = np.column_stack([np.tanh(data.delta / length_scale(data.delta)), data.lean, data.unanimous])[used]
    blocks = []
    for vote in sets:
        mean = (
            np.bincount(item, 2 * vote - 1, len(data.delta))
            / np.maximum(1, np.bincount(item, minlength=len(data.delta)))
        )[used, None]
        blocks.append(np.hstack([mean, np.abs(mean), x, np.abs(x), mean * x, np.abs(mean) * np.abs(x)]))
    table, y = np.vstack(blocks), np.repeat([0, 1], len(used))
    group = np.tile(data.cluster[used], 2)
    makers: tuple[Callable[[], object], ...] = (
        lambda: LogisticRegression(max_iter=300),
        lambda: HistGradientBoostingClassifier(max_iter=40, max_depth=3, random_state=seed),
    )
    found = []
    for make in makers:
        folds = [
            roc_auc_score(y[test], make().fit(table[train], y[train]).predict_proba(table[test])[:, 1])
            for train, test in GroupKFold(5, shuffle=True, random_state=seed).split(table, y, group)
        ]
        found.append(float(np.mean(folds)))
    return found


DRAWS = 10
"""Of each crowd, whose mean is held against people."""
SIX = ("pairwise", "entropy", "longer", "output_1", "follows_sure", "follows_unsure")


def outside(data: Set, rows: np.ndarray, votes: list[np.ndarray], errors: dict[str, float]) -> list[str]:
    """Which measures tell a crowd from people on the same rows: |crowd − people| > 1.96·√(test² + fit²), the crowd's
    value the mean of its draws (`votes`)."""
    drawn, people = [measures(data, rows, vote) for vote in votes], measures(data, rows, data.vote[rows])
    found = []
    for name in SIX:
        value = np.mean([one[name].value for one in drawn])
        pulls = np.mean([one[name].influence for one in drawn], axis=0) - people[name].influence
        test = np.sqrt(pulls @ pulls / (len(pulls) * (len(pulls) - 1)))
        if abs(value - people[name].value) > 1.96 * np.hypot(test, errors.get(name, 0.0)):
            found.append(name)
    return found


def halves(data: Set, splits: int, judged: int) -> str:
    """The table of crowds: fitted on one half, tried on the other; classifiers on the first `judged` splits."""
    rows: dict[str, list[list[float]]] = {}
    told: dict[str, list[list[str]]] = {}
    found: dict[str, list[list[float]]] = {}
    for seed, (random, fitted) in enumerate(data.halves(splits)):
        three, many = data.fit(fitted, ALIKE), data.fit(fitted, {"bias": 0.0})
        no_item = replace(three.parameters, item_sd=0.0)
        test = ~fitted
        at = np.flatnonzero(test[data.item])
        flip = fitted_flip(data, fitted)
        crowds: dict[str, tuple[list[np.ndarray], CrowdFit | None]] = {
            "people": ([data.vote[at]], None),
            "one greedy judge": ([flipped(data, at, 0.0, True, random)], None),
            "greedy + flip .25": ([flipped(data, at, 0.25, True, random) for _ in range(DRAWS)], None),
            "8 runs + flip .25": ([flipped(data, at, 0.25, False, random) for _ in range(DRAWS)], None),
            "8 runs + fitted flip": ([flipped(data, at, flip, False, random) for _ in range(DRAWS)], None),
            "unanimity + length, no item effect": ([drawn(data, at, no_item, random) for _ in range(DRAWS)], three),
            "unanimity + length + item effect": (
                [drawn(data, at, three.parameters, random) for _ in range(DRAWS)],
                three,
            ),
            "the same with persons": ([drawn(data, at, many.parameters, random) for _ in range(DRAWS)], many),
        }
        for name, (votes, fit) in crowds.items():
            errors = {} if fit is None else crowd_errors(fit, data.lean[test], data.delta[test], 4)
            vote, known = votes[0], measures(data, at, votes[0])
            others = outside(data, at, votes, errors)
            with_theirs = known["pairwise"].value if name == "people" else with_people(data, at, vote)
            row = [known["pairwise"].value, with_theirs, known["longer"].value, known["entropy"].value]
            rows.setdefault(name, []).append(row)
            told.setdefault(name, []).append(others)
            if seed < judged and name != "people":
                found.setdefault(name, []).append(areas(data, at, (data.vote[at], vote), seed))
        if seed < judged:
            coin = random.random(len(data.delta))[data.item[at]] < 0.5
            vote = drawn(data, at, three.parameters, random)
            sets = np.where(coin, vote, data.vote[at]), np.where(coin, data.vote[at], vote)
            found.setdefault("planted null", []).append(areas(data, at, sets, seed))
            place = pd.Series(random.random(len(at))).groupby(data.item[at]).rank().to_numpy()
            two, four = at[place <= 2], at[(place > 2) & (place <= 4)]
            two, four = (x[np.argsort(data.item[x], kind="stable")] for x in (two, four))
            same = np.isin(data.item[two], data.item[four])
            found.setdefault("people against people, two labels each", []).append(
                areas(data, two[same], (data.vote[two[same]], data.vote[four]), seed)
            )
        print(f"split {seed}", {n: np.mean(r, axis=0).round(3).tolist() for n, r in rows.items()}, flush=True)
        print({n: np.mean(r, axis=0).round(3).tolist() for n, r in found.items()}, flush=True)
        print({n: sum(not o for o in t) for n, t in told.items()}, flush=True)
    page = (
        f"| crowd | pairwise | with people | P(longer) | entropy | all six inside, of {splits} | outside most often | "
        f"AUC logistic | boosted (of {judged} splits, sd between them) |\n|---|---|---|---|---|---|---|---|---|\n"
    )
    for name, values in rows.items():
        mean = " | ".join(f"{x:.3f}" for x in np.mean(values, axis=0))
        inside = sum(not others for others in told[name])
        often = pd.Series([m for others in told[name] for m in others], dtype=object).value_counts()
        worst = ", ".join(f"{m} {k}" for m, k in often.head(3).items()) or "–"
        page += f"| {name} | {mean} | {inside} | {worst} | {_areas(found.get(name))} |\n"
    for name in ("people against people, two labels each", "planted null"):
        page += f"| {name} | | | | | | | {_areas(found.get(name))} |\n"
    return page


def _areas(values: list[list[float]] | None) -> str:
    if not values:
        return "| "
    return " | ".join(f"{m:.3f} ({s:.3f})" for m, s in zip(np.mean(values, 0), np.std(values, 0, ddof=1), strict=True))


def few(data: Set, splits: int) -> str:
    """Crowds fitted to few comparisons with four labels each, tried on the other half."""
    page = "| fitted to | β_J | β_L | τ (mean, sd) | all six inside by people's luck | by that and the fit's error |\n"
    page += "|---|---|---|---|---|---|\n"
    for n in (25, 50, 100, 200, 300):
        values, inside = [], np.zeros(2)
        for random, fitted in data.halves(splits):
            some = np.isin(np.arange(len(fitted)), random.permutation(np.flatnonzero(fitted))[:n])
            fit = data.fit(some, ALIKE)
            values.append([fit.parameters.judge, fit.parameters.length, fit.parameters.item_sd])
            at = np.flatnonzero(~fitted[data.item])
            votes = [drawn(data, at, fit.parameters, random) for _ in range(DRAWS)]
            errors = crowd_errors(fit, data.lean[~fitted], data.delta[~fitted], 4)
            inside += [not outside(data, at, votes, {}), not outside(data, at, votes, errors)]
        cells = [f"{m:.2f} ({s:.2f})" for m, s in zip(np.mean(values, 0), np.std(values, 0), strict=True)]
        page += f"| {n} | {' | '.join(cells)} | {inside[0] / splits:.2f} | {inside[1] / splits:.2f} |\n"
        print(page, flush=True)
    return page


def leanings(data: Set, splits: int) -> str:
    """ρ by what a crowd knows, on the other half, by the number of runs."""
    kinds: dict[str, dict[int, list[float]]] = {}
    for random, fitted in data.halves(splits):
        test = ~fitted
        for n in (1, 2, 4, 8):
            runs = data.runs[random.permutation(len(data.runs))[:n]]
            unanimous = unanimity(runs)
            crowd = data.fit(fitted, ALIKE, runs).parameters
            known = crowd_mean(crowd, unanimous, data.delta)
            seen = crowd_probability(crowd, unanimous, data.delta, item=random.standard_normal(len(known)))
            for name, p in (
                ("the share of runs", runs.mean(axis=0)),
                ("unanimity alone", (1 + unanimous) / 2),
                ("unanimity + length", known),
                ("unanimity + length + item effect", seen),
            ):
                kinds.setdefault(name, {}).setdefault(n, []).append(rho(data, test, p))
    page = "| ρ with people, the crowd's p known | 1 run | 2 | 4 | 8 |\n|---|---|---|---|---|\n"
    for name, of in kinds.items():
        page += f"| {name} | " + " | ".join(f"{np.mean(of[n]):.3f}" for n in (1, 2, 4, 8)) + " |\n"
    return page


def ranking(data: Set, splits: int) -> str:
    """Eight models by the crowd and by the judge, against people, on the other half of the questions."""
    meta = data.models
    names = sorted({*meta.model_1, *meta.model_2})
    places = [np.searchsorted(names, meta[side].to_numpy(object)) for side in ("model_1", "model_2")]
    people = np.bincount(data.item, data.vote) / np.bincount(data.item)

    def strengths(p: np.ndarray, items: np.ndarray) -> np.ndarray:
        used = items[~np.isnan(p[items])]
        one, other = (place[used] for place in places)
        return bradley_terry(Matches(tuple(names), one, other, p[used], data.cluster[used])).strengths

    found: dict[str, list[tuple[float, float]]] = {}
    for random, fitted in data.halves(splits):
        crowd = data.fit(fitted, ALIKE).parameters
        items = np.flatnonzero(~fitted & ~np.isnan(data.unanimous))
        at = np.flatnonzero(np.isin(data.item, items))
        votes = np.full(len(people), np.nan)
        sums = np.bincount(data.item[at], drawn(data, at, crowd, random), len(people))
        votes[items] = sums[items] / np.bincount(data.item[at], minlength=len(people))[items]
        truth = strengths(people, items)
        for name, p in (
            ("the crowd's draws", votes),
            ("the crowd's mean", crowd_mean(crowd, data.unanimous, data.delta)),
            ("GPT-4, both orders", np.nanmean(data.runs, axis=0)),
            ("GPT-4, one order", data.runs[0]),
        ):
            own = strengths(p, items)
            found.setdefault(name, []).append((spearmanr(own, truth).statistic, own.std() / truth.std()))
    page = "| | Spearman with people | spread of strengths, of people's |\n|---|---|---|\n"
    for name, values in found.items():
        page += f"| {name} | {np.mean(values, 0)[0]:.3f} | {np.mean(values, 0)[1]:.2f} |\n"
    return page


def transfer(sets: dict[str, Set]) -> str:
    """A crowd fitted to one set, among the comparisons of another: what two labels do, beside people there."""
    page = "| fitted to | tried on | pairwise: crowd | people | P(longer): crowd | people | ρ |\n"
    page += "|---|---|---|---|---|---|---|\n"
    everything = {name: np.ones(len(data.delta), dtype=bool) for name, data in sets.items()}
    fits = {name: data.fit(everything[name], ALIKE).parameters for name, data in sets.items()}
    for one, crowd in fits.items():
        for other, data in sets.items():
            # people's ties are no part of a crowd that has none
            rows = np.flatnonzero((data.vote != 0.5) & ~np.isnan(data.unanimous[data.item]))
            vote = drawn(data, rows, replace(crowd, tie=0.0), np.random.default_rng(0))
            found = [
                (pairwise_agreement(data.item[rows], v, data.cluster).value, measures(data, rows, v)["longer"].value)
                for v in (vote, data.vote[rows])
            ]
            ours = rho(data, ~np.isnan(data.unanimous), crowd_mean(crowd, data.unanimous, data.delta))
            cells = [found[0][0], found[1][0], found[0][1], found[1][1], ours]
            page += f"| {one} | {other} | " + " | ".join(f"{x:.3f}" for x in cells) + " |\n"
    return page


FAMILIES = (
    "cliff",
    "share of runs",
    "cliff and share",
    "cliff, lists, bold, hedges, numbers",
    "share, lists, bold, hedges, numbers",
)


def families(sets: dict[str, Set], splits: int) -> str:
    """Other families: ρ and the log likelihood of a label, on the other half, by what people are said to follow."""
    page = (
        "| what people follow, beside length | " + " | ".join(f"{name}: ρ | log likelihood" for name in sets) + " |\n"
    )
    page += "|---|" + "---|---|" * len(sets) + "\n"
    found: dict[str, list[str]] = {name: [] for name in FAMILIES}
    for data in sets.values():
        style = np.tanh(data.style / np.maximum(1e-9, np.sqrt((data.style**2).mean(axis=0))))
        u, lean, x = data.unanimous, data.lean, np.tanh(data.delta / length_scale(data.delta))
        designs = {
            "cliff": [u, x],
            "share of runs": [lean, x],
            "cliff and share": [u, lean, x],
            "cliff, lists, bold, hedges, numbers": [u, x, *style.T],
            "share, lists, bold, hedges, numbers": [lean, x, *style.T],
        }
        rows: dict[str, list[tuple[float, float]]] = {name: [] for name in FAMILIES}
        for _, fitted in data.halves(splits):
            for name, columns in designs.items():
                z = np.column_stack(columns)
                some, other = (_labels(data, z, half) for half in (fitted, ~fitted))
                state = _likeliest(some)
                p = expit(np.nan_to_num(z @ state.beta))
                rows[name].append((rho(data, ~fitted & ~np.isnan(u), p), look(other, state).loglik / len(other.side)))
        for name, values in rows.items():
            found[name] += [f"{x:.3f}" for x in np.mean(values, axis=0)]
    for name, cells in found.items():
        page += f"| {name} | {' | '.join(cells)} |\n"
    return page


def _labels(data: Set, z: np.ndarray, items: np.ndarray) -> Labels:
    """Labels of some items with the columns `z` of theirs, for the likelihood."""
    rows = np.flatnonzero((items & ~np.isnan(data.unanimous))[data.item])
    rows = rows[np.argsort(data.item[rows], kind="stable")]
    at = np.unique(data.item[rows], return_inverse=True)[1]
    nothing = np.zeros((len(rows), 0))
    return Labels(sides(data.vote[rows]), at, z[data.item[rows]], nothing, np.zeros(len(rows)))


def _likeliest(labels: Labels) -> State:
    """The most likely weights of the columns, τ and t, by BFGS."""
    k, ties = labels.x.shape[1], bool((labels.side == 1).any())

    def at(free: np.ndarray) -> State:
        return State(free[:k], abs(float(free[k])), float(np.exp(free[k + 1])) if ties else 0.0, np.zeros(0))

    def loss(free: np.ndarray) -> tuple[float, np.ndarray]:
        found = look(labels, at(free))
        slopes = found.scores.sum(axis=0)
        slopes[k] *= np.sign(free[k])
        return -found.loglik / len(labels.side), -slopes[: len(free)] / len(labels.side)

    start = np.array([*np.zeros(k), 0.8, *([-0.5] if ties else [])])
    return at(minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-4}).x)


def whole(data: Set) -> str:
    """The fit to all comparisons, people alike and not."""
    page = "| | β_J | β_L | τ | s_γ | s_π | log likelihood | seconds |\n|---|---|---|---|---|---|---|---|\n"
    for name, fixed in (("people alike", ALIKE), ("persons of their own", {"bias": 0.0})):
        start = time.process_time()
        fit = data.fit(np.ones(len(data.delta), dtype=bool), fixed)
        took = time.process_time() - start
        cells = [_value(fit, p) for p in ("judge", "length", "item_sd", "length_sd", "position_sd")]
        page += f"| {name} | {' | '.join(cells)} | {fit.loglik:.1f} | {took:.2f} |\n"
    return page + f"\nScale of length {fit.parameters.scale:.1f} characters, {fit.n_labels:,} labels.\n"


def _value(fit: CrowdFit, name: str) -> str:
    if name not in fit.free:
        return "–"
    low, high = fit.interval(name)
    return f"{getattr(fit.parameters, name):.3f} ± {fit.standard_errors[name]:.3f} [{low:.2f}, {high:.2f}]"


CELLS = {
    "648 × 4 of 16": (648, 4, 16, CrowdParameters(245.6, 1.04, 0.75, item_sd=0.84, length_sd=0.54, position_sd=0.18)),
    "200 × 4 of 16": (200, 4, 16, CrowdParameters(245.6, 1.04, 0.75, item_sd=0.84, length_sd=0.54, position_sd=0.18)),
    "100 × 3 of 8": (100, 3, 8, CrowdParameters(245.6, 1.04, 0.75, item_sd=0.84, length_sd=0.54, position_sd=0.18)),
    "60 × 3 of 5": (60, 3, 5, CrowdParameters(245.6, 1.04, 0.75, item_sd=0.84, length_sd=0.54, position_sd=0.18)),
    "400 × 3 of 3": (400, 3, 3, CrowdParameters(245.6, 1.04, 0.75, item_sd=0.84, length_sd=0.54, position_sd=0.18)),
    "300 × 10 of 30, ties": (300, 10, 30, CrowdParameters(245.6, 1.04, 0.75, item_sd=0.84, tie=0.3, length_sd=0.54)),
    "300 × 4 of 16, alike": (300, 4, 16, CrowdParameters(245.6, 1.04, 0.75, item_sd=0.84)),
    "300 × 4 of 16, little to see": (300, 4, 16, CrowdParameters(245.6, 1.04, 0.75, item_sd=0.2, length_sd=0.1)),
}


def planted(replicates: int) -> str:
    """Of known crowds: the mean of what is fitted, and how often its 95 % interval holds what is true."""
    page = "| items × labels of people | parameter | truth | mean | sd | mean error | held |\n"
    page += "|---|---|---|---|---|---|---|\n"
    for name, (n, m, people, crowd) in CELLS.items():
        random, rows = np.random.default_rng(len(name) + n), dict[str, list[tuple[float, float, bool]]]()
        for _ in range(replicates):
            unanimous = random.choice([-1.0, 0.0, 1.0], n, p=[0.31, 0.48, 0.21])
            delta, item = random.standard_t(3, n) * 150, np.repeat(np.arange(n), m)
            person = np.argsort(random.random((n, people)), axis=1)[:, :m].ravel()
            own, u = random.standard_normal((2, people)), random.standard_normal(n)
            draws = {"person_length": own[0][person], "person_position": own[1][person], "item": u[item]}
            eta = crowd_logit(crowd, unanimous[item], delta[item], **draws)
            vote = crowd_votes(crowd, eta, random.random(len(item)))
            given = {"bias": 0.0, "scale": crowd.scale}
            try:
                fit = fit_crowd(unanimous, delta, item, person, vote, cluster=np.arange(n), fixed=given)
            except InputError:
                # it says that it does not settle; what is counted here are intervals that are printed
                continue
            for p in fit.free:
                low, high = fit.interval(p)
                value, truth = getattr(fit.parameters, p), getattr(crowd, p)
                rows.setdefault(p, []).append((value, fit.standard_errors[p], low <= truth <= high))
        for p, values in rows.items():
            value, error, held = np.array(values).T
            page += (
                f"| {name} | {p} | {getattr(crowd, p):g} | {value.mean():.3f} | {value.std():.3f} | {error.mean():.3f} "
                f"| {held.mean():.3f} |\n"
            )
        print(page.splitlines()[-5:], flush=True)
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/human"))
    parser.add_argument(
        "--parts",
        nargs="+",
        default=["whole", "leanings", "ranking", "transfer", "halves", "few", "families", "planted"],
    )
    parser.add_argument("--splits", type=int, default=40, help="halves of the instructions (default 40)")
    parser.add_argument("--judged", type=int, default=20, help="of these with classifiers too (default 20)")
    parser.add_argument("--replicates", type=int, default=300, help="of each planted cell (default 300)")
    parser.add_argument("-o", "--output", type=Path, help="write the tables as Markdown")
    options = parser.parse_args()
    sets = {name: read(options.data, name) for name in ("alpacafarm_cross", "pandalm", "vicuna80")}
    cross = sets["alpacafarm_cross"]
    parts: dict[str, tuple[str, Callable[[], str]]] = {
        "whole": ("All 648 comparisons", lambda: whole(cross)),
        "leanings": ("ρ", lambda: leanings(cross, options.splits)),
        "ranking": ("Eight models", lambda: ranking(sets["vicuna80"], options.judged)),
        "transfer": ("Another data set", lambda: transfer(sets)),
        "halves": ("Crowds on the other half", lambda: halves(cross, options.splits, options.judged)),
        "families": ("Other families", lambda: families(sets, min(options.splits, 10))),
        "few": ("Few labels", lambda: few(cross, options.splits)),
        "planted": ("Planted crowds", lambda: planted(options.replicates)),
    }
    page = ""
    for name in options.parts:
        title, make = parts[name]
        page += f"\n## {title}\n\n{make()}"
        print(page, flush=True)
        if options.output:
            options.output.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
