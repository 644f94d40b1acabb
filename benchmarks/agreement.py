"""How often the 95 % intervals of agreement, κ, α and a judge's habits hold the truth, on planted data.

    python benchmarks/agreement.py --replicates 1000 --sizes 50 100 300 1000

Planted (`PANELS`): people with error rates of their own see an item's better answer or err, ties among the verdicts,
votes that are missing, near-perfect agreement, items in clusters that share their difficulty. People are the same in
every replicate, items are drawn anew: so the truth is the same coefficient on 400,000 items.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from simfarm.statistics.agreement import agreement_with_mode, agreement_with_votes, leave_one_out, pairwise_agreement
from simfarm.statistics.chance import cohen_kappa, fleiss_kappa, gwet_ac1, krippendorff_alpha
from simfarm.statistics.estimate import Array, Estimate

POPULATION = 400_000


@dataclass(frozen=True)
class Panel:
    """People who vote: `raters` of them, right on an easy item with chances from `right` (the worst) to as much again
    of what is left to 1; `ties` the share of items that are truly even, `missing` of votes not cast, `lean` the share
    of items whose better answer is output_2, `together` items to a cluster of one difficulty."""

    name: str
    raters: int
    right: float
    ties: float = 0.1
    missing: float = 0.0
    lean: float = 0.5
    together: int = 1


PANELS = (
    Panel("two people", 2, 0.8),
    Panel("four people, no ties", 4, 0.7, ties=0.0),
    Panel("four people", 4, 0.75),
    Panel("twenty people", 20, 0.75),
    Panel("three, nearly perfect", 3, 0.985),
    Panel("two, nearly perfect", 2, 0.98, ties=0.0),
    Panel("five, votes missing", 5, 0.75, missing=0.5),
    Panel("three, one side common", 3, 0.93, ties=0.03, lean=0.9),
    Panel("three, clusters of 5", 3, 0.75, together=5),
)


@dataclass(frozen=True)
class Drawn:
    """Votes (n × raters), a judge's verdicts (n) and the cluster of each item."""

    votes: Array
    judged: Array
    cluster: np.ndarray

    @property
    def rows(self) -> tuple[np.ndarray, Array, np.ndarray]:
        n, raters = self.votes.shape
        return np.repeat(np.arange(n), raters), self.votes.ravel(), self.cluster


def draw(panel: Panel, n: int, rng: np.random.Generator) -> Drawn:
    """n items and what people and one judge, as good as the middle one of them, say of them."""
    clusters = -(-n // panel.together)
    cluster = np.repeat(np.arange(clusters), panel.together)[:n]
    hard = rng.beta(1, 3, clusters)[cluster] if panel.together > 1 else np.zeros(n)
    truth = np.where(rng.random(n) < panel.ties, 0.5, (rng.random(n) < panel.lean).astype(float))
    best = panel.right + (1 - panel.right) / 2
    right = np.append(np.linspace(panel.right, best, panel.raters), (panel.right + best) / 2)
    knows = rng.random((n, panel.raters + 1)) < right * (1 - hard[:, None])
    guess = np.where(rng.random(knows.shape) < panel.ties, 0.5, (rng.random(knows.shape) < panel.lean).astype(float))
    said = np.where(knows, truth[:, None], guess)
    votes, judged = said[:, :-1].copy(), said[:, -1]
    votes[rng.random(votes.shape) < panel.missing] = np.nan
    return Drawn(votes, judged, cluster)


FIGURES: dict[str, Callable[[Drawn], Estimate]] = {
    "pairwise agreement": lambda d: pairwise_agreement(*d.rows),
    "leave one out": lambda d: leave_one_out(*d.rows),
    "judge with mode": lambda d: agreement_with_mode(d.judged, *d.rows),
    "judge with votes": lambda d: agreement_with_votes(d.judged, *d.rows),
    "Cohen's kappa": lambda d: cohen_kappa(d.votes[:, 0], d.judged, d.cluster),
    "Fleiss' kappa": lambda d: fleiss_kappa(*d.rows),
    "alpha, nominal": lambda d: krippendorff_alpha(*d.rows),
    "alpha, ordinal": lambda d: krippendorff_alpha(*d.rows, "ordinal"),
    "AC1": lambda d: gwet_ac1(*d.rows),
}


def table(figures: dict[str, Callable[[Drawn], Estimate]], sizes: list[int], replicates: int, seed: int) -> None:
    """Print, for each panel and size, how often each figure's interval holds the truth, and which end missed it."""
    print("| panel | figure | truth | " + " | ".join(f"{n} items" for n in sizes) + " |")
    print("|---|---|---:|" + "---:|" * len(sizes))
    for k, panel in enumerate(PANELS):
        rng = np.random.default_rng([seed, k])
        whole = draw(panel, POPULATION, rng)
        truth = {name: figure(whole).value for name, figure in figures.items()}
        cells: dict[str, list[str]] = {name: [] for name in figures}
        for n in sizes:
            below, above, known = (dict.fromkeys(figures, 0) for _ in range(3))
            for _ in range(replicates):
                drawn = draw(panel, n, rng)
                for name, figure in figures.items():
                    low, high = figure(drawn).interval()
                    known[name] += not np.isnan(low)
                    below[name] += high < truth[name]
                    above[name] += low > truth[name]
            for name in figures:
                held = 1 - (below[name] + above[name]) / known[name]
                cells[name].append(f"{held:.3f} ({below[name] / known[name]:.3f}, {above[name] / known[name]:.3f})")
        for name, said in cells.items():
            print(f"| {panel.name} | {name} | {truth[name]:.3f} | " + " | ".join(said) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 100, 300, 1000])
    parser.add_argument("--figures", nargs="+", default=list(FIGURES))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    start = time.time()
    table({name: FIGURES[name] for name in args.figures}, args.sizes, args.replicates, args.seed)
    print(f"\n{args.replicates} replicates, {time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
