"""The embedded judge: a fair function of the two texts, as good as it says on real labels; and the example files."""

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simfarm.judges.surface import AGREEMENT, WEIGHTS, banner, features, prefer

ROOT = Path(__file__).parents[1]
QUESTION = "Why does the harbour wall hold against the winter storms?"
ANSWER = (
    "The harbour wall holds because every stone carries its neighbours. Winter storms push water against the wall, "
    "and the weight of the upper courses presses the lower ones together, so the load spreads along its length."
)
texts = st.text(max_size=300)


@given(texts, texts, texts)
def test_swapping_the_outputs_mirrors_the_verdict_exactly(instruction: str, one: str, two: str) -> None:
    p = prefer(instruction, one, two)
    assert 0 <= p <= 1
    assert p == 1 - prefer(instruction, two, one)
    assert p == prefer(instruction, one, two)


@given(texts, texts)
def test_identical_outputs_are_a_tie(instruction: str, output: str) -> None:
    assert prefer(instruction, output, output) == 0.5


def test_verdict_is_the_same_in_every_process() -> None:
    code = (
        f"from simfarm.judges.surface import prefer; print(repr(prefer({QUESTION!r}, 'The sea is wet.', {ANSWER!r})))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert said == {f"{prefer(QUESTION, 'The sea is wet.', ANSWER)!r}\n"}


@pytest.mark.parametrize(
    "worse",
    [
        pytest.param("", id="empty"),
        pytest.param("  \n ", id="blank"),
        pytest.param("I'm sorry, I cannot help with that request, please ask me something else instead.", id="refusal"),
        pytest.param(QUESTION, id="copy of the instruction"),
        pytest.param("The wall holds. " * (len(ANSWER) // 16), id="repetition"),
        pytest.param("Gardens bloom.", id="short and off the subject"),
    ],
)
def test_an_answer_beats(worse: str) -> None:
    assert prefer(QUESTION, worse, ANSWER) > 0.55


@pytest.mark.parametrize(
    ("one", "two"), [("The sea is wet.", ANSWER), ("", "I'm sorry.\n\n- a\n- b"), (ANSWER, QUESTION)]
)
def test_a_difference_is_divided_by_its_scale_and_weighed(one: str, two: str) -> None:
    seen = zip(WEIGHTS.values(), features(QUESTION, one), features(QUESTION, two), strict=True)
    z = sum(weight * (b - a) / scale for (weight, scale), a, b in seen)
    assert z != pytest.approx(0, abs=0.02)
    assert prefer(QUESTION, one, two) == pytest.approx(1 / (1 + math.exp(-z)), abs=1e-12)


def test_features_see_what_they_are_named_for() -> None:
    seen = dict(zip(WEIGHTS, features(QUESTION, f"Sorry.\n\n- {QUESTION}\n- {QUESTION}\n```x```"), strict=True))
    assert seen["coverage"] == seen["code"] == seen["refusal"] == 1
    assert seen["lists"] == math.log1p(2)
    assert seen["paragraphs"] == math.log1p(1)
    assert 0 < seen["repetition"] < 1
    assert 0 < seen["copying"] < 1
    assert dict(zip(WEIGHTS, features("", ""), strict=True)) == {name: float(name == "empty") for name in WEIGHTS}


@pytest.mark.parametrize("text", ["日本語の答えです。" * 20, "🦭" * 50, "\x00\ud800", "é" * 10, "\n" * 5000 + "x"])
def test_any_unicode_gets_a_verdict(text: str) -> None:
    assert 0 < prefer(text, text, ANSWER) < 1


def test_a_huge_output_gets_a_verdict() -> None:
    huge = " ".join(f"word{k % 70_000}" for k in range(300_000)) + "\n1. " * 50_000 + "-" * 500_000
    assert 0.5 < prefer(QUESTION, ANSWER, huge) < 1


def test_judging_imports_the_standard_library_alone() -> None:
    code = (
        "import sys; from simfarm.judges.surface import prefer; prefer('a', 'b', 'c');"
        "print({'numpy', 'pandas', 'scipy', 'torch', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_banner_says_what_was_measured_beside_longest() -> None:
    line = banner()
    assert "\n" not in line
    assert "not for judging quality" in line
    for name, (ours, longest) in AGREEMENT.items():
        assert f"{name} {100 * ours:.0f} % ({100 * longest:.0f})" in line


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_surface", ROOT / "benchmarks" / "surface.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_agreement_with_people_is_what_the_constants_say(bench: ModuleType, shared_data: Path) -> None:
    sets = bench.load(shared_data / "human")
    weights = bench.refit(sets)
    for name, shipped in WEIGHTS.items():
        assert weights[name] == pytest.approx(shipped, abs=2e-3)
    rows = {row["set"]: row for row in bench.measure(sets, WEIGHTS)}
    assert rows.keys() == AGREEMENT.keys()
    for name, (ours, longest) in AGREEMENT.items():
        assert rows[name]["surface"] == pytest.approx(100 * ours, abs=0.5)
        assert rows[name]["longest"] == pytest.approx(100 * longest, abs=0.01)
    # AlpacaFarm is in no fit: there the shipped weights themselves are measured, and p is calibrated.
    assert rows["AlpacaFarm"]["surface_shipped"] == pytest.approx(100 * AGREEMENT["AlpacaFarm"][0], abs=0.5)
    assert rows["AlpacaFarm"]["calibration_slope_shipped"] == pytest.approx(1, abs=0.25)


def test_longest_agrees_with_the_reference_figures(bench: ModuleType, shared_data: Path) -> None:
    reference = json.loads((shared_data / "human" / "reference_metrics.json").read_text())
    for name, stem in bench.SETS.items():
        if "longest" in reference[stem]:
            assert AGREEMENT[name][1] == pytest.approx(reference[stem]["longest"]["strict_acc(judge tie=.5)"], abs=1e-4)
