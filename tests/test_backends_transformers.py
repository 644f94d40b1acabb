"""The transformers backend on a tiny model with random weights: every answer checked against transformers itself."""

import asyncio
import gc
import importlib.util
import json
import shutil
import weakref
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import chi2
from tiny_model import CHAT_TEMPLATE, TEXTS, build_tiny_model

from simfarm.backends import open_model
from simfarm.backends.base import Scorer
from simfarm.backends.transformers.backend import STREAMS_SINCE
from simfarm.data.exchange import CallError, Completion, Request
from simfarm.errors import InputError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = pytest.mark.engines

streams = pytest.mark.skipif(
    tuple(map(int, version("transformers").split(".")[:2])) < STREAMS_SINCE, reason="its batches go with no others"
)
BATCHINGS = ["padded", pytest.param("continuous", marks=streams)]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """Threads that wait for each other on a busy machine are slower than one."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def reference(folder: Path) -> tuple[Any, Any]:
    """(model, tokenizer), read by transformers without simfarm."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def chat(text: str, **sampling: Any) -> Request:
    return Request("tiny", ({"role": "user", "content": text},), {"max_tokens": 12, **sampling})


def ask(
    folder: Path,
    requests: list[Request],
    look: Callable[[Scorer], None] = lambda _: None,
    **options: Any,
) -> list[Any]:
    """What the backend answers (or raises) when all are asked at once."""

    async def run() -> list[Any]:
        backend = open_model(f"transformers/{folder}", {"device": "cpu", **options})
        try:
            answers = await asyncio.gather(*map(backend.complete, requests), return_exceptions=True)
            look(backend)
            return answers
        finally:
            await backend.close()

    return asyncio.run(run())


def prompt_ids(tokenizer: Any, text: str) -> list[int]:
    framed = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
    )
    return list(tokenizer(framed, add_special_tokens=False).input_ids)


@pytest.mark.parametrize("batching", BATCHINGS)
def test_greedy_answers_are_those_of_generate(folder: Path, reference: tuple[Any, Any], batching: str) -> None:
    model, tokenizer = reference
    answers = ask(folder, [chat(text) for text in TEXTS], batching=batching, batch_size=4)
    ended = 0
    for text, answer in zip(TEXTS, answers, strict=True):
        ids = prompt_ids(tokenizer, text)
        whole = model.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False)[0, len(ids) :].tolist()
        assert answer.text == tokenizer.decode(whole, skip_special_tokens=True)
        assert (answer.input_tokens, answer.output_tokens) == (len(ids), len(whole))
        stopped = whole[-1] == tokenizer.eos_token_id
        assert answer.finish_reason == ("stop" if stopped else "length")
        ended += stopped
        assert answer.engine.startswith("transformers 5.")
        assert answer.model.startswith(f"{folder.name}@")
    assert 0 < ended < len(TEXTS), "the tiny model should end some answers and not others"


@streams
def test_a_seeded_answer_is_the_same_alone_in_a_batch_and_in_a_stream(folder: Path) -> None:
    requests = [
        chat(text, temperature=0.5 + 0.3 * i, top_p=1.0 if i % 2 else 0.9, seed=i) for i, text in enumerate(TEXTS)
    ]
    together = [a.text for a in ask(folder, requests)]
    assert together == [a.text for a in ask(folder, requests, batch_size=1)]
    assert together == [a.text for a in ask(folder, list(reversed(requests)), batching="continuous")][::-1]
    other = [a.text for a in ask(folder, [chat(TEXTS[0], temperature=1.0, seed=s) for s in (1, 1, 2, None, None)])]
    assert other[0] == other[1]
    assert len(set(other)) == 4


def test_two_prompts_share_a_seed_but_not_its_luck() -> None:
    from simfarm.backends.transformers.sampler import Draws

    keys = {(seed, prompt): Draws(seed, list(prompt)).key(0) for seed in (1, 2) for prompt in ((5, 6), (5, 7))}
    assert len(set(keys.values())) == 4
    assert Draws(1, [5, 6]).key(0) == keys[1, (5, 6)]
    assert Draws(None, [5, 6]).key(0) != Draws(None, [5, 6]).key(0)


def test_tokens_are_drawn_as_often_as_the_model_says(folder: Path, reference: tuple[Any, Any]) -> None:
    from simfarm.backends.transformers.sampler import Draws, gumbel, nucleus

    model, tokenizer = reference
    logits = model(torch.tensor([prompt_ids(tokenizer, TEXTS[0])])).logits[0, -1].detach()
    draws = 40_000
    keys = torch.tensor([Draws(7, []).key(step) for step in range(draws)], dtype=torch.int32)
    assert len(set(keys.tolist())) > draws - 5

    def likely(chosen: Any, probabilities: Any) -> float:
        """The chi-square test's p-value, of the tokens expected at least five times and all others as one."""
        expected = draws * probabilities
        counts = torch.bincount(chosen, minlength=len(expected)).double()
        often = expected >= 5
        rest = max(float(expected[~often].sum()), 1e-9)
        square = ((counts - expected)[often] ** 2 / expected[often]).sum() + (counts[~often].sum() - rest) ** 2 / rest
        return float(chi2.sf(float(square), int(often.sum())))

    warm = logits.double() / 0.8
    chosen = (warm + gumbel(keys, len(logits))).argmax(-1)
    assert 0.001 < likely(chosen, warm.softmax(-1)) < 0.999
    assert likely(chosen, logits.double().softmax(-1)) < 1e-6

    cut = nucleus(logits[None], torch.tensor([0.7]), head=4)[0]
    ordered = logits.softmax(-1).sort(descending=True)
    inside = set(ordered.indices[: int((ordered.values.cumsum(-1) < 0.7).sum()) + 1].tolist())
    assert {i for i, value in enumerate(cut.tolist()) if value > -float("inf")} == inside
    chosen = (cut + gumbel(keys, len(logits))).argmax(-1)
    assert set(chosen.tolist()) <= inside
    assert 0.001 < likely(chosen, cut.double().softmax(-1)) < 0.999


def test_noise_is_gumbel_and_two_keys_share_nothing() -> None:
    from simfarm.backends.transformers.sampler import gumbel

    noise = gumbel(torch.tensor([1, 2, -5], dtype=torch.int32), 200_000).double()
    assert torch.isfinite(noise).all()
    assert noise.mean(-1).tolist() == pytest.approx([0.5772] * 3, abs=0.015)
    assert noise.var(-1).tolist() == pytest.approx([1.6449] * 3, abs=0.04)
    uniform = torch.exp(-torch.exp(-noise))
    for shift in range(-3, 4):
        pairs = torch.corrcoef(torch.stack([uniform[0], uniform[1].roll(shift), uniform[2].roll(-shift)]))
        assert (pairs - torch.eye(3)).abs().max() < 0.012
    assert (uniform[0][1:] * uniform[0][:-1]).mean() == pytest.approx(0.25, abs=0.003)


@pytest.mark.parametrize("batching", BATCHINGS)
def test_stop_strings_cut_the_text_and_end_the_answer(folder: Path, batching: str) -> None:
    whole = ask(folder, [chat(TEXTS[0])])[0].text
    stop = whole[4:7]
    cut, two, none = ask(
        folder,
        [chat(TEXTS[0], stop=stop), chat(TEXTS[0], stop=["never said", whole[2:4]]), chat(TEXTS[0], stop=["never"])],
        batching=batching,
    )
    assert (cut.text, cut.finish_reason) == (whole[: whole.index(stop)], "stop")
    assert cut.output_tokens < 12
    assert (two.text, two.finish_reason) == (whole[: whole.index(whole[2:4])], "stop")
    assert (none.text, none.finish_reason) == (whole, "length")


@pytest.mark.parametrize("batching", BATCHINGS)
def test_a_prompt_beyond_the_context_fails_alone_and_the_others_fill_theirs(folder: Path, batching: str) -> None:
    long, room = chat("word " * 300), chat("jug " * 100, max_tokens=10_000)
    fine = chat(TEXTS[0])
    first, refused, filled = ask(folder, [fine, long, room], batching=batching)
    assert first.text == ask(folder, [fine])[0].text
    assert isinstance(refused, CallError)
    found = [int(word) for word in str(refused).split() if word.isdigit()]
    assert str(refused) == f"the prompt has {found[0]} tokens and the context holds 256"
    assert found[0] > 256
    assert filled.input_tokens + filled.output_tokens == 256 or filled.finish_reason == "stop"
    assert filled.output_tokens > 12


def test_log_probabilities_are_the_models_own_whatever_the_sampling(folder: Path, reference: tuple[Any, Any]) -> None:
    model, tokenizer = reference
    answers = ask(
        folder,
        [
            chat(TEXTS[0], logprobs=3, temperature=2.0, seed=5, repetition_penalty=1.5),
            chat(TEXTS[1], logprobs=5),
            chat(TEXTS[2]),
        ],
    )
    for text, answer, count in zip(TEXTS, answers[:2], (3, 5), strict=False):
        assert len(answer.logprobs) == answer.output_tokens
        ids = prompt_ids(tokenizer, text)
        for said in answer.logprobs:
            told = model(torch.tensor([ids])).logits[0, -1].detach().double().log_softmax(-1)
            best = told.topk(count)
            spelt = [tokenizer.decode([i]) for i in best.indices.tolist()]
            assert list(said.top) == list(dict.fromkeys(spelt))
            assert said.top[spelt[0]] == pytest.approx(float(best.values[0]), abs=1e-4)
            likely = [i for i, value in enumerate(told.tolist()) if abs(value - said.logprob) < 1e-4]
            token = next(i for i in likely if tokenizer.decode([i]) == said.token)
            ids.append(token)
    assert answers[2].logprobs is None


def test_the_repetition_penalty_is_each_rows_own(folder: Path, reference: tuple[Any, Any]) -> None:
    model, tokenizer = reference
    penalties = [1.0, 1.3, 2.0]
    answers = ask(folder, [chat(TEXTS[i], repetition_penalty=p, max_tokens=30) for i, p in enumerate(penalties)])
    for text, penalty, answer in zip(TEXTS, penalties, answers, strict=False):
        ids = prompt_ids(tokenizer, text)
        whole = model.generate(torch.tensor([ids]), max_new_tokens=30, do_sample=False, repetition_penalty=penalty)[
            0, len(ids) :
        ]
        assert answer.text == tokenizer.decode(whole, skip_special_tokens=True)


def by_hand(model: Any, prompt: list[int], continuation: list[int]) -> float:
    told = model(torch.tensor([prompt + continuation])).logits[0].detach().double().log_softmax(-1)
    return sum(float(told[len(prompt) + i - 1, token]) for i, token in enumerate(continuation))


@pytest.mark.parametrize("batching", BATCHINGS)
async def test_a_likelihood_is_the_sum_over_the_continuation(
    folder: Path, reference: tuple[Any, Any], batching: str
) -> None:
    model, tokenizer = reference
    texts = [" a", " the fox jumps", " over thirty years of weather", "."]
    messages = [{"role": "user", "content": TEXTS[3]}]
    asked = [
        *[(TEXTS[0], text) for text in texts],
        *[(messages, text) for text in texts],
        *[(text, " and then") for text in TEXTS[1:]],
    ]
    backend = open_model(f"transformers/{folder}", {"device": "cpu", "batching": batching})
    together = await asyncio.gather(*[backend.log_likelihood(p, c) for p, c in asked])
    alone = [await backend.log_likelihood(p, c) for p, c in asked[::3]]
    for bad, why in (
        (("a", ""), "continuation is empty"),
        (("", "a"), "prompt is empty"),
        (("a b " * 200, "c"), "256"),
    ):
        with pytest.raises(CallError, match=why):
            await backend.log_likelihood(*bad)
    assert await backend.count_tokens(TEXTS[1]) == len(tokenizer(TEXTS[1], add_special_tokens=False).input_ids)
    await backend.close()
    expected = []
    for prompt, text in asked:
        ids = tokenizer(prompt).input_ids if isinstance(prompt, str) else prompt_ids(tokenizer, TEXTS[3])
        expected.append(by_hand(model, ids, tokenizer(text, add_special_tokens=False).input_ids))
    assert together == pytest.approx(expected, abs=1e-4)
    assert alone == pytest.approx(expected[::3], abs=1e-4)


def test_a_likelihood_read_in_pieces_is_the_same(folder: Path, reference: tuple[Any, Any]) -> None:
    from simfarm.backends.transformers.checkpoint import Checkpoint
    from simfarm.backends.transformers.scoring import log_likelihoods

    model, _ = reference
    checkpoint = Checkpoint(folder, "tiny", device="cpu", dtype="float32", attention=None, adapter=None)
    pairs = [([5, 9, 7, 4], list(range(20, 60))), ([5, 9], [8, 3]), ([6], [11] * 17)]
    one = [([5, 9, 7], [8]), ([5, 9, 7], [4, 100, 3, 2, 5])]
    for rows in (pairs, one, pairs[:1]):
        expected = [by_hand(model, *pair) for pair in rows]
        for step in (1, 3, 1000):
            cells = step * len(rows) * model.config.vocab_size
            assert log_likelihoods(checkpoint, rows, cells) == pytest.approx(expected, abs=1e-4)


def test_template_options_reach_the_template(folder: Path, reference: tuple[Any, Any]) -> None:
    _, tokenizer = reference
    thinking = "{% for m in messages %}{{ m.content }}{% endfor %}{{ mood }}"
    plain, framed, other = ask(
        folder,
        [
            chat(TEXTS[0]),
            chat(TEXTS[0], template_args={"thinking": True}),
            chat(TEXTS[0], chat_template=thinking, template_args={"mood": " now"}),
        ],
    )
    assert framed.input_tokens == plain.input_tokens + len(tokenizer("<think>\n", add_special_tokens=False).input_ids)
    assert other.input_tokens == len(tokenizer(TEXTS[0] + " now", add_special_tokens=False).input_ids)


def test_templates_that_cannot_be_used_are_said_in_a_line(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path / "base", chat_template=None)
    bare, given, broken, refuses, fails, nothing, odd = ask(
        folder,
        [
            chat(TEXTS[0]),
            chat(TEXTS[0], chat_template=CHAT_TEMPLATE),
            chat(TEXTS[0], chat_template="{% for %}"),
            chat(TEXTS[0], chat_template="{{ raise_exception('no system role here') }}"),
            chat(TEXTS[0], chat_template="{{ messages[0].content / 0 }}"),
            chat(TEXTS[0], chat_template="{% if false %}{{ messages }}{% endif %}"),
            chat("half a pair: \ud800", chat_template=CHAT_TEMPLATE),
        ],
    )
    assert isinstance(bare, InputError)
    assert "has no chat template: give one with --chat-template FILE" in str(bare)
    assert isinstance(given, Completion)
    assert isinstance(broken, InputError)
    assert "not valid Jinja (line 1" in str(broken)
    assert isinstance(refuses, CallError)
    assert "no system role here" in str(refuses)
    assert isinstance(fails, CallError)
    assert str(fails) == "the chat template fails on these messages (TypeError)"
    assert isinstance(nothing, CallError)
    assert "renders nothing" in str(nothing)
    assert isinstance(odd, CallError)
    assert "not valid Unicode" in str(odd)


@pytest.mark.parametrize("batching", BATCHINGS)
def test_a_prompt_of_no_tokens_fails_alone(folder: Path, batching: str) -> None:
    fine = [chat(text) for text in TEXTS[:3]]
    expected = [a.text for a in ask(folder, fine)]
    nothing = chat("", chat_template="{{ messages[0].content }}")
    first, empty, *others = ask(folder, [fine[0], nothing, *fine[1:]], batching=batching)
    assert isinstance(empty, CallError)
    assert "renders nothing" in str(empty)
    assert [first.text, *(a.text for a in others)] == expected
    assert isinstance(ask(folder, [nothing], batching=batching)[0], CallError)


def test_a_prompt_is_framed_whole_whatever_the_tokenizer_was_saved_with(folder: Path, tmp_path: Path) -> None:
    from simfarm.backends.local.framing import encode, frame

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    saved = json.loads((copy / "tokenizer.json").read_text())
    saved["truncation"] = {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
    (copy / "tokenizer.json").write_text(json.dumps(saved))
    transformers = pytest.importorskip("transformers")
    cutting, plain = (transformers.AutoTokenizer.from_pretrained(path) for path in (copy, folder))
    messages = [{"role": "user", "content": TEXTS[0]}]
    assert frame(cutting, "tiny", messages, {}) == prompt_ids(plain, TEXTS[0])
    assert len(encode(cutting, TEXTS[0] * 50)) > 256
    with pytest.raises(InputError, match="template argument 'truncation' is simfarm's to set"):
        frame(plain, "tiny", messages, {"template_args": {"truncation": True}})


def test_room_and_stops() -> None:
    from simfarm.backends.local.framing import before, check_pair, room, stops

    assert [room(10, 30, wanted) for wanted in (5, 25, None)] == [5, 20, 20]
    assert (room(29, 30, 9), room(10, None, 5)) == (1, 5)
    with pytest.raises(CallError, match="the prompt has 30 tokens and the context holds 30"):
        room(30, 30, 1)
    check_pair([1, 2], [3], 3)
    with pytest.raises(CallError, match="have 3 tokens and the context holds 2"):
        check_pair([1, 2], [3], 2)
    assert [stops(s) for s in ({}, {"stop": None}, {"stop": "ab"}, {"stop": ["a", "b"]})] == [
        (),
        (),
        ("ab",),
        ("a", "b"),
    ]
    assert before("one two three", ("three", "two")) == "one "
    assert before("one two three", ("four",)) == "one two three"


@pytest.mark.parametrize("batching", BATCHINGS)
async def test_a_likelihood_is_framed_as_its_answer_was(
    folder: Path, reference: tuple[Any, Any], batching: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from simfarm.backends.transformers import padded as batches

    calls: list[int] = []
    whole = batches.log_likelihoods

    def counted(checkpoint: Any, pairs: Any) -> list[float]:
        calls.append(len(pairs))
        return whole(checkpoint, pairs)

    monkeypatch.setattr(batches, "log_likelihoods", counted)
    model, tokenizer = reference
    messages = [{"role": "user", "content": TEXTS[3]}]
    framing = {"chat_template": "{{ messages[0].content }}{{ mood }}", "template_args": {"mood": " now"}}
    backend = open_model(f"transformers/{folder}", {"device": "cpu", "batching": batching})
    asked = [(TEXTS[3] + " now", None), (TEXTS[3], None)]
    told = await asyncio.gather(
        backend.log_likelihood(messages, " and", framing),
        backend.log_likelihood(messages, " then", dict(framing)),
        backend.log_likelihood(messages, " and", {"template_args": {"thinking": True}}),
        backend.log_likelihood(messages, " and"),
    )
    await backend.close()
    bare = tokenizer(asked[0][0], add_special_tokens=False).input_ids
    thinking = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, thinking=True)
    prompts = [bare, bare, tokenizer(thinking).input_ids, prompt_ids(tokenizer, TEXTS[3])]
    texts = [tokenizer(text, add_special_tokens=False).input_ids for text in (" and", " then", " and", " and")]
    assert told == pytest.approx([by_hand(model, *pair) for pair in zip(prompts, texts, strict=True)], abs=1e-4)
    assert calls == [2, 2], "likelihoods of one framed prompt go together"


@pytest.mark.parametrize("batching", BATCHINGS)
def test_sampling_at_its_edges_is_greedy(folder: Path, batching: str) -> None:
    greedy, cold, empty, narrow = ask(
        folder,
        [
            chat(TEXTS[0]),
            chat(TEXTS[0], temperature=1e-39, seed=1),
            chat(TEXTS[0], temperature=2.0, top_p=0, seed=1),
            chat(TEXTS[0], temperature=2.0, top_p=1.0, seed=1),
        ],
        batching=batching,
    )
    assert cold.text == greedy.text
    assert empty.text == greedy.text
    assert narrow.text != greedy.text


def test_more_log_probabilities_than_tokens_are_all_there_are(folder: Path, reference: tuple[Any, Any]) -> None:
    _, tokenizer = reference
    every, plain = ask(folder, [chat(TEXTS[0], logprobs=1000, max_tokens=2), chat(TEXTS[0], max_tokens=2)])
    assert every.text == plain.text
    assert set(every.logprobs[0].top) == {tokenizer.decode([token]) for token in range(400)}


def test_tokens_that_the_model_has_no_row_for_fail_alone(folder: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    tokenizer = transformers.AutoTokenizer.from_pretrained(copy)
    tokenizer.add_tokens(["zebrafish"])
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.save_pretrained(copy)
    fine = [chat(TEXTS[0]), chat(TEXTS[1])]
    first, odd, second = ask(copy, [fine[0], chat("a zebrafish"), fine[1]])
    assert [first.text, second.text] == [a.text for a in ask(folder, fine)]
    assert isinstance(odd, CallError)
    assert str(odd).startswith("the tokenizer gives token 400 and the model has 400")


@streams
def test_a_request_that_continuous_batching_refuses_fails_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from simfarm.backends.transformers import continuous as stream

    processors = stream.ContinuousBatchingLogitsProcessorList
    whole = processors.check_kwargs

    def picky(self: Any, given: dict[str, Any]) -> None:
        if given.get("temperature") == 0.7:
            raise ValueError("no such warmth\nwith a page about it")
        whole(self, given)

    monkeypatch.setattr(processors, "check_kwargs", picky)
    requests = [chat(TEXTS[0]), chat(TEXTS[1], temperature=0.7), chat(TEXTS[2], temperature=0.9, seed=3)]
    first, refused, last = ask(folder, requests, batching="continuous")
    assert [first.text, last.text] == [a.text for a in ask(folder, requests[::2])]
    assert isinstance(refused, CallError)
    assert str(refused) == "transformers failed on this request (no such warmth)"
    assert not [record for record in caplog.records if record.exc_info], "no traceback on the user's terminal"


@streams
def test_a_running_batch_that_breaks_is_everybodys_and_takes_nobody_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from simfarm.backends.transformers import continuous as stream
    from simfarm.backends.transformers.checkpoint import Checkpoint
    from simfarm.backends.transformers.sampler import Draws, Row

    checkpoint = Checkpoint(folder, "tiny", device="cpu", dtype="float32", attention=None, adapter=None)
    running = stream.Stream(checkpoint)
    running.manager.stop(hard_stop=True)
    row = Row(None, [5, 6], 4, 0.0, 1.0, 1.0, Draws(1, [5, 6]), (), None)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="the batch has stopped"):
        running.add(row)

    def broken(self: stream.Noise, scores: Any, tensor_arg: Any) -> Any:
        raise RuntimeError("a kernel is missing\nwith a page about it")

    monkeypatch.setattr(stream.Noise, "__call__", broken)
    for answer in ask(folder, [chat(text) for text in TEXTS], batching="continuous"):
        assert isinstance(answer, InputError)
        assert "transformers failed while it ran (a kernel is missing)" in str(answer)
    assert not [record for record in caplog.records if record.exc_info], "no traceback on the user's terminal"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tensor_parallel_size": 2}, "unknown engine option 'tensor_parallel_size': transformers/ takes adapter, "),
        ({"dtype": "int3"}, "dtype=int3: transformers/ runs a model in auto, bfloat16"),
        ({"device": "tpu"}, "device=tpu: must be cpu, cuda"),
        ({"device": "cuda:99"}, "sees no such GPU here"),
        ({"device": "cuda:²"}, "device=cuda:²: must be cpu, cuda"),
        ({"batch_size": 0}, "batch_size=0: must be a whole number above 0"),
        ({"batch_size": "²"}, "batch_size=²: must be a whole number above 0"),
        ({"attn_implementation": "foo"}, "attn_implementation=foo: must be one of eager, sdpa, "),
        ({"attn_implementation": "kernels-community/vllm-flash-attn3"}, "must be one of eager, sdpa, "),
        ({"batching": "none"}, "must be padded or continuous"),
        ({"adapter": "/nowhere"}, "no folder with a LoRA adapter"),
    ],
)
def test_options_that_cannot_be_are_refused_before_loading(folder: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as refused:
        open_model(f"transformers/{folder}", options)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_continuous_batching_of_an_older_transformers_is_refused_before_loading(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simfarm.backends.transformers.backend.version", lambda _: "5.17.0")
    assert ask(folder, [chat(TEXTS[0])])[0].text
    with pytest.raises(InputError, match=r"batching=continuous needs transformers>=5\.19, here is 5\.17\.0"):
        open_model(f"transformers/{folder}", {"device": "cpu", "batching": "continuous"})


@pytest.mark.parametrize("batching", BATCHINGS)
def test_an_answer_held_to_choices_is_the_likeliest_of_them(
    folder: Path, reference: tuple[Any, Any], batching: str
) -> None:
    model, tokenizer = reference
    choices = ["[[A]]", "[[B]]", "[[A>B]]"]
    held = [chat(text, choices=choices, logprobs=2) for text in TEXTS]
    free = chat(TEXTS[0])
    *answers, among = ask(folder, [*held, free], batching=batching, batch_size=4)
    assert among.text == ask(folder, [free])[0].text
    tails = {choice: [*tokenizer(choice, add_special_tokens=False).input_ids, 2] for choice in choices}
    assert tokenizer.eos_token_id == 2
    for text, answer in zip(TEXTS, answers, strict=True):
        ids, said = prompt_ids(tokenizer, text), []
        while said not in tails.values():
            open_to = {tail[len(said)] for tail in tails.values() if tail[: len(said)] == said}
            logits = model(torch.tensor([ids + said])).logits[0, -1].detach()
            said.append(max(open_to, key=lambda token: float(logits[token])))
        assert tails[answer.text] == said
        assert answer.finish_reason == "stop"
        # the log probabilities stay the model's own
        assert answer.logprobs[0].logprob < answer.logprobs[0].top[max(answer.logprobs[0].top)]
    warm = ask(folder, [chat(TEXTS[0], choices=choices, temperature=2.0, seed=s) for s in range(20)], batching=batching)
    assert {answer.text for answer in warm} == set(choices)


def test_a_choice_that_begins_another_can_be_the_answer(folder: Path) -> None:
    for choices in (["A", "A>B"], ["A>B", "A"]):
        answers = ask(folder, [chat(TEXTS[0], choices=choices, temperature=9.0, seed=s) for s in range(20)])
        assert {answer.text for answer in answers} == {"A", "A>B"}


def test_a_choice_ends_the_answer_of_a_model_without_an_end(folder: Path, tmp_path: Path) -> None:
    endless = tmp_path / "endless"
    shutil.copytree(folder, endless)
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        held = json.loads((endless / name).read_text())
        (endless / name).write_text(json.dumps(held | {"eos_token_id": None, "eos_token": None}))
    (answer,) = ask(endless, [chat(TEXTS[0], choices=["[[A]]", "[[B]]"])])
    assert (answer.text in ("[[A]]", "[[B]]"), answer.finish_reason) == (True, "stop")


def test_sampling_that_no_engine_has_is_refused(folder: Path) -> None:
    backend = open_model(f"transformers/{folder}", {"device": "cpu"})
    backend.check(backend.model, {"temperature": 1, "seed": 3, "template_args": {}})
    with pytest.raises(InputError, match="takes no effort"):
        backend.check(backend.model, {"effort": "low"})
    for name, value in (("tokenize", True), ("max_length", 5), ("continue_final_message", True), ("messages", [])):
        with pytest.raises(InputError, match=f"template argument '{name}' is simfarm's to set"):
            backend.check(backend.model, {"template_args": {name: value}})
    with pytest.raises(InputError, match="template_args must hold names and values"):
        backend.check(backend.model, {"template_args": "thinking"})


def test_the_name_changes_with_weights_and_precision(folder: Path, tmp_path: Path) -> None:
    def name(path: Path, **options: Any) -> str:
        return open_model(f"transformers/{path}", {"device": "cpu", **options}).model

    other = build_tiny_model(tmp_path / folder.name, seed=1)
    names = [name(folder), name(folder, dtype="bfloat16"), name(other)]
    assert len(set(names)) == 3
    assert name(folder, dtype="float32", batch_size=3) == names[0]
    with pytest.raises(InputError, match="openvino/"):
        name(tmp_path / "weights.gguf")


def test_the_weights_are_read_once_for_their_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from simfarm.backends.local import models as local

    read: list[str] = []
    whole = local._file_digest

    def counted(path: Path) -> str:
        read.append(path.name)
        return whole(path)

    monkeypatch.setattr(local, "_file_digest", counted)
    open_model(f"transformers/{folder}", {"device": "cpu"})
    assert read.count("model.safetensors") == 1


def test_attention_that_is_not_installed_is_named(folder: Path) -> None:
    pytest.importorskip("transformers")
    if importlib.util.find_spec("flash_attn") is not None:
        pytest.skip("it is installed here")
    (answer,) = ask(folder, [chat(TEXTS[0])], attn_implementation="flash_attention_2")
    assert isinstance(answer, InputError)
    assert "attn_implementation=flash_attention_2: cannot be used for this model here" in str(answer)
    assert "download" not in str(answer)


def _no_tokenizer(folder: Path) -> None:
    for file in folder.glob("token*"):
        file.unlink()


def _half_a_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])


def _configure(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_no_tokenizer, "without its tokenizer"),
        (_half_a_tokenizer, "its tokenizer cannot be read"),
        (_no_weights, "is the download complete?"),
        (_cut_weights, "is the download complete?"),
        (_configure(num_hidden_layers=3), "of its weights are missing"),
        (_configure(hidden_size=64), "of another shape"),
        (_configure(model_type="marvel"), "cannot run this kind of model"),
        (_configure(model_type="vit", architectures=["ViTModel"]), "cannot run this kind of model"),
    ],
    ids=lambda value: None if isinstance(value, str) else getattr(value, "__name__", ""),
)
def test_a_spoilt_folder_is_said_in_one_line(
    folder: Path, tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    spoil(copy)
    with pytest.raises(InputError) as refused:
        raise ask(copy, [chat(TEXTS[0]), chat(TEXTS[1])])[1]
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert TEXTS[1] not in str(refused.value)


def test_a_batch_beyond_memory_is_halved_until_it_fits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from simfarm.backends.transformers.sampler import Sampler

    expected = [a.text for a in ask(folder, [chat(text) for text in TEXTS])]
    whole, calls = Sampler.__call__, []

    def starved(self: Sampler, input_ids: Any, scores: Any) -> Any:
        calls.append(len(scores))
        if len(scores) > 2 and input_ids.shape[1] > 58:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, input_ids, scores)

    monkeypatch.setattr(Sampler, "__call__", starved)
    assert [a.text for a in ask(folder, [chat(text) for text in TEXTS])] == expected
    assert max(calls) == len(TEXTS)

    def always(self: Sampler, input_ids: Any, scores: Any) -> Any:
        if input_ids.shape[1] > 100:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")
        return whole(self, input_ids, scores)

    monkeypatch.setattr(Sampler, "__call__", always)
    fine, large, also = ask(folder, [chat(TEXTS[0]), chat("jug " * 40), chat(TEXTS[1])])
    assert [fine.text, also.text] == expected[:2]
    assert isinstance(large, CallError)
    assert "no memory for this call alone" in str(large)


def test_a_failure_of_the_engine_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from simfarm.backends.transformers.sampler import Sampler

    def broken(self: Sampler, input_ids: Any, scores: Any) -> Any:
        raise RuntimeError("a kernel is missing\nwith a page about it")

    monkeypatch.setattr(Sampler, "__call__", broken)
    for answer in ask(folder, [chat(TEXTS[0]), chat(TEXTS[1])]):
        assert isinstance(answer, InputError)
        assert str(answer).endswith("transformers failed while it ran (a kernel is missing)")


@pytest.mark.parametrize("batching", BATCHINGS)
def test_one_model_serves_two_loops_and_a_caller_that_left_harms_nobody(folder: Path, batching: str) -> None:
    backend = open_model(f"transformers/{folder}", {"device": "cpu", "batching": batching})

    left: list[asyncio.Future[Completion]] = []

    async def first() -> list[str]:
        kept = [asyncio.ensure_future(backend.complete(chat(text))) for text in TEXTS]
        gone = [asyncio.ensure_future(backend.complete(chat(text, max_tokens=200))) for text in TEXTS]
        await asyncio.wait(kept, return_when=asyncio.FIRST_COMPLETED)
        for task in gone:
            task.cancel()
        texts = [(await task).text for task in kept]
        await asyncio.gather(*gone, return_exceptions=True)
        # left behind when the loop closes
        left.append(asyncio.ensure_future(backend.complete(chat(TEXTS[0], max_tokens=200))))
        await asyncio.sleep(0)
        return texts

    async def second() -> list[str]:
        texts = [a.text for a in await asyncio.gather(*[backend.complete(chat(text)) for text in TEXTS])]
        await backend.close()
        return texts

    assert asyncio.run(first()) == asyncio.run(second())


@pytest.mark.parametrize("batching", BATCHINGS)
async def test_a_closed_model_is_freed_and_a_later_call_loads_it_again(
    folder: Path, batching: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from simfarm.backends.transformers.checkpoint import Checkpoint

    models: list[weakref.ref[Any]] = []
    load = Checkpoint.__init__

    def watched(self: Checkpoint, *args: Any, **kwargs: Any) -> None:
        load(self, *args, **kwargs)
        models.append(weakref.ref(self.model))

    monkeypatch.setattr(Checkpoint, "__init__", watched)
    backend = open_model(f"transformers/{folder}", {"device": "cpu", "batching": batching})
    texts = []
    for _ in range(2):
        answers = await asyncio.gather(*[backend.complete(chat(TEXTS[0], **more)) for more in ({}, {"logprobs": 4})])
        texts.append([answer.text for answer in answers])
        waiting = asyncio.ensure_future(backend.complete(chat(TEXTS[1], max_tokens=10_000)))
        await asyncio.sleep(0)
        await backend.close()
        with pytest.raises(CallError, match="closed before it answered"):
            await asyncio.wait_for(waiting, 20)
    assert texts[0] == texts[1]
    gc.collect()
    assert [model() for model in models] == [None, None]


async def test_close_without_a_call_and_twice(folder: Path) -> None:
    backend = open_model(f"transformers/{folder}", {"device": "cpu"})
    await backend.close()
    await backend.close()
