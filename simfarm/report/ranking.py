"""How verdicts become boards: what a user asked of a ranking, checked against each other, as one value.

Everything that can be refused without a look at the verdicts is refused when the value is made; what depends on them (a
ranking without a baseline) when it is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfarm.data.sources import Source
from simfarm.errors import InputError
from simfarm.settings import check, refuse_empty, spelled, was_given

if TYPE_CHECKING:
    from simfarm.data.frames import Verdicts

__all__ = ["RankingOptions"]

OVER_BASELINE = ("add_to", "board", "human", "breakdown", "length_control", "lc_data", "panel", "flip_rate")
"""Options that mean something for win rates alone."""


@dataclass(frozen=True, slots=True)
class RankingOptions:
    """What is compared with what, and how.

    `baseline` and `human` (labels of some of the comparisons) are sources, the former also a generator's name.
    `length_control` has the definitions as they were named, `controls` gives those that are meant; `lc_data` is the
    folder of AlpacaEval's two files, `panel` a source of the same judge's verdicts on other models; `level` is that of
    the intervals; `mix_judges` accepts two hashes under one annotator;
    `rank` is what is ranked by (None: what the verdicts suggest); `control` names what is held equal beside length,
    `flip_rate` is the share of verdicts known to be flipped, `tau` holds the Nash winner near the even mixture;
    `breakdown` adds rates by dataset and category, `criteria` the scores by criterion (their means, or win rates),
    `board` the places among a published one; `add_to` is a kept board.
    """

    baseline: Source | None = None
    length_control: tuple[str, ...] = ()
    lc_data: Path | None = None
    panel: Source | None = None
    level: float = 0.95
    mix_judges: bool = False
    rank: str | None = None
    control: str | None = None
    flip_rate: float | None = None
    tau: float | None = None
    human: Source | None = None
    breakdown: bool = False
    criteria: str | None = None
    board: str | None = None
    add_to: Path | None = None

    @classmethod
    def of(
        cls,
        *,
        length_control: str | Sequence[str] | None = None,
        lc_data: Any = None,
        level: float = 0.95,
        rank: str | None = None,
        control: str | None = None,
        board: str | None = None,
        **more: Any,
    ) -> RankingOptions:
        """The options as a user gave them, checked. `more` are the other fields. Raises `InputError`."""
        given = {"board": board, "human": more.get("human"), "control": control, "baseline": more.get("baseline")}
        given |= {"panel": more.get("panel")}
        refuse_empty(given)
        named = (length_control,) if isinstance(length_control, str) else tuple(length_control or ())
        for name in named:
            check({"length_control": name})
        check({"criteria": more.get("criteria")})
        check({"level": level, "rank": rank, "flip_rate": more.get("flip_rate"), "tau": more.get("tau")})
        # nothing flipped is nothing to correct
        more["flip_rate"] = more.get("flip_rate") or None
        folder = None if lc_data is None else Path(lc_data)
        options = cls(
            length_control=named, lc_data=folder, level=level, rank=rank, control=control, board=board, **more
        )
        options.refuse_idle(rank)
        if control is not None:
            from simfarm.ranking import control_names

            control_names(control)
        if board is not None:
            from simfarm.report.published import check_published

            check_published(board)
        return options

    def controls(self, verdicts: Verdicts) -> tuple[str, ...]:
        """The length controls that are meant; the first one leads. Where none is named it is `joint`, and with
        `lc_data` `alpaca-eval-2`; raises `InputError` where the instructions are not those that it is for."""
        if self.flip_rate is not None:
            return ()
        named = self.length_control
        if not named and self.lc_data is not None:
            from simfarm.ranking import alpaca_eval

            if not alpaca_eval.recognised(verdicts.table):
                raise InputError(
                    f"{spelled('lc_data')} is for AlpacaEval's 805 instructions, and these are not known for theirs; "
                    f"leave it out, or add {spelled('length_control', 'alpaca-eval-2')}"
                )
            named = ("alpaca-eval-2", "joint") if self.panel is not None else ("alpaca-eval-2",)
        return tuple(name for name in dict.fromkeys(named or ("joint",)) if name != "none")

    def refuse_idle(self, rank: str | None) -> None:
        """Raise `InputError` for options that do not go together; `rank` is None where win rates may be meant."""
        given = [name for name in OVER_BASELINE if was_given(name, getattr(self, name))]
        if rank in ("bradley-terry", "lottery"):
            if given:
                remedy = spelled("baseline") if self.rank is None else spelled("rank", "win-rate")
                raise InputError(f"{spelled(given[0])} needs win rates over a baseline; give {remedy}")
            if self.control is not None and rank == "lottery":
                raise InputError(f"a lottery takes no covariates; drop {spelled('control')}, or rank by bradley-terry")
        self._refuse_beside_flips(given)
        if self.tau is not None and rank != "lottery":
            raise InputError(f"{spelled('tau')} is for {spelled('rank', 'lottery')}; add that or leave it out")
        if "lc_data" in given and self.length_control and "alpaca-eval-2" not in self.length_control:
            raise InputError(
                f"{spelled('lc_data')} is for {spelled('length_control', 'alpaca-eval-2')}; add that or leave it out"
            )
        if "panel" in given and self.length_control and "joint" not in self.length_control:
            raise InputError(
                f"{spelled('panel')} is for {spelled('length_control', 'joint')}; add that or leave it out"
            )
        if "panel" in given and "add_to" in given:
            raise InputError(
                f"{spelled('add_to')} has a panel, the models of the board; leave {spelled('panel')} out or add its "
                "models to the board"
            )
        if "none" in self.length_control and len(set(self.length_control)) > 1:
            raise InputError(f"{spelled('length_control', 'none')} goes with no other; leave one of them out")
        beside = {"human": self.human, "control": self.control, "criteria": self.criteria}
        if "add_to" in given and (other := [name for name, value in beside.items() if value is not None]):
            raise InputError(
                f"{spelled('add_to')} ranks all models of the board anew; give {spelled(other[0])} in a run without it"
            )

    def _refuse_beside_flips(self, given: Sequence[str]) -> None:
        """Raise `InputError` for what has no correction for flipped verdicts, and would stand uncorrected beside it."""
        other = [*(name for name in given if name != "flip_rate"), *(["control"] if self.control is not None else [])]
        if self.length_control == ("none",):
            other = [name for name in other if name != "length_control"]
        other += ["criteria"] if self.criteria == "win-rate" else []
        if self.flip_rate is not None and other:
            raise InputError(
                f"{spelled('flip_rate')} corrects win rates alone; leave {spelled(other[0])} out, or give it in a run "
                "of its own"
            )

    @property
    def of_scores(self) -> dict[str, bool]:
        """What is read of scores of single outputs (`simfarm.data.scores`): their outputs where preferences that they
        imply are ranked, which are looked at as those of verdicts are."""
        return {"criteria": self.criteria is not None, "texts": self.rank is not None or self.baseline is not None}

    def by_rating(self, verdicts: Verdicts, baseline: str | None) -> bool:
        """Whether models are rated on the graph of their comparisons and not against a baseline; raises `InputError`
        for options that then mean nothing."""
        if self.rank is not None:
            return self.rank != "win-rate"
        chosen = baseline is None and verdicts.table["generator_1"].nunique() > 1
        if chosen:
            self.refuse_idle("bradley-terry")
        return chosen
