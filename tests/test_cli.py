"""The command line as a user meets it: real files, a real HTTP provider on loopback, exit statuses, bad input."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback

import simfarm
from simfarm.cli import main
from simfarm.data.files import read_rows, write_rows

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(str(p) for p in (ROOT / "examples" / "outputs").glob("*.json"))


def outputs(generator: str, n: int = 6, **columns: Any) -> list[dict[str, Any]]:
    return [
        {
            "instruction": f"Question {i}?",
            "output": f"{generator} says {i}" * (1 + i % 3),
            "generator": generator,
            **columns,
        }
        for i in range(n)
    ]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model's outputs and a baseline's, as the working directory, and a key that is none."""
    write_rows(tmp_path / "m.json", outputs("model-m"))
    write_rows(tmp_path / "base.json", outputs("base"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "loopback")
    return tmp_path


def asked(server: Loopback, *more: str) -> list[str]:
    return ["annotate", "m.json", "--baseline", "base.json", "--base-url", f"{server.url}/v1", "-o", "a.jsonl", *more]


def test_the_first_command_of_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", *EXAMPLES, "--baseline", "smollm2-135m"]) == 0
    told = capsys.readouterr().out
    for expected in ("length-controlled", "smollm2-135m-verbose", "for trying the farm, not for judging quality"):
        assert expected in told


def test_output_files_to_json_board(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "m.json", "--baseline", "base.json", "--judge", "longest", "--json"]) == 0
    board = json.loads(capsys.readouterr().out)
    (model,) = board["models"]
    assert model["model"] == "model-m"
    assert model["win_rate"] == 100.0
    assert model["n_total"] == 6


def test_board_files(files: Path) -> None:
    for name in ("b.csv", "b.json", "b.md"):
        assert main(["evaluate", "m.json", "--baseline", "base.json", "--judge", "random", "-o", name]) == 0
    assert (files / "b.csv").read_text().startswith("model,flags,win_rate,standard_error,win_rate_low,win_rate_high,")
    assert json.loads((files / "b.json").read_text())["models"][0]["annotator"] == "random"
    assert "| model-m |" in (files / "b.md").read_text()


@pytest.mark.parametrize("judge", ["pairwise-logprob", "pairwise-reasoned", "pairwise-json"])
def test_annotate_through_faults_then_from_the_store(
    files: Path, judge: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Loopback(fault_every=5) as server:
        assert main(asked(server, "--judge", judge)) == 0
        first = read_rows("a.jsonl")
        received = server.received
        assert main(asked(server, "--judge", judge)) == 0
        assert server.received == received
    assert read_rows("a.jsonl") == first
    assert [(r["instruction"], r["order"]) for r in first] == [
        (f"Question {i}?", order) for i in range(6) for order in ("12", "21")
    ]
    assert all(r["status"] == "verdict" and 1 <= r["preference"] <= 2 for r in first)
    assert len({r["judge_hash"] for r in first}) == 1
    told = capsys.readouterr().err
    assert "12 from the store" in told
    assert main(["evaluate", "a.jsonl"]) == 0


def test_a_prompt_that_is_always_refused_is_one_error_and_exit_4(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Loopback() as server:
        server.plan.refuse = lambda call: "400" if "Question 3?" in call.prompt else None
        assert main(asked(server, "--judge", "pairwise-reasoned")) == 4
        rows = read_rows("a.jsonl")
        assert [r["status"] for r in rows].count("error") == 2
        assert all(r["preference"] is None for r in rows if r["status"] == "error")
        received = server.received
        server.plan.refuse = lambda call: None
        assert main(asked(server, "--judge", "pairwise-reasoned")) == 0
        assert server.received == received + 2
    told = capsys.readouterr().err
    assert "2 error" in told
    assert "Question 3" not in told


def test_an_unreadable_judge_is_asked_again_at_most_three_times(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Loopback() as server:
        counts = []
        for _ in range(5):
            before = server.received
            assert main(asked(server, "--judge", "unreadable.yaml", "--limit", "1", "--order", "fixed")) == 4
            counts.append(server.received - before)
        again = server.received
        assert (
            main(asked(server, "--judge", "unreadable.yaml", "--limit", "1", "--order", "fixed", "--retry-unparseable"))
            == 4
        )
        counts.append(server.received - again)
        assert main(["annotate", *asked(server)[1:-2], "--judge", "unreadable.yaml", "--limit", "1", "--dry-run"]) == 0
    # each run: the question and one repair; three attempts in all, then only when asked to
    assert counts == [2, 2, 2, 0, 0, 2]
    assert "1 answer is in the store; 1 request would go" in capsys.readouterr().out
    (row,) = read_rows("a.jsonl")
    assert (row["status"], row["preference"]) == ("unparseable", None)
    assert len(row["raw_completion"]) == 2


@pytest.fixture(autouse=True)
def unreadable(tmp_path: Path) -> None:
    """A judge that looks for a label the provider never writes."""
    (tmp_path / "t.jinja").write_text(
        "{% block user %}{{ instruction }} {{ first }} {{ second }} [[A>>B]]?{% endblock %}"
    )
    (tmp_path / "unreadable.yaml").write_text(
        "protocol: pairwise\ntemplate: t.jinja\nmodel: openai/x\norder: both\ndescription: d\n"
        "verdict: {parser: label, delimiters: ['<<', '>>'], labels: {P: first, Q: second}}\nsampling: {max_tokens: 9}\n"
    )


def test_a_budget_stops_in_time_and_keeps_what_it_has(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Loopback() as server:
        more = ("--judge", "pairwise-logprob", "--price", "1000,1000", "--concurrency", "1")
        assert main(asked(server, *more, "--budget", "1")) == 3
        some = read_rows("a.jsonl")
        asked_for = [r for r in some if r["status"] == "verdict"]
        assert 0 < len(asked_for) < 12
        assert sum(r["price"] for r in asked_for) <= 1
        assert {r["error"] for r in some if r["status"] == "error"} == {"not asked: the budget was reached"}
        assert len(some) == 12
        assert main(asked(server, *more, "--budget", "100")) == 0
        assert len(read_rows("a.jsonl")) == 12
        assert max(server.asked.values()) == 1
    assert "budget" in capsys.readouterr().err


def test_a_dry_run_needs_no_key_and_asks_nothing(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    for verb in ("annotate", "evaluate"):
        assert main([verb, "m.json", "--baseline", "base.json", "--judge", "pairwise-logprob", "--dry-run"]) == 0
        told = capsys.readouterr().out
        assert "12 requests would go to openai/gpt-6-luna" in told
        assert "price at most $0.00" in told
        assert "$0.00 " not in told
    there = ["m.json", "--baseline", "base.json", "--judge", "pairwise-letter", "--base-url", "http://127.0.0.1:1/v1"]
    assert main(["annotate", *there, "--dry-run"]) == 0
    assert "price unknown (genai-prices " in capsys.readouterr().out
    assert not (files / "a.jsonl").exists()


def test_a_rejected_key_stops_at_once_and_is_not_shown(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "very-secret-value")
    with Loopback() as server:
        server.plan.refuse = lambda call: "401"
        assert main(asked(server, "--judge", "pairwise-reasoned", "--concurrency", "2")) == 2
        assert server.received <= 2
    told = capsys.readouterr().err
    assert "OPENAI_API_KEY" in told
    assert "very-secret-value" not in told


def test_identical_outputs_are_a_tie_without_a_call(files: Path) -> None:
    write_rows("twin.json", [row | {"generator": "twin"} for row in outputs("base")])
    with Loopback() as server:
        arguments = asked(server, "--judge", "pairwise-reasoned")
        arguments[1] = "twin.json"
        assert main(arguments) == 0
        assert server.received == 0
    assert [(r["preference"], r["status"], r["raw_completion"]) for r in read_rows("a.jsonl")] == [
        (1.5, "verdict", None)
    ] * 6


def test_warnings_of_the_first_day(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows("gpt.json", outputs("gpt-4o", finish_reason="length"))
    with Loopback() as server:
        arguments = asked(server, "--judge", "pairwise-reasoned")
        arguments[1] = "gpt.json"
        server.plan.model = "another-model"
        assert main(arguments) == 0
    told = capsys.readouterr().err
    assert "the judge and gpt-4o are of one family (OpenAI)" in told
    assert "6 outputs were cut off" in told
    assert "another-model" in told


def test_show_prints_what_a_person_reads(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["annotate", "m.json", "--baseline", "base.json", "--judge", "longest", "-o", "a.jsonl"]) == 0
    capsys.readouterr()
    assert main(["show", "a.jsonl", "-n", "2"]) == 0
    told = capsys.readouterr().out
    assert "Question 0?" in told
    assert "output 2 is preferred: model-m (2)" in told
    assert "4 more" in told
    assert main(["show", "a.jsonl", "--json", "-n", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["generator_2"] == "model-m"


def test_show_says_whose_label_it_is_and_that_noise_made_it(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "people.yaml").write_text(
        "description: two\nmembers:\n  - {name: ann, judge: longest}\nnoise: {flip: 0.49}\n", encoding="utf-8"
    )
    assert main(["annotate", "m.json", "--baseline", "base.json", "--judge", "people.yaml", "-o", "a.jsonl"]) == 0
    assert "judge: people, whose ann is a rule and reads no meaning" in capsys.readouterr().err
    rows = [json.loads(line) for line in (files / "a.jsonl").read_text("utf-8").splitlines()]
    assert main(["show", "a.jsonl"]) == 0
    heads = [line for line in capsys.readouterr().out.splitlines() if line.startswith("──")]
    assert all(" · person ann · " in head for head in heads)
    assert ["decided by noise" in head for head in heads] == [row["is_noised"] for row in rows]
    assert any(row["is_noised"] for row in rows)


def test_annotations_go_to_stdout_as_json_lines(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["annotate", "m.json", "--baseline", "base.json", "--judge", "longest"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [r["schema"] for r in rows] == [1] * 6


def test_a_dry_run_counts_the_attempt_that_comes_next(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Loopback() as server:
        more = ("--judge", "unreadable.yaml", "--limit", "1", "--order", "fixed")
        for expected in (1, 1, 1, 0):
            capsys.readouterr()
            assert main([*asked(server, *more), "--dry-run"]) == 0
            assert f"; {expected} request{'' if expected == 1 else 's'} would go" in capsys.readouterr().out
            assert main(asked(server, *more)) == 4
    assert "--retry-unparseable asks once more" in capsys.readouterr().err


def test_a_narrow_terminal_keeps_names_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "64")
    monkeypatch.setenv("TERM", "dumb")
    assert main(["evaluate", *EXAMPLES, "--baseline", "smollm2-135m"]) == 0
    told = capsys.readouterr().out
    assert "smollm2-135m-verbose" in told
    assert "not shown for want of width: length" in told


def test_names_that_look_like_markup_are_names(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("llama[/INST]", "llama [v1]", "[bold]x"):
        write_rows("odd.json", outputs(name, category="[/b]"))
        arguments = ["evaluate", "odd.json", "--baseline", "base.json", "--judge", "longest", "--breakdown"]
        assert main(arguments) == 0
        assert name in capsys.readouterr().out


def test_a_budget_that_allows_nothing_is_exit_3(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Loopback() as server:
        arguments = ["--base-url", f"{server.url}/v1", "--judge", "pairwise-logprob", "--price", "1,1"]
        assert main(["evaluate", "m.json", "--baseline", "base.json", *arguments, "--budget", "0.0000001"]) == 3
        assert server.received == 0
    assert "raise --budget" in capsys.readouterr().err


def test_comparisons_without_generators_go_all_the_way(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows("c.json", [{"instruction": str(i), "output_1": "a", "output_2": "b" * i} for i in range(6)])
    assert main(["annotate", "c.json", "--judge", "longest", "-o", "v.jsonl"]) == 0
    assert main(["evaluate", "v.jsonl"]) == 0
    assert "against output_1" in capsys.readouterr().out


def test_an_annotation_file_is_judged_once_a_pair(files: Path) -> None:
    with Loopback() as server:
        assert main(asked(server, "--judge", "pairwise-reasoned")) == 0
    assert len(read_rows("a.jsonl")) == 12
    assert main(["annotate", "a.jsonl", "--judge", "longest", "-o", "again.jsonl"]) == 0
    assert len(read_rows("again.jsonl")) == 6


def test_what_does_not_match_is_counted(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows("part.json", outputs("part", 4))
    arguments = ["annotate", "part.json", "--baseline", "base.json", "--judge", "longest", "-o", "a.jsonl"]
    assert main([*arguments, "--allow-missing"]) == 0
    assert "left out: 0 outputs without a baseline output, 2 baseline outputs" in capsys.readouterr().err


def test_python_functions_do_the_same(files: Path) -> None:
    import pandas as pd

    import simfarm

    verdicts = simfarm.annotate("m.json", baseline="base.json", judge="longest")
    board = simfarm.evaluate(verdicts)
    assert board["win_rate"].tolist() == [100.0]
    assert simfarm.evaluate(verdicts, length_control="none")["win_rate"].tolist() == [100.0]
    with pytest.raises(simfarm.InputError, match="judge is for asking a judge"):
        simfarm.evaluate(verdicts, judge="longest")
    with pytest.raises(TypeError, match="concurency"):
        simfarm.annotate("m.json", baseline="base.json", judge="longest", concurency=3)
    from_frames = simfarm.annotate(
        pd.DataFrame(outputs("model-m")), baseline=pd.DataFrame(outputs("base")), judge="longest"
    )
    pd.testing.assert_frame_equal(verdicts, from_frames)


BAD = [
    (["annotate", "nothing.json", "--baseline", "base.json"], "nothing.json: no such file"),
    (["annotate", "m.json"], "add --baseline FILE"),
    (["annotate", "m.json", "--baseline", "nobody"], "neither a file nor a generator"),
    (["annotate", "m.json", "--baseline", "base.json", "--judge", "pairwise-logprop"], "pairwise-logprob"),
    (["annotate", "m.json", "--baseline", "base.json", "--judge", "first", "--model", "openai/x"], "asks no model"),
    (["annotate", "m.json", "--baseline", "base.json", "--judge", "pairwise-json", "--model", "gpt-4"], "openai/"),
    (["annotate", "m.json", "--baseline", "base.json", "-o", "no/where.jsonl"], "does not exist"),
    (["annotate", "m.json", "--baseline", "base.json", "-o", "a.txt"], "unknown file format"),
    (["annotate", "m.json", "--baseline", "base.json", "--repeats", "0"], "not a whole number of at least 1"),
    (["annotate", "m.json", "--baseline", "base.json", "--budget", "-3"], "not a number above 0"),
    (["annotate", "m.json", "--baseline", "base.json", "--price", "3"], "not IN,OUT"),
    (["annotate", "short.json", "--baseline", "base.json"], "--allow-missing"),
    (
        ["annotate", "m.json", "--baseline", "base.json", "--judge", "pairwise-json", "--model", "replay/m.json"],
        "raw_comp",
    ),
    (["evaluate", "m.json"], "add --baseline FILE"),
    (["evaluate", "p_coded.jsonl"], "row 1 has the preference 0.25"),
    (["evaluate", "a.jsonl", "--baseline", "nobody"], "nobody"),
    (["evaluate", "a.jsonl", "m.json"], "one kind"),
    (["evaluate", "a.jsonl", "--level", "95"], "not a level"),
    (["evaluate", "a.jsonl", "--limit", "3"], "--limit is for asking a judge"),
    (["annotate", "m.json", "--baseline", "base.json", "--judge", "longest", "--repeats", "3"], "--repeats"),
    (["evaluate", "a.jsonl", "--rank", "lottery", "--control", "length"], "a lottery takes no covariates"),
    (["evaluate", "a.jsonl", "--rank", "bradley-terry", "--board", "alpaca-eval-2"], "--board needs win rates"),
    (["evaluate", "a.jsonl", "--control", "colour"], "no style feature 'colour'"),
    (["evaluate", "a.jsonl", "--human", "a.jsonl"], "at least 30 human labels"),
    (["evaluate", "a.jsonl", "--length-control", "alpaca-eval-2", "--lc-data", "."], "df_gamed.csv"),
    (["evaluate", "a.jsonl", "-o", "board.xlsx"], ".csv, .json or .md"),
    (["compare", "a.jsonl", "model-m", "nobody"], "it has base, model-m"),
    (["compare", "a.jsonl", "base", "base"], "compared with itself"),
    (["compare", "m.json", "base", "model-m"], "holds no verdicts"),
    (["evaluate", "one.jsonl"], "all verdicts are about one instruction"),
    (["evaluate", "one.jsonl", "--rank", "bradley-terry"], "at least two"),
    (["rejudge", "a.jsonl", "m.json"], "holds no verdicts"),
    (["rejudge", "a.jsonl", "other.jsonl"], "share no model"),
    (["show", "m.json"], "holds no verdicts"),
    (["judges", "show", "nobody"], "nobody"),
    (["frobnicate"], "invalid choice"),
]


@pytest.mark.parametrize(("arguments", "told"), BAD, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_bad_input_is_one_line_and_exit_2(
    files: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    write_rows("short.json", outputs("short", 3))
    pair = {"instruction": "i", "generator_1": "base", "generator_2": "model-m", "output_1": "a", "output_2": "b"}
    write_rows("p_coded.jsonl", [pair | {"preference": 0.25}])
    write_rows("a.jsonl", [pair | {"instruction": str(i), "preference": 1 + i % 2} for i in range(6)])
    write_rows("one.jsonl", [pair | {"preference": 1}])
    write_rows("other.jsonl", [pair | {"generator_2": "other", "preference": 1}])
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = int(str(stop.code))
    said = capsys.readouterr()
    assert status == 2, said.err
    assert said.err.startswith("simfarm: ")
    assert told in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_the_wheel_carries_judges_and_boards(tmp_path: Path) -> None:

    def run(*command: str) -> None:
        subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=True, capture_output=True)

    run("build", "--wheel", "--no-isolation", "-o", str(tmp_path))
    (wheel,) = tmp_path.glob("*.whl")
    target = tmp_path / "installed"
    run("pip", "install", "-q", "--no-deps", "--target", str(target), str(wheel))
    code = (
        f"import sys; sys.path.insert(0, {str(target)!r})\n"
        "import simfarm; from simfarm.resources import leaderboards_dir\n"
        "from simfarm.backends.http.retirements import retirements\n"
        "print(simfarm.__file__, leaderboards_dir().is_dir(), [j.name for j in simfarm.list_judges()])\n"
        "print('dated:', len(retirements()) > 150)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.startswith(str(target))
    names = [judge.name for judge in simfarm.list_judges()]
    assert len(names) > 20
    assert f"True {names}" in done.stdout
    assert "dated: True" in done.stdout


def test_compare_says_whether_a_difference_is_real(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = {"generator_1": "base", "output_1": "a", "output_2": "b", "annotator": "j"}
    rows = [
        pair | {"instruction": str(i), "generator_2": model, "preference": 2 if i % 10 < wins else 1}
        for i in range(100)
        for model, wins in (("good", 8), ("twin", 8), ("bad", 2))
    ]
    write_rows("v.jsonl", rows)
    assert main(["compare", "v.jsonl", "good", "bad", "--length-control", "none"]) == 0
    assert "good − bad = +60.0 points" in (told := capsys.readouterr().out)
    assert "100 instructions): the difference is real" in told
    assert main(["compare", "v.jsonl", "good", "base", "--length-control", "none"]) == 0
    assert "good − base = +30.0 points" in capsys.readouterr().out
    assert main(["compare", "v.jsonl", "good", "twin", "--length-control", "none"]) == 0
    assert "the difference may be chance" in capsys.readouterr().out


def test_rejudge_lists_the_models_that_change_sides(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = {"generator_1": "base", "output_1": "a", "output_2": "b", "annotator": "j"}
    for name, wins in (("a.jsonl", {"x": 8, "y": 2, "z": 5}), ("b.jsonl", {"x": 2, "y": 8, "z": 5})):
        write_rows(
            name,
            [
                pair | {"instruction": str(i), "generator_2": m, "preference": 2 if i * 7 % 10 < w else 1}
                for i in range(100)
                for m, w in wins.items()
            ],
        )
    assert main(["rejudge", "a.jsonl", "b.jsonl", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["spearman"] == -1.0
    assert {tuple(sorted((f["first"], f["second"]))) for f in found["flips"]} == {("x", "y"), ("x", "z"), ("y", "z")}
    assert found["mean_absolute_difference"] == pytest.approx(40.0)
    assert main(["rejudge", "a.jsonl", "b.jsonl"]) == 0
    assert "3 of 3 pairs of models change sides beyond noise" in capsys.readouterr().out


def test_a_password_in_the_address_is_not_shown(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Loopback() as server:
        address = server.url.replace("http://", "http://me:very-secret-value@")
        arguments = ["annotate", "m.json", "--baseline", "base.json", "--judge", "pairwise-reasoned", "-o", "a.jsonl"]
        assert main([*arguments, "--base-url", f"{address}/v1"]) == 2
    told = capsys.readouterr().err
    assert "leave them out" in told
    assert "very-secret-value" not in told


def test_a_model_that_never_met_the_baseline_is_named(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = {"output_1": "a", "output_2": "b", "preference": 1}
    met = [pair | {"instruction": str(i), "generator_1": "base", "generator_2": "m"} for i in range(5)]
    write_rows("v.jsonl", [*met, pair | {"instruction": "0", "generator_1": "m", "generator_2": "lost"}])
    assert main(["evaluate", "v.jsonl", "--baseline", "base"]) == 2
    assert "lost was never compared with the baseline base" in capsys.readouterr().err


def test_usage_names_the_options_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out.count("[options]") == 1
