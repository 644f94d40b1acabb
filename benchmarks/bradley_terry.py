"""Bradley-Terry: coverage of its intervals, time and memory to 10^7 comparisons, and peers in the same run.

    pip install evalica duckdb
    python benchmarks/bradley_terry.py coverage
    python benchmarks/bradley_terry.py small
    python benchmarks/bradley_terry.py speed --arena-python OTHER/bin/python
    python benchmarks/bradley_terry.py scaling
    python benchmarks/bradley_terry.py partitions

arena-rank pulls JAX, so it lives in an environment of its own (`pip install arena-rank`), named by `--arena-python`.
Every timed fit runs in a process of its own: peak memory is that process's, data included. simfarm's and evalica's have
one BLAS thread (set OPENBLAS_NUM_THREADS for another number): on a busy machine with two cores, threads wait for one
another and a fit can take three times as long. arena-rank keeps JAX's own threads.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from simfarm.errors import InputError
from simfarm.ranking import Matches, controlled_win_rates, rank_partitions
from simfarm.statistics.bradley_terry import ELO_SCALE, bradley_terry
from simfarm.statistics.logistic import Rows, fit_rows
from simfarm.statistics.style import StyleDifferences

STRENGTHS = np.array([-0.8, -0.3, 0.0, 0.2, 0.4, 0.5])
SLOPES = np.array([0.4, -0.2])
FIRST = 0.3
NAMES = ("length", "headers", "lists", "bold", "code")


def plant(n_clusters: int, rng: np.random.Generator, *, baseline: bool = False) -> Matches:
    """Clusters of 3 pairs × 2 orders × 2 repeats, 6 models (or all against the first one, with `baseline`).

    With chance 0.7 the four verdicts of a pair rest on one random draw, so they mostly agree; with chance 0.3 all
    twelve of a cluster rest on one, so instructions differ. The chance of each verdict is exactly the model's, which
    is what makes the truth known. Style leans with strength, as it does on real boards.
    """
    m, n = len(STRENGTHS), 3 * n_clusters
    first = np.zeros(n, dtype=int) if baseline else rng.integers(m, size=n)
    second = 1 + rng.integers(m - 1, size=n) if baseline else (first + 1 + rng.integers(m - 1, size=n)) % m
    x = np.stack([STRENGTHS[second] - STRENGTHS[first], np.zeros(n)], axis=1) + rng.standard_normal((n, 2))
    first, second, x = (np.repeat(v, 4, axis=0) for v in (first, second, x))
    order, cluster = np.tile([-1, 1, -1, 1], n), np.repeat(np.arange(n_clusters), 12)
    eta = STRENGTHS[second] - STRENGTHS[first] + x @ SLOPES + (0 if baseline else FIRST) * order
    of_pair, of_cluster = np.repeat(rng.random((2, n)), 4, axis=1), np.repeat(rng.random((2, n_clusters)), 12, axis=1)
    draw = np.where(of_pair[0] < 0.7, of_pair[1], rng.random(4 * n))
    draw = np.where(of_cluster[0] < 0.3, of_cluster[1], draw)
    return Matches(
        tuple("abcdef"), first, second, (draw < expit(eta)).astype(float), cluster,
        order=order, features=x, feature_names=("one", "two"),
    )  # fmt: skip


def exploded_rows(c: Matches, rounds: int, rng: np.random.Generator) -> np.ndarray:
    """Arena-hard's interval, as a method: every call is a row, rows are drawn with replacement, refit, percentiles.

    The model refitted is the same one (order and style included), so only the resampling differs.
    """
    n, m = len(c.p), len(c.models)
    assert c.order is not None
    assert c.features is not None
    x = np.column_stack([c.order, c.features])
    fits = []
    for _ in range(rounds):
        times = np.bincount(rng.integers(n, size=n), minlength=n).astype(float)
        fits.append(fit_rows(Rows(c.model_1 * m + c.model_2, times, times * c.p, x), m, ("first", "1", "2")).params)
    return np.array(fits)


def coverage(replicates: int, n_clusters: int, rounds: int, seed: int) -> dict[str, float]:
    """Share of replicates whose 95 % interval holds the planted value."""
    rng = np.random.default_rng(seed)
    hits: dict[str, list[bool]] = {}

    def note(name: str, low: float, high: float, true: float) -> None:
        hits.setdefault(name, []).append(low <= true <= high)

    gap = float(STRENGTHS[5] - STRENGTHS[1])
    for _ in range(replicates):
        c = plant(n_clusters, rng)
        fitted = bradley_terry(c)
        difference = fitted.ratings["f"] - fitted.ratings["b"]
        note("difference of two ratings", *difference.interval(), ELO_SCALE * gap)
        note("style slope", *fitted.slopes["one"].interval(), SLOPES[0])
        note("second style slope", *fitted.slopes["two"].interval(), SLOPES[1])
        note("order effect", *fitted.slopes["shown_first"].interval(), FIRST)
        calls = bradley_terry(replace(c, cluster=np.arange(len(c.p))))
        note(
            "difference, each call its own cluster",
            *(calls.ratings["f"] - calls.ratings["b"]).interval(),
            gap * ELO_SCALE,
        )
        if rounds:
            params = exploded_rows(c, rounds, rng)
            note("difference, exploded rows", *np.quantile(params[:, 5] - params[:, 1], [0.025, 0.975]), gap)
            note("style slope, exploded rows", *np.quantile(params[:, 7], [0.025, 0.975]), SLOPES[0])
        star = plant(n_clusters, rng, baseline=True)
        assert star.features is not None
        style = StyleDifferences(("one", "two"), star.features, np.ones(2), ())
        rates = controlled_win_rates(star.models[1:], star.model_2 - 1, star.p, star.cluster, style)
        truth = float(expit(STRENGTHS[5] - STRENGTHS[0]))
        note("style-controlled win rate", *rates.controlled["f"].interval(), truth)
        both = rates.controlled["f"] - rates.controlled["b"]
        note("difference of two such", *both.interval(), truth - float(expit(STRENGTHS[1] - STRENGTHS[0])))
        note("its style slope", *rates.slopes["one"].interval(), SLOPES[0])
    return {name: float(np.mean(found)) for name, found in hits.items()}


def heavy(n_clusters: int, rng: np.random.Generator) -> Matches:
    """Clusters whose sizes have a heavy tail (Pareto, index 1.2, at most 200); 3 in 10 verdicts of one share a draw."""
    m, size = len(STRENGTHS), np.clip(np.ceil(rng.pareto(1.2, n_clusters)), 1, 200).astype(int)
    cluster, n = np.repeat(np.arange(n_clusters), size), int(size.sum())
    first = rng.integers(m, size=n)
    second = (first + 1 + rng.integers(m - 1, size=n)) % m
    common, whose = np.repeat(rng.random((2, n_clusters)), size, axis=1)
    draw = np.where(whose < 0.3, common, rng.random(n))
    p = (draw < expit(STRENGTHS[second] - STRENGTHS[first])).astype(float)
    return Matches(tuple("abcdef"), first, second, p, cluster)


def even(n_clusters: int, rng: np.random.Generator) -> Matches:
    """`plant` without style, 3 in 10 verdicts of a cluster on one draw."""
    c = replace(plant(n_clusters, rng), features=None, feature_names=())
    assert c.order is not None
    common, whose = np.repeat(rng.random((2, n_clusters)), 12, axis=1)
    draw = np.where(whose < 0.3, common, rng.random(len(c.p)))
    return replace(c, p=(draw < expit(STRENGTHS[c.model_2] - STRENGTHS[c.model_1] + FIRST * c.order)).astype(float))


def rare(carriers: int, rng: np.random.Generator) -> tuple[Matches, StyleDifferences]:
    """150 instructions × 4 verdicts of two models on a baseline; `carriers` of them differ in a second feature."""
    cluster, model = np.repeat(np.arange(150), 4), np.tile([1, 2], 300)
    x = np.stack([rng.standard_normal(600), np.where(cluster < carriers, rng.choice([-1.0, 1.0], 600), 0.0)], axis=1)
    shared = np.where(rng.random(600) < 0.4, np.repeat(rng.random(150), 4), rng.random(600))
    p = (shared < expit(np.array([0.0, 0.3, -0.5])[model] + x @ [0.4, 0.7])).astype(float)
    spread = np.sqrt((x**2).mean(axis=0))
    return Matches(("base", "a", "b"), np.zeros(600, int), model, p, cluster), StyleDifferences(
        ("length", "bold"), x / spread, spread, ()
    )


def soft(theta: np.ndarray, n_clusters: int, rng: np.random.Generator) -> Matches:
    """Every pair once an instruction, verdicts that are Beta with the planted mean: near one end most of the time."""
    first, second = (np.tile(side, n_clusters) for side in np.triu_indices(len(theta), 1))
    chance = np.clip(expit(theta[second] - theta[first]), 1e-12, 1 - 1e-12)
    p = rng.beta(4 * chance, 4 * (1 - chance))
    return Matches(
        tuple("abcde")[: len(theta)], first, second, p, np.repeat(np.arange(n_clusters), len(p) // n_clusters)
    )


Found = dict[str, list[tuple[float, float, float]]]


def uneven(replicates: int, seed: int, sizes: Sequence[int] = (10, 20, 30, 60)) -> Found:
    """Few clusters, of even sizes or of sizes with a heavy tail."""
    found: Found = {}
    gap = ELO_SCALE * float(STRENGTHS[5] - STRENGTHS[1])
    for n_clusters in sizes:
        rng = np.random.default_rng([seed, n_clusters])
        for _ in range(replicates):
            for name, c in (
                (f"heavy-tailed sizes, {n_clusters}", heavy(n_clusters, rng)),
                (f"even sizes, {n_clusters}", even(n_clusters, rng)),
            ):
                try:
                    ratings = bradley_terry(c).ratings
                except InputError:
                    continue  # some models did not meet
                if len(ratings) == 6:
                    found.setdefault(name, []).append((*(ratings["f"] - ratings["b"]).interval(), gap))
    return found


def carried(replicates: int, seed: int, numbers: Sequence[int] = (1, 2, 3, 5, 20)) -> Found:
    """A feature that few instructions carry."""
    found: Found = {}
    for carriers in numbers:
        rng, name = np.random.default_rng([seed, carriers]), f"bold, carried by {carriers}"
        for _ in range(replicates):
            c, style = rare(carriers, rng)
            rates = controlled_win_rates(("a", "b"), c.model_2 - 1, c.p, c.cluster, style)
            found.setdefault(f"{name}: rate", []).append((*rates.controlled["a"].interval(), float(expit(0.3))))
            truth = 0.7 * float(style.spread[1])
            found.setdefault(f"{name}: slope", []).append((*rates.slopes["bold"].interval(), truth))
    return found


def near(replicates: int, seed: int, means: Sequence[float] = (0.9, 0.97, 0.99, 0.999, 0.9999)) -> Found:
    """Near separation: two models, five of which one is far ahead, and a ladder of five."""
    found: Found = {}
    for p in means:
        step = float(np.log(p / (1 - p)))
        kinds = {"two": [0, step], "one ahead of four": [0, 0.3, -0.4, 0.1, step], "ladder": step * np.arange(5)}
        for kind, strengths in kinds.items():
            theta = np.array(strengths)
            true = 1000 + ELO_SCALE * (theta - theta.mean())
            for n_clusters in (5, 20, 100):
                rng = np.random.default_rng([seed, int(10_000 * p), n_clusters, len(kind)])
                name = f"soft verdicts of mean {p}, {kind}, {n_clusters}"
                for _ in range(replicates):
                    ratings = list(bradley_terry(soft(theta, n_clusters, rng)).ratings.values())
                    pairs = {"first and last": (-1, 0), "neighbours": (1, 0), "two first": (-1, -2)}
                    for pair, (a, b) in pairs.items() if len(theta) > 2 else [("difference", (1, 0))]:
                        gap = (ratings[a] - ratings[b]).interval()
                        found.setdefault(f"{name}: {pair}", []).append((*gap, float(true[a] - true[b])))
                    found.setdefault(f"{name}: best rating", []).append((*ratings[-1].interval(), float(true[-1])))
                    found.setdefault(f"{name}: worst rating", []).append((*ratings[0].interval(), float(true[0])))
    return found


def small(replicates: int, seed: int) -> dict[str, dict[str, float]]:
    """Coverage and median width (Elo, or logits of a slope) where few clusters decide, or hardly a verdict is lost."""
    found = uneven(replicates, seed) | carried(replicates, seed) | near(replicates, seed)
    return {name: _summary(np.array(rows)) for name, rows in found.items()}


def _summary(rows: np.ndarray) -> dict[str, float]:
    low, high, true = rows[~np.isnan(rows[:, 0])].T
    if not len(low):
        return {"coverage": float("nan"), "width": float("nan"), "n": 0}
    held = float(((low <= true) & (true <= high)).mean())
    limited = float((np.isfinite(low) & np.isfinite(high)).mean())
    return {"coverage": held, "width": float(np.median(high - low)), "limited": limited, "n": len(low)}


def many(n: int, seed: int = 0, n_models: int = 50, per_cluster: int = 10) -> Matches:
    """n comparisons of 50 models, ten to an instruction in file order, five style features and an order effect."""
    rng = np.random.default_rng(seed)
    strength = rng.standard_normal(n_models)
    first = rng.integers(n_models, size=n)
    second = (first + 1 + rng.integers(n_models - 1, size=n)) % n_models
    x = rng.standard_normal((n, 5))
    eta = strength[second] - strength[first] + x @ np.linspace(-0.2, 0.4, 5)
    p = (rng.random(n) < expit(eta)).astype(float)
    p[rng.random(n) < 0.05] = 0.5
    names = tuple(f"model-{k:02}" for k in range(n_models))
    return Matches(names, first, second, p, np.arange(n) // per_cluster, features=x, feature_names=NAMES)


def timed(case: str, n: int, repeats: int) -> dict[str, float]:
    """Best of `repeats` fits, and the process's peak memory (data included)."""
    c = many(n)
    if case != "features":
        c = replace(c, features=None, feature_names=())
    if case == "order":
        c = replace(c, order=np.where(np.arange(n) % 2, 1, -1))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        bradley_terry(c)
        seconds.append(time.perf_counter() - start)
    return {"seconds": min(seconds), "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def timed_evalica(n: int) -> dict[str, float]:
    """evalica's fit (best of 3, no errors) on lists made beforehand, and how far its ratings are from ours."""
    import evalica

    c = replace(many(n), features=None, feature_names=())
    winner = np.where(c.p == 1, evalica.Winner.Y, np.where(c.p == 0, evalica.Winner.X, evalica.Winner.Draw))
    xs, ys, winners = c.model_1.tolist(), c.model_2.tolist(), list(winner)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        found = evalica.bradley_terry(xs, ys, winners)
        seconds.append(time.perf_counter() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    log = np.log(found.scores[list(range(len(c.models)))].to_numpy())
    apart = np.abs(log - log.mean() - bradley_terry(c).strengths).max()
    return {"seconds": min(seconds), "peak_mb": memory, "ratings_apart_logits": float(apart)}


ARENA_RANK = """
import json, resource, sys, time
import numpy as np, pandas as pd
from arena_rank.models.bradley_terry import BradleyTerry
from arena_rank.models.contextual_bradley_terry import ContextualBradleyTerry
from arena_rank.utils.data_utils import ContextualPairDataset, PairDataset
rows, case = pd.read_parquet(sys.argv[1]), sys.argv[2]
columns = [c for c in rows if c.startswith("x_")]
seconds = []
for _ in range(2):
    start = time.perf_counter()
    if case == "plain":
        data = PairDataset.from_pandas(rows)
        found = BradleyTerry(n_competitors=len(data.competitors)).compute_ratings_and_cis(data)
    else:
        data = ContextualPairDataset.from_pandas(rows, feature_cols=columns, reweighted=False)
        model = ContextualBradleyTerry(n_competitors=len(data.competitors), n_features=len(columns))
        found = model.compute_ratings_and_cis(data)
    np.asarray(found["ratings"])
    seconds.append(time.perf_counter() - start)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds_first": seconds[0], "seconds": seconds[1], "peak_mb": peak}))
"""


def timed_arena_rank(python: str, case: str, n: int) -> dict[str, float]:
    """arena-rank from a DataFrame, as it takes data; `seconds` is the second call, its compilation paid."""
    c = many(n)
    assert c.features is not None
    names = np.array(c.models)
    outcome = np.where(c.p == 1, "model_a", np.where(c.p == 0, "model_b", "tie"))
    rows = pd.DataFrame({"model_a": names[c.model_2], "model_b": names[c.model_1], "winner": outcome})
    for k, name in enumerate(NAMES):
        rows[f"x_{name}"] = c.features[:, k]
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        rows.to_parquet(file.name)
        done = subprocess.run(
            [python, "-c", ARENA_RANK, file.name, case], capture_output=True, text=True, check=False, timeout=1200
        )
    if done.returncode:
        raise SystemExit(f"arena-rank failed: {done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def timed_partitions(n: int, n_files: int, folder: str) -> dict[str, float]:
    """rank_partitions over files already written."""
    files = sorted(Path(folder).glob(f"{n}-{n_files}-*.parquet"))
    start = time.perf_counter()
    found = rank_partitions(files)
    seconds = time.perf_counter() - start
    np.savez(Path(folder) / f"{n}-{n_files}", values=found.values, covariance=found.covariance)
    return {"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def write_partitions(n: int, n_files: int, folder: str) -> None:
    """The same instructions every time, a million comparisons at a go; models and instructions by name."""
    pieces = max(1, n // 1_000_000)
    for piece in range(pieces):
        c = many(n // pieces, seed=piece)
        names = np.array(c.models)
        rows = pd.DataFrame({"model_1": names[c.model_1], "model_2": names[c.model_2], "p": c.p})
        rows["cluster"] = [f"{piece}-{k}" for k in c.cluster]
        for k in range(n_files // pieces):
            part = c.cluster % (n_files // pieces) == k
            rows[part].to_parquet(Path(folder) / f"{n}-{n_files}-{piece}-{k}.parquet")


def apart(function: object, *arguments: object) -> dict[str, float]:
    """The result of `function`, from a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        result: dict[str, float] = pool.submit(function, *arguments).result()  # type: ignore[arg-type]
        return result


def speed(arena_python: str | None) -> dict[str, dict[str, float]]:
    """A million comparisons of 50 models, simfarm and the peers."""
    n = 1_000_000
    found = {f"simfarm {case}": apart(timed, case, n, 3) for case in ("plain", "order", "features")}
    found["evalica plain"] = apart(timed_evalica, n)
    if arena_python:
        for case in ("plain", "features"):
            found[f"arena-rank {case}"] = timed_arena_rank(arena_python, case, n)
    return found


def scaling() -> dict[str, dict[str, float]]:
    """10^4 to 10^7 comparisons; the last in one process of at most 8 GB."""
    return {f"{case} 10^{k}": apart(timed, case, 10**k, 3) for case in ("plain", "features") for k in (4, 5, 6, 7)}


def partitions(largest: int) -> dict[str, dict[str, float]]:
    """Files of 10^6 and more comparisons, and how far the answers from one file and from twenty are apart (Elo)."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for n, n_files in ((1_000_000, 1), (1_000_000, 20), (largest, 20)):
            apart(write_partitions, n, n_files, folder)
            found[f"{n:.0e} in {n_files}"] = apart(timed_partitions, n, n_files, folder)
        one, twenty = (np.load(Path(folder) / f"1000000-{n_files}.npz") for n_files in (1, 20))
        found["one file and twenty apart"] = {k: float(np.abs(one[k] - twenty[k]).max()) for k in one.files}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["coverage", "small", "speed", "scaling", "partitions"])
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--clusters", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=100, help="of the exploded-row bootstrap (0 leaves it out)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--largest", type=int, default=10_000_000, help="comparisons in the largest set of partitions")
    parser.add_argument("--arena-python", help="a Python that has arena-rank")
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON, beside those of other commands")
    options = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # for the processes started from here
    found: dict[str, float] | dict[str, dict[str, float]]
    if options.what == "coverage":
        found = coverage(options.replicates, options.clusters, options.rounds, options.seed)
    elif options.what == "small":
        found = small(options.replicates, options.seed)
    elif options.what == "speed":
        found = speed(options.arena_python)
    elif options.what == "scaling":
        found = scaling()
    else:
        found = partitions(options.largest)
    for name, figures in found.items():
        shown = figures if isinstance(figures, float) else {k: float(f"{v:.4g}") for k, v in figures.items()}
        print(f"{name}: {shown}", flush=True)
    if options.output:
        before = json.loads(options.output.read_text()) if options.output.exists() else {}
        options.output.write_text(json.dumps({**before, options.what: found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
