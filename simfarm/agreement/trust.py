"""How far a judge agrees with people, beside what people reach among themselves and what the longer output gets.

A judge's verdict is held against the mode of people's votes: right, wrong, or half right, where one of the two is a tie
and the other is not, or where the votes are split evenly. A judge that ties in doubt so gets what guessing would get.
The ceiling is what one more person would reach: a vote against the mode of the others. The difference of the two is
taken on the same terms, the judge too against the mode of the others, each person left out in turn: against all
of them a judge meets one vote more than any person does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from simfarm.agreement.figures import Limits, Value, known
from simfarm.agreement.votes import Votes
from simfarm.data.identity import Codes
from simfarm.errors import InputError
from simfarm.statistics.agreement import (
    Split,
    agreement_with_mode,
    agreement_with_votes,
    leave_one_out,
    modes,
    pairwise_agreement,
    side_counts,
    sides,
)
from simfarm.statistics.alternative import alternative_annotator_test
from simfarm.statistics.bias import first_votes, judge_bias, vote_variance
from simfarm.statistics.chance import cohen_kappa, fleiss_kappa, gwet_ac1, krippendorff_alpha
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.means import group_means
from simfarm.statistics.ratios import ratio_estimate

__all__ = [
    "Definitions",
    "People",
    "beyond_chance",
    "fit",
    "fits",
    "judge_agreement",
    "longest",
    "mean_over",
    "people_agreement",
    "replacement",
    "spread",
]

SIDE = np.array([0.0, 0.5, 1.0])


_DISTANCE = np.abs(np.subtract.outer(SIDE, SIDE))


@dataclass(frozen=True)
class Definitions:
    """What the mode of people's votes is: `split` says what evenly split votes are. AlpacaEval's takes of two sides the
    second, as many labels of a comparison as most have (`usual_votes`), and a judge's single calls (`each_call`)."""

    split: Split = "half"
    usual_votes: bool = False
    each_call: bool = False

    @classmethod
    def of(cls, compat: str | None) -> Definitions:
        """Ours, or those of `alpaca-eval`."""
        return cls("second", usual_votes=True, each_call=True) if compat else cls()

    def credit(self, counts: Array) -> Array:
        """How right each side is beside votes that took the sides so often (`counts`, n × 3): 1 − its distance from
        their mode; NaN without a vote."""
        right: Array = 1 - modes(counts, self.split) @ _DISTANCE
        return right


@dataclass(frozen=True)
class People:
    """Labels as arrays: `item` (comparison), `vote` in [0, 1] and `person` (a code) of each, `cluster` of each
    comparison."""

    item: Codes
    vote: Array
    person: Codes
    cluster: Codes
    definitions: Definitions

    @classmethod
    def of(cls, votes: Votes, definitions: Definitions) -> People:
        item, vote, person = votes.labels
        if definitions.usual_votes and len(item):
            usual = int(np.bincount(np.bincount(item))[1:].argmax()) + 1
            kept = first_votes(item, vote, usual)
            item, vote, person = item[kept], vote[kept], person[kept]
        return cls(item, vote, person, votes.cluster, definitions)

    @cached_property
    def counts(self) -> Array:
        """How many votes took each side, comparisons × 3."""
        return side_counts(self.item, self.vote, len(self.cluster))

    @cached_property
    def credit(self) -> Array:
        """How right each side is, comparisons × 3, NaN without a label."""
        return self.definitions.credit(self.counts)

    @cached_property
    def strict(self) -> Array:
        """The one mode as 0, ½ or 1, NaN where votes are split evenly."""
        found: Array = modes(self.counts, "out") @ SIDE
        return found

    @cached_property
    def mean(self) -> Array:
        """The share of votes for output_2 (a tie counts a half), NaN without a label."""
        return group_means(self.vote, self.item, len(self.cluster))

    @cached_property
    def left_out(self) -> tuple[Array, Array]:
        """(how right each side is beside the others' votes, the mean over the persons left out in turn, comparisons ×
        3; how right the persons themselves are), NaN with fewer than two votes."""
        votes = self.counts.sum(axis=1)
        several = votes > 1
        fits, own = np.zeros(self.counts.shape), np.zeros(len(votes))
        for side in range(3):
            cast = several & (self.counts[:, side] > 0)
            others = self.definitions.credit(self.counts[cast] - (np.arange(3) == side))
            share = (self.counts[cast, side] / votes[cast])[:, None]
            fits[cast] += share * others
            own[cast] += (share * others)[:, side]
        fits[~several], own[~several] = np.nan, np.nan
        return fits, own


def fit(verdicts: Array, credit: Array) -> Array:
    """How right each verdict's side is by `credit` (n × 3), NaN without either."""
    side = sides(verdicts)
    taken = np.take_along_axis(credit, np.maximum(side, 0)[:, None], axis=1)[:, 0]
    return np.where(side >= 0, taken, np.nan)


def longest(length_1: Array, length_2: Array, definitions: Definitions) -> Array:
    """What a judge says that prefers the longer output, whatever is in it; NaN without lengths. Of equal ones neither;
    AlpacaEval's prefers the second."""
    says = (1 + np.sign(length_2 - length_1)) / 2
    return np.where(says == 0.5, 1.0, says) if definitions.split == "second" else says


def mean_over(values: Array, cluster: Codes, bounds: tuple[float, float] = (0.0, 1.0)) -> Estimate:
    """The mean over comparisons, NaN left out, clustered."""
    return ratio_estimate(values, np.ones(len(values)), cluster, bounds)


def people_agreement(people: People) -> dict[str, Value]:
    """People among themselves: the ceiling, the share of pairs that agree, and both beyond chance."""
    votes = (people.item, people.vote, people.cluster)
    return {
        "agreement": mean_over(people.left_out[1], people.cluster),
        "agreement_exact": leave_one_out(*votes),
        "pairwise": pairwise_agreement(*votes),
        "fleiss_kappa": fleiss_kappa(*votes),
        "alpha_nominal": krippendorff_alpha(*votes, "nominal"),
        "alpha_ordinal": krippendorff_alpha(*votes, "ordinal"),
        "ac1": gwet_ac1(*votes),
    }


def judge_agreement(judged: Array, fitting: Array, people: People, long: Array) -> dict[str, Value]:
    """One judge (p of each comparison in `judged`, how well that fits people's mode in `fitting`) with people; `long`
    is what `longest` says."""
    cluster = people.cluster
    votes = (people.item, people.vote, cluster)
    above = fitting - fit(long, people.credit)
    of_others, own = people.left_out
    return {
        "agreement": mean_over(fitting, cluster),
        "above_longest": mean_over(above, cluster, (-1.0, 1.0)),
        "below_ceiling": mean_over(fit(judged, of_others) - own, cluster, (-1.0, 1.0)),
        "agreement_exact": agreement_with_mode(judged, *votes, split="out"),
        "agreement_sides": agreement_with_mode(judged, *votes, split="out", ties=False),
        "agreement_votes": agreement_with_votes(judged, *votes),
        "agreement_distance": agreement_with_votes(judged, *votes, by="distance"),
        **beyond_chance(judged, people.strict, cluster),
    }


def fits(judged: Array, people: People, calls: tuple[Codes, Array]) -> Array:
    """How well the judge's verdict on each comparison fits the mode of people; of AlpacaEval's the mean over calls."""
    if not people.definitions.each_call:
        return fit(judged, people.credit)
    item, p = calls
    return group_means(fit(p, people.credit[item]), item, len(judged))


def beyond_chance(one: Array, other: Array, cluster: Codes) -> dict[str, Value]:
    """Two raters' agreement beyond chance, over the comparisons that both judged: the judge's verdict and the one mode
    of people, or two judges'."""
    both = np.flatnonzero(~np.isnan(one) & ~np.isnan(other))
    within = cluster[both]
    item = np.tile(np.arange(len(both)), 2)
    vote = SIDE[sides(np.concatenate([one[both], other[both]]))]
    votes = (item, vote, within)
    return {
        "cohen_kappa": cohen_kappa(one[both], other[both], within),
        "fleiss_kappa": fleiss_kappa(*votes),
        "alpha_nominal": krippendorff_alpha(*votes, "nominal"),
        "alpha_ordinal": krippendorff_alpha(*votes, "ordinal"),
        "ac1": gwet_ac1(*votes),
    }


def spread(calls: tuple[Codes, Array], people: People) -> dict[str, Value]:
    """A judge's bias (the mode of its calls from people's) and variance (a call from the mode of its others), where it
    has several calls about one comparison."""
    item, p = calls
    split, cluster = people.definitions.split, people.cluster
    made: dict[str, Value] = {"variance": vote_variance(item, p, cluster, split=split)}
    if len(people.item) and known(made["variance"]):
        made["bias"] = judge_bias(item, p, people.item, people.vote, cluster, split=split)
    return made


def replacement(judged: Array, people: People, epsilon: float, level: float) -> tuple[dict[str, Value], str | None]:
    """(the alternative-annotator test: the share of persons whom the judge could replace, with the range of as many
    other comparisons, and how often it is as good as one; why there is none)."""
    votes = people.item, people.vote, people.person, people.cluster
    try:
        found = alternative_annotator_test(judged, *votes, epsilon=epsilon, level=level)
    except InputError as error:
        return {}, str(error).removeprefix("the alternative-annotator test ")
    rate = Limits(found.winning_rate, *found.winning_range, found.advantage.n_clusters)
    return {"winning_rate": rate, "advantage": found.advantage}, None
