"""How a run asks, as one value each for the judge and for the asking: made once at the door, taken whole by every run.

The command line and the Python functions make the same values, so that an option is named, defaulted and refused in one
place, and a new one is one more field and not one more argument of every function on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfarm.errors import BudgetError, InputError
from simfarm.settings import check

if TYPE_CHECKING:
    from simfarm.backends.base import Backend
    from simfarm.engine.stats import Stats
    from simfarm.judges import Judge, Panel, Population

__all__ = ["SAMPLING", "JudgeOptions", "RunOptions", "by_name"]

SAMPLING = ("max_tokens", "temperature", "top_p", "effort")
"""The options of a judge that replace its own sampling, and so change its hash."""


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """Whom to ask for verdicts, and how often: `judge` is a name, a file or a judge (None: the embedded one), `model` a
    spec or a model opened with `open_model` (None: the judge's own). Of a population `annotators` people label each
    comparison, or their mean stands for them (`soft`). Raises `InputError` for what cannot be."""

    judge: str | Path | Judge | Population | Panel | None = None
    model: str | Backend | None = None
    order: str | None = None
    repeats: int = 1
    retry_unparseable: bool = False
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    effort: str | None = None
    annotators: int = 1
    soft: bool = False

    def __post_init__(self) -> None:
        check({"repeats": self.repeats, "annotators": self.annotators})

    def sampling(self) -> dict[str, Any]:
        """What is to replace the judge's own sampling; empty where nothing was given."""
        return {name: value for name in SAMPLING if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How hard to ask whom, and at what price: `timeout` in seconds a call, `rpm` and `tpm` in requests and tokens a
    minute, `budget` in US dollars, `price` (IN, OUT) in dollars a million tokens; `engine_args` are the options of a
    model in this process. None is the backend's own. Raises `InputError` for what cannot be."""

    base_url: str | None = None
    engine_args: Mapping[str, Any] = field(default_factory=dict)
    store: Path | None = None
    concurrency: int | None = None
    timeout: float | None = None
    rpm: float | None = None
    tpm: float | None = None
    budget: float | None = None
    price: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        numbers = ("concurrency", "rpm", "tpm", "timeout", "budget", "price")
        check({name: getattr(self, name) for name in numbers})

    def on(self, backend: Backend, usual: float) -> RunOptions:
        """The options in force on a backend, with its own concurrency where none was given; `usual` is a server's
        time-out in seconds. A model in this process takes as long as it takes and costs nothing."""
        if backend.in_process and self.timeout is not None:
            raise InputError("--timeout is for a server's calls: a model in this process is waited for; leave it out")
        return replace(
            self,
            concurrency=self.concurrency or backend.concurrency,
            timeout=None if backend.in_process else self.timeout or usual,
            budget=None if backend.in_process else self.budget,
        )

    def after(self, took: Stats) -> RunOptions:
        """The options of the next step of several, with what is left of the budget after what the others `took`. Raises
        `BudgetError` where nothing is."""
        if self.budget is None:
            return self
        left = self.budget - took.cost - took.unsure
        if left <= 0:
            raise BudgetError("the budget is used up; what was answered is kept: run it again with a larger one")
        return replace(self, budget=left)

    def shared_by(self, workers: int) -> RunOptions:
        """The options of one worker among several: the caps on requests and tokens a minute are the whole run's."""
        rpm, tpm = (None if cap is None else cap / workers for cap in (self.rpm, self.tpm))
        return replace(self, rpm=rpm, tpm=tpm)


def by_name(options: JudgeOptions | RunOptions) -> dict[str, Any]:
    """Every option under its name, given or not: what refusals go through."""
    return {field.name: getattr(options, field.name) for field in fields(options)}
