"""What a judge that ranks has of its own: the labels of outputs, how an ordering is written, and the keys of its file.

An ordering names every output once, the best first, with ties: B > A = C. One that names an output twice, or lacks one,
is none: which of the two was meant nobody knows, and a guess would be a verdict that nobody gave.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from simfarm.data.exchange import Completion
from simfarm.errors import InputError
from simfarm.judges import fields
from simfarm.judges.parsers import VerdictSpec, last_object, unfinished
from simfarm.text.words import named

if TYPE_CHECKING:
    import jinja2.nodes

__all__ = [
    "MOST_OUTPUTS",
    "PARSERS",
    "VARIABLES",
    "Ordering",
    "check_outputs",
    "labels_of",
    "parse_ordering",
    "ranking_schema",
    "ranking_verdict",
]

MOST_OUTPUTS = len(ascii_uppercase)
"""Letters there are; judges lose sight of the outputs long before."""

PARSERS = {"label": ("parser", "delimiters"), "json": ("parser", "ranking", "reason")}
"""The parsers of judges that rank, with their keys."""

VARIABLES = ("instruction", "messages", "outputs", "criteria", "context", "reference", "checklist")

Ordering = Mapping[str, int]
"""Label -> place, from 0 for the best; equal places are a tie."""

_ORDERING = r"[A-Za-z0-9]+(?:\s*[>=]\s*[A-Za-z0-9]+)*"


def labels_of(count: int) -> str:
    """The labels of so many outputs, in the order in which they are shown."""
    return ascii_uppercase[:count]


def ranking_verdict(where: str, value: Any) -> VerdictSpec:
    """How the reply of a judge that ranks is read. Raises `InputError`."""
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: must be a mapping with parser, not {value!r}")
    if "labels" in value:
        raise InputError(f"{where}.labels: a judge that ranks calls the outputs A, B, C …; leave them out")
    parser = fields.choice(f"{where}.parser", value.get("parser"), PARSERS)
    fields.known_keys(where, value, PARSERS[parser])
    if parser == "label":
        return VerdictSpec(parser, {}, delimiters=fields.around(where, value))
    winner = fields.text(f"{where}.ranking", value.get("ranking", "ranking"))
    reason = fields.text(f"{where}.reason", value.get("reason", "reason"))
    if winner == reason:
        raise InputError(f"{where}: ranking and reason name the same field {winner!r}; give them two names")
    return VerdictSpec(parser, {}, winner=winner, reason=reason)


def ranking_schema(spec: VerdictSpec) -> Mapping[str, Any]:
    """The JSON schema of a reply: the labels from the best to the worst, those of one place together."""
    place = {"type": "array", "items": {"type": "string"}}
    return {
        "type": "object",
        "properties": {spec.reason: {"type": "string"}, spec.winner: {"type": "array", "items": place}},
        "required": [spec.reason, spec.winner],
        "additionalProperties": False,
    }


def parse_ordering(completion: Completion, spec: VerdictSpec, count: int) -> tuple[Ordering | None, str | None]:
    """(the ordering of `count` outputs in a reply, the judge's reason), or (None, what is wrong with the reply)."""
    if problem := unfinished(completion):
        return None, problem
    places, reason, problem = (_written if spec.parser == "label" else _listed)(completion.text, spec)
    problem = problem or _problem(places, labels_of(count))
    if problem:
        return None, problem
    return {label: place for place, labels in enumerate(places) for label in labels}, reason


def _written(text: str, spec: VerdictSpec) -> tuple[list[list[str]], str | None, str | None]:
    """(places, reason, problem) of the last ordering between the delimiters; a reason may hold others."""
    opening, closing = spec.delimiters or ("", "")
    last = None
    for last in re.finditer(rf"{re.escape(opening)}\s*({_ORDERING})\s*{re.escape(closing)}", text):  # noqa: B007
        pass
    if last is None:
        return [], None, f"the reply holds no ordering such as {opening}B > A = C{closing}"
    return _places(last[1]), text[: last.start()].strip() or None, None


def _listed(text: str, spec: VerdictSpec) -> tuple[list[list[str]], str | None, str | None]:
    """The same of the last JSON object: a list of labels, or of lists of those that tie; or an ordering as a text."""
    reply = last_object(text)
    if reply is None:
        return [], None, "the reply holds no JSON object"
    ranking, reason = reply.get(spec.winner), reply.get(spec.reason)
    if isinstance(ranking, str) and re.fullmatch(rf"\s*{_ORDERING}\s*", ranking):
        ranking = _places(ranking.strip())
    tied = [place if isinstance(place, list) else [place] for place in ranking] if isinstance(ranking, list) else []
    if not tied or not all(isinstance(label, str) for place in tied for label in place):
        return [], None, f"the field {spec.winner} is no list of the answers' letters"
    if reason is not None and not isinstance(reason, str):
        return [], None, f"the field {spec.reason} is not a text"
    return [place for place in tied if place], reason, None


def _places(ordering: str) -> list[list[str]]:
    return [[label.strip() for label in place.split("=")] for place in ordering.split(">")]


def _problem(places: Sequence[Sequence[str]], labels: str) -> str | None:
    """What is wrong with places as an ordering of these labels."""
    counts = Counter(label for place in places for label in place)
    if twice := [label for label in counts if counts[label] > 1]:
        return f"the ordering names {named(twice, 3)} twice"
    if odd := [label for label in counts if label not in labels or len(label) > 1]:
        return f"the ordering names {named(odd, 3)}, which is no answer's letter"
    if missing := [label for label in labels if label not in counts]:
        return f"the ordering lacks {named(missing, 3)}"
    return None


def check_outputs(tree: jinja2.nodes.Template, variables: frozenset[str], where: str) -> None:
    """Raise `InputError` for a variable that there is not where all outputs are shown, and for a template that does not
    show what is ranked."""
    import jinja2.nodes

    for name in sorted(variables - set(VARIABLES)):
        hint = "; a judge that ranks sees outputs" if name in ("first", "second", "output", "pairs") else ""
        raise InputError(
            f"{where}: unknown variable {name!r}; a template of a ranking knows {', '.join(VARIABLES)}{hint}"
        )
    if "outputs" not in variables:
        raise InputError(f"{where}: {{{{ outputs }}}} is not used; the judge must see what it ranks")
    if not variables & {"instruction", "messages"}:
        raise InputError(f"{where}: {{{{ instruction }}}} is not used; the judge must see what was asked")
    shown = {node.attr for node in tree.find_all(jinja2.nodes.Getattr)}
    for name, why in (("label", "the reply names each output by it"), ("text", "the judge must see what it ranks")):
        if name not in shown:
            raise InputError(f"{where}: {{{{ output.{name} }}}} is not used for each of the outputs; {why}")
