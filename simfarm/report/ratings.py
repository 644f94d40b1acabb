"""Ratings as people and machines read them: Bradley-Terry on the Elo scale, or the weights of a lottery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simfarm.judges.rules import banners
from simfarm.ranking.table import records
from simfarm.report.rates import estimate_json, slope_columns, slope_lines
from simfarm.report.tables import Part, Sheet
from simfarm.text.words import plural

if TYPE_CHECKING:
    from simfarm.ranking import Ratings

__all__ = ["ratings_sheet"]


def ratings_sheet(ratings: Ratings) -> Sheet:
    """A table with its remarks, every column, and the record for machines."""
    slopes = slope_columns(ratings.slopes, ratings.level)
    # an annotator that could not be rated has no table, only the warning that says why
    parts = [_part(ratings)] if len(ratings.table) else []
    return Sheet(parts, ratings.table.assign(**slopes), _record(ratings), ratings.warnings)


def _part(ratings: Ratings) -> Part:
    controlled = "rating_raw" in ratings.table
    elo = ratings.rank == "bradley-terry"
    percent = f"{100 * ratings.level:g} %"
    headings = ["model", f"rating {percent}" if elo else "weight", *(["raw"] if controlled else [])]
    headings += [] if ratings.tau is None else [f"τ {ratings.tau:g}"]
    rows = []
    for row in ratings.table.to_dict("records"):
        low, high = (f"{row[end]:.0f}".replace("-", "−").replace("inf", "∞") for end in ("rating_low", "rating_high"))
        rating = f"{row['rating']:.0f} {low:>4}–{high}" if elo else f"{row['rating']:.3f}"
        raw = [f"{row['rating_raw']:.0f}"] if controlled else []
        raw += [] if ratings.tau is None else [f"{row['regularised_weight']:.3f}"]
        rank = f"{row['rank_low']}–{row['rank_high']}"
        rows.append([row["model"], rating, *raw, str(row["tier"]), rank, str(row["n_total"])])
    by = "rating" if elo else "weight"
    title = f"{ratings.annotator} · {ratings.rank} · {plural(ratings.n_clusters, 'instruction')} · sorted by {by}"
    confessions = banners(ratings.annotator, ratings.table["judge_hash"].dropna().astype(str))
    remarks = [*confessions, *slope_lines(ratings.slopes, ratings.level), *ratings.notes]
    headings = [*headings, "tier", f"rank {percent}", "comparisons"]
    return Part(title, headings, rows, remarks, least=["comparisons", "tier", "raw"])


def _record(ratings: Ratings) -> dict[str, Any]:
    return {
        "annotator": ratings.annotator,
        "rank": ratings.rank,
        "level": ratings.level,
        "models": records(ratings.table),
        "lottery": ratings.lottery,
        "tau": ratings.tau,
        "slopes": {name: estimate_json(slope, ratings.level) for name, slope in ratings.slopes.items()},
        "warnings": list(ratings.warnings),
        "remarks": list(ratings.notes),
    }
