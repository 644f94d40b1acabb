"""From preferences to a few principles in words, and a judge that goes by them (Inverse Constitutional AI, Findeis et
al. 2024).

A model reads some pairs and proposes principles; alike ones are merged; it says of each principle which output that
favours on other pairs; those that are right more often than chance, and explain what others do not, are kept; and a
judge that is given them reconstructs the preferences of instructions nobody has looked at so far. Beside it stand the
same judge without the principles, and the whole procedure on labels that a coin has thrown.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simfarm.agreement.trust import mean_over
from simfarm.agreement.votes import opinion
from simfarm.backends import open_model
from simfarm.backends.local.models import local_spec
from simfarm.data.records import Annotation, Comparison
from simfarm.engine.stats import Stats
from simfarm.errors import BudgetError, InputError
from simfarm.judges import Judge, Panel, Population, load_one
from simfarm.methods.labelled import Labelled, Parts, parts_of, shuffled
from simfarm.methods.principles import (
    AT_ONCE,
    BATCH,
    merged,
    proposal,
    read_principles,
    read_votes,
    shown_first,
    vote,
)
from simfarm.methods.reconstruction import Explained, Principle, credit, measured, right
from simfarm.resources import prompts_dir
from simfarm.runs.annotation import AnnotationRun
from simfarm.runs.asking import Member, plan_calls, request_for
from simfarm.runs.options import JudgeOptions, RunOptions
from simfarm.runs.questions import Question, QuestionRun, Reply
from simfarm.runs.run import Follow, Run
from simfarm.settings import refuse, spelled
from simfarm.statistics.estimate import Array
from simfarm.statistics.principles import Kept, keep
from simfarm.text.words import plural

__all__ = ["Explainer"]

_CANDIDATES = 4
"""Principles that are voted on for each that may be kept: twins and mistakes are many."""
_PLACEHOLDER = "Prefer the answer that " + "x" * 100
"""Stands for a principle where it is counted what a run would ask."""
_TIMES = re.compile(r"(.*) (\d+)×: (.*)", re.DOTALL)


@dataclass(slots=True)
class Explainer:
    """One explanation under way: what is asked of whom (`judging`, `running`), `most` principles to keep."""

    data: Labelled
    judging: JudgeOptions
    running: RunOptions
    follow: Follow
    most: int = 5
    level: float = 0.95
    took: Stats = field(default_factory=Stats)
    missing: int = 0
    notes: list[str] = field(default_factory=list)
    parts: Parts = field(init=False)
    plain: Judge = field(init=False)

    def __post_init__(self) -> None:
        refuse({"repeats": self.judging.repeats}, "here: a held-out pair is judged once (in both orders)")
        self.parts = parts_of(self.data)
        self.plain = _plain_judge(self.judging)
        if self.judging.model is None:
            raise InputError(f"say which model proposes, votes and judges: {spelled('model', 'openai/gpt-6-luna')}")

    def explained(self) -> Explained:
        """Ask everything, in the order in which one step needs the other. Raises `InputError` where no reply holds a
        principle, `BudgetError` where the budget does not reach; answers are in the store, and a rerun goes on."""
        with self._open():
            labels = (self.data.second, shuffled(self.data))
            candidates = self._proposed(labels)
            if not candidates[0]:
                why = self.notes[-1].removeprefix("warning: ") if self.notes else "all replies were empty"
                raise InputError(
                    f"{self._model_name()} proposed no principle that can be read; name a stronger model ({why})"
                )
            places = self.parts.vote
            said = self._said(candidates, places)
            kept = [
                keep(right(votes, label[places]), self.data.cluster[places], self.most)
                if len(texts)
                else Kept((), np.zeros(0), np.zeros(0), np.zeros(0))
                for votes, label, texts in zip(said, labels, candidates, strict=True)
            ]
            chosen, noise = ([texts[k] for k in one.order] for one, texts in zip(kept, candidates, strict=True))
            return self._tested(candidates, kept[0], chosen, noise, labels)

    def estimate(self) -> str:
        """What that would ask and cost at most, in words; asks nothing. Principles are as many and as long as can be,
        and those of shuffled labels as well."""
        with self._open():
            texts = [_PLACEHOLDER] * (self.most * _CANDIDATES)
            proposals = self._proposals((self.data.second, shuffled(self.data)))
            ballots = self._ballots((texts, texts), self.parts.vote) + self._ballots(
                (texts[: self.most],), self.parts.held
            )
            judging = AnnotationRun.open(self._judging(self.plain), self.running.after(self.took))
            verdicts = []
            for number in range(3):
                criteria = tuple(f"{number} {text}" for text in texts[: self.most])
                judge = replace(judging.judge, criteria=criteria)
                calls = plan_calls(self._held(), [Member(judge, judging.model)])
                made = (request_for(call) for call in calls if call.order is not None)
                verdicts += [Question(r.messages, r.sampling, r.judged) for r in made]
            parts = self.parts
            run = QuestionRun(
                what="explain",
                read=read_principles,
                words=f"{plural(len(self.data.pairs), 'pair')} by {self.data.annotator}: {len(parts.read)} to read, "
                f"{len(parts.vote)} to vote, {len(parts.held)} held out; at most "
                f"{plural(len(proposals), 'question')} for principles, {len(ballots):,} for votes, {len(verdicts):,} "
                "for verdicts",
                backend=judging.backend,
                model=judging.model,
                options=judging.options,
                spec=judging.spec,
                owned=judging.owned,
            )
            return run.estimate([*self._with_effort([*proposals, *(b[0] for b in ballots)]), *verdicts])

    @contextmanager
    def _open(self) -> Iterator[None]:
        """A model in this process is loaded once for all steps; a server's is opened by each."""
        spec = self.judging.model
        if not isinstance(spec, str) or local_spec(spec) is None:
            yield
            return
        given = self.judging, self.running
        model = open_model(spec, self.running.engine_args)
        self.judging, self.running = replace(given[0], model=model), replace(given[1], engine_args={})
        try:
            yield
        finally:
            self.judging, self.running = given
            asyncio.run(model.close())

    def _model_name(self) -> str:
        model = self.judging.model
        return model if isinstance(model, str) else f"{getattr(model, 'name', '')}/{getattr(model, 'model', '')}"

    def _followed(self, run: Run[Any, Any], records: Sequence[Any]) -> list[Any]:
        """The results of a step, which must be whole: a budget that ends it ends the explanation."""
        made = list(self.follow(run, records))
        self.took.add(run.tallies.stats)
        self.missing += run.tallies.missing
        self.notes += [line for line in run.closing_lines() if line.startswith(("warning: ", "no verdict "))]
        if run.tallies.stopped:
            raise BudgetError(f"{run.tallies.stopped}; what was answered is kept: run it again with a larger budget")
        return made

    def _asked(self, what: str, read: Callable[[str], Any], questions: Sequence[Question]) -> list[Reply]:
        assert self.judging.model is not None
        run = QuestionRun.open(self.judging.model, self.running.after(self.took), what=what, read=read)
        return self._followed(run, self._with_effort(questions))

    def _with_effort(self, questions: Sequence[Question]) -> list[Question]:
        effort = {} if self.judging.effort is None else {"effort": self.judging.effort}
        return [replace(q, sampling={**q.sampling, **effort}) for q in questions]

    def _batches(self) -> list[NDArray[np.int64]]:
        return [self.parts.read[k : k + BATCH] for k in range(0, len(self.parts.read), BATCH)]

    def _proposals(self, labels: Sequence[NDArray[np.bool_]]) -> list[Question]:
        pairs = self.data.pairs
        return [
            proposal([pairs[k] for k in some], [bool(label[k]) for k in some], number, shuffled=bool(which))
            for which, label in enumerate(labels)
            for number, some in enumerate(self._batches())
        ]

    def _proposed(self, labels: Sequence[NDArray[np.bool_]]) -> list[list[str]]:
        """The candidates that each of the `labels` led to."""
        replies = self._asked("explain: principles", read_principles, self._proposals(labels))
        n = len(self._batches())
        halves = (replies[:n], replies[n:])
        return [merged([r.value for r in half if r.value], self.most * _CANDIDATES) for half in halves]

    def _ballots(
        self, candidates: Sequence[Sequence[str]], places: NDArray[np.int64]
    ) -> list[tuple[Question, int, int, int]]:
        """(request, whose candidates, first of those in it, place) of every request for votes."""
        made = []
        for which, texts in enumerate(candidates):
            for start in range(0, len(texts), AT_ONCE):
                some = texts[start : start + AT_ONCE]
                for row, k in enumerate(places):
                    number = (which * self.most * _CANDIDATES + start) // AT_ONCE
                    made.append((vote(self.data.pairs[k], some, number), which, start, row))
        return made

    def _said(self, candidates: Sequence[Sequence[str]], places: NDArray[np.int64]) -> list[Array]:
        """What each candidate says on each pair (pairs × candidates): 1 output_2, -1 output_1, 0 nothing, NaN for no
        reply."""
        ballots = self._ballots(candidates, places)
        replies = self._asked("explain: votes", lambda text: read_votes(text, AT_ONCE), [b[0] for b in ballots])
        said = [np.full((len(places), len(texts)), np.nan) for texts in candidates]
        for (_, which, start, row), reply in zip(ballots, replies, strict=True):
            turn = -1 if shown_first(self.data.pairs[places[row]]) == "21" else 1
            for k, favoured in (reply.value or {}).items():
                if start + k < said[which].shape[1]:
                    said[which][row, start + k] = turn * favoured
        return said

    def _held(self) -> list[Comparison]:
        return [self.data.pairs[k] for k in self.parts.held]

    def _judging(self, judge: Judge) -> JudgeOptions:
        return replace(self.judging, judge=judge)

    def _judged(self, criteria: Sequence[str] | None) -> tuple[Array, Judge]:
        """p of output_2 on the held-out pairs by the judge with these criteria (None: its own), and the judge."""
        judge = self.plain if criteria is None else replace(self.plain, criteria=tuple(criteria))
        run = AnnotationRun.open(self._judging(judge), self.running.after(self.took))
        pairs = self._held()
        place = {id(pair): k for k, pair in enumerate(pairs)}
        made: list[Annotation] = self._followed(run, pairs)
        calls = pd.DataFrame(
            {
                "item": [place[id(a.comparison)] for a in made],
                "repeat": [a.repeat for a in made],
                "order": [a.order for a in made],
                "p": [np.nan if a.preference is None else a.preference - 1 for a in made],
            }
        )
        return opinion(calls, len(pairs)), run.judge

    def _tested(
        self,
        candidates: Sequence[Sequence[str]],
        kept: Kept,
        chosen: Sequence[str],
        noise: Sequence[str],
        labels: Sequence[NDArray[np.bool_]],
    ) -> Explained:
        """What the principles are worth on the held-out pairs."""
        held = self.parts.held
        cluster, truth = self.data.cluster[held], labels[0][held]
        plain, judge = self._judged(None)
        fits = {"without": credit(plain, truth)}
        principles: list[Principle] = []
        if chosen:
            with_them, judge = self._judged(chosen)
            (said,) = self._said([chosen], held)
            fits = {"principles": credit(with_them, truth), **fits}
            fits["votes"] = credit((1 + np.sign(np.nan_to_num(said) @ kept.weights)) / 2, truth)
            principles = measured(chosen, right(said, truth), cluster, kept)
        lengths = np.array([[len(p.output_1), len(p.output_2)] for p in self._held()])
        fits["longest"] = credit((1 + np.sign(lengths[:, 1] - lengths[:, 0])) / 2, truth)
        fits["shuffled"] = credit(self._judged(noise)[0] if noise else plain, labels[1][held])
        against = [candidates[0][k] for k in np.flatnonzero(kept.against <= 0.1).tolist()]
        return Explained(
            annotator=self.data.annotator,
            principles=tuple(principles),
            judge=judge if chosen else None,
            accuracy={name: mean_over(fit, cluster) for name, fit in fits.items()},
            gain=mean_over(fits["principles"] - fits["without"], cluster, (-1.0, 1.0)) if chosen else None,
            counts={
                "pairs": len(self.data.pairs),
                "read": len(self.parts.read),
                "vote": len(self.parts.vote),
                "held_out": len(held),
                "candidates": len(candidates[0]),
                "kept": len(chosen),
                "kept_shuffled": len(noise),
                "missing": self.missing,
            },
            rejected=tuple(against),
            took=self.took,
            in_process=not isinstance(self.judging.model, str)
            and bool(getattr(self.judging.model, "in_process", False)),
            level=self.level,
            notes=(*self.data.notes, *_once(self.notes)),
        )


def _once(lines: Sequence[str]) -> list[str]:
    """What several steps say, once: "WHAT 2×: WHY" and "WHAT 3×: WHY" are five times."""
    counted: dict[tuple[str, str], int] = {}
    for line in lines:
        found = _TIMES.fullmatch(line)
        what, n, why = found.groups() if found else (line, "0", "")
        counted[what, why] = counted.get((what, why), 0) + int(n)
    return [f"{what} {n}×: {why}" if n else what for (what, why), n in counted.items()]


def _plain_judge(judging: JudgeOptions) -> Judge:
    """The judge that principles are put into: its file's, or ours. Raises `InputError` for one that has no room."""
    if isinstance(judging.judge, Population | Panel):
        raise InputError(
            "a population or panel is for annotate and evaluate; name a judge whose template shows its criteria"
        )
    if isinstance(judging.judge, Judge):
        judge = judging.judge
    else:
        judge = load_one(judging.judge or prompts_dir() / "explain" / "by-principles.yaml")
    if judge.verdict is None or judge.verdict.parser == "decision":
        raise InputError(f"the judge {judge.name!r} reads no principles; name one whose template shows its criteria")
    if "criteria" not in judge.compiled.variables:
        raise InputError(
            f"the template of the judge {judge.name!r} has no {{{{ criteria }}}} to show principles in; add them, or "
            f"leave {spelled('judge')} out"
        )
    return judge
