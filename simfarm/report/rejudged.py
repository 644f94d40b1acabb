"""Two judges on the same outputs: their files read, checked against each other, compared, and shown."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from simfarm.data.frames import Verdicts, together
from simfarm.data.sources import Source, called
from simfarm.errors import InputError
from simfarm.ranking import Rejudged, boards, compare_judges
from simfarm.ranking.rejudge import parted
from simfarm.ranking.units import units_by_annotator
from simfarm.report.evaluation import annotations_in
from simfarm.report.tables import Part, Sheet
from simfarm.statistics.disagreement import Disagreement
from simfarm.text.words import plural

if TYPE_CHECKING:
    from simfarm.report.ranking import RankingOptions

__all__ = ["judged_by_two", "rejudged", "rejudged_sheet", "the_annotator"]


def rejudged(
    a: Source, b: Source, baseline: Source | None, options: RankingOptions, *, hindsight: bool = False
) -> Rejudged:
    """How two judges' boards of the same outputs compare; `hindsight` where the second judged what became of them.
    Raises `InputError` where a file holds several annotators, or the files other outputs."""
    parts, name = judged_by_two(a, b, baseline)
    names = [part.annotators()[0] for part in parts]
    verdicts = together(*parts)
    both = boards(verdicts, baseline=name, length_control=(), level=options.level, allow_mixed=options.mix_judges)
    if whys := [why for board in both if not board.estimates for why in board.warnings]:
        raise InputError(whys[0])
    by_name = {board.annotator: board for board in both}
    found = compare_judges(by_name[names[0]], by_name[names[1]])
    units = {u.annotator: u for u in units_by_annotator(verdicts, found.baseline, allow_mixed=options.mix_judges)}
    return replace(found, parted=parted(*(units[name] for name in names)), hindsight=hindsight)


def judged_by_two(a: Source, b: Source, baseline: Source | None) -> tuple[list[Verdicts], str | None]:
    """(the verdicts of two files, one annotator each, named by their file; the baseline's name where one was given).
    Raises `InputError` where a file holds several annotators, or the files other outputs."""
    parts = []
    name = None
    for position, (source, which) in enumerate(((a, "first"), (b, "second")), 1):
        verdicts, name = annotations_in([source], baseline)
        parts.append(verdicts.by(f"{the_annotator(verdicts, called(source, position))} ({which} file)"))
    _require_same_outputs(*(part.table for part in parts))
    return parts, name


def the_annotator(verdicts: Verdicts, file: str) -> str:
    """The name of the one annotator; raises `InputError` where there are several."""
    annotators = sorted(verdicts.annotators())
    if len(annotators) != 1:
        raise InputError(
            f"{file}: holds {plural(len(annotators), 'annotator')} ({', '.join(annotators[:4])}); give one a file"
        )
    return annotators[0]


def _require_same_outputs(a: pd.DataFrame, b: pd.DataFrame) -> None:
    """Raise `InputError` where one pair of generators wrote two outputs to one instruction in the two files."""
    asked = next((k for k in ("instruction_sha256", "instruction_id") if k in a and k in b), None)
    if asked is None:
        raise InputError("the files share neither 'instruction' nor 'instruction_id'; add one to both")
    keys = [asked, "generator_1", "generator_2", "sample"]
    sides = [f.assign(**{asked: f[asked].astype(str).str.strip(), "sample": f["sample"].astype(str)}) for f in (a, b)]
    for side in ("1", "2"):
        text, length = f"output_{side}_hash", f"length_{side}"
        column = text if all(f[text].any() for f in sides) else length
        known = (f[f[text] != 0] if column == text else f for f in sides)
        one, other = (f[[*keys, column]].dropna().drop_duplicates() for f in known)
        met = one.merge(other, on=keys, suffixes=("", "_other"))
        same = met[met[column] == met[f"{column}_other"]][keys].drop_duplicates()
        differ = len(met[keys].drop_duplicates()) - len(same)
        if differ:
            what = plural(differ, "output differs", "outputs differ")
            raise InputError(f"{what} between the two files; rejudge compares judges on the same outputs")


def _parted_line(parted: Disagreement, level: float) -> str:
    """How the verdicts on single comparisons part."""
    shares = (("", parted.any), ("a tie against a side ", parted.ties), ("opposite sides ", parted.reversals))
    said = []
    for what, e in shares:
        low, high = e.interval(level)
        said.append(f"{what}{100 * e.value:.1f} % ({100 * low:.1f}–{100 * high:.1f})")
    whole, *of = said
    return f"of {plural(parted.n_items, 'comparison')} the judges part on {whole}: {', '.join(of)}"


def rejudged_sheet(both: Rejudged) -> Sheet:
    """The table of both win rates, with what the judges agree on below; all its columns, and plain values. Of a judge
    in hindsight the gaps instead."""
    if both.hindsight:
        return _hindsight_sheet(both)
    rows = [
        [
            row["model"],
            f"{row['win_rate_a']:.1f}",
            f"{row['win_rate_b']:.1f}",
            f"{row['difference']:+.1f} ({row['difference_low']:+.1f} to {row['difference_high']:+.1f})",
        ]
        for row in both.table.to_dict("records")
    ]
    spearman = f"– ({both.no_spearman})" if both.no_spearman else f"{both.spearman:.3f}"
    remarks = [
        f"A: {both.annotator_a}",
        f"B: {both.annotator_b}",
        f"Spearman {spearman}, mean absolute difference {both.mean_absolute_difference:.1f} points",
        f"{len(both.flips)} of {plural(both.n_pairs, 'pair')} of models change sides beyond noise",
    ]
    remarks += [] if both.parted is None else [_parted_line(both.parted, both.level)]
    for flip in both.flips[:20]:
        (a, *_), (b, *_) = flip.under_a, flip.under_b
        remarks.append(f"  {flip.first} − {flip.second}: {100 * a:+.1f} under A, {100 * b:+.1f} under B")
    headings = ["model", "win rate A", "win rate B", f"B − A {100 * both.level:g} %"]
    part = Part("two judges on the same outputs · sorted by win rate A", headings, rows, remarks)
    return Sheet([part], both.table, both.to_json(), both.warnings)


def _hindsight_sheet(both: Rejudged) -> Sheet:
    """The table of what each model promised and what was found in hindsight, those who over-promise first."""
    gaps, level = both.gaps, f"{100 * both.level:g} %"
    rows = [
        [
            row["model"],
            f"{row['win_rate_a']:.1f}",
            f"{row['win_rate_b']:.1f}",
            f"{row['gap']:+.1f} ({row['gap_low']:+.1f} to {row['gap_high']:+.1f})",
        ]
        for row in gaps.to_dict("records")
    ]
    told = [
        f"{what}: {', '.join(f'{one.model} ({one.gap:+.1f})' for one in part.itertuples())}"
        for what, part in (
            ("promises more than is found", gaps[gaps["gap_low"] > 0]),
            ("is found better than it promised", gaps[gaps["gap_high"] < 0].iloc[::-1]),
        )
        if len(part)
    ]
    remarks = [
        f"at once: {both.annotator_a}",
        f"in hindsight: {both.annotator_b}",
        *(told or ["no model's gap is told apart from 0"]),
        f"a gap is beside that of {both.baseline}, in points of win rate; each interval holds by itself, at {level}",
    ]
    headings = ["model", "at once", "in hindsight", f"gap {level}"]
    part = Part("the hindsight gap · who promises more than is found", headings, rows, remarks)
    return Sheet([part], gaps, both.to_json(), both.warnings)
