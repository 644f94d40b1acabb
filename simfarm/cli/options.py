"""The command line's options, made of the table that Python's keywords are checked by."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from simfarm.settings import kinds
from simfarm.settings.options import BASELINE, CROWD, DATA, INPUT, INTERVALS, JUDGE, LENGTH, RETRY, RUN, Option

if TYPE_CHECKING:
    from simfarm.runs.options import JudgeOptions, RunOptions

__all__ = [
    "INPUT_HELP",
    "add_judging",
    "add_options",
    "add_ranking",
    "add_running",
    "judge_options",
    "number",
    "run_options",
    "whole",
]

INPUT_HELP = ".json, .jsonl, .csv, .parquet (texts also .gz, .zst), .eval, a folder, a glob, hf://…, or - for stdin"


def add_options(
    group: argparse._ActionsContainer, options: Iterable[Option], *, required: str | None = None
) -> argparse._ActionsContainer:
    """Each of `options` as an argument of `group`, which is given back for more; one of them may be `required`."""
    for option in options:
        shared: dict[str, Any] = {"dest": option.name, "help": option.help, "default": option.default}
        if option.kind is kinds.SWITCH:
            group.add_argument(option.spelling, action="store_true", **shared)
            continue
        if option.repeated:
            shared |= {"action": "append", "default": []}
        group.add_argument(
            option.spelling,
            type=reader(option.kind),
            metavar=option.metavar,
            choices=option.kind.choices or None,
            required=option.name == required,
            **shared,
        )
    return group


def reader(kind: kinds.Kind) -> Callable[[str], Any]:
    """What argparse calls with a text of this kind: the value, or an error that says what will do."""
    if kind is not kinds.SETTING and not kind.must_be:
        # argparse's own words for a text that is no number at all
        return kind.read

    def read(text: str) -> Any:
        try:
            value = kind.read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(_refusal(kind, text, error)) from error
        if not kind.holds(value):
            raise argparse.ArgumentTypeError(_refusal(kind, text))
        return value

    return read


def _refusal(kind: kinds.Kind, text: str, error: ValueError | None = None) -> str:
    will_do = kind.is_not or kind.must_be
    return f"{text!r} is not {will_do}" if will_do else str(error)


whole, number = reader(kinds.WHOLE), reader(kinds.NUMBER)


def add_ranking(parser: argparse.ArgumentParser, *, length: bool = True) -> argparse._ActionsContainer:
    """What is compared with what, and how: the same for every verb that ranks, those of `length` for the verbs that can
    hold it equal. Gives the group, for more options."""
    add_options(parser, (*BASELINE, *INPUT))
    board = parser.add_argument_group("board")
    add_options(board, (*(LENGTH if length else ()), *INTERVALS))
    board.add_argument("--json", action="store_true", help="everything, for machines")
    return board


def add_judging(parser: argparse.ArgumentParser, *, more: Iterable[Option] = ()) -> None:
    """What to ask whom, how hard, and at what price: the same for every verb that may ask a judge, and `more` about
    whom."""
    add_options(parser.add_argument_group("judge"), (*JUDGE, *more))
    add_options(parser.add_argument_group("data"), DATA)
    add_running(parser, more=RETRY)


def add_running(parser: argparse.ArgumentParser, *, more: Iterable[Option] = ()) -> None:
    """How hard to ask, and at what price."""
    add_options(parser.add_argument_group("run"), (*RUN, *more))


def judge_options(arguments: argparse.Namespace) -> JudgeOptions:
    """Whom to ask for verdicts, as `add_judging` was told."""
    from simfarm.runs.options import JudgeOptions

    names = (option.name for option in (*JUDGE, *CROWD, *RETRY) if option.name not in ("base_url", "engine_args"))
    return JudgeOptions(**{name: getattr(arguments, name) for name in names if hasattr(arguments, name)})


def run_options(arguments: argparse.Namespace) -> RunOptions:
    """How hard to ask, and where, as `add_running` was told."""
    from simfarm.runs.options import RunOptions

    names = ("base_url", *(option.name for option in RUN if option.name != "dry_run"))
    return RunOptions(engine_args=dict(arguments.engine_args), **{name: getattr(arguments, name) for name in names})
