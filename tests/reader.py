"""A model by rule that proposes principles, votes on them and judges by them, and preferences to plant in front of it.

It knows a few principles by their wording and no others. It reads nothing but its prompts, as a model would.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import Any

from simfarm.data.exchange import CallError, Completion, Request

__all__ = ["LISTS", "LONGER", "RULES", "SHORTER", "Reader", "planted"]

SHORTER, LONGER = "Prefer the answer that is shorter.", "Prefer the answer that is longer."
LISTS, PLAIN = "Prefer the answer that is set out as a list.", "Prefer the answer that has no list in it."
COURTESY, ENDING = "Prefer the answer that says thanks.", "Prefer the answer that ends on the letter a."
"""Of texts that `planted` makes alike for both outputs: what a proposer says when it sees nothing."""


def _side(score: Callable[[str], float]) -> Callable[[str, str], int]:
    """-1 where the first has more of it, 1 where the second has, 0 where neither."""
    return lambda first, second: (score(second) > score(first)) - (score(second) < score(first))


RULES: Mapping[str, Callable[[str, str], int]] = {
    SHORTER: _side(lambda text: -len(text)),
    LONGER: _side(len),
    LISTS: _side(lambda text: "\n- " in text),
    PLAIN: _side(lambda text: "\n- " not in text),
    COURTESY: _side(lambda text: "thanks" in text),
    ENDING: _side(lambda text: text.endswith("a")),
}
"""A principle -> which output it favours."""


def _between(text: str, tag: str) -> list[str]:
    return re.findall(rf"<{tag}>\n(.*?)\n</{tag}>", text, re.DOTALL)


class Reader:
    """A backend in this process. `fault` spoils its replies: `mute` never says a principle, `first` votes and judges
    for the output shown first, `deaf` fails every third call of a vote, `chatty` wraps what it says in prose, `knowing`
    prefers the shorter output where it knows no principle, `unsure` judges two pairs of three."""

    name, base_url, in_process, concurrency, model = "reader", None, True, 8, "reader-1"

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.asked: list[Request] = []

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        pass

    def most_tokens(self, request: Request) -> int | None:
        return request.sampling.get("max_tokens")

    async def close(self) -> None:
        pass

    async def complete(self, request: Request) -> Completion:
        self.asked.append(request)
        asked = request.messages[1]["content"]
        if self.fault == "deaf" and "The principles:" in asked and len(self.asked) % 3 == 0:
            raise CallError("deaf")
        said = self.said(asked)
        words = len(asked.split()), len(said.split())
        return Completion(said, input_tokens=words[0], output_tokens=words[1], model=self.model, seconds=0.01)

    def said(self, asked: str) -> str:
        """The reply to a prompt."""
        if "<preferred_answer>" in asked:
            return self._proposed(asked)
        return self._voted(asked) if "The principles:" in asked else self._judged(asked)

    def _proposed(self, asked: str) -> str:
        pairs = list(zip(_between(asked, "preferred_answer"), _between(asked, "other_answer"), strict=True))
        fits = {text: sum(rule(*pair) < 0 for pair in pairs) for text, rule in RULES.items()}
        best = sorted(fits, key=lambda text: -fits[text])[:2]
        if self.fault == "mute":
            return "I would rather not say."
        lines = "\n".join(f'- "{text}"' for text in [*best, COURTESY])
        return f"Here is what I see:\n\n{lines}\n\nI hope this helps." if self.fault == "chatty" else lines

    def _voted(self, asked: str) -> str:
        (first,), (second,) = _between(asked, "answer_A"), _between(asked, "answer_B")
        lines = []
        for number, text in re.findall(r"^(\d+)\. (.+)$", asked.partition("The principles:")[2], re.MULTILINE):
            side = -1 if self.fault == "first" else RULES[text](first, second)
            lines.append(f"{number}: {'A' if side < 0 else 'B' if side else 'neither'}")
        return "\n".join(["Let me see.", *lines] if self.fault == "chatty" else lines)

    def _judged(self, asked: str) -> str:
        (first,), (second,) = _between(asked, "answer_A"), _between(asked, "answer_B")
        if self.fault == "unsure" and len(first + second) % 3 == 0:
            return "I cannot say."
        sides = [RULES[text](first, second) for text in re.findall(r"^- (.+)$", asked, re.MULTILINE) if text in RULES]
        if self.fault == "knowing":
            sides.append(RULES[SHORTER](first, second))
        side = -1 if self.fault == "first" else next((s for s in sides if s), 0)
        # without a principle it knows: neither better nor worse than chance
        return "[[A]]" if side < 0 or (not side and random.Random(first + second).random() < 0.5) else "[[B]]"


def planted(
    n: int, principle: str, *, noise: float = 0.0, inverted: bool = False, seed: int = 0
) -> list[dict[str, Any]]:
    """Labels by somebody who goes by a principle, of `n` pairs that it tells apart; `noise` is the share of labels that
    a coin gives instead."""
    draw = random.Random(seed)
    rows = []
    for i in range(n):
        side = 0
        while not side:
            outputs = [_output(draw) for _ in range(2)]
            side = RULES[principle](*outputs)
        second = (side > 0) != inverted if draw.random() >= noise else draw.random() < 0.5
        rows.append(
            {
                "instruction": f"Question {i} of {seed}?",
                "output_1": outputs[0],
                "output_2": outputs[1],
                "generator_1": "m",
                "generator_2": "n",
                "annotator": "someone",
                "preference": 2.0 if second else 1.0,
            }
        )
    return rows


def _output(draw: random.Random) -> str:
    words = ["word"] * draw.randint(3, 40)
    mark = f" {draw.random():.9f}."
    return ("\n- ".join(["Here:", *words]) if draw.random() < 0.5 else "  ".join(words)) + mark
