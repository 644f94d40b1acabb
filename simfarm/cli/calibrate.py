"""Fit a crowd of simulated people to real ones.

POPULATION is a YAML file (or a name) with `population:`; --human are people's labels, several of each comparison;
--annotations are the runs of the population's judge on the same comparisons (simfarm annotate --repeats 8). Fits what
the file leaves open, with standard errors, writes it with the numbers in it (-o), and holds a crowd fitted to one half
of the instructions against people on the other."""

from __future__ import annotations

import argparse

from simfarm.cli.options import INPUT_HELP, add_options
from simfarm.report.terminal import answer_json, say
from simfarm.settings.options import INPUT, INTERVALS

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("population", metavar="POPULATION", help="a population's file or name")
    parser.add_argument("--human", nargs="+", required=True, metavar="LABELS", help=f"labels by people: {INPUT_HELP}")
    parser.add_argument(
        "--annotations", nargs="+", default=[], metavar="RUNS", help="the verdicts of the judge, each call a run"
    )
    add_options(parser, INPUT)
    shown = add_options(parser.add_argument_group("report"), INTERVALS)
    shown.add_argument("--json", action="store_true", help="everything, for machines")
    shown.add_argument("-o", "--output", metavar="FILE", help="write the population with its numbers, a .yaml file")


def run(arguments: argparse.Namespace) -> int:
    """Print the fit and the fidelity, write the population; gives the exit status."""
    from simfarm.data.sources import opened
    from simfarm.report.calibrated import calibrated_crowd, calibration_sheet, crowd_population, runs_missing
    from simfarm.report.explained import check_judge_file
    from simfarm.report.tables import print_sheet
    from simfarm.report.targets import refuse_overwriting

    population = crowd_population(arguments.population)
    runs_missing(population, arguments.annotations)
    if arguments.output is not None:
        check_judge_file(arguments.output)
        refuse_overwriting(arguments.output, [str(population.path), *arguments.human, *arguments.annotations])
    with opened(arguments.annotations, *arguments.human, columns=arguments.columns, strict=False) as (runs, human):
        made = calibrated_crowd(population, human, runs, level=arguments.level, mix_judges=arguments.mix_judges)
    if arguments.output:
        made.write(arguments.output)
    for note in made.notes:
        say(note)
    if arguments.output:
        say(f"wrote {arguments.output}")
    sheet = calibration_sheet(made)
    if arguments.json:
        answer_json(dict(sheet.record))
    else:
        print_sheet(sheet)
    return 0
