"""A panel beside a board: the same judge's verdicts on other models, which tell `joint` what length is worth.

One model's verdicts cannot tell what its judge thinks of length from what it thinks of the model. Those of others on
the same instructions can, and such files are often at hand; their models stand on no board and in no count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from simfarm.data.frames import Verdicts, together
from simfarm.errors import InputError
from simfarm.ranking.each import each_or_else
from simfarm.ranking.guard import watch as guard
from simfarm.ranking.units import Units, units_of
from simfarm.settings import spelled
from simfarm.text.words import named, plural

__all__ = ["Panel", "panels"]

Panel = tuple[pd.DataFrame | None, list[str]]
"""(the rows of a panel's models as in `Units.table`, None where it cannot be used; what is to be said of it)."""


def panels(verdicts: Verdicts, panel: Verdicts, units: Sequence[Units], *, allow_mixed: bool = False) -> list[Panel]:
    """What the panel says beside the `units` of each annotator of `verdicts`: the rows by the same one, who has a
    warning where they are of no use. Raises `InputError` where they are of use to nobody."""
    joined = _joined(verdicts, panel)
    return each_or_else(
        ((one.annotator, one) for one in units),
        lambda _, one: _table(joined, one, allow_mixed),
        lambda name, _, why: (None, [f"the panel is not used for {name}: {why}"]),
        f"can use {spelled('panel')}",
    )


def _joined(verdicts: Verdicts, panel: Verdicts) -> Verdicts:
    """The panel's verdicts on the instructions of `verdicts`, under their numbers (`cluster`).

    Raises `InputError` where no instruction is shared.
    """
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


def _table(panel: Verdicts, units: Units, allow_mixed: bool) -> Panel:
    """What the panel, as `_joined` gives it, says beside one annotator's `units`.

    Left out are models of the board, those that won or lost everything (no finite effect), and flagged ones. Raises
    `InputError` for another judge or baseline, and where no model with verdicts and lengths is left.
    """
    where, annotator = spelled("panel"), units.annotator
    rows = panel.table[(panel.table["annotator"] == annotator).to_numpy()]
    if rows.empty:
        judges = named([repr(name) for name in panel.annotators()])
        raise InputError(
            f"{where} was judged by {judges}, the board by {annotator!r}; annotate its models with that judge"
        )
    if not ((rows["generator_1"] == units.baseline) | (rows["generator_2"] == units.baseline)).any():
        raise InputError(
            f"{where} compares no model with the baseline {units.baseline}; annotate its models against that one"
        )
    hashes = [*map(str, pd.unique(rows["judge_hash"]))]
    if hashes != [units.judge_hash] and not allow_mixed:
        raise InputError(
            f"{where} has the judge hash {named([*map(repr, hashes)])}, the board {units.judge_hash!r}; annotate its "
            f"models with the board's judge, or give {spelled('mix_judges')}"
        )
    theirs = units_of(rows, annotator, units.baseline, allow_mixed=allow_mixed)
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
    there = {str(m) for m in told["model"].unique()}
    out, extreme = sorted(flagged & there), sorted(there - {*map(str, middling.index[middling])} - flagged)
    used = told[~told["model"].isin([*out, *extreme])]
    if used.empty:
        why = [f"{named(extreme)} won or lost everything"] * bool(extreme) + [f"flagged: {named(out)}"] * bool(out)
        raise InputError(f"{where} has no model to hold length equal with ({'; '.join(why)}); give verdicts on others")
    warnings = [f"left out of the panel, flagged: {named(out)}"] if out else []
    n_shared, n_own = used["cluster"].nunique(), units.table["cluster"].nunique()
    if 2 * n_shared < n_own:
        warnings.append(
            f"the panel was judged on {n_shared} of the board's {plural(n_own, 'instruction')}: length is held equal "
            "by what it says of these; annotate its models on the others too"
        )
    return used, warnings
