"""List the bundled judges, show one whole, check one (bundled or your own) before anything is paid for, print the
schema that an editor completes a judge's file by, choose among judges by people's labels (compare), find out what a
judge can be fooled by (probe), and what tricks are worth on its board (stress)."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from simfarm.cli import judge_compare, judge_probe, judge_stress
from simfarm.cli.help import Paragraphs
from simfarm.cli.judge_check import check_all
from simfarm.report.terminal import answer, answer_json, width_of

if TYPE_CHECKING:
    from simfarm.judges import Judge, Panel, Population

__all__ = ["add_arguments", "run"]

_MORE = {
    "compare": (judge_compare, "which judge to take: agreement, cost and time, beside people"),
    "probe": (judge_probe, "what a judge can be fooled by: one card"),
    "stress": (judge_stress, "what tricks are worth on a judge's board, in points"),
}
"""Actions with a module of their own."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`list`, `show NAME` and `check FILE`, each with `--json`, and `schema`."""
    metavar = "list|show|check|schema|compare|probe|stress"
    actions = parser.add_subparsers(dest="action", metavar=metavar, required=True)
    listed = actions.add_parser("list", help="the bundled judges")
    shown = actions.add_parser("show", help="one judge: what it asks, of whom, and how its reply is read")
    checked = actions.add_parser(
        "check", help="render a sample in both orders and try the parser; exit status 2 if unfit"
    )
    schema = actions.add_parser("schema", help="the JSON Schema of a judge's file, for editors")
    for action in (shown, checked):
        action.add_argument("judge", metavar="NAME|FILE", help="a bundled judge, a YAML file or a folder")
    for action in (listed, shown, checked):
        action.add_argument("--json", action="store_true", help="for machines")
    others = [
        actions.add_parser(name, help=summary, description=module.__doc__, formatter_class=Paragraphs)
        for name, (module, summary) in _MORE.items()
    ]
    for action, (module, _) in zip(others, _MORE.values(), strict=True):
        module.add_arguments(action)
    for action in (listed, shown, checked, schema, *others):
        # also understood before the action; SUPPRESS keeps a later default from undoing it
        for option in ("--debug", "--quiet"):
            action.add_argument(option, action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Print the answer; 2 where a checked judge is not fit for use, else 0."""
    match arguments.action:
        case "list":
            _list(arguments.json)
        case "show":
            _show(arguments.judge, arguments.json)
        case "schema":
            from simfarm.judges.schema import judge_schema

            answer_json(judge_schema(), indent=2)
        case "check":
            return _check(arguments.judge, arguments.json)
        case action:
            return int(_MORE[action][0].run(arguments))
    return 0


def _list(as_json: bool) -> None:
    from simfarm.judges import list_judges, list_populations
    from simfarm.report.judges import listing

    judges: list[Judge | Population] = [*list_judges(), *list_populations()]
    if as_json:
        answer_json([_facts(judge) for judge in judges], indent=2)
    else:
        answer(listing(judges, width_of(sys.stdout)))


def _show(name: str, as_json: bool) -> None:
    from simfarm.judges import Judge, load_judge
    from simfarm.report.judges import page

    judge = load_judge(name)
    facts = _facts(judge) | ({"template": judge.template} if isinstance(judge, Judge) else {})
    if as_json:
        answer_json(facts, indent=2)
    else:
        answer(page(facts, width_of(sys.stdout)))


def _facts(judge: Judge | Population | Panel) -> dict[str, Any]:
    from simfarm.judges import Judge, Panel
    from simfarm.report.judges import facts_of, panel_facts, people_facts

    if isinstance(judge, Panel):
        return panel_facts(judge)
    return facts_of(judge) if isinstance(judge, Judge) else people_facts(judge)


def _check(name: str, as_json: bool) -> int:
    from simfarm.judges import Judge, Panel, load_judge

    judge = load_judge(name)
    if isinstance(judge, Judge):
        return check_all([judge], as_json)
    if isinstance(judge, Panel):
        return check_all(list({one.hash: one for one in judge.judges.values()}.values()), as_json)
    # a population is fit where all of its members are
    return check_all(list({member.judge.hash: member.judge for member in judge.members}.values()), as_json)
