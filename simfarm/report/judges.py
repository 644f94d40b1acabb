"""Judges and populations as a person reads them: the list, one of them whole, and what a check brought to light."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from simfarm.data.decision import Question
from simfarm.judges import Judge, Panel, Population
from simfarm.judges.check import Check
from simfarm.judges.panel import Seat
from simfarm.judges.population import Member
from simfarm.judges.stages import Stage
from simfarm.report.terminal import wrapped
from simfarm.runs.fitness import last_day
from simfarm.text.harmless import one_line
from simfarm.text.words import plural

__all__ = ["check_report", "facts_of", "listing", "page", "panel_facts", "people_facts"]


def facts_of(judge: Judge) -> dict[str, Any]:
    """What there is to know about a judge but its template, in the words of its file."""
    facts: dict[str, Any] = {
        "name": judge.name,
        "description": judge.description,
        "hash": judge.hash,
        "path": str(judge.path),
        "protocol": judge.protocol,
        "order": None if judge.alone or judge.scoring else judge.order,
        **(judge.scoring.facts() if judge.scoring else {}),
        "scale": (judge.verdict and {label: f"{number:g}" for label, number in judge.verdict.scale.items()}) or None,
        "rule": judge.rule,
        "weights": judge.weights and dict(judge.weights),
        "model": judge.model,
        "checked": judge.checked and f"{judge.checked}",
        "until": (end := last_day(judge)) and f"{end}",
        "alternatives": list(judge.alternatives) or None,
        "sampling": dict(judge.sampling) or None,
        "parser": judge.verdict and judge.verdict.parser,
        "labels": (judge.verdict and not judge.alone and dict(judge.verdict.labels)) or None,
        "question": (judge.verdict and judge.verdict.question) or None,
        "descriptions": (judge.verdict and dict(judge.verdict.descriptions)) or None,
        "stages": [_stage_facts(stage) for stage in judge.stages] or None,
        "criteria": list(judge.criteria) or None,
        "context": judge.context or None,
        "from columns": dict(judge.given.columns) or None,
        "delimiters": list(judge.delimiters) or None,
    }
    return {key: value for key, value in facts.items() if value is not None}


def _stage_facts(stage: Stage) -> dict[str, Any]:
    facts = {
        "name": stage.name,
        "asked": "of each answer" if stage.each else None,
        "rounds": stage.rounds if stage.rounds > 1 else None,
        "contexts": stage.contexts or None,
        "auxiliary": stage.auxiliary or None,
        "sampling": dict(stage.sampling) or None,
        "template": stage.template,
    }
    return {key: value for key, value in facts.items() if value is not None}


def people_facts(population: Population) -> dict[str, Any]:
    """What there is to know about a population, in the words of its file; each member as one line."""
    crowd = population.crowd
    facts: dict[str, Any] = {
        "name": population.name,
        "description": population.description,
        "hash": population.hash,
        "path": str(population.path),
        "people": population.people,
        "members": [_member_facts(member) for member in population.members],
        "noise": {"flip": population.flip} if population.flip else None,
        "population": None if crowd is None else crowd.to_yaml(),
        "left open": None if crowd is None or not crowd.open else list(crowd.open),
    }
    return {key: value for key, value in facts.items() if value is not None}


def panel_facts(panel: Panel) -> dict[str, Any]:
    """What there is to know about a panel, in the words of its file; each member as one line."""
    fitted = panel.fitted
    facts: dict[str, Any] = {
        "name": panel.name,
        "description": panel.description,
        "hash": panel.hash,
        "path": str(panel.path),
        "rule": panel.rule,
        "rounds": panel.rounds or None,
        "signed": panel.signed or None,
        "members": [_seat_facts(seat, panel.weights is not None) for seat in panel.members],
        "fitted on": fitted and f"{plural(fitted.comparisons, 'comparison')} of {fitted.name}",
    }
    return {key: value for key, value in facts.items() if value is not None}


def _seat_facts(seat: Seat, weighed: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": seat.name, "weight": seat.weight if weighed else None}
    if seat.judge is None:
        facts["judge"] = "none (recorded verdicts alone)"
    else:
        facts |= {"judge": seat.judge.name, "model": seat.judge.model, "order": seat.judge.order}
        facts["hash"] = seat.judge.hash
    return {key: value for key, value in facts.items() if value is not None}


def _member_facts(member: Member) -> dict[str, Any]:
    judge = member.judge
    facts: dict[str, Any] = {
        "name": member.name,
        "weight": member.weight,
        "judge": judge.name,
    }
    if judge.rule is None:
        facts |= {"model": judge.model, "temperature": judge.sampling.get("temperature"), "order": judge.order}
    facts |= {"comparisons": member.comparisons if member.comparisons > 1 else None, "persona": judge.persona or None}
    facts |= {"examples": len(judge.examples) or None, "hash": judge.hash}
    return {key: value for key, value in facts.items() if value is not None}


def listing(judges: Sequence[Judge | Population], width: int | None) -> str:
    """One line a judge or population: its name, whom it asks and how."""
    asked = {judge.name: _peopled(judge) if isinstance(judge, Population) else _asked(judge) for judge in judges}
    names, models = (max(map(len, column)) for column in (asked, asked.values()))
    lines = [f"{judge.name:{names}}  {asked[judge.name]:{models}}  {judge.description}" for judge in judges]
    lines += ["", "simfarm judges show NAME prints one whole; --judge takes a name, a file or a folder."]
    return "\n".join(part for line in lines for part in wrapped(one_line(line), width, "    "))


def _peopled(population: Population) -> str:
    """How many a population's members are, and of how many models."""
    models = {member.judge.model for member in population.members if member.judge.model}
    members = plural(len(population.members), "simulated person", "simulated people")
    return f"{members}, {plural(len(models), 'model')}" if models else f"{members}, no model"


def _asked(judge: Judge) -> str:
    """Whom a judge asks, when it was looked up that it can be asked, and until when, where that is known."""
    checked, end = judge.checked, last_day(judge)
    known = ", ".join([*([f"checked {checked}"] if checked else []), *([f"until {end}"] if end else [])])
    return (judge.model or "no model") + (f" ({known})" if known else "")


def page(facts: Mapping[str, Any], width: int | None) -> str:
    """Everything about one judge, its template last and as it is written."""
    lines = []
    for key, value in facts.items():
        if key in ("template", "stages"):
            continue
        if isinstance(value, list):
            lines += [f"{key}:", *(f"  - {_item(item)}" for item in value)]
        elif isinstance(value, dict):
            lines.append(f"{key}: " + ", ".join(f"{name} = {item}" for name, item in value.items()))
        else:
            lines.append(f"{key}: {value}")
    shown = [part for line in lines for part in wrapped(one_line(line), width)]
    # as they are written: a template's lines mean something
    for stage in facts.get("stages", ()):
        own = dict(stage.get("sampling", {}))
        facts_of_it = {key: value for key, value in stage.items() if key not in ("name", "template", "sampling")}
        about = ", ".join(f"{key} = {value}" for key, value in (facts_of_it | own).items())
        shown += wrapped(one_line(f"stage {stage['name']}" + (f" ({about}):" if about else ":")), width)
        shown.append(textwrap.indent(stage["template"].rstrip("\n"), "  "))
    if facts.get("template"):
        shown += ["template:", textwrap.indent(facts["template"].rstrip("\n"), "  ")]
    return "\n".join(shown)


def _asked_as(question: Question) -> str:
    """A question and its options as one line."""
    options = [f"{o.value} ({o.description})" if o.description else o.value for o in question.options]
    joined = (" < " if question.kind == "score" else " | ").join(options)
    return f"{question.instructions} [{joined or 'yes | no'}]"


def _item(item: Any) -> str:
    """One of a list: a criterion that is a mapping as a file would have it."""
    if not isinstance(item, Mapping):
        return str(item)
    return ", ".join(f"{key}: {_value(value)}" for key, value in item.items())


def _value(value: Any) -> str:
    """Levels in their order, options with what they count, grades with what they stand for."""
    if isinstance(value, Mapping):
        return " | ".join(f"{option} = {number}" for option, number in value.items())
    return " < ".join(map(str, value)) if isinstance(value, list) else str(value)


def check_report(judge: Judge, check: Check, width: int | None) -> str:
    """What would be sent in each order, what was read from sample replies, and what is wrong."""
    lines = [f"{judge.name} ({judge.hash})"]
    for name, sent in check.stages.items():
        lines += ["", f"── stage {name}, asked before the verdict" + (" (in order 12)" if not judge.alone else "")]
        for message in sent:
            lines += [f"[{message['role']}]", *(f"  {line}" for line in message["content"].splitlines())]
    for order, sent in check.rendered.items():
        both = f"order {order}: output_{order[0]} is shown first, output_{order[-1]} second"
        lines += ["", f"── {'one output' if order == '1' else both}"]
        for place, message in enumerate(sent, 1):
            scored = judge.scoring is not None and place == len(sent)
            lines += [
                f"[{'scored' if scored else message['role']}]",
                *(f"  {line}" for line in message["content"].splitlines()),
            ]
    if judge.questions:
        of = "about it" if judge.alone else "in both"
        lines += [
            "",
            f"── asked {of}, as {plural(len(judge.questions), 'question')} of one request",
        ]
        lines += [f"  {question.name}: {_asked_as(question)}" for question in judge.questions]
    read = "score read from them" if judge.alone else "preference read from them (1 = output_1, 2 = output_2)"
    if judge.scoring is None:
        lines += ["", f"── sample replies and the {read}"]
    for reply in check.replies:
        read = f"no verdict ({reply.problem})" if reply.preference is None else f"{reply.preference:g}"
        lines.append(f"  order {reply.order}  {reply.text:16}  {read}")
    lines.append("")
    lines += [f"problem: {problem}" for problem in check.problems]
    lines += [f"warning: {warning}" for warning in check.warnings]
    lines.append("not fit for use: mend the problems above" if check.problems else "fit for use")
    return "\n".join(part for line in lines for part in wrapped(one_line(line), width))
