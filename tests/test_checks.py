"""Everything that can be refused is refused before the first call, in one line that names the right remedy."""

import json
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback

import simfarm
from simfarm.cli import main
from simfarm.data.files import read_rows, write_rows


def outputs(generator: str, n: int = 40) -> list[dict[str, Any]]:
    return [
        {"instruction": f"Question {i}?", "output": f"{generator} says {i}" * (1 + i % 3), "generator": generator}
        for i in range(n)
    ]


def labels(n: int, generator: str = "model-m", **columns: Any) -> list[dict[str, Any]]:
    pair = {"generator_1": "base", "generator_2": generator}
    return [pair | {"instruction": f"Question {i}?", "preference": 1 + i % 2} | columns for i in range(n)]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_rows(tmp_path / "m.json", outputs("model-m"))
    write_rows(tmp_path / "base.json", outputs("base"))
    write_rows(tmp_path / "people.jsonl", labels(40))
    write_rows(tmp_path / "few.jsonl", labels(9))
    write_rows(tmp_path / "others.jsonl", labels(40, "stranger"))
    write_rows(tmp_path / "many.json", [row | {"sample": s} for row in outputs("model-m") for s in range(2)])
    (tmp_path / "words.csv").write_text("instruction,label\na,b\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "loopback")
    return tmp_path


LATE = [
    (["--human", "missing.csv"], "missing.csv: no such file"),
    (["--human", "words.csv"], "words.csv: holds no verdicts"),
    (["--human", "few.jsonl"], "at least 30 human labels"),
    (["--human", "others.jsonl"], "labels"),
    (["--human", ""], "--human is empty"),
    (["--control", "foo"], "no style feature 'foo'"),
    (["--control", ""], "--control is empty"),
    (["--add-to", "nodir/x"], "does not exist; make it first"),
    (["--add-to", "x", "--control", "length"], "in a run without it"),
    (["--add-to", "kept"], "kept.csv: was made with the annotator 'longest'"),
    (["--length-control", "alpaca-eval-2", "--lc-data", "."], "df_gamed.csv: no such file"),
    (["--length-control", "alpaca-eval-2", "--lc-data", "lc"], "not on AlpacaEval's 805 instructions"),
    (["--lc-data", "."], "--lc-data is for AlpacaEval's 805 instructions"),
    (["--length-control", "joint", "--lc-data", "."], "--length-control alpaca-eval-2; add that"),
    (["--board", "arena"], "no such board; there is alpaca-eval-2"),
    (["--board", ""], "--board is empty"),
    (["--rank", "bradley-terry", "--breakdown"], "--breakdown needs win rates"),
    (["--rank", "lottery", "--control", "length"], "a lottery takes no covariates"),
    (["--rank", "bradley-terry", "--length-control", "joint"], "--length-control needs win rates"),
    (["--level", "1.5"], "is not a level"),
    (["-o", "nodir/b.csv"], "does not exist; make it first"),
    (["-o", "b.xlsx"], ".csv, .json or .md"),
    (["-o", "m.json"], "is an input as well"),
    (["-o", "-", "--json"], "both write to standard output"),
    (["--store", "m.json"], "cannot be used as a store"),
    (["--order", "sideways"], "invalid choice"),
    (["--temperature", "9"], "temperature: must be a number from 0 to 2"),
]


@pytest.mark.parametrize(("more", "said"), LATE, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
@pytest.mark.parametrize("dry", [False, True], ids=["run", "dry run"])
def test_evaluate_refuses_before_the_first_call(
    files: Path, more: list[str], said: str, dry: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("lc").mkdir()
    Path("lc/df_gamed.csv").write_text("index,std_delta_len,preference\n0,0.5,1\n1,-0.5,0\n")
    rows = "".join(f"{i},0.1\n" for i in range(805))
    Path("lc/instruction_difficulty.csv").write_text("index,instruction_difficulty\n" + rows)
    if "kept" in more:
        kept = ["evaluate", "m.json", "--baseline", "base.json", "--judge", "longest", "--add-to", "kept"]
        assert main(kept) == 0
    capsys.readouterr()
    with Loopback() as server:
        asked = ["evaluate", "m.json", "--baseline", "base.json", "--judge", "pairwise-reasoned"]
        command = [*asked, "--base-url", f"{server.url}/v1", "--price", "1,1", *more, *(["--dry-run"] if dry else [])]
        if dry and more[0] == "--store":
            command.remove("--dry-run")
        try:
            status = main(command)
        except SystemExit as stopped:
            status = int(str(stopped.code))
        told = capsys.readouterr()
        assert (status, told.out) == (2, "")
        assert said in told.err
        assert told.err.count("\n") == 1
        assert server.received == 0


def test_what_passes_the_rehearsal_runs(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Loopback() as server:
        asked = ["evaluate", "m.json", "--baseline", "base.json", "--judge", "pairwise-reasoned"]
        command = [*asked, "--base-url", f"{server.url}/v1", "--human", "people.jsonl", "--control", "length", "--json"]
        assert main(command) == 0
        assert server.answered >= 80
        board = json.loads(capsys.readouterr().out)
        assert board["annotator"] == "pairwise-reasoned"
        assert main([*asked, "--base-url", f"{server.url}/v1", "--add-to", "new"]) == 0
        assert main([*asked, "--base-url", f"{server.url}/v1", "--add-to", "new", "--dry-run"]) == 0
    assert {"new.csv", "new.json", "new.parquet"} <= {path.name for path in files.iterdir()}


def test_python_refuses_before_the_first_call(files: Path) -> None:
    with Loopback() as server:
        for options, said in (
            ({"length_control": "alpaca-eval-2", "lc_data": "."}, "df_gamed.csv"),
            ({"lc_data": "."}, "lc_data is for AlpacaEval's 805 instructions"),
            ({"panel": "people.jsonl"}, "panel was judged by 'unknown', the board by 'pairwise-reasoned'"),
            ({"limit": 1}, "all verdicts are about one instruction"),
        ):
            with pytest.raises(simfarm.InputError, match=said):
                simfarm.evaluate(
                    "m.json",
                    baseline="base.json",
                    judge="pairwise-reasoned",
                    base_url=f"{server.url}/v1",
                    **options,  # type: ignore[arg-type]
                )
        assert server.received == 0


OTHER = [
    (["annotate", "m.json", "--baseline", "base.json", "--model", "openai/gpt-4o"], "add --judge pairwise-reasoned"),
    (["annotate", "m.json", "--baseline", "base.json", "--judge", "first", "--top-p", "0.5"], "--top-p does nothing"),
    (["annotate", "m.json", "--baseline", "base.json", "-o", ""], "-o is empty"),
    (["annotate", "people.jsonl", "--baseline", "base.json"], "--baseline does nothing"),
    (["annotate", "people.jsonl", "--allow-missing"], "--allow-missing does nothing"),
    (["evaluate", "people.jsonl", "--price", "1,2"], "--price is for asking a judge"),
    (["evaluate", "people.jsonl", "--rank", "bradley-terry", "--baseline", "base"], "--baseline does nothing"),
    (["evaluate", "people.jsonl", "--breakdown", "--rank", "lottery"], "--breakdown needs win rates"),
    (["evaluate", "people.jsonl", "people.jsonl"], "is given twice"),
    (["compare", "people.jsonl", "base", "model-m", "--lc-data", "."], "--lc-data is for AlpacaEval's"),
    (["compare", "people.jsonl", "nofile.jsonl", "base", "model-m"], "nofile.jsonl: no such file"),
    (["compare", "*.nothing", "base", "model-m"], "no file matches"),
    (["rejudge", "people.jsonl", "./people.jsonl"], "is given twice"),
    (["rejudge", "people.jsonl", "nofile.jsonl"], "no such file"),
    (["rejudge", "people.jsonl", "few.jsonl", "--lc-data", "."], "unrecognized arguments"),
    (["generate", "m.json", "--model", "openai/x", "-o", "m.json"], "is an input as well"),
    (["generate", "m.json", "m.json", "--model", "openai/x"], "is given twice"),
    (["generate", "m.json", "--model", "openai/x", "--seed", "1", "--seed", "2"], "--seed is given twice"),
    (["select", "m.json", "--method", "longest", "-o", ""], "-o is empty"),
    (["select", "*.jsonl", "--method", "longest"], "select takes one"),
    (["select", "m.json", "--method", "longest", "--store", "x"], "--store does nothing with --method longest"),
    (["select", "many.json", "--method", "win-share", "--judge", "first", "--rpm", "3"], "--rpm does nothing"),
    (["show", "nofile.jsonl"], "no such file"),
    (["show", "few.jsonl", "few.jsonl"], "unrecognized arguments"),
    (["completion", "fish"], "invalid choice"),
]


@pytest.mark.parametrize(("command", "said"), OTHER, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_other_refusals_are_one_line(
    files: Path, command: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(command)
    except SystemExit as stopped:
        status = int(str(stopped.code))
    told = capsys.readouterr()
    assert (status, told.out) == (2, "")
    assert said in told.err
    assert told.err.count("\n") == 1


def test_a_row_refused_for_good_is_not_to_be_run_again(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Loopback() as server:
        asked = ["annotate", "m.json", "--baseline", "base.json", "--judge", "pairwise-reasoned", "-o", "a.jsonl"]
        server.plan.refuse = lambda call: "400" if "Question 3?" in call.prompt else None
        assert main([*asked, "--base-url", f"{server.url}/v1"]) == 4
    told = capsys.readouterr().err
    assert "2 error" in told
    assert "run the same command again" not in told


def test_quiet_leaves_the_answer_and_the_warnings(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows("gpt.json", [row | {"generator": "gpt-4o"} for row in outputs("m")])
    with Loopback() as server:
        asked = ["annotate", "gpt.json", "--baseline", "base.json", "--judge", "pairwise-reasoned", "--quiet"]
        assert main([*asked, "--base-url", f"{server.url}/v1", "-o", "a.jsonl"]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert [line[:9] for line in told.err.splitlines()] == ["warning: "]
    assert main(["show", "nofile.jsonl", "--quiet"]) == 2
    assert capsys.readouterr().err.startswith("simfarm: nofile.jsonl")
    assert len(read_rows("a.jsonl")) == 80


def test_simfarm_alone_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    for word in ("generate", "annotate", "evaluate", "rejudge", "store", "completion", "exit status"):
        assert word in told.out


def test_completion_knows_verbs_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab")
    for shell in ("bash", "zsh", "tcsh"):
        assert main(["completion", shell]) == 0
        told = capsys.readouterr().out
        assert "annotate" in told
        # tcsh completes the first word alone
        assert "--judge" in told or shell == "tcsh"


def test_completion_without_shtab_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "shtab", None)
    assert main(["completion", "bash"]) == 2
    assert "pip install 'simfarm[completion]'" in capsys.readouterr().err
