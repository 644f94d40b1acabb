"""Decisions by models in this process: the labels, the words of a question, and the odds that each engine gives,
against the model's own log probabilities."""

from __future__ import annotations

import asyncio
import importlib.util
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny_model import CHAT_TEMPLATE, build_tiny_gguf, build_tiny_model

from simfarm.backends import open_model
from simfarm.backends.base import Decider, Scorer
from simfarm.backends.local.deciding import asking, ballots, check_questions, common, labels, probabilities
from simfarm.data.decision import Decision, Option, Question, distribution
from simfarm.data.exchange import CallError, Request
from simfarm.errors import InputError

BETTER = Question(
    "preference", "choice", "Which is better?", (Option("A", "answer A is better"), Option("B", "answer B is better"))
)
TRUE = Question("true", "predicate", "Answer A is correct.")
LEVELS = Question("depth", "score", "How deep is it?", (Option("shallow"), Option("middling"), Option("deep")))
MANY = Question("which", "choice", "Which number?", tuple(Option(f"v{i}") for i in range(30)))
ALL = (BETTER, TRUE, LEVELS, MANY)

CHAT = ({"role": "system", "content": "A rubric."}, {"role": "user", "content": "Two answers."})

NO_THINKING = {"template_args": {"enable_thinking": False}}


def plain(text: str) -> list[int]:
    """One token a character."""
    return [ord(character) for character in text]


def spaced(text: str) -> list[int]:
    """As SentencePiece begins a text: with a token of its own, which all labels share."""
    return [9601, *plain(text)]


def polled(questions: Sequence[Question], encode: Any = plain, sampling: Any = None, end: str = "", **how: Any) -> Any:
    request = Request("m", CHAT, sampling or {}, questions=tuple(questions))
    return ballots(
        request,
        frame=how.get("frame", lambda messages, _: plain("|".join(m["content"] for m in messages) + end)),
        encode=encode,
        decode=lambda tokens: "".join(map(chr, tokens)),
        context=how.get("context", 10_000),
    )


def test_labels_are_short_and_none_begins_another() -> None:
    assert labels(BETTER) == ("A", "B")
    assert labels(TRUE) == ("yes", "no")
    assert labels(LEVELS) == ("0", "1", "2")
    assert labels(Question("q", "score", "?", tuple(map(Option, "12345")))) == tuple("12345")
    assert labels(Question("q", "choice", "?", (Option("first"), Option("B")))) == ("A", "B")
    assert labels(Question("q", "choice", "?", (Option("é"), Option("B")))) == ("A", "B")
    for count in (26, 27, 99, 100, 255):
        named = labels(Question("q", "choice", "?", tuple(Option(f"v{i}") for i in range(count))))
        assert len(set(named)) == count
        assert len({len(label) for label in named}) == 1
        assert named[0] == {26: "A", 27: "01", 99: "01", 100: "001", 255: "001"}[count]


def test_a_question_stands_after_the_material_with_its_options() -> None:
    *before, last = asking(CHAT, BETTER)
    assert tuple(before) == CHAT[:1]
    assert last["content"] == (
        "Two answers.\n\nWhich is better?\n\nOptions:\nA: answer A is better\nB: answer B is better\n\n"
        "Answer A or B, and nothing else."
    )
    assert "0: shallow\n1: middling\n2: deep" in asking(CHAT, LEVELS)[-1]["content"]
    assert asking(CHAT, TRUE)[-1]["content"].endswith("Answer A is correct.\n\nAnswer yes or no, and nothing else.")
    answered = (*CHAT, {"role": "assistant", "content": "Well."})
    assert asking(answered, TRUE)[:3] == answered
    assert asking(answered, TRUE)[3]["role"] == "user"


def test_what_all_labels_begin_with_belongs_to_the_prompt() -> None:
    (bare,), (shared,) = polled([BETTER]), polled([BETTER], spaced)
    assert shared.prompt == [*bare.prompt, 9601]
    assert shared.options == bare.options == [[65], [66]]
    assert shared.single
    (numbers,) = polled([MANY], spaced)
    assert not numbers.single
    assert numbers.options[:2] == [plain("01"), plain("02")]


def test_the_material_is_what_all_questions_of_a_request_begin_with() -> None:
    made = polled(ALL)
    assert common([ballot.prompt for ballot in made])[: len("A rubric.|Two answers.")] == plain(
        "A rubric.|Two answers."
    )


@pytest.mark.parametrize(
    ("encode", "named"),
    [
        (lambda text: [7], "A and B"),
        (lambda text: [], "A and A"),
        (lambda text: [7] if text == "A" else [7, 8], "A and B"),
    ],
)
def test_labels_that_a_tokenizer_does_not_tell_apart_are_refused(encode: Any, named: str) -> None:
    with pytest.raises(InputError, match=f"does not tell the labels {named} .*'preference' apart: give its options"):
        polled([BETTER], encode)


@pytest.mark.parametrize("mark", ["<think>\n", "<think>", "[THINK]", "<|START_THINKING|>", "◁think▷", "<seed:think>"])
def test_a_prompt_that_ends_in_reasoning_is_refused(mark: str) -> None:
    with pytest.raises(InputError, match=r"begins the model's reasoning.*pairwise-reasoned"):
        polled([BETTER], end=mark)
    assert polled([BETTER], end=mark + "\n</think>\n\n")
    assert polled([BETTER], end=f"{mark} it says, and goes on")


def test_a_model_is_asked_not_to_think_unless_told_otherwise() -> None:
    seen: list[Any] = []

    def frame(messages: Any, sampling: Any) -> list[int]:
        seen.append(sampling)
        return plain("x")

    polled([BETTER], frame=frame)
    polled([BETTER], frame=frame, sampling={"template_args": {"enable_thinking": True, "tone": 1}, "max_tokens": 4})
    assert seen == [NO_THINKING, {"template_args": {"enable_thinking": True, "tone": 1}}]


def test_questions_without_labels_are_refused() -> None:
    too_many = Question("q", "choice", "?", tuple(Option(f"v{i}") for i in range(256)))
    with pytest.raises(InputError, match=r"'q' has 256 options .* 2 to 255: take fewer"):
        check_questions([BETTER, too_many])
    with pytest.raises(InputError, match="11 levels"):
        check_questions([Question("q", "score", "?", tuple(Option(f"v{i}") for i in range(11)))])
    with pytest.raises(InputError, match="1 options"):
        check_questions([Question("q", "choice", "?", (Option("A"),))])
    with pytest.raises(InputError, match="an option twice"):
        check_questions([Question("q", "choice", "?", (Option("A"), Option("A")))])
    check_questions(ALL)


def test_a_prompt_that_leaves_no_room_for_its_labels_is_a_rows_error() -> None:
    (made,) = polled([BETTER])
    assert polled([BETTER], context=len(made.prompt) + 1)
    with pytest.raises(CallError, match="the context holds"):
        polled([BETTER], context=len(made.prompt))


def test_probabilities_are_the_softmax_and_none_of_what_is_no_number() -> None:
    got = probabilities(BETTER, [-1000.0, -1000.0 - math.log(3)])
    assert got == {"A": pytest.approx(0.75), "B": pytest.approx(0.25)}
    assert probabilities(BETTER, [-2.0, -math.inf]) == {"A": 1.0, "B": 0.0}
    for nats in ([-1.0, math.nan], [math.nan, -1.0], [math.inf, -1.0], [-math.inf, -math.inf]):
        none = probabilities(BETTER, nats)
        assert none == {"A": None, "B": None}
        with pytest.raises(ValueError, match="the probability of A is no number"):
            distribution(BETTER, Decision({"preference": none}))


# with a real engine

ENGINES = ["transformers", "openvino", "vllm"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    return build_tiny_model(tmp_path_factory.mktemp("tiny"), context=512)


@pytest.fixture(scope="module", params=ENGINES)
def model(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scorer]:
    if request.param == "vllm":
        if importlib.util.find_spec("vllm") is None:
            pytest.skip("vllm is not installed")
        wide = build_tiny_model(tmp_path_factory.mktemp("wide"), context=512, width=128)
        options = {"dtype": "float32", "enforce_eager": True, "max_model_len": 512, "max_num_seqs": 16}
        opened = open_model(f"vllm/{wide}", options)
    elif request.param == "openvino":
        pytest.importorskip("openvino_genai")
        pytest.importorskip("gguf")
        file = build_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", context=512)
        opened = open_model(str(file), {"dtype": "f32"})
    else:
        opened = open_model(f"transformers/{folder}", {})
    assert isinstance(opened, Decider)
    yield opened
    asyncio.run(opened.close())


async def decide(model: Any, *questions: Question, messages: Any = CHAT, **sampling: Any) -> Decision:
    got = await model.decide(Request(model.model, messages, sampling, questions=questions))
    assert isinstance(got, Decision)
    return got


def apart(one: Decision, other: Decision) -> float:
    """The largest difference of two decisions' probabilities, over the questions that both answer."""
    shared = one.answers.keys() & other.answers.keys()
    assert shared
    return max(
        abs((one.answers[name][value] or 0.0) - (chance or 0.0))
        for name in shared
        for value, chance in other.answers[name].items()
    )


@pytest.mark.engines
async def test_a_decision_is_the_softmax_of_the_labels_likelihoods(model: Any) -> None:
    got = await decide(model, *ALL)
    for question in ALL:
        told = [await model.log_likelihood(asking(CHAT, question), label, NO_THINKING) for label in labels(question)]
        assert got.answers[question.name] == pytest.approx(probabilities(question, told), abs=1e-3)
        assert math.fsum(distribution(question, got).values()) == pytest.approx(1)
    assert got.output_tokens == 0
    assert got.model == model.model
    assert got.engine is not None
    assert got.engine.startswith(model.name)


@pytest.mark.engines
async def test_many_questions_are_answered_as_each_alone_and_read_once(model: Any) -> None:
    together = await decide(model, *ALL)
    alone = [await decide(model, question) for question in ALL]
    assert max(apart(together, one) for one in alone) < 1e-3
    assert together.input_tokens < sum(one.input_tokens or 0 for one in alone) - 3 * 20
    assert apart(together, await decide(model, *reversed(ALL))) < 1e-3


@pytest.mark.engines
async def test_neither_the_batch_nor_its_padding_matters(model: Any) -> None:
    chats = [(CHAT[0], {"role": "user", "content": "Two answers. " * (n % 5 + 1) + str(n)}) for n in range(20)]
    at_once = await asyncio.gather(*(decide(model, BETTER, messages=chat) for chat in chats))
    mixed = await asyncio.gather(*(decide(model, BETTER, TRUE, LEVELS, messages=chat) for chat in chats[:3]))
    for chat, got in zip(chats, at_once, strict=True):
        assert apart(got, await decide(model, BETTER, messages=chat)) < 1e-3
    for one, other in zip(mixed, at_once, strict=False):
        assert apart(one, other) < 1e-3
    assert len({got.answers["preference"]["A"] for got in at_once}) > 10


@pytest.mark.engines
async def test_what_cannot_be_decided_is_that_rows_error(model: Any) -> None:
    long = (CHAT[0], {"role": "user", "content": "word " * 2000})
    fits, failed = await asyncio.gather(
        decide(model, BETTER), decide(model, BETTER, messages=long), return_exceptions=True
    )
    assert isinstance(fits, Decision)
    assert isinstance(failed, CallError)
    with pytest.raises(InputError, match="begins the model's reasoning"):
        await decide(model, BETTER, template_args={"thinking": True})
    other = await decide(model, BETTER, chat_template="{{ messages[-1]['content'] }}")
    assert apart(other, await decide(model, BETTER)) > 1e-3


@pytest.mark.engines
async def test_transformers_gives_a_plain_forward_pass(folder: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    words = transformers.AutoTokenizer.from_pretrained(folder)
    bare = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = open_model(f"transformers/{folder}", {})
    got = await decide(model, BETTER, LEVELS)
    for question in (BETTER, LEVELS):
        text = words.apply_chat_template(
            [dict(m) for m in asking(CHAT, question)], tokenize=False, add_generation_prompt=True
        )
        with torch.no_grad():
            last = bare(**words(text, return_tensors="pt", add_special_tokens=False)).logits[0, -1]
        ids = [words.convert_tokens_to_ids(label) for label in labels(question)]
        assert list(got.answers[question.name].values()) == pytest.approx(last[ids].softmax(-1).tolist(), abs=1e-5)
    await model.close()


@pytest.mark.engines
@pytest.mark.parametrize("options", [{"batch_size": 2}, {"batching": "continuous"}])
async def test_transformers_in_small_batches_and_between_steps_of_a_stream(folder: Path, options: Any) -> None:
    usual, model = open_model(f"transformers/{folder}", {}), open_model(f"transformers/{folder}", options)
    wanted, got = await decide(usual, *ALL), await decide(model, *ALL)
    assert apart(wanted, got) < 1e-3
    assert wanted.input_tokens == got.input_tokens
    await usual.close()
    await model.close()


@pytest.mark.engines
async def test_a_letter_of_several_tokens_comes_out_right(tmp_path: Path) -> None:
    """As SentencePiece has it: every text begins with a token "▁", which all labels share."""
    pytest.importorskip("torch")
    from tokenizers import normalizers
    from transformers import AutoTokenizer

    folder = build_tiny_model(tmp_path, context=512)
    words = AutoTokenizer.from_pretrained(folder)
    words.backend_tokenizer.normalizer = normalizers.Prepend("~")
    words.save_pretrained(folder)
    assert [len(words(label, add_special_tokens=False).input_ids) for label in "AB"] == [2, 2]
    model = open_model(f"transformers/{folder}", {})
    got = await decide(model, *ALL)
    for question in ALL:
        told = [await model.log_likelihood(asking(CHAT, question), label, NO_THINKING) for label in labels(question)]
        assert got.answers[question.name] == pytest.approx(probabilities(question, told), abs=1e-3)
    await model.close()


@pytest.mark.engines
async def test_a_model_whose_arithmetic_fails_gives_no_probability(tmp_path: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    folder = build_tiny_model(tmp_path, context=512, chat_template=CHAT_TEMPLATE)
    broken = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for layer in broken.model.layers:
        layer.mlp.down_proj.weight.data *= 1e30
    broken.save_pretrained(folder)
    model = open_model(f"transformers/{folder}", {"dtype": "float16"})
    got = await decide(model, BETTER)
    assert got.answers == {"preference": {"A": None, "B": None}}
    await model.close()


@pytest.mark.engines
async def test_openvino_keeps_what_prompts_begin_with_for_decisions_alone(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino_genai")
    pytest.importorskip("gguf")
    file = str(build_tiny_gguf(tmp_path / "tiny.gguf", context=512))
    usual, kept = open_model(file, {"dtype": "f32"}), open_model(file, {"dtype": "f32", "prefix_caching": True})
    wanted = await decide(usual, *ALL)
    likely = await usual.log_likelihood(CHAT, "Because.")
    assert apart(wanted, await decide(kept, BETTER, LEVELS)) < 1e-3
    with pytest.raises(InputError, match="the options of the question 'which' whole, which it cannot with prefix_cach"):
        await decide(kept, BETTER, MANY)
    assert await usual.log_likelihood(CHAT, "Because.") == pytest.approx(likely, abs=1e-6)
    await usual.close()
    await kept.close()
