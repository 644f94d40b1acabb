"""Principles as people read them, and the judge that goes by them as a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from simfarm.backends.local.models import local_spec
from simfarm.data.writing import write_text
from simfarm.errors import InputError
from simfarm.judges import Judge, load_judge
from simfarm.methods.reconstruction import Explained
from simfarm.ranking.table import plain
from simfarm.report.rates import estimate_json
from simfarm.report.tables import Part, Sheet
from simfarm.statistics.estimate import Estimate
from simfarm.text.words import plural

__all__ = ["Explanation", "check_judge_file", "explanation_sheet", "judge_model"]

_ROWS = {
    "principles": "the judge with the principles",
    "without": "the same judge without them",
    "votes": "the principles' votes, without a judge",
    "longest": "longest output wins",
    "shuffled": "all of this on shuffled labels",
}


@dataclass(frozen=True)
class Explanation:
    """What `simfarm explain` found. `judge` goes by the principles and can be given to `annotate`; `write` makes a file
    of it."""

    found: Explained
    model: str

    @property
    def principles(self) -> tuple[str, ...]:
        """In the order in which they were kept, the strongest first; empty where none passed."""
        return tuple(one.text for one in self.found.principles)

    @property
    def judge(self) -> Judge | None:
        """The judge that goes by them, None where there are none."""
        return self.found.judge

    @property
    def accuracy(self) -> Mapping[str, Estimate]:
        """How often held-out preferences are reconstructed: `principles` (the judge that has them), `without`, `votes`,
        `longest`, `shuffled`."""
        return self.found.accuracy

    @property
    def gain(self) -> Estimate | None:
        """Accuracy with the principles less that without, on the same pairs."""
        return self.found.gain

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know."""
        return self.found.notes

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each principle: the share of held-out pairs it bears on, how often it is right there, with
        limits, and its q and weight on the pairs that voted."""
        return pd.DataFrame(
            [
                {
                    "principle": one.text,
                    **_limits("applies", one.applies, self.found.level),
                    **_limits("right", one.right, self.found.level),
                    "n_right_of": one.right.n_clusters,
                    "weight": one.weight,
                    "q": one.q,
                }
                for one in self.found.principles
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        found, level = self.found, self.found.level
        took = found.took
        return {
            "annotator": found.annotator,
            "level": level,
            "principles": [{k: plain(v) for k, v in row.items()} for row in self.table.to_dict("records")],
            "accuracy": {name: estimate_json(e, level) for name, e in found.accuracy.items()},
            "gain": None if found.gain is None else estimate_json(found.gain, level),
            "counts": dict(found.counts),
            "rejected": list(found.rejected),
            "took": {
                "asked": took.asked,
                "from_store": took.cached,
                "input_tokens": took.input_tokens,
                "output_tokens": took.output_tokens,
                "price": None if took.unpriced else took.cost,
            },
            "notes": list(found.notes),
        }

    def write(self, path: str | os.PathLike[str]) -> None:
        """The judge as a YAML file, its template beside it (NAME.jinja). Raises `InputError` where there is none."""
        judge = self.judge
        if judge is None or judge.template is None or judge.verdict is None:
            raise InputError("no principle was kept, so there is no judge to write")
        check_judge_file(os.fspath(path))
        import yaml

        file = Path(path)
        verdict: dict[str, Any] = {"parser": judge.verdict.parser, "labels": dict(judge.verdict.labels)}
        if judge.verdict.parser == "label":
            verdict["delimiters"] = list(judge.verdict.delimiters or ())
        elif judge.verdict.parser == "json":
            verdict |= {"winner": judge.verdict.winner, "reason": judge.verdict.reason}
        # what holds a model in this process to its labels comes back by itself where it judges
        sampling = {name: value for name, value in judge.sampling.items() if name != "choices"}
        data = {
            "description": f"Principles that explain the preferences of {self.found.annotator} (simfarm explain)",
            "protocol": judge.protocol,
            "template": f"{file.stem}.jinja",
            "verdict": verdict,
            "order": judge.order,
            "model": self.model,
            "sampling": sampling,
            "criteria": list(judge.criteria),
            "delimiters": list(judge.delimiters),
        }
        write_text(file.with_suffix(".jinja"), judge.template)
        write_text(file, yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100))
        load_judge(file)


def check_judge_file(path: str) -> None:
    """Raise `InputError` where no judge can be written."""
    file = Path(path)
    if file.suffix not in (".yaml", ".yml"):
        raise InputError(f"{path}: a judge is a YAML file; choose a name such as judge.yaml")
    if not file.absolute().parent.is_dir():
        raise InputError(f"{path}: the folder {file.absolute().parent} does not exist; make it first")
    if file.is_dir() or not os.access(file.absolute().parent, os.W_OK):
        raise InputError(f"{path}: cannot be written there; choose another file")


def judge_model(model: Any) -> str:
    """The model as a judge's file names it, provider/name."""
    if not isinstance(model, str):
        return f"{model.name}/{model.model}"
    return local_spec(model) or model


def explanation_sheet(made: Explanation) -> Sheet:
    """The principles, the accuracy table and what it took."""
    found, level = made.found, made.found.level
    rows = [
        [f"{k}", one.text, _percent(one.applies), _shown(one.right, level), f"{one.right.n_clusters:,}"]
        for k, one in enumerate(found.principles, 1)
    ]
    counts = found.counts
    remarks = [
        f"of {plural(counts['candidates'], 'candidate')} read out of {plural(counts['read'], 'pair')}; kept by the "
        f"votes on {counts['vote']:,} others",
        f"applies, right: percent of the {counts['held_out']:,} held-out pairs, of those it applies to",
    ]
    if found.rejected:
        remarks.append(
            f"{plural(len(found.rejected), 'candidate')} wrong more often than right, the first: {found.rejected[0]}"
        )
    principles = Part(
        f"principles behind the preferences of {found.annotator}",
        ["#", "name", "applies", f"right [{100 * level:g} %]", "instructions"],
        rows,
        remarks,
        ("instructions",),
    )
    accuracy = [[_ROWS[name], _shown(e, level)] for name, e in found.accuracy.items()]
    noise = plural(counts["kept_shuffled"], "principle")
    said = [f"labels that a coin has thrown led to {noise}; what explains them should be right 50 times in 100"]
    if found.gain is not None:
        said.insert(0, f"the principles add {_shown(found.gain, level, signed=True)} points")
    headings = ["name", f"accuracy [{100 * level:g} %]"]
    tested = Part("held-out preferences reconstructed, percent", headings, accuracy, [*said, _took(found)])
    warnings = [] if found.principles else ["no principle is right more often than chance: no judge is written"]
    return Sheet([principles, tested] if rows else [tested], made.table, made.to_json(), warnings)


def _took(found: Explained) -> str:
    took = found.took
    money = "" if found.in_process else f", {took.money()}"
    return (
        f"{plural(took.asked, 'new answer')}, {took.cached:,} from the store; {took.input_tokens:,} input and "
        f"{took.output_tokens:,} output tokens{money}"
    )


def _limits(name: str, e: Estimate, level: float) -> dict[str, float]:
    low, high = e.interval(level)
    return {name: e.value, f"{name}_low": low, f"{name}_high": high}


def _percent(e: Estimate) -> str:
    return f"{100 * e.value:.0f}"


def _shown(e: Estimate, level: float, *, signed: bool = False) -> str:
    if not e.n_clusters:
        return "not estimable"
    low, high = (100 * x for x in e.interval(level))
    sign = "+" if signed else ""
    return f"{100 * e.value:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]".replace("-", "−")
