"""What people and judges reward, as a function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simfarm.api.calls import nearest_named, tell
from simfarm.data.sources import Sources, listed, opened
from simfarm.errors import InputError
from simfarm.settings import check, refuse_empty
from simfarm.settings.options import DISSECT

if TYPE_CHECKING:
    from simfarm.report.dissected import Dissection

__all__ = ["dissect"]

_BY = {option.name: option for option in DISSECT}["by"].kind.choices


@nearest_named
def dissect(
    inputs: Sources,
    *,
    human: Sources | None = None,
    control: str | Sequence[str] | None = None,
    by: str | None = None,
    level: float = 0.95,
    mix_judges: bool = False,
    columns: Mapping[str, str] | None = None,
) -> Dissection:
    """What do people and judges reward, and where do judges fail? As `simfarm dissect` prints it.

    `inputs` are annotations, `human` people's labels of some of the comparisons, each files or tables of any kind.
    `control` names the properties to weigh (by default all that the files tell, and order): those of
    `simfarm.text.properties`, `order`, `generators`, and any NAME with a number in columns NAME_1 and NAME_2 of every
    row. `by` is `category` or `instructions`: slices of which those are named that a judge or a model fails on. The
    value has `table` (a row for each judge and property), `slice_table`, `rewards` (estimates by property) and
    `to_json()`. Raises `InputError` for bad input.
    """
    from simfarm.report.dissected import dissected

    refuse_empty({"control": control, "by": by})
    check({"level": level})
    if by is not None and by not in _BY:
        raise InputError(f"by {by!r} is not known; choose from {', '.join(_BY)}")
    labels: list[Any] = [] if human is None else listed(human)
    with opened(inputs, *labels, columns=columns) as (sources, people):
        found = dissected(sources, people, control=control, by=by, level=level, mix_judges=mix_judges)
    for note in found.notes:
        tell(note)
    return found
