"""Populations asked for labels: who is asked what, what noise decides, and that nothing is asked twice."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from loopback import Call, Loopback

import simfarm
from simfarm.cli import main
from simfarm.data.records import Comparison
from simfarm.errors import InputError, SimfarmWarning
from simfarm.judges import Population, load_judge
from simfarm.runs.labels import Plan
from simfarm.statistics.crowd import CrowdParameters, crowd_mean, crowd_probability

LETTER = {"judge": "people-choice", "model": "openai/gpt-6-luna"}
FITTED = {"scale": {"length": 20}, "judge": 1.0, "length": 0.7, "item_sd": 0.8}
ROWS = [
    {
        "instruction": f"Question number {k}?",
        "output_1": "short " * (k % 5 + 1),
        "output_2": "longer " * (k % 7 + 1),
        "generator_1": "a",
        "generator_2": "b",
    }
    for k in range(60)
]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with Loopback() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{running.url}/v1")
        yield running


def people(folder: Path, name: str = "people", **data: Any) -> Path:
    path = folder / f"{name}.yaml"
    whole = json.loads(json.dumps({"description": "People", **data}))
    path.write_text(yaml.safe_dump(whole, sort_keys=False), "utf-8")
    return path


def said(text: str) -> str:
    """The fault that answers so."""
    usage = {"prompt_tokens": 103, "completion_tokens": 11, "total_tokens": 114}
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    whole = {"id": "x", "object": "chat.completion", "created": 0, "model": "gpt-6-luna", "choices": [choice]}
    return "json:" + json.dumps(whole | {"usage": usage})


def labels(rows: Any, path: Path, **options: Any) -> pd.DataFrame:
    return simfarm.annotate(rows, judge=path, **options)


def test_one_member_is_drawn_for_each_comparison_whatever_stands_beside_it(server: Loopback, tmp_path: Path) -> None:
    members = [LETTER | {"name": "cook", "persona": "A cook."}, LETTER | {"name": "smith", "persona": "A smith."}]
    path = people(tmp_path, members=members)
    made = labels(ROWS, path)
    assert len(made) == server.received == 60
    assert set(made["annotator"]) == {"people"}
    assert 10 < (made["person"] == "cook").sum() < 50
    assert not made["is_noised"].any()
    asked = {call.prompt.partition("Question number ")[2].partition("?")[0]: call.prompt for call in server.calls}
    for person, instruction in zip(made["person"], made["instruction"], strict=True):
        who = {"cook": "A cook.", "smith": "A smith."}[person]
        assert who in asked[instruction.removeprefix("Question number ").removesuffix("?")]
    again = labels(ROWS[::-2], path)
    assert server.received == 60
    drawn = dict(zip(made["instruction"], made["person"], strict=True))
    assert all(drawn[i] == p for i, p in zip(again["instruction"], again["person"], strict=True))


def test_noise_takes_the_place_of_calls_and_is_never_stored(server: Loopback, tmp_path: Path) -> None:
    clean = labels(ROWS, people(tmp_path, members=[LETTER]))
    assert server.received == 60
    noisy = labels(ROWS, people(tmp_path, members=[LETTER], noise={"flip": 0.25}))
    assert server.received == 60, "every clean verdict was in the store"
    noised = noisy["is_noised"].to_numpy()
    assert 15 < noised.sum() < 45
    assert (noisy["preference"][~noised] == clean["preference"][~noised]).all()
    assert (noisy["preference"][noised] != clean["preference"][noised]).any()
    assert noisy["p_true"][noised].isna().all()
    assert set(noisy["p_true"][~noised]) == {0.25, 0.75}
    soft = labels(ROWS, people(tmp_path, members=[LETTER], noise={"flip": 0.25}), soft=True)
    assert np.allclose(soft["preference"], 1.25 + 0.5 * (clean["preference"] - 1))


def test_noise_is_decided_before_anything_is_asked(
    server: Loopback, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs.json").write_text(json.dumps(ROWS), "utf-8")
    path = people(tmp_path, members=[LETTER], noise={"flip": 0.25})
    command = ["annotate", str(tmp_path / "pairs.json"), "--judge", str(path), "--price", "1,1"]
    assert main([*command, "--dry-run"]) == 0
    told = capsys.readouterr().out
    (noised,) = re.findall(r"60 labels by people, (\d+) of them decided by noise", told)
    (requests,) = re.findall(r"(\d+) requests would go to openai/gpt-6-luna", told)
    assert int(noised) + int(requests) == 60
    assert re.search(r"for 1,000 labels, where AlpacaFarm paid people \$300", told)
    assert server.received == 0
    assert main([*command, "-o", str(tmp_path / "out.jsonl")]) == 0
    assert server.received == int(requests)
    told = capsys.readouterr().err
    assert f"{noised} labels decided by noise, without a call" in told
    assert re.search(r"all these labels cost \$[\d.]+: \$[\d.]+ for 1,000, where AlpacaFarm paid people \$300", told)


def test_the_flip_rate_is_what_the_file_says(tmp_path: Path) -> None:
    path = people(tmp_path, members=[{"judge": "longest"}], noise={"flip": 0.25})
    plan = Plan(load(path), [pair(k) for k in range(4000)])
    coins = [item.labels[0].coin for item in plan.items()]
    assert abs(sum(coin is not None for coin in coins) / 4000 - 0.5) < 0.03
    assert abs(sum(coin == 2.0 for coin in coins) / 4000 - 0.25) < 0.03


def load(path: Path) -> Population:
    made = load_judge(path)
    assert isinstance(made, Population)
    return made


def pair(k: int) -> Comparison:
    return Comparison(f"q{k}", "one", "another", "a", "b")


def test_k_people_label_each_comparison(server: Loopback, tmp_path: Path) -> None:
    members = [LETTER | {"name": name, "persona": f"A {name}."} for name in ("cook", "smith", "clerk")]
    path = people(tmp_path, members=[*members, LETTER | {"name": "twin"}, LETTER | {"name": "twin too"}])
    made = labels(ROWS[:20], path, annotators=4)
    assert len(made) == server.received == 80
    assert (made.groupby("instruction")["person"].nunique() == 4).all()
    assert list(made["repeat"]) == [0, 1, 2, 3] * 20
    alone = labels(ROWS[:20], path)
    assert list(alone["person"]) == list(made["person"][::4])
    with pytest.raises(InputError, match=r"annotators=6 asks for more people .* which are 5; add members, or ask"):
        labels(ROWS[:20], path, annotators=6)
    assert server.received == 80


def batched(call: Call) -> str:
    """A line for each pair; the longer answer wins."""
    pairs = re.findall(r"<answer_A>\n(.*?)\n</answer_A>\n<answer_B>\n(.*?)\n</answer_B>", call.prompt, re.S)
    return said("\n".join(f"{n}: [[{'A' if len(a) >= len(b) else 'B'}]]" for n, (a, b) in enumerate(pairs, 1)))


SEVERAL = {"judge": "people-several", "model": "openai/gpt-6-luna", "comparisons": 5}


def longer(made: pd.DataFrame) -> Any:
    side = made["output_2"].str.len() - made["output_1"].str.len()
    return side[side.abs() > 1] > 0, made["preference"][side.abs() > 1] == 2


def test_several_comparisons_in_one_prompt(
    server: Loopback, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.plan.refuse = batched
    rows = [row for row in ROWS if row["output_1"] != row["output_2"]]
    path = people(tmp_path, members=[SEVERAL])
    (tmp_path / "pairs.json").write_text(json.dumps(rows), "utf-8")
    assert main(["annotate", str(tmp_path / "pairs.json"), "--judge", str(path), "--dry-run"]) == 0
    assert f"{-(-len(rows) // 5)} requests would go to openai/gpt-6-luna" in capsys.readouterr().out
    made = labels(rows, path)
    assert server.received == -(-len(rows) // 5)
    assert (made["status"] == "verdict").all()
    wanted, found = longer(made)
    assert (wanted == found).all()
    assert made["input_tokens"].sum() == 103 * server.received
    assert made["price"].sum() == pytest.approx(labels(rows, path)["price"].sum())
    asked = server.received
    assert labels(rows[:50], path).equals(made[:50])
    assert server.received == asked, "the prompts of the first rows are what they were"


def test_one_verdict_that_cannot_be_read_loses_no_other(server: Loopback, tmp_path: Path) -> None:
    def forgetful(call: Call) -> str:
        whole = json.loads(batched(call).removeprefix("json:"))["choices"][0]["message"]["content"]
        kept = [line for line in whole.split("\n") if line[0] not in "24" or "earlier" in whole]
        return said("\n".join(kept)) if len(call.body["messages"]) == 2 else said("I do not know.")

    server.plan.refuse = forgetful
    rows = [row for row in ROWS if row["output_1"] != row["output_2"]][:10]
    path = people(tmp_path, members=[SEVERAL])
    with pytest.warns(SimfarmWarning):
        made = labels(rows, path)
    assert list(made["status"]) == ["verdict", "unparseable"] * 2 + ["verdict"] + ["verdict", "unparseable"] * 2 + [
        "verdict"
    ]
    assert server.received == 4, "two prompts, and one repair of each for both of its missing verdicts"
    (repair,) = {call.body["messages"][-1]["content"] for call in server.calls if len(call.body["messages"]) > 2}
    assert "it holds no verdict on number 2, 4" in repair
    assert made["input_tokens"].sum() == 103 * 4
    server.plan.refuse = batched
    whole = labels(rows, path)
    assert server.received == 6, "each prompt once more for those that are missing"
    assert (whole["status"] == "verdict").all()
    kept = (made["status"] == "verdict").to_numpy()
    assert (whole["preference"][kept] == made["preference"][kept]).all()


def test_a_persons_examples_are_earlier_turns(server: Loopback, tmp_path: Path) -> None:
    """Two planted people of opposite taste, told apart by eight labels each."""

    def learns(call: Call) -> str:
        turns = call.body["messages"]
        shown = [re.findall(r"<answer_[AB]>\n(.*?)\n</answer", turn["content"], re.S) for turn in turns]
        votes = [
            (len(shown[k][0]) > len(shown[k][1])) == (turns[k + 1]["content"] == "[[A]]")
            for k in range(len(turns) - 1)
            if turns[k + 1]["role"] == "assistant"
        ]
        assert len(votes) == 8
        likes_long = 2 * sum(votes) > len(votes)
        a, b = shown[-1]
        return said("[[A]]" if (len(a) > len(b)) == likes_long else "[[B]]")

    server.plan.refuse = learns
    known = [
        {"instruction": f"k{k}", "output_1": "x" * (3 + 2 * (k % 2)), "output_2": "xxxx", "person": who}
        | {"preference": 1.0 + ((k % 2 == 0) == (who == "long"))}
        for k in range(9)
        for who in ("long", "short")
    ]
    (tmp_path / "known.jsonl").write_text("".join(json.dumps(row) + "\n" for row in known), "utf-8")
    members = [
        LETTER | {"name": who, "examples": {"file": "known.jsonl", "person": who, "n": 8}} for who in ("long", "short")
    ]
    rows = [row for row in ROWS if len(row["output_1"]) != len(row["output_2"])]
    made = labels(rows, people(tmp_path, members=members), annotators=2)
    likes = made["preference"].sub(1) == (made["output_2"].str.len() > made["output_1"].str.len())
    assert likes[made["person"] == "long"].all()
    assert not likes[made["person"] == "short"].any()
    assert len(made) == 2 * len(rows)


def test_a_persons_own_label_is_not_shown_to_them(server: Loopback, tmp_path: Path) -> None:
    known = [row | {"annotator": "ann", "preference": 1 + k % 2} for k, row in enumerate(ROWS[:9])]
    (tmp_path / "known.jsonl").write_text("".join(json.dumps(row) + "\n" for row in known), "utf-8")
    labels(ROWS[:10], people(tmp_path, members=[LETTER | {"examples": "known.jsonl"}]))
    for call in server.calls:
        *earlier, asked = [m["content"] for m in call.body["messages"] if m["role"] == "user"]
        about = re.findall(r"Question number \d+\?", asked)
        assert len(about) == 1
        assert not any(about[0] in turn for turn in earlier)


def of_crowd(folder: Path, name: str = "crowd", **crowd: Any) -> Path:
    return people(folder, name, **LETTER, order="both", population=FITTED | crowd)


def test_a_crowd_is_drawn_around_the_judges_runs(server: Loopback, tmp_path: Path) -> None:
    path = of_crowd(tmp_path, runs=4, persons={"n": 16, "length_sd": 0.5, "position_sd": 0.2})
    rows = [row for row in ROWS if row["output_1"] != row["output_2"]]
    runs = simfarm.annotate(rows, judge="people-choice", order="both", repeats=2)
    asked = server.received
    assert asked == 4 * len(rows)
    made = labels(rows, path, annotators=4)
    assert server.received == asked, "the judge's own runs are the crowd's"
    assert len(made) == 4 * len(rows)
    assert (made.groupby("instruction")["person"].nunique() == 4).all()
    assert set(made["person"]) == {f"person-{k:02d}" for k in range(1, 17)}
    assert set(made["preference"]) == {1.0, 2.0}
    sides = runs.groupby("instruction", sort=False)["preference"].mean()
    mean = labels(rows, path, soft=True)
    unanimous = np.where(sides == 2, 1, np.where(sides == 1, -1, 0))
    assert {-1, 0, 1} == set(unanimous)
    lengths = mean["output_2"].str.len().to_numpy() - mean["output_1"].str.len().to_numpy()
    numbers = CrowdParameters(20, 1.0, 0.7, 0.0, 0.8, 0.0, 0.5, 0.2)
    assert np.allclose(mean["p_true"], crowd_mean(numbers, unanimous, lengths))
    assert np.allclose(mean["preference"], 1 + mean["p_true"])
    assert "person" not in mean
    one = labels(rows, of_crowd(tmp_path, "alike", runs=4), annotators=1)
    # no effect of the comparison is drawn for one label, and these people are all alike
    assert np.allclose(one["p_true"], crowd_probability(replace(numbers, item_sd=0), unanimous, lengths))
    assert server.received == asked
    with pytest.raises(InputError, match=r"asks for more people .* which are 16; raise n of its persons"):
        labels(rows, path, annotators=17)


def test_draws_follow_their_chances_and_people_keep_their_taste(tmp_path: Path) -> None:
    rows = [{"instruction": f"i{k}", "output_1": "a" * 50, "output_2": "b" * (80 if k % 2 else 20)} for k in range(600)]
    crowd = FITTED | {"persons": {"n": 8, "length_sd": 1.5}}
    made = labels(rows, people(tmp_path, judge="longest", population=crowd), annotators=4)
    p, label = made["p_true"].to_numpy(), made["preference"].to_numpy() - 1
    assert abs((label - p).mean()) < 0.03
    for low in (0.0, 0.25, 0.5, 0.75):
        inside = (p >= low) & (p < low + 0.25)
        assert inside.sum() < 50 or abs((label - p)[inside].mean()) < 0.08
    longer_p = np.where(made["output_2"].str.len() > 50, p, 1 - p)
    by_person = pd.Series(longer_p).groupby(made["person"]).mean()
    assert by_person.max() - by_person.min() > 0.2
    # given their chances, two people's labels of one comparison know nothing of each other
    left = (label - p).reshape(600, 4)
    assert abs((left.sum(axis=1) ** 2 - (left**2).sum(axis=1)).mean() / 12) < 0.015


def test_another_population_draws_anew(tmp_path: Path) -> None:
    rows = [{"instruction": f"i{k}", "output_1": "a" * 50, "output_2": "b" * 49} for k in range(600)]
    crowd = {"scale": {"length": 20}, "judge": 0.0, "length": 0.0, "item_sd": 0.0}
    one, other = (labels(rows, people(tmp_path, name, judge="longest", population=crowd)) for name in ("one", "other"))
    assert set(one["p_true"]) == {0.5}
    assert abs((one["preference"] == other["preference"]).mean() - 0.5) < 0.08


def test_a_missing_run_is_no_label_and_is_asked_for_again(server: Loopback, tmp_path: Path) -> None:
    path = of_crowd(tmp_path, runs=4)
    server.plan.refuse = lambda call: said("Hm.") if "number 7?" in call.prompt else None
    with pytest.warns(SimfarmWarning, match="a run of the judge has no verdict|no verdict"):
        made = labels(ROWS[:9], path, annotators=3)
    lost = made["instruction"] == "Question number 7?"
    assert list(made["status"][lost]) == ["unparseable"] * 3
    assert made["preference"][lost].isna().all()
    assert (made["status"][~lost] == "verdict").all()
    asked = server.received
    server.plan.refuse = lambda call: None
    whole = labels(ROWS[:9], path, annotators=3)
    assert server.received == asked + 4
    assert (whole["status"] == "verdict").all()
    assert whole[~lost].equals(made[~lost].astype(whole.dtypes))


def test_a_budget_stops_all_who_are_asked_and_nothing_is_asked_twice(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    mini, haiku = (LETTER | {"model": model} for model in ("openai/gpt-5.4-mini", "anthropic/claude-haiku-5-5"))
    path = people(tmp_path, members=[LETTER, mini, haiku, SEVERAL])
    server.plan.refuse = lambda call: batched(call) if "Number 1" in call.prompt else None
    with pytest.warns(SimfarmWarning, match="budget"):
        part = labels(ROWS, path, budget=0.012, price=(1.0, 1.0), annotators=4, concurrency=2)
    assert 0 < (part["status"] == "verdict").sum() < len(part)
    assert set(part["status"]) == {"verdict", "error"}
    assert 0.006 < part["price"].sum() <= 0.012, "one budget, whoever is asked"
    whole = labels(ROWS, path, annotators=4)
    assert (whole["status"] == "verdict").all()
    assert max(server.asked.values()) == 1
    assert {call.body["model"] for call in server.calls} == {"gpt-6-luna", "gpt-5.4-mini", "claude-haiku-5-5"}


def test_identical_outputs_are_a_tie_to_everyone(server: Loopback, tmp_path: Path) -> None:
    rows = [row | {"output_2": row["output_1"]} for row in ROWS]
    for path in (
        people(tmp_path, "noisy", members=[LETTER], noise={"flip": 0.4}),
        people(tmp_path, "packed", members=[SEVERAL]),
        of_crowd(tmp_path, runs=4, bias=2.0),
    ):
        assert (labels(rows, path)["preference"] == 1.5).all()
    assert server.received == 0


def test_labels_from_runs_in_the_store_ask_nothing(server: Loopback, tmp_path: Path) -> None:
    rows = ROWS[:30]
    path = of_crowd(tmp_path, runs=8, persons={"n": 16})
    first = labels(rows, path, annotators=4)
    same = sum(row["output_1"] == row["output_2"] for row in rows)
    assert server.received == 8 * (len(rows) - same)
    again = labels(rows, path, annotators=4)
    assert server.received == 8 * (len(rows) - same)
    assert again.equals(first)
    assert len(again) == 4 * len(rows)


def test_labels_of_a_population_are_verdicts_and_labels(tmp_path: Path) -> None:
    path = people(tmp_path, judge="longest", population=FITTED | {"persons": {"n": 5}})
    made = labels(ROWS, path, annotators=3)
    board = simfarm.evaluate(made)
    assert list(board["annotator"]) == ["people"]
    assert list(board["n_total"]) == [60]
    judged = simfarm.annotate(ROWS, judge="longest")
    card = simfarm.report_card(judged, human=made)
    assert set(card.people) == {f"person-{k}" for k in range(1, 6)}
    anew = simfarm.annotate(made, judge="longest")
    assert not {"person", "p_true", "is_noised"} & set(anew)


def test_options_that_do_nothing_are_refused(tmp_path: Path) -> None:
    path = people(tmp_path, members=[{"judge": "longest"}])
    for options, said_so in (
        ({"repeats": 2}, "repeats does nothing with a population: annotators=K asks for more labels"),
        ({"model": "openai/x"}, "model does nothing"),
        ({"budget": 1.0}, "budget does nothing"),
        ({"soft": True, "annotators": 2}, "annotators does nothing with soft"),
    ):
        with pytest.raises(InputError, match=said_so):
            labels(ROWS[:2], path, **options)
    with pytest.raises(InputError, match="annotators does nothing with 'longest', which is no population"):
        simfarm.annotate(ROWS[:2], judge="longest", annotators=2)
    left = people(tmp_path, "left", judge="longest", population={"judge": 1.0})
    with pytest.raises(InputError, match=r"scale, length, item_sd left open; fit them with simfarm calibrate"):
        labels(ROWS[:2], left)
    with pytest.raises(InputError, match="is a population, simulated people for simfarm annotate and evaluate"):
        simfarm.select(samples(), "win-share", judge=path)


def samples(n: int = 4) -> list[dict[str, Any]]:
    return [
        {"instruction": f"q{k}", "output": f"answer {k} {s} " * (s + 1), "generator": "m", "sample": s, "score": -s}
        for k in range(30)
        for s in range(n)
    ]


@pytest.mark.parametrize(("how", "count"), [("random", 30), ("best-worst", 30), ("all", 180)])
def test_samples_of_one_model_are_compared(how: str, count: int) -> None:
    score = {"score": "score"} if how == "best-worst" else {}
    made = simfarm.annotate(samples(), judge="longest", pair=how, **score)
    assert len(made) == count
    assert set(made["generator_1"]) == set(made["generator_2"]) == {"m"}
    pairs = list(zip(made["sample_1"], made["sample_2"], strict=True))
    if how == "best-worst":
        assert {frozenset(p) for p in pairs} == {frozenset((0, 3))}
        assert 5 < sum(first == 0 for first, _ in pairs) < 25, "neither has a place of its own"
    if how == "all":
        assert Counter(frozenset(p) for p in pairs) == Counter(
            frozenset((a, b)) for a in range(4) for b in range(a) for _ in range(30)
        )
    if how == "random":
        assert len({frozenset(p) for p in pairs}) > 3
    again = defaultdict(set)
    for row in simfarm.annotate(samples()[::-1], judge="longest", pair=how, **score).to_dict("records"):
        again[row["instruction"]].add((row["sample_1"], row["sample_2"]))
    assert all((a, b) in again[i] for i, (a, b) in zip(made["instruction"], pairs, strict=True))


def test_what_pairs_lack_is_said_in_a_line() -> None:
    one = [row for row in samples() if row["sample"] == 0]
    for rows, options, said_so in (
        (one, {"pair": "random"}, "no instruction has two samples by one model"),
        (samples(), {"pair": "best-worst"}, "needs a score of each sample: name the column"),
        (samples(), {"pair": "best-worst", "score": "reward"}, "has no value in 'reward'"),
        (samples(), {"pair": "all", "score": "score"}, "score does nothing without pair=best-worst"),
        (samples(), {"pair": "all", "baseline": "m"}, "baseline does nothing with pair=all"),
        (samples(), {"pair": "any"}, "choose from random, best-worst, all"),
        (ROWS, {"pair": "all"}, "pair does nothing with table 1, which already holds pairs"),
    ):
        with pytest.raises(InputError, match=said_so):
            simfarm.annotate(rows, judge="longest", **options)


def test_the_bundled_crowd_is_asked_as_it_is(server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    server.plan.refuse = lambda call: batched(call) if "Number 1" in call.prompt and call.wire == "openai" else None
    crowd = load_judge("crowd")
    assert isinstance(crowd, Population)
    assert (len(crowd.members), crowd.flip) == (13, 0.25)
    made = labels(ROWS[:20], Path("crowd"), annotators=13)
    assert len(made) == 13 * 20
    assert set(made["person"]) == {member.name for member in crowd.members}
    assert (made["status"] == "verdict").mean() > 0.9


def test_verdicts_in_json_are_read_by_their_number(server: Loopback, tmp_path: Path) -> None:
    spec = {"parser": "json", "labels": {"A": "first", "B": "second"}}
    judge = {"description": "x", "protocol": "pairwise", "template": "t.jinja", "verdict": spec, "order": "fixed"}
    (tmp_path / "several.yaml").write_text(yaml.safe_dump(judge | {"model": "openai/gpt-6-luna"}), "utf-8")
    shown = "{{ pair.number }} {{ pair.instruction }} {{ pair.first }} {{ pair.second }}"
    text = "{% block user %}{% for pair in pairs %}" + shown + "{% endfor %}{% endblock %}"
    (tmp_path / "t.jinja").write_text(text, "utf-8")
    assert main(["judges", "check", str(tmp_path / "several.yaml")]) == 0
    listed = [{"number": 3, "winner": "B", "reason": "r"}, {"number": 1, "winner": "A"}, {"number": 2, "winner": "C"}]
    server.plan.refuse = lambda call: said(json.dumps({"verdicts": listed}))
    path = people(tmp_path, members=[{"judge": "several.yaml", "comparisons": 4}])
    with pytest.warns(SimfarmWarning):
        made = labels(ROWS[:3], path)
    assert list(made["preference"].fillna(0)) == [1.0, 0.0, 2.0]
    assert list(made["status"]) == ["verdict", "unparseable", "verdict"]
    schema = server.calls[0].body["response_format"]["json_schema"]["schema"]["properties"]["verdicts"]
    assert schema["items"]["required"] == ["number", "reason", "winner"]


def test_a_line_that_the_limit_cut_off_is_no_verdict(server: Loopback, tmp_path: Path) -> None:
    whole = json.loads(said("1: [[A]]\n2: [[B]]").removeprefix("json:"))
    whole["choices"][0]["finish_reason"] = "length"
    server.plan.refuse = lambda call: "json:" + json.dumps(whole)
    with pytest.warns(SimfarmWarning, match="cut off by the token limit"):
        made = labels(ROWS[1:4], people(tmp_path, members=[SEVERAL]))
    assert list(made["status"]) == ["verdict", "unparseable", "unparseable"]
    assert server.received == 1, "asking again would end as well"


def test_a_recording_answers_for_a_member(server: Loopback, tmp_path: Path) -> None:
    live = labels(ROWS, people(tmp_path, members=[LETTER]))
    live.to_json(tmp_path / "recorded.jsonl", orient="records", lines=True)
    path = people(tmp_path, "again", members=[LETTER], noise={"flip": 0.1})
    made = labels(ROWS, path, model=f"replay/{tmp_path / 'recorded.jsonl'}")
    kept = ~made["is_noised"].to_numpy(dtype=bool)
    assert 35 < kept.sum() < 60
    assert (made["preference"][kept] == live["preference"][kept]).all()
    assert server.received == 60


def test_evaluate_asks_a_population(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = [
        {"instruction": row["instruction"], "output": row[f"output_{k}"], "generator": "ab"[k - 1]}
        for row in ROWS
        for k in (1, 2)
    ]
    (tmp_path / "outputs.json").write_text(json.dumps(outputs), "utf-8")
    path = people(tmp_path, members=[{"judge": "longest"}, {"judge": "random"}])
    command = [str(tmp_path / "outputs.json"), "--baseline", "a", "--judge", str(path)]
    assert main(["evaluate", *command, "--length-control", "none", "--json"]) == 0
    assert '"annotator": "people"' in capsys.readouterr().out
    assert main(["annotate", *command, "--cluster", "ray", "-o", str(tmp_path / "parts")]) == 2
    assert "--cluster does nothing with a population" in capsys.readouterr().err
