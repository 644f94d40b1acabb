"""Choosing one of n samples, from options to chosen rows: what `simfarm select` and `simfarm.select` share.

Options are checked against the method first; then samples are grouped, scored (which may ask a judge, or load a model),
and chosen. Whoever calls says how remarks are told and how progress is shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from simfarm.data.files import Row, read_text
from simfarm.data.inputs import named_rows, split_outputs
from simfarm.data.records import outputs_from_rows
from simfarm.data.sources import Source
from simfarm.errors import BudgetError, InputError
from simfarm.runs.options import JudgeOptions, RunOptions, by_name
from simfarm.settings import check, refuse, refuse_empty, spelled, was_given
from simfarm.text.words import plural

if TYPE_CHECKING:
    from simfarm.backends.base import Scorer
    from simfarm.data.records import Annotation, Comparison, Output
    from simfarm.runs.annotation import AnnotationRun
    from simfarm.selection.contests import Contest
    from simfarm.selection.samples import Manner, Scores

__all__ = ["Choice", "Selection"]

Groups = Sequence[Sequence[int]]
Tell = Callable[[str], None]
Judged = Callable[["AnnotationRun", "Sequence[Comparison]"], "Iterable[Annotation]"]
"""How a run is followed: its annotations, with whatever is shown meanwhile."""

Steps = Callable[[str, int], "AbstractContextManager[Callable[[], None]]"]
"""How steps are shown: (what runs, how many) -> a function to call after each."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How to choose. `by` and `baseline` are of best-of-n, `rivals` of win-share, `score` of oracle, `seed` of random;
    `n` keeps the first n samples; `gold` and `curve` draw a best-of-n curve; `judging` and
    `running` say how a judge, or a model for its likelihoods, is asked."""

    method: str
    n: int | None = None
    by: str | None = None
    baseline: Source | None = None
    rivals: int | None = None
    score: str | None = None
    seed: int | None = None
    chat_template: str | None = None
    generator: str | None = None
    gold: str | None = None
    curve: str | None = None
    level: float | None = None
    limit: int | None = None
    allow_missing: bool = False
    judging: JudgeOptions = field(default_factory=JudgeOptions)
    running: RunOptions = field(default_factory=RunOptions)

    @property
    def score_by(self) -> str | None:
        """What best-of-n goes by; None for every other method."""
        return ("judge" if self.by is None else self.by) if self.method == "best-of-n" else None

    @property
    def asks(self) -> bool:
        """Whether a judge is asked."""
        return self.score_by == "judge" or self.method == "win-share"

    def check(self) -> None:
        """Raise `InputError` for an option that the method would ignore, or that it lacks."""
        check({"method": self.method})
        by = self.score_by
        method = spelled("method", self.method) + (f" {spelled('by', by)}" if by is not None else "")
        useful = {
            "by": self.method == "best-of-n",
            "baseline": by == "judge",
            "rivals": self.method == "win-share",
            "score": self.method == "oracle",
            "seed": self.method == "random",
            "chat_template": by == "likelihood",
            "allow_missing": self.asks or by == "likelihood",
        }
        values: dict[str, Any] = {name: getattr(self, name) for name in useful}
        for name, value in (by_name(self.judging) | by_name(self.running)).items():
            values[name] = value
            useful[name] = self.asks or (by == "likelihood" and name in ("model", "engine_args", "store"))
        refuse({name: values[name] for name, used in useful.items() if not used}, f"with {method}")
        texts = ("by", "baseline", "score", "chat_template", "generator", "gold", "curve")
        refuse_empty({name: getattr(self, name) for name in texts})
        numbers = {name: getattr(self, name) for name in ("n", "rivals", "limit", "level")}
        check({name: value for name, value in numbers.items() if value is not None})
        drawn = self.gold is not None or self.curve is not None
        if self.level is not None and not drawn:
            raise InputError(
                f"{spelled('level')} does nothing without a curve; add {spelled('gold')} or {spelled('curve')}, or "
                "leave it out"
            )
        if drawn and self.method == "win-share":
            raise InputError(
                f"{spelled('gold' if self.gold else 'curve')} cannot go with {spelled('method', 'win-share')}: a "
                "sample's share of wins depends on its siblings, so that fewer samples would have other scores; run it "
                f"with {spelled('n')} 2, 4, 8 instead"
            )
        for name, value, needed in (
            ("score", self.score, "oracle"),
            ("model", self.judging.model, "likelihood"),
        ):
            if needed in (self.method, by) and not was_given(name, value):
                raise InputError(f"{method} needs {spelled(name)}; add it")
        if self.asks:
            self._refuse_a_rater()

    def _refuse_a_rater(self) -> None:
        """A judge that rates each sample by itself needs neither baseline nor siblings: its scores are a column."""
        from simfarm.judges import Judge, load_judge

        named = self.judging.judge
        judge = load_judge(named) if isinstance(named, str | Path) else named
        if isinstance(judge, Judge) and judge.alone:
            raise InputError(
                f"{judge.name!r} rates each output by itself: score the samples by simfarm annotate FILE --judge "
                f"{judge.name} -o scores.jsonl, and choose from that file with {spelled('method', 'best-of-n')} "
                f"{spelled('by', 'score')}; or name a judge that compares two"
            )


@dataclass(slots=True)
class Selection:
    """Samples at hand and who may be chosen among them. `Selection.of` reads and checks; `score` asks; `rows` are the
    chosen ones."""

    choice: Choice
    name: str
    rows: list[Row]
    outputs: list[Output]
    groups: Groups
    baseline: Sequence[Output]
    gold: Scores | None
    tell: Tell

    @classmethod
    def of(cls, source: Source, choice: Choice, tell: Tell) -> Selection:
        """Read the samples; everything that can be refused before anything is asked is refused. Raises `InputError`."""
        from simfarm.selection.curve import group_clusters
        from simfarm.selection.samples import column_scores, first_instructions, sample_groups, size_notes

        name, rows = named_rows(source)
        outputs = outputs_from_rows(rows, name)
        baseline: Sequence[Output] = []
        if choice.score_by == "judge":
            baseline, _ = split_outputs(outputs, choice.baseline)
        inside = bool(baseline) and any(output == baseline[0] for output in outputs)
        everything = sample_groups(outputs, choice.n, leave_out=baseline[0].generator if inside else None)
        groups = first_instructions(everything, outputs, choice.limit)
        if choice.limit:
            texts = {outputs[group[0]].instruction.strip() for group in groups}
            baseline = [output for output in baseline if output.instruction.strip() in texts] or baseline
        generators = {outputs[group[0]].generator for group in groups}
        if choice.generator and len(generators) > 1:
            raise InputError(
                f"{spelled('generator')} names one generator, and {name} holds {len(generators)}; leave it out or "
                "select from a file for each"
            )
        for line in size_notes(outputs, groups, choice.n):
            tell(line)
        gold = None
        if choice.gold or choice.curve:
            # ids that contradict each other are refused before anything is paid for
            group_clusters(outputs, groups)
        if choice.gold:
            gold = column_scores(rows, outputs, groups, choice.gold, name)
        return cls(choice, name, rows, outputs, groups, baseline, gold, tell)

    def contest(self) -> Contest:
        """Who meets whom, where a judge is asked."""
        from simfarm.selection.contests import against_baseline, against_siblings

        if self.choice.method == "win-share":
            return against_siblings(self.outputs, self.groups, self.choice.rivals)
        return against_baseline(
            self.outputs,
            self.groups,
            self.baseline,
            allow_missing=self.choice.allow_missing,
            note=self.tell,
        )

    def judged(self, contest: Contest, run: AnnotationRun, follow: Judged) -> tuple[Scores, Manner]:
        """Scores by a judge, and how they were made."""
        from simfarm.selection.contests import judged_manner

        for line in contest.order_notes(run.judge):
            self.tell(line)
        scores = contest.scores(follow(run, contest.comparisons))
        manner = judged_manner(
            run.judge,
            against=self.baseline[0].generator if self.choice.score_by == "judge" else None,
            rivals=self.choice.rivals,
            order=self.choice.judging.order,
            repeats=self.choice.judging.repeats,
        )
        return scores, manner

    def free(self) -> tuple[Scores, Manner]:
        """Scores that ask nobody, and how they were made."""
        from simfarm.selection.samples import Manner, column_scores, length_scores, random_scores

        column = self.choice.score or self.choice.score_by
        if column:
            manner = Manner(f"by {column}", f"{self.choice.method} by {column}")
            return column_scores(self.rows, self.outputs, self.groups, column, self.name), manner
        if self.choice.method == "longest":
            return length_scores(self.outputs, self.groups), Manner("", "longest")
        seed = self.choice.seed or 0
        return random_scores(self.outputs, self.groups, seed), Manner(f"seed {seed}", f"random, seed {seed}")

    def likelihoods(self, steps: Steps, *, dry_run: bool = False) -> tuple[Scores, Manner] | str:
        """Scores by a model's likelihood, and how they were made; for a dry run what would be asked, in words."""
        from simfarm.backends import open_model
        from simfarm.engine.store import default_store_path
        from simfarm.selection.likelihood import Likelihoods
        from simfarm.selection.samples import Manner

        spec, running, path = self.choice.judging.model, self.choice.running, self.choice.chat_template
        model = open_model(spec, running.engine_args) if isinstance(spec, str) else cast("Scorer", spec)
        template = None if path is None else read_text(path)
        likelihoods = Likelihoods(model, running.store or default_store_path(), chat_template=template)
        likelihoods.check(self.outputs, self.groups)
        texts = len(likelihoods.questions(self.outputs, self.groups))
        if dry_run:
            return f"{plural(texts, 'text')} would be read by {model.model}, less those in the store: $0.00"
        for line in likelihoods.notes(self.outputs, self.groups):
            self.tell(line)
        with steps(model.model, texts) as step:
            scores = likelihoods.scores(self.outputs, self.groups, step)
        self.tell(f"{plural(likelihoods.asked, 'likelihood')} computed, {likelihoods.cached} from the store")
        for problem, count in likelihoods.problems.most_common(5):
            self.tell(f"no likelihood {count}×: {problem}")
        self.tell("the tokens below are those of the texts, without what a chat template puts around them")
        manner = f"by likelihood of {model.model}"
        return scores, Manner(manner, f"best-of-n {manner}")

    def chosen(self, scores: Scores, manner: Manner, *, stopped: bool) -> tuple[Iterator[Row], list[str]]:
        """(the chosen rows, what is to be said of them). Raises `BudgetError` where the budget (`stopped`) left no
        score at all."""
        from simfarm.selection.samples import choose, chosen_rows, closing_lines, selected_names

        picked = choose(scores, self.outputs, self.groups)
        if stopped and all(position is None for position in picked):
            raise BudgetError(f"no sample has a score yet; raise {spelled('budget')} and run the same command again")
        stem = "best" if self.choice.method == "best-of-n" else self.choice.method
        names = selected_names(self.outputs, self.groups, stem, manner, self.choice.generator)
        rows = chosen_rows(self.rows, self.groups, picked, scores, names=names, manner=manner)
        return rows, closing_lines(scores, self.outputs, self.groups, picked)

    def unscored(self, scores: Scores) -> bool:
        """Whether a sample that may be chosen has no score."""
        return any(math.isnan(scores.values[row]) for group in self.groups for row in group)

    def curve(self, scores: Scores) -> list[list[dict[str, Any]]]:
        """Each generator's best-of-n curve, a row for every n; nothing where none was asked for."""
        from simfarm.selection.curve import curve_rows, generator_curves

        if not (self.choice.gold or self.choice.curve):
            return []
        gold = self.gold or scores
        curves = generator_curves(self.outputs, self.groups, scores.values, gold.values, self.tell)
        level = 0.95 if self.choice.level is None else self.choice.level
        return [[{"generator": name, **row} for row in curve_rows(curve, level)] for name, curve in curves.items()]
