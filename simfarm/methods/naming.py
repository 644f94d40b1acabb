"""Names for topics of instructions, by a model that is shown their words and a few of the instructions.

Names alone: which instructions make a topic is settled before, by their words, whatever a model says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from simfarm.agreement.failures import Slices
from simfarm.agreement.topics import Tree
from simfarm.backends.base import Backend
from simfarm.data.exchange import Judged
from simfarm.data.reading import read_text
from simfarm.errors import InputError
from simfarm.judges.neutral import neutraliser
from simfarm.resources import prompts_dir
from simfarm.runs.options import RunOptions
from simfarm.runs.questions import Question, QuestionRun
from simfarm.runs.run import Follow
from simfarm.settings import refuse, spelled
from simfarm.settings.options import MODEL, RUN
from simfarm.text.harmless import one_line
from simfarm.text.words import plural

__all__ = ["Named", "Naming", "refuse_unnamed"]

_SHOWN, _LETTERS = 5, 300
"""Instructions that a request shows, and as much of each: a topic's name needs no more."""
_LONGEST = 60
"""Characters of a name, which stands in a table."""
_TAGS = ("<instruction>", "</instruction>")


@dataclass(frozen=True)
class Named:
    """The slices under their new names; `notes` say which have none, `status` is the run's exit status."""

    slices: Slices
    notes: tuple[str, ...]
    status: int


@dataclass(frozen=True)
class Naming:
    """Topics to name, and whom to ask. A topic without a usable reply keeps its words."""

    slices: Slices
    model: str | Backend
    running: RunOptions

    def estimate(self) -> str:
        """What naming would ask and cost at most, in words; asks nothing."""
        return self._run().estimate(self._questions())

    def named(self, follow: Follow) -> Named:
        """Ask for a name of every area and topic."""
        run, tree = self._run(), self._tree
        replies = [reply.value for reply in follow(run, self._questions())]
        replies += [None] * (len(tree.areas) + len(tree.own) - len(replies))
        areas = _apart(replies[: len(tree.areas)], tree.areas)
        own = _apart(replies[len(tree.areas) :], tree.own)
        without = replies.count(None)
        lines = [line for line in run.closing_lines() if line.startswith("warning: ")]
        if without:
            stopped = f" ({run.tallies.stopped})" if run.tallies.stopped else ""
            lines.append(f"warning: {plural(without, 'topic')} without a name from the model, told by words{stopped}")
        slices = replace(self.slices, names=tree.called(areas, own), words=tree.names)
        return Named(slices, tuple(lines), run.tallies.exit_status)

    @property
    def _tree(self) -> Tree:
        assert self.slices.tree is not None
        return self.slices.tree

    def _run(self) -> QuestionRun:
        return QuestionRun.open(self.model, self.running, what="dissect: topics", read=_read)

    def _questions(self) -> list[Question]:
        """One for each area, then one for each topic."""
        tree = self._tree
        groups = [
            *((words, tree.area[tree.code] == k) for k, words in enumerate(tree.areas)),
            *((words, tree.code == k) for k, words in enumerate(tree.own)),
        ]
        texts = self.slices.texts
        made = []
        for number, (words, inside) in enumerate(groups):
            some = _typical([text for text, there in zip(texts, inside, strict=True) if there], words)
            made.append(_question(some, words, number))
        return made


def refuse_unnamed(options: Mapping[str, Any]) -> None:
    """Raise `InputError` for a model that has no topics to name, and for what asks none."""
    if options["model"] is not None:
        if options["by"] != "instructions":
            raise InputError(
                f"{spelled('model')} names the topics of {spelled('by', 'instructions')}; add that or leave it out"
            )
        return
    asking = (option.name for option in (*MODEL, *RUN) if option.name in options)
    refuse({name: options[name] for name in asking}, f"without {spelled('model')}, for nothing is asked")


def _typical(texts: Sequence[str], words: str) -> list[str]:
    """The instructions that have most of the words, whichever order they came in."""
    listed = words.split(", ")
    return sorted(texts, key=lambda text: (-sum(word in text.lower() for word in listed), text))[:_SHOWN]


def _question(texts: Sequence[str], words: str, number: int) -> Question:
    neutralise = neutraliser(_TAGS)
    shown = [f"<instruction>\n{neutralise(text[:_LETTERS])}\n</instruction>" for text in texts]
    said = f"Words that set them apart: {words}\n\n" if words else ""
    asked = "\n\n".join(shown) + f"\n\n{said}Name the topic."
    system = read_text(prompts_dir() / "dissect" / "topic.txt").strip()
    return Question(
        ({"role": "system", "content": system}, {"role": "user", "content": asked}),
        {"temperature": 0, "max_tokens": 32},
        Judged(texts[0], None, None, "topic", number),
    )


def _read(text: str) -> str:
    """The name in a reply. Raises `ValueError` where it is none."""
    lines = [line.strip(" \t*_#\"'“”‘’`.:-") for line in text.splitlines()]
    name = one_line(next((line for line in lines if line), ""))
    if not name or len(name) > _LONGEST:
        raise ValueError(f"it is no name of {_LONGEST} characters at most, alone on its line")
    return name.replace("/", "or")


def _apart(names: Sequence[str | None], words: Sequence[str]) -> list[str]:
    """Names that are given once each; two alike are told apart by their words, which also stand for one not given."""
    count = Counter(names)
    pairs = zip(names, words, strict=True)
    return [own if name is None else f"{name} ({own})" if own and count[name] > 1 else name for name, own in pairs]
