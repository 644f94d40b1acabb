"""The Python functions: names, defaults and refusals of the command line; what they log and what they warn of."""

import argparse
import inspect
import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loopback import Loopback

import simfarm
from simfarm.cli import build_parser, main
from simfarm.data.files import read_rows, write_rows
from simfarm.judges import load_judge
from simfarm.judges.rules import banner, rule_of
from simfarm.settings.options import AGREEMENT, BRIDGE, BY_NAME, INPUT, JUDGING, PAIR, RANKING


def outputs(generator: str, n: int = 6) -> list[dict[str, Any]]:
    return [
        {"instruction": f"Question {i}?", "output": f"{generator} says {i}" * (1 + i % 3), "generator": generator}
        for i in range(n)
    ]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_rows(tmp_path / "m.json", outputs("model-m"))
    write_rows(tmp_path / "base.json", outputs("base"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "loopback")
    return tmp_path


def told(record: pytest.WarningsRecorder) -> list[str]:
    return [str(one.message) for one in record if issubclass(one.category, simfarm.SimfarmWarning)]


@pytest.mark.filterwarnings("ignore::simfarm.SimfarmWarning")
def test_compare_rejudge_and_select_do_what_the_verbs_do(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = {"generator_1": "base", "output_1": "a", "output_2": "b"}

    def verdicts(judge: str, wins: dict[str, int]) -> pd.DataFrame:
        return pd.DataFrame(
            pair | {"instruction": str(i), "generator_2": m, "annotator": judge, "preference": 2 if i % 10 < w else 1}
            for i in range(100)
            for m, w in wins.items()
        )

    one, two = verdicts("j", {"x": 8, "y": 2, "z": 5}), verdicts("k", {"x": 2, "y": 8, "z": 5})
    row = simfarm.compare(one, "x", "y", length_control="none").to_dict("records")[0]
    assert (row["value"], row["real"], row["n_instructions"], row["length_control"]) == (
        pytest.approx(60),
        True,
        100,
        None,
    )
    assert row["low"] < 60 < row["high"]
    same = simfarm.compare(one.assign(preference=2), "x", "base", length_control="none").to_dict("records")[0]
    assert 45 < same["low"] < same["value"] == same["high"] == 50
    assert same["p_value"] < 1e-15
    found = simfarm.rejudge(one, two)
    assert (found.spearman, len(found.flips)) == (-1.0, 3)
    samples = [r | {"sample": s, "output": r["output"] * (1 + s), "gold": s} for r in outputs("m") for s in range(3)]
    write_rows("s.jsonl", samples)
    for options, command in (
        ({"method": "longest"}, ["--method", "longest"]),
        ({"method": "oracle", "score": "gold"}, ["--method", "oracle", "--score", "gold"]),
        (
            {"method": "best-of-n", "baseline": "base.json", "judge": "longest"},
            ["--method", "best-of-n", "--baseline", "base.json", "--judge", "longest"],
        ),
        ({"method": "win-share", "judge": "surface"}, ["--method", "win-share", "--judge", "surface"]),
    ):
        chosen = simfarm.select("s.jsonl", **options)  # type: ignore[arg-type]
        assert main(["select", "s.jsonl", *command, "-o", "c.jsonl"]) == 0
        assert chosen["output"].tolist() == [row["output"] for row in read_rows("c.jsonl")]
        assert chosen["generator"].tolist() == [row["generator"] for row in read_rows("c.jsonl")]
    curve = simfarm.select("s.jsonl", "longest", gold="gold").attrs["curve"]
    assert [row["n"] for row in curve] == [1, 2, 3]


def options_of(verb: str) -> dict[str, Any]:
    """The options of a verb and their defaults; one that may be repeated has none."""
    parser = build_parser()
    (verbs,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return {action.dest: action.default or None for action in verbs.choices[verb]._actions}


SPOKEN = {
    "help": "documentation strings are that",
    "debug": "an exception has its traceback",
    "quiet": "remarks are logged, and warnings can be filtered",
    "json": "a table has to_json, and so has an Evaluation",
    "output": "what a function gives can be written",
    "dry_run": "it prints what would be asked",
}
CLUSTER = {"cluster": "", "workers": "", "gpus_per_worker": "", "ray_address": "", "partition_rows": ""}
THERE_ALONE = {
    "generate": CLUSTER | {"thinking": "template_args has it as the template names it"},
    "annotate": CLUSTER,
    "evaluate": {"add_to": "a kept board's manifest tells by which command it was made"},
    "evaluation": {"add_to": "a kept board's manifest tells by which command it was made"},
    "select": {"curve": "the curve is in the result's attrs"},
}


@pytest.mark.parametrize(
    ("function", "verb"),
    [
        (simfarm.generate, "generate"),
        (simfarm.annotate, "annotate"),
        (simfarm.evaluate, "evaluate"),
        (simfarm.evaluation, "evaluate"),
        (simfarm.compare, "compare"),
        (simfarm.rejudge, "rejudge"),
        (simfarm.report_card, "agreement"),
        (simfarm.fidelity, "fidelity"),
        (simfarm.calibrate, "calibrate"),
        (simfarm.select, "select"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_option_of_the_verb_is_a_keyword(function: Callable[..., Any], verb: str) -> None:
    known = inspect.signature(function).parameters
    assert not [p for p in known.values() if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    there = options_of(verb)
    for name in SPOKEN | THERE_ALONE.get(function.__name__, {}):
        there.pop(name, None)
    assert {"input" if name == "inputs" else name for name in known} == {
        "input" if name == "inputs" else name for name in there
    }
    defaults = {name: p.default or None for name, p in known.items() if p.default is not p.empty}
    assert defaults == {name: there[name] for name in defaults}
    given = {option.name: option for option in (*JUDGING, *PAIR, *BRIDGE, *INPUT, *RANKING, *AGREEMENT)}
    if verb not in ("generate", "select", "fidelity", "calibrate"):
        assert all((given[name].default or None) == default for name, default in defaults.items())


def test_every_verb_spells_an_option_as_the_table_does() -> None:
    parser = build_parser()
    (verbs,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    for verb in verbs.choices.values():
        for action in verb._actions:
            if action.dest in BY_NAME and action.option_strings:
                assert action.option_strings == [BY_NAME[action.dest].spelling]


@pytest.mark.parametrize(
    ("function", "typo", "right"),
    [
        (simfarm.annotate, "concurency", "concurrency"),
        (simfarm.annotate, "modle", "model"),
        (simfarm.evaluate, "lenght_control", "length_control"),
        (simfarm.generate, "max_token", "max_tokens"),
        (simfarm.compare, "lvl", "level"),
        (simfarm.rejudge, "base_line", "baseline"),
        (simfarm.report_card, "humans", "human"),
        (simfarm.fidelity, "annotation", "annotations"),
        (simfarm.calibrate, "humans", "human"),
        (simfarm.select, "methode", "method"),
    ],
)
def test_a_typo_names_the_right_word(function: Callable[..., Any], typo: str, right: str) -> None:
    with pytest.raises(TypeError, match=rf"{function.__name__}\(\) has no option '{typo}'; did you mean '{right}'"):
        function("m.json", **{typo: 1})


def test_routine_lines_are_logged_and_warnings_warned_of(files: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="simfarm")
    with Loopback() as server, warnings.catch_warnings():
        warnings.simplefilter("error", simfarm.SimfarmWarning)
        simfarm.annotate(
            "m.json", baseline="base.json", judge="pairwise-reasoned", base_url=f"{server.url}/v1", price=(1, 1)
        )
        simfarm.generate("m.json", "openai/m", base_url=f"{server.url}/v1")
    assert "12 annotations by pairwise-reasoned: 12 verdicts" in caplog.messages
    assert "6 outputs by m" in caplog.messages
    with Loopback(model="another-model") as server, pytest.warns(simfarm.SimfarmWarning, match="another") as record:
        simfarm.annotate("m.json", baseline="base.json", judge="pairwise-json", base_url=f"{server.url}/v1")
    assert {Path(one.filename).name for one in record} == {"test_api.py"}


def test_a_rule_says_what_it_is_in_python_and_on_the_command_line(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(
        "s.json", [row | {"sample": s, "output": f"{s} {row['output']}"} for row in outputs("m") for s in (0, 1)]
    )
    Path("mine.yaml").write_text("protocol: pairwise\nrule: surface\ndescription: a copy\n")
    for judge, rule in (("surface", "surface"), (None, "surface"), ("mine.yaml", "surface"), ("first", "first")):
        with pytest.warns(simfarm.SimfarmWarning) as record:
            verdicts = simfarm.annotate("m.json", baseline="base.json", judge=judge)
        assert banner(rule) in told(record)
        named = ["--judge", judge] if judge else []
        assert main(["annotate", "m.json", "--baseline", "base.json", *named, "-o", "a.jsonl"]) == 0
        assert banner(rule) in capsys.readouterr().err.splitlines()
        assert main(["evaluate", "a.jsonl"]) == 0
        assert banner(rule) in capsys.readouterr().out.replace("\n", " ")
        assert main(["select", "s.json", "--method", "win-share", *named, "-o", "c.jsonl"]) == 0
        assert banner(rule) in capsys.readouterr().err.splitlines()
        with pytest.warns(simfarm.SimfarmWarning) as record:
            simfarm.select("s.json", "win-share", judge=judge)
        assert banner(rule) in told(record)
        with pytest.warns(simfarm.SimfarmWarning) as record:
            simfarm.evaluate(verdicts)
        assert told(record).count(banner(rule)) == 1
        with pytest.warns(simfarm.SimfarmWarning) as record:
            simfarm.evaluate("m.json", baseline="base.json", judge=judge)
        assert told(record).count(banner(rule)) == 1


def test_a_judge_of_your_own_that_is_called_surface_is_no_rule(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"instruction": str(i), "generator_1": "b", "generator_2": "m", "annotator": "surface", "preference": 1 + i % 2}
        for i in range(6)
    ]
    write_rows("a.jsonl", [row | {"judge_hash": "0123456789abcdef"} for row in rows])
    assert main(["evaluate", "a.jsonl"]) == 0
    assert "reads no meaning" not in capsys.readouterr().out
    write_rows("a.jsonl", rows)
    assert main(["evaluate", "a.jsonl"]) == 0
    assert "reads no meaning" in capsys.readouterr().out
    assert rule_of("anything", load_judge("longest").replace(order="fixed").hash) == "longest"
    assert rule_of("gpt", load_judge("pairwise-json").hash) is None


def test_the_same_refusals_in_both_spellings(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(simfarm.SimfarmWarning):
        simfarm.annotate("m.json", baseline="base.json").to_json("a.jsonl", orient="records", lines=True)
    pairs = {"baseline": "base.json"}
    for function, options, command, said in (
        (simfarm.evaluate, {"price": (1, 2)}, ["--price", "1,2"], "is for asking a judge"),
        (simfarm.evaluate, {"rpm": 3}, ["--rpm", "3"], "is for asking a judge"),
        (simfarm.evaluate, {"tpm": 3}, ["--tpm", "3"], "is for asking a judge"),
        (simfarm.evaluate, {"timeout": 3}, ["--timeout", "3"], "is for asking a judge"),
        (simfarm.evaluate, {"concurrency": 3}, ["--concurrency", "3"], "is for asking a judge"),
        (simfarm.evaluate, {"store": "s"}, ["--store", "s"], "is for asking a judge"),
        (simfarm.evaluate, {"order": "fixed"}, ["--order", "fixed"], "is for asking a judge"),
        (simfarm.evaluate, {"repeats": 2}, ["--repeats", "2"], "is for asking a judge"),
        (simfarm.evaluate, {"top_p": 0.5}, ["--top-p", "0.5"], "is for asking a judge"),
        (simfarm.evaluate, {"lc_data": "."}, ["--lc-data", "."], "alpaca-eval-2"),
        (simfarm.annotate, pairs | {"budget": 1}, ["--budget", "1"], "follows a rule and asks no model"),
        (simfarm.annotate, pairs | {"max_tokens": 9}, ["--max-tokens", "9"], "follows a rule and asks no model"),
        (simfarm.annotate, pairs | {"store": "s"}, ["--store", "s"], "follows a rule and asks no model"),
        (simfarm.annotate, pairs | {"retry_unparseable": True}, ["--retry-unparseable"], "follows a rule"),
        (simfarm.annotate, pairs | {"model": "openai/x"}, ["--model", "openai/x"], "pairwise-reasoned"),
    ):
        given = "a.jsonl" if function is simfarm.evaluate else "m.json"
        (name,) = {*options} - {"baseline"}  # type: ignore[misc]
        with pytest.raises(simfarm.InputError) as error:
            function(given, **options)  # type: ignore[arg-type]
        assert str(error.value).startswith(name)
        assert said in str(error.value)
        more = ["--baseline", "base.json"] if function is simfarm.annotate else []
        assert main([function.__name__, given, *more, *command]) == 2
        line = capsys.readouterr().err
        assert line.startswith(f"simfarm: --{name.replace('_', '-')}")
        assert said in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"budget": -1}, "budget is -1; it must be a number above 0"),
        ({"rpm": float("nan")}, "rpm is nan"),
        ({"timeout": "5"}, "timeout is '5'"),
        ({"price": (1,)}, "price is"),
        ({"price": (1, -2)}, "price is"),
        ({"limit": 0}, "limit is 0"),
        ({"repeats": 0}, "repeats is 0"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"temperature": 3}, "temperature: must be a number from 0 to 2"),
        ({"top_p": 0}, "top_p: must be a number above 0"),
        ({"max_tokens": 0}, "max_tokens: must be a whole number from 1"),
    ],
)
def test_numbers_that_make_no_sense(files: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(simfarm.InputError, match=said.replace("(", r"\(")):
        simfarm.annotate("m.json", baseline="base.json", judge="pairwise-json", **options)


@pytest.mark.parametrize(
    ("function", "spellings", "will_do"),
    [
        ("annotate", ({"repeats": 0}, ["--repeats", "0"]), "a whole number of at least 1"),
        ("annotate", ({"concurrency": 0}, ["--concurrency", "0"]), "a whole number of at least 1"),
        ("annotate", ({"rpm": -1}, ["--rpm=-1"]), "a number above 0"),
        ("annotate", ({"timeout": float("inf")}, ["--timeout", "inf"]), "a number above 0"),
        ("annotate", ({"price": (1, -1)}, ["--price", "1,-1"]), "dollars a million tokens"),
        ("evaluate", ({"level": 95}, ["--level", "95"]), "from 0.5 to 0.9999, for example 0.95"),
        ("compare", ({"level": 0.1}, ["--level", "0.1"]), "from 0.5 to 0.9999, for example 0.95"),
        ("rejudge", ({"level": 0.999999999999}, ["--level", "0.999999999999"]), "from 0.5 to 0.9999, for example 0.95"),
        ("evaluate", ({"rank": "best"}, ["--rank", "best"]), "lottery"),
        ("evaluate", ({"length_control": "jiont"}, ["--length-control", "jiont"]), "alpaca-eval-2"),
        ("compare", ({"length_control": "jiont"}, ["--length-control", "jiont"]), "alpaca-eval-2"),
        ("evaluate", ({"human": ""}, ["--human", ""]), "is empty; give it a value or leave it out"),
        ("evaluate", ({"control": ""}, ["--control", ""]), "is empty; give it a value or leave it out"),
        ("evaluate", ({"board": "nobody"}, ["--board", "nobody"]), "no such board; there is alpaca-eval-2"),
        ("evaluate", ({"control": "colour"}, ["--control", "colour"]), "no style feature 'colour'"),
        (
            "evaluate",
            ({"rank": "lottery", "breakdown": True}, ["--breakdown", "--rank", "lottery"]),
            "needs win rates over a baseline; give",
        ),
        (
            "evaluate",
            ({"rank": "lottery", "baseline": "base"}, ["--rank", "lottery", "--baseline", "base"]),
            "needs none",
        ),
        ("annotate", ({"limit": 0}, ["--limit", "0"]), "a whole number of at least 1"),
        ("select", ({"method": "best"}, ["--method", "best"]), "win-share"),
        (
            "select",
            ({"method": "random", "gold": "g", "level": 2}, ["--method", "random", "--gold", "g", "--level", "2"]),
            "from 0.5 to 0.9999, for example 0.95",
        ),
        ("select", ({"method": "random", "n": 0}, ["--method", "random", "--n", "0"]), "a whole number of at least 1"),
    ],
    ids=lambda value: " ".join(value[1]) if isinstance(value, tuple) else "",
)
def test_a_wrong_value_is_refused_alike(
    function: str,
    spellings: tuple[dict[str, Any], list[str]],
    will_do: str,
    files: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pair = {"generator_1": "base", "generator_2": "m", "output_1": "a", "output_2": "b"}
    write_rows("v.jsonl", [pair | {"instruction": str(i), "preference": 1 + i % 2} for i in range(6)])
    inputs = {"annotate": ["m.json"], "rejudge": ["v.jsonl", "m.json"], "compare": ["v.jsonl", "m", "base"]}
    options, command = spellings
    given = inputs.get(function, ["v.jsonl"])
    with pytest.raises(simfarm.InputError) as error:
        getattr(simfarm, function)(*given, **options)
    try:
        status = main([function, *given, *command])
    except SystemExit as stopped:
        status = int(str(stopped.code))
    line = capsys.readouterr().err
    assert (status, line.count("\n")) == (2, 1)
    assert will_do in str(error.value)
    assert will_do in line
    assert "--" not in str(error.value)


def test_numbers_of_numpy_are_numbers_and_none_is_not_given(files: Path) -> None:
    options: dict[str, Any] = {"limit": np.int64(2), "repeats": None, "concurrency": None}
    assert len(simfarm.annotate(["m.json"], baseline="base.json", judge="longest", **options)) == 2
    recorded = Path(__file__).parents[1] / "examples/recordings/pairwise-letter.jsonl.zst"
    asked = {"baseline": "base.json", "judge": "pairwise-letter", "model": f"replay/{recorded}", **options}
    assert set(simfarm.annotate(["m.json"], **asked)["repeat"]) == {0}
    with pytest.raises(simfarm.InputError, match="must be a whole number of at least 1"):
        simfarm.annotate(["m.json"], baseline="base.json", judge="longest", limit=np.int64(0))


@pytest.mark.parametrize("model", [None, 3])
def test_a_model_that_is_none_is_said_so(files: Path, model: Any) -> None:
    with pytest.raises(simfarm.InputError, match="the model is"):
        simfarm.generate(["m.json"], model)


@pytest.mark.parametrize("rows", ["abc", [1], ["a"]])
def test_what_is_no_row_is_not_written(tmp_path: Path, rows: Any) -> None:
    with pytest.raises(simfarm.InputError, match="no rows"):
        simfarm.write(tmp_path / "w.jsonl", rows)


def test_ratings_by_a_judge_that_reads_no_meaning_say_so(files: Path) -> None:
    with pytest.warns(simfarm.SimfarmWarning, match="reads no meaning"):
        simfarm.evaluate(["m.json"], baseline="base.json", rank="bradley-terry")
    rows = simfarm.annotate(["m.json"], baseline="base.json")
    with pytest.warns(simfarm.SimfarmWarning, match="reads no meaning"):
        simfarm.evaluate(rows, rank="bradley-terry")


def test_a_level_or_length_control_that_is_none(files: Path) -> None:
    for options, said in (
        ({"level": 95}, "level is 95"),
        ({"length_control": "jiont"}, "length_control 'jiont' is not known"),
        ({"length_control": ["none", "joint"]}, "length_control=none goes with no other"),
    ):
        with pytest.raises(simfarm.InputError, match=said):
            simfarm.evaluate("m.json", baseline="base.json", **options)  # type: ignore[arg-type]


def test_the_sampling_of_a_judge_changes_what_is_sent_and_its_hash(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Loopback() as server:
        asked = {"baseline": "base.json", "judge": "pairwise-reasoned", "model": "openai/judge-1", "limit": 1}
        asked["base_url"] = f"{server.url}/v1"
        own = simfarm.annotate("m.json", **asked)  # type: ignore[arg-type]
        other = simfarm.annotate("m.json", **asked, temperature=0.5, top_p=0.9, max_tokens=77)  # type: ignore[arg-type]
        assert set(own["judge_hash"]).isdisjoint(other["judge_hash"])
        sent = server.calls[-1].body
        assert (sent["temperature"], sent["top_p"]) == (0.5, 0.9)
        assert 77 in (sent.get("max_tokens"), sent.get("max_completion_tokens"))
        command = ["--judge", "pairwise-reasoned", "--model", "openai/judge-1", "--limit", "1", "-o", "a.jsonl"]
        command += ["--base-url", f"{server.url}/v1"]
        sampling = ["--temperature", "0.5", "--top-p", "0.9", "--max-tokens", "77"]
        received = server.received
        assert main(["annotate", "m.json", "--baseline", "base.json", *command, *sampling]) == 0
        assert server.received == received
    assert {row["judge_hash"] for row in read_rows("a.jsonl")} == set(other["judge_hash"])


def test_evaluate_ranks_controls_and_calibrates_as_the_command_line(tmp_path: Path) -> None:
    recorded = str(Path(__file__).parents[1] / "examples/recordings/pairwise-letter.jsonl.zst")
    verdicts = pd.DataFrame(simfarm.read(recorded))
    board = simfarm.evaluate(verdicts, control="length,markdown", length_control="none")
    assert {"style_controlled_winrate", "style_low", "style_slope_length"} <= set(board.columns)
    ratings = simfarm.evaluate(verdicts, rank="bradley-terry")
    written = tmp_path / "ratings.csv"
    assert main(["evaluate", recorded, "--rank", "bradley-terry", "-o", str(written)]) == 0
    pd.testing.assert_frame_equal(ratings, pd.read_csv(written), check_dtype=False, rtol=1e-9)
    labels = verdicts[verdicts["generator_2"] == "restater"].assign(annotator="people")
    calibrated = simfarm.evaluate(verdicts, human=labels, length_control="none").set_index("model")
    assert calibrated["human_winrate"].notna().to_dict()["restater"]
    with pytest.raises(simfarm.InputError, match="human needs win rates over a baseline"):
        simfarm.evaluate(verdicts, rank="lottery", human=labels)
    with pytest.raises(simfarm.InputError, match="no style feature 'foo'"):
        simfarm.evaluate(verdicts, control="foo")
    with pytest.raises(simfarm.InputError, match="has an empty name"):
        simfarm.evaluate("not-read.jsonl", control="foo,")
    with pytest.raises(simfarm.InputError, match="rank 'elo' is not known"):
        simfarm.evaluate("not-read.jsonl", rank="elo")


def test_an_evaluation_has_all_that_the_command_line_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = str(Path(__file__).parents[1] / "examples/recordings/pairwise-letter.jsonl.zst")
    verdicts = pd.DataFrame(simfarm.read(recorded))
    labels = tmp_path / "labels.jsonl"
    assert simfarm.write(labels, verdicts[verdicts["generator_2"] == "restater"].assign(annotator="people")) > 0
    asked = {"control": "length", "human": labels, "board": "alpaca-eval-2", "breakdown": True}
    evaluation = simfarm.evaluation(recorded, **asked)  # type: ignore[arg-type]
    (judge,) = (one.annotator for one in evaluation.boards)
    assert set(evaluation.styles) == set(evaluation.people) == set(evaluation.places) == {judge}
    command = ["evaluate", recorded, "--control", "length", "--human", str(labels), "--board", "alpaca-eval-2"]
    assert main([*command, "--breakdown", "--json", "-o", str(tmp_path / "b.csv")]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == json.loads(json.dumps(evaluation.to_json()))
    assert {line.removeprefix("warning: ") for line in said.err.splitlines() if line.startswith("warning")} == {
        *evaluation.warnings
    }
    table = simfarm.evaluate(recorded, **asked)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(table, evaluation.table)
    written = pd.read_csv(tmp_path / "b.csv").astype({"n_labelled": "Int64"}).fillna({"flags": ""})
    pd.testing.assert_frame_equal(table, written, check_dtype=False, rtol=1e-9)
    assert table.attrs["published"][judge]["models"] == evaluation.to_json()["published"]["models"]


def test_read_and_write_take_files_and_tables(tmp_path: Path) -> None:
    rows = outputs("m")
    assert simfarm.write(tmp_path / "a.jsonl.zst", rows) == simfarm.write(tmp_path / "b.csv", pd.DataFrame(rows)) == 6
    assert simfarm.read(tmp_path / "a.jsonl.zst") == simfarm.read(tmp_path / "b.csv") == rows
    assert simfarm.read([tmp_path / "a.jsonl.zst", pd.DataFrame(rows)]) == rows + rows
    with pytest.raises(simfarm.InputError, match="no such file"):
        simfarm.read(tmp_path / "nothing.json")
