"""Probing and stress as runs: asked through the store and the budget of every other run, printed as one card."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import loopback
import pandas as pd
import pytest
from loopback import Call, Loopback

from simfarm.cli import main
from simfarm.data.exchange import Completion, Request
from simfarm.data.records import Output
from simfarm.errors import BudgetError, InputError
from simfarm.judges import load_one
from simfarm.judges.probes import TRICKS
from simfarm.methods.probing import Prober, bundled_outputs
from simfarm.methods.stress import Stress, dressed, prices
from simfarm.runs.options import JudgeOptions, RunOptions

ROOT = Path(__file__).parents[1]
MODELS = {"openai": "openai/m", "anthropic": "anthropic/m"}


def long_winded(call: Call) -> str:
    """The longer answer wins."""
    lengths = [
        len(re.findall(rf"<answer_{letter}>\n(.*?)\n</answer_{letter}>", call.prompt, re.DOTALL)[-1])
        for letter in re.findall(r"<answer_([A-Z])>", call.prompt)[:2]
    ]
    names = re.findall(r"<answer_([A-Z])>", call.prompt)[:2]
    return f"[[{names[0] if lengths[0] > lengths[1] else names[1]}]]"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    monkeypatch.setattr(loopback, "reply", long_winded)
    for key in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(key, "none")
    with Loopback() as running:
        yield running


def probe(server: Loopback, *words: str, wire: str = "openai", limit: int = 2) -> int:
    url = f"{server.url}/v1" if wire == "openai" else server.url
    model = ("--model", MODELS[wire], "--base-url", url)
    return main(["judges", "probe", "pairwise-letter", *model, "--limit", str(limit), "--price", "1,1", *words])


def figures(text: str) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["probe"], one["figure"]): one for one in json.loads(text)["figures"]}


@pytest.mark.parametrize("wire", MODELS)
def test_a_judge_behind_a_server_is_probed_once(
    server: Loopback, wire: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert probe(server, "--json", wire=wire, limit=1) == 0
    first = figures(capsys.readouterr().out)
    asked = len(server.calls)
    # twelve probes, two opposites twice, a natural pair alone and in four manners, each in both orders
    assert asked == 2 * (12 + 4 + 1 + 4)
    assert (first["pad", "right"]["value"], first["truncate", "right"]["value"]) == (0, 100)
    assert first["labels", "same"]["value"] == first["direction", "same"]["value"] == 100
    # of two answers of one length it takes what is shown second
    assert first["order", "same"]["value"] == pytest.approx(100 * 15 / 17)
    assert probe(server, "--json", wire=wire, limit=1) == 0
    assert figures(capsys.readouterr().out) == first
    assert len(server.calls) == asked


def test_a_dry_run_asks_nothing_and_counts_all(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    assert probe(server, "--dry-run") == 0
    assert server.requests == 0
    said = capsys.readouterr().out
    assert "42 comparisons, 84 questions to judge pairwise-letter" in said
    assert "84 requests would go to openai/m" in said


def test_a_budget_ends_it_and_a_rerun_goes_on(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    assert probe(server, "--json", "--budget", "0.02", "--concurrency", "1") == 3
    some = len(server.calls)
    assert 0 < some < 84
    told = capsys.readouterr()
    assert "stopped: " in told.err
    assert "gave no verdict" not in told.out
    assert json.loads(told.out)["n_missing"] == 84 - some
    assert probe(server, "--json") == 0
    assert len(server.calls) == 84
    assert json.loads(capsys.readouterr().out)["n_missing"] == 0


def test_what_has_no_verdict_is_missing_and_not_scored(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def mute(call: Call) -> str:
        return "I cannot say." if "Thank you for this question." in call.prompt else long_winded(call)

    monkeypatch.setattr(loopback, "reply", mute)
    assert probe(server, "--json") == 4
    found = figures(capsys.readouterr().out)
    assert (found["constant", "right"]["n_pairs"], found["constant", "right"]["n_missing"]) == (0, 2)
    assert found["constant", "right"]["value"] is None
    assert found["pad", "right"]["n_missing"] == 0


def test_a_recording_of_the_verdicts_gives_the_same_card(
    server: Loopback, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "verdicts.jsonl"
    assert probe(server, "--json", "--verdicts", str(record)) == 0
    first = figures(capsys.readouterr().out)
    asked = len(server.calls)
    replayed = ["--model", f"replay/{record}", "--limit", "2", "--json"]
    assert main(["judges", "probe", "pairwise-letter", *replayed]) == 0
    assert figures(capsys.readouterr().out) == first
    assert len(server.calls) == asked


@pytest.mark.parametrize("suffix", ["csv", "json", "md"])
def test_the_card_is_a_file_too(tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"card.{suffix}"
    assert main(["judges", "probe", "longest", "-o", str(path)]) == 0
    text = path.read_text("utf-8")
    if suffix == "csv":
        rows = {row["probe"]: row for row in csv.DictReader(text.splitlines())}
        assert (rows["pad"]["value"], rows["pad"]["finding"]) == ("0.0", "fooled")
    elif suffix == "json":
        assert json.loads(text)["criteria_blind"] == ["principles", "contexts"]
    else:
        assert "fooled by: repeat, pad" in text
    assert "warning: judge: longest (a rule" in capsys.readouterr().err


def test_a_card_says_first_that_the_place_decides(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judges", "probe", "first"]) == 0
    told = capsys.readouterr().out
    assert "the place decides: most verdicts turn round" in told
    assert "\nfooled by" not in told
    assert re.search(r"^order: the two answers swapped +0 \[0, 17\]", told, re.M)
    assert main(["judges", "probe", "longest", "--limit", "6"]) == 0
    assert "the place decides" not in capsys.readouterr().out


def test_the_card_fits_a_terminal_of_80_columns() -> None:
    from simfarm.report.probed import probed_sheet
    from simfarm.report.tables import table_lines

    def follow(run: Any, records: Sequence[Any]) -> Iterable[Any]:
        return run.results(records)

    found = Prober(bundled_outputs(), JudgeOptions(judge="longest"), RunOptions(), follow).probed()[0]
    for part in probed_sheet(found).parts:
        lines, narrow = table_lines(part.headings, part.rows, 80, part.least)
        assert narrow == []
        assert not any("…" in line for line in lines)
        assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("longest", "--outputs", "missing.json"), "missing.json"),
        (("longest", "--outputs", str(ROOT / "examples" / "labels.jsonl")), "outputs are needed here"),
        (("longest", "--along", "clarity"), "--along is for twins; add --twins SPEC"),
        (("longest", "-o", "card.txt"), ".csv, .json or .md"),
        (("nobody",), "no judge 'nobody'"),
        (("longest", "--budget", "1"), "--budget"),
        (("rating-5",), "asks in the protocol rating; probes are pairs"),
        (("checklist-json",), "asks in the protocol rating; probes are pairs"),
        (("ranking-letter",), "asks in the protocol ranking; probes are pairs"),
    ],
)
def test_what_cannot_be_is_one_line(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judges", "probe", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_short_outputs_are_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "short.jsonl"
    rows = [{"instruction": f"Question {k}?", "output": f"Yes, {k}.", "generator": "m"} for k in range(5)]
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert main(["judges", "probe", "longest", "--outputs", str(path)]) == 0
    told = capsys.readouterr()
    assert "not made: drop-item for 5, truncate for 5, repeat for 5, principles for 5, contexts for 5" in told.err
    assert "drop-item" not in told.out


# --- twins


class Rewriter:
    """A backend in this process that makes a twin of whatever it is shown."""

    name, base_url, in_process, concurrency, model = "rewriter", None, True, 4, "rewriter-1"

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.asked: list[Request] = []

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        pass

    def most_tokens(self, request: Request) -> int | None:
        return 10

    async def close(self) -> None:
        pass

    async def complete(self, request: Request) -> Completion:
        self.asked.append(request)
        asked = request.messages[1]["content"]
        said = f"<rewritten>{'Longer. ' * 400 if 'clearly better' in asked else 'Bad.'}</rewritten>"
        return Completion(
            "No." if self.fault else said, input_tokens=1, output_tokens=10, model=self.model, seconds=0.0
        )


def follow(run: Any, records: Sequence[Any]) -> Iterable[Any]:
    return run.results(records)


def test_a_model_makes_twins_and_the_judge_is_asked_about_them() -> None:
    model = Rewriter()
    judging = JudgeOptions(judge="longest")
    outputs = bundled_outputs(3)
    found, _ = Prober(outputs, judging, RunOptions(), follow, twins=model, respects=("clarity", "tone")).probed()
    assert len(model.asked) == 3 * 2 * 2
    made = {one.probe.title: one for one in found.tried if one.probe.kind == "twins"}
    assert list(made) == [f"{r}, by a model: {way}" for way in ("degraded", "improved") for r in ("clarity", "tone")]
    assert all((one.right.value, one.n) == (1, 3) for one in made.values())
    again = Rewriter()
    Prober(outputs, judging, RunOptions(), follow, twins=again, respects=("clarity", "tone")).probed()
    assert not again.asked


def test_a_twin_that_was_not_made_is_missing() -> None:
    prober = Prober(bundled_outputs(2), JudgeOptions(judge="longest"), RunOptions(), follow, twins=Rewriter("mute"))
    found, _ = prober.probed()
    assert prober.missing == 4
    assert any("no reply 4×" in note for note in prober.notes)
    assert not any(one.probe.kind == "twins" for one in found.tried)


def test_twins_and_verdicts_share_a_budget(server: Loopback) -> None:
    running = RunOptions(base_url=f"{server.url}/v1", budget=0.1, price=(1.0, 1.0))
    prober = Prober(bundled_outputs(2), JudgeOptions(judge="pairwise-letter", model="openai/m"), running, follow)
    prober.took.cost = 0.1
    with pytest.raises(BudgetError, match="used up"):
        prober.probed()
    assert server.requests == 0


def test_a_budget_that_ends_among_the_twins_keeps_them_and_asks_no_judge() -> None:
    paid = Rewriter()
    paid.in_process, paid.concurrency = False, 1
    running = RunOptions(budget=3.5e-3, price=(1.0, 100.0), concurrency=1)
    prober = Prober(bundled_outputs(2), JudgeOptions(judge="longest"), running, follow, twins=paid)
    with pytest.raises(BudgetError, match="what was answered is kept: run it again with a larger budget"):
        prober.probed()
    assert 0 < len(paid.asked) < 4
    again = Rewriter()
    Prober(bundled_outputs(2), JudgeOptions(judge="longest"), RunOptions(), follow, twins=again).probed()
    assert len(paid.asked) + len(again.asked) == 4


def test_no_twin_is_paid_for_beside_a_judge_that_cannot_be_asked() -> None:
    model = Rewriter()
    for judge in ("rating-5", "crowd"):
        with pytest.raises(InputError):
            Prober(bundled_outputs(2), JudgeOptions(judge=judge), RunOptions(), follow, twins=model).probed()
    assert not model.asked


# --- stress


def examples(name: str) -> str:
    return str(ROOT / "examples" / "outputs" / f"{name}.json")


def test_the_price_of_a_trick_is_paired_and_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["surface", "longest", "--outputs", examples("smollm2-135m-concise")]
    words += ["--baseline", examples("smollm2-135m"), "--limit", "12", "--json"]
    assert main(["judges", "stress", *words]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["model"], record["baseline"], record["n_outputs"]) == ("smollm2-135m-concise", "smollm2-135m", 12)
    found = {(one["judge"], one["trick"]): one for one in record["prices"]}
    assert len(found) == 2 * len(TRICKS)
    for judge in ("surface", "longest"):
        assert found[judge, "padded"]["gain"] > 0
        assert found[judge, "constant"]["flags"] == "constant-output"
        assert "speaks-to-judge" in found[judge, "to the judge"]["flags"]
        assert found[judge, "padded"]["flags"] == ""
    assert found["longest", "padded"]["gain_low"] <= found["longest", "padded"]["gain"]


def test_without_a_baseline_the_price_is_over_the_plain_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judges", "stress", "longest", "--outputs", examples("qwen2.5-coder-1.5b"), "--limit", "10"]) == 0
    told = capsys.readouterr()
    assert "in points over the outputs as they are · 10 outputs" in told.out
    assert re.search(r"^padded +\+50\.0 \[", told.out, re.M)
    assert "no length-controlled win rate" in told.err


def test_stress_is_asked_through_the_store(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["judges", "stress", "longest", "pairwise-letter", "--outputs", examples("restater"), "--limit", "3"]
    words += ["--model", "openai/m", "--base-url", f"{server.url}/v1", "--price", "1,1"]
    assert main([*words, "--dry-run"]) == 0
    assert server.requests == 0
    assert "no model is asked" in capsys.readouterr().out
    assert main(words) == 0
    asked = len(server.calls)
    assert asked == 2 * 3 * len(TRICKS)
    assert main(words) == 0
    assert len(server.calls) == asked


def test_a_budget_that_is_gone_stops_before_the_next_judge(server: Loopback) -> None:
    running = RunOptions(base_url=f"{server.url}/v1", budget=0.001, price=(1.0, 1.0), concurrency=1)
    outputs = [one for one in bundled_outputs(3) if one.generator == "careful"]
    stress = Stress(["pairwise-letter"], outputs, None, JudgeOptions(model="openai/m"), running, follow)
    found = stress.stressed()
    assert stress.runs[0].tallies.exit_status == 3
    assert found.judges[0].missing == 2 * 3 * len(TRICKS) - len(server.calls)
    stress.took.cost = 0.001
    with pytest.raises(BudgetError, match="used up"):
        stress.stressed()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("longest", "--outputs", *map(examples, ("restater", "smollm2-135m"))), "the outputs are of 2 models"),
        (("longest", "--outputs", examples("restater"), "--baseline", "nobody"), "nobody"),
        (("longest",), "--outputs"),
    ],
)
def test_stress_refuses_what_it_cannot_price(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(["judges", "stress", *words])
    except SystemExit as left:
        status = int(str(left.code))
    assert status == 2
    assert said in capsys.readouterr().err


def test_a_trick_that_changes_nothing_is_left_out() -> None:
    with pytest.raises(InputError, match="all are empty"):
        Stress(["longest"], [Output("Q?", "", "m")], None, JudgeOptions(), RunOptions(), follow)
    plain = [Output(f"Question {k}?", "no", "m") for k in range(3)]
    stress = Stress(["longest"], plain, None, JudgeOptions(), RunOptions(), follow)
    assert set(stress.changed) == {f"m+{trick}" for trick in TRICKS} - {"m+bold", "m+lists"}
    assert {one.generator for one in dressed(plain)} == {f"m+{trick}" for trick in TRICKS}


def test_prices_of_a_planted_judge_are_found() -> None:
    """A judge that gives a trick so many points more on each instruction."""
    from simfarm.data.frames import frame_verdicts

    worth = dict(zip(TRICKS, (0.2, 0.0, 0.1, 0.0, 0.3, -0.2), strict=True))
    rows = []
    for k in range(120):
        base = 0.3 + 0.3 * ((k * 37) % 120) / 120
        for trick, more in {"": 0.0, **worth}.items():
            name = f"m+{trick}" if trick else "m"
            row = {"instruction": f"Question {k}?", "generator_1": "b", "generator_2": name, "annotator": "j"}
            lengths = {
                "length_1": 500 + 7 * (k % 13),
                "length_2": 500 + 11 * (k % 7) + (300 if trick == "padded" else 0),
            }
            rows.append(row | lengths | {"preference": 1 + base + more})
    verdicts = frame_verdicts(pd.DataFrame(rows), "planted")
    (found,) = prices([(load_one("longest"), verdicts, 0)], "m", "b")
    assert {one.trick: round(one.raw.value, 9) for one in found.prices} == worth
    assert all((one.p < 0.05) == (worth[one.trick] != 0) for one in found.prices)
    # six tricks are six tests: an edge of .03 alone is chance
    edge = [dict(row) for row in rows]
    for k, row in enumerate(row for row in edge if row["generator_2"] == "m+bold"):
        row["preference"] += 0.1 if k % 11 < 7 else -0.1
    (found,) = prices([(load_one("longest"), frame_verdicts(pd.DataFrame(edge), "planted"), 0)], "m", "b")
    bold = next(one for one in found.prices if one.trick == "bold")
    assert 0.001 < bold.raw.p_value() < 0.05 < bold.p
    assert found.rate is not None
    assert found.rate.value == pytest.approx(0.3 + 0.3 * 0.5, abs=0.01)
    assert all(one.controlled is not None for one in found.prices)
