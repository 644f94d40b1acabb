"""What can judges be fooled by, and what are tricks worth? The rules probed, planted judges, and a real price.

    python benchmarks/probes.py --data ../shared/data -o benchmarks/results/DATE-probes.md

Rules: `longest`, `first`, `random` and `surface` on the answers that ship with simfarm. Planted: judges that are right
on every pair of every probe with one chance, whose verdicts are thrown anew in each replicate: does the interval hold
that chance, and how often is a coin said to be fooled, or safe? Stress: `surface` and `longest` on the examples.
Recorded: one model told to be verbose, and told to be concise, under GPT-4's verdicts on AlpacaEval's 805 instructions:
what the wording gains raw, under AlpacaEval's length control and under ours, which is fitted on all models there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from simfarm.data.frames import frame_verdicts
from simfarm.data.inputs import outputs_for
from simfarm.data.records import Annotation, Output
from simfarm.judges import load_one
from simfarm.judges.probes import PROBES, planned
from simfarm.methods.probed import measured
from simfarm.methods.probing import Prober, bundled_outputs
from simfarm.methods.stress import Stress
from simfarm.ranking import boards, paired_difference
from simfarm.report.files import markdown_lines
from simfarm.report.stressed import stressed_sheet
from simfarm.runs.options import JudgeOptions, RunOptions
from simfarm.statistics.estimate import Estimate

ROOT = Path(__file__).resolve().parents[1]
RULES = ("longest", "surface", "first", "random")
CHANCES = (0.5, 0.7, 0.9, 0.98)
MODEL = "gpt-3.5-turbo-1106"
HEAD = """# Probes and stress: what judges can be fooled by

By `benchmarks/probes.py`; 95 % intervals in brackets, percent and points. What each probe is, and the cards of two
models that were probed for real, stand in [docs/probes.md](../../docs/probes.md).
"""


def follow(run: Any, records: Sequence[Any]) -> Iterable[Any]:
    return run.results(records)


def shown(e: Estimate | None, *, signed: bool = False) -> str:
    if e is None or not e.n_clusters:
        return "–"
    low, high = (100 * x for x in e.interval())
    sign = "+" if signed else ""
    return f"{100 * e.value:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]".replace("-", "−")


def rules() -> Iterator[str]:
    """The probes of every rule, side by side."""
    found = {
        rule: Prober(bundled_outputs(), JudgeOptions(judge=rule), RunOptions(), follow).probed()[0] for rule in RULES
    }
    yield "\n## Judges without a model\n"
    yield "Percent of pairs whose right answer won (of `identity` none is right); 16 instructions.\n"
    rows = []
    for name, probe in PROBES.items():
        if probe.kind != "opposite":
            own = [next(one for one in card.tried if one.probe.name == name) for card in found.values()]
            rows.append([name, probe.title, *(shown(one.right) for one in own)])
    for k, turned in enumerate(found["longest"].turned):
        for what in ("flips", "both"):
            own = [shown(getattr(card.turned[k], what)) for card in found.values()]
            rows.append([f"{turned.probe.name}: {what}", turned.probe.title, *own])
    for k, manner in enumerate(found["longest"].manners):
        if manner.same is not None:
            rows.append([f"{manner.name}: same", manner.title, *(shown(c.manners[k].same) for c in found.values())])
    yield from markdown_lines(["probe", "what", *RULES], rows)
    yield "\nFooled, all probes of a judge tested together: " + "; ".join(
        f"`{rule}` by {', '.join(card.names('fooled')) or 'none'}" for rule, card in found.items()
    )
    yield (
        "\n`first` goes by the place: both orders averaged it is neither right nor wrong anywhere, and none of its "
        "verdicts stays when the two answers are swapped."
    )


def planted(replicates: int, seed: int = 0) -> Iterator[str]:
    """Judges that are right with one chance on every pair."""
    rng = np.random.default_rng(seed)
    judge = load_one("pairwise-letter")
    yield f"\n## Planted judges\n\n{replicates} replicates; right with one chance on each pair, independently.\n"
    rows = []
    for n in (16, 60):
        outputs = [o for o in bundled_outputs() if o.generator == "careful"]
        outputs = [
            Output(f"{o.instruction} ({k})", o.output, o.generator) for k in range(-(-n // 16)) for o in outputs
        ][:n]
        plan = planned(outputs, judge)
        right = np.array([pair.extra["right"] for pair in plan.pairs])
        coin = np.array([pair.extra["probe"] == "identity" for pair in plan.pairs])
        for chance in CHANCES:
            held, widths, wrong, told = 0, 0.0, 0, 0
            for _ in range(replicates):
                hits = rng.random(len(right)) < np.where(coin, 0.5, chance)
                p = np.where(hits == (right == 2), 1.0, 0.0)
                made = [
                    Annotation(pair, "j", 1 + float(v), "verdict", order, judge_order="both")
                    for pair, v in zip(plan.pairs, p, strict=True)
                    for order in ("12", "21")
                ]
                card = measured(plan, made, judge)
                limits = [one.right.interval() for one in card.tried if not one.probe.even]
                held += sum(low <= chance <= high for low, high in limits)
                widths += float(np.mean([high - low for low, high in limits]))
                wrong += bool(card.names("fooled")) if chance > 0.5 else card.names("fooled") != card.names("holds")
                told += len(card.names("holds"))
            cells = 11 * replicates
            error = 100 * (held / cells * (1 - held / cells) / cells) ** 0.5
            rows.append(
                [
                    f"{n}",
                    f"{chance:g}",
                    f"{100 * held / cells:.1f} ± {error:.1f}",
                    f"{100 * widths / replicates:.0f}",
                    f"{100 * wrong / replicates:.1f}",
                    f"{told / replicates:.1f} of 11",
                ]
            )
    yield from markdown_lines(
        ["instructions", "chance", "held by the interval, %", "width", "cards with a false finding, %", "holds"], rows
    )
    yield (
        "\nA false finding about the coin (chance 0.5) is any probe said to fool it or to leave it unmoved, about "
        "the others any that is said to fool it. Of `identity`, which has no right side, all of them throw a coin."
    )


def stress() -> Iterator[str]:
    """The price of tricks by two rules, on the examples."""
    yield "\n## The price of a trick, by two rules\n"
    folder = ROOT / "examples" / "outputs"
    outputs = outputs_for([str(folder / "qwen2.5-coder-1.5b.json")])
    base = outputs_for([str(folder / "smollm2-135m.json")])
    found = Stress(["surface", "longest"], outputs, base, JudgeOptions(), RunOptions(), follow).stressed()
    for part in stressed_sheet(found).parts:
        yield f"{part.title}\n"
        yield from markdown_lines(part.headings, part.rows)
        yield "\n" + "\n".join(f"- {line}" for line in part.remarks) + "\n"


def recorded(data: Path) -> Iterator[str]:
    """What a wording gains under each length control."""
    folder = data / "alpaca_eval_2"
    rows = pd.read_parquet(folder / "preferences.parquet")
    (board,) = boards(
        frame_verdicts(rows, "preferences.parquet"),
        baseline="gpt4_1106_preview",
        length_control=("alpaca-eval-2", "joint"),
        lc_data=folder,
    )
    yield "\n## A real price: told to be verbose\n"
    verbose = f"{MODEL}_verbose"
    table = []
    for other in (f"{MODEL}_concise", MODEL):
        gains = [
            paired_difference(board, verbose, other, length_control=control)
            for control in (None, "alpaca-eval-2", "joint")
        ]
        table.append([f"{verbose} − {other}", *(shown(gain, signed=True) for gain in gains)])
    lengths = board.table.set_index("model")["avg_length"]
    yield from markdown_lines(["points", "raw", "alpaca-eval-2", "joint"], table)
    yield (
        f"\nOne model under three wordings of its prompt (mean characters: concise {lengths[f'{MODEL}_concise']:.0f}, "
        f"plain {lengths[MODEL]:.0f}, verbose {lengths[verbose]:.0f}); GPT-4's verdicts, 805 instructions, 33 models. "
        "Told to be verbose it gains over itself told to be concise at equal length what it gains raw: length control "
        "does not remove it. These answers are longer, and they also say more that the judge likes; what is taken away "
        "is the pull of length alone."
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", metavar="DIR")
    options.add_argument("--replicates", type=int, default=200)
    options.add_argument("-o", "--output", type=Path, metavar="FILE.md")
    chosen = options.parse_args()
    parts: list[Iterator[str]] = [rules(), planted(chosen.replicates), stress()]
    if chosen.data.is_dir():
        parts.append(recorded(chosen.data))
    lines = [HEAD, *(line for part in parts for line in part)]
    text = "\n".join(lines).rstrip() + "\n"
    if chosen.output:
        chosen.output.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
