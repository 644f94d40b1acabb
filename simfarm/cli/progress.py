"""How far a run is, on stderr: a bar where it is a terminal, else a line a minute; nothing under `--quiet`.

A log file without a word for an hour looks like a run that hangs. A line a minute says that it does not, and why it
waits where it does.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from simfarm.report.terminal import is_quiet, say
from simfarm.text.harmless import one_line

__all__ = ["Progress", "progress"]

LINE_SECONDS = 60.0
"""Between two lines, and before the first: a run of less than a minute prints none."""


class Progress:
    """`step` after each of `total` steps, `note` for what holds the run up.

    A note stands until another takes its place; the empty one takes it away. Both are cheap, may be called thousands of
    times a second.
    """

    def __init__(self, name: str, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`name` says what runs; `clock` gives seconds that only grow."""
        self.name, self.total, self.done = one_line(name), total, 0
        self._clock = clock
        self._aside, self._note = "", ""
        self._last, self._done_then = clock(), 0
        self._lock = threading.Lock()

    def step(self, aside: str = "") -> None:
        """One step is done; `aside` is what to say beside the count (what it cost so far)."""
        self.done += 1
        self._aside = aside
        self._show()

    def note(self, text: str) -> None:
        """What the run waits for, as "36 throttled, waiting 12 s"."""
        if text != self._note:
            self._note = text
        self._show()

    def tell(self, kind: str, line: str) -> None:
        """For an engine: what passes by itself stands beside the count, anything else is a line of its own."""
        if kind == "waiting":
            self.note(line)
        else:
            say(one_line(line) if line.startswith("warning: ") else f"note: {one_line(line)}")

    def beside(self) -> str:
        """What is said beside the count."""
        return " · ".join(one_line(part) for part in (self._aside, self._note) if part)

    def _show(self) -> None:
        """A line, where a minute has gone since the last."""
        with self._lock:
            now = self._clock()
            if now - self._last < LINE_SECONDS:
                return
            pace = (self.done - self._done_then) / (now - self._last)
            self._last, self._done_then = now, self.done
        left = _minutes((self.total - self.done) / pace) if pace > 0 and self.done < self.total else ""
        say(" · ".join(filter(None, (f"{self.name}: {self.done:,} of {self.total:,}", self.beside(), left))))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """While the block runs, a step that takes longer than a minute is told of too."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(LINE_SECONDS / 4):
                self._show()

        thread = threading.Thread(target=watch, name="simfarm-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _minutes(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return f"about {minutes} min left" if minutes < 120 else f"about {minutes / 60:.0f} h left"


@contextmanager
def progress(name: str, total: int, clock: Callable[[], float] = time.monotonic) -> Iterator[Progress]:
    """The `Progress` of a run of `total` steps, shown while the block runs (`name` says what runs)."""
    if is_quiet() or not sys.stderr.isatty():
        quiet = Progress(name, total, clock)
        with quiet.watched():
            yield quiet
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # rows that go to a file or a pipe must not be drawn around the bar
    drawn = Bar(*columns, console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty())

    class Drawn(Progress):
        def _show(self) -> None:
            drawn.update(task, completed=self.done, description=f"{self.name} {self.beside()}".rstrip())

    with drawn:
        task = drawn.add_task(one_line(name), total=total)
        yield Drawn(name, total, clock)
