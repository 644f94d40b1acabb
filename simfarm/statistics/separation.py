"""What no verdict limits: leads that may be infinite, because who is behind hardly took a point.

Under separation the likelihood says that a lead is at least so much, and no more. The prior of `fit_rows` gives it a
number all the same, and the sandwich an error; neither is evidence from above. So where the prior acts, how far a is
ahead of b is taken to be limited only if, of any division of the models with a on one side and b on the other, b's side
took a verdict from a's: twice the half that the prior would give it. (With half a verdict, a ladder of five models
whose neighbours lose 1 % covers 79 % at 30 instructions, with a whole one 97 %.) By the theorem of Ford and
Fulkerson (1956) that is a flow of one verdict from b to a through what models took from one another.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simfarm.statistics.estimate import Array
from simfarm.statistics.logistic import Fit, Rows, chances, points, reached

__all__ = ["endless"]

_WHOLE = 10**6
"""One verdict, where flows are whole numbers."""


def endless(rows: Rows, n_models: int, fit: Fit, unit: float) -> Array:
    """`Estimate.endless` of each param (P × C), ratings against their average; no columns where the prior did not act.

    A slope has no limit in a direction that less than one verdict (of weight `unit`) went against, and the rows that
    have its covariate then say nothing of leads. Where slopes and strengths together foretell every verdict but one,
    the other slopes have no limit at all, nor has a lead where the models' points alone would limit every one.
    """
    none: Array = np.zeros((len(fit.params), 0))
    if not fit.prior:
        return none
    lost = rows.weight - rows.won
    above, below = rows.x > 0, rows.x < 0
    rises = rows.won @ below + lost @ above < unit
    falls = rows.won @ above + lost @ below < unit
    silent = (rows.x[:, rises | falls] != 0).any(axis=1)
    heard = Rows(rows.pair[~silent], rows.weight[~silent], rows.won[~silent], rows.x[~silent])
    limited = _limited(points(heard, n_models), unit)
    ahead = chances(rows, n_models, fit.params) > 0.5
    foretold = bool(rows.x.shape[1]) and float(np.where(ahead, lost, rows.won).sum()) < unit
    if foretold or (limited.all() and not (rises | falls).any()):
        free = ~(rises | falls)
        rises, falls = rises | free, falls | free
        limited = np.eye(n_models, dtype=bool) if limited.all() else limited
    of_models = np.unique(~limited, axis=1).astype(np.float64)
    of_slopes = np.concatenate([np.diag(rises.astype(np.float64)), -np.diag(falls.astype(np.float64))], axis=1)
    found = np.zeros((len(fit.params), of_models.shape[1] + of_slopes.shape[1]))
    found[:n_models, : of_models.shape[1]] = of_models - of_models.mean(axis=0)
    found[n_models:, of_models.shape[1] :] = of_slopes
    return np.asarray(found[:, (found != 0).any(axis=0)], dtype=np.float64)


def _limited(took: Array, least: float) -> NDArray[np.bool_]:
    """Whether the lead of each model (row) over each other one (column) is limited.

    What is limited through a third model needs no flow, and a flow that falls short names a division that settles all
    pairs across it: so there are about as many flows as models.
    """
    from scipy.sparse import csr_array  # few boards come here
    from scipy.sparse.csgraph import maximum_flow

    room = np.minimum(np.round(took * (_WHOLE / least)), _WHOLE).astype(np.int32)
    graph = csr_array(room)
    limited = np.eye(len(took), dtype=bool)
    apart = np.zeros_like(limited)
    direct = [(int(ahead), int(behind)) for behind, ahead in np.argwhere(room >= _WHOLE)]
    while direct or not (limited | apart).all():
        ahead, behind = direct.pop() if direct else (int(k) for k in np.argwhere(~(limited | apart))[0])
        found = None if room[behind, ahead] >= _WHOLE else maximum_flow(graph, behind, ahead)
        if found is None or found.flow_value >= _WHOLE:
            limited |= np.outer(limited[:, ahead], limited[behind])
        else:
            side = reached(room - found.flow.toarray() > 0, behind)
            apart |= np.outer(~side, side)
    return limited
