"""Annotation files as partitions to rank: every instruction in one file, its calls averaged, whatever held it before.

simfarm's own parts follow the input, so an instruction's comparisons lie in as many parts as there are models. They are
dealt out by instruction first; then a group is averaged as `units` does, with one group in memory at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd

from simfarm.data.evidence import READ
from simfarm.data.frames import Verdicts, read_verdicts, together
from simfarm.data.reading import iter_columns
from simfarm.errors import InputError
from simfarm.ranking.units import averaged, both_wanted, judge_hash_of, orders_asked

__all__ = ["regrouped"]


def regrouped(files: Sequence[str], folder: Path, groups: int = 16) -> list[str]:
    """Parquet files in `folder` with model_1, model_2, p and cluster, from annotation files of one judge.

    Raises `InputError` for wrong annotations, two annotators or two judges, and where nothing has a verdict.
    """
    dealt: list[list[Path]] = [[] for _ in range(groups)]
    for number, file in enumerate(files):
        verdicts = read_verdicts([(file, iter_columns(file, READ - {"messages"}))])
        if verdicts is None:
            raise InputError(f"{file}: has no verdicts and no columns model_1, model_2, p, cluster")
        table = verdicts.table.assign(cluster_of=_keys(verdicts.table, file))
        group = table["cluster_of"].map(lambda key: crc32(key.encode()) % groups)
        for k, part in table.groupby(group):
            dealt[int(k)].append(folder / f"dealt-{k}-{number}.parquet")
            part.to_parquet(dealt[int(k)][-1])
    ranked_files, judges, asked = [], set(), []
    for parts in filter(None, dealt):
        data = _group(parts)
        judges |= {(str(n), judge_hash_of(part, str(n), False)) for n, part in data.groupby("annotator", observed=True)}
        if len(judges) > 1:
            raise InputError(f"the files hold {len(judges)} judges ({sorted(judges)[:4]}); rank the parts of one")
        asked.append(orders_asked(data))
    wanted = both_wanted(asked)  # told by all groups: one alone may hold only what was asked twice
    for k, parts in enumerate(dealt):
        if parts:
            head, p, _ = averaged(_group(parts), wanted)
            # as text: columns of categories with other categories cannot be compared
            models = {f"model_{side}": head[f"generator_{side}"].astype(str) for side in ("1", "2")}
            ranked = pd.DataFrame(models | {"p": p})
            ranked["cluster"] = head["cluster_of"]
            ranked = ranked[~np.isnan(p) & (ranked["model_1"] != ranked["model_2"]).to_numpy()]
            if len(ranked):
                ranked_files.append(str(folder / f"group-{k}.parquet"))
                ranked.to_parquet(ranked_files[-1])
    if not ranked_files:
        raise InputError("the files hold no verdict; there is nothing to rank")
    return ranked_files


def _group(parts: Sequence[Path]) -> pd.DataFrame:
    """The rows of one group's instructions, under one numbering."""
    return together(*(Verdicts(pd.read_parquet(part)) for part in parts)).table


def _keys(table: pd.DataFrame, file: str) -> pd.Series[str]:
    """What tells instructions apart in all files: the id (with its dataset), else the text's digest."""
    if "instruction_id" in table and table["instruction_id"].notna().all():
        ids = table["instruction_id"].astype(str)
        return ids + " " + table["dataset"].astype(object).fillna("").astype(str) if "dataset" in table else ids
    if "instruction_sha256" in table and table["instruction_sha256"].notna().all():
        return table["instruction_sha256"].astype(str)
    raise InputError(f"{file}: has neither instruction_id nor instruction in every row; add one")
