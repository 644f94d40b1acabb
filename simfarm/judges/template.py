"""From a comparison to chat messages, with what the candidates wrote kept as data.

Templates are Jinja2 in a sandbox. Their variables are `instruction`, `messages` (the chat, where the instruction is
one), `first` and `second` (the outputs as presented, whichever model wrote them) and `criteria`; of a judge that rates
`output` and `reference` (the column of that name, empty where a row has none) in place of the two outputs, of one that
ranks `outputs`, each with its `label` and `text`. Values are inserted after the template has been compiled, so that
`{{ … }}` inside an output is text. What could still act on the judge is neutralised: delimiters of the template and
chat-template tokens get a zero-width space after their first character, in the prompt only. Everything else reaches
the judge byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import jinja2
import jinja2.meta
import jinja2.nodes

from simfarm.data.exchange import Message
from simfarm.data.records import Comparison
from simfarm.errors import InputError
from simfarm.judges.listing import check_outputs
from simfarm.judges.neutral import neutraliser
from simfarm.text.harmless import one_line
from simfarm.text.sandbox import BROKEN, Bounded

__all__ = ["VARIABLES", "Template", "compile_template"]

VARIABLES = ("instruction", "messages", "first", "second", "pairs", "criteria")
OF_A_PAIR = ("instruction", "messages", "first", "second")
OF_ONE = ("instruction", "messages", "output", "reference", "criteria")
ROLES = ("system", "user")


class Template:
    """A compiled template: render(comparison, order, criteria) -> messages. Build it with `compile_template`."""

    def __init__(self, source: str, delimiters: tuple[str, ...], where: str, shows: str = "pair") -> None:
        self.where = where
        self.neutralise = neutraliser(delimiters)
        self._environment = environment = _environment()
        try:
            tree = environment.parse(source)
            self._compiled = environment.from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise InputError(f"{where}, line {error.lineno}: {error.message}") from error
        except BROKEN as error:
            raise InputError(
                f"{where} cannot be read: it is nested too deeply, or a number in it is too long"
            ) from error
        self.variables = frozenset(jinja2.meta.find_undeclared_variables(tree)) - environment.globals.keys()
        _check(tree, where)
        CHECKS[shows](tree, self.variables, where)
        self.alone = shows in ("output", "blind")
        self.literals = tuple(node.data for node in tree.find_all(jinja2.nodes.TemplateData))
        self._roles = tuple(role for role in ROLES if role in self._compiled.blocks)

    def render(self, comparison: Comparison, order: str, criteria: Sequence[Any] = ()) -> tuple[Message, ...]:
        """The messages for one presentation. Raises InputError where the template itself fails."""
        return self.render_several([(comparison, order)], criteria)

    def render_several(
        self, shown: Sequence[tuple[Comparison, str]], criteria: Sequence[Any] = ()
    ) -> tuple[Message, ...]:
        """The same for several (comparison, order) at once; only a template that goes through `pairs` shows more than
        the first."""
        if self.alone:
            ((comparison, _),) = shown
            return self._messages(self._one(comparison) | {"criteria": criteria})
        pairs = [self._pair(number, comparison, order) for number, (comparison, order) in enumerate(shown, 1)]
        return self._messages(({"pairs": pairs} if "pairs" in self.variables else pairs[0]) | {"criteria": criteria})

    def render_outputs(
        self, comparison: Comparison, texts: Mapping[str, str], criteria: Sequence[Any] = ()
    ) -> tuple[Message, ...]:
        """The same for any number of outputs to one instruction, that of `comparison`, by their labels."""
        pair = self._pair(1, comparison, "12")
        outputs = [{"label": label, "text": self.neutralise(text)} for label, text in texts.items()]
        values = {name: pair[name] for name in ("instruction", "messages")}
        return self._messages(values | {"outputs": outputs, "criteria": criteria})

    def _messages(self, values: dict[str, Any]) -> tuple[Message, ...]:
        """What the blocks come to with these values."""
        try:
            self._environment.begin()
            context = self._compiled.new_context(values)
            texts = [(role, self._environment.concat(self._compiled.blocks[role](context))) for role in self._roles]
        except RecursionError as error:
            raise InputError(f"{self.where} cannot be rendered: it calls itself without end") from error
        except (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise InputError(f"{self.where} cannot be rendered: {one_line(error)[:300]}") from error
        return tuple({"role": role, "content": text} for role, text in texts if text.strip() or role == "user")

    def _one(self, rated: Comparison) -> dict[str, Any]:
        """What a template knows of one output."""
        reference = rated.extra.get("reference")
        return {
            "instruction": self.neutralise(rated.instruction),
            "messages": [_turn(message, self.neutralise) for message in rated.messages or ()],
            "output": self.neutralise(rated.output_1),
            "reference": self.neutralise(reference) if isinstance(reference, str) else "",
        }

    def _pair(self, number: int, comparison: Comparison, order: str) -> dict[str, Any]:
        """What a template knows of one comparison, as it is shown."""
        neutralise = self.neutralise
        outputs = neutralise(comparison.output_1), neutralise(comparison.output_2)
        first, second = outputs if order == "12" else outputs[::-1]
        return {
            "number": number,
            "instruction": neutralise(comparison.instruction),
            "messages": [_turn(message, neutralise) for message in comparison.messages or ()],
            "first": first,
            "second": second,
        }


@lru_cache(maxsize=64)
def compile_template(source: str, delimiters: tuple[str, ...], where: str, shows: str = "pair") -> Template:
    """The compiled template of a source text, compiled once in a process. `where` names it in errors; it `shows` a
    pair, an output, or outputs, and where the instruction is to be told from an output, that alone (`blind`)."""
    return Template(source, delimiters, where, shows)


def _environment() -> Bounded:
    environment = Bounded(undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True)
    # Both draw at random: a prompt must be the same every time, or nothing could be resumed.
    del environment.globals["lipsum"]
    del environment.filters["random"]
    return environment


def _turn(message: Mapping[str, Any], neutralise: Callable[[str], str]) -> dict[str, str]:
    """One chat message as two texts; of a list of content parts the text parts are kept."""
    content = message.get("content") or ""
    if not isinstance(content, str):
        content = "\n".join(_parts(content))
    return {"role": neutralise(str(message.get("role", ""))), "content": neutralise(content)}


def _parts(content: Iterable[Any]) -> Iterable[str]:
    for part in content:
        if isinstance(part, str):
            yield part
        elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
            yield part["text"]


def _check(tree: jinja2.nodes.Template, where: str) -> None:
    blocks = [node.name for node in tree.find_all(jinja2.nodes.Block)]
    if "user" not in blocks:
        raise InputError(f"{where}: put what the judge is asked between {{% block user %}} and {{% endblock %}}")
    for name in blocks:
        if name not in ROLES:
            raise InputError(f"{where}: unknown block {name!r}; the blocks are {' and '.join(ROLES)}")
    for node in tree.body:
        if isinstance(node, jinja2.nodes.Output) and any(
            not isinstance(child, jinja2.nodes.TemplateData) or child.data.strip() for child in node.nodes
        ):
            raise InputError(
                f"{where}, line {node.lineno}: text outside the blocks would never be sent; move it into one"
            )
    others = (jinja2.nodes.Include, jinja2.nodes.Import, jinja2.nodes.FromImport, jinja2.nodes.Extends)
    if next(tree.find_all(others), None) is not None:
        raise InputError(f"{where}: a template is one file; include, import and extends are not available")


def _check_alone(_tree: jinja2.nodes.Template, variables: frozenset[str], where: str) -> None:
    """Raise `InputError` for a variable that there is not of one output, and for a template that does not show it."""
    for name in sorted(variables - set(OF_ONE)):
        hint = "; a judge that rates sees one output" if name in ("first", "second", "pairs") else ""
        raise InputError(f"{where}: unknown variable {name!r}; a template of a rating knows {', '.join(OF_ONE)}{hint}")
    if "output" not in variables:
        raise InputError(f"{where}: {{{{ output }}}} is not used; the judge must see what it rates")
    if not variables & {"instruction", "messages"}:
        raise InputError(f"{where}: {{{{ instruction }}}} is not used; the judge must see what was asked")


def _check_blind(_tree: jinja2.nodes.Template, variables: frozenset[str], where: str) -> None:
    """Raise `InputError` for a template that shows more than the output, and for one that does not show it."""
    if told := sorted(variables - {"output"}):
        raise InputError(
            f"{where}: {{{{ {told[0]} }}}} must not be shown: the score is how likely the instruction is, given the "
            "output alone"
        )
    if "output" not in variables:
        raise InputError(f"{where}: {{{{ output }}}} is not used; the judge must see what it rates")


def _check_variables(tree: jinja2.nodes.Template, variables: frozenset[str], where: str) -> None:
    """Raise `InputError` for a variable that there is not, and for a template that does not show what is judged."""
    for name in sorted(variables - set(VARIABLES)):
        hint = "; the outputs are named first and second, as presented" if name.startswith("output") else ""
        raise InputError(f"{where}: unknown variable {name!r}; a template knows {', '.join(VARIABLES)}{hint}")
    shown, of_each = variables, ""
    if "pairs" in variables:
        if alone := variables & set(OF_A_PAIR):
            raise InputError(f"{where}: {{{{ {min(alone)} }}}} stands alone; take it from each of the pairs")
        shown, of_each = frozenset(node.attr for node in tree.find_all(jinja2.nodes.Getattr)), "pair."
    for name in ("first", "second"):
        if name not in shown:
            raise InputError(f"{where}: {{{{ {of_each}{name} }}}} is not used; the judge must see both outputs")
    if not shown & {"instruction", "messages"}:
        raise InputError(f"{where}: {{{{ {of_each}instruction }}}} is not used; the judge must see what was asked")
    if of_each and "number" not in shown:
        raise InputError(f"{where}: {{{{ pair.number }}}} is not used; the reply names each pair by its number")


CHECKS = {"pair": _check_variables, "output": _check_alone, "blind": _check_blind, "outputs": check_outputs}
"""By what is shown."""
