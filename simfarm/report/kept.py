"""Boards that grow: a table, the slim annotations behind it, and a manifest of what made them.

The annotations are kept because a length-controlled rate depends on the panel: a model that joins is ranked together
with all before it, not pasted in beside them. Texts are not kept; the guard's flags are, since they need texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from simfarm.data.evidence import KEPT_DIGITS
from simfarm.data.files import check_writable
from simfarm.data.frames import Verdicts, frame_verdicts
from simfarm.data.writing import replacing, telling, write_text
from simfarm.errors import InputError
from simfarm.ranking.remarks import UNCHECKED
from simfarm.report.evaluation import ranked_boards
from simfarm.report.files import csv_text
from simfarm.report.manifest import board_manifest, ends, judge_models, merged_models, read_manifest
from simfarm.report.ranked import RankedBoard, placed
from simfarm.text.words import plural

if TYPE_CHECKING:
    from simfarm.backends.http.about import About
    from simfarm.ranking import Board
    from simfarm.report.evaluation import Evaluation
    from simfarm.report.ranking import RankingOptions

__all__ = ["check_kept", "join_kept", "keep", "slim"]

_SLIM = (
    "instruction_id", "dataset", "category", "generator_1", "generator_2", "length_1", "length_2", "annotator",
    "preference", "status", "order", "repeat", "judge_hash", "judge_order",
)  # fmt: skip


def slim(verdicts: Verdicts) -> pd.DataFrame:
    """Annotations without texts. The instruction's SHA-256 stands for it where the text is known, so that files which
    number their instructions differently still meet; else its `instruction_id` does."""
    frame = verdicts.table
    rows = frame[[c for c in _SLIM if c in frame]].copy()
    if "instruction_sha256" in frame and frame["instruction_sha256"].notna().all():
        rows["instruction_id"] = frame["instruction_sha256"].str[:KEPT_DIGITS]
    elif "instruction_id" not in frame or frame["instruction_id"].isna().any():
        raise InputError("a board keeps no texts and needs 'instruction' or 'instruction_id' in every row; add one")
    rows["instruction_id"] = rows["instruction_id"].astype(str)
    return rows


def _paths(target: Path) -> tuple[Path, Path, Path]:
    """(table, annotations, manifest) of a board named with or without its `.csv`."""
    stem = target.with_suffix("") if target.suffix == ".csv" else target
    return tuple(stem.with_name(stem.name + suffix) for suffix in (".csv", ".parquet", ".json"))  # type: ignore[return-value]


def check_kept(target: Path) -> None:
    """Raise `InputError` for a board that cannot be written."""
    check_writable(_paths(target)[0])


def _judge(verdicts: Verdicts) -> tuple[str, str]:
    """(annotator, judge hash) of verdicts that are all one judge's."""
    annotators = sorted(verdicts.annotators())
    hashes = sorted(verdicts.table["judge_hash"].unique())
    if len(annotators) != 1 or len(hashes) != 1:
        raise InputError(
            f"--add-to keeps one judge a board; these rows are by {', '.join(annotators)} (judge hashes: {len(hashes)})"
        )
    return annotators[0], hashes[0]


def join_kept(target: Path, verdicts: Verdicts, boards: Sequence[RankedBoard]) -> pd.DataFrame:
    """The new annotations, slim, together with those the board already holds; a model that comes again replaces itself.
    `boards` are what the new ones alone come to.

    Raises `InputError` for several judges, another judge or baseline, instructions of another set, or a target that
    cannot be written.
    """
    if len(boards) != 1:
        raise InputError(
            f"--add-to keeps one judge a board; the files hold {plural(len(boards), 'annotator')}, give one at a time"
        )
    baseline = boards[0].board.baseline
    table, annotations, manifest = _paths(target)
    check_writable(table)
    annotator, judge_hash = _judge(verdicts)
    new = slim(verdicts)
    if not manifest.exists():
        if table.exists() or annotations.exists():
            raise InputError(f"{table}: exists and is no board of ours; choose another name for --add-to")
        return new
    _require_same_board(table, read_manifest(manifest), annotator=annotator, judge_hash=judge_hash, baseline=baseline)
    try:
        old = pd.read_parquet(annotations)
    except (OSError, ValueError) as error:
        raise InputError(f"{annotations}: the board's annotations cannot be read; make the board anew") from error
    if not set(old["instruction_id"]) & set(new["instruction_id"]):
        raise InputError(
            f"{table}: shares no instruction with the new verdicts; a board is over one set of instructions"
        )
    models = set(new["generator_1"]) | set(new["generator_2"])
    stays = ~(old["generator_1"].isin(models - {baseline}) | old["generator_2"].isin(models - {baseline}))
    return pd.concat([old[stays], new], ignore_index=True)


def _require_same_board(table: Path, known: Mapping[str, Any], **new: str) -> None:
    """Raise `InputError` where the kept board is another judge's, or over another baseline."""
    for what, ours in new.items():
        if known[what] != ours:
            names = ", ".join(known.get("models", {})) if what == "judge_hash" else ""
            asked = f" (that judge asked {names})" if names else ""
            raise InputError(
                f"{table}: was made with the {what} {known[what]!r}{asked}, the new verdicts with {ours!r}; "
                "boards of two judges are not mixed, start another with --add-to"
            )


def keep(
    evaluation: Evaluation,
    verdicts: Verdicts,
    options: RankingOptions,
    inputs: Sequence[str],
    asked: Mapping[str, About],
) -> Evaluation:
    """The evaluation of the kept board with these verdicts in it, ranked anew as one panel; its files are
    written. `inputs` are the files that were read, `asked` has what is known of the model that this run asked."""
    assert options.add_to is not None
    joined = join_kept(options.add_to, verdicts, evaluation.boards)
    (new,) = evaluation.boards
    (whole,) = ranked_boards(frame_verdicts(joined, str(options.add_to)), new.board.baseline, options)
    board = _written(
        options.add_to, joined, whole, _flags(new.board), inputs, models=judge_models(verdicts.table, asked)
    )
    return replace(evaluation, boards=(placed(RankedBoard(board), options.board),))


def _written(
    target: Path,
    joined: pd.DataFrame,
    board: Board,
    flags: dict[str, str],
    inputs: Sequence[str],
    *,
    models: dict[str, dict[str, str]],
) -> Board:
    """Write the board's three files; gives it back with the flags that were found while the texts were there, and a
    warning where a model that judged it (`models`, as `judge_models` gives them) is known to end."""
    table, annotations, manifest = _paths(target)
    known = read_manifest(manifest) if manifest.exists() else {"flags": {}, "inputs": {}}
    raised = {**known["flags"], **flags}
    models = merged_models(known.get("models", {}), models)
    board = _with_flags(board, raised, ends(models))
    record = board_manifest(board, known, models, raised, inputs)
    order = joined.assign(order=joined["order"].astype("string")) if "order" in joined else joined
    with replacing(str(annotations)) as temporary, telling(str(annotations)):
        order.to_parquet(temporary, index=False, compression="zstd")
    write_text(table, csv_text(board.table))
    write_text(manifest, json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    return board


def _with_flags(board: Board, raised: Mapping[str, str], more: Sequence[str]) -> Board:
    """The board with the flags of each model's texts, what they mean among its warnings, then `more` of them."""
    column = board.table["model"].map(raised).astype(object).fillna("not checked")
    notes = [note for note in board.notes if note != UNCHECKED]
    unchecked = board.table["model"][column == "not checked"].tolist()
    if unchecked:
        notes.append(f"joined without texts: {', '.join(unchecked)}; whether their outputs cheat was not checked")
    # without texts the guard of the joined board cannot warn: what was found while they were there is told again
    flagged = [(model, raised[model]) for model in board.table["model"] if raised.get(model)]
    again = (f"{model} was flagged when its texts were read: {flags}" for model, flags in flagged)
    return replace(
        board,
        table=board.table.assign(flags=column),
        notes=tuple(notes),
        warnings=(*board.warnings, *again, *more),
    )


def _flags(board: Board) -> dict[str, str]:
    """The flags of models whose texts were checked."""
    checked = board.table[~np.isin(board.table["flags"], ["not checked"])]
    return dict(zip(checked["model"], checked["flags"], strict=True))
