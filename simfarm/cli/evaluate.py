"""Make a leaderboard.

INPUT is one or more annotation files, or output files (then they are annotated first; --baseline says what they are
compared with). Intervals are at the level of --level, with the instruction as the unit of independence."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from simfarm.cli.options import INPUT_HELP, add_judging, add_ranking
from simfarm.cli.outputs import refuse_overwriting
from simfarm.report.terminal import answer_json, say
from simfarm.settings import spelled
from simfarm.text.words import plural

if TYPE_CHECKING:
    import pandas as pd

    from simfarm.data.frames import Verdicts
    from simfarm.data.records import Comparison
    from simfarm.ranking import Board
    from simfarm.report.evaluation import Ranking
    from simfarm.report.tables import Sheet
    from simfarm.runs.annotation import AnnotationRun

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=f"annotations or outputs: {INPUT_HELP}")
    board = add_ranking(parser)
    board.add_argument(
        "--rank",
        choices=["win-rate", "bradley-terry", "lottery"],
        help="what is ranked by (default: win rate over the baseline, bradley-terry where there is none)",
    )
    board.add_argument(
        "--control", metavar="FEATURES", help="hold style equal too: length, headers, lists, bold, code, markdown"
    )
    board.add_argument(
        "--human", metavar="FILE", help="human labels of some of the comparisons: the win rate people would give"
    )
    board.add_argument("--breakdown", action="store_true", help="win rates by dataset or category too")
    board.add_argument("--board", metavar="NAME", help="place the models among a published board's (alpaca-eval-2)")
    board.add_argument("--add-to", type=Path, metavar="BOARD", help="keep the board in files that later models join")
    board.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write the board as .csv (an apostrophe before names that are formulas), .json or .md too (-: CSV to "
        "stdout instead)",
    )
    add_judging(parser)


def run(arguments: argparse.Namespace) -> int:
    """Annotate where needed, rank, print; gives the exit status."""
    from simfarm.data.sources import opened

    ranking = _checked(arguments)
    given = [*arguments.inputs, arguments.baseline, arguments.human]
    with opened(arguments.inputs, arguments.baseline, arguments.human) as (inputs, (baseline, human)):
        if arguments.output and arguments.output != "-":
            refuse_overwriting(arguments.output, [*given, *inputs])
        arguments.inputs, arguments.baseline, arguments.human = inputs, baseline, human
        return _evaluated(arguments, ranking)


def _checked(arguments: argparse.Namespace) -> Ranking:
    """The ranking that the options describe; raises `InputError` for what cannot be or does not go together, before
    anything is read."""
    from simfarm.data.files import check_writable
    from simfarm.errors import InputError
    from simfarm.report.evaluation import Ranking
    from simfarm.report.files import check_target
    from simfarm.report.kept import kept_table
    from simfarm.report.published import published_names

    for name in ("output", "board", "human", "control", "baseline"):
        if getattr(arguments, name) == "":
            raise InputError(f"{spelled(name)} is empty; give it a value or leave it out")
    names = ("length_control", "lc_data", "level", "mix_judges", "rank", "control")
    ranking = Ranking.of(
        **{name: getattr(arguments, name) for name in (*names, "add_to", "board", "human", "breakdown")}
    )
    if arguments.output == "-" and arguments.json:
        raise InputError("-o - and --json both write to standard output; leave one of them out")
    if arguments.output and arguments.output != "-":
        check_target(arguments.output)
    if arguments.board and arguments.board not in published_names():
        raise InputError(f"--board {arguments.board}: no such board; there is {', '.join(published_names())}")
    if arguments.add_to:
        check_writable(kept_table(arguments.add_to))
    return ranking


def _evaluated(arguments: argparse.Namespace, ranking: Ranking) -> int:
    """What `run` does once its inputs are at hand."""
    from simfarm.data.inputs import read_for_evaluation
    from simfarm.data.sources import called
    from simfarm.ranking import inspection
    from simfarm.report.evaluation import annotations_in
    from simfarm.settings import refuse, refuse_asking

    read = read_for_evaluation(arguments.inputs, arguments.baseline, inspection(arguments.control))
    labels = annotations_in([arguments.human])[0] if arguments.human else None
    arguments.asked = {}
    if read is None:
        if arguments.dry_run:
            from simfarm.cli.judging import dry_run  # with it comes all that asks a judge

            return dry_run(arguments, lambda session, pairs: _rehearse(arguments, ranking, session, pairs, labels))
        verdicts, name, status = _annotated(arguments, ranking, labels)
    else:
        refuse_asking(vars(arguments), called(arguments.inputs[0]))
        verdicts, name = read
        status = 0
        if name == arguments.baseline and arguments.rank in ("bradley-terry", "lottery"):
            refuse({"baseline": name}, f"with --rank {arguments.rank}, which needs none")
    if verdicts.table["preference"].isna().all():
        status = status or 4
    if ranking.by_rating(verdicts, name, vars(arguments)):
        from simfarm.report.ratings import ratings_sheet

        _show(arguments, [ratings_sheet(one) for one in ranking.rated(verdicts)])
    else:
        _board(arguments, ranking, verdicts, name, labels)
    if arguments.output and arguments.output != "-":
        say(f"wrote {arguments.output}")
    return status


def _board(
    arguments: argparse.Namespace,
    ranking: Ranking,
    verdicts: Verdicts,
    name: str | None,
    labels: Verdicts | None,
) -> None:
    """Win rates over the baseline, printed and written, with style control and human labels where asked for."""
    from simfarm.report.board import board_sheet
    from simfarm.report.published import place_among, placed_json
    from simfarm.report.ratings import calibrated_json, calibrated_lines, style_json, style_lines, with_rates

    boards, styles, people = ranking.extras(verdicts, ranking.boards(verdicts, name), labels)
    if arguments.add_to:
        boards = [_added(arguments, ranking, verdicts, boards)]
    sheets = []
    for style, given, board in zip(styles, people, boards, strict=True):
        found = given or {}
        for warning in (line for one in found.values() for line in one.warnings):
            say(f"warning: {warning}")
        told = [*style_lines(style, board), *calibrated_lines(found, board.level)]
        placed = [place_among(board, arguments.board)] if arguments.board and board.estimates else []
        more = style_json(style, board) | calibrated_json(found, board) | placed_json(placed)
        rated = with_rates(board, style, found)
        sheets.append(board_sheet(rated, more, told, placed, breakdown=arguments.breakdown))
    _show(arguments, sheets)


def _show(arguments: argparse.Namespace, sheets: Sequence[Sheet]) -> None:
    """Print the sheets, as JSON where that was asked for, and write them; `-` is CSV instead of the print."""
    from simfarm.report.files import json_value, write_csv, write_sheets
    from simfarm.report.tables import print_sheet

    if arguments.output == "-":
        for line in (line for sheet in sheets for line in sheet.warnings):
            say(f"warning: {line}")
        write_csv(sheets)
        return
    if arguments.json:
        answer_json(json_value(sheets))
    else:
        for sheet in sheets:
            print_sheet(sheet)
    if arguments.output:
        write_sheets(arguments.output, sheets)


def _rehearse(
    arguments: argparse.Namespace,
    ranking: Ranking,
    session: AnnotationRun,
    pairs: Sequence[Comparison],
    labels: Verdicts | None,
) -> None:
    """What cannot be ranked, or does not belong on the kept board, is refused before the judge is paid."""

    def kept(verdicts: Verdicts, boards: Sequence[Board]) -> None:
        if arguments.add_to:
            _joined(arguments, verdicts, boards)

    ranking.rehearse(session, pairs, labels, vars(arguments), kept)


def _joined(arguments: argparse.Namespace, verdicts: Verdicts, boards: Sequence[Board]) -> pd.DataFrame:
    """The annotations of the kept board with these among them; raises `InputError` where they do not belong there."""
    from simfarm.errors import InputError
    from simfarm.report.kept import join_kept

    if len(boards) != 1:
        raise InputError(
            f"--add-to keeps one judge a board; the files hold {plural(len(boards), 'annotator')}, give one at a time"
        )
    return join_kept(arguments.add_to, verdicts.table, boards[0].baseline)


def _added(arguments: argparse.Namespace, ranking: Ranking, verdicts: Verdicts, boards: Sequence[Board]) -> Board:
    """The kept board with these annotations in it, ranked anew as one panel."""
    from simfarm.data.frames import frame_verdicts
    from simfarm.report.kept import flags_of, judge_models, keep

    joined = _joined(arguments, verdicts, boards)
    (whole,) = ranking.boards(frame_verdicts(joined, str(arguments.add_to)), boards[0].baseline)
    models = judge_models(verdicts.table, arguments.asked)
    return keep(arguments.add_to, joined, whole, flags_of(boards[0]), arguments.inputs, models=models)


def _annotated(arguments: argparse.Namespace, ranking: Ranking, labels: Verdicts | None) -> tuple[Verdicts, None, int]:
    """(annotations of the output files, no baseline by name: it is output_1 throughout, the exit status so far)."""
    from simfarm.cli.judging import open_run, report_summary, streamed
    from simfarm.data.frames import read_verdicts, row_columns
    from simfarm.errors import BudgetError, InputError
    from simfarm.ranking import inspection

    session, pairs = open_run(arguments)
    _rehearse(arguments, ranking, session, pairs, labels)
    with closing(streamed(session, pairs)) as made:
        rows = (annotation.row() for annotation in made)
        verdicts = read_verdicts([("the new annotations", row_columns(rows))], inspection(arguments.control))
    status = report_summary(session)
    arguments.asked = {} if session.backend is None else {session.model: session.life()}
    if session.tallies.stopped and not session.tallies.status["verdict"]:
        raise BudgetError("there is no verdict to rank yet; raise --budget and run the same command again")
    if verdicts is None:
        raise InputError("there is nothing to judge; name output files with rows")
    return verdicts, None, status
