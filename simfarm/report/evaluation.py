"""From verdicts and ranking options to boards: what the command line and the Python functions share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfarm.data.inputs import read_for_evaluation
from simfarm.data.sources import Source, called
from simfarm.errors import InputError
from simfarm.settings import refuse_ranking, spelled
from simfarm.text.words import plural

if TYPE_CHECKING:
    import pandas as pd

    from simfarm.data.frames import Verdicts
    from simfarm.data.records import Comparison
    from simfarm.ranking import Board, Calibrated, ControlledWinRates, Ratings, Rejudged
    from simfarm.runs.annotation import AnnotationRun

__all__ = ["RANKS", "Ranking", "annotations_in", "rejudged"]

LENGTH_CONTROLS = ("joint", "alpaca-eval-2")
RANKS = ("win-rate", "bradley-terry", "lottery")


@dataclass(frozen=True, slots=True)
class Ranking:
    """How verdicts become boards. `length_control` names definitions, none where empty; `lc_data` is the folder of
    AlpacaEval's two files; `level` is that of the intervals; `mix_judges` accepts two hashes under one annotator;
    `rank` is what is ranked by (None: what the verdicts suggest); `control` names features of style to hold equal."""

    length_control: tuple[str, ...] = ("joint",)
    lc_data: Path | None = None
    level: float = 0.95
    mix_judges: bool = False
    rank: str | None = None
    control: str | None = None

    @classmethod
    def of(
        cls,
        length_control: str | Sequence[str] | None = None,
        lc_data: Any = None,
        level: float = 0.95,
        mix_judges: bool = False,
        *,
        rank: str | None = None,
        control: str | None = None,
        **more: Any,
    ) -> Ranking:
        """The options as a user gave them, checked against each other, against `rank` and against `more` (those of one
        verb). Raises `InputError`."""
        named = (length_control,) if isinstance(length_control, str) else tuple(length_control or ())
        for name in named:
            if name not in (*LENGTH_CONTROLS, "none"):
                choices = ", ".join((*LENGTH_CONTROLS, "none"))
                raise InputError(f"{spelled('length_control')} {name!r} is not known; choose from {choices}")
        if isinstance(level, bool) or not isinstance(level, int | float) or not 0.5 <= level < 1:
            raise InputError(f"{spelled('level')} is {level!r}; it must be from 0.5 to below 1, for example 0.95")
        if rank not in (None, *RANKS):
            raise InputError(f"{spelled('rank')} {rank!r} is not known; choose from {', '.join(RANKS)}")
        refuse_ranking({"length_control": named, "lc_data": lc_data, "control": control, **more}, rank)
        if control is not None:
            from simfarm.ranking import control_names

            control_names(control)
        controls = tuple(name for name in dict.fromkeys(named or ("joint",)) if name != "none")
        return cls(controls, None if lc_data is None else Path(lc_data), level, mix_judges, rank, control)

    def boards(self, verdicts: Verdicts, baseline: str | None) -> list[Board]:
        """One board for each annotator; raises `InputError` where there is nothing to rank."""
        from simfarm import ranking

        boards = ranking.boards(
            verdicts,
            baseline=baseline,
            length_control=self.length_control,
            lc_data=self.lc_data,
            level=self.level,
            allow_mixed=self.mix_judges,
        )
        if all(set(board.table["model"]) <= {board.baseline} for board in boards):
            raise InputError(
                f"there is no model but the baseline {boards[0].baseline}; annotate another model's outputs"
            )
        if max((e.n_clusters for board in boards for e in board.estimates.values()), default=0) == 1:
            raise InputError("all verdicts are about one instruction; an interval needs at least two, annotate more")
        return boards

    def by_rating(self, verdicts: Verdicts, baseline: str | None, options: Mapping[str, Any]) -> bool:
        """Whether models are rated on the graph of their comparisons and not against a baseline; raises `InputError`
        for `options` that then mean nothing."""
        if self.rank is not None:
            return self.rank != "win-rate"
        chosen = baseline is None and verdicts.table["generator_1"].nunique() > 1
        if chosen:
            refuse_ranking(options, "bradley-terry")
        return chosen

    def rated(self, verdicts: Verdicts) -> list[Ratings]:
        """Bradley-Terry or the lottery, for each annotator."""
        from simfarm.ranking import rate_models

        return rate_models(
            verdicts,
            self.rank or "bradley-terry",
            control=self.control,
            level=self.level,
            allow_mixed=self.mix_judges,
        )

    def extras(
        self, verdicts: Verdicts, boards: Sequence[Board], labels: Verdicts | None
    ) -> tuple[Sequence[Board], list[ControlledWinRates | None], list[Mapping[str, Calibrated] | None]]:
        """(the boards, style-controlled and human-calibrated win rates of each), where they are asked for; a board that
        has none of them says why."""
        from simfarm.ranking import calibrated_win_rates, each_board, style_win_rates

        styles: list[ControlledWinRates | None] = [None] * len(boards)
        people: list[Mapping[str, Calibrated] | None] = [None] * len(boards)
        if control := self.control:
            boards, styles = each_board(boards, "rates at equal style", lambda b: style_win_rates(verdicts, b, control))
        if labels is not None:
            boards, people = each_board(boards, "calibrated rates", lambda b: calibrated_win_rates(verdicts, labels, b))
        return boards, styles, people

    def rehearse(
        self,
        session: AnnotationRun,
        pairs: Sequence[Comparison],
        labels: Verdicts | None,
        options: Mapping[str, Any],
        also: Callable[[Verdicts, Sequence[Board]], object] = lambda verdicts, boards: None,
    ) -> None:
        """Rank made-up verdicts and throw the result away: whatever is refused then (by `also` too) is refused before
        the judge is paid. The length control that needs nothing but the verdicts, and the most time, is left out."""
        if session.backend is None:
            return
        verdicts = rehearsed(session, pairs, self.control)
        if self.by_rating(verdicts, None, options):
            self.rated(verdicts)
            return
        quick = replace(self, length_control=tuple(name for name in self.length_control if name != "joint"))
        boards = quick.boards(verdicts, None)
        self.extras(verdicts, boards, labels)
        also(verdicts, boards)


def annotations_in(inputs: Sequence[Source], baseline: Source | None = None) -> tuple[Verdicts, str | None]:
    """(verdicts, the baseline's name where one was given); raises `InputError` for files without verdicts."""
    read = read_for_evaluation(inputs, baseline)
    if read is None:
        raise InputError(f"{called(inputs[0])}: holds no verdicts (column 'preference'); make them by simfarm annotate")
    return read


def rehearsed(session: AnnotationRun, pairs: Sequence[Comparison], control: str | None = None) -> Verdicts:
    """The verdicts that a run will give, as the judge `random` makes them up: what cannot be ranked with
    the given options is refused on these, before the judge is paid."""
    from simfarm.data.frames import read_verdicts, row_columns
    from simfarm.ranking import inspection
    from simfarm.runs.annotation import AnnotationRun
    from simfarm.runs.options import JudgeOptions

    with closing(AnnotationRun.open(JudgeOptions("random", order=session.judge.order)).results(pairs)) as made_up:
        rows = (annotation.row() for annotation in made_up)
        verdicts = read_verdicts([("the comparisons", row_columns(rows))], inspection(control))
    if verdicts is None:
        raise InputError("there is nothing to judge; name output files with rows")
    return verdicts.by(session.judge.name, session.judge.hash)


def rejudged(a: Source, b: Source, baseline: Source | None, ranking: Ranking) -> Rejudged:
    """How two judges' boards of the same outputs compare. Raises `InputError` where a file holds several annotators,
    or the files other outputs."""
    from simfarm import ranking as ranks
    from simfarm.data.frames import together

    parts, names = [], []
    name = None
    for position, (source, which) in enumerate(((a, "first"), (b, "second")), 1):
        verdicts, name = annotations_in([source], baseline)
        annotators = sorted(verdicts.annotators())
        if len(annotators) != 1:
            raise InputError(
                f"{called(source, position)}: holds {plural(len(annotators), 'annotator')} "
                f"({', '.join(annotators[:4])}); give one a file"
            )
        names.append(f"{annotators[0]} ({which} file)")
        parts.append(verdicts.by(names[-1]))
    _require_same_outputs(*(part.table for part in parts))
    boards = ranks.boards(
        together(*parts), baseline=name, length_control=(), level=ranking.level, allow_mixed=ranking.mix_judges
    )
    if whys := [why for board in boards if not board.estimates for why in board.warnings]:
        raise InputError(whys[0])
    by_name = {board.annotator: board for board in boards}
    return ranks.compare_judges(by_name[names[0]], by_name[names[1]])


def _require_same_outputs(a: pd.DataFrame, b: pd.DataFrame) -> None:
    """Raise `InputError` where one pair of generators wrote two outputs to one instruction in the two files."""
    asked = next((k for k in ("instruction_sha256", "instruction_id") if k in a and k in b), None)
    if asked is None:
        raise InputError("the files share neither 'instruction' nor 'instruction_id'; add one to both")
    keys = [asked, "generator_1", "generator_2", "sample"]
    sides = [f.assign(**{asked: f[asked].astype(str).str.strip(), "sample": f["sample"].astype(str)}) for f in (a, b)]
    for side in ("1", "2"):
        text, length = f"output_{side}_hash", f"length_{side}"
        column = text if all(f[text].any() for f in sides) else length
        known = (f[f[text] != 0] if column == text else f for f in sides)
        one, other = (f[[*keys, column]].dropna().drop_duplicates() for f in known)
        met = one.merge(other, on=keys, suffixes=("", "_other"))
        same = met[met[column] == met[f"{column}_other"]][keys].drop_duplicates()
        differ = len(met[keys].drop_duplicates()) - len(same)
        if differ:
            what = plural(differ, "output differs", "outputs differ")
            raise InputError(f"{what} between the two files; rejudge compares judges on the same outputs")
