"""What made a kept board: the manifest that is published with it, and the models that judged it with their ends."""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfarm.backends.http.about import PROVIDER, About, known_about
from simfarm.backends.http.retirements import named
from simfarm.errors import InputError
from simfarm.runs.run import same_model
from simfarm.text.masking import masked
from simfarm.version import __version__

if TYPE_CHECKING:
    import pandas as pd

    from simfarm.ranking import Board

__all__ = ["board_manifest", "ends", "judge_models", "merged_models", "read_manifest"]


def read_manifest(path: Path) -> dict[str, Any]:
    """A board's manifest; raises `InputError` for a file that is none."""
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


def board_manifest(
    board: Board, known: Mapping[str, Any], models: Mapping[str, Any], flags: Mapping[str, str], inputs: Sequence[str]
) -> dict[str, Any]:
    """What made `board`: the command, judge, models, baseline, panel, and every file that went into it with its hash;
    `known` is the manifest that it had."""
    hashes = board.table["judge_hash"].unique()
    return {
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
        "flags": flags,
    }


def judge_models(frame: pd.DataFrame, asked: Mapping[str, About]) -> dict[str, dict[str, str]]:
    """The models that gave these verdicts, as a manifest names them: when each is shut down, what replaces it and who
    says so, as far as that is known. `asked` has what this run knows of the model that it asked; of others, and of
    those in files, the table knows."""
    answered = [str(name) for name in frame["model"].dropna().unique()] if "model" in frame else []
    models = {}
    for name in sorted({*answered, *asked}):
        known = next((about for model, about in asked.items() if same_model(model, name)), None)
        about = known or known_about(None, named(name)) or About()
        learnt = f"{PROVIDER} on {_today()}" if about.learnt == PROVIDER else about.learnt
        facts = {"shutdown": about.shutdown and str(about.shutdown), "replacement": about.replacement, "learnt": learnt}
        models[name] = {key: value for key, value in facts.items() if value}
    return models


def merged_models(known: dict[str, dict[str, str]], new: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """A board's models with those of new verdicts; what a provider said stands until a provider says something else."""
    heard = {name for name, facts in known.items() if facts.get("learnt", "").startswith(PROVIDER)}
    fresh = {name for name, facts in new.items() if facts.get("learnt", "").startswith(PROVIDER)}
    return known | {name: facts for name, facts in new.items() if name in fresh or name not in heard}


def ends(models: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What a reader must know of the ends of a board's models, the first of those that end on one day."""
    facts: dict[str, str] = {}
    for name, known in models.items():
        if "shutdown" in known:
            about = About(date.fromisoformat(known["shutdown"]), known.get("replacement"), learnt=known.get("learnt"))
            facts.setdefault(known["shutdown"], about.warning(name, _today()) or "")
    return list(facts.values())


def _today() -> date:
    return datetime.now(UTC).date()


def _digest(name: str) -> str:
    return hashlib.sha256(Path(name).read_bytes()).hexdigest()
