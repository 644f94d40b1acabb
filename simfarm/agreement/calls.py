"""A judge's single calls: does it say the same again, how often does it say nothing, and what does it take."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from simfarm.agreement.figures import Value
from simfarm.agreement.votes import questions
from simfarm.data.identity import Codes, row_codes
from simfarm.statistics.agreement import pairwise_agreement, vote_mean
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.ratios import ratio_estimate

__all__ = ["judge_calls"]


def judge_calls(calls: pd.DataFrame, cluster: Codes) -> dict[str, Value]:
    """Of one judge's rows of `Votes.votes`: `retest` (two calls about one comparison in one order take the same side),
    the rates of `unparseable` and `error` among calls, price (dollars) and seconds of 1,000 comparisons, all calls of
    one repeat together."""
    item, p = calls["item"].to_numpy(), calls["p"].to_numpy()
    made: dict[str, Value] = {
        status: vote_mean(np.asarray(calls["status"] == status, dtype=np.float64), item, cluster, by="vote")
        for status in ("unparseable", "error")
    }
    if calls["repeat"].nunique() > 1:
        asked = row_codes([item, calls["order"].cat.codes])
        of_asked = np.empty(int(asked.max()) + 1, dtype=np.int64)
        of_asked[asked] = cluster[item]
        made["retest"] = pairwise_agreement(asked, p, of_asked)
    question, of_question, _ = questions(calls)
    for name in ("price", "seconds"):
        if name in calls:
            made[f"{name}_per_1000"] = _a_question(
                1000 * calls[name].to_numpy(dtype=float), question, cluster[of_question]
            )
    return made


def _a_question(values: Array, question: Codes, cluster: Codes) -> Estimate:
    """The mean over questions of the sum of their calls, those with a call of unknown value left out."""
    total = np.bincount(question, values, minlength=len(cluster)).astype(np.float64)
    found = ratio_estimate(total, np.ones(len(total)), cluster)
    return replace(found, rate=False, bounds=None, weights=None)
