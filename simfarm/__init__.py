"""simfarm: simulate human feedback on language-model outputs and evaluate models with it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from simfarm.text.shown import Shown
from simfarm.version import __version__ as __version__

if TYPE_CHECKING:
    from simfarm.api.asking import annotate, generate, select
    from simfarm.api.choosing import compare_judges, fit_judge, probe_judge, stress_judges
    from simfarm.api.dissecting import dissect
    from simfarm.api.explaining import explain
    from simfarm.api.files import convert, read, write
    from simfarm.api.ranks import compare, evaluate, evaluation, rejudge
    from simfarm.api.trust import calibrate, fidelity, report_card
    from simfarm.backends import open_model
    from simfarm.data.records import Annotation, Comparison, Output
    from simfarm.errors import BudgetError, InputError, ProviderError, SimfarmError, SimfarmWarning
    from simfarm.judges import Judge, list_judges, load_judge
    from simfarm.ranking import Board, Estimate
    from simfarm.report.evaluation import Evaluation

_HOMES = {
    "annotate": "api.asking",
    "compare": "api.ranks",
    "compare_judges": "api.choosing",
    "fit_judge": "api.choosing",
    "probe_judge": "api.choosing",
    "stress_judges": "api.choosing",
    "dissect": "api.dissecting",
    "evaluate": "api.ranks",
    "explain": "api.explaining",
    "calibrate": "api.trust",
    "fidelity": "api.trust",
    "generate": "api.asking",
    "evaluation": "api.ranks",
    "rejudge": "api.ranks",
    "report_card": "api.trust",
    "select": "api.asking",
    "open_model": "backends",
    "BudgetError": "errors",
    "InputError": "errors",
    "ProviderError": "errors",
    "SimfarmError": "errors",
    "SimfarmWarning": "errors",
    "convert": "api.files",
    "read": "api.files",
    "write": "api.files",
    "Judge": "judges",
    "list_judges": "judges",
    "load_judge": "judges",
    "Board": "ranking",
    "Estimate": "ranking",
    "Evaluation": "report.evaluation",
    "Annotation": "data.records",
    "Comparison": "data.records",
    "Output": "data.records",
}

__all__ = [
    "Annotation",
    "Board",
    "BudgetError",
    "Comparison",
    "Estimate",
    "Evaluation",
    "InputError",
    "Judge",
    "Output",
    "ProviderError",
    "SimfarmError",
    "SimfarmWarning",
    "annotate",
    "calibrate",
    "compare",
    "compare_judges",
    "convert",
    "dissect",
    "evaluate",
    "evaluation",
    "explain",
    "fidelity",
    "fit_judge",
    "generate",
    "list_judges",
    "load_judge",
    "open_model",
    "probe_judge",
    "read",
    "rejudge",
    "report_card",
    "select",
    "stress_judges",
    "write",
]


def __getattr__(name: str) -> Any:
    # imported at first use: `simfarm --help` must not wait for pandas and two SDKs
    if name in _HOMES:
        return getattr(import_module(f"simfarm.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'simfarm' has no attribute {name!r}")


def _page(value: Any) -> str:
    page: str = import_module("simfarm.report.notebook").html_of(value)
    return page


Shown.page = _page


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
