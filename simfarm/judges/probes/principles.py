"""One pair, judged by a principle and by its opposite, or for two people who want opposite things.

A judge that goes by what it is told turns its verdict round. One that does not has a taste of its own, and a rubric
given to it changes nothing: that is worth knowing before anybody writes one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from simfarm.data.records import Output
from simfarm.judges.probes.pieces import sentences
from simfarm.judges.spec import Judge

__all__ = ["CONTEXTS", "Opposite", "by_principle", "contexts", "principles", "shows_criteria"]


@dataclass(frozen=True, slots=True)
class Opposite:
    """Two texts, and two words for a judge of which each makes the text of its own place the right one."""

    texts: tuple[str, str]
    words: tuple[str, str]
    variant: str


_SHORTER = (
    "The shorter of the two answers is the better one, whatever else can be said of them.",
    "The longer of the two answers is the better one, whatever else can be said of them.",
)
_LISTED = (
    "The answer in running text is the better one, and one with bullet points the worse, whatever else they say.",
    "The answer with bullet points is the better one, and one in running text the worse, whatever else they say.",
)
CONTEXTS = (
    "Who asks: somebody who will read the answer aloud in one breath and wants one or two sentences, no more.",
    "Who asks: somebody who prepares a lesson from the answer and needs it at length, with everything that belongs to "
    "it.",
)
"""Who asks, of an answer in brief and of one at length."""


def principles(output: Output, turn: int) -> Opposite | None:
    """The first sentence of an answer beside all of it under principles of length, or its running text beside the same
    as a list under principles of form, in turn. None where there are fewer than three sentences of running text."""
    said = sentences(output.output)
    if len(said) < 3:
        return None
    if turn % 2:
        listed = "\n".join(f"- {one}" for one in said)
        return Opposite((" ".join(said), listed), _LISTED, "form")
    return Opposite((said[0], output.output), _SHORTER, "length")


def contexts(output: Output) -> Opposite | None:
    """The first sentence of an answer beside all of it, for somebody in a hurry and for somebody with time. None where
    there are fewer than three sentences of running text."""
    said = sentences(output.output)
    return Opposite((said[0], output.output), CONTEXTS, "brief or at length") if len(said) > 2 else None


def shows_criteria(judge: Judge) -> bool:
    """Whether a principle can be given to a judge as its own; else it is given with the instruction."""
    return bool(judge.questions) or (judge.template is not None and "criteria" in judge.compiled.variables)


def by_principle(judge: Judge, principle: str) -> Judge:
    """The judge with one principle for its criteria; a decision judge is asked by it."""
    if judge.verdict is not None and judge.questions:
        question = f"{principle} Which answer is the better one by this alone?"
        return replace(judge, verdict=replace(judge.verdict, question=question), criteria=())
    if judge.asks_marks:
        return replace(judge, criteria=({"name": "principle", "text": principle, "anchors": {1: "no", 5: "yes"}},))
    return replace(judge, criteria=(principle,))
