"""The command line: one file a verb, thin. Nothing heavy is imported before a verb runs, so that help is instant."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from simfarm.cli import (
    annotate,
    compare,
    completion,
    doctor,
    evaluate,
    generate,
    judges,
    rejudge,
    select,
    setup_local,
    show,
    store,
)
from simfarm.cli.help import Paragraphs
from simfarm.errors import SimfarmError
from simfarm.report.terminal import answer, quiet, say
from simfarm.settings import on_command_line
from simfarm.text.harmless import one_line
from simfarm.version import __version__

__all__ = ["build_parser", "main"]

_VERBS = {
    "make": {
        "generate": (generate, "candidate outputs: what a model answers to each instruction"),
        "select": (select, "one of n samples: by a judge, a model's likelihood or a score"),
    },
    "judge": {
        "annotate": (annotate, "ask a judge which outputs are better; writes annotations"),
        "judges": (judges, "list, show and check judges; their schema"),
    },
    "rank": {
        "evaluate": (evaluate, "a leaderboard from annotations, or from outputs (annotates first)"),
        "compare": (compare, "is the difference of two models real?"),
        "rejudge": (rejudge, "does the ranking survive a change of judge?"),
    },
    "look": {
        "show": (show, "read verdicts as a person does"),
    },
    "keep": {
        "doctor": (doctor, "what a run needs, and whether it is there: key, model, price …"),
        "store": (store, "the answers already paid for: where, how many, prune"),
        "setup-local": (setup_local, "fetch the embedded model, once"),
        "completion": (completion, "a script that completes verbs and options in your shell"),
    },
}

_PURPOSE = "Simulate human feedback on language-model outputs and evaluate models with it."

_EXIT_STATUS = (
    "exit status: 0 done, 1 a failure of ours, 2 bad input, 3 stopped by the budget, 4 finished but some verdicts or "
    "outputs are missing (run the same command again: only those are asked)"
)


class _Once(argparse.Action):
    """Stores a value; a second one for the same option is an error, not a silent choice of the last."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        given: set[str] = namespace.__dict__.setdefault("given_options", set())
        if option_string is not None and self.dest in given:
            parser.error(f"{option_string} is given twice; leave one of them out")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


class _Parser(argparse.ArgumentParser):
    """Errors in one line that names the remedy, as everywhere in simfarm."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.register("action", None, _Once)
        self.register("action", "store", _Once)

    def error(self, message: str) -> NoReturn:
        say(f"simfarm: {one_line(message)}; see '{self.prog} --help'")
        raise SystemExit(2)


def build_parser(*, overview: bool = True) -> argparse.ArgumentParser:
    """All verbs with their options; without the `overview` in the order of the work, the verbs list themselves."""
    parser = _Parser(
        prog="simfarm",
        description=_PURPOSE + ("\n\n" + _overview() if overview else ""),
        epilog=_EXIT_STATUS,
        usage="simfarm VERB INPUT … [options]   (simfarm VERB --help says more)",
        formatter_class=Paragraphs,
    )
    parser.add_argument("--version", action="version", version=f"simfarm {__version__}")
    verbs = parser.add_subparsers(prog="simfarm", metavar="VERB", parser_class=_Parser)
    if overview:
        verbs.help = argparse.SUPPRESS

    def print_help(_: argparse.Namespace) -> int:
        answer(parser.format_help().rstrip("\n"))
        return 0

    parser.set_defaults(run=print_help, quiet=False, debug=False)
    for group in _VERBS.values():
        for name, (module, summary) in group.items():
            verb = verbs.add_parser(name, help=summary, description=module.__doc__, formatter_class=Paragraphs)
            module.add_arguments(verb)
            general = verb.add_argument_group("everywhere")
            general.add_argument("--quiet", action="store_true", help="only the answer, warnings and errors")
            general.add_argument("--debug", action="store_true", help="show the traceback of an error")
            verb.set_defaults(run=module.run)
    return parser


def _overview() -> str:
    """The verbs in the order of the work, each on a line of its own, as wide as the terminal."""
    width = shutil.get_terminal_size().columns - 2
    lines = []
    for group, group_verbs in _VERBS.items():
        for position, (name, (_, summary)) in enumerate(group_verbs.items()):
            head = f"  {group if position == 0 else '':6} {name:12} "
            wrapped = textwrap.wrap(summary, max(width - len(head), 20))
            lines += [head + wrapped[0], *(" " * len(head) + more for more in wrapped[1:])]
    return "\n".join(lines)


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
