"""AlpacaEval 2's published length-controlled win rate (`alpaca-eval-2`), for parity, on its own 805 instructions.

    logit P(model preferred) = b₀·[not a gamed row] + b₁·tanh((len_baseline − len_model)/sd) + b₂·difficulty

fitted on a model's rows (weight 1) and the rows of two gamed baselines (weight 0.2/2 each); the result is the mean of
σ(b₀ + b₂·difficulty). Upstream fits it by cross-validated L1; three parameters against 2,415 rows need no penalty, and
Newton lands within 0.12 points of every published number in a thousandth of the time. Dubois et al. (2024),
arXiv:2404.04475.

Difficulty belongs to a *position* among the 805. simfarm ships the SHA-256 of each stripped instruction in that order
and joins through it; upstream joined on row position, so its numbers for models with dropped rows are off.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from simfarm.data.evidence import KEPT_DIGITS
from simfarm.errors import InputError
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.length_control import length_feature

__all__ = ["LengthControlData", "fit", "load_data", "positions", "recognised"]

N_INSTRUCTIONS = 805
GAMED_WEIGHT = 0.2 / 2
_DATASETS = {"helpful_base", "koala", "oasst", "selfinstruct", "vicuna"}
_FILES = ("df_gamed.csv", "instruction_difficulty.csv")
_REPOSITORY = "tatsu-lab/alpaca_eval"
_REMEDY = "use --length-control joint, which works on any instructions"


@dataclass(frozen=True)
class LengthControlData:
    """The two published files: difficulty (805,), and the gamed rows' position, length feature and preference."""

    difficulty: Array
    gamed_position: NDArray[np.int64]
    gamed_x: Array
    gamed_p: Array


def load_data(folder: Path | None) -> LengthControlData:
    """Read df_gamed.csv and instruction_difficulty.csv from `folder`, or from the hub where it is None."""
    gamed, difficulty = (pd.read_csv(_find(folder, name)) for name in _FILES)
    try:
        by_position = difficulty.set_index("index")["instruction_difficulty"].reindex(range(N_INSTRUCTIONS))
        data = LengthControlData(
            difficulty=by_position.to_numpy(dtype=np.float64),
            gamed_position=gamed["index"].to_numpy(dtype=np.int64),
            gamed_x=np.tanh(gamed["std_delta_len"].to_numpy(dtype=np.float64)),
            gamed_p=gamed["preference"].to_numpy(dtype=np.float64),
        )
    except KeyError as error:
        raise InputError(f"the length-control files lack the column {error}; take them from {_REPOSITORY}") from error
    if np.isnan(data.difficulty).any():
        raise InputError(f"instruction_difficulty.csv must have all {N_INSTRUCTIONS} rows; take it from {_REPOSITORY}")
    return data


def _find(folder: Path | None, name: str) -> Path:
    if folder is not None:
        path = Path(folder) / name
        if not path.is_file():
            raise InputError(f"{path}: no such file; --lc-data needs {' and '.join(_FILES)} from {_REPOSITORY}")
        return path
    if importlib.util.find_spec("huggingface_hub") is None:
        raise InputError(
            f"alpaca-eval-2 needs {' and '.join(_FILES)}: give their folder with --lc-data DIR, "
            "or install the hub extra (pip install 'simfarm[hub]'), or use --length-control joint"
        )
    # All its errors for a missing network, file or permission are OSErrors.
    from huggingface_hub import hf_hub_download  # type: ignore[import-not-found, unused-ignore]

    try:
        return Path(hf_hub_download(_REPOSITORY, name, repo_type="dataset"))
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot fetch {name} from the hub ({reason}); give it with --lc-data DIR") from error


def positions(table: pd.DataFrame) -> NDArray[np.int64]:
    """Position (0 to 804) of each row's instruction among AlpacaEval's 805.

    By the hash of its text; in a slim file, which has none, `instruction_id` is the position, or, as kept boards have
    it, the beginning of that hash. Raises `InputError` where an instruction is not one of them.
    """
    if "instruction_sha256" in table and table["instruction_sha256"].notna().all():
        result = _places(table["instruction_sha256"], 64)
    else:
        result = _slim_positions(table)
    strangers = int((result < 0).sum())
    if strangers:
        raise InputError(f"{strangers} of {len(table)} comparisons are not on AlpacaEval's 805 instructions; {_REMEDY}")
    return result


def recognised(table: pd.DataFrame) -> bool:
    """Whether all instructions are AlpacaEval's: by the hashes of their texts, which kept boards have as ids; slim rows
    with numbers for ids must name AlpacaEval's datasets, for any file may count from 0."""
    if "instruction_sha256" in table and table["instruction_sha256"].notna().all():
        return bool((_places(table["instruction_sha256"], 64) >= 0).all())
    if "instruction_id" not in table:
        return False
    if (_places(table["instruction_id"], KEPT_DIGITS) >= 0).all():
        return True
    return "dataset" in table and bool(table["dataset"].isin(_DATASETS).all() and (_slim_positions(table) >= 0).all())


def _places(digests: pd.Series[Any], digits: int) -> NDArray[np.int64]:
    """The positions of instructions by the first `digits` of their hashes; -1 for a stranger."""
    shipped = files("simfarm.ranking").joinpath("alpaca_eval_instructions.sha256").read_text("ascii").split()
    place = {digest[:digits]: i for i, digest in enumerate(shipped)}
    codes, each = pd.factorize(digests)
    return np.array([*(place.get(digest, -1) for digest in each), -1], dtype=np.int64)[codes]


def _slim_positions(table: pd.DataFrame) -> NDArray[np.int64]:
    if "instruction_id" not in table:
        raise InputError(f"alpaca-eval-2 cannot tell which instruction a row is about; {_REMEDY}")
    identifiers = pd.to_numeric(table["instruction_id"], errors="coerce")
    known = (identifiers >= 0) & (identifiers < N_INSTRUCTIONS) & (identifiers % 1 == 0)
    if "dataset" in table:
        known &= table["dataset"].isna() | table["dataset"].isin(_DATASETS)
    numbered = np.where(known, identifiers.fillna(-1), -1).astype(np.int64)
    return np.maximum(numbered, _places(table["instruction_id"], KEPT_DIGITS))


def fit(
    p: Array, delta: Array, position: NDArray[np.int64], clusters: NDArray[np.int64], data: LengthControlData
) -> Estimate:
    """Length-controlled win rate of one model, as a fraction.

    `p`, `delta` (len_baseline − len_model, characters), `position` and `clusters` have one entry per instruction, each
    with a verdict; p must not be all 0 or all 1. A gamed row belongs to the cluster of its instruction, which is what
    makes the sandwich right: other instructions would have brought other gamed rows.
    """
    x = length_feature(delta[:, None])[:, 0]
    difficulty = data.difficulty[position]
    own = np.column_stack([np.ones(len(p)), x, difficulty])
    n_gamed = len(data.gamed_p)
    gamed = np.column_stack([np.zeros(n_gamed), data.gamed_x, data.difficulty[data.gamed_position]])
    design = np.vstack([own, gamed])
    target = np.concatenate([p, data.gamed_p])
    weight = np.concatenate([np.ones(len(p)), np.full(n_gamed, GAMED_WEIGHT)])
    coefficients = _newton(design, target, weight)
    mu = expit(design @ coefficients)
    information = (design * (weight * mu * (1 - mu))[:, None]).T @ design
    scores = design * (weight * (target - mu))[:, None]
    row_of = np.full(N_INSTRUCTIONS, -1)
    row_of[position] = np.arange(len(p))
    own_scores = scores[: len(p)].copy()
    row = row_of[data.gamed_position]
    np.add.at(own_scores, row[row >= 0], scores[len(p) :][row >= 0])
    rates = expit(coefficients[0] + coefficients[2] * difficulty)
    slope = rates * (1 - rates)
    gradient = np.array([slope.mean(), 0.0, (slope * difficulty).mean()])
    influence = (rates - rates.mean()) + len(p) * own_scores @ np.linalg.solve(information, gradient)
    order = np.argsort(clusters)
    return Estimate(float(rates.mean()), (influence - influence.mean())[order], clusters[order])


def _newton(design: Array, target: Array, weight: Array) -> Array:
    """Weighted quasi-binomial maximum likelihood, step halved where it would lose."""

    def loglik(b: Array) -> float:
        eta = design @ b
        return float((weight * (target * eta - np.logaddexp(0, eta))).sum())

    coefficients = np.zeros(design.shape[1])
    current = loglik(coefficients)
    for _ in range(100):
        mu = expit(design @ coefficients)
        gradient = design.T @ (weight * (target - mu))
        information = (design * (weight * mu * (1 - mu))[:, None]).T @ design
        step = np.linalg.lstsq(information, gradient, rcond=None)[0]
        for _ in range(30):
            after = loglik(coefficients + step)
            if after >= current - 1e-12 * abs(current):
                break
            step = step / 2
        coefficients, current = coefficients + step, after
        if np.abs(step).max() < 1e-10:
            break
    return coefficients
