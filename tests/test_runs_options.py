"""A run's options as a backend takes them: what is named wins, a model in this process has no time-out or price."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from loopback import Loopback

from simfarm.backends.base import Backend
from simfarm.backends.http.openai import OpenAIBackend
from simfarm.data.records import Instruction
from simfarm.data.sampling import Sampling
from simfarm.errors import InputError
from simfarm.runs.generation import GenerationRun
from simfarm.runs.options import JudgeOptions, RunOptions, by_name

OPTIONS = RunOptions(timeout=7, rpm=60, tpm=600, budget=1.5, price=(1.0, 2.0))


class Served:
    """As much of a backend as its options ask about."""

    def __init__(self, in_process: bool) -> None:
        self.in_process, self.concurrency = in_process, 5


def on(options: RunOptions, *, in_process: bool) -> RunOptions:
    backend: Any = Served(in_process)
    return options.on(backend, usual=90)


def test_a_server_has_what_was_named_and_else_the_usual() -> None:
    assert on(OPTIONS, in_process=False) == replace(OPTIONS, concurrency=5)
    assert on(replace(OPTIONS, concurrency=2), in_process=False) == replace(OPTIONS, concurrency=2)
    assert on(RunOptions(), in_process=False) == RunOptions(concurrency=5, timeout=90)


def test_a_model_in_this_process_is_waited_for_and_costs_nothing() -> None:
    named = replace(OPTIONS, timeout=None)
    assert on(named, in_process=True) == replace(named, concurrency=5, budget=None)
    with pytest.raises(InputError, match="timeout is for a server's calls"):
        on(OPTIONS, in_process=True)


def test_options_are_known_by_their_keywords() -> None:
    assert set(by_name(OPTIONS)) >= {"base_url", "engine_args", "store", "concurrency", "timeout", "budget", "price"}
    assert by_name(JudgeOptions("longest", repeats=2))["repeats"] == 2
    assert JudgeOptions(temperature=0.0, top_p=None, effort="low").sampling() == {"temperature": 0.0, "effort": "low"}


def test_a_run_asks_as_its_options_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """From the options to the server: never more at a time than was named, whatever the backend's own number."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    running, most = 0, 0
    ask = OpenAIBackend.complete

    async def counted(self: Backend, request: Any) -> Any:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await asyncio.sleep(0.01)
        try:
            return await ask(self, request)  # type: ignore[arg-type]
        finally:
            running -= 1

    monkeypatch.setattr(OpenAIBackend, "complete", counted)
    with Loopback() as server:
        options = RunOptions(base_url=f"{server.url}/v1", store=tmp_path / "s.sqlite", concurrency=3)
        run = GenerationRun.open("openai/m", Sampling(max_tokens=4), options)
        outputs = list(run.results([Instruction(f"Question {i}?") for i in range(20)]))
    assert (len(outputs), most) == (20, 3)
