"""Values that notebooks show as pages: Jupyter, VS Code, marimo and whoever else asks a value for its `_repr_html_`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

__all__ = ["Shown"]


class Shown:
    """A value with a page of its own. What is on it is the report's business: the package's face says who draws the
    `page`, so that those who make the values know nothing of pages, and load nothing for them."""

    page: ClassVar[Callable[[Any], str]] = repr

    def _repr_html_(self) -> str:
        return type(self).page(self)
