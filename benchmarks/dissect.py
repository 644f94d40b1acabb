"""What people and judges reward: do intervals hold planted weights, are planted slices found, what do real sets say?

    python benchmarks/dissect.py --replicates 1000 --data ../shared/data -o dissect.md

Planted: nine properties as answers have them (a log length, counts tied to it, some carried by one answer in ten or
twenty, two that are plain), weights of up to 1.5 logits for one spread; four people who lean alike and a judge with
one verdict on each comparison. Beside them plain maximum likelihood with the usual cluster sandwich. Strong: one slope
of 2 to 8 logits, which decides nearly every verdict. Slices: 400
instructions in 20 slices, agreement of .7, one slice at .3 or none. Real: the sets of human labels, their recorded
judges, and PandaLM under other definitions of what people said.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, ndtr

import simfarm
from simfarm.agreement.dissect import dissect
from simfarm.agreement.votes import votes_of
from simfarm.data.frames import frame_verdicts
from simfarm.data.inspection import Inspection
from simfarm.statistics.discoveries import false_discovery_rates, lower_groups
from simfarm.statistics.rewards import property_weights
from simfarm.statistics.style import frequent
from simfarm.text.properties import PROPERTIES, property_names

PEOPLE = np.array([1.5, -0.3, 0.2, 0.5, -0.7, 0.0, 0.3, 0.0, -0.6])
JUDGE = np.array([0.7, -0.3, 0.6, 0.5, 0.0, 0.0, 0.3, 0.3, -0.3])
KINDS = ("log length", "in 30 %", "in 20 %", "in 10 %", "in 5 %", "in 60 %", "in 40 %", "plain", "copying")
PARTS = ("planted", "strong", "slices", "real", "speed")
SETS = {
    "pandalm": ["gpt-3.5-turbo", "pandalm-7b"],
    "alpacafarm_cross": ["gpt4_b1", "gpt4_b5"],
    "vicuna80": ["gpt-4"],
    "llmbar": ["GPT-4/Vanilla", "GPT-4/Metrics_Reference", "ChatGPT-0613/Vanilla", "LLaMA2/Vanilla"],
}


def design(random: np.random.Generator, n: int) -> np.ndarray:
    """Property differences (n × 9) in units of their spread."""
    length = random.standard_normal(n) * random.choice([0.5, 1.5], n)
    columns = [length]
    for share, tied in ((0.3, 0.5), (0.2, 0.3), (0.1, 0.0), (0.05, 0.0), (0.6, 0.4), (0.4, 0.2)):
        size = tied * np.tanh(length) + random.choice([-1, 1], n) * random.random(n)
        columns.append(np.where(random.random(n) < share, np.clip(size, -1, 1), 0))
    columns += [random.standard_t(4, n) * 0.3, (random.random(n) < 0.5) * random.choice([-1, 1], n) * random.random(n)]
    x = np.column_stack(columns)
    spread = np.sqrt((x**2).mean(axis=0))
    return x / np.where(spread > 0, spread, 1)


def votes(random: np.random.Generator, eta: np.ndarray, people: int, alike: float) -> np.ndarray:
    """Verdicts (n × people) with P(1) = σ(eta), which lean alike."""
    own = np.sqrt(1 - alike) * random.standard_normal((len(eta), people))
    return (ndtr(np.sqrt(alike) * random.standard_normal((len(eta), 1)) + own) < expit(eta)[:, None]) * 1.0


def plain_fit(x: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(weights, standard errors) by maximum likelihood and the cluster sandwich, None under separation."""
    params = np.zeros(x.shape[1])
    for _ in range(40):
        chance = expit(x @ params)
        bread = np.linalg.pinv((x * (chance * (1 - chance))[:, None]).T @ x)
        step = bread @ (x.T @ (p - chance))
        params = params + step
        if np.abs(params).max() > 30:
            return None
        if np.abs(step).max() < 1e-8:
            break
    scores = x * (p - expit(x @ params))[:, None]
    n = len(x)
    return params, np.sqrt(np.maximum(0, np.diag(bread @ (scores.T @ scores) @ bread)) * n / (n - 1))


def planted(n: int, replicates: int) -> list[str]:
    """A line for each property: coverage of people's, the judge's and the difference's interval, and plain fits'."""
    random = np.random.default_rng(n)
    held, seen, error = np.zeros((5, 9)), np.zeros((5, 9)), np.zeros((2, 9))
    for _ in range(replicates):
        x = design(random, n)
        carried = frequent(x, np.ones(n), np.arange(n))
        truths = PEOPLE * carried, JUDGE * carried
        four, one = votes(random, x @ truths[0], 4, 0.3), votes(random, x @ truths[1], 1, 0.0)
        x, kept = x[:, carried], np.flatnonzero(carried)
        item = np.repeat(np.arange(n), 4)
        people = property_weights(x[item], four.ravel(), np.full(4 * n, 0.25), item)
        judge = property_weights(x, one.ravel(), np.ones(n), np.arange(n), reader=1)
        truth = [t[carried] for t in (truths[0], truths[1], truths[1] - truths[0])]
        for k, estimates in enumerate((people, judge, [b - a for a, b in zip(people, judge, strict=True)])):
            limits = np.array([e.interval() for e in estimates])
            held[k, kept] += (limits[:, 0] <= truth[k]) & (truth[k] <= limits[:, 1])
            seen[k, kept] += 1
        for k, p in ((3, four.mean(axis=1)), (4, one.ravel())):
            fit = plain_fit(x, p)
            seen[k, kept] += 1
            if fit is not None:
                held[k, kept] += np.abs(fit[0] - truth[k - 3]) <= 1.96 * fit[1]
        for k, estimates in enumerate((people, judge)):
            error[k, kept] += np.array([e.value for e in estimates]) - truth[k]
    lines = []
    for k, name in enumerate(KINDS):
        cells = " | ".join(f"{100 * held[i, k] / seen[i, k]:.1f}" for i in range(5))
        bias = " | ".join(f"{error[i, k] / seen[i, k]:+.2f}" for i in range(2))
        lines.append(f"| {n} | {name} | {cells} | {bias} |")
        print(lines[-1], flush=True)
    return lines


def strong(replicates: int, seed: int) -> list[str]:
    """Coverage of one slope that decides nearly every verdict, by design: it and two others, or the nine; of a judge's
    one verdict, of four people's, and of the difference of the two."""
    lines = []
    for few, n, slope in itertools.product((True, False), (100, 200, 500), (2, 4, 6, 8)):
        random = np.random.default_rng([seed, few, n, slope])
        below, above, widths, others = np.zeros((4, 3))
        for _ in range(replicates):
            x = np.column_stack([random.standard_normal((n, 2)) * (1, 0.5), np.ones(n)]) if few else design(random, n)
            rest = ([0.5, 0.3], [0.5, 0.3]) if few else (JUDGE[1:], PEOPLE[1:])
            carried = frequent(x, np.ones(n), np.arange(n))
            x, truths = x[:, carried], [np.append(slope, part)[carried] for part in rest]
            one, four = votes(random, x @ truths[0], 1, 0.0), votes(random, x @ truths[1], 4, 0.3)
            item = np.repeat(np.arange(n), 4)
            judge = property_weights(x, one.ravel(), np.ones(n), np.arange(n), reader=1)
            people = property_weights(x[item], four.ravel(), np.full(4 * n, 0.25), item)
            apart = [a - b for a, b in zip(judge, people, strict=True)]
            for k, (found, truth) in enumerate(
                ((judge, truths[0]), (people, truths[1]), (apart, np.subtract(*truths)))
            ):
                low, high = np.array([e.interval() for e in found]).T
                below[k] += high[0] < truth[0]
                above[k] += low[0] > truth[0]
                widths[k] += high[0] - low[0]
                others[k] += ((low[1:] <= truth[1:]) & (truth[1:] <= high[1:])).mean()
        for k, who in enumerate(("a judge", "4 people", "judge − people")):
            part = [x[k] / replicates for x in (below, above, widths, others)]
            held = f"{1 - part[0] - part[1]:.3f} ({part[0]:.3f}, {part[1]:.3f})"
            lines.append(f"| {3 if few else 9} | {who} | {n} | {slope} | {held} | {part[2]:.1f} | {part[3]:.3f} |")
            print(lines[-1], flush=True)
    return lines


def slices(replicates: int) -> list[str]:
    """What the search for failing slices finds: where one is bad, and where none is."""
    lines = []
    for bad, size in ((0.7, 20), (0.3, 20), (0.4, 20), (0.3, 40), (0.5, 40)):
        random = np.random.default_rng(7)
        right, false, anything = [], [], []
        for _ in range(replicates):
            group = np.repeat(np.arange(400 // size), size)
            values = (random.random(len(group)) < np.where(group == 3, bad, 0.7)) * 1.0
            found = false_discovery_rates(lower_groups(values, group, random.random(len(group)) < 0.5)) <= 0.1
            right.append(found[3])
            wrong = found.sum() - (found[3] if bad < 0.7 else 0)
            false.append(wrong / max(1, found.sum()))
            anything.append(wrong > 0)
        power = "–" if bad == 0.7 else f"{100 * np.mean(right):.0f}"
        lines.append(f"| {size} | {bad} | {power} | {100 * np.mean(false):.1f} | {100 * np.mean(anything):.1f} |")
        print(lines[-1], flush=True)
    return lines


def _read(folder: Path, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(verdicts of recorded judges, labels) of a set, both with texts and numbered repeats."""
    labels = pd.read_parquet(folder / f"{name}.parquet")
    judges = pd.read_parquet(folder / f"{name}_judges.parquet").rename(columns={"judge": "annotator"})
    judges = judges[judges["annotator"].isin(SETS[name])]
    texts = labels.drop_duplicates("item_id").set_index("item_id")[["instruction", "output_1", "output_2"]]
    judges = judges.join(texts, on="item_id")
    if "seed" in judges:
        judges = judges.drop(columns="order").rename(columns={"seed": "repeat"})
    same = ["instruction", "output_1", "output_2", "annotator"]
    if "repeat" not in judges:
        judges["repeat"] = judges.groupby([*same, "order"]).cumcount()
    labels["repeat"] = labels.groupby(same).cumcount()
    return judges.drop(columns=["item_id", "source"]), labels.drop(columns="source")


def real(folder: Path) -> list[str]:
    """A line for each judge and property with a weight: people, judge, difference."""
    lines = []
    for name in SETS:
        judges, labels = _read(folder, name)
        found = simfarm.dissect(judges, human=labels.drop(columns="item_id"))
        for row in found.table.dropna(subset="judge_weight").to_dict("records"):
            cells = [_cell(row, stem) for stem in ("people_weight", "judge_weight", "difference")]
            q = "" if pd.isna(row["q"]) else f"{row['q']:.3f}"
            lines.append(f"| {name} | {row['judge']} | {row['property']} | {' | '.join(cells)} | {q} |")
            print(lines[-1], flush=True)
    return lines


def _cell(row: dict[str, float], stem: str) -> str:
    value, low, high = (row[f"{stem}{end}"] for end in ("", "_low", "_high"))
    return "–" if pd.isna(value) else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def definitions(folder: Path) -> list[str]:
    """PandaLM's weight of log length for people and GPT-3.5, by what people's answer and the properties are."""
    judges, labels = _read(folder, "pandalm")
    judges = judges[judges["annotator"] == "gpt-3.5-turbo"]
    looked = Inspection(features=PROPERTIES)
    modes = labels.groupby("item_id")["preference"].agg(lambda s: s.mode().iloc[0] if len(s.mode()) == 1 else 1.5)
    mode = labels.drop_duplicates("item_id").assign(annotator="mode")
    mode["preference"] = mode["item_id"].map(modes)
    mode["repeat"] = mode.groupby(["instruction", "output_1", "output_2"]).cumcount()
    lines = []
    decided, decided_mode = judges[judges["preference"] != 1.5], mode[mode["preference"] != 1.5]
    for said, people, verdicts in (
        ("every label", labels, judges),
        ("the majority", mode, judges),
        ("the majority, ties left out", decided_mode, decided),
    ):
        read = votes_of(
            frame_verdicts(verdicts, "j", looked), frame_verdicts(people.drop(columns="item_id"), "h", looked)
        )
        for control in ("length", "length,copying", "all,order"):
            one = dissect(read, "gpt-3.5-turbo", property_names(control), asked=False)
            cells = []
            for e in (one.people["length"], one.judge["length"]):
                low, high = e.interval()
                cells.append(f"{e.value:.2f} [{low:.2f}, {high:.2f}]")
            lines.append(f"| {said} | {control} | {one.n_comparisons} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    return lines


def speed() -> list[str]:
    """Seconds of 100,000 rows with texts: reading and matching, then the weights."""
    random = np.random.default_rng(0)
    n = 100_000
    words = np.array(["word", "maybe", "8", "good", "bad", "- item\n"])
    outputs = [" ".join(random.choice(words, random.integers(5, 60))) for _ in range(2 * n)]
    frame = pd.DataFrame(
        {
            "instruction_id": np.arange(n) // 20,
            "output_1": outputs[:n],
            "output_2": outputs[n:],
            "annotator": "judge",
            "preference": random.integers(1, 3, n),
        }
    )
    start = time.process_time()
    read = votes_of(frame_verdicts(frame, "rows", Inspection(features=PROPERTIES)))
    middle = time.process_time()
    dissect(read, "judge", property_names("all,order"), asked=False)
    end = time.process_time()
    return [
        "100,000 rows of 5,000 instructions: "
        f"read and matched in {middle - start:.0f} s of processor time, weighed in {end - middle:.0f} s"
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--part", choices=PARTS, nargs="+", default=None)
    parser.add_argument("--seed", type=int, default=0, help="of the strong slopes")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    wanted = arguments.part or PARTS
    page: list[str] = []
    if "planted" in wanted:
        head = "| n | property | people | judge | judge − people | plain, people | plain, judge | bias | bias |"
        page += ["", "## Coverage of 95 % intervals, percent", "", head, "|---|---|" + "---:|" * 7]
        for n in (50, 100, 200, 500, 1000):
            page += planted(n, max(1, arguments.replicates * (10 if n < 1000 else 4) // 10))
    if "strong" in wanted:
        head = "| properties | reader | comparisons | slope | coverage (all below it, all above it) | width | others |"
        page += ["", "## Strong slopes", "", head, "|---:|---|---:|---:|---|---:|---:|"]
        page += strong(arguments.replicates, arguments.seed)
    if "slices" in wanted:
        head = "| instructions a slice | agreement in the bad one (.7 elsewhere) | found | false share | any false |"
        page += [
            "",
            "## Slices, percent of runs",
            "",
            head,
            "|---:|---:|---:|---:|---:|",
            *slices(arguments.replicates),
        ]
    if "real" in wanted:
        folder = arguments.data / "human"
        head = "| set | judge | property | people | judge | judge − people | q |"
        page += ["", "## Real sets", "", head, "|---|---|---|---|---|---|---:|", *real(folder)]
        head = "| what people said | properties | comparisons | people | GPT-3.5 |"
        page += ["", "## PandaLM, weight of log length", "", head, "|---|---|---:|---|---|", *definitions(folder)]
    if "speed" in wanted:
        page += ["", "## Speed", "", *speed()]
    if arguments.output:
        arguments.output.write_text("\n".join(page) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
