"""Does the ranking survive a change of judge?

A and B are annotation files of two judges on the same outputs. Prints both win rates of every model, Spearman's rank
correlation, the mean absolute difference, and the pairs of models that change sides beyond noise."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from simfarm.cli.options import add_ranking
from simfarm.report.terminal import answer_json
from simfarm.words import plural

if TYPE_CHECKING:
    import pandas as pd

    from simfarm.ranking import Rejudged
    from simfarm.report.tables import Part

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help="annotations by the first judge")
    parser.add_argument("b", metavar="B", help="annotations by the second judge")
    add_ranking(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compare the two judges; raises `InputError` where a file holds several annotators or other outputs."""
    import pandas as pd

    from simfarm.cli.boards import annotations_in
    from simfarm.errors import InputError
    from simfarm.ranking import compare_judges, leaderboard
    from simfarm.report.tables import print_part

    frames, names = [], []
    baseline = None
    for path, suffix in ((arguments.a, "first"), (arguments.b, "second")):
        frame, baseline = annotations_in([path], arguments.baseline)
        annotators = sorted(frame["annotator"].unique())
        if len(annotators) != 1:
            raise InputError(
                f"{path}: holds {len(annotators)} annotators ({', '.join(annotators[:4])}); give one a file"
            )
        names.append(f"{annotators[0]} ({suffix} file)")
        frames.append(frame.assign(annotator=names[-1]))
    _require_same_outputs(*frames)
    boards = leaderboard(
        pd.concat(frames, ignore_index=True),
        baseline=baseline,
        length_control=(),
        level=arguments.level,
        allow_mixed=arguments.mix_judges,
    )
    by_name = {board.annotator: board for board in boards}
    found = compare_judges(by_name[names[0]], by_name[names[1]])
    if arguments.json:
        answer_json(found.to_json())
    else:
        print_part(_part(found, arguments.level))
    return 0


def _require_same_outputs(a: pd.DataFrame, b: pd.DataFrame) -> None:
    """Raise `InputError` where one pair of generators wrote two outputs to one instruction in the two files."""
    from simfarm.errors import InputError

    asked = next((k for k in ("instruction", "instruction_id") if k in a and k in b), None)
    if asked is None:
        raise InputError("the files share neither 'instruction' nor 'instruction_id'; add one to both")
    keys = [asked, "generator_1", "generator_2", *(["sample"] if "sample" in a and "sample" in b else [])]
    sides = [f.assign(**{asked: f[asked].astype(str).str.strip()}) for f in (a, b)]
    for side in ("1", "2"):
        column = f"output_{side}" if all(f"output_{side}" in f for f in sides) else f"length_{side}"
        one, other = (f[[*keys, column]].dropna().drop_duplicates() for f in sides)
        met = one.merge(other, on=keys, suffixes=("", "_other"))
        same = met[met[column] == met[f"{column}_other"]][keys].drop_duplicates()
        differ = len(met[keys].drop_duplicates()) - len(same)
        if differ:
            raise InputError(
                f"{differ} outputs differ between the two files; rejudge compares judges on the same outputs"
            )


def _part(found: Rejudged, level: float) -> Part:
    from simfarm.report.tables import Part

    rows = [
        [
            row["model"],
            f"{row['win_rate_a']:.1f}",
            f"{row['win_rate_b']:.1f}",
            f"{row['difference']:+.1f} ({row['difference_low']:+.1f} to {row['difference_high']:+.1f})",
        ]
        for row in found.table.to_dict("records")
    ]
    spearman = "needs three models" if found.spearman != found.spearman else f"{found.spearman:.3f}"
    told = [
        f"A: {found.annotator_a}",
        f"B: {found.annotator_b}",
        f"Spearman {spearman}, mean absolute difference {found.mean_absolute_difference:.1f} points",
        f"{len(found.flips)} of {plural(found.n_pairs, 'pair')} of models change sides beyond noise",
    ]
    for flip in found.flips[:20]:
        (a, *_), (b, *_) = flip.under_a, flip.under_b
        told.append(f"  {flip.first} − {flip.second}: {100 * a:+.1f} under A, {100 * b:+.1f} under B")
    headings = ["model", "win rate A", "win rate B", f"B − A {100 * level:g} %"]
    return Part("two judges on the same outputs · sorted by win rate A", headings, rows, told)
