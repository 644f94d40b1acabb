"""Principles in words: what a model is asked for them and about them, and what is read from its replies.

Everything a model wrote here is shown to models again, so it is neutralised as a candidate's output is.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from simfarm.data.exchange import Judged
from simfarm.data.reading import read_text
from simfarm.data.records import Comparison
from simfarm.judges.neutral import neutraliser
from simfarm.judges.orders import stable_bit
from simfarm.judges.template import Template, compile_template
from simfarm.resources import prompts_dir
from simfarm.runs.questions import Question
from simfarm.text.harmless import one_line

__all__ = ["AT_ONCE", "BATCH", "merged", "proposal", "read_principles", "read_votes", "shown_first", "vote"]

BATCH = 4
"""Pairs that a request shows for principles: one alone has too many explanations, many are too much to read."""
AT_ONCE = 10
"""Principles that a request puts to the vote."""
_SHORTEST, _LONGEST = 12, 300
"""Characters of a principle: less says nothing, more is a rambling."""
_ALIKE = 0.75
"""Cosine of the words of two principles from which they count as one."""
_TAGS = (
    *("<pair>", "</pair>", "<instruction>", "</instruction>", "<preferred_answer>", "</preferred_answer>"),
    *("<other_answer>", "</other_answer>", "<answer_A>", "</answer_A>", "<answer_B>", "</answer_B>", "[[A]]", "[[B]]"),
)

_DULL = frozenset(
    {
        *("a", "an", "and", "answer", "answers", "are", "as", "be", "by", "for", "from", "has", "have", "in", "is"),
        *("it", "its", "of", "on", "one", "or", "prefer", "response", "that", "the", "to", "which", "with"),
    }
)
"""Words that stand in any principle; "no", "less" and their like make it another one."""

_ITEM = re.compile(r"^\s*(?:[-*•–]|\(?\d{1,2}[.):])\s+(.+)$")
_MARKS = " \t*_\"'“”‘’`"
_SAID = r"[\"'*\[(]*(A|B|[Nn]either|[Nn]one|[Bb]oth|[Nn]/?[Aa])\b"
_VOTE = re.compile(rf"\b(\d{{1,2}})\b[\"'*]*\s*(?:[:=-]\s*{_SAID}|[.)]\s*{_SAID}[^\w\n]*$)", re.MULTILINE)
"""A number and a word: "1: A", JSON's "1": "A", or "1. A" where nothing follows ("1. A long answer" is no vote)."""
_WORD = re.compile(r"\w+")


@cache
def _template(name: str) -> Template:
    path = prompts_dir() / "explain" / f"{name}.jinja"
    return compile_template(read_text(path), _TAGS, f"the template {path}")


def proposal(pairs: Sequence[Comparison], second: Sequence[bool], number: int, *, shuffled: bool) -> Question:
    """A request for principles behind some pairs, of which output_2 is preferred where `second`."""
    shown = [_template("propose").render(p, "21" if other else "12") for p, other in zip(pairs, second, strict=True)]
    user = "\n\n".join(messages[-1]["content"] for messages in shown)
    lead = pairs[0]
    order = "propose shuffled" if shuffled else "propose"
    return Question(
        (shown[0][0], {"role": "user", "content": user}),
        {"temperature": 0, "max_tokens": 1024},
        Judged(lead.instruction, lead.generator_1, lead.generator_2, order, number),
    )


def read_principles(text: str) -> list[str]:
    """The principles in a reply, one an item of its list. Raises `ValueError` where it has none."""
    neutralise = neutraliser(_TAGS)
    found = [item[1] for line in text.splitlines() if (item := _ITEM.match(line))]
    tidy = (neutralise(one_line(item.strip(_MARKS))) for item in found)
    kept = [item for item in tidy if _SHORTEST <= len(item) <= _LONGEST]
    if not kept:
        raise ValueError("it has no line that begins with '- ' and holds one principle")
    return list(dict.fromkeys(kept))


def merged(proposed: Iterable[Sequence[str]], most: int) -> list[str]:
    """The principles of many replies, alike ones once, those that most replies have first; `most` of them at most.

    Alike by the cosine of their words, TF-IDF over all proposals: a word that stands in most says little, one
    that tells two apart ("shorter", "longer") much. Two that say the
    same in other words stay two here: their votes show it.
    """
    replies = list(proposed)
    texts = list(dict.fromkeys(text for reply in replies for text in reply))
    weights = _weights(texts)
    leaders: list[int] = []
    leader_of: dict[str, int] = {}
    for k, text in enumerate(texts):
        alike = [(_cosine(weights[k], weights[leader]), -leader) for leader in leaders]
        likeness, minus = max(alike, default=(0.0, 0))
        if likeness < _ALIKE:
            leaders.append(k)
            leader_of[text] = k
        else:
            leader_of[text] = -minus
    count = Counter(leader for reply in replies for leader in {leader_of[text] for text in reply})
    ranked = sorted(leaders, key=lambda k: (-count[k], k))
    return [texts[k] for k in ranked[:most]]


def _weights(texts: Sequence[str]) -> list[dict[str, float]]:
    bags = [Counter(word for word in _WORD.findall(text.lower()) if word not in _DULL) for text in texts]
    spread = Counter(word for bag in bags for word in bag)
    made = []
    for bag in bags:
        raw = {w: (1 + math.log(n)) * math.log((1 + len(texts)) / spread[w]) for w, n in bag.items()}
        size = math.sqrt(sum(v * v for v in raw.values()))
        made.append({w: v / size for w, v in raw.items()} if size else raw)
    return made


def _cosine(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    return sum(v * other.get(w, 0.0) for w, v in one.items())


def shown_first(pair: Comparison) -> str:
    """The order in which a pair is shown to a vote: a fair coin, so that who always says A is right half of the
    time."""
    return "21" if stable_bit("principles", pair) else "12"


def vote(pair: Comparison, principles: Sequence[str], number: int) -> Question:
    """A request for what each of some principles says on a pair."""
    return Question(
        _template("vote").render(pair, shown_first(pair), principles),
        {"temperature": 0, "max_tokens": 256},
        Judged(pair.instruction, pair.generator_1, pair.generator_2, "vote", number),
    )


def read_votes(text: str, n: int) -> dict[int, int]:
    """What each of n principles (from 0) says of the pair as shown: -1 the first, 1 the second, 0 neither; the last
    word on each counts. Raises `ValueError` for a reply without any."""
    words = {"A": -1, "B": 1}
    found = {int(number) - 1: words.get(one or other, 0) for number, one, other in _VOTE.findall(text)}
    votes = {k: said for k, said in found.items() if 0 <= k < n}
    if not votes:
        raise ValueError("it has no line such as '1: A' or '2: neither'")
    return votes
