"""Annotation files and people's labels, read and matched: what every verb about trust begins with."""

from __future__ import annotations

from collections.abc import Sequence

from simfarm.agreement.votes import Votes, votes_of
from simfarm.data.frames import Verdicts
from simfarm.data.inspection import Inspection
from simfarm.data.judged import judged_in
from simfarm.data.sources import Source, called
from simfarm.errors import InputError
from simfarm.text.words import named

__all__ = ["read_votes"]


def read_votes(
    annotations: Sequence[Source], human: Sequence[Source], *, mix_judges: bool = False, names: Sequence[str] = ()
) -> Votes:
    """The votes of annotation files or tables (those that scores of single outputs imply too), of the judges `names`
    alone where some are given, and of people's labels. Raises `InputError` for what cannot be read or matched, and for
    a name that is no judge."""
    looked = Inspection(features=("lists", "bold"), calls=True)
    read: list[Verdicts | None] = []
    for sources, what in ((annotations, "verdicts"), (human, "labels")):
        found = judged_in(sources, looked) if sources else None
        if sources and found is None:
            raise InputError(
                f"{called(sources[0])}: holds no {what} (column 'preference'); if it has another name, give --columns "
                "preference=NAME"
            )
        if what == "labels" and found is not None and found.table["preference"].isna().all():
            raise InputError(f"{called(sources[0])}: not one of its rows has a preference; give people's labels")
        read.append(found)
    if read[0] is None:
        raise InputError("there is no input; name an annotation file")
    if names:
        there = read[0].annotators()
        if unknown := [name for name in names if name not in there]:
            raise InputError(f"no judge {unknown[0]!r} in the annotations; there are {named(there, 8)}")
        kept = read[0].table["annotator"].astype(str).isin(names)
        read[0] = Verdicts(read[0].table[kept].reset_index(drop=True))
    del found
    # nobody else holds the rows, so that they go as soon as they are votes
    return votes_of(read.pop(0), read.pop(), allow_mixed=mix_judges)  # type: ignore[arg-type]
