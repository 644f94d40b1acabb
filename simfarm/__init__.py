"""simfarm: simulate human feedback on language-model outputs and evaluate models with it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simfarm.api import annotate, generate, select
    from simfarm.backends import open_model
    from simfarm.errors import BudgetError, InputError, ProviderError, SimfarmError, SimfarmWarning
    from simfarm.files import read_rows, write_rows
    from simfarm.judges import Judge, list_judges, load_judge
    from simfarm.ranking import Board, Estimate, leaderboard
    from simfarm.ranks import compare, evaluate, leaderboards, rejudge
    from simfarm.records import Annotation, Comparison, Output

__version__ = "0.1.0"

_HOMES = {
    "annotate": "api",
    "compare": "ranks",
    "evaluate": "ranks",
    "generate": "api",
    "leaderboards": "ranks",
    "rejudge": "ranks",
    "select": "api",
    "open_model": "backends",
    "BudgetError": "errors",
    "InputError": "errors",
    "ProviderError": "errors",
    "SimfarmError": "errors",
    "SimfarmWarning": "errors",
    "read_rows": "files",
    "write_rows": "files",
    "Judge": "judges",
    "list_judges": "judges",
    "load_judge": "judges",
    "Board": "ranking",
    "Estimate": "ranking",
    "leaderboard": "ranking",
    "Annotation": "records",
    "Comparison": "records",
    "Output": "records",
}

__all__ = [
    "Annotation",
    "Board",
    "BudgetError",
    "Comparison",
    "Estimate",
    "InputError",
    "Judge",
    "Output",
    "ProviderError",
    "SimfarmError",
    "SimfarmWarning",
    "annotate",
    "compare",
    "evaluate",
    "generate",
    "leaderboard",
    "leaderboards",
    "list_judges",
    "load_judge",
    "open_model",
    "read_rows",
    "rejudge",
    "select",
    "write_rows",
]


def __getattr__(name: str) -> Any:
    # imported at first use: `simfarm --help` must not wait for pandas and two SDKs
    if name in _HOMES:
        return getattr(import_module(f"simfarm.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'simfarm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
