"""Choosing among samples: groups, ties, who meets whom, what a failed call leaves, likelihoods of a real tiny model."""

import asyncio
import json
import math
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_model import build_tiny_model

from simfarm.backends.base import Prompt
from simfarm.data.exchange import Completion, Likelihood, Request
from simfarm.data.records import Annotation, Output
from simfarm.data.sampling import Sampling
from simfarm.engine.store import Store
from simfarm.errors import InputError
from simfarm.runs.annotation import AnnotationRun
from simfarm.runs.options import JudgeOptions
from simfarm.selection.contests import against_baseline, against_siblings, sibling_pairs
from simfarm.selection.likelihood import Likelihoods
from simfarm.selection.samples import (
    Cost,
    Scores,
    choose,
    column_scores,
    length_scores,
    random_scores,
    sample_groups,
    stable_number,
    total_cost,
)


def samples(texts: list[str], instruction: str = "Why?", generator: str = "m") -> list[Output]:
    return [Output(instruction, text, generator, sample=s) for s, text in enumerate(texts)]


def test_groups_in_input_order_samples_by_number() -> None:
    outputs = [
        Output("b", "b1", "m", sample=1),
        Output("a", "a0", "m", sample=0),
        Output("b", "b0", "m", sample=0),
        Output(" b ", "b2", "m", sample=2),
        Output("b", "other set", "m", dataset="d", sample=0),
        Output("b", "base", "base", sample=0),
    ]
    assert sample_groups(outputs) == [(2, 0, 3), (1,), (4,), (5,)]
    assert sample_groups(outputs, 2, leave_out="base") == [(2, 0), (1,), (4,)]
    with pytest.raises(InputError, match="generate --n 16"):
        sample_groups(outputs, 1)


def test_stable_numbers_are_the_same_everywhere_and_uniform() -> None:
    assert stable_number("tie", "Why?", None, "m", 0) == 0.7235089594439853
    drawn = [stable_number("x", i) for i in range(4000)]
    assert all(0 <= value < 1 for value in drawn)
    assert abs(sum(drawn) / 4000 - 0.5) < 0.02


def test_ties_do_not_favour_the_first() -> None:
    outputs = [o for i in range(800) for o in samples(["x"] * 4, f"Question {i}?")]
    groups = sample_groups(outputs)
    chosen = choose(length_scores(outputs, groups), outputs, groups)
    counts = Counter(outputs[i].sample for i in chosen if i is not None)
    assert set(counts) == {0, 1, 2, 3}
    assert all(abs(count - 200) < 50 for count in counts.values())
    # and a tie falls for the sample, wherever it stands in the file
    turned = outputs[::-1]
    again = choose(length_scores(turned, sample_groups(turned)), turned, sample_groups(turned))
    assert {turned[i].instruction: turned[i].sample for i in again if i is not None} == {
        outputs[i].instruction: outputs[i].sample for i in chosen if i is not None
    }


def test_random_depends_on_the_seed_alone() -> None:
    outputs = [o for i in range(400) for o in samples(["x", "longer"], f"Question {i}?")]
    groups = sample_groups(outputs)
    first, same, other = (choose(random_scores(outputs, groups, seed), outputs, groups) for seed in (0, 0, 1))
    assert first == same
    agreement = sum(a == b for a, b in zip(first, other, strict=True))
    assert 150 < agreement < 250


def test_no_score_is_never_chosen_over_a_score() -> None:
    outputs = samples(["a", "b", "c"]) + samples(["a", "b"], "How?")
    groups = sample_groups(outputs)
    scores = Scores([math.nan, -5.0, math.nan, math.nan, math.nan], [Cost(), Cost()])
    assert choose(scores, outputs, groups) == [1, None]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("much", "row 2 has 'much' in 'score'"),
        (None, "row 2 has no value in 'score'"),
        (float("nan"), "row 2 has nan"),
        (float("inf"), "row 2 has inf"),
        ([1], r"row 2 has \[1\]"),
    ],
)
def test_a_bad_score_names_its_row(value: Any, told: str) -> None:
    outputs = samples(["a", "b"])
    rows = [{"score": "0.5"}, {"score": value}]
    with pytest.raises(InputError, match=told):
        column_scores(rows, outputs, [(0, 1)], "score", "f.jsonl")
    # a row that is not among the samples to choose from may hold anything
    assert column_scores(rows, outputs, [(0,)], "score", "f.jsonl").values[0] == 0.5
    with pytest.raises(InputError, match="has no column 'gold'; it has score"):
        column_scores(rows, outputs, [(0, 1)], "gold", "f.jsonl")


@pytest.mark.parametrize("n", range(2, 18))
def test_everyone_meets_equally_many_siblings(n: int) -> None:
    for rivals in [*range(1, n), None, 99]:
        pairs = sibling_pairs(n, rivals)
        assert len({frozenset(pair) for pair in pairs}) == len(pairs)
        assert all(a != b for a, b in pairs)
        met = Counter(place for pair in pairs for place in pair)
        wanted = min(rivals or n - 1, n - 1)
        odd = n * wanted % 2
        assert sorted(met[i] for i in range(n)) == [wanted - 1] * odd + [wanted] * (n - odd)
        firsts = Counter(first for first, _ in pairs)
        seconds = Counter(second for _, second in pairs)
        assert all(abs(firsts[i] - seconds[i]) <= 1 for i in range(n))


def judged(contest: Any, judge: str) -> Scores:
    session = AnnotationRun.open(JudgeOptions(judge))
    return contest.scores(session.results(contest.comparisons))


def test_win_share_by_length_counts_the_shorter_siblings() -> None:
    outputs = samples(["xx", "x", "xxxx", "xxx", "xx"])
    groups = sample_groups(outputs)
    contest = against_siblings(outputs, groups)
    scores = judged(contest, "longest")
    # xx ties with its twin, beats x, loses to two: 0.5 + 1 of 4, and one win and one loss in advance
    assert scores.values == pytest.approx([2.5 / 6, 1 / 6, 5 / 6, 4 / 6, 2.5 / 6])
    assert scores.verdicts == [4] * 5
    assert choose(scores, outputs, groups) == [2]
    # a lone sample has nobody to lose to
    alone = judged(against_siblings(samples(["only"]), [(0,)]), "longest")
    assert (alone.values, alone.verdicts) == ([0.5], [1])


def test_who_is_shown_first_does_not_decide_a_win_share() -> None:
    outputs = [o for i in range(40) for o in samples([f"{s}" for s in range(7)], f"Question {i}?")]
    groups = sample_groups(outputs)
    session = AnnotationRun.open(JudgeOptions("first", order="fixed"))
    contest = against_siblings(outputs, groups)
    values = contest.scores(session.results(contest.comparisons)).values
    assert values == [0.5] * len(outputs)
    assert contest.uneven() == 0
    assert not contest.order_notes(session.judge)


@pytest.mark.parametrize("texts", [[f"{s}" for s in range(8)], ["a", "b", "a", "c", "d"]])
def test_one_order_is_uneven_for_an_even_number_of_siblings_and_for_twins(texts: list[str]) -> None:
    outputs = samples(texts)
    contest = against_siblings(outputs, sample_groups(outputs))
    alone, both = (AnnotationRun.open(JudgeOptions("first", order=order)) for order in ("fixed", "both"))
    values = contest.scores(alone.results(contest.comparisons)).values
    leaning = sum(value != 0.5 for value in values)
    assert leaning == contest.uneven() > 1
    (note,) = contest.order_notes(alone.judge)
    assert note.startswith(f"warning: {leaning} samples are shown first more often than second, or less often")
    assert contest.scores(both.results(contest.comparisons)).values == [0.5] * len(outputs)
    assert not contest.order_notes(both.judge)
    # against a baseline everyone stands on the same side
    base = against_baseline(outputs, sample_groups(outputs), [Output("Why?", "base", "base")])
    assert not base.order_notes(alone.judge)


def test_one_lucky_verdict_does_not_beat_fourteen_of_fifteen() -> None:
    outputs = samples([f"answer {s}" for s in range(16)])
    groups = sample_groups(outputs)
    contest = against_siblings(outputs, groups)

    def preference(comparison: Any) -> float | None:
        """Sample 0 has lost all verdicts but one, which it won; sample 1 wins all others but that against 2."""
        one, two = (int(text.split()[1]) for text in (comparison.output_1, comparison.output_2))
        if 0 in (one, two):
            return (1.0 if one == 0 else 2.0) if 9 in (one, two) else None
        better = 2 if {one, two} == {1, 2} else min(one, two)
        return 1.0 if one == better else 2.0

    scores = contest.scores([answer(c, preference(c)) for c in contest.comparisons])
    assert scores.verdicts is not None
    assert (scores.verdicts[0], scores.verdicts[1], scores.verdicts[9]) == (1, 14, 15)
    assert scores.values[0] == pytest.approx(2 / 3)
    assert scores.values[1] == pytest.approx(14 / 16)
    assert choose(scores, outputs, groups) == [2]
    assert scores.values[2] == pytest.approx(15 / 16)


def test_twins_share_their_questions() -> None:
    outputs = samples(["a", "b", "a", "b", "a"])
    contest = against_siblings(outputs, [(0, 1, 2, 3, 4)])
    texts = Counter(frozenset({c.output_1, c.output_2}) for c in contest.comparisons)
    assert texts == {frozenset({"a"}): 1, frozenset({"b"}): 1, frozenset({"a", "b"}): 1}
    (question,) = [c for c in contest.comparisons if c.output_1 != c.output_2]
    p = 0.8 if question.output_2 == "b" else 0.2
    answers = [answer(c, 1 + p if c is question else 1.5) for c in contest.comparisons]
    # each a meets two b (0.2) and two a (0.5), each b three a (0.8) and one b
    assert contest.scores(answers).values == pytest.approx([2.4 / 6, 3.9 / 6, 2.4 / 6, 3.9 / 6, 2.4 / 6])
    base = [Output("Why?", "base", "base")]
    assert len(against_baseline(outputs, [(0, 1, 2, 3, 4)], base).comparisons) == 2


def answer(comparison: Any, preference: float | None, **more: Any) -> Annotation:
    return Annotation(comparison, "j", preference, "verdict" if preference else "error", **more)


def test_calls_and_tokens_are_counted_and_half_a_swap_is_no_verdict() -> None:
    outputs = samples(["a", "b", "c"])
    base = [Output("Why?", "base", "base", sample=1), Output("Why?", "first base", "base", sample=0)]
    contest = against_baseline(outputs, [(0, 1, 2)], base)
    assert [(c.output_1, c.generator_2) for c in contest.comparisons] == [
        ("first base", "m"),
        ("first base", "m #1"),
        ("first base", "m #2"),
    ]
    one, two, three = contest.comparisons
    paid = {"input_tokens": 10, "output_tokens": 1, "calls": 1}
    scores = contest.scores(
        [
            answer(one, 2.0, order="12", **paid),
            answer(one, 1.5, order="21", **paid),
            answer(two, 2.0, order="12", **paid),
            answer(two, None, order="21"),
            answer(two, 1.5, order="12", repeat=1, **paid),
            answer(two, 1.0, order="21", repeat=1, **{**paid, "calls": 2}),
            answer(three, None, order="12", **{**paid, "calls": 3}),
            answer(three, None, order="21"),
        ]
    )
    assert scores.values[:2] == [0.75, 0.25]
    assert math.isnan(scores.values[2])
    # what was asked in vain was asked all the same
    assert scores.costs == [Cost(9, 60, 6)]
    assert scores.verdicts == [1, 1, 0]
    unknown = total_cost([Cost(1, 5, 5), Cost(2, None, 3)])
    assert unknown == Cost(3, None, 8)


@pytest.mark.engines
def test_likelihoods_are_means_by_hand_and_come_from_the_store_the_second_time(tmp_path: Path) -> None:
    """Against the sum over the continuation's own logits, taken by hand."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from simfarm.backends import open_model

    folder = build_tiny_model(tmp_path / "tiny")
    outputs = [
        Output("Why leap years?", "A year is a little longer.", "m"),
        Output("Why leap years?", "Because weather is not climate, and so on.", "m", sample=1),
        Output("Why leap years?", "", "m", sample=2),
        Output("Why leap years?", "A year is a little longer.", "m", sample=3),
        Output("A chat", "An answer.", "m", messages=({"role": "user", "content": "Hello."},), extra={"system": "Be."}),
    ]
    groups = sample_groups(outputs)
    likelihoods = Likelihoods(open_model(f"transformers/{folder}"), tmp_path / "s.sqlite")
    ticks: list[int] = []
    scores = likelihoods.scores(outputs, groups, lambda: ticks.append(1))
    assert (likelihoods.asked, likelihoods.cached, len(ticks)) == (3, 0, 4)
    assert math.isnan(scores.values[2])
    assert sum(likelihoods.problems.values()) == 1
    assert scores.values[0] == scores.values[3]

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    by_hand = []
    chats = [
        [{"role": "user", "content": "Why leap years?"}],
        [{"role": "user", "content": "Why leap years?"}],
        [{"role": "system", "content": "Be."}, {"role": "user", "content": "Hello."}],
    ]
    for chat, row in zip(chats, (0, 1, 4), strict=True):
        framed = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        prompt = tokenizer(framed, add_special_tokens=False)["input_ids"]
        told = tokenizer(outputs[row].output, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + told])).logits[0].log_softmax(-1)
        chosen = [logits[len(prompt) + i - 1, token].item() for i, token in enumerate(told)]
        by_hand.append(sum(chosen) / len(chosen))
    assert [scores.values[i] for i in (0, 1, 4)] == pytest.approx(by_hand, abs=1e-4)
    counts = [len(tokenizer(o.output, add_special_tokens=False)["input_ids"]) for o in outputs]
    asked = len(tokenizer("Why leap years?", add_special_tokens=False)["input_ids"])
    assert scores.costs[0] == Cost(2, 2 * asked + counts[0] + counts[1], 0)

    again = Likelihoods(open_model(f"transformers/{folder}"), tmp_path / "s.sqlite")
    second = asyncio.run(again.score(outputs, groups))
    assert (again.asked, again.cached) == (0, 3)
    assert second.values == pytest.approx(scores.values, nan_ok=True, abs=0)
    assert second.costs == scores.costs


TEMPLATE = "{% for message in messages %}{{ message['content'] }} ! {% endfor %}{% if loud %}LOUD{% endif %}"


@pytest.mark.engines
def test_likelihoods_are_framed_as_the_answers_were(tmp_path: Path) -> None:
    """The template arguments of each row, and the template given: against the same prompts rendered by hand."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = build_tiny_model(tmp_path / "tiny")
    thinking = {"temperature": 1.0, "template_args": {"thinking": True}}
    # as Parquet gives it back, where another row has a name of its own
    merged = {"template_args": {"thinking": True, "other": None}}
    recorded = [None, merged, json.dumps(thinking), "?"]
    chat: dict[str, Any] = {"role": "user", "content": "Why?"}
    outputs = [
        Output(
            "Why?",
            "A year.",
            "m",
            sample=s,
            extra={"sampling": sampling},
            messages=(chat | {"name": None} if s else chat,),
        )
        for s, sampling in enumerate(recorded)
    ]
    groups = sample_groups(outputs)
    plain_scores = scored(folder, tmp_path, outputs, groups)
    assert plain_scores.values[1] == plain_scores.values[2] != plain_scores.values[0] == plain_scores.values[3]
    # and what was computed without the arguments does not answer for them
    assert [cost.calls for cost in plain_scores.costs] == [2]

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    told = tokenizer("A year.", add_special_tokens=False)["input_ids"]

    def by_hand(**options: Any) -> float:
        chat = [{"role": "user", "content": "Why?"}]
        framed = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False, **options)
        prompt = tokenizer(framed, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + told])).logits[0].log_softmax(-1)
        return sum(logits[len(prompt) + i - 1, token].item() for i, token in enumerate(told)) / len(told)

    assert plain_scores.values[:2] == pytest.approx([by_hand(), by_hand(thinking=True)], abs=1e-4)
    outputs[1] = replace(outputs[1], extra={"sampling": {"template_args": {"loud": True}}})
    templated = scored(folder, tmp_path, outputs, groups, chat_template=TEMPLATE)
    wanted = [by_hand(chat_template=TEMPLATE), by_hand(chat_template=TEMPLATE, loud=True)]
    assert templated.values[:2] == pytest.approx(wanted, abs=1e-4)
    assert len({round(value, 2) for value in (*wanted, *plain_scores.values)}) == 4
    outputs[1] = replace(outputs[1], extra={"sampling": {"template_args": {"tokenize": True}}})
    with pytest.raises(InputError, match="template argument"):
        scored(folder, tmp_path, outputs, groups)


def scored(folder: Path, at: Path, outputs: Any, groups: Any, **more: Any) -> Scores:
    from simfarm.backends import open_model

    return Likelihoods(open_model(f"transformers/{folder}"), at / "s.sqlite", **more).scores(outputs, groups)


@pytest.mark.engines
def test_a_models_own_answers_are_read_under_the_template_they_were_given_under(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from simfarm.backends import open_model

    folder = build_tiny_model(tmp_path / "tiny", chat_template=None)
    recorded = Sampling(chat_template=TEMPLATE).recorded(0)
    own = {"model": "tiny", "revision": "0", "sampling": recorded}
    outputs = [Output("Why?", f"A year {s}.", "m", sample=s, extra=own) for s in range(2)]
    groups = sample_groups(outputs)
    with pytest.raises(InputError, match=rf"a chat template of its own \({recorded['chat_template']}\); give that"):
        scored(folder, tmp_path, outputs, groups)
    with pytest.raises(InputError, match=r"under another \(sha256:.* not under the one given"):
        scored(folder, tmp_path, outputs, groups, chat_template=TEMPLATE + " ")
    assert not any(math.isnan(v) for v in scored(folder, tmp_path, outputs, groups, chat_template=TEMPLATE).values)
    plain_ones = [replace(o, extra={**own, "sampling": {"temperature": 1.0}}) for o in outputs]
    with pytest.raises(InputError, match="leave --chat-template out"):
        scored(folder, tmp_path, plain_ones, groups, chat_template=TEMPLATE)
    # another model's answers are read under the template that this one is given, whatever theirs was
    others = [replace(o, extra={**own, "model": "other", "sampling": {"chat_template": "sha256:0"}}) for o in outputs]
    assert not any(math.isnan(v) for v in scored(folder, tmp_path, others, groups, chat_template=TEMPLATE).values)
    thought = [outputs[0], replace(outputs[1], extra={**own, "thinking": "Hm."})]
    likelihoods = Likelihoods(open_model(f"transformers/{folder}"))
    assert not likelihoods.notes(outputs, groups)
    (note,) = likelihoods.notes(thought, groups)
    assert note.startswith("warning: 1 output was thought about first")


class Counted:
    """A model in this process whose likelihood of a text follows from its length; `nats` stands in for it."""

    name = "transformers"
    base_url: str | None = None
    in_process = True
    concurrency = 4
    model = "tiny@0123"

    def __init__(self, nats: float | None = None) -> None:
        self.nats = nats
        self.asked = 0

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        """It takes everything."""

    def most_tokens(self, request: Request) -> int | None:
        return None

    async def complete(self, request: Request) -> Completion:
        raise AssertionError("a likelihood is no completion")

    async def log_likelihood(
        self, prompt: Prompt, continuation: str, framing: Mapping[str, Any] | None = None
    ) -> float:
        self.asked += 1
        return -12.25 - len(continuation) if self.nats is None else self.nats

    async def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def close(self) -> None:
        """Nothing is open."""


KEPT = {
    "8f1118365cdb69c4c8380192b4d4a64b88352fa95c3e837e222b03d50a8722ee": (-29.25, 2, 4),
    "25bea4c36a8038ea7821130a1d054d247c56b14916c581975f8720e3e3c08f05": (-29.25, 4, 4),
    "9340a47ed2025a0f7a72ea47f9125cea67f8e520e20f233c7121850d61f55f55": (-21.25, 4, 2),
}
"""Key -> nats, tokens of the prompt and of the text, as simfarm 0.1 kept the likelihoods of `ANSWERED`."""

ANSWERED = [
    Output("Why not?", "Because I say so.", "a"),
    Output(
        "Why not?",
        "No reason at all.",
        "b",
        extra={"system": "Be brief.", "sampling": {"template_args": {"enable_thinking": False}}},
    ),
    Output(
        "Why not?",
        "Too long.",
        "c",
        messages=(
            {"role": "user", "content": "Hm."},
            {"role": "assistant", "content": "Yes?"},
            {"role": "user", "content": "Why not?"},
        ),
    ),
]


def kept_row(nats: float, read: int, written: int) -> str:
    place = f'{{"token":"","logprob":{nats},"top":{{}}}}'
    return f'{{"text":"","logprobs":[{place}],"input_tokens":{read},"output_tokens":{written},"model":"tiny@0123"}}'


def test_likelihoods_that_an_earlier_version_kept_are_not_computed_again(tmp_path: Path) -> None:
    Store(tmp_path / "old.sqlite").close()
    with closing(sqlite3.connect(tmp_path / "old.sqlite")) as store, store:
        rows = [(bytes.fromhex(key), kept_row(*kept), 0.0) for key, kept in KEPT.items()]
        store.executemany("INSERT INTO completions VALUES (?, ?, ?)", rows)
    model = Counted()
    likelihoods = Likelihoods(model, tmp_path / "old.sqlite")
    scores = likelihoods.scores(ANSWERED, [[0, 1, 2]])
    assert (model.asked, likelihoods.asked, likelihoods.cached) == (0, 0, 3)
    assert scores.values == [-29.25 / 4, -29.25 / 4, -21.25 / 2]
    assert scores.costs == [Cost(3, 20, 0)]
    fresh = Likelihoods(model, tmp_path / "new.sqlite")
    assert fresh.scores(ANSWERED, [[0, 1, 2]]) == scores
    assert (model.asked, fresh.asked, fresh.cached) == (3, 3, 0)
    with closing(sqlite3.connect(tmp_path / "new.sqlite")) as store:
        written = {key.hex(): row for key, row in store.execute("SELECT key, completion FROM completions")}
    assert written == {key: kept_row(*kept) for key, kept in KEPT.items()}


@pytest.mark.parametrize("places", [None, [], [{"token": "", "logprob": -1.0, "top": {}}] * 2])
def test_a_completion_is_no_likelihood(places: list[Any] | None) -> None:
    with pytest.raises(ValueError, match="no likelihood"):
        Likelihood.from_json({"text": "", "logprobs": places})


@pytest.mark.parametrize(("nats", "value"), [(-math.inf, -9999 / 4), (5e-4, 0.0), (math.nan, None), (3.0, None)])
def test_a_likelihood_is_a_log_probability_or_none(tmp_path: Path, nats: float, value: float | None) -> None:
    likelihoods = Likelihoods(Counted(nats), tmp_path / "s.sqlite")
    (score,) = likelihoods.scores(ANSWERED[:1], [[0]]).values
    if value is None:
        assert math.isnan(score)
        (problem,) = likelihoods.problems
        assert "is no number" in problem
    else:
        assert score == value
        assert not likelihoods.problems
