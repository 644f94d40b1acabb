"""`simfarm select` as a user meets it: rule judges, a judge over HTTP with faults, controls, curves, bad input."""

import csv
import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from loopback import Call, Loopback
from tiny_model import build_tiny_model

from simfarm.cli import main
from simfarm.data.files import read_rows, write_rows
from simfarm.data.records import Output
from simfarm.judges import load_one
from simfarm.selection.contests import against_siblings

N, SAMPLES = 6, 4


def rows_of(generator: str = "model-m", n: int = SAMPLES, **columns: Any) -> list[dict[str, Any]]:
    draw = random.Random(generator)
    return [
        {
            "instruction": f"Question {i}?",
            "instruction_id": f"q{i}",
            "output": f"answer {s} to {i} " + "word " * draw.randint(1, 12),
            "generator": generator,
            "sample": s,
            "gold": draw.random(),
            "note": {"kept": [i, s]},
            **columns,
        }
        for i in range(N)
        for s in range(n)
    ]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model's samples and a baseline's outputs, as the working directory, and a key that is none."""
    write_rows(tmp_path / "s.jsonl", rows_of())
    write_rows(tmp_path / "base.json", rows_of("base", 1))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "loopback")
    return tmp_path


def select(*more: str) -> int:
    return main(["select", "s.jsonl", "-o", "c.jsonl", *more])


def by_instruction(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found = defaultdict(list)
    for row in rows:
        found[row["instruction"]].append(row)
    return found


def best(key: Any) -> list[str]:
    return [max(group, key=key)["output"] for group in by_instruction(read_rows("s.jsonl")).values()]


def test_the_chosen_row_is_an_output_that_evaluate_takes(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert select("--method", "oracle", "--score", "gold") == 0
    chosen = read_rows("c.jsonl")
    assert [r["instruction"] for r in chosen] == [f"Question {i}?" for i in range(N)]
    assert [r["output"] for r in chosen] == best(lambda r: r["gold"])
    for row in chosen:
        source = next(r for r in read_rows("s.jsonl") if r["output"] == row["output"])
        assert row["sample"] == 0
        assert row["selected_sample"] == source["sample"]
        assert row["note"] == source["note"]
        assert row["instruction_id"] == source["instruction_id"]
        assert row["generator"] == "model-m oracle-of-4 by gold"
        assert (row["selection_method"], row["selection_n"], row["selection_scored"]) == ("oracle by gold", 4, 4)
        assert row["selection_score"] == source["gold"]
        assert (row["selection_calls"], row["selection_input_tokens"]) == (0, 0)
    assert "chose 6 of 24 samples\ncost of choosing: no call" in capsys.readouterr().err
    assert main(["evaluate", "c.jsonl", "--baseline", "base.json", "--judge", "longest", "--json"]) == 0
    (model,) = json.loads(capsys.readouterr().out)["models"]
    assert (model["model"], model["n_total"]) == ("model-m oracle-of-4 by gold", N)


def test_every_rule_judge_chooses_as_it_must(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    longest = best(lambda r: len(r["output"]))
    for method in (
        ["--method", "longest"],
        ["--method", "win-share", "--judge", "longest"],
    ):
        assert select(*method) == 0
        assert [len(r["output"]) for r in read_rows("c.jsonl")] == [len(text) for text in longest]
    assert read_rows("c.jsonl")[0]["generator"] == "model-m win-share-of-4 by longest"
    # all three, one win and one loss in advance, or half of one where a sibling is as long
    assert read_rows("c.jsonl")[0]["selection_score"] in (0.8, 0.7)
    assert (read_rows("c.jsonl")[0]["selection_verdicts"], read_rows("c.jsonl")[0]["selection_rivals"]) == (3, None)
    assert select("--method", "best-of-n", "--baseline", "base.json", "--judge", "surface") == 0
    assert read_rows("c.jsonl")[0]["generator"] == "model-m best-of-4 by surface against base"
    assert (read_rows("c.jsonl")[0]["selection_verdicts"], read_rows("c.jsonl")[0]["selection_baseline"]) == (1, "base")
    assert "for trying the farm" in capsys.readouterr().err
    assert select("--method", "win-share", "--judge", "random", "--rivals", "2", "--generator", "mine") == 0
    first = read_rows("c.jsonl")
    assert {r["generator"] for r in first} == {"mine"}
    assert select("--method", "win-share", "--judge", "random", "--rivals", "2", "--generator", "mine") == 0
    assert read_rows("c.jsonl") == first
    assert f"{N * SAMPLES} annotations by random" in capsys.readouterr().err


def test_the_controls_need_no_judge(files: Path) -> None:
    chosen = {}
    for seed in ("0", "1", "2"):
        assert select("--method", "random", "--seed", seed) == 0
        chosen[seed] = [r["selected_sample"] for r in read_rows("c.jsonl")]
    assert len({tuple(picked) for picked in chosen.values()}) > 1
    assert select("--method", "random") == 0
    assert [r["selected_sample"] for r in read_rows("c.jsonl")] == chosen["0"]
    assert select("--method", "best-of-n", "--by", "gold", "--n", "2", "--limit", "3") == 0
    rows = read_rows("c.jsonl")
    assert len(rows) == 3
    assert {r["selection_n"] for r in rows} == {2}
    assert {r["generator"] for r in rows} == {"model-m best-of-2 by gold"}
    assert max(r["selected_sample"] for r in rows) < 2


@pytest.mark.parametrize("method", ["best-of-n", "win-share"])
def test_a_judge_through_faults_then_from_the_store(
    files: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Loopback(fault_every=7) as server:
        more = ["--method", method, "--judge", "pairwise-logprob", "--model", "openai/gpt-4.1-mini"]
        more += ["--base-url", f"{server.url}/v1"] + ["--baseline", "base.json"] * (method == "best-of-n")
        assert select(*more) == 0
        first, told = read_rows("c.jsonl"), capsys.readouterr().err
        received = server.received
        assert select(*more) == 0
        assert server.received == received
    calls = 2 * SAMPLES if method == "best-of-n" else SAMPLES * (SAMPLES - 1)
    assert read_rows("c.jsonl") == first
    assert [r["selection_calls"] for r in first] == [calls] * N
    assert all(r["selection_input_tokens"] > r["selection_output_tokens"] > 0 for r in first)
    assert "judge pairwise-logprob (" in first[0]["selection_method"]
    total = sum(r["selection_input_tokens"] for r in first)
    assert f"calls {calls * N} ({calls:.1f} an instruction), input tokens {total:,} (" in told
    assert f"{calls * N} new answers" in told
    assert f"0 new answers ($0.0000), {calls * N} from the store" in capsys.readouterr().err


def test_the_judges_favourite_is_chosen(files: Path) -> None:
    """Scores are the mean of both orders, as `annotate` records them."""
    asked = ["--judge", "pairwise-logprob", "--model", "openai/gpt-4.1-mini", "--baseline", "base.json"]
    with Loopback() as server:
        asked += ["--base-url", f"{server.url}/v1"]
        assert select("--method", "best-of-n", *asked) == 0
        received = server.received
        assert main(["annotate", "s.jsonl", *asked, "-o", "a.jsonl"]) == 0
        # the same questions: select has paid for them
        assert server.received == received
    preferences: dict[tuple[str, int], list[float]] = defaultdict(list)
    for row in read_rows("a.jsonl"):
        preferences[row["instruction"], row.get("sample") or 0].append(row["preference"] - 1)
    for row in read_rows("c.jsonl"):
        means = {s: sum(p) / 2 for (text, s), p in preferences.items() if text == row["instruction"]}
        assert row["selected_sample"] == max(means, key=means.__getitem__)
        assert row["selection_score"] == pytest.approx(max(means.values()))


def test_failed_calls_leave_no_score(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(call: Call) -> str | None:
        return "400" if "Question 0?" in call.prompt or "answer 2 to 3" in call.prompt else None

    more = ["--method", "best-of-n", "--judge", "pairwise-json", "--model", "openai/gpt-4.1", "--baseline", "base.json"]
    with Loopback(refuse=refuse) as server:
        assert select(*more, "--base-url", f"{server.url}/v1") == 4
        told = capsys.readouterr().err
        rows = read_rows("c.jsonl")
        assert [r["instruction"] for r in rows] == [f"Question {i}?" for i in range(1, N)]
        assert [r["selection_scored"] for r in rows] == [4, 4, 3, 4, 4]
        assert rows[2]["selected_sample"] != 2
        assert f"warning: {SAMPLES + 1} samples have no score" in told
        assert "left out 1 instruction," in told
        # the next run asks only what failed
        received = server.received
        server.plan.refuse = lambda call: None
        assert select(*more, "--base-url", f"{server.url}/v1") == 0
        assert server.received == received + 2 * (SAMPLES + 1)
    assert len(read_rows("c.jsonl")) == N


def test_a_judge_that_never_answers_in_form_chooses_nothing(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Loopback(refuse=lambda call: "refusal") as server:
        more = ["--judge", "pairwise-reasoned", "--model", "openai/gpt-4.1", "--base-url", f"{server.url}/v1"]
        assert select("--method", "win-share", "--n", "2", *more) == 4
    assert Path("c.jsonl").read_text() == ""
    assert f"left out {N} instructions" in capsys.readouterr().err


def test_a_budget_stop_writes_what_can_be_chosen(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--method", "best-of-n", "--judge", "pairwise-logprob", "--model", "openai/x", "--baseline", "base.json"]
    more += ["--price", "1000,1000", "--concurrency", "1"]
    with Loopback() as server:
        more += ["--base-url", f"{server.url}/v1"]
        assert select(*more, "--dry-run") == 0
        assert "48 requests would go to openai/x" in capsys.readouterr().out
        assert server.received == 0
        assert select(*more, "--budget", "0.01") == 3
        assert "no sample has a score yet; raise --budget" in capsys.readouterr().err
        assert select(*more, "--budget", "5") == 3
        assert 0 < server.received < 48
        some = read_rows("c.jsonl")
        assert 0 < len(some) < N
        assert select(*more) == 0
        assert server.received == 48
    assert len(read_rows("c.jsonl")) == N


def test_the_baseline_may_be_a_generator_of_the_file(files: Path) -> None:
    write_rows("s.jsonl", [*rows_of(), *rows_of("other", 3), *rows_of("base", 2)])
    assert select("--method", "best-of-n", "--judge", "longest", "--baseline", "base") == 0
    rows = read_rows("c.jsonl")
    assert [r["generator"] for r in rows[:N]] == ["model-m best-of-4 by longest against base"] * N
    assert [r["generator"] for r in rows[N:]] == ["other best-of-3 by longest against base"] * N


def test_a_part_of_the_instructions(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--method", "best-of-n", "--judge", "longest", "--baseline", "base.json"]
    assert select(*asked, "--limit", "2") == 0
    assert [r["instruction"] for r in read_rows("c.jsonl")] == ["Question 0?", "Question 1?"]
    write_rows("base.json", rows_of("base", 1)[1:])
    assert select(*asked) == 2
    assert "give --allow-missing" in capsys.readouterr().err
    assert select(*asked, "--allow-missing") == 0
    assert len(read_rows("c.jsonl")) == N - 1
    assert "left out 1 instruction," in capsys.readouterr().err


def test_fewer_samples_are_reported(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows("s.jsonl", [r for r in rows_of() if r["instruction"] != "Question 1?" or r["sample"] < 2])
    assert select("--method", "best-of-n", "--by", "gold", "--curve", "curve.csv") == 0
    told = capsys.readouterr().err
    assert "1 of 6 instructions with fewer than 4 samples by model-m (the fewest: 2)" in told
    assert "the curve of model-m rests on 6 instructions at n = 1 and on 5 at n = 4" in told
    assert [r["selection_n"] for r in read_rows("c.jsonl")] == [4, 2, 4, 4, 4, 4]
    with open("curve.csv") as file:
        assert [row["instructions"] for row in csv.DictReader(file)] == ["6", "6", "5", "5"]
    assert select("--method", "longest", "--n", "8") == 0
    assert "6 of 6 instructions with fewer than 8 samples" in capsys.readouterr().err
    assert {r["generator"] for r in read_rows("c.jsonl")} == {"model-m longest-of-4"}


def test_two_choices_from_one_file_are_two_generators(files: Path) -> None:
    """Boards are joined by the generator's name: what differs in the choice must differ in the name."""
    write_rows("other.json", rows_of("other", 1))
    write_rows("s.jsonl", [row | {"more": row["gold"] ** 2} for row in rows_of()])
    choices = [
        *(["--method", "random", "--seed", seed] for seed in ("0", "1")),
        *(["--method", "oracle", "--score", column] for column in ("gold", "more")),
        *(["--method", "win-share", "--judge", "longest", *more] for more in ([], ["--rivals", "2"])),
    ]
    with Loopback() as server:
        asked = ["--method", "best-of-n", "--judge", "pairwise-logprob", "--base-url", f"{server.url}/v1"]
        choices += [
            [*asked, "--model", model, "--baseline", base, *more]
            for model, base, more in (
                ("openai/gpt-4.1-mini", "base.json", []),
                ("openai/gpt-4.1", "base.json", []),
                ("openai/gpt-4.1", "other.json", []),
                ("openai/gpt-4.1", "base.json", ["--order", "fixed"]),
                ("openai/gpt-4.1", "base.json", ["--repeats", "2"]),
            )
        ]
        names = []
        for choice in choices:
            assert select(*choice) == 0
            names.append(read_rows("c.jsonl")[0]["generator"])
    assert len(set(names)) == len(names)
    assert names[0] == "model-m random-of-4 seed 0"
    assert names[5] == "model-m win-share-of-4 by longest 2 rivals"
    assert names[6] == "model-m best-of-4 by pairwise-logprob (openai/gpt-4.1-mini) against base"


def test_the_calls_of_all_attempts_are_the_cost(files: Path) -> None:
    """A judge that is first read in its second attempt: two questions in vain, and the one that is answered."""
    more = ["--method", "best-of-n", "--judge", "pairwise-reasoned", "--model", "openai/gpt-4.1", "--order", "fixed"]
    with Loopback(refuse=lambda call: "refusal") as server:
        more += ["--base-url", f"{server.url}/v1", "--baseline", "base.json"]
        assert select(*more) == 4
        assert server.received == 2 * N * SAMPLES
        server.plan.refuse = lambda call: None
        assert select(*more) == 0
        first = read_rows("c.jsonl")
        assert sum(r["selection_calls"] for r in first) == server.received == 3 * N * SAMPLES
        assert select(*more) == 0
        assert server.received == 3 * N * SAMPLES
        # the answer alone, without what was asked in vain
        assert main(["annotate", "s.jsonl", *more[2:], "-o", "a.jsonl"]) == 0
    assert read_rows("c.jsonl") == first
    tokens = sum(row["input_tokens"] for row in read_rows("a.jsonl"))
    assert tokens == sum(r["selection_input_tokens"] for r in first)
    assert tokens > 2 * min(r["input_tokens"] for r in read_rows("a.jsonl")) * N


def test_counts_say_whose_they_are(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two generators: figures are for each instruction and generator, and a failed one leaves the other's curve."""
    write_rows("s.jsonl", [*rows_of(), *({**row, "output": f"silent {row['output']}"} for row in rows_of("other"))])
    more = ["--method", "best-of-n", "--judge", "pairwise-logprob", "--model", "openai/gpt-4.1-mini"]
    with Loopback() as server:
        more += ["--base-url", f"{server.url}/v1", "--baseline", "base.json"]
        assert select(*more) == 0
    calls = 2 * 2 * N * SAMPLES
    assert f"calls {calls} ({2 * SAMPLES:.1f} an instruction and generator)" in capsys.readouterr().err
    with Loopback(refuse=lambda call: "400" if "silent" in call.prompt else None) as server:
        more = [*more[:6], "--base-url", f"{server.url}/v1", "--baseline", "base.json", "--store", "new.sqlite"]
        assert select(*more, "--gold", "gold", "--curve", "curve.csv") == 4
    told = capsys.readouterr()
    assert f"left out {N} pairs of instruction and generator" in told.err
    assert "no curve of other: none of its samples has a score" in told.err
    with open("curve.csv") as file:
        assert {row["generator"] for row in csv.DictReader(file)} == {"model-m"}
    assert "model-m" in told.out


def test_one_order_among_an_even_number_is_warned_of(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Loopback() as server:
        more = ["--method", "win-share", "--judge", "pairwise-logprob", "--model", "openai/gpt-4.1-mini"]
        more += ["--base-url", f"{server.url}/v1"]
        assert select(*more, "--order", "fixed") == 0
        assert f"warning: {N * SAMPLES} samples are shown first more often than second" in capsys.readouterr().err
        assert select(*more) == 0
        assert "shown first" not in capsys.readouterr().err


@pytest.mark.engines
def test_an_empty_output_may_be_missing(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    build_tiny_model(files / "tiny")
    rows = rows_of()
    rows[1]["output"] = ""
    write_rows("s.jsonl", rows)
    more = ["--method", "best-of-n", "--by", "likelihood", "--model", "transformers/tiny"]
    assert select(*more) == 4
    first = read_rows("c.jsonl")
    assert select(*more, "--allow-missing") == 0
    assert read_rows("c.jsonl") == first
    assert "1 sample has no score" in capsys.readouterr().err


@pytest.mark.engines
def test_likelihoods_under_the_chat_template_of_the_answers(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    build_tiny_model(files / "tiny", chat_template=None)
    Path("chat.jinja").write_text("{% for m in messages %}{{ m['content'] }}: {% endfor %}")
    Path("other.jinja").write_text("{% for m in messages %}{{ m['content'] }}; {% endfor %}")
    made = ["generate", "base.json", "--model", "transformers/tiny", "--chat-template", "chat.jinja", "--n", "2"]
    assert main([*made, "--max-tokens", "8", "--seed", "1", "-o", "s.jsonl"]) == 0
    more = ["--method", "best-of-n", "--by", "likelihood", "--model", "transformers/tiny", "--allow-missing"]
    capsys.readouterr()
    assert select(*more) == 2
    assert "answered under a chat template of its own (sha256:" in capsys.readouterr().err
    assert select(*more, "--chat-template", "other.jinja") == 2
    assert "answered under another (sha256:" in capsys.readouterr().err
    assert select(*more, "--chat-template", "chat.jinja") == 0
    assert len(read_rows("c.jsonl")) == N
    assert "without what a chat template puts around them" in capsys.readouterr().err


def test_curves_are_printed_and_written(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert select("--method", "longest", "--gold", "gold", "--curve", "curve.csv") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "what the best of n is worth"
    assert len(printed) == 2 + 2 + 3 + 1
    with open("curve.csv") as file:
        table = list(csv.DictReader(file))
    assert [row["n"] for row in table] == ["1", "2", "3", "4"]
    groups = by_instruction(read_rows("s.jsonl")).values()
    mean = sum(r["gold"] for group in groups for r in group) / (N * SAMPLES)
    assert float(table[0]["gold"]) == pytest.approx(mean)
    chosen = read_rows("c.jsonl")
    assert float(table[3]["proxy"]) == pytest.approx(sum(len(r["output"]) for r in chosen) / N)
    assert select("--method", "oracle", "--score", "gold", "--curve", "curve.json") == 0
    last = read_rows("curve.json")[-1]
    assert last["gold"] == last["proxy"] == pytest.approx(sum(r["gold"] for r in read_rows("c.jsonl")) / N)
    assert select("--method", "oracle", "--score", "gold", "--curve", "curve.md") == 0
    assert len(Path("curve.md").read_text().splitlines()) == 2 + 4
    # without -o stdout is for the chosen rows
    capsys.readouterr()
    assert main(["select", "s.jsonl", "--method", "random", "--gold", "gold"]) == 0
    captured = capsys.readouterr()
    assert len([json.loads(line) for line in captured.out.splitlines()]) == N
    assert "kl bound" in captured.err


@pytest.mark.engines
def test_likelihood_of_a_model_in_this_process(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    build_tiny_model(files / "tiny")
    rows = rows_of()
    rows[1]["output"] = "word " * 600
    write_rows("s.jsonl", rows)
    more = ["--method", "best-of-n", "--by", "likelihood", "--model", "transformers/tiny"]
    assert select(*more, "--dry-run") == 0
    assert "24 texts would be read by tiny@" in capsys.readouterr().out
    # the one that exceeds the context has no score
    assert select(*more) == 4
    told = capsys.readouterr().err
    first = read_rows("c.jsonl")
    assert "23 likelihoods computed, 0 from the store" in told
    assert "no likelihood 1×" in told
    assert first[0]["generator"].startswith("model-m best-of-4 by likelihood of tiny@")
    assert first[0]["selection_scored"] == 3
    assert [r["selection_calls"] for r in first] == [3, *[SAMPLES] * (N - 1)]
    assert all(r["selection_score"] < 0 for r in first)
    assert select(*more) == 4
    assert "0 likelihoods computed, 23 from the store" in capsys.readouterr().err
    assert read_rows("c.jsonl") == first


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--method", "oracle"], "--method oracle needs --score"),
        (["--method", "oracle", "--score", "truth"], "has no column 'truth'"),
        (["--method", "best-of-n"], "add --baseline FILE"),
        (["--method", "best-of-n", "--baseline", "nobody"], "neither a file nor a generator"),
        (["--method", "best-of-n", "--by", "likelihood"], "needs --model"),
        (["--method", "best-of-n", "--by", "likelihood", "--model", "openai/x"], "openai/x: no such model here"),
        (["--method", "best-of-n", "--by", "note"], "row 1 has {'kept': [0, 0]} in 'note'"),
        (["--method", "best-of-n", "--by", "gold", "--baseline", "base.json"], "--baseline does nothing"),
        (["--method", "longest", "--judge", "surface"], "--judge does nothing with --method longest"),
        (["--method", "longest", "--by", "gold"], "--by does nothing"),
        (["--method", "longest", "--seed", "0"], "--seed does nothing"),
        (["--method", "random", "--rivals", "2"], "--rivals does nothing"),
        (["--method", "random", "--budget", "1"], "--budget does nothing"),
        (["--method", "random", "--repeats", "2"], "--repeats does nothing"),
        (["--method", "random", "--engine-arg", "device=cpu"], "--engine-arg does nothing"),
        (["--method", "random", "--n", "1"], "simfarm generate --n 16"),
        (["--method", "random", "--gold", "note"], "row 1 has"),
        (["--method", "random", "--curve", "curve.txt"], "choose one of these names"),
        (["--method", "random", "--curve", "missing/x.md"], "missing/x.md: the folder "),
        (["--method", "random", "--curve", "s.jsonl.csv", "--gold", ""], "--gold is empty"),
        (["--method", "best-of-n", "--by", ""], "--by is empty"),
        (["--method", "random", "--by", ""], "--by does nothing"),
        (["--method", "random", "--level", "0.9"], "--level does nothing without a curve"),
        (["--method", "win-share", "--judge", "longest", "--gold", "gold"], "--gold cannot go with --method win-share"),
        (["--method", "win-share", "--judge", "longest", "--curve", "c.csv"], "depends on its siblings"),
        (["--method", "random", "--chat-template", "x"], "--chat-template does nothing"),
        (["--method", "best"], "invalid choice"),
        ([], "--method"),
    ],
)
def test_bad_options_are_one_line(files: Path, more: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = select(*more)
    except SystemExit as stopped:
        status = stopped.code if isinstance(stopped.code, int) else -1
    error = capsys.readouterr().err
    assert status == 2
    assert told in error
    assert len(error.splitlines()) == 1
    assert not Path("c.jsonl").exists()


def test_one_name_for_two_generators_is_refused(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows("s.jsonl", [*rows_of(), *rows_of("other")])
    assert select("--method", "longest", "--generator", "mine") == 2
    assert "holds 2" in capsys.readouterr().err
    write_rows("s.jsonl", [{k: v for k, v in row.items() if k != "sample"} for row in rows_of()])
    assert select("--method", "longest") == 2
    assert "repeats row 1" in capsys.readouterr().err
    write_rows("s.jsonl", [r for r in rows_of() if r["sample"] == 0])
    assert select("--method", "longest") == 2
    assert "no instruction has two samples" in capsys.readouterr().err
    write_rows("s.jsonl", rows_of(gold=None))
    assert select("--method", "oracle", "--score", "gold") == 2
    assert "row 1 has no value in 'gold'" in capsys.readouterr().err


def test_nothing_is_written_over_what_is_read(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("s.jsonl").read_bytes(), Path("base.json").read_bytes()
    Path("link.jsonl").symlink_to("s.jsonl")
    judged = ["--method", "best-of-n", "--judge", "longest", "--baseline", "base.json"]
    for target in ("s.jsonl", "./s.jsonl", "link.jsonl", str(files / "s.jsonl")):
        assert main(["select", "s.jsonl", "--method", "random", "-o", target]) == 2
        assert "s.jsonl is read; name another file" in capsys.readouterr().err
    assert main(["select", "s.jsonl", *judged, "-o", "base.json"]) == 2
    assert main(["select", "s.jsonl", *judged, "-o", "c.jsonl", "--curve", "base.json"]) == 2
    assert main(["select", "s.jsonl", "--method", "longest", "-o", "both.json", "--curve", "./both.json"]) == 2
    assert "both.json is where the chosen outputs go" in capsys.readouterr().err
    assert not Path("both.json").exists()
    assert (Path("s.jsonl").read_bytes(), Path("base.json").read_bytes()) == before


def test_a_number_is_one_that_people_write(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for value in ("1_0", 10**400):
        write_rows("s.jsonl", [{**row, "gold": value} for row in rows_of()])
        assert select("--method", "oracle", "--score", "gold") == 2
        assert "row 1 has" in capsys.readouterr().err


def test_ids_that_contradict_each_other_are_refused_before_a_call(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows("s.jsonl", [{**row, "instruction_id": "q"} for row in rows_of()])
    assert select("--method", "longest", "--gold", "gold") == 2
    assert "stands for two different instructions" in capsys.readouterr().err
    assert not Path("c.jsonl").exists()


@pytest.mark.parametrize("how", [["win-share"], ["best-of-n", "--baseline", "base.json"]])
def test_a_judge_is_shown_what_the_rows_say_of_the_instruction(files: Path, how: list[str]) -> None:
    write_rows("s.jsonl", rows_of(reference="It is 42."))
    with Loopback() as server:
        more = ["--judge", "rubric-json", "--model", "openai/gpt-4.1-mini", "--base-url", f"{server.url}/v1"]
        assert select("--method", *how, *more) == 0
        assert all("It is 42." in call.prompt for call in server.calls)


def test_a_likelihood_has_no_order_to_warn_of() -> None:
    contest = against_siblings([Output("Q?", text, "m", sample=k) for k, text in enumerate("abcd")], [[0, 1, 2, 3]])
    assert contest.uneven()
    assert contest.order_notes(load_one("likelihood-answer")) == []
    assert contest.order_notes(load_one("pairwise-letter").replace(order="fixed"))
