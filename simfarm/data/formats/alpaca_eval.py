"""AlpacaEval's `annotations.json`, a row for each comparison, and its outputs (`annotators/pairwise_evaluator.py` of
tatsu-lab/alpaca_eval). Its columns are ours, so they are read as they are; several calls become the one row it has.
"""

from __future__ import annotations

from collections.abc import Iterator

from simfarm.data.formats.format import Format, Left, LeftOut, calls_together
from simfarm.data.formats.verdicts import side
from simfarm.data.parsing import Row

__all__ = ["ALPACA_EVAL", "SIMFARM"]

_THEIRS = {"price": "price_per_example", "seconds": "time_per_example"}
_OF_A_CALL = ("schema", "status", "order", "repeat", "error", "strength")


def _write(rows: Iterator[Row], left: Left) -> Iterator[Row]:
    first = next(rows, None)
    if first is None:
        return
    if "preference" not in first:
        yield first
        yield from rows
        return

    def all_rows() -> Iterator[Row]:
        yield first
        yield from rows

    for calls in calls_together(all_rows()):
        try:
            preference = side(calls)
        except LeftOut as why:
            left.counts[str(why)] += len(calls)
            continue
        if len(calls) > 1:
            left.counts["a call that is in another's row"] += len(calls) - 1
        row = {_THEIRS.get(name, name): value for name, value in calls[0].items() if name not in _OF_A_CALL}
        for ours, theirs in _THEIRS.items():
            known = [call[ours] for call in calls if isinstance(call.get(ours), int | float)]
            row |= {theirs: sum(known)} if len(known) > 1 else {}
        yield row | {"preference": preference}


ALPACA_EVAL = Format(
    "alpaca-eval", "annotations, a row for each comparison; outputs", lambda columns: False, None, _write
)
SIMFARM = Format("simfarm", "our own rows, a row for each call", lambda columns: False, None, lambda rows, left: rows)
