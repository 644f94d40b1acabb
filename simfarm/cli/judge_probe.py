"""What can a judge be fooled by?

JUDGE is asked about pairs whose right verdict is known by construction: an item dropped, a number changed, filler,
flattery, an order hidden in the answer …; whether it goes by what it is told; and whether its verdicts stay in other
manners of asking. The pairs are made of --outputs, or of answers that ship with simfarm. Everything is asked as by
annotate: kept in the store, resumed, within --budget; see the price first with --dry-run."""

from __future__ import annotations

import argparse

from simfarm.cli.options import INPUT_HELP, add_options, add_running, judge_options, run_options
from simfarm.settings.options import INPUT, INTERVALS, JUDGE, PROBE, RETRY

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The judge, what pairs are made of, and how it is asked."""
    parser.add_argument("judge", metavar="JUDGE", help="a bundled judge, a YAML file or a folder")
    parser.add_argument(
        "--outputs", nargs="+", default=[], metavar="FILE", help=f"what pairs are made of: {INPUT_HELP}"
    )
    add_options(parser, (*PROBE, *INPUT, *(option for option in INTERVALS if option.name == "level")))
    parser.add_argument("-o", "--output", metavar="FILE", help="write every figure as .csv, .json or .md too")
    parser.add_argument("--json", action="store_true", help="everything, for machines")
    own = [option for option in JUDGE if option.name not in ("judge", "order")]
    add_options(parser.add_argument_group("judge"), own)
    add_running(parser, more=RETRY)
    # the places are what every pair is turned round for
    parser.set_defaults(order=None)


def run(arguments: argparse.Namespace) -> int:
    """Ask, print the card; gives the exit status."""
    from simfarm.cli.judging import allow_no_key, report_summary, streamed
    from simfarm.data.files import check_writable, write_rows
    from simfarm.data.inputs import outputs_for
    from simfarm.data.sources import opened
    from simfarm.methods.probing import Prober, bundled_outputs
    from simfarm.report.files import write_sheet
    from simfarm.report.probed import probed_sheet
    from simfarm.report.tables import print_sheet
    from simfarm.report.targets import check_board_file, refuse_overwriting
    from simfarm.report.terminal import answer, answer_json, say

    if arguments.output is not None:
        check_board_file(arguments.output)
        refuse_overwriting(arguments.output, arguments.outputs)
    if arguments.verdicts is not None:
        check_writable(arguments.verdicts, arguments.outputs)
    if arguments.dry_run:
        allow_no_key()
    with opened(arguments.outputs, columns=arguments.columns) as (sources, _):
        outputs = outputs_for(sources, arguments.limit) if sources else bundled_outputs(arguments.limit)
    prober = Prober(
        outputs,
        judge_options(arguments),
        run_options(arguments),
        streamed,
        twins=arguments.twins,
        respects=tuple(arguments.along),
        level=arguments.level,
    )
    if arguments.dry_run:
        answer(prober.estimate())
        return 0
    found, annotations = prober.probed()
    for line in prober.notes:
        say(line)
    sheet = probed_sheet(found)
    if arguments.verdicts is not None:
        write_rows(arguments.verdicts, (annotation.row() for annotation in annotations), prober.run.columns)
        say(f"wrote {arguments.verdicts}")
    if arguments.output is not None:
        write_sheet(arguments.output, sheet)
        say(f"wrote {arguments.output}")
    if arguments.json:
        answer_json(dict(sheet.record))
    else:
        print_sheet(sheet)
    return max(report_summary(prober.run), 4 if prober.missing else 0, key=lambda status: (status == 3, status))
