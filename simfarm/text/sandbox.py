"""Templates of strangers, rendered within bounds: a judge or a chat template is a program that somebody else wrote.

Jinja2's sandbox keeps a template from the machine, not from its memory and time: `'a' * 10**9`, a field a billion wide,
a loop in a loop. Here what makes a text longer is asked first how long it would be, and everything that repeats (loops,
calls, filters) looks at the processor time of its thread.
"""

from __future__ import annotations

import functools
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jinja2
from jinja2 import nodes, pass_eval_context
from jinja2.filters import do_join
from jinja2.nodes import EvalContext
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["BROKEN", "Bounded", "TooMuch"]

MOST = 10_000_000
"""Characters of a text, or items of a list, that a template may make."""

BITS = 100_000
SECONDS = 2.0
"""Of processor time, for one rendering: thousands of times what an honest one takes."""

BROKEN = (RecursionError, SyntaxError, ValueError, OverflowError, MemoryError)
"""What reading a template may raise beside Jinja2's own errors: nested beyond measure, a number of a mile's length."""

_GROWING_FILTERS = frozenset(
    (
        "batch",
        "center",
        "format",
        "indent",
        "pprint",
        "replace",
        "round",
        "slice",
        "string",
        "tojson",
        "urlencode",
        "wordwrap",
    )
)
_GROWING_METHODS = frozenset(("center", "expandtabs", "ljust", "replace", "rjust", "translate", "zfill"))
_PASSED = (jinja2.Environment, EvalContext, Context)
_WIDE_FIELD = re.compile(r"\*|\d{4}")


class TooMuch(jinja2.TemplateRuntimeError):
    """A template asks for more memory or time than any honest one."""

    def __init__(self, what: str = f"it makes more than {MOST:,} characters") -> None:
        super().__init__(what)


class Bounded(ImmutableSandboxedEnvironment):
    """The sandbox with bounds. `begin` starts the clock of a rendering."""

    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self, **options: Any) -> None:
        super().__init__(finalize=_sized, **options)
        self.concat = _concat  # type: ignore[method-assign]
        self._meter = _Meter()
        for name, function in list(self.filters.items()):
            self.add_filter(name, function)
        self.filters |= {"join": _join, "counted": self._counted, "joined": lambda items: _concat(map(_text, items))}
        self.policies["json.dumps_function"] = lambda value, **how: _concat(json.JSONEncoder(**how).iterencode(value))

    def add_filter(self, name: str, function: Callable[..., Any]) -> None:
        """A filter by its name, within the bounds."""
        self.filters[name] = self._watched(name, function)

    def begin(self) -> None:
        """A rendering begins in this thread."""
        self._meter.start()

    def _generate(self, source: nodes.Template, *args: Any, **options: Any) -> str:
        """Every loop runs through `counted` and every `~` through `joined`: Jinja2 asks the sandbox about neither."""
        for loop in list(source.find_all(nodes.For)):
            loop.iter = nodes.Filter(loop.iter, "counted", [], [], None, None, lineno=loop.lineno)
        return super()._generate(_joining(source), *args, **options)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """`+`, `*`, `**` and `%`, where the result is of a size that may be made."""
        self._meter.tick()
        _check_operation(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """A call of anything: macros call themselves, and methods of texts make longer ones."""
        __self._meter.tick()
        owner, name = getattr(__obj, "__self__", None), getattr(__obj, "__name__", "")
        if isinstance(owner, bytes | int | float) or (isinstance(owner, str) and name == "encode"):
            # bytes grow as texts do, and no prompt holds any
            raise TooMuch(f"{name} of a number or to bytes is not available in a template")
        if isinstance(owner, str) and name == "join":
            return _join(__context.eval_ctx, args[0] if len(args) == 1 else (), owner)
        if isinstance(owner, str) and name in _GROWING_METHODS:
            _check_growth(name, owner, *args, *kwargs.values())
        return super().call(__context, __obj, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """`str.format`, but no field with a width: `{:1000000000}` is a text of that length."""
        if (wrapped := super().wrap_str_format(value)) is None:
            return None

        def narrow(*args: Any, **kwargs: Any) -> str:
            if ":" in value.__self__:
                raise TooMuch("a field with a width is not available in a template's str.format")
            for item in (*args, *kwargs.values()):
                _check_growth("format", value.__self__, _text(item))
            return wrapped(*args, **kwargs)

        return narrow

    def _counted(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self._meter.tick()
            yield item

    def _watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)  # with the marks by which Jinja2 knows what to pass
        def watched(*args: Any, **kwargs: Any) -> Any:
            self._meter.tick()
            if name in _GROWING_FILTERS:
                given = [arg for arg in (*args, *kwargs.values()) if not isinstance(arg, _PASSED)]
                _check_growth(name, *given)
            return function(*args, **kwargs)

        return watched


class _Meter(threading.local):
    """The processor time that the rendering in this thread may take; a short one is over before the clock is read."""

    end: float | None = None
    ticks = 0

    def start(self) -> None:
        self.ticks, self.end = 0, None

    def tick(self) -> None:
        self.ticks += 1
        if self.ticks % 16 == 0:
            now = time.thread_time()
            if self.end is None:
                self.end = now + SECONDS
            elif now > self.end:
                raise TooMuch(f"it takes more than {SECONDS:g} seconds")


def _joining(node: Any) -> Any:
    """The tree with a filter in place of every `~`."""
    for field, value in node.iter_fields():
        if isinstance(value, list):
            value[:] = [_joining(item) if isinstance(item, nodes.Node) else item for item in value]
        elif isinstance(value, nodes.Node):
            setattr(node, field, _joining(value))
    if isinstance(node, nodes.Concat):
        items = nodes.List(node.nodes, lineno=node.lineno)
        joined = nodes.Filter(items, "joined", [], [], None, None, lineno=node.lineno)
        return joined.set_environment(node.environment) if node.environment else joined
    return node


def _check_operation(operator: str, left: Any, right: Any) -> None:
    for one, other in ((left, right), (right, left)):
        if operator == "*" and isinstance(one, str | list | tuple) and isinstance(other, int):
            _at_most(len(one) * other)
    if operator == "+" and isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
        _at_most(len(left) + len(right))
    if operator == "%" and isinstance(left, str):
        _check_growth("format", left, _text(right))
    if operator in ("*", "**") and isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
        if bits > BITS:
            raise TooMuch("it makes a number of more than 30,000 digits")


def _check_growth(name: str, value: Any, *others: Any) -> None:
    """Refuse to make `value` longer than may be, by a width or by a text that is put in many times."""
    if name == "format" and isinstance(value, str) and _WIDE_FIELD.search(value):
        raise TooMuch("a field of more than 999 characters is not available in a template")
    by = [_size(other) for other in others if not isinstance(other, int)]
    if name not in ("replace", "wordwrap"):
        by += [abs(other) for other in others if isinstance(other, int)]
    _at_most(_size(value) * max(by, default=1) * (MOST // 1000 if name == "round" and by else 1))


def _size(value: Any) -> int:
    """About how many characters a value is as a text. Lists in lists are counted as often as they would be written."""
    if isinstance(value, str):
        return len(value)
    total, waiting = 1, [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += [*item, *item.values()]
        elif isinstance(item, list | tuple | set | frozenset):
            waiting += item
        total += 1 + len(item) if isinstance(item, str) else 4
        _at_most(total + len(waiting))
    return total


def _at_most(size: int) -> None:
    if size > MOST:
        raise TooMuch


def _sized(value: Any) -> Any:
    """A value that is about to be written."""
    if not isinstance(value, str):
        _size(value)
    return value


def _text(value: Any) -> str:
    return str(_sized(value))


def _concat(pieces: Iterable[str]) -> str:
    texts, total = [], 0
    for piece in pieces:
        total += len(piece)
        if total > MOST:
            raise TooMuch
        texts.append(piece)
    return "".join(texts)


@pass_eval_context
def _join(context: Any, value: Any, d: str = "", attribute: str | int | None = None) -> str:
    """Jinja2's `join`, of no more than may be made."""
    items, total = [], 0
    for item in value:
        total += len(d) + (len(item) if isinstance(item, str) else 1)
        _at_most(total)
        items.append(item)
    _at_most(_size(items) if attribute is None else 0)
    return str(do_join(context, items, d, attribute))
