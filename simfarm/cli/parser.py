"""All verbs and their options, as one parser; nothing that a verb needs is imported for its help."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from typing import Any, NoReturn

from simfarm.cli import (
    agreement,
    annotate,
    calibrate,
    compare,
    completion,
    convert,
    dissect,
    doctor,
    evaluate,
    explain,
    fidelity,
    generate,
    judges,
    rejudge,
    select,
    setup_local,
    show,
    store,
)
from simfarm.cli.help import Paragraphs
from simfarm.report.terminal import answer, say
from simfarm.text.harmless import one_line
from simfarm.version import __version__

__all__ = ["build_parser"]

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
    "trust": {
        "agreement": (agreement, "how far can a judge be trusted? its report card, beside people"),
        "dissect": (dissect, "what do people and judges reward, and where do judges fail?"),
        "explain": (explain, "a few principles in words behind preferences, and a judge that goes by them"),
        "calibrate": (calibrate, "fit a crowd of simulated people to real ones"),
        "fidelity": (fidelity, "can simulated people be told from real ones, and by what?"),
    },
    "look": {
        "show": (show, "read verdicts as a person does"),
    },
    "keep": {
        "convert": (convert, "files of others into ours, and ours into theirs"),
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

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """A verb says itself what it does not know: the overview has none of its options."""
        known, unknown = super().parse_known_args(args, namespace)
        if unknown and " " in self.prog:
            import difflib

            near = difflib.get_close_matches(unknown[0], self._option_string_actions, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return known, unknown

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
