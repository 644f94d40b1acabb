"""A judge fitted to people's labels: surface signals of the texts, weighed, and other judges' verdicts where given.

What is written is data: the weights of the rule `surface`, or a panel's. What it is worth is told on instructions whose
labels it never saw: folds are of whole instructions, and where signals and judges are put together the signals' own
weights are fitted anew inside each fold, or they would look better to the panel than they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.special import expit

from simfarm.agreement.jury import instruction_keys
from simfarm.agreement.trust import Definitions, People, fit, longest, mean_over
from simfarm.agreement.votes import Votes, votes_of
from simfarm.data.frames import Verdicts, read_verdicts, row_columns
from simfarm.data.inputs import named_rows
from simfarm.data.inspection import Inspection
from simfarm.data.judged import judged_in
from simfarm.data.juries import Fitted
from simfarm.data.sources import Source
from simfarm.data.writing import write_text
from simfarm.errors import InputError
from simfarm.judges import load_one
from simfarm.judges.panel import written
from simfarm.judges.surface import WEIGHTS, features
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.jury import folds_of, jury, jury_weights
from simfarm.statistics.signals import signal_weights
from simfarm.text.words import plural

__all__ = ["SIGNALS", "FittedJudge", "fitted_judge"]

SIGNALS = "signals"
"""What the signals are called among the judges of a panel."""
_FEWEST = 20
_SIGNS = np.sign([weight for weight, _ in WEIGHTS.values()])


@dataclass(frozen=True)
class FittedJudge:
    """Weights of the `signals` (logits for one scale, by feature) and, where there are other judges, the `members` of a
    panel with theirs (`SIGNALS` among them). `agreement` with people is cross-validated by instruction, beside that of
    `longest` and (of several) of the best member; `gap` and `beside_best` are the differences."""

    signals: dict[str, float]
    members: dict[str, float]
    agreement: Estimate
    longest: Estimate
    gap: Estimate
    best: str | None
    beside_best: Estimate | None
    fitted: Fitted
    notes: tuple[str, ...]

    def beats(self, level: float) -> bool:
        """Whether it is shown to agree more with people than the longer output."""
        return self.gap.interval(level)[0] > 0

    def write(self, path: str, level: float) -> list[str]:
        """Writes the judge to a .yaml file, and of a panel's signals one beside it; gives the files. Raises
        `InputError` for a judge that does not beat the longer output, and where one of several judges has all the
        weight: that is the judge itself."""
        if not self.beats(level):
            low, high = (100 * x for x in self.gap.interval(level))
            raise InputError(
                f"{path} is not written: the fitted judge is not shown to agree more with people than 'longest output "
                f"wins' ({100 * self.gap.value:+.1f} points, {low:+.1f} to {high:+.1f}); give more labels, or "
                "annotations of judges"
            )
        alone = next(iter(self.members)) if len(self.members) == 1 else None
        if alone not in (None, SIGNALS):
            raise InputError(f"{path} is not written: {alone} alone has weight; name it as the judge (--judge {alone})")
        own = Path(path)
        if not self.members or alone is not None:
            write_text(path, _yaml(self._surface()))
            return [path]
        beside = own.with_name(f"{own.stem}-{SIGNALS}.yaml")
        seats: list[dict[str, Any]] = []
        for name, weight in self.members.items():
            judge = {"name": SIGNALS, "judge": beside.name} if name == SIGNALS else _seat(name)
            seats.append(judge | {"weight": round(weight, 4)})
        panel: dict[str, Any] = {"rule": "weighted", "members": seats}
        if min(self.members.values()) < 0:
            panel["signed"] = True
        panel["fitted_on"] = written(self.fitted)
        write_text(path, _yaml({"description": self._said("A panel"), "panel": panel}))
        if SIGNALS not in self.members:
            return [path]
        write_text(str(beside), _yaml(self._surface()))
        return [path, str(beside)]

    def _surface(self) -> dict[str, Any]:
        described = "Weights of surface signals" if len(self.members) > 1 else self._said("Weights of surface signals")
        weights = {name: round(weight, 4) for name, weight in self.signals.items()}
        return {
            "description": described,
            "protocol": "pairwise",
            "rule": "surface",
            "weights": weights,
            "order": "fixed",
        }

    def _said(self, what: str) -> str:
        agrees, longer = (f"{100 * x.value:.1f} %" for x in (self.agreement, self.longest))
        return (
            f"{what} fitted on {plural(self.fitted.comparisons, 'comparison')} of {self.fitted.name}: agrees with "
            f"people on {agrees} of others, the longer output on {longer}"
        )


def _seat(name: str) -> dict[str, Any]:
    """A member by the judge of its name; one that is none has recorded verdicts alone."""
    try:
        return {"judge": load_one(name).name}
    except InputError:
        return {"name": name}


def _yaml(content: dict[str, Any]) -> str:
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110))


def fitted_judge(
    labels: Source, annotations: Sequence[Source] = (), *, signed: bool = False, mix_judges: bool = False
) -> FittedJudge:
    """The judge that people's labels with their texts give, over the signals and the judges of `annotations`.

    Weights of judges are non-negative and those of signals have the sign that their meaning suggests, unless `signed`.
    Raises `InputError` for labels without texts, fewer than 20 labelled comparisons, and judges none of which leans as
    people do.
    """
    name, votes = _read(labels, annotations, mix_judges)
    people = People.of(votes, Definitions.of(None))
    cluster = votes.cluster
    x = np.stack([votes.items[f"covariate_{k}_2"] - votes.items[f"covariate_{k}_1"] for k in _columns()], axis=1)
    usable = ~np.isnan(x).any(axis=1) & ~np.isnan(people.mean)
    if usable.sum() < _FEWEST:
        raise InputError(
            f"{name}: {plural(int(usable.sum()), 'labelled comparison')} to fit on; give {_FEWEST} at least, better 500"
        )
    y = np.where(usable, people.mean, np.nan)
    judged = votes.judged if annotations else np.zeros((0, len(y)))
    made = _Maker(np.nan_to_num(x), judged, cluster, signed)
    p = np.full(len(y), np.nan)
    for fold in folds_of(cluster[usable], cluster):
        p[fold] = made.said(np.where(fold, np.nan, y), fold)
    p[~usable] = np.nan
    lengths = [votes.items[f"length_{side}"].to_numpy(float) for side in ("1", "2")]
    long = longest(lengths[0], lengths[1], people.definitions)
    fits = {"own": fit(p, people.credit), "longest": fit(np.where(usable, long, np.nan), people.credit)}
    best, beside = _best_member(votes, judged, people, fits["own"])
    signals, members = made.weights(y)
    keys = [key for key, used in zip(instruction_keys(votes.items), usable, strict=True) if used]
    return FittedJudge(
        dict(zip(WEIGHTS, signals.tolist(), strict=True)),
        {k: w for k, w in zip((*votes.judges, SIGNALS), members.tolist(), strict=False) if w} if annotations else {},
        mean_over(fits["own"], cluster),
        mean_over(fits["longest"], cluster),
        mean_over(fits["own"] - fits["longest"], cluster, (-1.0, 1.0)),
        best,
        beside,
        Fitted.of(Path(name).name, int(usable.sum()), keys),
        votes.notes if annotations else (),
    )


def _best_member(votes: Votes, judged: Array, people: People, own: Array) -> tuple[str | None, Estimate | None]:
    """(the judge that agrees most with people, how much more the fitted one does)."""
    fits = [np.where(np.isnan(own), np.nan, fit(p, people.credit)) for p in judged]
    if not fits:
        return None, None
    k = max(range(len(fits)), key=lambda k: float(np.nanmean(fits[k])) if (~np.isnan(fits[k])).any() else -1.0)
    return votes.judges[k], mean_over(own - fits[k], votes.cluster, (-1.0, 1.0))


def _columns() -> list[str]:
    return [f"signal_{name}" for name in WEIGHTS]


@dataclass(frozen=True)
class _Maker:
    """What is fitted: signals `x` (items × K) and judges' p (judges × items, none: the signals alone)."""

    x: Array
    judged: Array
    cluster: NDArray[np.int64]
    signed: bool

    def said(self, people: Array, where: NDArray[np.bool_]) -> Array:
        """p of the items `where`, by weights fitted on `people` (NaN: not to be seen)."""
        signals, members = self.weights(people)
        own = expit(self.x[where] @ signals)
        if not len(self.judged):
            return np.asarray(own)
        made = jury(np.vstack([self.judged[:, where], own]), "weighted", members)
        return made.p

    def weights(self, people: Array) -> tuple[Array, Array]:
        """(weights of the signals; of the judges and, last, of the signals among them)."""
        signals = self._signals(people)
        if not len(self.judged):
            return signals, np.zeros(0)
        inner = np.full(len(people), np.nan)
        for fold in folds_of(self.cluster[~np.isnan(people)], self.cluster):
            inner[fold] = expit(self.x[fold] @ self._signals(np.where(fold, np.nan, people)))
        members = jury_weights(np.vstack([self.judged, inner]), people, self.cluster, signed=self.signed)
        if not members.any():
            raise InputError("none of the judges leans as people do; name others, or allow negative weights (--signed)")
        return signals, members

    def _signals(self, people: Array) -> Array:
        return signal_weights(self.x, people, self.cluster, None if self.signed else _SIGNS)


def _read(labels: Source, annotations: Sequence[Source], mix_judges: bool) -> tuple[str, Votes]:
    """(the labels' name; labels with the signals of their outputs, and the judges' verdicts)."""
    name, rows = named_rows(labels)
    signalled = []
    for number, row in enumerate(rows, 1):
        texts = [row.get(key) for key in ("instruction", "output_1", "output_2")]
        if any(text is None for text in texts):
            raise InputError(f"{name}: row {number} has no texts, which signals are read from; give the file with them")
        asked, *outputs = map(str, texts)
        found = [zip(_columns(), features(asked, text), WEIGHTS.values(), strict=True) for text in outputs]
        own = {f"{c}_{side}": v / scale for side, each in enumerate(found, 1) for c, v, (_, scale) in each}
        signalled.append({**row, **own})
    looked = Inspection(covariates=tuple(_columns()))
    people = read_verdicts([(name, row_columns(signalled, looked))], looked)
    if people is None or people.table["preference"].isna().all():
        raise InputError(f"{name}: holds no labels (a column 'preference'); give people's labels")
    if not annotations:
        # nobody has judged: the pairs alone, each as it is labelled
        pairs = people.table.assign(annotator=SIGNALS, judge_hash="unknown", preference=1.5, status="verdict")
        return name, votes_of(Verdicts(pairs), people)
    read = judged_in(annotations, Inspection(calls=True))
    if read is None:
        raise InputError("the annotations hold no verdicts (column 'preference'); name files of judges' verdicts")
    return name, votes_of(read, people, allow_mixed=mix_judges)
