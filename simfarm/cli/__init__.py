"""The command line: one file a verb, thin. Nothing heavy is imported before a verb runs, so that help is instant."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from simfarm import __version__
from simfarm.cli import annotate, compare, evaluate, generate, judges, rejudge, select, setup_local, show
from simfarm.cli.help import Paragraphs
from simfarm.errors import SimfarmError
from simfarm.report.terminal import say

__all__ = ["main"]

_VERBS = {
    "generate": (generate, "make candidate outputs: what a model answers to each instruction"),
    "annotate": (annotate, "ask a judge which outputs are better; writes annotations"),
    "select": (select, "choose one of n samples: by a judge, a model's likelihood or a score"),
    "evaluate": (evaluate, "make a leaderboard from annotations, or from outputs (annotates first)"),
    "compare": (compare, "is the difference of two models real?"),
    "rejudge": (rejudge, "does the ranking survive a change of judge?"),
    "judges": (judges, "list, show and check judges"),
    "setup-local": (setup_local, "fetch the embedded model, once"),
    "show": (show, "read verdicts as a person does"),
}

_EXIT_STATUS = """exit status: 0 done, 1 a failure of ours, 2 bad input, 3 stopped by the budget, 4 finished but some
verdicts or outputs are missing (run the same command again: only those are asked)"""


class _Parser(argparse.ArgumentParser):
    """Errors in one line that names the remedy, as everywhere in simfarm."""

    def error(self, message: str) -> NoReturn:
        say(f"simfarm: {message}; see '{self.prog} --help'")
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="simfarm",
        description="Simulate human feedback on language-model outputs and evaluate models with it.",
        epilog=_EXIT_STATUS,
        formatter_class=Paragraphs,
    )
    parser.add_argument("--version", action="version", version=f"simfarm {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)
    for name, (module, summary) in _VERBS.items():
        verb = verbs.add_parser(name, help=summary, description=module.__doc__, formatter_class=Paragraphs)
        module.add_arguments(verb)
        verb.add_argument("--debug", action="store_true", help="show the traceback of an error")
        verb.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit status."""
    for stream in (sys.stdout, sys.stderr):
        # a terminal or pipe in a narrow encoding shows an escape instead of ending in a traceback
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    _say_warnings()
    parsed = _parser().parse_args(arguments)
    try:
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
        say(
            f"simfarm: a defect of ours ({type(error).__name__}: {error}); run it with --debug and report that",
        )
        return 1
    return status


def _say_warnings() -> None:
    """What a run's threads have to say (a store that is locked) goes the way of every other line."""
    import logging

    class Said(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(f"warning: {record.getMessage()}")

    ours = logging.getLogger("simfarm")
    if not ours.handlers:
        ours.addHandler(Said())


if __name__ == "__main__":
    raise SystemExit(main())
