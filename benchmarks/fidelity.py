"""Does the fidelity report let real people pass, and what does it say of crowds made of recorded judges?

    python benchmarks/fidelity.py --data ../shared/data/human --replicates 200 -o page.md

Planted: 16 people with tastes of their own label items that share their difficulty, and are labelled again: by the same
people, and by 16 others of the same kind. Every measure must be inside at the rate that the rule promises (95 %), and
few reports may tell people from people. ρ is held against its truth, at crowds that lean otherwise and are noisier.
Recorded (`--data`): the four labels of each comparison split at random into two and two, the one half as the
simulation; and crowds made from eight recorded GPT-4 runs. The one that follows the runs where all agree has the
parameters that were fitted to all of these labels; what it is worth on held-out ones is another benchmark's.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from simfarm.agreement.consistency import consistency, even
from simfarm.agreement.fidelity import fidelity
from simfarm.agreement.measures import Bench, Fidelity, Labels
from simfarm.agreement.tastes import tastes as measures_of_taste
from simfarm.statistics.estimate import Array
from simfarm.statistics.leanings import leanings
from simfarm.statistics.logistic import Codes

PERSONS, LABELS = 16, 4
JUDGE, LENGTH, ITEM_SD, LENGTH_SD, POSITION_SD, SCALE = 1.04, 0.75, 0.84, 0.54, 0.18, 245.6


@dataclass(frozen=True)
class World:
    """Items: the judge's side where it is sure (−1, 0, 1), length difference, difficulty, cluster."""

    sure: Array
    gap: Array
    ease: Array
    cluster: Codes

    @classmethod
    def drawn(cls, n: int, rng: np.random.Generator) -> World:
        sure = rng.choice([-1.0, 0.0, 1.0], n, p=[0.3, 0.4, 0.3])
        cluster = np.sort(rng.integers(0, max(2, int(0.93 * n)), n))
        return cls(
            sure, np.round(rng.laplace(0, 250, n)), rng.normal(size=n), np.unique(cluster, return_inverse=True)[1]
        )

    @property
    def items(self) -> pd.DataFrame:
        return pd.DataFrame({"cluster": self.cluster, "length_1": 1000.0, "length_2": 1000.0 + self.gap})

    def chance(self, item: Codes, tastes: Array, places: Array, ease: Array | None = None) -> Array:
        """That each label is for output_2."""
        u = self.ease if ease is None else ease
        x = np.tanh(self.gap / SCALE)
        return expit(JUDGE * self.sure[item] + (LENGTH + tastes) * x[item] + places + ITEM_SD * u[item])


def crowd(world: World, people: tuple[Array, Array], rng: np.random.Generator, ease: Array | None = None) -> Labels:
    """Four labels of each item by four of the persons, whose tastes for length and for place are `people`."""
    n = len(world.gap)
    item = np.repeat(np.arange(n), LABELS)
    person = rng.permuted(np.tile(np.arange(PERSONS), (n, 1)), axis=1)[:, :LABELS].ravel()
    chance = world.chance(item, people[0][person], people[1][person], ease)
    return Labels(item, (rng.random(len(item)) < chance).astype(float), person)


def tastes(rng: np.random.Generator) -> tuple[Array, Array]:
    return rng.normal(0, LENGTH_SD, PERSONS), rng.normal(0, POSITION_SD, PERSONS)


def counted(reports: list[Fidelity]) -> tuple[dict[str, float], float, float]:
    """(how often each measure is inside, how often all are, how often the report passes)."""
    inside: Counter[str] = Counter()
    tested: Counter[str] = Counter()
    for one in reports:
        tested.update(m.name for m in one.measures if m.tested)
        inside.update(m.name for m in one.measures if m.inside)
    rates = {name: inside[name] / tested[name] for name in tested}
    n = len(reports)
    return rates, sum(not one.outside for one in reports) / n, sum(one.passes for one in reports) / n


def planted(replicates: int, seed: int) -> list[str]:
    """People labelled again, as the simulation of themselves."""
    cells = [(n, same) for n in (60, 200, 648) for same in (True, False)]
    found = {}
    for n, same in cells:
        rng = np.random.default_rng((seed, n, same))
        reports = []
        for _ in range(replicates):
            world, people = World.drawn(n, rng), tastes(rng)
            others = people if same else tastes(rng)
            runs = np.where(world.sure == 0, np.array([[0.0], [1.0]]), (1 + world.sure) / 2)
            reports.append(fidelity(crowd(world, others, rng), crowd(world, people, rng), world.items, runs=runs))
        found[n, same] = counted(reports)
        print(n, same, found[n, same], flush=True)
    names = list(dict.fromkeys(name for rates, *_ in found.values() for name in rates))
    heads = [f"{n} items, {'same people' if same else 'others'}" for n, same in cells]
    lines = [f"| measure inside | {' | '.join(heads)} |", f"|---|{'---:|' * len(cells)}"]
    for name in names:
        lines.append(f"| {name} | {' | '.join(f'{found[c][0].get(name, np.nan):.3f}' for c in cells)} |")
    lines.append(f"| all of them | {' | '.join(f'{found[c][1]:.3f}' for c in cells)} |")
    lines.append(f"| **the report passes** | {' | '.join(f'{found[c][2]:.3f}' for c in cells)} |")
    return lines


def measured(replicates: int, seed: int) -> list[str]:
    """How often each measure but the classifiers' is inside, of the same people labelled again."""
    lines = ["| items | measure | inside |", "|---:|---|---:|"]
    for n in (60, 200):
        rng, inside, tested = np.random.default_rng((seed, n)), Counter[str](), Counter[str]()
        for _ in range(replicates):
            world, people = World.drawn(n, rng), tastes(rng)
            runs = np.where(world.sure == 0, np.array([[0.0], [1.0]]), (1 + world.sure) / 2)
            one, two = crowd(world, people, rng), crowd(world, people, rng)
            m, kept = even(two, one, n)
            bench = Bench(two, one, kept, m, world.cluster, 0.95, {}, {})
            for measure in [*consistency(bench), *measures_of_taste(bench, world.items, runs)]:
                tested[measure.name] += measure.tested
                inside[measure.name] += measure.inside
        lines += [f"| {n} | {name} | {inside[name] / count:.3f} |" for name, count in tested.items() if count]
    print("\n".join(lines), flush=True)
    return lines


def shared_leanings(replicates: int, seed: int) -> list[str]:
    """ρ and the shared error of crowds whose leanings have much or little to do with people's, with noise on top."""
    lines = [
        "| leanings, flips | truth ρ | mean of ρ̂ | coverage at 60 | 200 | 648 items | not estimable at 60 |",
        "|---|" + "---:|" * 6,
    ]
    for r, flip in ((1.0, 0.0), (1.0, 0.25), (0.5, 0.0), (0.5, 0.25), (0.0, 0.0)):
        rng = np.random.default_rng((seed, int(10 * r), int(100 * flip)))
        big = World.drawn(1_000_000, rng)
        near = r * big.ease + np.sqrt(1 - r * r) * rng.normal(size=1_000_000)
        side = np.where(rng.random(1_000_000) < (1 + r) / 2, 1.0, -1.0)
        nobody = np.zeros(1_000_000)
        of = np.arange(1_000_000)
        h = 2 * big.chance(of, nobody, nobody) - 1
        s = side * (2 * big.chance(of, nobody, nobody, near * side) - 1)
        truth = float((h * s).mean() / np.sqrt((h * h).mean() * (s * s).mean()))
        cells, mean, missing = [], np.nan, 0.0
        for n in (60, 200, 648):
            held = []
            values = []
            drawn = 0
            while len(held) < 2 * replicates and drawn < 20 * replicates:
                drawn += 1
                pick = rng.integers(0, 1_000_000, n)
                one, two = ((rng.random((LABELS, n)) < (1 + x[pick]) / 2).astype(float) for x in (h, s))
                two = np.where(rng.random(two.shape) < flip, 1 - two, two)
                item = np.tile(np.arange(n), LABELS)
                found = leanings((item, one.ravel()), (item, two.ravel()), np.arange(n))
                if any(not e.interval()[0] > 0 for e in found.strength):
                    missing += n == 60
                    continue
                low, high = found.limits()
                held.append(low <= truth <= high)
                values.append(found.correlation.value)
            cells.append(f"{np.mean(held):.3f}")
            mean, missing = float(np.mean(values)), missing / drawn if n == 60 else missing
        lines.append(f"| {r}, {flip} | {truth:.3f} | {mean:.3f} | {' | '.join(cells)} | {missing:.2f} |")
        print(lines[-1], flush=True)
    return lines


def recorded(data: Path, replicates: int, seed: int) -> list[str]:
    """People against people, and crowds of recorded runs, on AlpacaFarm's cross-annotations."""
    frame = pd.read_parquet(data / "alpacafarm_cross.parquet")
    _, first, item = np.unique(frame.item_id.to_numpy(object), return_index=True, return_inverse=True)
    rows = frame.iloc[first]
    cluster = np.unique(rows.instruction, return_inverse=True)[1]
    lengths = [rows[f"output_{side}"].str.len().to_numpy(float) for side in "12"]
    items = pd.DataFrame({"cluster": cluster, "length_1": lengths[0], "length_2": lengths[1]})
    person = np.unique(frame.annotator.to_numpy(object), return_inverse=True)[1]
    people = Labels(item, frame.preference.to_numpy(float) - 1, person)
    judges = pd.read_parquet(data / "alpacafarm_cross_judges.parquet").sort_values(["judge", "seed", "item_id"])
    runs = np.stack([part.preference.to_numpy(float) - 1 for _, part in judges.groupby(["judge", "seed"])])
    rng = np.random.default_rng(seed)
    halves = [halved(people, items, runs, rng) for _ in range(replicates)]
    rates, alone, passes = counted(halves)
    lines = ["### People against people", "", f"{replicates} random splits of the labels, two against two.", ""]
    lines += ["| measure | inside |", "|---|---:|", *(f"| {name} | {rate:.3f} |" for name, rate in rates.items())]
    lines += [f"| all of them | {alone:.3f} |", f"| **the report passes** | {passes:.3f} |", ""]
    for name in ("logistic", "boosted"):
        areas = [(m.crowd.value, m.people.value) for one in halves if (m := one.get(name)) and m.crowd and m.people]
        a = np.array([x for x, _ in areas])
        lines.append(f"AUC, {name}: mean {a.mean():.3f}, {a.min():.3f} to {a.max():.3f}.")
    print("\n".join(lines), flush=True)
    return [*lines, "", "### Crowds of recorded runs", "", *crowds(people, items, runs, rng, replicates)]


def halved(people: Labels, items: pd.DataFrame, runs: Array, rng: np.random.Generator) -> Fidelity:
    order = rng.permutation(len(people.item))
    order = order[np.argsort(people.item[order], kind="stable")]
    place = np.arange(len(order)) - np.searchsorted(people.item[order], people.item[order])
    return fidelity(people.at(order[place % 2 == 0]), people.at(order[place % 2 == 1]), items, runs=runs)


def crowds(people: Labels, items: pd.DataFrame, runs: Array, rng: np.random.Generator, replicates: int) -> list[str]:
    n = len(items)
    item = np.repeat(np.arange(n), LABELS)
    mean = runs.mean(axis=0)
    sure = np.where(np.abs(2 * mean - 1) == 1, 2 * mean - 1, 0.0)
    world = World(sure, (items.length_2 - items.length_1).to_numpy(), np.zeros(n), items.cluster.to_numpy())
    lines = [
        "| crowd | pairwise | a person's | P(longer) | ρ | worth of 4 | AUC logistic | boosted | told apart by |",
        "|---|" + "---:|" * 8,
    ]
    kinds = (
        "greedy",
        "greedy + flip .25",
        "8 runs + flip .25",
        "8 runs + flip .20",
        "unanimity + length + item effect",
    )
    for kind in kinds:
        reports = []
        for _ in range(max(1, replicates // 5)):
            person = rng.permuted(np.tile(np.arange(PERSONS), (n, 1)), axis=1)[:, :LABELS].ravel()
            if kind.startswith("unanimity"):
                own, places = tastes(rng)
                vote = rng.random(len(item)) < world.chance(item, own[person], places[person], rng.normal(size=n))
            else:
                vote = runs[0][item] if kind.startswith("greedy") else runs[rng.integers(0, len(runs), len(item)), item]
                flip = float(kind.split("flip ")[1]) if "flip" in kind else 0.0
                vote = np.where(rng.random(len(item)) < flip, 1 - vote, vote)
            reports.append(fidelity(Labels(item, vote.astype(float), person), people, items, runs=runs, name=kind))
        lines.append(f"| {kind} | {' | '.join(cells_of(reports))} |")
        print(lines[-1], flush=True)
    return lines


def cells_of(reports: list[Fidelity]) -> list[str]:
    def mean(name: str) -> float:
        return float(np.mean([m.crowd.value for one in reports if (m := one.get(name)) and m.crowd]))

    told: Counter[str] = Counter(m.name for one in reports for m in one.told_apart)
    said = ", ".join(f"{name} {count}/{len(reports)}" for name, count in told.most_common()) or "none"
    names = ("pairwise", "with_people", "longer", "rho", "worth", "logistic", "boosted")
    return [*(f"{mean(name):.3f}" for name in names), said]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/human"))
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("planted", "measures", "leanings", "recorded"))
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    lines: list[str] = []
    if options.only in (None, "recorded") and options.data.is_dir():
        lines += ["## Recorded labels", "", *recorded(options.data, options.replicates // 2, options.seed), ""]
    if options.only in (None, "leanings"):
        lines += ["## ρ", "", *shared_leanings(options.replicates, options.seed), ""]
    if options.only in (None, "measures"):
        lines += ["## Each measure", "", *measured(options.replicates, options.seed), ""]
    if options.only in (None, "planted"):
        lines += ["## People as the simulation of people", "", *planted(options.replicates, options.seed), ""]
    if options.output:
        options.output.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
