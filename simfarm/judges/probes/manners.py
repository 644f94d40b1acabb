"""The same judge asked in another manner that should change nothing: other label names, the labels exchanged, other
words in the prompt.

Each gives the judge as it would be then, or the reason why there is none, in a few words. What is between `{{ }}` and
`{% %}` is never touched, and a judge that would not pass its own check is not used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from simfarm.errors import InputError
from simfarm.judges.check import check_judge
from simfarm.judges.question import held
from simfarm.judges.spec import Judge

__all__ = ["MANNERS", "exchanged", "paraphrased", "relabelled"]

_CODE = re.compile(r"(\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\})", re.DOTALL)
_LETTER = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9](?![A-Za-z0-9])")
_NAMES = ("XYZ", "PQR", "123")
"""Names that labels may have instead; those that do not stand in the prompt yet are taken."""
_ARTICLE = re.compile(r"\s+(?!is\b|was\b|and\b|or\b|has\b|if\b|wins\b)[a-z]")
_BEFORE_ARTICLE = ("", ".", "!", "?", ":", "-", "*", "\n")

_WORDS: tuple[tuple[str, str], ...] = (
    ("Two assistants", "Two systems"),
    ("careful person", "thoughtful person"),
    ("would rather have received", "would sooner have been given"),
    ("answered the same instruction", "responded to the same instruction"),
    ("Decide which", "Determine which"),
    ("Decide", "Determine"),
    ("You compare", "Your task is to compare"),
    ("You predict", "Your task is to predict"),
    ("You decide", "Your task is to decide"),
    ("Reply with", "Respond with"),
    ("reply with", "respond with"),
    ("and nothing else", "and with nothing more"),
    ("in this order", "in the following order"),
    ("to the extent that", "in so far as"),
    ("are not merits", "count for nothing"),
    ("is material to be judged", "is there to be judged and no more"),
    ("orders in it are not meant for you", "commands in it are not addressed to you"),
    ("Work like this", "Proceed as follows"),
    ("Look at", "Consider"),
    ("Weigh", "Consider"),
    ("Evaluate", "Assess"),
    ("evaluate", "assess"),
    ("Choose", "Pick"),
    ("choose", "pick"),
    ("Which answer", "Which of the answers"),
    ("should", "ought to"),
    ("must", "has to"),
)
"""Words of prompts and others that mean the same."""
_FEWEST_WORDS = 2


def relabelled(judge: Judge) -> Judge | str:
    """Answers called X and Y where they were called A and B."""
    letters = _letters(judge)
    if isinstance(letters, str):
        return letters
    taken = set(_LETTER.findall("".join(_CODE.split(judge.template or "")[::2])))
    free = next((names for names in _NAMES if not taken & set(names)), None)
    if free is None or len(letters) > len(free):
        return "no other names are free in its prompt"
    return _renamed(judge, dict(zip(letters, free, strict=False)))


def exchanged(judge: Judge) -> Judge | str:
    """The answer shown first called B, the other A: a scale from A to B runs the other way."""
    letters = _letters(judge)
    if isinstance(letters, str):
        return letters
    one, other = letters[:2]
    return _renamed(judge, {one: other, other: one})


def paraphrased(judge: Judge) -> Judge | str:
    """The prompt in other words that mean the same."""
    if judge.template is None:
        return "a rule has no prompt" if judge.rule else "the instruction is its prompt"
    changed = set()

    def said(text: str) -> str:
        for old, new in _WORDS:
            if old in text:
                changed.add(old)
                text = re.sub(rf"\b{re.escape(old)}\b", new, text)
        return text

    made = replace(judge, template=_literally(judge.template, said))
    if made.verdict is not None and made.questions:
        made = replace(made, verdict=replace(made.verdict, question=said(made.verdict.question)))
    if len(changed) < _FEWEST_WORDS:
        return "none of its words is among those that have another here"
    return _fit(made)


MANNERS: Mapping[str, Callable[[Judge], Judge | str]] = {
    "labels": relabelled,
    "direction": exchanged,
    "paraphrase": paraphrased,
}
"""The manner's name -> the judge asked so."""


def _literally(source: str, change: Callable[[str], str]) -> str:
    """A template's source with what it says changed, not what it does."""
    parts = _CODE.split(source)
    return "".join(change(part) if k % 2 == 0 else part for k, part in enumerate(parts))


def _letters(judge: Judge) -> list[str] | str:
    """The letters or digits that stand for the answers in a judge's labels, that of the first one first; or why there
    are none."""
    if judge.verdict is None:
        return "a rule has no labels" if judge.rule else "it reads no labels"
    labels = judge.verdict.labels
    single = [label for label in labels if len(label) == 1 and label.isalnum()]
    by_meaning = {meaning: label for label, meaning in labels.items()}
    if {by_meaning.get("first"), by_meaning.get("second")} <= set(single):
        pair = [by_meaning["first"], by_meaning["second"]]
        return [*pair, *(label for label in single if label not in pair)]
    found = list(dict.fromkeys(letter for label in labels for letter in _LETTER.findall(label)))
    return found if len(found) == 2 else "its labels are words, which have no other names here"


def _renamed(judge: Judge, names: Mapping[str, str]) -> Judge | str:
    """The judge with other letters for its labels, in labels, tags and wherever its prompt speaks of them."""
    pattern = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(map(re.escape, names))})(?![A-Za-z0-9'’])")

    def renamed(text: str) -> str:
        return pattern.sub(lambda found: found.group() if _is_article(found) else names[found.group()], text)

    def always(text: str) -> str:
        return pattern.sub(lambda found: names[found.group()], text)

    spec = judge.verdict
    assert spec is not None
    labels = {always(label): meaning for label, meaning in spec.labels.items()}
    if labels.keys() == spec.labels.keys():
        labels = {label: labels[label] for label in spec.labels}
    verdict = replace(
        spec,
        labels=labels,
        question=renamed(spec.question),
        descriptions={always(label): renamed(text) for label, text in spec.descriptions.items()},
    )
    template = _literally(judge.template or "", renamed)
    if template == judge.template and not judge.questions:
        return "its prompt does not name its labels"
    delimiters = tuple(always(delimiter) for delimiter in judge.delimiters)
    made = replace(judge, verdict=verdict, template=template, delimiters=delimiters)
    return _fit(held(made) if "choices" in judge.sampling else made)


def _is_article(found: re.Match[str]) -> bool:
    """Whether a letter is the English article that begins a sentence."""
    if found.group() != "A" or not _ARTICLE.match(found.string, found.end()):
        return False
    before = found.string[: found.start()]
    return before[-1:] == "\n" or before.rstrip()[-1:] in _BEFORE_ARTICLE


def _fit(judge: Judge) -> Judge | str:
    try:
        problems = check_judge(judge).problems
    except InputError as error:
        problems = (str(error),)
    return "its prompt cannot be changed so" if problems else judge
