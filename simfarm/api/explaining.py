"""From preferences to principles in words, as a function."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfarm.api.calls import collected, followed, judging_in, nearest_named, running_in, tell
from simfarm.data.sources import Sources, opened
from simfarm.settings import check, refuse_empty

if TYPE_CHECKING:
    from simfarm.backends.base import Backend
    from simfarm.judges import Judge
    from simfarm.report.explained import Explanation

__all__ = ["explain"]


@nearest_named
def explain(
    inputs: Sources,
    model: str | Backend,
    *,
    n: int = 5,
    by: str | None = None,
    judge: str | Path | Judge | None = None,
    base_url: str | None = None,
    engine_args: Mapping[str, Any] | None = None,
    order: str | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    effort: str | None = None,
    limit: int | None = None,
    level: float = 0.95,
    mix_judges: bool = False,
    concurrency: int | None = None,
    rpm: float | None = None,
    tpm: float | None = None,
    timeout: float | None = None,
    budget: float | None = None,
    price: tuple[float, float] | None = None,
    store: str | os.PathLike[str] | None = None,
    retry_unparseable: bool = False,
    columns: Mapping[str, str] | None = None,
) -> Explanation:
    """A few principles in words that explain preferences, and how well they do, as `simfarm explain` prints it.

    `inputs` are annotations or labels with their texts, of `by` where several annotators are in them. `model` proposes
    principles, says of each which output it favours, and judges held-out pairs by those that are kept, `n` at most.
    `judge` is what the principles are put into, in place of its own criteria (by default ours). The value has
    `principles`, `judge` (for `annotate(judge=…)`), `write(FILE)`, `accuracy`, `gain`, `table` and `to_json()`. The
    rest is as in `annotate`. Raises `InputError` for bad input and for a model whose replies hold no principle,
    `BudgetError` where the budget does not reach: what was answered is kept.
    """
    from simfarm.methods.explain import Explainer
    from simfarm.methods.labelled import labelled
    from simfarm.report.explained import Explanation, judge_model

    given = {**locals(), "repeats": 1}
    refuse_empty({"by": by})
    check({"n": n, "level": level, "limit": limit})
    judging, running = judging_in(given), running_in(given)
    with opened(inputs, columns=columns) as (sources, _):
        data = labelled(sources, by, limit=limit, mix_judges=mix_judges)
    explainer = Explainer(data, judging, running, followed, most=n, level=level)
    # in a notebook, whose event loop is running already, all of it goes to another thread
    (found,) = collected(lambda: (explainer.explained() for _ in range(1)))
    for note in found.notes:
        tell(note)
    return Explanation(found, judge_model(judging.model))
