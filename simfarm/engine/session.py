"""One annotation run from options to rows: opens the backend and the store, drives the event loop, closes both.

The command line and the Python functions share it. It gives a plain iterator, so that a writer can stream it to a file
and Ctrl-C lands where it always does; everything asynchronous stays inside.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from simfarm.backends import open_backend
from simfarm.backends.base import Backend
from simfarm.backends.replay import ReplayBackend
from simfarm.engine.annotate import Call, Summary, annotate, plan_calls, request_for
from simfarm.engine.runner import Engine
from simfarm.engine.store import Store, default_store_path
from simfarm.errors import InputError
from simfarm.judges import Judge, load_judge
from simfarm.judges.family import model_family
from simfarm.records import Annotation, Comparison

__all__ = ["DEFAULT_JUDGE", "Session"]

DEFAULT_JUDGE = "surface"
"""The judge where none is named: embedded, free, and introduced by its banner."""


@dataclass(slots=True)
class Session:
    """A judge, its backend, and how hard to ask it."""

    judge: Judge
    backend: Backend | None
    model: str
    store: Path
    repeats: int = 1
    retry_unparseable: bool = False
    limits: dict[str, Any] = field(default_factory=dict)
    summary: Summary = field(default_factory=Summary)
    engine: Engine | None = None

    @classmethod
    def open(
        cls,
        judge: str | Path | Judge | None = None,
        *,
        model: str | None = None,
        base_url: str | None = None,
        order: str | None = None,
        repeats: int = 1,
        store: Path | None = None,
        retry_unparseable: bool = False,
        timeout: float = 120.0,
        **limits: Any,
    ) -> Session:
        """Check everything that can be checked before a call; raises `InputError`.

        `limits` are the engine's: concurrency, rpm, tpm, budget (US dollars), price (IN, OUT in dollars a million).
        """
        chosen = judge if isinstance(judge, Judge) else load_judge(str(judge or DEFAULT_JUDGE))
        if order:
            chosen = chosen.replace(order=order)
        if chosen.rule is not None:
            if model or base_url:
                raise InputError(f"the judge {chosen.name!r} follows a rule and asks no model; drop --model and --base-url")
            return cls(chosen, None, "", store or default_store_path(), repeats=1)
        spec = model or chosen.model
        if not spec:
            raise InputError(f"the judge {chosen.name!r} names no model; add --model, for example openai/gpt-4.1")
        backend, name = open_backend(spec, base_url=base_url, timeout=timeout)
        if isinstance(backend, ReplayBackend):
            recorded = sorted(backend.models)
            chosen = chosen.replace(model=recorded[0]) if len(recorded) == 1 else chosen
        else:
            chosen = chosen.replace(model=spec)
        backend.check(name, chosen.sampling)
        return cls(
            chosen,
            backend,
            name,
            store or default_store_path(),
            repeats=repeats,
            retry_unparseable=retry_unparseable,
            limits=limits | {"timeout": timeout},
        )

    def calls(self, pairs: Sequence[Comparison]) -> Iterator[Call]:
        return plan_calls(pairs, self.judge, self.repeats)

    def notes(self, pairs: Sequence[Comparison]) -> list[str]:
        """What a user must know before the first call: the embedded judge's banner, a shared family."""
        told = []
        if self.judge.rule == "surface":
            from simfarm.judges.surface import banner

            told.append(banner())
        if self.backend is not None:
            family = model_family(self.judge.model or self.model)
            kin = sorted({g for p in pairs for g in (p.generator_1, p.generator_2) if g and model_family(g) == family})
            if family and kin:
                told.append(
                    f"warning: the judge and {', '.join(kin[:5])}{' …' if len(kin) > 5 else ''} are of one family "
                    f"({family}); judges favour their own, so check with a judge of another family"
                )
        cut = sum(p.extra.get(f"finish_reason_{s}") == "length" for p in pairs for s in "12")
        empty = sum(not text.strip() for p in pairs for text in (p.output_1, p.output_2))
        if cut:
            told.append(f"warning: {cut} outputs were cut off by their token limit (finish_reason length)")
        if empty:
            told.append(f"warning: {empty} outputs are empty; they are judged like any other")
        return told
