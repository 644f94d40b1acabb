"""The weights of a judge's criteria, fitted to people's labels.

A criterion is taken for a judge of its own, who prefers output_2 as much as its mark is above that of output_1: then
weights are a panel's, fitted and tested in the one way there is for that (`statistics.jury`), and what they decide is
what the judge's own file would decide with them. They are told on instructions whose labels they never saw, beside
equal weights: those need no labels and are hard to beat (Dawes 1979).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from simfarm.agreement.jury import instruction_keys
from simfarm.agreement.trust import Definitions, People, fit, longest, mean_over
from simfarm.agreement.votes import Votes, votes_of
from simfarm.data.frames import Verdicts
from simfarm.data.inputs import read_for_evaluation, refuse_scores
from simfarm.data.inspection import Inspection
from simfarm.data.juries import Fitted
from simfarm.data.marks import MARK
from simfarm.data.sources import Source, called
from simfarm.data.writing import write_text
from simfarm.errors import InputError
from simfarm.judges import Judge, fields
from simfarm.judges.criteria import Criterion
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.jury import cross_weighted, jury
from simfarm.text.words import named, plural

__all__ = ["FittedCriteria", "fitted_criteria"]

_FEWEST = 20


@dataclass(frozen=True)
class FittedCriteria:
    """Weights by criterion, one on average. `agreement` with people is cross-validated by instruction; beside it that
    of `equal` weights, of the weights in the judge's file (`own`) and of the longest output; `gap` is to equal ones."""

    judge: Judge
    weights: dict[str, float]
    agreement: Estimate
    equal: Estimate
    own: Estimate
    longest: Estimate
    gap: Estimate
    fitted: Fitted
    notes: tuple[str, ...]

    def beats(self, level: float) -> bool:
        """Whether it is shown to agree more with people than equal weights."""
        return self.gap.interval(level)[0] > 0

    def write(self, path: str, level: float) -> list[str]:
        """Writes the judge with these weights to a .yaml file, its templates beside it; gives the files. Raises
        `InputError` where they do not beat equal ones."""
        if not self.beats(level):
            low, high = (100 * x for x in self.gap.interval(level))
            raise InputError(
                f"{path} is not written: the fitted weights are not shown to agree more with people than equal ones "
                f"({100 * self.gap.value:+.1f} points, {low:+.1f} to {high:+.1f}); give more labels, or keep equal "
                "weights"
            )
        data = fields.read_yaml(self.judge.path)
        data["description"] = f"{data['description']} (weights fitted on {self._said()})"
        data["criteria"] = [self._weighed(item) for item in data["criteria"]]
        places = [data, *data.get("stages", [])]
        texts = {self._beside(path, place): place["template"] for place in places}
        files = [path]
        if Path(path).parent.resolve() != self.judge.path.parent.resolve():
            for file, name in texts.items():
                write_text(file, (self.judge.path.parent / name).read_text("utf-8"))
            for place, file in zip(places, texts, strict=True):
                place["template"] = os.path.basename(file)
            files += texts
        write_text(path, str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)))
        return files

    def _beside(self, path: str, place: dict[str, Any]) -> str:
        return str(Path(path).parent / Path(str(place["template"])).name)

    def _said(self) -> str:
        n = plural(self.fitted.comparisons, "comparison")
        return f"{n} of {self.fitted.name}: agrees with people on {100 * self.agreement.value:.1f} % of others"

    def _weighed(self, item: Any) -> Any:
        name = item.get("name", "checklist" if "checklist" in item else None) if isinstance(item, dict) else None
        return {**item, "weight": round(self.weights[name], 3)} if name in self.weights else item


def fitted_criteria(
    judge: Judge, labels: Source, annotations: Sequence[Source], *, mix_judges: bool = False
) -> FittedCriteria:
    """The weights that people's labels give the criteria of a judge, whose marks are in its `annotations`.

    Raises `InputError` for a judge whose verdict does not follow from its marks, annotations without them, fewer than
    20 labelled comparisons, and criteria none of which leans as people do.
    """
    if not annotations:
        raise InputError(
            f"criteria are weighed by their marks: name the annotations by {judge.name} after the labels (simfarm "
            f"annotate … --judge {judge.name} -o FILE)"
        )
    criteria = [criterion for criterion in judge.marks if criterion.weighed]
    if judge.alone or judge.verdict is None or judge.verdict.parser != "criteria":
        raise InputError(
            f"the judge {judge.name} does not go by weights; name one that compares, with the parser criteria "
            "(rubric-json)"
        )
    if len(criteria) < 2:
        raise InputError(
            f"the judge {judge.name} has one criterion that counts: there is nothing to weigh; add another"
        )
    people_read, read = (read_for_evaluation([labels]), read_for_evaluation(annotations, None, _MARKED))
    name = called(labels, 1)
    if people_read is None or people_read[0].table["preference"].isna().all():
        raise InputError(f"{name}: holds no labels (a column 'preference'); give people's labels")
    if read is None:
        refuse_scores(annotations)
        raise InputError("the annotations hold no verdicts (column 'preference'); name files of judges' verdicts")
    marked = _as_judges(judge, criteria, read[0])
    votes = votes_of(marked, people_read[0], allow_mixed=mix_judges)
    return _fitted(judge, criteria, votes, Path(name).name)


_MARKED = Inspection(criteria=True, calls=True)


def _fitted(judge: Judge, criteria: Sequence[Criterion], votes: Votes, name: str) -> FittedCriteria:
    people = People.of(votes, Definitions.of(None))
    judged = np.stack([votes.judged[votes.judges.index(criterion.name)] for criterion in criteria])
    usable = ~np.isnan(judged).any(axis=0) & ~np.isnan(people.mean)
    if usable.sum() < _FEWEST:
        raise InputError(
            f"{name}: {plural(int(usable.sum()), 'labelled comparison')} with marks by {judge.name} to fit on; give "
            f"{_FEWEST} at least, better 500"
        )
    y, cluster = np.where(usable, people.mean, np.nan), votes.cluster
    try:
        tested, weights = cross_weighted(judged, y, cluster)
    except InputError as error:
        if np.isfinite(y).any() and len(np.unique(cluster[usable])) > 1:
            raise InputError(
                "no criterion leans as people do, so that there is nothing to weigh; look at them"
            ) from error
        raise
    lengths = [votes.items[f"length_{side}"].to_numpy(float) for side in ("1", "2")]
    own = np.array([criterion.weight for criterion in criteria])
    made: dict[str, Array] = {
        "fitted": tested.p,
        "equal": jury(judged, "mean").p,
        "own": jury(judged, "weighted", own).p,
        "longest": longest(lengths[0], lengths[1], people.definitions),
    }
    fits = {key: fit(np.where(usable, p, np.nan), people.credit) for key, p in made.items()}
    keys = [key for key, used in zip(instruction_keys(votes.items), usable, strict=True) if used]
    weighed = weights * len(weights) / weights.sum()
    return FittedCriteria(
        judge,
        {criterion.name: float(weight) for criterion, weight in zip(criteria, weighed, strict=True)},
        mean_over(fits["fitted"], cluster),
        mean_over(fits["equal"], cluster),
        mean_over(fits["own"], cluster),
        mean_over(fits["longest"], cluster),
        mean_over(fits["fitted"] - fits["equal"], cluster, (-1.0, 1.0)),
        Fitted.of(name, int(usable.sum()), keys),
        votes.notes,
    )


def _as_judges(judge: Judge, criteria: Sequence[Criterion], verdicts: Verdicts) -> Verdicts:
    """Each criterion as a judge, who prefers output_2 by half of what its mark is above that of output_1, each as a
    share of the way from the lowest to the highest."""
    table = verdicts.table
    table = table[table["annotator"].astype(str) == judge.name]
    if not len(table):
        raise InputError(
            f"the annotations are by {named(verdicts.annotators())}, and none by {judge.name}; name its verdicts"
        )
    lacking = [c.name for c in criteria if not {f"{MARK}{c.name}_1", f"{MARK}{c.name}_2"} <= {*table.columns}]
    if lacking:
        raise InputError(
            f"the annotations by {judge.name} have no scores of {named(lacking)}; ask the judge as its file is now"
        )
    parts = []
    for criterion in criteria:
        low, width = criterion.low, criterion.high - criterion.low
        one, other = ((table[f"{MARK}{criterion.name}_{side}"].to_numpy(float) - low) / width for side in ("1", "2"))
        if ((one < 0) | (one > 1) | (other < 0) | (other > 1)).any():
            raise InputError(
                f"the annotations by {judge.name} have scores of {criterion.name} beyond {criterion.low:g} to "
                f"{criterion.high:g}; ask the judge as its file is now"
            )
        preference = 1.5 + (other - one) / 2
        status = np.where(np.isnan(preference), "unparseable", "verdict")
        parts.append(table.assign(annotator=criterion.name, preference=preference, status=status))
    joined = pd.concat(parts, ignore_index=True)
    return Verdicts(joined.assign(annotator=pd.Categorical(joined["annotator"], [c.name for c in criteria])))
