"""List the bundled judges, show one whole, or check one (bundled or your own) before anything is paid for."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from simfarm.report.terminal import answer, answer_json, width_of, wrapped
from simfarm.text.harmless import one_line

if TYPE_CHECKING:
    from simfarm.judges import Judge
    from simfarm.judges.check import Check

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`list`, `show NAME` and `check FILE`, each with `--json`."""
    actions = parser.add_subparsers(dest="action", metavar="list|show|check", required=True)
    listed = actions.add_parser("list", help="the bundled judges")
    shown = actions.add_parser("show", help="one judge: what it asks, of whom, and how its reply is read")
    checked = actions.add_parser(
        "check", help="render a sample in both orders and try the parser; exit status 2 if unfit"
    )
    for action in (shown, checked):
        action.add_argument("judge", metavar="NAME|FILE", help="a bundled judge, a YAML file or a folder")
    for action in (listed, shown, checked):
        action.add_argument("--json", action="store_true", help="for machines")
        # also understood before the action; SUPPRESS keeps a later default from undoing it
        for option in ("--debug", "--quiet"):
            action.add_argument(option, action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Print the answer; 2 where a checked judge is not fit for use, else 0."""
    from simfarm.judges import list_judges, load_judge

    width = width_of(sys.stdout)
    match arguments.action:
        case "list":
            judges = list_judges()
            if arguments.json:
                answer_json([_facts(judge) for judge in judges], indent=2)
            else:
                answer(_listing(judges, width))
            return 0
        case "show":
            judge = load_judge(arguments.judge)
            facts = _facts(judge) | {"template": judge.template}
            if arguments.json:
                answer_json(facts, indent=2)
            else:
                answer(_told(facts, width))
            return 0
    from dataclasses import asdict
    from datetime import UTC, datetime

    from simfarm.judges.check import check_judge

    judge = load_judge(arguments.judge)
    check = check_judge(judge, datetime.now(UTC).date())
    if arguments.json:
        facts = {"name": judge.name, "hash": judge.hash, "fit": not check.problems}
        answer_json(facts | asdict(check), indent=2)
    else:
        answer(_report(judge, check, width))
    return 2 if check.problems else 0


def _facts(judge: Judge) -> dict[str, Any]:
    """What there is to know about a judge but its template, in the words of its file."""
    from simfarm.judges.check import last_day

    facts: dict[str, Any] = {
        "name": judge.name,
        "description": judge.description,
        "hash": judge.hash,
        "path": str(judge.path),
        "protocol": judge.protocol,
        "order": judge.order,
        "rule": judge.rule,
        "model": judge.model,
        "checked": judge.checked and f"{judge.checked}",
        "until": (end := last_day(judge)) and f"{end}",
        "alternatives": list(judge.alternatives) or None,
        "sampling": dict(judge.sampling) or None,
        "parser": judge.verdict and judge.verdict.parser,
        "labels": judge.verdict and dict(judge.verdict.labels),
        "criteria": list(judge.criteria) or None,
        "delimiters": list(judge.delimiters) or None,
    }
    return {key: value for key, value in facts.items() if value is not None}


def _listing(judges: list[Judge], width: int | None) -> str:
    asked = {judge.name: _asked(judge) for judge in judges}
    names, models = (max(map(len, column)) for column in (asked, asked.values()))
    lines = [f"{judge.name:{names}}  {asked[judge.name]:{models}}  {judge.description}" for judge in judges]
    lines += ["", "simfarm judges show NAME prints one whole; --judge takes a name, a file or a folder."]
    return "\n".join(part for line in lines for part in wrapped(one_line(line), width, "    "))


def _asked(judge: Judge) -> str:
    """Whom a judge asks, when it was looked up that it can be asked, and until when, where that is known."""
    from simfarm.judges.check import last_day

    checked, end = judge.checked, last_day(judge)
    known = ", ".join([*([f"checked {checked}"] if checked else []), *([f"until {end}"] if end else [])])
    return (judge.model or "no model") + (f" ({known})" if known else "")


def _told(facts: Mapping[str, Any], width: int | None) -> str:
    lines = []
    for key, value in facts.items():
        if key == "template":
            continue
        if isinstance(value, list):
            lines += [f"{key}:", *(f"  - {item}" for item in value)]
        elif isinstance(value, dict):
            lines.append(f"{key}: " + ", ".join(f"{name} = {item}" for name, item in value.items()))
        else:
            lines.append(f"{key}: {value}")
    made = [part for line in lines for part in wrapped(one_line(line), width)]
    if facts.get("template"):
        # as it is written: a template's lines mean something
        made += ["template:", textwrap.indent(facts["template"].rstrip("\n"), "  ")]
    return "\n".join(made)


def _report(judge: Judge, check: Check, width: int | None) -> str:
    lines = [f"{judge.name} ({judge.hash})"]
    for order, sent in check.rendered.items():
        lines += ["", f"── order {order}: output_{order[0]} is shown first, output_{order[1]} second"]
        for message in sent:
            lines += [f"[{message['role']}]", *(f"  {line}" for line in message["content"].splitlines())]
    lines += ["", "── sample replies and the preference read from them (1 = output_1, 2 = output_2)"]
    for reply in check.replies:
        read = f"no verdict ({reply.problem})" if reply.preference is None else f"{reply.preference:g}"
        lines.append(f"  order {reply.order}  {reply.text:16}  {read}")
    lines.append("")
    lines += [f"problem: {problem}" for problem in check.problems]
    lines += [f"warning: {warning}" for warning in check.warnings]
    lines.append("not fit for use: mend the problems above" if check.problems else "fit for use")
    return "\n".join(part for line in lines for part in wrapped(one_line(line), width))
