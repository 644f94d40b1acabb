"""A connection to Ray that ends when it is told to: reached, read from, and left in order.

Ray works in threads and processes of its own, and takes an exception badly that lands among them: a KeyboardInterrupt
is swallowed by a callback now and then, or leaves threads behind that crash the process at its end. So Ctrl-C sets an
event here, Ray is read by a thread, and the caller alone, in code of ours, raises what was asked for.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

from simfarm.backends.vllm.options import stderr_to
from simfarm.errors import InputError

__all__ = ["connected", "first_line", "rows_of", "stoppable"]

TICK = 0.1
"""Seconds between two looks at whether the run is to stop."""

GRACE = 20.0
"""Seconds that Ray has to end its work; it takes two to five."""


@contextlib.contextmanager
def stoppable() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets during the block, instead of raising KeyboardInterrupt wherever the process is; pressed
    again, it raises that. Where interrupts are ignored or handled by somebody else, they stay so."""
    stop = threading.Event()
    usual = signal.getsignal(signal.SIGINT)
    if usual is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(number: int, frame: Any) -> None:
        if stop.is_set():
            signal.default_int_handler(number, frame)
        stop.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, usual)


def rows_of(dataset: Any, stop: threading.Event) -> Generator[Mapping[str, Any]]:
    """The rows of a Ray dataset as they are made. Raises KeyboardInterrupt once `stop` is set, and what Ray raises; is
    over when Ray's workers on this dataset are."""
    box: queue.SimpleQueue[Mapping[str, Any] | BaseException | None] = queue.SimpleQueue()

    def read() -> None:
        try:
            for row in dataset.iter_rows():
                box.put(row)
            box.put(None)
        except BaseException as error:  # noqa: BLE001 it is not lost: the caller raises it
            box.put(error)

    if stop.is_set():
        raise KeyboardInterrupt
    before = set(threading.enumerate())
    reader = threading.Thread(target=read, name="simfarm-ray", daemon=True)
    reader.start()
    try:
        while True:
            if stop.is_set():
                raise KeyboardInterrupt
            try:
                row = box.get(timeout=TICK)
            except queue.Empty:
                continue
            if row is None:
                return
            if isinstance(row, BaseException):
                raise row
            yield row
    finally:
        _end(reader, before)


def _end(reader: threading.Thread, before: set[threading.Thread]) -> None:
    """Stops what Ray Data began for `reader`: its executor is a thread that is told so, and may yet have to begin."""
    deadline = time.monotonic() + GRACE
    while reader.is_alive() and time.monotonic() < deadline:
        for thread in set(threading.enumerate()) - before:
            if thread.name.startswith("StreamingExecutor") and hasattr(thread, "shutdown"):
                thread.shutdown(force=True)
        reader.join(TICK)


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[None]:
    """A connection to the cluster at `address`, else at RAY_ADDRESS, else to one of this machine's own, which ends with
    the block; a connection that is there already is used and left. Ray's own messages stay in its log files."""
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if address.startswith("ray://"):
        raise InputError(f"{address}: start the run on a machine of the cluster, with --ray-address auto or HOST:PORT")
    # before the import, which reads them
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    host, colon, port = address.rpartition(":")
    if colon and _has_token():
        # `ray start` and the address `auto` do the same; for a named address Ray leaves it to the environment
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    import ray

    if colon:
        try:
            # Ray itself tries an address where nobody listens for many minutes
            socket.create_connection((host, int(port)), timeout=10).close()
        except (ValueError, OSError) as error:
            raise _absent(address, error) from error
    # what the cluster has to say of dying workers is printed on stdout, by a thread
    with contextlib.redirect_stdout(io.StringIO()):
        if ray.is_initialized():
            yield
            return
        try:
            with open(os.devnull, "wb") as quiet, stderr_to(quiet):
                ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, include_dashboard=False)
        except ray.exceptions.AuthenticationError as error:
            raise InputError(
                f"the Ray cluster at {address} refuses this machine's token: copy ~/.ray/auth_token from its first "
                "machine, or name the file in RAY_AUTH_TOKEN_PATH"
            ) from error
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise _absent(address, error) from error
        try:
            yield
        finally:
            ray.shutdown()


def _absent(address: str, error: BaseException) -> InputError:
    reason = f"no Ray cluster at {address} ({first_line(error)})"
    return InputError(f"{reason}; check --ray-address, or leave it out for one on this machine")


def _has_token() -> bool:
    """Whether this machine has a token for a Ray cluster, where Ray looks for one."""
    named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return named or (Path.home() / ".ray" / "auth_token").is_file()


def first_line(error: BaseException) -> str:
    """The first line of what Ray says, which often has a page."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
