"""How a verb speaks: the answer on stdout, everything else on stderr, each made harmless for a terminal.

No verb prints by itself, so that no text of a model or a file reaches a terminal as it is, and `--quiet` is one place.
Where stdout or stderr is a terminal, lines break between words at its width; a pipe gets them whole.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from simfarm.text.harmless import json_text, one_line, visible

__all__ = ["answer", "answer_json", "answer_lines", "is_quiet", "quiet", "say", "shortened", "width_of", "wrapped"]

_silent = False


def answer(text: object) -> None:
    """What the user asked for, on stdout: a text of lines that were made harmless one by one, or are to stay lines."""
    print(visible(text))


def answer_lines(lines: Iterable[object]) -> None:
    """The answer a line at a time: whatever a name in it holds, it stays one line."""
    width = width_of(sys.stdout)
    for line in lines:
        print("\n".join(wrapped(one_line(line), width)))


def answer_json(value: Any, indent: int | None = 1) -> None:
    """The answer for machines: JSON, with control characters in strings as escapes."""
    print(json_text(json.dumps(value, ensure_ascii=False, indent=indent)))


def say(line: object) -> None:
    """Progress, counts and remarks, on stderr, a line each; nothing under `--quiet`, warnings and errors apart.

    Where stderr cannot be written (`2>&1 | head`, a log on a full disk) the rest stays unsaid: no remark is worth the
    answers of a run."""
    if not _silent or str(line).startswith(("warning", "simfarm:")):
        try:
            print("\n".join(wrapped(one_line(line), width_of(sys.stderr))), file=sys.stderr, flush=True)
        except OSError:
            # what is still buffered must not fail again at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def width_of(stream: TextIO) -> int | None:
    """Columns of the terminal that `stream` is; None for a file or a pipe, which have no width."""
    if not stream.isatty():
        return None
    wanted = os.environ.get("COLUMNS", "")
    try:
        columns = int(wanted) if wanted.isdecimal() else os.get_terminal_size(stream.fileno()).columns
    except OSError:
        columns = 0
    # a terminal that does not know its width says 0
    return max(columns, 20) if columns else 80


def wrapped(line: str, width: int | None, indent: str = "  ") -> list[str]:
    """A line cut between words to pieces of at most `width` columns, all but the first behind `indent`."""
    if width is None or (len(line) <= width and line.isascii()):
        return [line]
    from rich.cells import cell_len
    from rich.console import Console
    from rich.text import Text

    if cell_len(line) <= width:
        return [line]
    pieces = Text(line).wrap(Console(), width - len(indent))
    return [("" if number == 0 else indent) + piece.plain.rstrip() for number, piece in enumerate(pieces)]


def shortened(name: str, width: int) -> str:
    """A name of at most `width` columns (wide characters have two), cut in the middle: ends tell checkpoints apart."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(name) <= width:
        return name
    head = (width - 1) // 2
    tail = name
    while cell_len(tail) > width - 1 - head:
        tail = tail[max(1, (cell_len(tail) - width) // 2) :]
    return set_cell_size(name, head).rstrip() + "…" + tail


def is_quiet() -> bool:
    """Whether only warnings and errors are said."""
    return _silent


@contextmanager
def quiet(silent: bool) -> Iterator[None]:
    """While the block runs only warnings and errors are said, if `silent`."""
    global _silent  # noqa: PLW0603  one command, one terminal
    before, _silent = _silent, silent
    try:
        yield
    finally:
        _silent = before
