"""How good a judge is that answers with probabilities: beside people, beside `longest`, and beside other judges.

    python benchmarks/decisions.py --model openai/gpt-6-luna --dry-run          # requests and price, nothing is asked
    python benchmarks/decisions.py --model embedded --limit 100 --beside pairwise-letter --store FILE
    python benchmarks/decisions.py --replay VERDICTS.parquet                    # recorded verdicts on the same pairs
    python benchmarks/decisions.py --replay VERDICTS.parquet --against OTHER.parquet --planted 200

DIR (`--data`) holds the human labels, NAME.parquet each: item_id, instruction, output_1, output_2, annotator,
preference (1, 1.5, 2). `--limit N` takes N pairs of each set, the same on every machine and the first of any larger N.

Agreement is with the mode of people, a split vote counting half for whoever is judged; a person is measured in the same
way against the mode of the others. Reliability is of p beside the share of people who prefer output_2. `swap` is the
share of pairs whose two orders name the same winner, `P(second)` the mean probability of the answer shown second, which
is .5 for a judge that looks at the answers alone. Intervals are 95 %, the cluster is the instruction.

A recording is rows of verdicts with item_id (people's labels are found by it) or with instruction_id, generator_1 and
generator_2. For those `--against` names verdicts of other judges on the same pairs: then the error says how far p is
from a second judge's verdicts, and no longer from people's. `--planted N` draws N sets of labels from the recorded p
itself and from three distortions of it: what is found where the truth is known.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from simfarm.backends import open_model
from simfarm.backends.local.models import local_spec
from simfarm.cli.progress import progress
from simfarm.data.frames import frame_verdicts, rows_frame
from simfarm.data.records import Comparison
from simfarm.errors import InputError
from simfarm.judges import load_judge
from simfarm.ranking.units import averaged
from simfarm.runs.annotation import AnnotationRun
from simfarm.runs.options import JudgeOptions, RunOptions
from simfarm.statistics.estimate import Array, Estimate, mean_estimate
from simfarm.statistics.reliability import Reliability, reliability
from simfarm.statistics.swaps import Orders

ROOT = Path(__file__).parents[1]
SETS = ("alpacafarm_cross", "pandalm", "llmbar", "vicuna80")
WIDTH = 41
"""Characters of a text diagram from 0 to 1."""


@dataclass(frozen=True)
class Pairs:
    """Pairs that have labels, one row each. `table`, by item_id, has cluster (text), length_1, length_2 and votes (an
    array in [0, 1]); `comparisons` are to be judged, none where verdicts are recorded."""

    name: str
    table: pd.DataFrame
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class Judged:
    """One judge's verdicts: rows with item_id, preference, order, repeat and status; seconds of the clock and dollars
    for 1,000 comparisons, where known."""

    name: str
    rows: pd.DataFrame
    seconds: float | None = None
    dollars: float | None = None


@dataclass(frozen=True)
class Figures:
    """What is printed of one judge on one set."""

    set: str
    judge: str
    pairs: int
    missing: int
    agreement: Estimate
    longest: Estimate
    person: Estimate | None
    orders: Orders
    second: Estimate | None
    reliability: Reliability | None
    coin: float
    judged: Judged


def load(folder: Path, names: Sequence[str], limit: int | None) -> list[Pairs]:
    """The human sets, `limit` pairs of each in an order that hangs on the item's id alone."""
    return [_human_set(folder, name, limit) for name in names]


def _human_set(folder: Path, name: str, limit: int | None) -> Pairs:
    path = folder / f"{name}.parquet"
    if not path.is_file():
        raise InputError(f"{path}: no such file; --data names the folder of the human labels, --set which of them")
    votes = pd.read_parquet(path)
    items = votes.groupby("item_id", sort=False).first()
    items["votes"] = votes.groupby("item_id", sort=False)["preference"].agg(lambda v: v.to_numpy(float) - 1)
    items = items.loc[sorted(items.index, key=lambda i: hashlib.sha256(str(i).encode()).digest())[:limit]]
    items["cluster"] = name + "\n" + items["instruction"].str.strip()
    for side in ("1", "2"):
        items[f"length_{side}"] = items[f"output_{side}"].str.len()
    comparisons = tuple(
        Comparison(row.instruction, row.output_1, row.output_2, extra={"item_id": row.Index})
        for row in items.itertuples()
    )
    return Pairs(name, items[["cluster", "length_1", "length_2", "votes"]], comparisons)


def ask(options: argparse.Namespace, judges: Sequence[str], sets: Sequence[Pairs]) -> list[Judged]:
    """Every judge on every pair, or with --dry-run what that would take."""
    pairs = [pair for each in sets for pair in each.comparisons]
    own = options.model is not None and local_spec(options.model) is not None
    model = open_model(options.model) if own else options.model
    running = RunOptions(
        base_url=options.base_url,
        store=options.store,
        concurrency=options.concurrency,
        budget=options.budget,
        price=options.price,
    )
    return [judged for name in judges if (judged := _ask(name, model, running, pairs, options.dry_run)) is not None]


def _ask(name: str, model: Any, running: RunOptions, pairs: Sequence[Comparison], dry_run: bool) -> Judged | None:
    judge = load_judge(name)
    asks = judge.rule is None
    run = AnnotationRun.open(JudgeOptions(judge, model if asks else None), running if asks else RunOptions())
    if dry_run:
        print(run.estimate(pairs))
        return None
    rows = []
    begun = time.perf_counter()
    with progress(run.name, run.count(pairs)) as bar, closing(run.results(pairs)) as results:
        run.tell = bar.tell
        for annotation in results:
            rows.append(annotation.row())
            bar.step(run.pace())
    took = time.perf_counter() - begun
    print("\n".join(run.closing_lines()), flush=True)
    table = rows_frame(rows)
    asked, calls = run.tallies.stats.asked, len(rows) / len(pairs)
    seconds = took * 1000 * calls / asked if asked > len(rows) / 2 else None
    price = pd.to_numeric(table["price"])
    dollars = 1000 * float(price.sum()) / len(pairs) if price.notna().all() else None
    return Judged(run.name, table, seconds, dollars)


def recorded(path: Path, wanted: Sequence[str]) -> list[Judged]:
    """The judges of a file of verdicts, by the column annotator or judge; `wanted` names some of them."""
    rows = _rows(path)
    name = next((c for c in ("annotator", "judge") if c in rows), None)
    parts = [(path.stem, rows)] if name is None else [(str(n), part) for n, part in rows.groupby(name, sort=False)]
    found = [Judged(judge, part) for judge, part in parts if not wanted or judge in wanted]
    if not found:
        raise InputError(f"{path}: has no judge {', '.join(wanted)}; it has {', '.join(judge for judge, _ in parts)}")
    return found


def _rows(path: Path) -> pd.DataFrame:
    """Rows of a recording in one form: item_id, order, repeat, status and the rest as they are."""
    from simfarm.data.files import read_rows

    rows = pd.read_parquet(path) if path.suffix == ".parquet" else rows_frame(read_rows(str(path)))
    if "item_id" not in rows:
        if missing := [c for c in ("instruction_id", "generator_1", "generator_2") if c not in rows]:
            raise InputError(
                f"{path}: has neither item_id nor {missing[0]}; a recording says which pair a row is about"
            )
        rows = rows[(rows["generator_1"] != rows["generator_2"]).fillna(True).astype(bool)]
        keys = (rows[c].astype(str) for c in ("generator_1", "generator_2", "instruction_id"))
        rows = rows.assign(item_id=[" / ".join(key) for key in zip(*keys, strict=True)])
    for side in ("1", "2"):
        if f"length_{side}" not in rows and f"output_{side}" in rows:
            rows[f"length_{side}"] = rows[f"output_{side}"].str.len()
    if "model_shown_first" in rows and "order" not in rows:
        rows["order"] = rows["model_shown_first"].map({True: "21", False: "12"})
    if "order" in rows:
        rows["order"] = rows["order"].astype(object).where(rows["order"].isin(["12", "21"]), None)
    preference = pd.to_numeric(rows["preference"]).replace(0, 1.5)
    rows["preference"] = preference.where((preference >= 1) & (preference <= 2)).astype(float)
    if "repeat" not in rows:
        rows["repeat"] = rows.groupby(
            [c for c in ("annotator", "judge", "item_id", "order") if c in rows], dropna=False
        ).cumcount()
    return rows.reset_index(drop=True)


def second_judges(path: Path, verdicts: pd.DataFrame) -> list[Pairs]:
    """The verdicts of each judge in a file as labels of the pairs of `verdicts`: a judge's, not people's."""
    rows = _rows(path)
    lengths = verdicts.drop_duplicates("item_id").set_index("item_id")
    sets = []
    for judge, part in rows[rows["preference"].notna() & rows["item_id"].isin(lengths.index)].groupby("annotator"):
        table = part.groupby("item_id").agg(
            cluster=("instruction_id", "first"), votes=("preference", lambda v: v.to_numpy() - 1)
        )
        table["cluster"] = table["cluster"].astype(str)
        sets.append(Pairs(f"verdicts of {judge}", table.join(lengths[["length_1", "length_2"]])))
    if not sets:
        raise InputError(f"{path}: no verdict on a pair of the recording (the same instruction_id and generators)")
    return sets


def measure(pairs: Pairs, judged: Judged) -> Figures | None:
    """The figures of one judge on one set; None where it has no verdict there."""
    rows = judged.rows[judged.rows["item_id"].isin(pairs.table.index)]
    if rows["preference"].notna().sum() == 0:
        return None
    columns = {c: rows[c].to_numpy(object) for c in ("preference", "order", "repeat", "status") if c in rows}
    asked = pd.DataFrame({"instruction_id": rows["item_id"].astype(str).to_numpy(object), **columns})
    part = frame_verdicts(asked, judged.name).table
    head, p, orders = averaged(part)
    items = pairs.table.loc[head["instruction_id"].astype(str)]
    cluster, y = _codes(items["cluster"]), np.array([v.mean() for v in items["votes"]])
    known = ~np.isnan(p)
    sides = np.array([_side(v) for v in items["votes"]])
    longer = np.sign(items["length_2"].to_numpy(float) - items["length_1"].to_numpy(float))
    second = _second(part, pairs.table)
    enough = len(np.unique(cluster[known])) >= 20
    return Figures(
        set=pairs.name,
        judge=judged.name,
        pairs=len(p),
        missing=int((~known).sum()),
        agreement=mean_estimate(_credit(np.sign(p - 0.5), sides), cluster),
        longest=mean_estimate(np.where(known, _credit(longer, sides), np.nan), cluster),
        person=_person(items["votes"], known, cluster),
        orders=orders,
        second=second,
        reliability=reliability(p, y, cluster) if enough else None,
        coin=float(mean_estimate(np.where(known, (y - 0.5) ** 2, np.nan), cluster).value),
        judged=judged,
    )


def _codes(values: pd.Series[Any]) -> Any:
    return pd.factorize(values)[0].astype(np.int64)


def _side(votes: Array) -> float:
    """Where the mode of the votes lies: 1 (output_2), -1 (output_1), 0 for a split vote or a tie."""
    values, counts = np.unique(votes, return_counts=True)
    lead = values[counts == counts.max()]
    return float(np.sign(lead[0] - 0.5)) if len(lead) == 1 else 0.0


def _credit(says: Any, side: Any) -> Array:
    """1 for naming people's side, 0 for the other, a half where either names none."""
    return np.asarray(0.5 + says * side / 2, dtype=float)


def _person(votes: pd.Series[Any], known: Any, cluster: Any) -> Estimate | None:
    """Each vote in turn against the mode of the others; None where nobody can be set aside."""
    values = np.full(len(votes), np.nan)
    for k, given in enumerate(votes):
        if known[k] and len(given) > 2:
            others = np.array([_side(np.delete(given, j)) for j in range(len(given))])
            values[k] = _credit(np.sign(given - 0.5), others).mean()
    return None if np.isnan(values).all() else mean_estimate(values, cluster)


def _second(part: pd.DataFrame, table: pd.DataFrame) -> Estimate | None:
    """Mean probability of the answer shown second, over both orders; None where one was hardly asked."""
    cluster = _codes(table["cluster"])[table.index.get_indexer(part["instruction_id"].astype(str))]
    p, order = part["preference"].to_numpy() - 1, part["order"].astype(object).to_numpy()
    first, second = (mean_estimate(p[order == name], cluster[order == name]) for name in ("12", "21"))
    if min(first.n_clusters, second.n_clusters) < 10:
        return None
    gap = first - second
    return replace(gap, value=0.5 + gap.value / 2, influence=gap.influence / 2)


def together(sets: Sequence[Pairs]) -> Pairs:
    """All sets as one, under one numbering of the instructions."""
    return Pairs("all", pd.concat([each.table for each in sets]))


PLANTED: dict[str, Callable[[Array], Array]] = {
    "p itself": lambda p: p,
    "people surer (slope 2)": lambda p: expit(2 * logit(np.clip(p, 1e-6, 1 - 1e-6))),
    "people less sure (slope ½)": lambda p: expit(0.5 * logit(np.clip(p, 1e-6, 1 - 1e-6))),
    "output_2 favoured (+.1)": lambda p: p + 0.1 * (1 - p),
}


def plant(p: Array, cluster: Any, times: int, seed: int = 1) -> Iterator[str]:
    """Labels drawn from the verdicts by a known rule: how often its error lies in the interval, and what is found."""
    rng = np.random.default_rng(seed)
    yield "| labels drawn from | error planted | plain | debiased | in the interval | found |"
    yield "|---|---:|---:|---:|---:|---|"
    for name, rule in PLANTED.items():
        chance = rule(p)
        truth, found, covered, plain, debiased = 0.0, dict[str, int](), 0, [], []
        truth = reliability(p, chance, cluster).plain
        for _ in range(times):
            one = reliability(p, (rng.random(len(p)) < chance).astype(float), cluster)
            covered += one.interval[0] <= truth <= one.interval[1]
            plain.append(one.plain)
            debiased.append(one.ece)
            for finding in one.findings or ("nothing",):
                found[finding] = found.get(finding, 0) + 1
        said = ", ".join(f"{what} {100 * n / times:.0f} %" for what, n in sorted(found.items(), key=lambda kv: -kv[1]))
        means = f"{truth:.3f} | {np.mean(plain):.3f} | {np.mean(debiased):.3f}"
        yield f"| {name} | {means} | {100 * covered / times:.0f} % | {said} |"


def report(figures: Sequence[Figures]) -> Iterator[str]:
    """Two tables in Markdown, then a diagram of each reliability."""
    agreement = "agreement, % | `longest` | judge − `longest` | a person"
    yield f"| set | judge | pairs | no verdict | {agreement} | swap, % | P(second) | $ / 1,000 | s / 1,000 |"
    yield "|---|---|---:|---:|---|---:|---|---:|---:|---|---:|---:|"
    for one in figures:
        cells = [
            one.set,
            one.judge,
            f"{one.pairs:,}",
            f"{one.missing:,}",
            _percent(one.agreement),
            f"{100 * one.longest.value:.1f}",
            _percent(one.agreement - one.longest, sign="+"),
            "–" if one.person is None else f"{100 * one.person.value:.1f}",
            _swap(one.orders),
            "–" if one.second is None else _span(one.second),
            _number(one.judged.dollars, ".3f"),
            _number(one.judged.seconds, ",.0f"),
        ]
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield "| set | judge | ECE | plain | Brier score | always ½ | over-confidence | found |"
    yield "|---|---|---|---:|---|---:|---|---|"
    known = [(one, one.reliability) for one in figures if one.reliability is not None]
    for one, r in known:
        low, high = r.interval
        cells = [
            one.set,
            one.judge,
            f"{r.ece:.3f} ({low:.3f} to {high:.3f})",
            f"{r.plain:.3f}",
            _span(r.brier),
            f"{one.coin:.3f}",
            _span(r.overconfidence, "+"),
            ", ".join(r.findings) or "nothing",
        ]
        yield f"| {' | '.join(cells)} |"
    for one, r in known:
        yield f"\n{one.judge} on {one.set}: {r}\n\n```\n{diagram(r)}\n```"


def _percent(estimate: Estimate, sign: str = "") -> str:
    low, high = estimate.interval()
    return f"{100 * estimate.value:{sign}.1f} ({100 * low:{sign}.1f} to {100 * high:{sign}.1f})"


def _span(estimate: Estimate, sign: str = "") -> str:
    low, high = estimate.interval()
    return f"{estimate.value:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def _swap(orders: Orders) -> str:
    if orders.reversals is None or orders.tie_changes is None:
        return "–"
    return f"{abs(100 * (1 - orders.reversals - orders.tie_changes)):.0f}"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:{form}}"


def diagram(r: Reliability) -> str:
    """Text: a line for each bin with the mean verdict (|) and the mean label (o) in its interval (–)."""
    lines = [f"verdict  labels   n     0{'½'.center(WIDTH - 2)}1"]
    for one in r.bins:
        marks = [" "] * WIDTH
        low, high = (round((WIDTH - 1) * end) for end in one.interval)
        marks[low : high + 1] = "–" * (high + 1 - low)
        marks[round((WIDTH - 1) * one.mean_p)] = "|"
        marks[round((WIDTH - 1) * one.mean_y)] = "o"
        lines.append(f"{one.mean_p:7.3f} {one.mean_y:7.3f} {one.n:5,}   {''.join(marks)}".rstrip())
    return "\n".join(lines)


def draw(figures: Sequence[Figures], path: Path) -> None:
    """The diagrams as one picture (SVG, PNG …), a panel for each judge and set. Needs matplotlib."""
    import matplotlib.pyplot as plt

    known = [(one, one.reliability) for one in figures if one.reliability is not None]
    across = min(4, len(known))
    down = -(-len(known) // across)
    picture, axes = plt.subplots(down, across, figsize=(2.9 * across, 3.1 * down), squeeze=False)
    for axis in axes.ravel()[len(known) :]:
        axis.axis("off")
    for axis, (one, r) in zip(axes.ravel(), known, strict=False):
        axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
        p, y = (np.array([getattr(b, name) for b in r.bins]) for name in ("mean_p", "mean_y"))
        low, high = np.array([b.interval for b in r.bins]).T
        axis.errorbar(p, y, yerr=np.maximum([y - low, high - y], 0), fmt="o", capsize=2, markersize=4, color="#0072B2")
        axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal", xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        low, high = r.interval
        axis.set_title(f"{one.judge}\n{one.set}\nECE {r.ece:.3f} ({low:.3f} to {high:.3f})", fontsize=8)
    picture.supxlabel("the judge's probability of output_2", fontsize=9)
    picture.supylabel("share preferring output_2", fontsize=9)
    picture.tight_layout()
    picture.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(picture)


def _replayed(options: argparse.Namespace, wanted: Sequence[str]) -> tuple[list[Pairs], list[Judged]]:
    judges = recorded(options.replay, wanted)
    if options.against is None:
        ids = set(judges[0].rows["item_id"])
        names = options.set or [n for n in SETS if (options.data / f"{n}.parquet").is_file()]
        sets = [each for each in load(options.data, names, options.limit) if not ids.isdisjoint(each.table.index)]
        if not sets:
            raise InputError(
                f"{options.replay}: none of its pairs has labels in {options.data}; name others by --against"
            )
        return sets, judges
    return second_judges(options.against, judges[0].rows), judges


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="as in simfarm annotate: embedded, a GGUF file, openai/NAME …")
    parser.add_argument("--base-url")
    parser.add_argument("--judge", help="default pairwise-decision; with --replay: one of those recorded")
    parser.add_argument("--beside", action="append", default=[], help="another judge on the same pairs; repeatable")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "human")
    parser.add_argument("--set", action="append", help=f"repeatable; default {', '.join(SETS)}")
    parser.add_argument("--limit", type=int, help="pairs of each set")
    parser.add_argument("--store", type=Path, help="keeps every answer: the same command goes on where it stopped")
    parser.add_argument("--concurrency", type=int)
    parser.add_argument("--budget", type=float)
    parser.add_argument("--price", type=lambda text: tuple(float(part) for part in text.split(",")), help="IN,OUT")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--replay", type=Path, help="recorded verdicts instead of a model")
    parser.add_argument("--against", type=Path, help="verdicts of other judges on the pairs of --replay, as labels")
    parser.add_argument("--planted", type=int, default=0, help="also N labels drawn from the verdicts themselves")
    parser.add_argument("--diagram", type=Path, help="the diagrams as a picture (needs matplotlib)")
    parser.add_argument("-o", "--output", type=Path, help="write the tables as Markdown")
    options = parser.parse_args()
    try:
        _run(options)
    except InputError as error:
        parser.exit(2, f"decisions.py: {error}\n")


def _run(options: argparse.Namespace) -> None:
    wanted = [name for name in (options.judge, *options.beside) if name]
    if options.replay is not None:
        sets, judges = _replayed(options, wanted)
    else:
        sets = load(options.data, options.set or SETS, options.limit)
        judges = ask(options, [options.judge or "pairwise-decision", *options.beside], sets)
        if options.dry_run:
            return
    measured = [*sets, together(sets)] if len(sets) > 1 and options.against is None else sets
    figures = [one for each in measured for judge in judges if (one := measure(each, judge)) is not None]
    lines = list(report(figures))
    if options.planted:
        every = pd.concat([each.table for each in sets])
        every = every[~every.index.duplicated()]
        for judge in judges:
            own = judge.rows[judge.rows["item_id"].isin(every.index) & judge.rows["preference"].notna()]
            cluster = _codes(every["cluster"])[every.index.get_indexer(own["item_id"])]
            lines += ["", f"Planted on {len(own):,} verdicts of {judge.name}, {options.planted} times:", ""]
            lines += plant(own["preference"].to_numpy() - 1, cluster, options.planted)
    print("\n".join(lines))
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if options.diagram:
        draw(figures, options.diagram)


if __name__ == "__main__":
    main()
