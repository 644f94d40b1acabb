"""What a trick is worth on a judge's board: the same outputs dressed up, each dress as a model of its own.

All of them stand against the same baseline, so that a price is the paired difference of two win rates on the same
instructions, in points, raw and with length held equal: it says what a model would gain that tried, and how much of it
length control takes away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from simfarm.data.frames import Verdicts, read_verdicts, row_columns
from simfarm.data.inputs import outputs_for, split_outputs
from simfarm.data.pairing import pair_with_baseline
from simfarm.data.records import Comparison, Output
from simfarm.data.sources import Source
from simfarm.engine.stats import Stats
from simfarm.errors import InputError
from simfarm.judges import Judge, load_one
from simfarm.judges.probes import TRICKS
from simfarm.methods.probing import Follow
from simfarm.ranking import Board, boards, inspection, paired_difference
from simfarm.runs.annotation import AnnotationRun
from simfarm.runs.options import JudgeOptions, RunOptions
from simfarm.statistics.discoveries import holm
from simfarm.statistics.estimate import Estimate

__all__ = ["CONTROL", "Price", "Priced", "Stress", "Stressed", "dressed", "prices", "stressed_outputs"]

CONTROL = "joint"
"""The length control that needs nothing but the verdicts."""


@dataclass(frozen=True)
class Price:
    """What one trick gains over the plain outputs: `raw` and `controlled` are fractions (None where there is no length
    control), `p` and `controlled_p` those of "nothing" among all tricks of all judges; `flags` are the guard's."""

    trick: str
    raw: Estimate
    controlled: Estimate | None
    p: float
    controlled_p: float
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Priced:
    """One judge's prices over `board`, where the plain outputs win `rate` (None: they are the baseline)."""

    judge: Judge
    board: Board
    prices: tuple[Price, ...]
    rate: Estimate | None
    missing: int


@dataclass(frozen=True)
class Stressed:
    """What every trick gains the `model` over the `baseline` (itself where nobody else was named), by each judge.
    `changed` says by the name on the board how many of the `n` outputs a trick could dress."""

    model: str
    baseline: str
    n: int
    changed: Mapping[str, int]
    judges: tuple[Priced, ...]
    level: float = 0.95


def stressed_outputs(
    sources: Sequence[Source], named: Source | None, limit: int | None
) -> tuple[Sequence[Output], Sequence[Output] | None]:
    """(one model's outputs, those of the baseline that is `named`, if one is, on the same instructions). Raises
    `InputError` for what holds no outputs."""
    outputs: Sequence[Output] = outputs_for(sources, limit)
    if named is None:
        return outputs, None
    baseline, outputs = split_outputs(outputs, named)
    if limit is not None:
        wanted = {output.instruction.strip() for output in outputs}
        baseline = [output for output in baseline if output.instruction.strip() in wanted]
    return outputs, baseline


@dataclass(slots=True)
class Stress:
    """Judges under stress: `outputs` of one model, `baseline` outputs of another (None: the outputs as they are).
    `changed` says how many outputs each trick could dress."""

    judges: Sequence[str | Path]
    outputs: Sequence[Output]
    baseline: Sequence[Output] | None
    judging: JudgeOptions
    running: RunOptions
    follow: Follow
    level: float = 0.95
    took: Stats = field(default_factory=Stats)
    runs: list[AnnotationRun] = field(default_factory=list)
    pairs: Sequence[Comparison] = field(init=False)
    changed: Mapping[str, int] = field(init=False)
    plain: str = field(init=False)

    def __post_init__(self) -> None:
        self.plain = _one_model(self.outputs)
        dress = dressed(self.outputs)
        own = {(o.instruction, o.dataset, o.sample): o.output for o in self.outputs}
        self.changed = Counter(
            one.generator for one in dress if one.output != own[one.instruction, one.dataset, one.sample]
        )
        dress = [one for one in dress if self.changed[one.generator]]
        if not dress:
            raise InputError("none of the outputs can be dressed up: all are empty; name other outputs")
        if self.baseline is None:
            self.pairs = pair_with_baseline(dress, self.outputs)
        else:
            self.pairs = pair_with_baseline([*self.outputs, *dress], self.baseline)

    def estimate(self) -> str:
        """What that would ask and cost at most, in words; asks nothing."""
        return "\n".join(self._opened(name).estimate(self.pairs) for name in self.judges)

    def stressed(self) -> Stressed:
        """Every judge's prices, in the order in which they were named. A budget that ends one judge's run leaves its
        board of what there is, and raises `BudgetError` where another judge is still to come."""
        for name in self.judges:
            # what cannot be asked is refused before another is paid
            self._opened(name)
        found = []
        for name in self.judges:
            run = self._opened(name)
            rows = [annotation.row() for annotation in self.follow(run, self.pairs)]
            self.took.add(run.tallies.stats)
            self.runs.append(run)
            looked = inspection()
            verdicts = read_verdicts([("the verdicts", row_columns(rows, looked))], looked)
            assert verdicts is not None
            found.append((run, verdicts))
        baseline = self.pairs[0].generator_1
        assert baseline is not None
        judged = [(run.judge, verdicts, run.tallies.missing) for run, verdicts in found]
        of_each = prices(judged, self.plain, baseline, self.level)
        return Stressed(self.plain, baseline, len(self.outputs), self.changed, tuple(of_each), self.level)

    def _opened(self, name: str | Path) -> AnnotationRun:
        """One judge's run. Beside judges that ask a model, one that follows a rule has no use for the model's options;
        alone it refuses them as anywhere."""
        judge = load_one(name)
        if judge.ranks:
            raise InputError(
                f"{judge.name} orders all dresses of an output in one prompt, so that each would be priced beside the "
                "others; name a judge that compares two"
            )
        if judge.rule is not None and len(self.judges) > 1:
            return AnnotationRun.open(JudgeOptions(judge=judge, order=self.judging.order))
        return AnnotationRun.open(replace(self.judging, judge=judge), self.running.after(self.took))


def dressed(outputs: Sequence[Output]) -> list[Output]:
    """The outputs under every trick, each as those of a model of its own (NAME+TRICK)."""
    return [
        replace(output, output=dress(output) if output.output.strip() else output.output, generator=_name(output, name))
        for name, dress in TRICKS.items()
        for output in outputs
    ]


def _name(output: Output, trick: str) -> str:
    return f"{output.generator}+{trick}"


def _one_model(outputs: Sequence[Output]) -> str:
    names = sorted({output.generator for output in outputs})
    if len(names) != 1:
        raise InputError(
            f"the outputs are of {len(names)} models ({', '.join(names[:4])}); dress up those of one: name its file, "
            "and the other as the baseline"
        )
    return names[0]


def prices(
    judged: Sequence[tuple[Judge, Verdicts, int]], plain: str, baseline: str, level: float = 0.95
) -> list[Priced]:
    """The prices on each judge's board; `judged` are (judge, its verdicts, how many are missing). Raises `InputError`
    where a board has nothing to rank."""
    rows = []
    for judge, verdicts, missing in judged:
        (board,) = boards(verdicts, baseline=baseline, length_control=(CONTROL,), level=level)
        found = []
        for trick in TRICKS:
            name = f"{plain}+{trick}"
            if name not in board.estimates or board.estimates[name].n_clusters < 2:
                continue
            raw = paired_difference(board, name, plain)
            controlled = None
            if name in board.lc_estimates.get(CONTROL, {}):
                with suppress(InputError):
                    controlled = paired_difference(board, name, plain, length_control=CONTROL)
            flags = board.table.set_index("model").loc[name, "flags"]
            shown = tuple(str(flags).split(", ")) if isinstance(flags, str) and flags else ()
            found.append(Price(trick, raw, controlled, np.nan, np.nan, shown))
        rows.append((judge, board, found, missing))
    every = [one for _, _, found, _ in rows for one in found]
    raw_p = iter(_adjusted([one.raw for one in every]))
    controlled_p = iter(_adjusted([one.controlled for one in every]))
    return [
        Priced(
            judge,
            board,
            tuple(replace(one, p=next(raw_p), controlled_p=next(controlled_p)) for one in found),
            None if plain == baseline else board.estimates.get(plain),
            missing,
        )
        for judge, board, found, missing in rows
    ]


def _adjusted(estimates: Sequence[Estimate | None]) -> list[float]:
    """p of each difference being nothing, adjusted for all of them together (Holm); NaN where there is none."""
    p = np.array([np.nan if one is None else one.p_value() for one in estimates])
    known = ~np.isnan(p)
    p[known] = holm(p[known])
    return [float(x) for x in p]
