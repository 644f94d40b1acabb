"""The command line: one file a verb, thin. Nothing heavy is imported before a verb runs, so that help is instant."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from simfarm.cli.parser import build_parser
from simfarm.errors import SimfarmError
from simfarm.report.terminal import quiet, say
from simfarm.settings import on_command_line

__all__ = ["build_parser", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit status."""
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        # a terminal or pipe in a narrow encoding shows an escape instead of ending in a traceback
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    parsed = build_parser().parse_args(arguments)
    _say_warnings()
    try:
        with quiet(parsed.quiet), on_command_line():
            status: int = parsed.run(parsed)
        sys.stdout.flush()
    except SimfarmError as error:
        if parsed.debug:
            raise
        say(f"simfarm: {error}")
        return error.exit_code
    except BrokenPipeError:
        # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if parsed.debug:
            raise
        say(f"simfarm: {error.strerror or error}; mend that and run the same command again")
        # what is still buffered for a full stdout must not be flushed into a second error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        if parsed.debug:
            raise
        say("simfarm: stopped; answers already given are kept, run the same command to go on")
        return 128 + signal.SIGINT
    except Exception as error:
        # the last line of defence: every failure a user can mend has been named above, what is left is ours
        if parsed.debug:
            raise
        say(f"simfarm: a defect of ours ({type(error).__name__}: {error}); run it with --debug and report that")
        return 1
    return status


def _open_what_is_closed() -> None:
    """A service may start a command without stdin, stdout or stderr (`2>&-`). What is said then goes nowhere; an answer
    that would go nowhere is an error, as on a full disk."""
    for name, mode, flags in (("stdin", "r", os.O_RDONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode))


def _say_warnings() -> None:
    """What a run's threads have to say (a store that is locked) goes the way of every other line."""
    import logging

    class Said(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(f"warning: {record.getMessage()}")

    ours = logging.getLogger("simfarm")
    if not ours.handlers:
        ours.addHandler(Said(logging.WARNING))


if __name__ == "__main__":
    raise SystemExit(main())
