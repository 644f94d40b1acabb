"""Make candidate outputs: what a model answers to each instruction.

PROMPTS is one or more files of instructions (instruction, or chat messages; a file of outputs gives its instructions).
Outputs come in input order, with what made them. Every answer is kept in a store as it comes: run the same command
again and only what is missing is made. --model embedded needs 'simfarm setup-local' once, no key and no hub."""

from __future__ import annotations

import argparse
from contextlib import closing
from typing import TYPE_CHECKING

from simfarm.cli.cluster import add_cluster, check_cluster, run_on_cluster
from simfarm.cli.options import INPUT_HELP, add_options, add_running, run_options
from simfarm.report.terminal import answer, say
from simfarm.settings.options import BY_NAME, GENERATED, INPUT, MODEL, SAMPLING

if TYPE_CHECKING:
    from simfarm.data.sampling import Sampling

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="PROMPTS", help=INPUT_HELP)
    parser.add_argument("-o", "--output", metavar="FILE", help="where outputs go (default, and -: JSONL to stdout)")
    add_options(parser, (BY_NAME["limit"], *INPUT))
    add_options(parser.add_argument_group("model"), (*MODEL, *GENERATED), required="model")
    add_options(parser.add_argument_group("sampling"), SAMPLING)
    add_running(parser)
    add_cluster(parser)


def run(arguments: argparse.Namespace) -> int:
    """Generate, write the rows in input order, sum up on stderr; gives the exit status."""
    from simfarm.cli.judging import allow_no_key, report_summary, streamed
    from simfarm.data.files import write_rows
    from simfarm.data.inputs import instructions_for
    from simfarm.data.sources import opened
    from simfarm.report.targets import rows_target
    from simfarm.runs.generation import GenerationRun

    check_cluster(arguments)
    if arguments.dry_run:
        allow_no_key()
    with opened(arguments.inputs, arguments.chat_template, columns=arguments.columns) as (inputs, (template,)):
        output = arguments.output if arguments.cluster else rows_target(arguments.output, [*inputs, template])
        sampling, running = _sampling(arguments, template), run_options(arguments)
        names = {"generator": arguments.generator, "system": arguments.system}
        generation = GenerationRun.open(arguments.model, sampling, running, **names)
        instructions = instructions_for(inputs, limit=arguments.limit)
        if arguments.cluster:
            return run_on_cluster(arguments, generation, instructions)
        if arguments.dry_run:
            answer(generation.estimate(instructions))
            return 0
        with closing(streamed(generation, instructions)) as outputs:
            write_rows(output, (one.row() for one in outputs))
    if output:
        say(f"wrote {output}")
    return report_summary(generation)


def _sampling(arguments: argparse.Namespace, template: str | None) -> Sampling:
    """How every answer is drawn."""
    from simfarm.data.files import read_text
    from simfarm.data.sampling import Sampling

    template_args = dict(arguments.template_args)
    if arguments.thinking:
        # the name that Qwen's, and by now most, templates give the switch
        template_args["enable_thinking"] = arguments.thinking == "on"
    names = ("n", "temperature", "top_p", "repetition_penalty", "max_tokens", "seed", "effort", "stop")
    return Sampling(
        **{name: getattr(arguments, name) for name in names},
        chat_template=read_text(template) if template else None,
        template_args=template_args,
    )
