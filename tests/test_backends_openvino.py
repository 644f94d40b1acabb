"""The openvino backend on a real engine and a tiny GGUF model: exact likelihoods, seeds, limits, one-line failures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from simfarm.backends import open_model
from simfarm.backends.base import Scorer
from simfarm.backends.local.embedded import MEMBER, cache_dir
from simfarm.cli import main
from simfarm.data.exchange import CallError, Completion, Request
from simfarm.data.files import read_rows, write_rows
from simfarm.errors import InputError

pytest.importorskip("openvino_genai")
pytest.importorskip("gguf")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tiny_model import build_tiny_gguf, build_tiny_model  # noqa: E402

pytestmark = pytest.mark.engines

EXACT = {"dtype": "f32"}
"""Which means the attention cache and the activations too: else likelihoods are .05 nats away."""
CHAT = ({"role": "user", "content": "Why do we have leap years?"},)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture
def model(path: Path) -> Iterator[Scorer]:
    opened = open_model(str(path), EXACT)
    yield opened
    asyncio.run(opened.close())


async def ask(model: Scorer, prompt: object = CHAT, **sampling: object) -> Completion:
    return await model.complete(Request(model.model, prompt, {"max_tokens": 16} | sampling))  # type: ignore[arg-type]


def by_hand(folder: Path, prompt: str, continuation: str) -> float:
    """The same likelihood from transformers, its weights rounded to 16 bits as the GGUF file holds them."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    reference = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float16).float()
    before = tokenizer(prompt, add_special_tokens=False).input_ids
    after = tokenizer(continuation, add_special_tokens=False).input_ids
    with torch.no_grad():
        logits = reference(torch.tensor([before + after])).logits[0]
    logprobs = torch.log_softmax(logits.double(), -1)
    return sum(logprobs[len(before) + i - 1, token].item() for i, token in enumerate(after))


def framed(folder: Path) -> str:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return str(tokenizer.apply_chat_template(list(CHAT), tokenize=False, add_generation_prompt=True))


async def test_likelihoods_are_those_computed_by_hand(model: Scorer, tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path / "tiny")
    pairs = [
        ("Weather is what you get today,", " climate is what you expect."),
        ("Why", " do we have leap years? Because a year is a little longer than they thought."),
    ]
    got = await asyncio.gather(*(model.log_likelihood(*pair) for pair in pairs))
    assert got == pytest.approx([by_hand(folder, *pair) for pair in pairs], abs=2e-3)
    chat = by_hand(folder, framed(folder), "Because.")
    assert await model.log_likelihood(CHAT, "Because.") == pytest.approx(chat, abs=2e-3)


async def test_a_greedy_answer_takes_the_likeliest_token_and_says_how_likely(model: Scorer, tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path / "tiny")
    answer = await ask(model, logprobs=1)
    assert answer.logprobs is not None
    assert answer.output_tokens == len(answer.logprobs)
    assert answer.model == model.model
    assert answer.engine is not None
    assert answer.engine.startswith("openvino-genai 20")
    reference = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float16).float()
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(framed(folder), add_special_tokens=False).input_ids
    with torch.no_grad():
        likeliest = torch.log_softmax(reference(torch.tensor([tokens])).logits[0, -1].double(), -1).max().item()
    assert answer.logprobs[0].logprob == pytest.approx(likeliest, abs=2e-3)


async def test_a_seed_gives_the_same_answer_alone_and_among_others(model: Scorer) -> None:
    alone = await ask(model, temperature=1.0, seed=5)
    among = await asyncio.gather(*(ask(model, temperature=1.0, seed=seed) for seed in (5, 6, 7, 5)))
    assert [answer.text == alone.text for answer in among] == [True, False, False, True]
    unseeded = await asyncio.gather(*(ask(model, temperature=1.0) for _ in range(4)))
    assert len({answer.text for answer in unseeded}) > 1


async def test_a_stop_string_ends_the_answer_and_is_no_part_of_it(model: Scorer) -> None:
    whole = (await ask(model)).text
    stop = whole[3:5]
    cut = await ask(model, stop=[stop])
    assert cut.text == whole[: whole.index(stop)]
    assert cut.finish_reason == "stop"


async def test_a_prompt_beyond_the_context_fails_alone_and_is_never_cut(model: Scorer) -> None:
    long = ({"role": "user", "content": "leap years " * 300},)
    results = await asyncio.gather(ask(model), ask(model, long), ask(model), return_exceptions=True)
    assert isinstance(results[1], CallError)
    assert str(results[1]).startswith("the prompt has ")
    assert str(results[1]).endswith(" tokens and the context holds 256")
    assert int(str(results[1]).split()[3]) > 600
    assert isinstance(results[0], Completion)
    assert results[0].text == results[2].text  # type: ignore[union-attr]
    with pytest.raises(CallError, match="prompt and continuation have"):
        await model.log_likelihood("Why", " leap" * 400)
    with pytest.raises(CallError, match="the continuation is empty"):
        await model.log_likelihood("Why", "")


async def test_a_text_that_the_tokenizer_would_cut_fails_instead(tmp_path: Path) -> None:
    model = open_model(str(build_tiny_gguf(tmp_path / "wide.gguf", context=20_000)))
    for prompt in (({"role": "user", "content": "Why? " * 6000},), "Why? " * 6000):
        with pytest.raises(CallError, match="has 8192 tokens or more"):
            await model.log_likelihood(prompt, "Because.")
    with pytest.raises(CallError, match="has 8192 tokens or more"):
        await ask(model, ({"role": "user", "content": "Why? " * 6000},))
    with pytest.raises(CallError, match="has 8192 tokens or more"):
        await model.count_tokens("Why? " * 6000)
    assert (await ask(model, ({"role": "user", "content": "Why? " * 1000},), max_tokens=2)).output_tokens
    await model.close()


async def test_an_answer_ends_where_the_context_does(model: Scorer) -> None:
    prompt = ({"role": "user", "content": "leap years " * 40},)
    answer = await ask(model, prompt, max_tokens=1000)
    assert answer.input_tokens is not None
    assert answer.output_tokens is not None
    assert answer.finish_reason == "length"
    assert answer.input_tokens + answer.output_tokens == 256


async def test_chat_templates(model: Scorer, tmp_path: Path) -> None:
    plain = await ask(model, chat_template="{{ messages[0]['content'] }}")
    with_thinking = await ask(model, template_args={"thinking": True})
    usual = await ask(model)
    assert plain.input_tokens is not None
    assert usual.input_tokens is not None
    assert with_thinking.input_tokens is not None
    assert plain.input_tokens < usual.input_tokens < with_thinking.input_tokens
    with pytest.raises(CallError, match="renders nothing"):
        await ask(model, chat_template="{# nothing #}")
    framed_so = await model.log_likelihood(CHAT, "Because.", {"chat_template": "{{ messages[0]['content'] }}"})
    assert framed_so == pytest.approx(await model.log_likelihood(CHAT[0]["content"], "Because."), abs=1e-6)
    bare = open_model(str(build_tiny_gguf(tmp_path / "bare.gguf", chat_template=None)))
    with pytest.raises(InputError, match=r"bare@[0-9a-f]{12} has no chat template: give one with --chat-template"):
        await ask(bare)
    assert (await ask(bare, chat_template="{{ messages[0]['content'] }}")).text == plain.text
    await bare.close()


async def test_prompts_are_framed_as_transformers_frames_them(model: Scorer, tmp_path: Path) -> None:
    """The engine's own template interpreter fills in what a template lacks; the model would get another prompt."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(build_tiny_model(tmp_path / "tiny"))
    chat = [{"role": "system", "content": "Brief."}, {"role": "user", "content": "Why leap years?"}]
    for template in (
        "{% for m in messages %}{% if m.role == 'user' %}U:{{ m.content }}{% endif %}{% endfor %}",
        "{{ messages[0].content[::-1] }}{{ messages | tojson }}{{ eos_token }}",
        "{% for m in messages %}\n    {% if loop.first %}{% continue %}{% endif %}\n{{ m.role }}\n{% endfor %}",
    ):
        framed_so = tokenizer.apply_chat_template(
            chat, tokenize=False, add_generation_prompt=True, chat_template=template
        )
        answer = await ask(model, tuple(chat), chat_template=template)
        assert answer.input_tokens == len(tokenizer(framed_so, add_special_tokens=False).input_ids), template
    refusing = "{% for m in messages %}{{ raise_exception('no system here') if m.role == 'system' }}{% endfor %}."
    results = await asyncio.gather(
        ask(model, tuple(chat), chat_template=refusing),
        ask(model, CHAT, chat_template=refusing),
        return_exceptions=True,
    )
    assert isinstance(results[0], CallError)
    assert str(results[0]) == "the chat template refuses these messages (no system here)"
    assert isinstance(results[1], Completion)
    with pytest.raises(InputError, match=r"the chat template is not valid Jinja \(line 1: "):
        await ask(model, chat_template="{% if %}")


async def test_a_folder_may_name_several_ends_of_an_answer(path: Path, tmp_path: Path) -> None:
    genai, tokenizers = pytest.importorskip("openvino_genai"), pytest.importorskip("openvino_tokenizers")
    openvino = pytest.importorskip("openvino")
    folder = build_tiny_model(tmp_path / "folder")
    gguf = folder / "tiny.gguf"
    gguf.write_bytes(path.read_bytes())
    saving = {"enable_save_ov_model": True}
    genai.ContinuousBatchingPipeline(str(gguf), genai.SchedulerConfig(), "CPU", saving)
    gguf.unlink()
    made = tokenizers.convert_tokenizer(transformers.AutoTokenizer.from_pretrained(folder), with_detokenizer=True)
    for name, part in zip(("tokenizer", "detokenizer"), made, strict=True):
        openvino.save_model(part, folder / f"openvino_{name}.xml")
    model = open_model(str(folder), EXACT)
    whole = await ask(model, logprobs=1)
    await model.close()
    assert whole.finish_reason == "length"
    reference = genai.ContinuousBatchingPipeline(str(folder), genai.SchedulerConfig(), "CPU", {})
    config = genai.GenerationConfig(max_new_tokens=16)
    framed_so = reference.get_tokenizer().encode(framed(folder), add_special_tokens=False).input_ids
    tokens = reference.generate([framed_so], [config])[0].m_generation_ids[0]
    end = next(token for number, token in enumerate(tokens) if number >= 3 and token not in tokens[:number])
    ends = json.loads((folder / "generation_config.json").read_text()) | {"eos_token_id": [2, end]}
    (folder / "generation_config.json").write_text(json.dumps(ends))
    model = open_model(str(folder), EXACT)
    stopped = await ask(model)
    await model.close()
    assert stopped.finish_reason == "stop"
    assert stopped.output_tokens == tokens.index(end) + 1


async def test_who_gives_up_waiting_frees_the_engine(model: Scorer) -> None:
    waiting = asyncio.ensure_future(ask(model, max_tokens=200))
    await asyncio.sleep(0.05)
    waiting.cancel()
    assert (await ask(model)).output_tokens
    assert waiting.cancelled()


async def test_choices_hold_even_a_model_that_knows_nothing(model: Scorer) -> None:
    choices = ["[[A>B]]", "the (second) one", "A"]
    answers = await asyncio.gather(*(ask(model, choices=choices, temperature=9.0, seed=s) for s in range(20)))
    assert {answer.text for answer in answers} == set(choices)
    assert {answer.finish_reason for answer in answers} == {"stop"}
    assert (await ask(model, choices=["[[A]]"])).text == "[[A]]"
    assert (await ask(model)).text not in choices


def test_a_letter_judge_gives_a_verdict_for_every_pair(tmp_path: Path) -> None:
    pairs = [{"instruction": f"Why {i}?", "output_1": f"One {i}.", "output_2": "Two!"} for i in range(4)]
    write_rows(tmp_path / "pairs.jsonl", pairs)
    asked = ["annotate", str(tmp_path / "pairs.jsonl"), "--judge", "pairwise-letter", "-o", str(tmp_path / "out.jsonl")]
    # the prompt is longer than the tiny model's usual context
    wide = build_tiny_gguf(tmp_path / "wide.gguf", context=2048)
    assert main([*asked, "--model", str(wide)]) == 0
    rows = read_rows(tmp_path / "out.jsonl")
    assert [row["order"] for row in rows] == ["12", "21"] * 4
    assert {row["preference"] for row in rows} <= {1.0, 2.0}
    assert {row["raw_completion"]["text"] for row in rows} <= {"[[A]]", "[[B]]"}


@pytest.mark.skipif(not (cache_dir() / Path(MEMBER).name).is_file(), reason="the embedded model is not set up")
def test_the_embedded_model_judges_too(tmp_path: Path) -> None:
    examples = Path(__file__).parents[1] / "examples" / "outputs"
    asked = ["annotate", str(examples / "restater.json"), "--baseline", str(examples / "smollm2-135m.json")]
    asked += ["--judge", "pairwise-letter", "--model", "embedded", "--limit", "2", "-o", str(tmp_path / "out.jsonl")]
    assert main(asked) == 0
    assert [row["status"] for row in read_rows(tmp_path / "out.jsonl")] == ["verdict"] * 4


def test_a_model_serves_one_event_loop_after_another(path: Path) -> None:
    model = open_model(str(path))
    texts = {asyncio.run(ask(model)).text for _ in range(2)}
    assert len(texts) == 1
    asyncio.run(model.close())
    asyncio.run(model.close())


def test_what_the_engine_cannot_do_is_refused_before_a_call(path: Path) -> None:
    model = open_model(str(path))
    with pytest.raises(InputError, match="log probability of the chosen token only"):
        model.check(model.model, {"logprobs": 5})
    with pytest.raises(InputError, match="takes no effort"):
        model.check(model.model, {"effort": "low"})
    with pytest.raises(InputError, match="has no option 'tensor_parallel_size'"):
        open_model(str(path), {"tensor_parallel_size": 2})
    with pytest.raises(InputError, match="has no dtype 'int3': it computes in f32, f16, bf16"):
        open_model(str(path), {"dtype": "int3"})
    for option, told in (
        ({"prefix_caching": "off"}, "needs true or false for prefix_caching, not 'off'"),
        ({"cache_size": "much"}, "needs a whole number of at least 0 for cache_size"),
        ({"cache_size": True}, "needs a whole number of at least 0 for cache_size"),
        ({"max_num_batched_tokens": 0}, "needs a whole number of at least 1 for max_num_batched_tokens"),
        ({"max_num_batched_tokens": 10**20}, "needs a whole number of at least 1"),
    ):
        with pytest.raises(InputError, match=told):
            open_model(str(path), option)
    assert open_model(str(path), {"device": "cpu"}).model == model.model
    assert open_model(str(path), {"device": "AUTO"}).model != model.model
    with pytest.raises(InputError, match=r"finds no device GPU here, only CPU"):
        open_model(str(path), {"device": "GPU"}).check("", {})
    asyncio.run(model.close())


async def test_likelihoods_and_a_prefix_cache_exclude_each_other(path: Path) -> None:
    model = open_model(str(path), {"prefix_caching": True})
    with pytest.raises(InputError, match="no likelihoods with prefix_caching"):
        await model.log_likelihood("Why", " not?")
    assert (await ask(model)).text == (await ask(model)).text
    await model.close()


async def test_a_file_that_is_no_model_is_said_in_one_line(path: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match="damaged GGUF file"):
        open_model(str(damaged))
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(path.read_bytes()[:-50_000])
    with pytest.raises(InputError, match=r"cut\.gguf: is cut off; is the download complete"):
        open_model(str(cut))
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("openvino_model.xml", "openvino_tokenizer.xml"):
        (folder / name).write_text("<net/>")
    model = open_model(str(folder))
    with pytest.raises(InputError, match="folder: openvino cannot load it") as refused:
        await ask(model)
    assert "\n" not in str(refused.value)
    await model.close()
