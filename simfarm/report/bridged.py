"""A board carried to a new judge: the two files read and checked, the board shown and written, and what to do next."""

from __future__ import annotations

import math
import os
from collections.abc import Sized
from typing import TYPE_CHECKING, Any

from simfarm.data.frames import Verdicts, together
from simfarm.data.sources import Source, called, is_path
from simfarm.errors import InputError
from simfarm.ranking import Bridged, carry, find_baseline
from simfarm.ranking.table import plain
from simfarm.report.evaluation import annotations_in
from simfarm.report.rejudged import judged_by_two, the_annotator
from simfarm.report.tables import Part, Sheet
from simfarm.statistics.calibration import MIN_LABELS
from simfarm.text.words import plural

if TYPE_CHECKING:
    from simfarm.report.ranking import RankingOptions

__all__ = ["bridged", "bridged_sheet"]

_SHOWN = 20


def bridged(old: Source, new: Source, baseline: Source | None, options: RankingOptions) -> Bridged:
    """The board of `old` in the units of `new`'s judge; `new` may be an empty file, before anything is judged.

    Raises `InputError` where a file holds several annotators, or the files other outputs or no comparison in common.
    """
    after: Verdicts | None = None
    if _is_empty(new):
        before, name = annotations_in([old], baseline)
        the_annotator(before, called(old))
        everything = before
    else:
        (before, after), name = judged_by_two(old, new, baseline)
        everything = together(before, after)
        before, after = (_rows_of(everything, part.annotators()[0]) for part in (before, after))
    return carry(before, after, _the_baseline(everything, name), options.level, mixed=options.mix_judges)


def _rows_of(verdicts: Verdicts, annotator: str) -> Verdicts:
    """One annotator's rows under its own name; unlike `Verdicts.of` they keep the numbers of the instructions, which
    two judges share."""
    own = verdicts.table["annotator"].astype(str) == annotator
    rows = Verdicts(verdicts.table[own].reset_index(drop=True), verdicts.flags)
    return rows.by(annotator.removesuffix(" (first file)").removesuffix(" (second file)"))


def _the_baseline(verdicts: Verdicts, name: str | None) -> str:
    baseline = find_baseline(verdicts, name)
    table = verdicts.table
    met = (table["generator_1"] == baseline) | (table["generator_2"] == baseline)
    for annotator, own in met.groupby(table["annotator"].astype(str), sort=False):
        if not own.any():
            raise InputError(
                f"{annotator}: has no comparison with the baseline {baseline}; carry boards of one baseline"
            )
    return baseline


def _is_empty(source: Source) -> bool:
    if is_path(source):
        return os.path.exists(source) and os.path.getsize(source) == 0
    return isinstance(source, Sized) and len(source) == 0


def bridged_sheet(both: Bridged) -> Sheet:
    """The table of carried rates with the link, the plan and the changed ranks below; every column for files."""
    title = f"a board carried to a new judge · win rate over {both.baseline}"
    headings = ["model", "old", "both", f"new {100 * both.level:g} %", "by", "rank", "to judge"]
    rows = [_cells(row) for row in both.table.to_dict("records")]
    remarks = [*_judges(both), *_link(both), *_plan(both), *_flips(both)]
    part = Part(title, headings, rows, remarks, least=["to judge", "rank", "old"])
    return Sheet([part], both.table, both.to_json(), both.warnings)


def _cells(row: dict[Any, Any]) -> list[str]:
    before, after, to_judge = (_whole(row[name]) for name in ("old_rank", "rank", "to_judge"))
    carried = f"{row['win_rate']:.1f} ({row['win_rate_low']:.1f} to {row['win_rate_high']:.1f})"
    return [
        row["model"],
        "–" if math.isnan(row["old_win_rate"]) else f"{row['old_win_rate']:.1f}",
        f"{row['n_both']:,}",
        "–" if math.isnan(row["win_rate"]) else carried,
        row["how"],
        after if before == after else f"{before} → {after}",
        to_judge,
    ]


def _whole(value: Any) -> str:
    return "–" if plain(value) is None else f"{int(value):,}"


def _judges(both: Bridged) -> list[str]:
    new = both.annotator or "nothing judged yet"
    seen = "" if math.isnan(both.correlation) else f"; their verdicts correlate {both.correlation:.2f}"
    return [f"old judge: {both.old_annotator}", f"new judge: {new}{seen}"]


def _link(both: Bridged) -> list[str]:
    how = both.table["how"]
    if both.link is None:
        if not both.annotator or not (how == "not carried").any():
            return []
        return [
            f"no link between the judges: {both.no_link}. Judge {MIN_LABELS} instructions or more of each model by both"
        ]
    link = both.link
    lines = [
        f"link: logit(new) = {link.intercept:.2f} + {link.slope:.2f} · logit(old), slope {link.slope_low:.2f} to "
        f"{link.slope_high:.2f}, from {plural(link.n_models, 'model')}; a model left out is missed by "
        f"{100 * link.missed:.1f} points (root mean square)"
    ]
    if link.slope_low <= 0:
        lines.append("its slope may be 0: the old judge's rates may say nothing of the new judge's")
    return lines


def _plan(both: Bridged) -> list[str]:
    wanted = both.table[both.table["to_judge"].notna()]
    if wanted.empty:
        return [
            f"first judge {MIN_LABELS} random instructions or more (60 plan better) of every model with the new judge. "
            "annotate's --limit takes the first ones of a file, so shuffle it: shuf old.jsonl > shuffled.jsonl; "
            "simfarm annotate shuffled.jsonl --judge NEW --limit 60 -o new.jsonl"
        ]
    missing = (wanted["to_judge"] - wanted["n_both"]).clip(lower=0)
    lines = [
        "to judge: instructions of a model by both judges, for a rate within 2 points of what judging all of them anew "
        f"would give; {plural(int(missing.sum()), 'comparison is', 'comparisons are')} missing for that"
    ]
    if (both.table["how"] == "link").any():
        lines.append(
            f"link: carried by its old rate alone, since both judged fewer than {MIN_LABELS} instructions of it"
        )
    return lines


def _flips(both: Bridged) -> list[str]:
    if not both.n_pairs:
        return []
    lines = [f"{len(both.flips)} of {plural(both.n_pairs, 'pair')} of models change sides beyond noise"]
    for flip in both.flips[:_SHOWN]:
        (a, *_), (b, *_) = flip.under_a, flip.under_b
        lines.append(f"  {flip.first} − {flip.second}: {100 * a:+.1f} under the old, {100 * b:+.1f} under the new")
    if len(both.flips) > _SHOWN:
        lines.append(f"  and {len(both.flips) - _SHOWN} more (--json has all)")
    return lines
