"""A panel beside a board: the same judge's verdicts on other models, which tell `joint` what length is worth.

One model's verdicts cannot tell what its judge thinks of length from what it thinks of the model. Those of others on
the same instructions can, and such files are often at hand; their models stand on no board and in no count.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from simfarm.data.frames import Verdicts, together
from simfarm.errors import InputError
from simfarm.ranking.guard import watch as guard
from simfarm.ranking.units import Units, units_of
from simfarm.settings import spelled
from simfarm.text.words import plural

__all__ = ["joined_panel", "panel_table"]


def joined_panel(verdicts: Verdicts, panel: Verdicts) -> Verdicts:
    """The panel's verdicts on the instructions of `verdicts`, under their numbers (`cluster`).

    Raises `InputError` for several annotators, and where no instruction is shared.
    """
    names = panel.annotators()
    if len(names) > 1:
        raise InputError(
            f"{spelled('panel')} holds verdicts by {plural(len(names), 'annotator')} ({', '.join(names[:4])}); give a "
            "file of the one that judged the board"
        )
    both = together(verdicts, panel).table["cluster"].to_numpy()
    ours, theirs = both[: len(verdicts.table)], both[len(verdicts.table) :]
    number = np.full(int(both.max()) + 1, -1, dtype=np.int64)
    number[ours] = verdicts.table["cluster"].to_numpy()
    table = panel.table.assign(cluster=number[theirs])
    table = table[table["cluster"] >= 0]
    if table.empty:
        raise InputError(
            f"{spelled('panel')} shares no instruction with the board; annotate its models on the board's instructions"
        )
    return Verdicts(table, panel.flags)


def panel_table(panel: Verdicts, units: Units, *, allow_mixed: bool = False) -> tuple[pd.DataFrame, list[str]]:
    """(the panel's rows as in `Units.table`, warnings) beside one annotator's `units`; `panel` is from `joined_panel`.

    Left out are models of the board, those that won or lost everything (no finite effect), and flagged ones. Raises
    `InputError` for another judge or baseline, and where no model with verdicts and lengths is left.
    """
    where, [annotator] = spelled("panel"), panel.annotators()
    if annotator != units.annotator:
        raise InputError(
            f"{where} was judged by {annotator!r}, the board by {units.annotator!r}; annotate its "
            "models with that judge"
        )
    rows = panel.table
    if not ((rows["generator_1"] == units.baseline) | (rows["generator_2"] == units.baseline)).any():
        raise InputError(
            f"{where} compares no model with the baseline {units.baseline}; annotate its models against that one"
        )
    theirs = units_of(rows, annotator, units.baseline, allow_mixed=allow_mixed)
    if theirs.judge_hash != units.judge_hash and not allow_mixed:
        raise InputError(
            f"{where} has the judge hash {theirs.judge_hash!r}, the board {units.judge_hash!r}; annotate its models "
            f"with the board's judge, or give {spelled('mix_judges')}"
        )
    others = theirs.table[~theirs.table["model"].isin([*units.table["model"].unique(), units.baseline])]
    if others.empty:
        raise InputError(f"{where} has no model that is not on the board already; give verdicts on other models")
    told = others[others["p"].notna()]
    if told.empty:
        raise InputError(f"{where} has no verdict on another model; run annotate again to ask for the missing ones")
    told = told[(told["length"] - told["length_baseline"]).notna()]
    if told.empty:
        raise InputError(f"{where} has neither outputs nor length_1 and length_2; give a file with one of them")
    flagged = {m for m, flags in panel.flags.items() if any(flag in guard.MEANINGS for flag in flags)}
    middling = told.groupby("model", observed=True)["p"].agg(lambda p: not ((p == 0).all() or (p == 1).all()))
    used = told[told["model"].isin(set(middling.index[middling]) - flagged)]
    if used.empty:
        raise InputError(f"the models of {where} won or lost everything, or are flagged; give verdicts on others")
    warnings = []
    if out := sorted(flagged & {str(m) for m in told["model"].unique()}):
        warnings.append(f"left out of the panel, flagged: {', '.join(out)}")
    n_shared, n_own = used["cluster"].nunique(), units.table["cluster"].nunique()
    if 2 * n_shared < n_own:
        warnings.append(
            f"the panel was judged on {n_shared} of the board's {plural(n_own, 'instruction')}: length is held equal "
            "by what it says of these; annotate its models on the others too"
        )
    return used, warnings
