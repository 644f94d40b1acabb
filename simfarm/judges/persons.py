"""Logistic persons: what each labeller goes by on the surface of a text, learnt from a few labels, at no cost a call.

The cheap twin of a person in the prompt. It reads no meaning; what it keeps of a person is the taste for length, lists
and the like in which people really differ (on AlpacaFarm's labels P(longer) spreads by ten points over fifteen people).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from simfarm.data.cells import as_text
from simfarm.data.frames import read_verdicts, row_columns
from simfarm.data.records import comparisons_from_rows
from simfarm.data.writing import write_text
from simfarm.errors import InputError
from simfarm.judges.fields import MOST_WEIGHT
from simfarm.judges.spec import Judge
from simfarm.judges.surface import WEIGHTS, differences
from simfarm.statistics.ridge import each_apart
from simfarm.text.words import plural

__all__ = ["logistic_persons", "write_persons"]


def logistic_persons(rows: Iterable[Mapping[str, Any]], source: str = "the labels") -> dict[str, Judge]:
    """One judge for each labeller: rule `surface` with weights of the labeller's own, as in a judge's file.

    `rows` are labels with their texts as `simfarm.read` gives them, by `person` where a row has one, else `annotator`.
    A person's weights are drawn to those of all the labels, the less the more labels they gave and the more the persons
    of the file differ (`statistics.ridge.each_apart`). Two of opposite taste are told apart from some eight labels each
    (`benchmarks/persons.py`). Raises `InputError` for rows without texts or verdicts.
    """
    labels = list(rows)
    pairs = comparisons_from_rows(labels, source)
    verdicts = read_verdicts([(source, row_columns(labels))])
    if verdicts is None:
        raise InputError(f"{source}: holds no verdicts (a column 'preference'); give people's labels")
    names = np.array([as_text(row.get("person")) or as_text(row.get("annotator")) for row in labels], dtype=object)
    p = verdicts.table["preference"].to_numpy(float) - 1
    known = ~np.isnan(p)
    if not known.any():
        raise InputError(f"{source}: no label has a preference; give labels of 1 to 2")
    x = np.array([differences(pair.instruction, pair.output_1, pair.output_2) for pair in pairs])
    person, who = pd.factorize(names[known])
    found = each_apart(x[known], p[known], person.astype(np.int64))
    return {str(name): _person(str(name), weights) for name, weights in zip(who, found, strict=True)}


def _person(name: str, weights: np.ndarray) -> Judge:
    held = np.clip(weights, -MOST_WEIGHT, MOST_WEIGHT)
    return Judge(
        name=name,
        description=f"A logistic person: what {name} goes by on the surface of a text (no model)",
        path=Path(),
        order="fixed",
        rule="surface",
        weights={feature: round(float(weight), 4) for feature, weight in zip(WEIGHTS, held, strict=True)},
    )


def write_persons(path: str | Path, persons: Mapping[str, Judge]) -> None:
    """The persons as a population's file, each a member of the same weight, for `--judge`."""
    members = [{"name": name, "person": {"weights": dict(one.weights or {})}} for name, one in persons.items()]
    content = {"description": f"{plural(len(members), 'logistic person')} (no model)", "members": members}
    write_text(str(path), yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
