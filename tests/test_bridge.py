"""A board carried to a new judge: planted truth, recorded judges, what is refused, and what is said."""

import importlib.util
import json
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

import simfarm
from simfarm.cli import main
from simfarm.errors import InputError
from simfarm.statistics.bridge import fit_link, missing_to_judge
from simfarm.statistics.calibration import calibrate, interval_with_ends
from simfarm.statistics.estimate import Estimate, mean_estimate

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    import sys

    spec = importlib.util.spec_from_file_location("benchmark_bridge", ROOT / "benchmarks" / "bridge.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


MODELS = {f"m{k}": level for k, level in enumerate((-1.6, -0.9, -0.4, 0.0, 0.5, 1.2))}


def rows_of(
    annotator: str, shift: dict[str, float], items: range | list[int], seed: int = 0, n: int = 400
) -> list[dict[str, object]]:
    """Verdicts whose rate is σ(shift) for each model; two judges with one seed see the same in an instruction."""
    noise = {m: np.random.default_rng([seed, *m.encode()]).logistic(size=n) for m in shift}
    return [
        {
            "instruction_id": f"i{i}",
            "generator_1": "base",
            "generator_2": m,
            "length_1": 100,
            "length_2": 100 + i % 7,
            "annotator": annotator,
            "preference": 2 if noise[m][i] < level else 1,
        }
        for i in items
        for m, level in shift.items()
    ]


def write(name: str, rows: list[dict[str, object]]) -> None:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def steady(rate: float, n: int = 4000) -> Estimate:
    """A rate that many instructions vouch for."""
    values = (np.arange(n) < round(rate * n)).astype(float)
    return mean_estimate(values, np.arange(n))


def test_the_link_is_the_line_that_was_planted() -> None:
    x = np.linspace(-2, 1.5, 9)
    old = [steady(float(expit(v))) for v in x]
    new = [steady(float(expit(0.4 + 1.3 * v))) for v in x]
    link = fit_link(old, new, [4000] * 9)
    assert (link.intercept, link.slope) == pytest.approx((0.4, 1.3), abs=0.01)
    assert link.slope_low < 1.3 < link.slope_high
    assert link.misfit < 0.02
    assert link.missed < 0.003
    estimate, low, high = link.rate(steady(0.4))
    assert low < expit(0.4 + 1.3 * logit(0.4)) < high
    _, less, more = link.rate(steady(0.4, 60))
    assert more - less > 5 * (high - low), "the old rate's own error counts"
    # the estimate that differences are taken of carries the same width
    assert estimate.interval() == pytest.approx((low, high), abs=0.002)


def test_the_line_is_that_of_a_logistic_regression() -> None:
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(4)
    x = rng.normal(size=12)
    y = expit(0.2 + 0.7 * x + 0.3 * rng.normal(size=12))
    old, new = [steady(float(expit(v)), 10**5) for v in x], [steady(float(v), 10**5) for v in y]
    link = fit_link(old, new, [10**5] * 12)
    rates = np.array([e.value for e in old])
    glm = sm.GLM([e.value for e in new], sm.add_constant(logit(rates)), family=sm.families.Binomial()).fit()
    assert (link.intercept, link.slope) == pytest.approx(tuple(glm.params), abs=1e-3)


def test_few_models_and_misfit_make_the_link_wide() -> None:
    x = np.linspace(-2, 1.5, 12)
    stray = 0.3 * np.array([1, -1] * 6)

    def width(models: list[int], by: float) -> float:
        old = [steady(float(expit(x[m]))) for m in models]
        new = [steady(float(expit(x[m] + by * stray[m]))) for m in models]
        _, low, high = fit_link(old, new, [4000] * len(models)).rate(steady(0.4))
        return high - low

    everything = list(range(12))
    assert width(everything, 1) > 3 * width(everything, 0)
    assert width([0, 3, 6, 9, 11], 1) > 1.3 * width(everything, 1)
    assert width([0, 5, 8, 11], 1) > width([0, 3, 6, 9, 11], 1)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ([0.2, 0.4, 0.6], [0.2, 0.4, 0.6], "3 models with enough comparisons judged by both; a link needs at least 4"),
        ([0.4] * 5, [0.2, 0.3, 0.4, 0.5, 0.6], "the old judge gives every model the same rate"),
        ([0.2, 0.3, 0.4, 0.5, 0.6], [0.4] * 5, "the new judge gives every model the same rate"),
        ([0.2, 0.3, 0.4, 0.5, 0.6], [0, 0, 0, 1, 1], "all or nothing"),
    ],
)
def test_where_there_is_no_link(old: list[float], new: list[float], why: str) -> None:
    with pytest.raises(InputError, match=why):
        fit_link([steady(r) for r in old], [steady(r) for r in new], [400] * len(old))


def test_what_is_to_be_judged_gives_the_wanted_error() -> None:
    for spread, n in ((0.1, 805), (0.2, 200), (0.01, 805)):
        k = missing_to_judge(spread, n, 0.02)
        error = lambda of: 1.959964 * math.sqrt(spread * (1 / of - 1 / n))  # noqa: B023, E731
        assert error(k) <= 0.02 < error(k - 1)
    assert missing_to_judge(0.0, 805, 0.02) == 0


def test_the_interval_allows_for_the_end_that_few_verdicts_have_not_seen() -> None:
    """A rate of .03, soft: most verdicts near 0, one in 50 near 1."""
    rng = np.random.default_rng(7)
    new = np.where(rng.random(800) < 0.02, 0.97, rng.random(800) / 100)
    old = rng.random(800) / 10
    held = plain = 0
    for _ in range(200):
        labels = np.full(800, np.nan)
        chosen = rng.choice(800, 40, replace=False)
        labels[chosen] = new[chosen]
        found = calibrate(old, labels, np.arange(800), ["new"])
        low, high = found.interval()
        held += low <= new.mean() <= high
        plain += found.estimate.interval()[0] <= new.mean() <= found.estimate.interval()[1]
    assert held >= 190
    assert plain < 180
    low, high = interval_with_ends(mean_estimate(np.zeros(40), np.arange(40)), 40)
    assert low == 0
    assert 0.02 < high < 0.2


def test_planted_coverage(benchmark: ModuleType) -> None:
    rng = np.random.default_rng(11)
    for misfit in (0.0, 0.3):
        found = benchmark.planted(8, 100, misfit, 100, rng)
        assert min(found["bridged"], found["link"]) >= 0.92, found


@pytest.mark.skipif(not SHARED.is_dir(), reason="the recorded judges are not here")
def test_recorded_judges_hold(benchmark: ModuleType) -> None:
    pairs = {p.name.split(",")[0]: p for p in benchmark.recorded(SHARED)}
    rng = np.random.default_rng(5)
    pair = pairs["alpaca_eval_cot_gpt4_turbo_fn → weighted_alpaca_eval_gpt4_turbo"]
    cells = pd.DataFrame(benchmark.bridged(pair, 30, 60, rng, drawn=False))
    assert cells["coverage"].mean() >= 0.95
    assert cells["coverage"].min() >= 0.88
    pair = pairs["alpaca_eval_gpt4_turbo_fn → alpaca_eval_cot_gpt4_turbo_fn"]
    by_link = benchmark.linked(pair, 8, 805, 10, rng, drawn=False)
    assert by_link is not None
    assert by_link["coverage"] >= 0.9
    assert by_link["missed"] < 0.03
    assert by_link["width"] < 0.25


def test_a_board_is_carried(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = {m: 0.3 + 0.8 * v for m, v in MODELS.items()}
    everything = list(range(400))
    part = sorted(np.random.default_rng(2).choice(400, 120, replace=False).tolist())
    write("old.jsonl", rows_of("old", MODELS | {"alone": 0.2}, everything))
    rows = rows_of("new", {m: v for m, v in new.items() if m != "m3"}, part)
    rows += rows_of("new", {"m3": new["m3"]}, part[:20]) + rows_of("new", {"fresh": -0.3}, part, seed=9)
    rows += rows_of("new", {"m5": new["m5"]}, [i for i in everything if i not in part])
    write("new.jsonl", rows)
    assert main(["rejudge", "--bridge", "old.jsonl", "new.jsonl", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    board = {row["model"]: row for row in found["models"]}
    how = {model: row["how"] for model, row in board.items()}
    assert how == dict.fromkeys(("m0", "m1", "m2", "m4"), "bridged") | {
        "m3": "link", "alone": "link", "fresh": "new judge alone", "m5": "judged"
    }  # fmt: skip
    assert board["m3"]["n_both"] == 20
    assert board["m0"]["n_both"] == 120
    assert board["m5"]["n_both"] == 400
    for model, level in new.items():
        assert board[model]["win_rate_low"] < 100 * expit(level) < board[model]["win_rate_high"], model
    alone = [r["preference"] - 1 for r in rows if r["generator_2"] == "m0"]
    sure = mean_estimate(np.array(alone, dtype=float), np.arange(120))
    assert board["m0"]["standard_error"] < 90 * sure.standard_error, "the old verdicts make it narrower"
    assert board["fresh"]["old_rank"] is None
    assert board["m5"]["rank"] == 1
    assert (found["old_annotator"], found["annotator"]) == ("old", "new")
    python = simfarm.rejudge("old.jsonl", "new.jsonl", bridge=True)
    assert python.to_json() == found
    assert main(["rejudge", "old.jsonl", "new.jsonl", "--bridge", "-o", "board.md"]) == 0
    told = capsys.readouterr().out
    for words in ("new judge alone", "link: logit(new) = ", "from 5 models", "to judge: instructions of a model"):
        assert words in told
    assert "| m3 |" in Path("board.md").read_text("utf-8")
    assert main(["rejudge", "old.jsonl", "new.jsonl", "--bridge", "-o", "board.csv"]) == 0
    assert list(pd.read_csv("board.csv")["model"]) == [row["model"] for row in found["models"]]


def test_the_order_of_a_pair_and_repeats_change_nothing(here: Path) -> None:
    part = list(range(0, 400, 4))
    old, new = rows_of("old", MODELS, list(range(400))), rows_of("new", MODELS, part)
    swapped = [
        row
        | {"generator_1": row["generator_2"], "generator_2": "base", "preference": 3 - float(str(row["preference"]))}
        | {"length_1": row["length_2"], "length_2": row["length_1"]}
        for row in new
    ]
    one = simfarm.rejudge(pd.DataFrame(old), pd.DataFrame(new), bridge=True)
    other = simfarm.rejudge(pd.DataFrame(old), pd.DataFrame(swapped), bridge=True, baseline="base")
    pd.testing.assert_frame_equal(one.table, other.table)


def test_models_that_change_sides_are_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("old.jsonl", rows_of("old", {"x": 1.5, "y": -1.5, "z": 0.0}, range(400)))
    write("new.jsonl", rows_of("new", {"x": -1.5, "y": 1.5, "z": 0.0}, range(0, 400, 2)))
    assert main(["rejudge", "--bridge", "old.jsonl", "new.jsonl"]) == 0
    told = capsys.readouterr().out
    assert "3 of 3 pairs of models change sides beyond noise" in told
    assert "  x − y: +" in told
    assert "1 → 3" in told
    assert "3 → 1" in told


@pytest.mark.parametrize("given", ["", "few"])
def test_before_a_pilot_it_says_how_to_draw_one(here: Path, capsys: pytest.CaptureFixture[str], given: str) -> None:
    write("old.jsonl", rows_of("old", MODELS, range(400)))
    write("new.jsonl", rows_of("new", MODELS, range(10)) if given else [])
    assert main(["rejudge", "--bridge", "old.jsonl", "new.jsonl"]) == 0
    told = capsys.readouterr().out
    assert "shuf old.jsonl > shuffled.jsonl" in told
    assert "--limit 60" in told
    assert told.count("not carried") == 6


def test_the_pilot_that_is_proposed_can_be_drawn(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = sorted(str(p) for p in (ROOT / "examples" / "outputs").glob("*.json"))
    assert main(["annotate", *outputs, "--baseline", "smollm2-135m", "--judge", "longest", "-o", "old.jsonl"]) == 0
    lines = Path("old.jsonl").read_text("utf-8").splitlines()
    order = np.random.default_rng(1).permutation(len(lines))
    Path("shuffled.jsonl").write_text("\n".join(lines[i] for i in order) + "\n", "utf-8")
    assert main(["annotate", "shuffled.jsonl", "--judge", "first", "--limit", "40", "-o", "new.jsonl"]) == 0
    capsys.readouterr()
    assert main(["rejudge", "--bridge", "old.jsonl", "new.jsonl", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["n_both"] for row in found["models"]} == {40}
    assert not found["warnings"]


def test_a_part_that_was_not_drawn_at_random_is_warned_of(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("old.jsonl", rows_of("old", MODELS, range(400)))
    write("new.jsonl", rows_of("new", MODELS, range(100)))
    assert main(["rejudge", "--bridge", "old.jsonl", "new.jsonl"]) == 0
    assert "do not look like a random part of the old file" in " ".join(capsys.readouterr().err.split())
    with pytest.warns(simfarm.SimfarmWarning, match="random part"):
        simfarm.rejudge("old.jsonl", "new.jsonl", bridge=True)


def test_a_rate_beyond_the_links_models_is_warned_of(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = sorted(np.random.default_rng(2).choice(400, 120, replace=False).tolist())
    write("old.jsonl", rows_of("old", MODELS | {"far": 3.0}, range(400)))
    write("new.jsonl", rows_of("new", MODELS, part))
    assert main(["rejudge", "--bridge", "old.jsonl", "new.jsonl"]) == 0
    assert "far: the old rate lies outside" in " ".join(capsys.readouterr().err.split())


def test_what_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = rows_of("old", MODELS, range(60))
    write("old.jsonl", old)
    write("elsewhere.jsonl", [row | {"instruction_id": f"j{k}"} for k, row in enumerate(old)])
    write("two.jsonl", [*old, *rows_of("third", MODELS, range(60))])
    write("rival.jsonl", [row | {"generator_1": "rival"} for row in rows_of("new", MODELS, range(60))])
    write("longer.jsonl", [row | {"length_2": 999} for row in rows_of("new", MODELS, range(60))])
    write("new.jsonl", rows_of("new", MODELS, range(60)))
    for arguments, why in (
        (["old.jsonl", "elsewhere.jsonl", "--bridge"], "share no comparison"),
        (["old.jsonl", "two.jsonl", "--bridge"], "holds 2 annotators"),
        (["old.jsonl", "rival.jsonl", "--bridge"], "the baseline could be"),
        (["old.jsonl", "rival.jsonl", "--bridge", "--baseline", "base"], "no comparison with the baseline base"),
        (["old.jsonl", "longer.jsonl", "--bridge"], "outputs differ between the two files"),
        (["old.jsonl", "./old.jsonl", "--bridge"], "given twice"),
        (["old.jsonl", "new.jsonl", "--bridge", "-o", "b.svg"], "a board is written as .csv, .json or .md"),
        (["old.jsonl", "new.jsonl", "--bridge", "-o", "b.txt"], "a board is written as .csv, .json or .md"),
        (["old.jsonl", "new.jsonl", "--bridge", "-o", "old.jsonl.csv/x.csv"], "does not exist"),
    ):
        assert main(["rejudge", *arguments]) == 2, arguments
        assert why in " ".join(capsys.readouterr().err.split()), arguments


def test_it_fits_a_terminal(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    long = {f"organisation/{m}-instruct-checkpoint-0123456789-of-a-long-name": v for m, v in MODELS.items()}
    write("old.jsonl", rows_of("old", long, range(200), n=200))
    write("new.jsonl", rows_of("new", long, range(0, 200, 3), n=200))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert main(["rejudge", "--bridge", "old.jsonl", "new.jsonl"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert max(map(len, told)) <= 80
    assert sum("bridged" in line for line in told) == 6


def test_a_model_that_lost_every_comparison_is_not_yet_judged_enough(here: Path) -> None:
    part = sorted(np.random.default_rng(2).choice(400, 40, replace=False).tolist())
    write("old.jsonl", rows_of("old", MODELS | {"never": -50.0}, range(400)))
    write("new.jsonl", rows_of("new", MODELS | {"never": -50.0}, part))
    table = simfarm.rejudge("old.jsonl", "new.jsonl", bridge=True).table.set_index("model")
    never = table.loc["never"]
    # its interval is wide though all verdicts agree: what forty have not seen may still be there
    assert never["win_rate_high"] > 4
    assert 60 < never["to_judge"] < 200


def test_files_in_the_wrong_order_are_said_to_be(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = sorted(np.random.default_rng(2).choice(400, 120, replace=False).tolist())
    write("old.jsonl", rows_of("old", MODELS, range(400)))
    write("new.jsonl", rows_of("new", MODELS, part))
    assert main(["rejudge", "--bridge", "new.jsonl", "old.jsonl"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "1,680 verdicts of the new judge on comparisons that the old one never judged are left out" in said
    assert "name the old judge's file first" in said
    assert main(["rejudge", "--bridge", "old.jsonl", "new.jsonl"]) == 0
    assert "left out" not in capsys.readouterr().err
