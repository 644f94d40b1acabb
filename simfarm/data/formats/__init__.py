"""Files of others, read and written: a module for each family of formats, one table of all.

What tells a format is its columns. Our own come first: a file that has them is read as it is.
"""

from __future__ import annotations

from collections.abc import Collection

from simfarm.data.formats.alpaca_eval import ALPACA_EVAL, SIMFARM
from simfarm.data.formats.annotated_pairs import ANNOTATED_PAIRS
from simfarm.data.formats.arena_hard import ARENA_HARD
from simfarm.data.formats.format import Format, Left
from simfarm.data.formats.labelled import ARGILLA, LABEL_STUDIO
from simfarm.data.formats.lmarena import LMARENA
from simfarm.data.formats.logs import INSPECT, LM_EVAL
from simfarm.data.formats.mt_bench import PAIR, SINGLE
from simfarm.data.formats.preferences import REWARDBENCH, TRL
from simfarm.errors import InputError
from simfarm.settings import spelled

__all__ = ["FORMATS", "Format", "Left", "found"]

FORMATS = (
    *(SIMFARM, ALPACA_EVAL, ARENA_HARD, PAIR, SINGLE, LMARENA, TRL, REWARDBENCH, ANNOTATED_PAIRS),
    *(LM_EVAL, INSPECT, LABEL_STUDIO, ARGILLA),
)


def found(columns: Collection[str], source: str, first: Collection[str] = ()) -> Format | None:
    """The format of others that rows with these columns are of, None for our own and for none that is known.

    Where they are those of two formats the `first` row's columns say which. Raises `InputError` where they do not.
    """
    names = {*columns}
    ours = names & {"preference", "output_1", "output_2"} or {"instruction", "output"} <= names
    if ours and "annotation_id" not in names:
        return None
    told = [one for one in FORMATS if one.tells(names)]
    if len(told) > 1:
        told = [one for one in told if one.tells(first)] or told
    if len(told) > 1:
        raise InputError(
            f"{source}: has the columns of {' and of '.join(one.name for one in told)}; say which is what with "
            f"{spelled('columns', 'OURS=THEIRS')}, or drop those of one"
        )
    return told[0] if told else None
