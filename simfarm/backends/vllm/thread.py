"""vLLM's asynchronous engine in a thread of its own: started at the first call, ended with its processes.

The engine belongs to one event loop for its life, and calls come from any; its loading holds that loop for a minute or
two, and its processes outlive a careless end. One `EngineThread` is one such life: a later one is another object, so
that nothing of an ended engine is met again.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import multiprocessing
import subprocess
import tempfile
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from typing import IO, Any, TypeVar

from simfarm.backends.vllm.failures import explain
from simfarm.backends.vllm.options import last_words, logged_to, stderr_to, unlogged, watch
from simfarm.errors import InputError

__all__ = ["EngineThread"]

Answer = TypeVar("Answer")

LOOK = 0.2
"""Seconds between two looks at a load that is to be given up."""

LOADING = threading.Lock()
"""One engine loads at a time: two would count each other's memory, and confuse whose stderr goes where."""


class EngineThread:
    """One engine's life. `model` is its name for errors, `options` are those of `AsyncEngineArgs`."""

    def __init__(self, model: str, options: Mapping[str, Any]) -> None:
        self._model = model
        self._options = dict(options)
        self._calls: set[Any] = set()
        self._loading: asyncio.Task[Any] | None = None
        self._before: set[Any] | None = None
        self._closing = False
        self._log: IO[bytes] | None = None
        self._handler: Any = None
        self._watch: subprocess.Popen[bytes] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="simfarm-vllm", daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, Answer]) -> Future[Answer]:
        """Runs `work` in the engine's loop; whoever stops waiting stops it there too, and with it the request."""
        return asyncio.run_coroutine_threadsafe(self._tracked(work), self._loop)

    async def engine(self) -> Any:
        """vLLM's `AsyncLLM`, for work in its loop; loaded at the first call. A failure to load is everybody's."""
        if self._loading is None:
            self._loading = asyncio.ensure_future(self._load())
        # shielded: one caller who stops waiting does not stop the loading for the others
        return await asyncio.shield(self._loading)

    def death(self) -> str:
        """Why the engine died, in one line."""
        return f"{self._model}: the engine died: {explain(self._said())}"

    async def close(self) -> None:
        """Cancels the calls that still wait and ends the engine, its processes and the thread. A load under way is
        given up: its processes are killed (what this process itself does before it starts them is waited for)."""
        self._closing = True
        ended = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop))
        while not (await asyncio.wait([ended], timeout=LOOK))[0]:
            before = self._before
            if before is not None:
                for process in set(multiprocessing.active_children()) - before:
                    process.kill()
        ended.result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()
        # the engine refers to itself, and what it does when it is freed fails once the interpreter is ending
        gc.collect()

    async def _tracked(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Runs `work` so that `close` can find it."""
        task = asyncio.current_task()
        self._calls.add(task)
        try:
            return await work
        finally:
            self._calls.discard(task)

    async def _load(self) -> Any:
        vllm = importlib.import_module("vllm")
        async_llm = importlib.import_module("vllm.v1.engine.async_llm").AsyncLLM
        context = importlib.import_module("vllm.usage.usage_lib").UsageContext.LLM_CLASS
        while not LOADING.acquire(timeout=LOOK):
            if self._closing:
                raise InputError(f"{self._model}: closed before it was loaded")
        try:
            self._log = tempfile.TemporaryFile("a+b")  # noqa: SIM115 the engine's processes write to it for its life
            with last_words(self._log), stderr_to(self._log):
                arguments = vllm.AsyncEngineArgs(**self._options)
                self._before = set(multiprocessing.active_children())
                # as in the class LLM, whose batches are larger than a server's
                engine = async_llm.from_engine_args(arguments, usage_context=context)
            started = set(multiprocessing.active_children()) - self._before
            # not before: loading configures vLLM's logging
            self._handler = logged_to(self._log)
            self._watch = watch(process.pid for process in started if process.pid)
            return engine
        except Exception as error:  # noqa: BLE001 vLLM raises of every kind here; all of it is told, and ends the run
            words = f"{type(error).__name__}: {error}\n{self._said()}"
            raise InputError(f"{self._model}: {explain(words)}") from None
        finally:
            self._before = None
            LOADING.release()

    async def _shut_down(self) -> None:
        await ended(self._calls)
        if self._loading is not None and (await asyncio.wait([self._loading])) and self._loading.exception() is None:
            engine = self._loading.result()
            # first its reader, which would log its death
            await ended({engine.output_handler})
            engine.shutdown()
            await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)
        if self._watch is not None:
            self._watch.communicate(b"ended")
        unlogged(self._handler)
        if self._log is not None:
            self._log.close()
            self._log = None

    def _said(self) -> str:
        """What the engine's processes wrote; nothing where the user lets them write to the terminal."""
        if self._log is None:
            return ""
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")


async def ended(tasks: set[Any]) -> None:
    """Cancels tasks and waits until they are through."""
    waited = [task for task in tasks if task is not None]
    for task in waited:
        task.cancel()
    await asyncio.gather(*waited, return_exceptions=True)
