"""kill -9 in the middle of a run: nothing that was committed is asked again, and the end is the same."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from loopback import Loopback, answer_decision

from simfarm.engine.store import Store

CALLS, CONCURRENCY, KILLS = 200, 8, 3

CLIENT = f"""
import asyncio, os, sys
from simfarm.backends import open_backend
from simfarm.data.decision import Option, Question
from simfarm.data.exchange import Request
from simfarm.engine.runner import Engine
from simfarm.engine.store import Store

async def main():
    prefix, decides = sys.argv[3].split("-")
    backend, model = open_backend(f"{{prefix}}/judge", base_url=sys.argv[1])
    asked = (Question("q", "choice", "Which?", (Option("m"), Option("M"))),)
    prompts = [({{"role": "user", "content": f"pair {{n}}"}},) for n in range({CALLS})]
    if decides == "decides":
        requests = [Request(model, prompt, questions=asked) for prompt in prompts]
    else:
        requests = [Request(model, prompt, {{"logprobs": 5}}) for prompt in prompts]
    async with Engine(backend, Store(sys.argv[2]), concurrency={CONCURRENCY}) as engine:
        ask = engine.decide if decides == "decides" else engine.complete
        for answer in asyncio.as_completed([ask(r) for r in requests]):
            await answer
            print("answered", flush=True)
        if decides == "decides":
            print(*(engine.cached(r).answers["q"]["m"] for r in requests))
        else:
            print(*(engine.cached(r).logprobs[0].top["m"] for r in requests))

asyncio.run(main())
"""


@pytest.mark.parametrize("asks", ["openai-writes", "openai-decides", "systemone-decides"])
def test_kill_minus_nine(asks: str, tmp_path: Path) -> None:
    chance = random.Random(11)
    path = tmp_path / "store.sqlite"
    lost = 0
    with Loopback(latency=0.02, decision=answer_decision) as server:
        command = [sys.executable, "-c", CLIENT, f"{server.url}/v1", str(path), asks]
        for _ in range(KILLS):
            before = server.received
            client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            kill_at = before + chance.randrange(20, 50)
            while server.received < kill_at:
                time.sleep(0.001)
            client.kill()
            told = client.communicate()[0].count("answered")
            store = Store(path)
            kept = store._reader.execute("SELECT count(*) FROM completions").fetchone()[0]
            store.close()
            # a request may still be on its way to the server when its client is gone: counted at the next kill
            assert server.received - lost - kept <= 2 * CONCURRENCY, "more was lost than was in flight"
            assert kept >= told, "a completion was seen before it was committed"
            lost = server.received - kept
        done = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
        assert server.received <= CALLS + KILLS * CONCURRENCY, "more was asked twice than was in flight"
        assert len(server.asked) == CALLS
        clean = [*command[:-2], str(tmp_path / "clean.sqlite"), asks]
        assert subprocess.run(clean, capture_output=True, text=True, check=True).stdout.splitlines()[-1] == done
