"""Mean scores as people and machines read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simfarm.report.tables import Part, Sheet
from simfarm.text.words import plural

if TYPE_CHECKING:
    from simfarm.ranking.scores import ScoreBoard

__all__ = ["scores_sheet"]


def scores_sheet(board: ScoreBoard) -> Sheet:
    """A table with its remarks, every column, and the record for machines."""
    parts = [_part(board)] if len(board.table) else []
    return Sheet(parts, board.table, board.to_json(), board.warnings)


def _part(board: ScoreBoard) -> Part:
    percent = f"{100 * board.level:g} %"
    scale = "no scale known" if board.scale is None else f"scale {board.scale[0]:g} to {board.scale[1]:g}"
    rows = [
        [
            row["model"],
            f"{row['score']:.2f} {row['score_low']:.2f}–{row['score_high']:.2f}".replace("-", "−"),
            str(row["tier"]),
            f"{row['rank_low']}–{row['rank_high']}",
            str(row["n_total"]),
        ]
        for row in board.table.to_dict("records")
    ]
    headings = ["model", f"score {percent}", "tier", f"rank {percent}", "scores"]
    title = f"{board.annotator} · mean score · {scale} · {plural(board.n_clusters, 'instruction')}"
    return Part(title, headings, rows, board.notes, least=["scores", "tier"])
