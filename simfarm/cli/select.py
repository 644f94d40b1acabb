"""Choose one of n samples.

INPUT is a file of outputs with several samples to each instruction, as `simfarm generate --n 16` writes them. The
chosen ones are outputs of a generator of their own, ready for evaluate. What a method costs is printed and stands in
each row, so that methods can be compared at equal cost; random, longest and oracle are controls and cost nothing."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from simfarm.cli.options import add_judging, level, whole
from simfarm.report.terminal import answer, say

if TYPE_CHECKING:
    from simfarm.files import Row
    from simfarm.generation.rivals import Contest
    from simfarm.generation.select import Manner, Scores
    from simfarm.records import Output

__all__ = ["add_arguments", "run"]

Groups = Sequence[Sequence[int]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", metavar="INPUT", help="outputs with samples: .json, .jsonl, .csv, .parquet, hf://…")
    parser.add_argument(
        "--method",
        required=True,
        choices=["best-of-n", "win-share", "random", "longest", "oracle"],
        help="best-of-n: the highest score; win-share: preferred to most of its siblings; the others are controls",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="where the chosen outputs go (default: JSONL to stdout)")
    choice = parser.add_argument_group("choice")
    choice.add_argument("--n", type=whole, metavar="N", help="only the first N samples of each instruction")
    choice.add_argument(
        "--by",
        metavar="judge|likelihood|COLUMN",
        help="best-of-n: the score (default judge, against --baseline; likelihood is that of --model)",
    )
    choice.add_argument(
        "--baseline", metavar="FILE|NAME", help="best-of-n by judge: whom every sample is compared with"
    )
    choice.add_argument("--rivals", type=whole, metavar="K", help="win-share: siblings that each sample meets (all)")
    choice.add_argument("--score", metavar="COLUMN", help="oracle: the true score")
    choice.add_argument("--seed", type=int, metavar="S", help="random: another draw (default 0)")
    choice.add_argument(
        "--chat-template",
        metavar="FILE",
        help="best-of-n by likelihood: the template that the answers were given under",
    )
    choice.add_argument(
        "--generator", metavar="NAME", help="of the chosen outputs (default: says how they were chosen)"
    )
    curve = parser.add_argument_group("best-of-n curve")
    curve.add_argument(
        "--gold", metavar="COLUMN", help="print what choosing by this method's score buys in a true score, for every n"
    )
    curve.add_argument("--curve", metavar="FILE", help="write that curve: .csv, .json or .md (gold: the score itself)")
    curve.add_argument("--level", type=level, metavar="L", help="of its intervals (default 0.95)")
    add_judging(parser)


def run(arguments: argparse.Namespace) -> int:
    """Score, choose, write the chosen rows in input order, sum up on stderr; gives the exit status."""
    from simfarm.errors import BudgetError
    from simfarm.files import check_writable, read_rows, write_rows
    from simfarm.generation.curve import group_clusters
    from simfarm.generation.select import (
        choose,
        chosen_rows,
        closing_lines,
        column_scores,
        first_instructions,
        sample_groups,
        selected_names,
        size_notes,
    )
    from simfarm.inputs import split_outputs
    from simfarm.records import outputs_from_rows

    _check_options(arguments)
    if arguments.output:
        check_writable(arguments.output)
    rows = read_rows(arguments.input)
    outputs = outputs_from_rows(rows, arguments.input)
    baseline: list[Output] = []
    if _by(arguments) == "judge":
        baseline, _ = split_outputs(outputs, arguments.baseline)
    inside = bool(baseline) and any(output is baseline[0] for output in outputs)
    everything = sample_groups(outputs, arguments.n, leave_out=baseline[0].generator if inside else None)
    groups = first_instructions(everything, outputs, arguments.limit)
    if arguments.limit:
        texts = {outputs[group[0]].instruction.strip() for group in groups}
        baseline = [output for output in baseline if output.instruction.strip() in texts] or baseline
    _check_name(arguments, outputs, groups)
    _tell(*size_notes(outputs, groups, arguments.n))
    gold = None
    if arguments.gold or arguments.curve:
        # ids that contradict each other are refused before anything is paid for
        group_clusters(outputs, groups)
    if arguments.gold:
        gold = column_scores(rows, outputs, groups, arguments.gold, arguments.input)
    scored = _scores(arguments, rows, outputs, groups, baseline)
    if scored is None:
        return 0
    scores, manner, status = scored
    chosen = choose(scores, outputs, groups)
    if status == 3 and all(position is None for position in chosen):
        raise BudgetError("no sample has a score yet; raise --budget and run the same command again")
    stem = "best" if arguments.method == "best-of-n" else arguments.method
    names = selected_names(outputs, groups, stem, manner, arguments.generator)
    write_rows(arguments.output, chosen_rows(rows, groups, chosen, scores, names=names, manner=manner))
    if arguments.output:
        say(f"wrote {arguments.output}")
    _tell(*closing_lines(scores, outputs, groups, chosen))
    if arguments.gold or arguments.curve:
        _curves(arguments, outputs, groups, scores, gold or scores)
    missing = any(math.isnan(scores.values[row]) for group in groups for row in group)
    # what has no baseline output was allowed for; what has no verdict is in the status already
    return status or (4 if missing and not arguments.allow_missing else 0)


def _tell(*lines: str) -> None:
    for line in lines:
        say(line)


def _by(arguments: argparse.Namespace) -> str | None:
    """What best-of-n goes by; None for every other method."""
    return (arguments.by or "judge") if arguments.method == "best-of-n" else None


def _check_options(arguments: argparse.Namespace) -> None:
    """Refuse an option that the method would ignore, and a target that would overwrite. Raises `InputError`."""
    from simfarm.errors import InputError
    from simfarm.report.files import check_target

    by = _by(arguments)
    method = f"--method {arguments.method}" + (f" --by {by}" if by else "")
    asks = by == "judge" or arguments.method == "win-share"
    drawn = arguments.gold is not None or arguments.curve is not None
    useful = {
        "by": arguments.method == "best-of-n",
        "baseline": by == "judge",
        "rivals": arguments.method == "win-share",
        "score": arguments.method == "oracle",
        "seed": arguments.method == "random",
        "chat_template": by == "likelihood",
        "allow_missing": asks or by == "likelihood",
        **dict.fromkeys(("model", "engine_arg"), asks or by == "likelihood"),
        **dict.fromkeys(("judge", "base_url", "order", "retry_unparseable"), asks),
        **dict.fromkeys(("budget", "price", "concurrency", "rpm", "tpm", "timeout"), asks),
    }
    for option, used in useful.items():
        value = getattr(arguments, option)
        if value is not None and value is not False and value != [] and not used:
            raise InputError(f"--{option.replace('_', '-')} does nothing with {method}; leave it out")
    for option in ("output", "by", "baseline", "score", "chat_template", "generator", "gold", "curve"):
        if getattr(arguments, option) == "":
            raise InputError(f"--{option.replace('_', '-')} is empty; give it a value or leave it out")
    if arguments.repeats != 1 and not asks:
        raise InputError(f"--repeats does nothing with {method}; leave it out")
    if arguments.level is not None and not drawn:
        raise InputError("--level does nothing without a curve; add --gold or --curve, or leave it out")
    if drawn and arguments.method == "win-share":
        raise InputError(
            f"--{'gold' if arguments.gold else 'curve'} cannot go with --method win-share: a sample's share of wins "
            "depends on its siblings, so that fewer samples would have other scores; run it with --n 2, 4, 8 instead"
        )
    for option, needed in (("score", "oracle"), ("model", "likelihood")):
        if needed in (arguments.method, by) and not getattr(arguments, option):
            raise InputError(f"{method} needs --{option}; add it")
    if arguments.curve:
        check_target(arguments.curve)
    _check_targets(arguments)


def _check_targets(arguments: argparse.Namespace) -> None:
    """Refuse to write over what is read, or twice over one file. Raises `InputError`."""
    from simfarm.errors import InputError

    taken = {
        os.path.realpath(path): f"{path} is read"
        for path in (arguments.input, arguments.baseline, arguments.chat_template)
        if path is not None and os.path.exists(path)
    }
    for option, path in (("-o", arguments.output), ("--curve", arguments.curve)):
        if path is None:
            continue
        place = os.path.realpath(path)
        if place in taken:
            raise InputError(f"{option} {path} would write over it: {taken[place]}; name another file")
        taken[place] = f"{path} is where the chosen outputs go"


def _check_name(arguments: argparse.Namespace, outputs: Sequence[Output], groups: Groups) -> None:
    from simfarm.errors import InputError

    names = {outputs[group[0]].generator for group in groups}
    if arguments.generator and len(names) > 1:
        raise InputError(
            f"--generator names one generator, and {arguments.input} holds {len(names)}; leave it out or select from "
            "a file for each"
        )


def _scores(
    arguments: argparse.Namespace,
    rows: Sequence[Row],
    outputs: Sequence[Output],
    groups: Groups,
    baseline: Sequence[Output],
) -> tuple[Scores, Manner, int] | None:
    """(scores, how they were made, the exit status so far); None where it was a dry run."""
    from simfarm.generation.rivals import against_baseline, against_siblings

    by = _by(arguments)
    if by == "judge":
        contest = against_baseline(
            outputs,
            groups,
            baseline,
            allow_missing=arguments.allow_missing,
            note=_tell,
        )
        return _judged(arguments, contest, baseline[0].generator)
    if arguments.method == "win-share":
        return _judged(arguments, against_siblings(outputs, groups, arguments.rivals), None)
    if by == "likelihood":
        return _likelihoods(arguments, outputs, groups)
    if arguments.dry_run:
        answer("no model is asked: $0.00")
        return None
    return *_free_scores(arguments, rows, outputs, groups), 0


def _free_scores(
    arguments: argparse.Namespace, rows: Sequence[Row], outputs: Sequence[Output], groups: Groups
) -> tuple[Scores, Manner]:
    """(scores that ask nobody, how they were made)."""
    from simfarm.generation.select import Manner, column_scores, length_scores, random_scores

    column = arguments.score or _by(arguments)
    if column:
        manner = Manner(f"by {column}", f"{arguments.method} by {column}")
        return column_scores(rows, outputs, groups, column, arguments.input), manner
    if arguments.method == "longest":
        return length_scores(outputs, groups), Manner("", "longest")
    seed = arguments.seed or 0
    return random_scores(outputs, groups, seed), Manner(f"seed {seed}", f"random, seed {seed}")


def _judged(arguments: argparse.Namespace, contest: Contest, against: str | None) -> tuple[Scores, Manner, int] | None:
    """`against` is the baseline's generator, None among siblings."""
    from simfarm.cli.judging import allow_no_key, open_session, report_summary, streamed
    from simfarm.generation.rivals import judged_manner

    if arguments.dry_run:
        allow_no_key()
    session = open_session(arguments)
    pairs = contest.comparisons
    if arguments.dry_run:
        answer(session.estimate(pairs))
        return None
    if session.judge.rule == "surface":
        from simfarm.judges.surface import banner

        say(banner())
    _tell(*contest.order_notes(session.judge))
    with closing(streamed(session, pairs)) as made:
        scores = contest.scores(made)
    manner = judged_manner(
        session.judge, against=against, rivals=arguments.rivals, order=arguments.order, repeats=arguments.repeats
    )
    return scores, manner, report_summary(session)


def _likelihoods(
    arguments: argparse.Namespace, outputs: Sequence[Output], groups: Groups
) -> tuple[Scores, Manner, int] | None:
    from simfarm.backends import open_model
    from simfarm.cli.progress import progress
    from simfarm.engine.store import default_store_path
    from simfarm.files import read_text
    from simfarm.generation.likelihood import Likelihoods
    from simfarm.generation.select import Manner

    model = open_model(arguments.model, dict(arguments.engine_arg))
    template = None if arguments.chat_template is None else read_text(arguments.chat_template)
    likelihoods = Likelihoods(model, arguments.store or default_store_path(), chat_template=template)
    likelihoods.check(outputs, groups)
    texts = len(likelihoods.questions(outputs, groups))
    if arguments.dry_run:
        answer(f"{texts} texts would be read by {model.model}, less those in the store: $0.00")
        return None
    _tell(*likelihoods.notes(outputs, groups))
    with progress(model.model, texts) as bar:
        scores = likelihoods.scores(outputs, groups, bar.step)
    say(f"{likelihoods.asked} likelihoods computed, {likelihoods.cached} from the store")
    for problem, count in likelihoods.problems.most_common(5):
        say(f"no likelihood {count}×: {problem}")
    _tell("the tokens below are those of the texts, without what a chat template puts around them")
    manner = f"by likelihood of {model.model}"
    return scores, Manner(manner, f"best-of-n {manner}"), 0


def _curves(
    arguments: argparse.Namespace, outputs: Sequence[Output], groups: Groups, scores: Scores, gold: Scores
) -> None:
    """Each generator's curve: powers of two are printed, every n is written."""
    from simfarm.generation.curve import curve_rows, generator_curves
    from simfarm.report.curve import curve_part, write_curve
    from simfarm.report.tables import print_part

    written, shown = [], []
    curves = generator_curves(outputs, groups, scores.values, gold.values, _tell)
    for name, curve in curves.items():
        table = [{"generator": name, **row} for row in curve_rows(curve, arguments.level or 0.95)]
        written += table
        shown += [row for row in table if row["n"] & (row["n"] - 1) == 0 or row["n"] == len(curve.n)]
    if not shown:
        return
    limits = arguments.level or 0.95
    print_part(curve_part(shown, limits), aside=not arguments.output)
    if arguments.curve:
        write_curve(arguments.curve, written, limits)
        say(f"wrote {arguments.curve}")
