"""Boards that grow: a table, the slim annotations behind it, and a manifest of what made them.

The annotations are kept because a length-controlled rate depends on the panel: a model that joins is ranked together
with all before it, not pasted in beside them. Texts are not kept; the guard's flags are, since they need texts.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from simfarm.backends.http.about import PROVIDER, About, known_about
from simfarm.backends.http.retirements import named
from simfarm.data.files import check_writable
from simfarm.data.writing import replacing, telling, write_text
from simfarm.errors import InputError
from simfarm.ranking.board import UNCHECKED
from simfarm.report.files import csv_text
from simfarm.runs.annotation import same_model
from simfarm.text.masking import masked
from simfarm.version import __version__

if TYPE_CHECKING:
    from simfarm.ranking import Board

__all__ = ["join_kept", "judge_models", "keep", "kept_table", "slim"]

_SLIM = (
    "instruction_id", "dataset", "category", "generator_1", "generator_2", "length_1", "length_2", "annotator",
    "preference", "status", "order", "repeat", "judge_hash",
)  # fmt: skip


def slim(frame: pd.DataFrame) -> pd.DataFrame:
    """Annotations without texts. The instruction's SHA-256 stands for it where the text is known, so that files which
    number their instructions differently still meet; else its `instruction_id` does."""
    made = frame[[c for c in _SLIM if c in frame]].copy()
    if "instruction_sha256" in frame and frame["instruction_sha256"].notna().all():
        made["instruction_id"] = frame["instruction_sha256"].str[:16]
    elif "instruction_id" not in frame or frame["instruction_id"].isna().any():
        raise InputError("a board keeps no texts and needs 'instruction' or 'instruction_id' in every row; add one")
    made["instruction_id"] = made["instruction_id"].astype(str)
    return made


def _paths(target: Path) -> tuple[Path, Path, Path]:
    """(table, annotations, manifest) of a board named with or without its `.csv`."""
    stem = target.with_suffix("") if target.suffix == ".csv" else target
    return tuple(stem.with_name(stem.name + suffix) for suffix in (".csv", ".parquet", ".json"))  # type: ignore[return-value]


def kept_table(target: Path) -> Path:
    """The CSV file of a board named with or without its `.csv`."""
    return _paths(target)[0]


def _manifest(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text("utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: the board's manifest cannot be read ({error}); make the board anew") from error
    if not isinstance(read, dict) or not {"annotator", "judge_hash", "baseline", "flags", "inputs"} <= set(read):
        raise InputError(f"{path}: is no manifest of a board; choose another name for --add-to")
    try:
        for model in read.get("models", {}).values():
            date.fromisoformat(model.get("shutdown", "2027-01-14"))
            model.get("learnt", "").startswith(PROVIDER)
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{path}: the dates of its models cannot be read; make the board anew") from error
    return read


def _judge(frame: pd.DataFrame) -> tuple[str, str]:
    """(annotator, judge hash) of rows that are all one judge's."""
    annotators = sorted(frame["annotator"].unique())
    hashes = ["unknown"]
    if "judge_hash" in frame:
        # as objects: a column of categories takes no word that is none of them
        hashes = sorted(frame["judge_hash"].astype(object).fillna("unknown").unique())
    if len(annotators) != 1 or len(hashes) != 1:
        raise InputError(
            f"--add-to keeps one judge a board; these rows are by {', '.join(annotators)} (judge hashes: {len(hashes)})"
        )
    return annotators[0], hashes[0]


def join_kept(target: Path, frame: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """The new annotations, slim, together with those the board already holds; a model that comes again replaces itself.

    Raises `InputError` for another judge or baseline, instructions of another set, or a target that cannot be written.
    """
    table, annotations, manifest = _paths(target)
    check_writable(table)
    annotator, judge_hash = _judge(frame)
    new = slim(frame)
    if not manifest.exists():
        if table.exists() or annotations.exists():
            raise InputError(f"{table}: exists and is no board of ours; choose another name for --add-to")
        return new
    known = _manifest(manifest)
    for what, ours in (("annotator", annotator), ("judge_hash", judge_hash), ("baseline", baseline)):
        if known[what] != ours:
            names = ", ".join(known.get("models", {})) if what == "judge_hash" else ""
            asked = f" (that judge asked {names})" if names else ""
            raise InputError(
                f"{table}: was made with the {what} {known[what]!r}{asked}, the new verdicts with {ours!r}; "
                "boards of two judges are not mixed, start another with --add-to"
            )
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


def judge_models(frame: pd.DataFrame, asked: Mapping[str, About]) -> dict[str, dict[str, str]]:
    """The models that gave these verdicts, as a manifest names them: when each is shut down, what replaces it and who
    says so, as far as that is known. `asked` has what this run knows of the model that it asked; of others, and of
    those in files, the table knows."""
    answered = [str(name) for name in frame["model"].dropna().unique()] if "model" in frame else []
    made = {}
    for name in sorted({*answered, *asked}):
        known = next((about for model, about in asked.items() if same_model(model, name)), None)
        about = known or known_about(None, named(name)) or About()
        learnt = f"{PROVIDER} on {_today()}" if about.learnt == PROVIDER else about.learnt
        told = {"shutdown": about.shutdown and str(about.shutdown), "replacement": about.replacement, "learnt": learnt}
        made[name] = {key: value for key, value in told.items() if value}
    return made


def _merged(known: dict[str, dict[str, str]], new: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """A board's models with those of new verdicts; what a provider said stands until a provider says something else."""
    heard = {name for name, told in known.items() if told.get("learnt", "").startswith(PROVIDER)}
    fresh = {name for name, told in new.items() if told.get("learnt", "").startswith(PROVIDER)}
    return known | {name: told for name, told in new.items() if name in fresh or name not in heard}


def _ends(models: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What a reader must know of the ends of a board's models, the first of those that end on one day."""
    told: dict[str, str] = {}
    for name, known in models.items():
        if "shutdown" in known:
            about = About(date.fromisoformat(known["shutdown"]), known.get("replacement"), learnt=known.get("learnt"))
            told.setdefault(known["shutdown"], about.warning(name, _today()) or "")
    return list(told.values())


def keep(
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
    known = _manifest(manifest) if manifest.exists() else {"flags": {}, "inputs": {}}
    raised = {**known["flags"], **flags}
    column = board.table["model"].map(raised).fillna("not checked")
    notes = [note for note in board.notes if note != UNCHECKED]
    unchecked = board.table["model"][column == "not checked"].tolist()
    if unchecked:
        notes.append(f"joined without texts: {', '.join(unchecked)}; whether their outputs cheat was not checked")
    # without texts the guard of the joined board cannot warn: what was found while they were there is told again
    flagged = [(model, raised[model]) for model in board.table["model"] if raised.get(model)]
    models = _merged(known.get("models", {}), models)
    board = replace(
        board,
        table=board.table.assign(flags=column),
        notes=tuple(notes),
        warnings=(
            *board.warnings,
            *(f"{model} was flagged when its texts were read: {f}" for model, f in flagged),
            *_ends(models),
        ),
    )
    hashes = board.table["judge_hash"].unique()
    told = {
        "schema": 1,
        "simfarm": __version__,
        "made": _today().isoformat(),
        # a manifest is published with its board
        "command": shlex.join(["simfarm", *map(masked, sys.argv[1:])]),
        "annotator": board.annotator,
        "judge_hash": str(hashes[0]) if len(hashes) else "unknown",
        "models": models,
        "baseline": board.baseline,
        "panel_size": board.panel_size,
        "panel_hash": board.panel_hash,
        "inputs": {**known["inputs"], **{Path(name).name: _digest(name) for name in inputs if Path(name).is_file()}},
        "flags": raised,
    }
    order = joined.assign(order=joined["order"].astype("string")) if "order" in joined else joined
    with replacing(str(annotations)) as temporary, telling(str(annotations)):
        order.to_parquet(temporary, index=False, compression="zstd")
    write_text(table, csv_text(board.table))
    write_text(manifest, json.dumps(told, ensure_ascii=False, indent=1) + "\n")
    return board


def _today() -> date:
    return datetime.now(UTC).date()


def _digest(name: str) -> str:
    return hashlib.sha256(Path(name).read_bytes()).hexdigest()


def flags_of(board: Board) -> dict[str, str]:
    """The flags of models whose texts were checked."""
    checked = board.table[~np.isin(board.table["flags"], ["not checked"])]
    return dict(zip(checked["model"], checked["flags"], strict=True))
