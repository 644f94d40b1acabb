"""Twins of an answer that a model makes, worse and better in one respect: one template for every respect there is.

They are as good as the model that makes them: a reader should look at some before a judge is blamed for what it says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache

from simfarm.data.exchange import Message
from simfarm.data.reading import read_text
from simfarm.data.records import Comparison, Output
from simfarm.judges.probes.plan import twin
from simfarm.judges.template import Template, compile_template
from simfarm.resources import prompts_dir

__all__ = ["WAYS", "asked_for", "read_twin", "twins"]

WAYS = {"degraded": "worse", "improved": "better"}
"""The probe's name -> which way an answer is to change."""

_TAGS = ("<instruction>", "</instruction>", "<answer>", "</answer>", "<rewritten>", "</rewritten>")
_REPLY = re.compile(r"<rewritten>(.*?)(?:</rewritten>|\Z)", re.DOTALL)


@cache
def _template() -> Template:
    path = prompts_dir() / "probes" / "twin.jinja"
    return compile_template(read_text(path), _TAGS, f"the template {path}")


def asked_for(output: Output, respect: str, way: str) -> tuple[Message, ...]:
    """What a model is asked for one twin; `way` is a key of `WAYS`."""
    pair = Comparison(output.instruction, output.output, respect)
    return _template().render(pair, "12", (WAYS[way],))


def read_twin(text: str) -> str:
    """The rewritten answer in a reply. Raises `ValueError` where there is none."""
    found = _REPLY.search(text)
    said = found[1].strip() if found else ""
    if not said:
        raise ValueError("it has no rewritten answer between <rewritten> and </rewritten>")
    return said


def twins(made: Sequence[tuple[Output, str, str, str | None]]) -> Iterator[Comparison]:
    """The pairs of (output, respect, way, the twin's text): of a worse twin the output is right, of a better one the
    twin. One that is missing, or no other text, makes no pair."""
    for output, respect, way, text in made:
        if text is None or text == output.output.strip():
            continue
        right, wrong = (output.output, text) if way == "degraded" else (text, output.output)
        yield twin(output, right, wrong, way, respect)
