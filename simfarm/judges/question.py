"""What a judge's question is apart from its protocol: how the answer is drawn, held to its form, and asked for again.

The same for every kind of question, because it follows from the judge and its reply alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from simfarm.data.exchange import Completion, Message
from simfarm.errors import InputError
from simfarm.judges.listing import ranking_schema
from simfarm.judges.marks import marks_schema
from simfarm.judges.several import several_schema
from simfarm.judges.spec import Judge
from simfarm.judges.stages import every_stage

__all__ = ["held", "in_process", "repair_messages", "request_sampling"]

REPAIR = "That reply cannot be used: {problem}. Answer the question above again, in exactly the form it asks for."

BRIEF = 16
"""The most tokens of a reply that is a label and nothing else: there is no room to reason in them."""


def repair_messages(asked: tuple[Message, ...], completion: Completion, problem: str) -> tuple[Message, ...]:
    """The one repair re-ask: the question, the reply that could not be used, and what was wrong with it.

    The reply is the judge's own but may quote a candidate, so chat tokens in it are neutralised as well. An empty one
    is named as such: some providers reject an empty message.
    """
    from simfarm.judges.neutral import neutraliser

    reply = neutraliser(())(completion.text) if completion.text.strip() else "(empty reply)"
    return (
        *asked,
        {"role": "assistant", "content": reply},
        {"role": "user", "content": REPAIR.format(problem=problem)},
    )


def request_sampling(judge: Judge) -> dict[str, Any]:
    """The sampling options of a request; for a judge that replies in JSON with the `schema` that a
    backend can hold the reply to."""
    sampling: dict[str, Any] = dict(judge.sampling)
    if judge.asks_marks:
        sampling["schema"] = marks_schema(judge)
    elif judge.verdict is not None and judge.verdict.parser == "json":
        schema: Mapping[str, Any] = several_schema(judge.verdict) if judge.several else judge.verdict.schema
        if judge.ranks:
            schema = ranking_schema(judge.verdict)
        sampling["schema"] = schema
    return sampling


def held(judge: Judge) -> Judge:
    """The judge with its reply held to its labels, for engines in this process, which choose among the labels' tokens
    alone: a small model then gives a verdict each time, and none is lost to a preamble. A judge whose reply is more
    than a label (one that reasons first, one that weighs tokens) is given back as it is.

    The labels stand in `sampling` and so in the judge's hash and the store's keys: it answers another way. Servers are
    not asked for it, for they have no form in common, and some ignore what they do not know.
    """
    spec = judge.verdict
    if spec is None or spec.parser != "label" or judge.several or not spec.labels:
        return judge
    if judge.sampling.get("max_tokens", math.inf) > BRIEF:
        return judge
    opening, closing = spec.delimiters or ("", "")
    choices = [f"{opening}{label}{closing}" for label in spec.labels]
    return dataclasses.replace(judge, sampling={**judge.sampling, "choices": choices})


def in_process(judge: Judge) -> Judge:
    """The judge with `thinking` as the switch that chat templates have for it: there is no server to translate it."""
    if not any("thinking" in sampling for sampling in (judge.sampling, *(stage.sampling for stage in judge.stages))):
        return judge
    return every_stage(dataclasses.replace(judge, sampling=_switched(judge.sampling)), _switched)


def _switched(sampling: Mapping[str, Any]) -> Mapping[str, Any]:
    if "thinking" not in sampling:
        return sampling
    if sampling["thinking"] is not bool(sampling["thinking"]):
        raise InputError(
            "sampling.thinking: a model in this process takes no number of tokens to think in: true or false"
        )
    switch = {"enable_thinking": sampling["thinking"]}
    rest = {name: value for name, value in sampling.items() if name != "thinking"}
    return rest | {"template_args": switch | rest.get("template_args", {})}
