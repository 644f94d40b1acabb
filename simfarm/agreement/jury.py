"""A panel of judges over verdicts that are recorded: the judge that they make together, beside the best of them.

The panel joins the votes as one more judge, so that every figure of a card is the panel's too. Weights fitted on labels
are cross-fitted: each verdict of the panel is by weights that saw no label of its instruction, or the panel would be
graded on what it learnt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simfarm.agreement.trust import mean_over
from simfarm.agreement.votes import Votes
from simfarm.data.identity import Codes
from simfarm.data.juries import DIGITS, JuryRule, Rule, instruction_key
from simfarm.errors import InputError
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.jury import Jury, cross_weighted, jury
from simfarm.statistics.means import group_means
from simfarm.text.words import named, plural

__all__ = ["Sitting", "beside_best", "instruction_keys", "seated"]


@dataclass(frozen=True)
class Sitting:
    """How a panel did: means of `strength` (0 split evenly, 1 all sure of one side) and of the `entropy` of the
    members' sides in bits; how many members' verdicts were missing (`abstained` of `asked`) and how many comparisons
    are `undecided` for it. `best` is the member that agrees most with people on these comparisons and `gap` how much
    more than it the panel does (None without labels); `warnings` are what could mislead."""

    name: str
    rule: Rule
    members: tuple[str, ...]
    weights: Mapping[str, float] | None
    strength: Estimate
    entropy: Estimate
    abstained: int
    asked: int
    undecided: int
    best: str | None = None
    gap: Estimate | None = None
    warnings: tuple[str, ...] = field(default_factory=tuple)


def seated(votes: Votes, panel: JuryRule) -> tuple[Votes, Sitting]:
    """(the votes with the panel's own among the judges'; how it sat). Raises `InputError` for a panel of one, a member
    that is no judge of the votes, a name that is taken, and weights to fit without labels."""
    if panel.members and panel.name in votes.judges:
        # the panel's own verdicts, from when it was asked: it decides anew here, of the same members
        votes = _without(votes, panel.name)
    members = panel.members or votes.judges
    _check(votes, panel, members)
    place = {name: k for k, name in enumerate(votes.judges)}
    p = votes.judged[[place[name] for name in members]]
    made, weights = _verdicts(votes, panel, members, p)
    met = made.voted > 0
    sitting = Sitting(
        panel.name,
        panel.rule,
        members,
        None if weights is None else dict(zip(members, weights.tolist(), strict=True)),
        mean_over(made.strength, votes.cluster),
        mean_over(made.entropy, votes.cluster, (0.0, float(np.log2(3)))),
        int((len(members) - made.voted[met]).sum()),
        int(len(members) * met.sum()),
        int((met & np.isnan(made.p)).sum()),
        warnings=_warned(votes, panel),
    )
    table = _with_rows(votes, panel.name, members, made.p, met)
    return replace(votes, votes=table, judges=(*votes.judges, panel.name)), sitting


def _without(votes: Votes, name: str) -> Votes:
    """The votes without those of one judge."""
    table = votes.votes[(votes.votes["rater"] != name).to_numpy()].reset_index(drop=True)
    table["rater"] = table["rater"].cat.remove_categories([name])
    return replace(votes, votes=table, judges=tuple(judge for judge in votes.judges if judge != name))


def _check(votes: Votes, panel: JuryRule, members: tuple[str, ...]) -> None:
    if unknown := [name for name in members if name not in votes.judges]:
        raise InputError(
            f"{panel.name}: no verdicts of {named(unknown)} in the annotations, which are by {named(votes.judges, 8)}; "
            "add their file"
        )
    if len(members) < 2:
        raise InputError(f"{panel.name}: a panel of one is {members[0]!r} itself; name annotations of two judges")
    if panel.name in (*votes.judges, *votes.people):
        raise InputError(
            f"{panel.name!r} is an annotator of the files already: its verdicts are there to be read; leave the panel "
            "out, or name its file otherwise"
        )
    if panel.rule == "weighted" and panel.weights is None and not len(votes.labels[0]):
        raise InputError(f"{panel.name}: weights are fitted on people's labels; give --human LABELS, or take majority")


def _verdicts(votes: Votes, panel: JuryRule, members: tuple[str, ...], p: Array) -> tuple[Jury, Array | None]:
    if panel.rule != "weighted":
        return jury(p, panel.rule), None
    if panel.weights is not None:
        weights = np.array([panel.weights[name] for name in members])
        return jury(p, "weighted", weights), weights
    item, vote, _ = votes.labels
    return cross_weighted(p, group_means(vote, item, len(votes.items)), votes.cluster, signed=panel.signed)


def _warned(votes: Votes, panel: JuryRule) -> tuple[str, ...]:
    line = None if panel.fitted is None else panel.fitted.warning(panel.name, instruction_keys(votes.items))
    return () if line is None else (line,)


def _with_rows(votes: Votes, name: str, members: tuple[str, ...], p: Array, met: NDArray[np.bool_]) -> pd.DataFrame:
    """The votes with a row of the panel for each comparison that a member was asked about; it took what all their
    calls did."""
    table = votes.votes
    item = np.flatnonzero(met)
    own: dict[str, object] = {"item": item, "rater": name, "human": False, "p": p[item], "repeat": 0}
    own |= {"status": np.where(np.isnan(p[item]), "unparseable", "verdict"), "judge_hash": "unknown"}
    theirs = table["rater"].isin(members).to_numpy() & ~table["human"].to_numpy()
    for column in ("price", "seconds"):
        if column in table:
            own[column] = _sums(table["item"].to_numpy()[theirs], table[column].to_numpy(float)[theirs], len(met))[item]
    raters = pd.CategoricalDtype([*table["rater"].cat.categories, name])
    rows = pd.DataFrame(own).assign(order=pd.Categorical([None] * len(item), categories=["12", "21"]))
    joined = pd.concat([table.assign(rater=table["rater"].astype(raters)), rows.astype({"rater": raters})])
    return joined.reset_index(drop=True)


def _sums(item: Codes, values: Array, n: int) -> Array:
    """The sum of each comparison's values, NaN where one is unknown."""
    return np.bincount(item, values, minlength=n).astype(np.float64)


def beside_best(sitting: Sitting, fits: Mapping[str, Array], cluster: Codes, level: float) -> Sitting:
    """The sitting with its best member and the gap to it, of how well each judge's verdicts fit people's (`fits`), over
    the comparisons that the panel and a member both have."""
    own = fits.get(sitting.name)
    if own is None:
        return sitting
    shared = {name: fits[name][~np.isnan(fits[name] + own)] for name in sitting.members}
    means = {name: float(fit.mean()) for name, fit in shared.items() if len(fit)}
    if not means:
        return sitting
    best = max(means, key=lambda name: means[name])
    gap = mean_over(own - fits[best], cluster, (-1.0, 1.0))
    low, high = gap.interval(level)
    found = replace(sitting, best=best, gap=gap)
    if high < 0:
        loses = (
            f"{sitting.name} of {plural(len(sitting.members), 'judge')} agrees less with people than its member {best} "
            f"alone, by {-100 * gap.value:.1f} points ({-100 * high:.1f} to {-100 * low:.1f}): take {best}"
        )
        found = replace(found, warnings=(*sitting.warnings, loses))
    return found


def instruction_keys(items: pd.DataFrame) -> list[str]:
    """The key of each comparison's instruction (`Votes.items`): by its text where that is known, else by its id."""
    if "instruction_sha256" in items and items["instruction_sha256"].notna().all():
        return items["instruction_sha256"].str[:DIGITS].tolist()
    named = items["instruction_id"] if "instruction_id" in items else items["cluster"]
    return [instruction_key(one) for one in named.astype(str)]
