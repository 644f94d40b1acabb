"""Choose one of n samples.

INPUT is a file of outputs with several samples to each instruction, as `simfarm generate --n 16` writes them. The
chosen ones are outputs of a generator of their own, ready for evaluate. What a method costs is printed and stands in
each row, so that methods can be compared at equal cost; random, longest and oracle are controls and cost nothing."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from simfarm.cli.options import add_judging, level, whole

if TYPE_CHECKING:
    from simfarm.files import Row
    from simfarm.generation.rivals import Contest
    from simfarm.generation.select import Scores
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
        "--generator", metavar="NAME", help="of the chosen outputs (default: says how they were chosen)"
    )
    curve = parser.add_argument_group("best-of-n curve")
    curve.add_argument(
        "--gold", metavar="COLUMN", help="print what choosing by this method's score buys in a true score, for every n"
    )
    curve.add_argument("--curve", metavar="FILE", help="write that curve: .csv, .json or .md (gold: the score itself)")
    curve.add_argument("--level", type=level, default=0.95, metavar="L", help="of its intervals (default 0.95)")
    add_judging(parser)


def run(arguments: argparse.Namespace) -> int:
    """Score, choose, write the chosen rows in input order, sum up on stderr; gives the exit status."""
    from simfarm.errors import BudgetError
    from simfarm.files import check_writable, read_rows, write_rows
    from simfarm.generation.select import choose, column_scores, sample_groups
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
    groups = _limited(everything, outputs, arguments.limit)
    if arguments.limit:
        texts = {outputs[group[0]].instruction.strip() for group in groups}
        baseline = [output for output in baseline if output.instruction.strip() in texts] or baseline
    names = _names(arguments, outputs, groups)
    gold = column_scores(rows, outputs, groups, arguments.gold, arguments.input) if arguments.gold else None
    scored = _scores(arguments, rows, outputs, groups, baseline)
    if scored is None:
        return 0
    scores, method, status = scored
    chosen = choose(scores, outputs, groups)
    if status == 3 and all(position is None for position in chosen):
        raise BudgetError("no sample has a score yet; raise --budget and run the same command again")
    write_rows(arguments.output, _chosen_rows(rows, groups, chosen, scores, (names, method)))
    if arguments.output:
        print(f"wrote {arguments.output}", file=sys.stderr)
    missing = _report(scores, groups, chosen)
    if arguments.gold or arguments.curve:
        _curves(arguments, outputs, groups, scores, gold or scores)
    # what has no baseline output was allowed for; what has no verdict is in the status already
    return status or (4 if missing and not arguments.allow_missing else 0)


def _by(arguments: argparse.Namespace) -> str | None:
    """What best-of-n goes by; None for every other method."""
    return (arguments.by or "judge") if arguments.method == "best-of-n" else None


def _check_options(arguments: argparse.Namespace) -> None:
    """Refuse an option that the method would ignore. Raises `InputError`."""
    from simfarm.errors import InputError
    from simfarm.report.board import check_target

    by = _by(arguments)
    method = f"--method {arguments.method}" + (f" --by {by}" if by else "")
    asks = by == "judge" or arguments.method == "win-share"
    useful = {
        "by": by is not None,
        "baseline": by == "judge",
        "rivals": arguments.method == "win-share",
        "score": arguments.method == "oracle",
        "seed": arguments.method == "random",
        **dict.fromkeys(("model", "engine_arg"), asks or by == "likelihood"),
        **dict.fromkeys(("judge", "base_url", "order", "allow_missing", "retry_unparseable"), asks),
        **dict.fromkeys(("budget", "price", "concurrency", "rpm", "tpm", "timeout"), asks),
    }
    for option, used in useful.items():
        value = getattr(arguments, option)
        if value is not None and value is not False and value != [] and not used:
            raise InputError(f"--{option.replace('_', '-')} does nothing with {method}; leave it out")
    if arguments.repeats != 1 and not asks:
        raise InputError(f"--repeats does nothing with {method}; leave it out")
    for option, needed in (("score", "oracle"), ("model", "likelihood")):
        if needed in (arguments.method, by) and not getattr(arguments, option):
            raise InputError(f"{method} needs --{option}; add it")
    if arguments.curve:
        check_target(arguments.curve)


def _limited(groups: Groups, outputs: Sequence[Output], limit: int | None) -> Groups:
    """The groups of the first `limit` instructions."""
    texts = [outputs[group[0]].instruction.strip() for group in groups]
    wanted = set(list(dict.fromkeys(texts))[:limit])
    return [group for group, text in zip(groups, texts, strict=True) if text in wanted]


def _names(arguments: argparse.Namespace, outputs: Sequence[Output], groups: Groups) -> list[str]:
    """Each group's generator after the choice; says on stderr which instructions have fewer samples."""
    from simfarm.engine.session import DEFAULT_JUDGE
    from simfarm.errors import InputError
    from simfarm.judges import load_judge

    sizes: dict[str, list[int]] = {}
    for group in groups:
        sizes.setdefault(outputs[group[0]].generator, []).append(len(group))
    if arguments.generator and len(sizes) > 1:
        raise InputError(
            f"--generator names one generator, and {arguments.input} holds {len(sizes)}; leave it out or select from "
            "a file for each"
        )
    by = _by(arguments)
    if by == "judge" or arguments.method == "win-share":
        by = load_judge(arguments.judge or DEFAULT_JUDGE).name
    told = {}
    for name, counts in sizes.items():
        most = max(counts)
        wanted = arguments.n or most
        fewer = [count for count in counts if count < wanted]
        if fewer:
            print(
                f"warning: {len(fewer)} of {len(counts)} instructions have fewer than {wanted} samples by {name} "
                f"(the fewest: {min(fewer)}); choosing among fewer is another method",
                file=sys.stderr,
            )
        manner = f"best-of-{most}" if arguments.method == "best-of-n" else f"{arguments.method}-of-{most}"
        manner += f" by {by}" if by else ""
        told[name] = arguments.generator or f"{name} {manner}"
    return [told[outputs[group[0]].generator] for group in groups]


def _scores(
    arguments: argparse.Namespace,
    rows: Sequence[Row],
    outputs: Sequence[Output],
    groups: Groups,
    baseline: Sequence[Output],
) -> tuple[Scores, str, int] | None:
    """(scores, how they were made, the exit status so far); None where it was a dry run."""
    from simfarm.generation.rivals import against_baseline, against_siblings

    by = _by(arguments)
    if by == "judge":
        contest = against_baseline(
            outputs,
            groups,
            baseline,
            allow_missing=arguments.allow_missing,
            note=lambda line: print(line, file=sys.stderr),
        )
        return _judged(arguments, contest, "best-of-n")
    if arguments.method == "win-share":
        return _judged(arguments, against_siblings(outputs, groups, arguments.rivals), "win-share")
    if by == "likelihood":
        return _likelihoods(arguments, outputs, groups)
    if arguments.dry_run:
        print("no model is asked: $0.00")
        return None
    return *_free_scores(arguments, rows, outputs, groups), 0


def _free_scores(
    arguments: argparse.Namespace, rows: Sequence[Row], outputs: Sequence[Output], groups: Groups
) -> tuple[Scores, str]:
    """(scores that ask nobody, how they were made)."""
    from simfarm.generation.select import column_scores, length_scores, random_scores

    column = arguments.score or _by(arguments)
    if column:
        return column_scores(rows, outputs, groups, column, arguments.input), f"{arguments.method} by {column}"
    if arguments.method == "longest":
        return length_scores(outputs, groups), "longest"
    seed = arguments.seed or 0
    return random_scores(outputs, groups, seed), f"random, seed {seed}"


def _judged(arguments: argparse.Namespace, contest: Contest, method: str) -> tuple[Scores, str, int] | None:
    from simfarm.cli.judging import allow_no_key, open_session, report_summary, streamed

    if arguments.dry_run:
        allow_no_key()
    session = open_session(arguments)
    pairs = contest.comparisons
    if arguments.dry_run:
        print(session.estimate(pairs))
        return None
    if session.judge.rule == "surface":
        from simfarm.judges.surface import banner

        print(banner(), file=sys.stderr)
    scores = contest.scores(streamed(session, pairs))
    return scores, f"{method} by judge {session.judge.name} ({session.judge.hash})", report_summary(session)


def _likelihoods(
    arguments: argparse.Namespace, outputs: Sequence[Output], groups: Groups
) -> tuple[Scores, str, int] | None:
    from simfarm.backends import open_model
    from simfarm.cli.progress import progress
    from simfarm.engine.store import default_store_path
    from simfarm.generation.likelihood import Likelihoods

    model = open_model(arguments.model, dict(arguments.engine_arg))
    texts = sum(len({outputs[row].output for row in group}) for group in groups)
    if arguments.dry_run:
        print(f"{texts} texts would be read by {model.model}, less those in the store: $0.00")
        return None
    likelihoods = Likelihoods(model, arguments.store or default_store_path())
    with progress(model.model, texts) as told:
        scores = likelihoods.scores(outputs, groups, lambda: told(""))
    print(f"{likelihoods.asked} likelihoods computed, {likelihoods.cached} from the store", file=sys.stderr)
    for problem, count in likelihoods.problems.most_common(5):
        print(f"no likelihood {count}×: {problem}", file=sys.stderr)
    return scores, f"best-of-n by likelihood of {model.model}", 0


def _chosen_rows(
    rows: Sequence[Row],
    groups: Groups,
    chosen: Sequence[int | None],
    scores: Scores,
    named: tuple[Sequence[str], str],
) -> Iterator[Row]:
    from simfarm.generation.select import chosen_row

    names, method = named
    for group, position, name, cost in zip(groups, chosen, names, scores.costs, strict=True):
        if position is not None:
            yield chosen_row(rows[position], group, position, generator=name, method=method, scores=scores, cost=cost)


def _report(scores: Scores, groups: Groups, chosen: Sequence[int | None]) -> bool:
    """Say on stderr what was chosen, what has no score and what it cost; gives whether a score is missing."""
    from simfarm.generation.select import total_cost

    left_out = sum(position is None for position in chosen)
    unscored = sum(math.isnan(scores.values[row]) for group in groups for row in group)
    print(f"chose {len(groups) - left_out} of {sum(map(len, groups))} samples", file=sys.stderr)
    if unscored:
        print(f"warning: {unscored} samples have no score and were not chosen", file=sys.stderr)
    if left_out:
        print(f"warning: left out {left_out} instructions, none of whose samples has a score", file=sys.stderr)
    cost = total_cost(scores.costs)
    if not cost.calls:
        print("cost of choosing: no call", file=sys.stderr)
        return bool(unscored)

    def told(count: int | None) -> str:
        return "unknown" if count is None else f"{count:,} ({count / len(groups):,.1f} an instruction)"

    print(
        f"cost of choosing: calls {told(cost.calls)}, input tokens {told(cost.input_tokens)}, "
        f"output tokens {told(cost.output_tokens)}",
        file=sys.stderr,
    )
    return bool(unscored)


def _curves(
    arguments: argparse.Namespace, outputs: Sequence[Output], groups: Groups, scores: Scores, gold: Scores
) -> None:
    """Each generator's curve: powers of two are printed, every n is written."""
    from simfarm.generation.curve import best_of_n_curve, curve_rows, curve_table

    written, shown = [], []
    for name in dict.fromkeys(outputs[group[0]].generator for group in groups):
        own = [group for group in groups if outputs[group[0]].generator == name]
        curve = best_of_n_curve(
            [[scores.values[row] for row in group] for group in own],
            [[gold.values[row] for row in group] for group in own],
        )
        if len(curve.n) < max(map(len, own)):
            print(f"the curve of {name} ends at n = {len(curve.n)}: an instruction has no more scores", file=sys.stderr)
        table = [{"generator": name, **row} for row in curve_rows(curve, arguments.level)]
        written += table
        shown += [row for row in table if row["n"] & (row["n"] - 1) == 0 or row["n"] == len(curve.n)]
    print(curve_table(shown), file=sys.stdout if arguments.output else sys.stderr)
    if arguments.curve:
        _write_curve(arguments.curve, written)
        print(f"wrote {arguments.curve}", file=sys.stderr)


def _write_curve(path: str, table: list[dict[str, Any]]) -> None:
    from pathlib import Path

    from simfarm.files import write_rows
    from simfarm.generation.curve import curve_table

    if path.endswith(".md"):
        Path(path).write_text(curve_table(table) + "\n", encoding="utf-8")
    else:
        write_rows(path, table)
