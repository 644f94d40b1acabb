"""A calibrated crowd as people read it, and as the population's file with numbers in it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from simfarm.data.sources import Source, called
from simfarm.data.writing import write_text
from simfarm.errors import InputError
from simfarm.judges import fields, load_judge
from simfarm.judges.population import Crowd, Population
from simfarm.report.explained import check_judge_file
from simfarm.report.tables import Part, Sheet
from simfarm.text.words import named, plural

if TYPE_CHECKING:
    from simfarm.agreement.calibration import Calibration
    from simfarm.agreement.measures import Fidelity
    from simfarm.data.frames import Verdicts

__all__ = ["CalibratedCrowd", "calibrated_crowd", "calibration_sheet", "crowd_population", "runs_missing"]

_FILES = ("judge", "template", "examples")
"""Keys of a population that may name a file beside it."""


@dataclass(frozen=True)
class CalibratedCrowd:
    """A population and what was fitted for it. `write` makes a file of it that `annotate --judge` takes."""

    population: Population
    found: Calibration
    other: str = ""
    """What is wrong with the runs, where they are not by the population's judge."""

    @property
    def table(self) -> pd.DataFrame:
        """One row a parameter: value, standard error, limits, whether it was fitted."""
        return self.found.table

    @property
    def fidelity(self) -> Fidelity | None:
        """A crowd fitted to one half of the instructions, beside people on the other."""
        return self.found.fidelity

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the rows."""
        return (*([self.other] if self.other else []), *self.found.notes)

    @property
    def advice(self) -> list[str]:
        """What to know before the crowd is used, the gravest first."""
        return self.found.advice

    def to_json(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {"population": self.population.name, **self.found.to_json()}

    def yaml(self, folder: str | os.PathLike[str] = ".") -> str:
        """The population's file with the fitted numbers, their errors in comments; files it names are named as seen
        from `folder`."""
        import yaml

        source = self.population.path.parent
        data = _moved(dict(fields.read_yaml(self.population.path)), source, Path(folder))
        data["description"] = fields.text("description", data.get("description"))
        data.pop("population")
        rest = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
        return rest + "\n".join(["population:", *(f"  {line}" for line in self._lines())]) + "\n"

    def write(self, path: str | os.PathLike[str]) -> None:
        """The population as a YAML file. Raises `InputError` where it cannot be written."""
        check_judge_file(os.fspath(path))
        write_text(path, self.yaml(Path(path).absolute().parent))
        load_judge(Path(path))

    def _lines(self) -> list[str]:
        """What stands under `population:`, a comment behind each number that says where it is from."""
        fit, found = self.found.fit, self.found
        crowd, p = _crowd_of(self.population), fit.parameters
        lines = [
            f"# fitted by simfarm calibrate to {plural(fit.n_labels, 'label')} by "
            f"{plural(found.people, 'person', 'people')} on {plural(fit.n_items, 'comparison')}; ± standard errors",
            f"runs: {found.runs}",
            f"link: {crowd.link}",
            f"scale: {{length: {p.scale:.5g}}}"
            + ("  # given" if crowd.length_scale is not None else "  # the spread of the lengths' differences"),
        ]
        names = ["judge", "length", "bias", "item_sd", *(["tie"] if p.tie > 0 or crowd.tie is not None else [])]
        for name in names:
            lines.append(f"{name}: {_number(getattr(p, name))}  # {_origin(fit.standard_errors, name)}")
        lines[-1 - (names[-1] == "tie")] += "; drawn only where a comparison gets several labels"
        n = found.people if crowd.persons is None else crowd.persons.n
        spreads = [f"{name}: {_number(getattr(p, name))}" for name in ("length_sd", "position_sd")]
        origins = ", ".join(_origin(fit.standard_errors, name) for name in ("length_sd", "position_sd"))
        return [*lines, f"persons: {{n: {n}, {', '.join(spreads)}}}  # {origins}"]


def _number(x: float) -> str:
    return f"{round(x, 4) + 0.0:g}"


def _origin(errors: Mapping[str, float], name: str) -> str:
    return f"± {errors[name]:.3f}" if name in errors else "given"


def _moved(data: dict[Any, Any], source: Path, folder: Path) -> dict[Any, Any]:
    """The same data where files beside `source` are named as seen from `folder`."""
    moved = dict(data)
    for key, value in data.items():
        if key in _FILES and isinstance(value, str) and (source / value).exists():
            moved[key] = os.path.relpath(source / value, folder)
        elif key == "members" and isinstance(value, list):
            moved[key] = [_moved(one, source, folder) if isinstance(one, dict) else one for one in value]
    return moved


def crowd_population(name_or_path: str | os.PathLike[str]) -> Population:
    """A population with a crowd to fit. Raises `InputError` for a judge, and for a population without one."""
    found = load_judge(name_or_path if isinstance(name_or_path, str) else Path(name_or_path))
    if not isinstance(found, Population) or found.crowd is None:
        what = "population without a calibrated crowd" if isinstance(found, Population) else "judge"
        raise InputError(
            f"{os.fspath(name_or_path)}: is a {what}; write a population: judge: NAME, population: {{runs: 8}}"
        )
    return found


def runs_missing(population: Population, annotations: Sequence[object]) -> None:
    """Raise `InputError` where the judge's runs are not given: how to make them."""
    if not annotations:
        runs = _crowd_of(population).runs
        raise InputError(
            f"a crowd is fitted around its judge's runs; make them (simfarm annotate LABELS --judge "
            f"{population.members[0].judge.name} --repeats {runs} -o runs.jsonl), then --annotations runs.jsonl"
        )


def _crowd_of(population: Population) -> Crowd:
    crowd = population.crowd
    assert crowd is not None
    return crowd


def calibrated_crowd(
    population: Population,
    human: Sequence[Source],
    annotations: Sequence[Source],
    *,
    level: float = 0.95,
    mix_judges: bool = False,
) -> CalibratedCrowd:
    """What a population leaves open, fitted to people's labels around a judge's runs. Raises `InputError` for what
    cannot be read, matched or fitted."""
    from simfarm.agreement.calibration import calibrated
    from simfarm.agreement.votes import votes_of
    from simfarm.data.inputs import read_for_evaluation, refuse_scores
    from simfarm.data.inspection import Inspection

    crowd = _crowd_of(population)
    looked = Inspection(features=("lists", "bold"), calls=True)
    read: list[Verdicts] = []
    for sources, what in ((annotations, "verdicts"), (human, "people's labels")):
        found = read_for_evaluation(sources, None, looked)
        if found is None:
            refuse_scores(sources)
        if found is None or found[0].table["preference"].isna().all():
            raise InputError(f"{called(sources[0])}: holds no {what} (column 'preference'); is it the right file?")
        read.append(found[0])
    votes = votes_of(read[0], read[1], allow_mixed=mix_judges)
    made = calibrated(votes, fixed=_given(crowd), runs=crowd.runs, level=level)
    return CalibratedCrowd(population, made, _by_another(population, read[0]))


def _by_another(population: Population, runs: Verdicts) -> str:
    """A warning where runs have another name than the population's judge, around whom the crowd will be drawn."""
    own = population.members[0].judge.name
    others = sorted({*runs.table["annotator"].dropna().astype(str)} - {own})
    if not others:
        return ""
    return (
        f"warning: the runs are by {named(others)} and the crowd will be drawn around {own}: the numbers hold only as "
        f"far as both say the same; make the runs with {own}, or name the runs' judge in the population"
    )


def _given(crowd: Crowd) -> dict[str, float]:
    """What a population's file leaves not open, as a fit names it."""
    values = {name: getattr(crowd, name) for name in ("judge", "length", "bias", "item_sd", "tie")}
    values["scale"] = crowd.length_scale
    if crowd.persons is not None:
        values |= {name: getattr(crowd.persons, name) for name in ("length_sd", "position_sd")}
    return {name: value for name, value in values.items() if value is not None}


def calibration_sheet(made: CalibratedCrowd) -> Sheet:
    """The parameters as a table with what to know of them, the fidelity on held-out labels below, all as plain
    values."""
    from simfarm.agreement.calibration import PARAMETERS
    from simfarm.report.fidelity import fidelity_sheet

    found = made.found
    fit, level = found.fit, found.level
    rows = []
    for line in found.table.to_dict("records"):
        name, fitted = line["parameter"], line["fitted"]
        if name == "tie" and not (fitted or line["value"]):
            continue
        digits = 1 if name == "scale" else 2
        error = f"{line['standard_error']:.2f}" if fitted else "–"
        limits = f"{line['low']:.2f} to {line['high']:.2f}" if fitted else "–"
        rows.append([name, f"{line['value']:.{digits}f}", error, limits, PARAMETERS[name]])
    title = (
        f"{made.population.name} · {plural(fit.n_labels, 'label')} by {plural(found.people, 'person', 'people')} on "
        f"{plural(fit.n_items, 'comparison')} of {plural(fit.n_clusters, 'instruction')}, "
        f"{plural(found.runs, 'run')} of the judge"
    )
    headings = ["name", "value", "standard error", f"{100 * level:g} %", "description"]
    remarks = ["in logits, but for scale; – is given, not fitted", *(f"- {line}" for line in found.advice)]
    parts = [Part(title, headings, rows, remarks, ("description", f"{100 * level:g} %"))]
    if found.fidelity is not None:
        parts += fidelity_sheet(found.fidelity).parts
    warnings = [found.why] if found.why else []
    return Sheet(parts, found.table, made.to_json(), warnings)
