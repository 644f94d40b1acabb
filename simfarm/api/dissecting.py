"""What people and judges reward, as a function."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from simfarm.api.calls import collected, followed, nearest_named, running_in, tell, tell_all
from simfarm.data.sources import Sources, listed, opened
from simfarm.errors import InputError
from simfarm.settings import check, refuse_empty
from simfarm.settings.options import DISSECT

if TYPE_CHECKING:
    from simfarm.backends.base import Backend
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
    model: str | Backend | None = None,
    base_url: str | None = None,
    engine_args: Mapping[str, Any] | None = None,
    concurrency: int | None = None,
    rpm: float | None = None,
    tpm: float | None = None,
    timeout: float | None = None,
    budget: float | None = None,
    price: tuple[float, float] | None = None,
    store: str | os.PathLike[str] | None = None,
    columns: Mapping[str, str] | None = None,
) -> Dissection:
    """What do people and judges reward, and where do judges fail? As `simfarm dissect` prints it.

    `inputs` are annotations, `human` people's labels of some of the comparisons, each files or tables of any kind.
    `control` names the properties to weigh (by default all that the files tell, and order): those of
    `simfarm.text.properties`, `order`, `generators`, and any NAME with a number in columns NAME_1 and NAME_2 of every
    row. `by` is `category` or `instructions`: slices of which those are named that a judge or a model fails on; topics
    of `instructions` have the names that a `model` gives them, asked as in `annotate`, else their words. The value has
    `table` (a row for each judge and property), `slice_table`, `rewards` (estimates by property) and `to_json()`.
    Raises `InputError` for bad input.
    """
    from simfarm.methods.naming import Naming, refuse_unnamed
    from simfarm.report.dissected import Material, dissected

    given = locals()
    refuse_empty({"control": control, "by": by})
    check({"level": level})
    if by is not None and by not in _BY:
        raise InputError(f"by {by!r} is not known; choose from {', '.join(_BY)}")
    refuse_unnamed(given)
    labels: list[Any] = [] if human is None else listed(human)
    with opened(inputs, *labels, columns=columns) as (sources, people):
        material = Material.read(sources, people, control=control, by=by, mix_judges=mix_judges)
    if model is not None and material.slices is not None:
        naming = Naming(material.slices, model, running_in(given))
        (named,) = collected(lambda: (naming.named(followed) for _ in range(1)))
        tell_all(named.notes)
        material = replace(material, slices=named.slices)
    found = dissected(material, level=level)
    for note in found.notes:
        tell(note)
    return found
