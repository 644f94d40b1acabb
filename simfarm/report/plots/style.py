"""How pictures look, and how they become files: the same in every notebook, on paper and in grey.

Text stays text (searchable, set in the reader's own font), the same value gives the same bytes, and nobody's settings
are touched: what is drawn here is drawn under a style of its own, which ends with the call.
"""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, ParamSpec, TypeVar

from simfarm.data.writing import replacing, telling
from simfarm.errors import InputError
from simfarm.report.targets import missing_plots
from simfarm.report.terminal import shortened
from simfarm.text.harmless import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "GREY",
    "LETTER",
    "LINE",
    "LOOKS",
    "NARROW",
    "PEOPLE",
    "WIDE",
    "Look",
    "axes_of",
    "figure_of",
    "grid",
    "inches",
    "label",
    "labels",
    "percent",
    "save",
    "styled",
    "svg",
]

NARROW, WIDE = 3.25, 5.5
"""Inches: a column of two, and a page's text."""

GREY = "#666666"

LETTER, LINE = 0.066, 0.16
"""Inches of a letter on average, and of a line."""

_POINTS = 8

_STYLE: dict[str, Any] = {
    "axes.formatter.use_mathtext": False,
    "axes.titlesize": _POINTS,
    "font.size": _POINTS,
    "legend.borderaxespad": 0.2,
    "legend.fontsize": _POINTS,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
    "svg.fonttype": "none",
    "svg.hashsalt": "simfarm",
}


class Look(NamedTuple):
    """How one series is told from the others: by colour, and in grey by its marker, its filling and its line."""

    colour: str
    marker: str
    filled: bool
    line: Any


LOOKS = (
    Look("#0072B2", "o", True, "-"),
    Look("#D55E00", "s", False, (0, (4, 1.5))),
    Look("#009E73", "^", True, (0, (1, 1))),
    Look("#CC79A7", "D", False, (0, (4, 1, 1, 1))),
    Look("#E69F00", "v", True, (0, (6, 2))),
    Look("#56B4E9", "P", False, (0, (2, 2))),
)
"""Okabe and Ito's (2008) colours, which the colour-blind can tell apart too; black and grey are people's."""
PEOPLE = Look("black", "D", False, "-")

_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")


@contextmanager
def _style() -> Iterator[None]:
    """matplotlib's defaults with ours over them. A script that no font here has is a box in a PNG and right in an SVG,
    whose text is set where it is read: nothing to warn of at each letter."""
    if missing := missing_plots():
        raise InputError(missing)
    import matplotlib.style

    with matplotlib.style.context(["default", _STYLE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+|Matplotlib currently does not support", UserWarning)
        yield
        interactive = matplotlib.is_interactive()
    # a notebook's backend makes itself interactive as the first picture is drawn, and must stay so for the next
    matplotlib.interactive(interactive)


def styled(draw: Callable[_Given, _Made]) -> Callable[_Given, _Made]:
    """The same function under the pictures' style. Raises `InputError` where matplotlib is missing."""

    @wraps(draw)
    def drawn(*args: _Given.args, **kwargs: _Given.kwargs) -> _Made:
        with _style():
            return draw(*args, **kwargs)

    return drawn


def axes_of(axes: Axes | None, width: float, height: float) -> Axes:
    """The axes that were given, made to look as ours, or new ones in a figure that a notebook shows by itself; sizes in
    inches."""
    if axes is None:
        import matplotlib.pyplot as plt

        axes = plt.subplots(figsize=(width, height), layout="constrained")[1]
    # ticks take their size from the settings of the moment in which they are first seen
    axes.tick_params(labelsize=_POINTS, width=0.6, length=2.5, which="both")
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_fontsize(_POINTS)
    for side, spine in axes.spines.items():
        spine.set_linewidth(0.6)
        spine.set_visible(side in ("left", "bottom"))
    return axes


def grid(axes: Axes, axis: Literal["x", "y", "both"]) -> None:
    """Faint lines behind everything, at the ticks."""
    axes.grid(axis=axis, color="#e3e3e3", linewidth=0.5)
    axes.set_axisbelow(True)


@lru_cache(maxsize=4096)
def inches(text: str) -> float:
    """How long a line of text is."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    return float(text_to_path.get_text_width_height_descent(text, FontProperties(size=_POINTS), ismath=False)[0]) / 72


def figure_of(width: float, height: float) -> Figure:
    """A figure that no notebook shows and nobody has to close, for files; inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def label(name: object, most: int) -> str:
    """A name of at most `most` columns, fewer of wide letters, cut in the middle, as matplotlib is to show it: on a
    line, and with `$` no formula."""
    return _cut(one_line(name), most).replace("$", r"\$")


def _cut(line: str, most: int) -> str:
    cut, room = shortened(line, most), most * LETTER
    long = inches(cut)
    return cut if long <= room else shortened(line, int(most * room / long))


def labels(names: Sequence[object], most: int) -> list[str]:
    """Names as `label` has them; where cutting makes several alike, those are cut before and behind what tells them
    apart."""
    lines = [one_line(name) for name in names]
    short = [_cut(line, most) for line in lines]
    for cut in {name for name in short if short.count(name) > 1}:
        alike = [k for k, name in enumerate(short) if name == cut]
        # min and max differ where the first of any two does
        ends = min(lines[k] for k in alike), max(lines[k] for k in alike)
        shared = next((at for at, (a, b) in enumerate(zip(*ends, strict=False)) if a != b), min(map(len, ends)))
        head = min(most // 3, shared)
        for k in alike if ends[0] != ends[1] else []:
            tail = lines[k][max(head, shared - 1) :]
            room = most - head - 1
            short[k] = f"{lines[k][:head]}…" + (tail if len(tail) <= room else f"{tail[: room - 1]}…")
    return [name.replace("$", r"\$") for name in short]


def percent(level: float) -> str:
    """A level in percent, which no line break parts."""
    return f"{100 * level:g}\N{NO-BREAK SPACE}%"


@styled
def save(picture: Axes | Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure, or that of some axes, as .svg, .png or .pdf. Raises `InputError` for another name, `SimfarmError`
    where it cannot be written."""
    kind = Path(path).suffix
    if kind not in (".svg", ".png", ".pdf"):
        raise InputError(f"{os.fspath(path)}: a picture is written as .svg, .png or .pdf; choose one of these names")
    content = _rendered(picture, kind.removeprefix("."))
    with replacing(os.fspath(path)) as place, telling(os.fspath(path)):
        Path(place).write_bytes(content)


@styled
def svg(picture: Axes | Figure) -> str:
    """The picture as an `<svg>` element that a page can hold, no wider than the page."""
    text = _rendered(picture, "svg").decode()
    return re.sub(r"^.*?<svg ", '<svg role="img" style="max-width: 100%; height: auto" ', text, count=1, flags=re.S)


def _rendered(picture: Axes | Figure, kind: str) -> bytes:
    """The file's bytes; without a date, so that the same picture is the same file."""
    from matplotlib.figure import Figure

    # of axes in a part of a figure the whole is saved
    figure: Any = picture if isinstance(picture, Figure) else picture.figure.figure
    metadata: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, metadata=metadata)
    return stream.getvalue()
