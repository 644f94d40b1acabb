"""800 questions to a server that is lost half way: rows, retries, calls, seconds until the run ends.

Four manners of being lost: killed, hung (stopped by a signal), connections dropped, and dead behind a proxy that says
502. For good, or back after some seconds, on the same port.

    python benchmarks/outage.py                   # each for good: two minutes each
    python benchmarks/outage.py --back 25 kill    # killed, and started again after 25 s
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from aiohttp import ClientError, ClientSession, web

from simfarm.backends import open_backend
from simfarm.data.exchange import Request
from simfarm.engine.runner import Engine

ROOT = Path(__file__).parents[1]
ROWS, CONCURRENCY, LATENCY = 800, 64, "300"
MANNERS = ("kill", "hang", "drop", "proxy")


class Server:
    """The loopback provider as a process, and before it, where the manner needs one, a proxy in this process."""

    def __init__(self, manner: str) -> None:
        self.manner = manner
        self.dropping = False
        self.port = 0
        self.start()
        self.url = self.direct

    def start(self) -> None:
        command = [
            sys.executable,
            str(ROOT / "tests" / "loopback.py"),
            "--latency-ms",
            LATENCY,
            "--port",
            str(self.port),
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.direct = self.process.stdout.readline().strip()
        self.port = int(self.direct.removesuffix("/v1").rpartition(":")[2])

    async def proxied(self, client: ClientSession) -> web.AppRunner:
        async def forward(request: web.Request) -> web.Response:
            if self.dropping:
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            headers = {"content-type": "application/json"}
            try:
                async with client.post(
                    f"{self.direct}/chat/completions", data=await request.read(), headers=headers
                ) as r:
                    return web.Response(body=await r.read(), status=r.status, content_type="application/json")
            except ClientError:
                return web.Response(text="<h1>502 Bad Gateway</h1>", status=502, content_type="text/html")

        app = web.Application()
        app.router.add_post("/v1/chat/completions", forward)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        return runner

    def lose(self) -> None:
        if self.manner == "drop":
            self.dropping = True
        elif self.manner == "hang":
            self.process.send_signal(signal.SIGSTOP)
        else:
            self.process.kill()

    def restore(self) -> None:
        if self.manner == "drop":
            self.dropping = False
        elif self.manner == "hang":
            self.process.send_signal(signal.SIGCONT)
        else:
            self.start()


async def measure(manner: str, back: float | None) -> str:
    """One run; what became of it, on one line."""
    server = Server(manner)
    async with ClientSession() as client:
        proxy = await server.proxied(client) if manner in ("drop", "proxy") else None
        backend, _ = open_backend("openai/judge", base_url=server.url)
        timeout = 10.0 if manner == "hang" else 60.0
        async with Engine(backend, concurrency=CONCURRENCY, timeout=timeout, tell=_tell) as engine:
            lost = asyncio.ensure_future(_lose(server, engine, back))
            ahead = asyncio.Semaphore(4 * CONCURRENCY)

            async def ask(number: int) -> object:
                async with ahead:
                    message = {"role": "user", "content": f"pair {number}"}
                    return await engine.complete(Request("judge", (message,), {"max_tokens": 4}))

            results = await asyncio.gather(*(ask(n) for n in range(ROWS)), return_exceptions=True)
            seconds = time.perf_counter() - await lost
        if proxy is not None:
            await proxy.cleanup()
    server.process.kill()
    ends = Counter("answered" if isinstance(r, tuple) else type(r).__name__ for r in results)
    stats = engine.stats
    told = f"{manner}: {dict(ends)}, {stats.retries} retries, {seconds:.0f} s after the loss"
    return f"{told}; {engine.patience.refused or 'done'}"


async def _lose(server: Server, engine: Engine, back: float | None) -> float:
    while engine.stats.asked < ROWS // 2:
        await asyncio.sleep(0.02)
    moment = time.perf_counter()
    server.lose()
    if back is not None:
        await asyncio.sleep(back)
        server.restore()
    return moment


def _tell(kind: str, line: str) -> None:
    if kind == "note":
        print(f"  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manners", nargs="*", choices=[*MANNERS, []], metavar="MANNER", help=", ".join(MANNERS))
    parser.add_argument("--back", type=float, metavar="SECONDS", help="the server is back after so long")
    chosen = parser.parse_args()
    os.environ.setdefault("OPENAI_API_KEY", "none")
    for name in chosen.manners or MANNERS:
        print(asyncio.run(measure(name, chosen.back)), flush=True)
