"""What a run needs, and whether it is there: the key, the model, log probabilities, a schema, a price …

With --model one cheap question for each thing, at most 8 calls, whose price is said before the first one. Without it
what is on this machine: keys (their names alone), the store, versions, extras. Exit status 0 where the model can serve
the judge named, or judges that read text; 1 where it cannot; 2 for bad input."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from simfarm.cli.options import add_options
from simfarm.report.terminal import answer, answer_json, say, width_of, wrapped
from simfarm.settings.options import BY_NAME, MODEL
from simfarm.text.harmless import one_line
from simfarm.text.words import plural

if TYPE_CHECKING:
    from simfarm.runs.findings import Finding

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    judge = BY_NAME["judge"]._replace(help="a judge that it is to serve (its model, where none is named)")
    timeout = BY_NAME["timeout"]._replace(help="seconds for a call (default 60)", default=60.0)
    add_options(parser.add_argument_group("model"), (*MODEL, judge, BY_NAME["price"], timeout))
    parser.add_argument("--json", action="store_true", help="for machines")


def run(arguments: argparse.Namespace) -> int:
    """Print what was found; gives the exit status."""
    from simfarm.errors import InputError

    if arguments.model is None and arguments.judge is None:
        given = {"base-url": arguments.base_url, "price": arguments.price, "engine-arg": arguments.engine_args}
        if idle := [name for name, value in given.items() if value]:
            raise InputError(f"--{idle[0]} is about a model: name one with --model, or leave it out")
        return _around(arguments)
    import asyncio
    import dataclasses
    import logging

    from simfarm.backends import open_backend
    from simfarm.engine.prices import price_table
    from simfarm.judges import load_one
    from simfarm.runs.doctor import examine
    from simfarm.runs.enquiries import MOST_CALLS, most_cost
    from simfarm.runs.options import RunOptions

    judge = load_one(arguments.judge) if arguments.judge else None
    if judge is not None and judge.rule is not None:
        raise InputError(f"the judge {judge.name} is a rule and asks no model: name another, or leave --judge out")
    spec = arguments.model or (judge and judge.model)
    if not spec:
        raise InputError(f"the judge {arguments.judge} names no model: add one with --model")
    backend, name = open_backend(
        spec, base_url=arguments.base_url, timeout=arguments.timeout, engine_args=dict(arguments.engine_args)
    )
    if backend.name == "replay":
        raise InputError("a recording asks nobody: name the model itself with --model")
    if not backend.in_process:
        most = most_cost(backend, name, arguments.price)
        cost = "unknown price" if most is None else f"at most ${most:.4f} ({price_table()})"
        say(f"at most {plural(MOST_CALLS, 'call')} to {backend.name}/{name}: {cost}")
    options = RunOptions(price=arguments.price, timeout=arguments.timeout)
    # what a backend learns of the model stands in the table, and need not be told beside it
    logging.getLogger("simfarm").disabled = True
    try:
        examination = asyncio.run(examine(backend, name, options, judge))
    finally:
        logging.getLogger("simfarm").disabled = False
    if arguments.json:
        answer_json(dataclasses.asdict(examination))
    else:
        answer(_lines(one_line(examination.model), examination.findings))
        served = ", ".join(examination.judges)
        _note(f"bundled judges it can serve: {served}" if served else "it can serve no judge")
        if examination.calls is not None:
            cost = "unknown price" if examination.cost is None else f"${examination.cost:.6f}"
            _note(f"{plural(examination.calls, 'call')} made: {cost}")
    return 0 if examination.fit else 1


def _around(arguments: argparse.Namespace) -> int:
    import dataclasses

    from simfarm.backends import read_dotenv
    from simfarm.runs.surroundings import surroundings

    read_dotenv()
    findings = surroundings()
    if arguments.json:
        answer_json([dataclasses.asdict(one) for one in findings])
    else:
        answer(_lines("this machine", findings))
        _note("--model SPEC examines a model: at most 8 cheap calls")
    return 0


def _note(line: str) -> None:
    answer("\n".join(wrapped(one_line(line), width_of(sys.stdout))))


def _lines(title: str, findings: Sequence[Finding]) -> str:
    """A line for each finding, broken beside its question and answer where the terminal is narrow."""
    width = width_of(sys.stdout)
    first = max(len(finding.question) for finding in findings)
    head = first + len("unknown") + 4
    lines = [title, "─" * min(width or 72, 100)]
    for finding in findings:
        text = finding.told + (f" → {finding.remedy}" if finding.remedy else "")
        pieces = wrapped(one_line(text), None if width is None else max(width - head, 20), "")
        lines.append(f"{one_line(finding.question):{first}}  {finding.answer:7}  {pieces[0]}".rstrip())
        lines += [" " * head + piece for piece in pieces[1:]]
    return "\n".join([*lines, ""])
