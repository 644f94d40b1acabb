"""What is a trick worth on a judge's board?

The outputs of one model are dressed up: padded, with words in bold, as lists, flattering, addressed to the judge, and
replaced by one answer to every question. Each dress stands on the board as a model of its own, against the same
baseline (where none is named, the outputs as they are). Printed is what it gains in points, raw and at equal length;
several judges stand side by side."""

from __future__ import annotations

import argparse

from simfarm.cli.options import INPUT_HELP, add_options, add_running, judge_options, run_options
from simfarm.settings.options import BASELINE, DATA, INPUT, INTERVALS, JUDGE, RETRY

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The judges, the outputs, and how they are asked."""
    parser.add_argument("judges", nargs="+", metavar="JUDGE", help="bundled judges, YAML files or folders")
    parser.add_argument("--outputs", nargs="+", required=True, metavar="FILE", help=f"one model's: {INPUT_HELP}")
    limit = [option for option in DATA if option.name == "limit"]
    add_options(parser, (*BASELINE, *limit, *INPUT, *(option for option in INTERVALS if option.name == "level")))
    parser.add_argument("-o", "--output", metavar="FILE", help="write every price as .csv, .json or .md too")
    parser.add_argument("--json", action="store_true", help="everything, for machines")
    add_options(parser.add_argument_group("judge"), [option for option in JUDGE if option.name != "judge"])
    add_running(parser, more=RETRY)
    parser.set_defaults(judge=None)


def run(arguments: argparse.Namespace) -> int:
    """Ask, print the prices; gives the exit status."""
    from simfarm.cli.judging import allow_no_key, report_summary, streamed
    from simfarm.data.sources import opened
    from simfarm.methods.stress import Stress, stressed_outputs
    from simfarm.report.files import write_sheet
    from simfarm.report.stressed import stressed_sheet
    from simfarm.report.tables import print_sheet
    from simfarm.report.targets import check_board_file, refuse_overwriting
    from simfarm.report.terminal import answer, answer_json, say

    if arguments.output is not None:
        check_board_file(arguments.output)
        refuse_overwriting(arguments.output, arguments.outputs)
    if arguments.dry_run:
        allow_no_key()
    with opened(arguments.outputs, arguments.baseline, columns=arguments.columns) as (sources, (named,)):
        outputs, baseline = stressed_outputs(sources, named, arguments.limit)
    stress = Stress(
        arguments.judges,
        outputs,
        baseline,
        judge_options(arguments),
        run_options(arguments),
        streamed,
        level=arguments.level,
    )
    if arguments.dry_run:
        answer(stress.estimate())
        return 0
    sheet = stressed_sheet(stress.stressed())
    if arguments.output is not None:
        write_sheet(arguments.output, sheet)
        say(f"wrote {arguments.output}")
    if arguments.json:
        answer_json(dict(sheet.record))
    else:
        print_sheet(sheet)
    return max((report_summary(run) for run in stress.runs), key=lambda status: (status == 3, status))
