"""From a comparison to chat messages, with what the candidates wrote kept as data.

Templates are Jinja2 in a sandbox. Their variables are `instruction`, `messages` (the chat, where the instruction is
one), `first` and `second` (the outputs as presented, whichever model wrote them; of a judge that rates `output` in
their place, of one that ranks `outputs`, each with its `label` and `text`), `criteria`, and `context`, `reference` and
`checklist` (see `simfarm.judges.given`). The template of a stage before the verdict may show one answer at a time
(`output`, beside it `other`); later ones know its reply by its name (`simfarm.judges.stages`). Values are inserted
after the template has been compiled, so that `{{ … }}` inside an output is text. What could still act on the judge is
neutralised: delimiters of the template and chat-template tokens get a zero-width space after their first character, in
the prompt only. Everything else reaches the judge byte for byte.
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
from simfarm.judges.criteria import shown_of
from simfarm.judges.derived import COMPARED
from simfarm.judges.given import Given
from simfarm.judges.listing import check_outputs
from simfarm.judges.neutral import neutraliser
from simfarm.text.harmless import one_line
from simfarm.text.sandbox import BROKEN, Bounded

__all__ = ["VARIABLES", "Template", "compile_template", "told_names"]

TOLD = ("criteria", "context", "reference", "checklist")
VARIABLES = ("instruction", "messages", "first", "second", "pairs", *TOLD)
NOTHING: Mapping[str, str] = {}
UNTOLD = Given()
OF_A_PAIR = ("instruction", "messages", "first", "second", "reference", "checklist")
OF_ONE = ("instruction", "messages", "output", *TOLD)
OF_SOME = ("instruction", "messages", "auxiliary", *TOLD)
OF_EACH = ("instruction", "messages", "output", "other", *TOLD)
JOINT = ("first_instruction", "first", "second_instruction", "second", "criteria", "context")
ROLES = ("system", "user")


class Template:
    """A compiled template: render(comparison, order, criteria) -> messages. Build it with `compile_template`."""

    def __init__(
        self,
        source: str,
        delimiters: tuple[str, ...],
        where: str,
        alone: bool = False,
        *,
        shows: str = "",
        earlier: tuple[tuple[str, bool], ...] = (),
        stage: bool = False,
        given: Given = UNTOLD,
    ) -> None:
        self.where, self.given = where, given
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
        self.alone = alone
        self.each = stage and not alone and bool(self.variables & {"output", "other"})
        own = self.variables - told_names(earlier, self.each)
        if stage:
            known = OF_ONE if alone else OF_EACH if self.each else (*OF_A_PAIR, "criteria", "context")
            _check_stage(own, where, OF_SOME if shows == COMPARED else known, earlier)
        else:
            (CHECKS.get(shows) or (_check_alone if alone else _check_variables))(tree, own, where)
        taken = {node.attr for node in tree.find_all(jinja2.nodes.Getattr)} if "pairs" in self.variables else set()
        self.told = (self.variables | taken) & set(TOLD)
        self.literals = tuple(node.data for node in tree.find_all(jinja2.nodes.TemplateData))
        self._roles = tuple(role for role in ROLES if role in self._compiled.blocks)

    def render(
        self, comparison: Comparison, order: str, criteria: Sequence[Any] = (), told: Mapping[str, str] = NOTHING
    ) -> tuple[Message, ...]:
        """The messages for one presentation; `told` are earlier replies by name. Raises InputError where the template
        itself fails."""
        return self.render_several([(comparison, order)], criteria, told)

    def render_several(
        self, shown: Sequence[tuple[Comparison, str]], criteria: Sequence[Any] = (), told: Mapping[str, str] = NOTHING
    ) -> tuple[Message, ...]:
        """The same for several (comparison, order) at once; only a template that goes through `pairs` shows more than
        the first."""
        rest = {"criteria": shown_of(criteria)} | {name: self.neutralise(text) for name, text in told.items()}
        if self.alone:
            ((comparison, _),) = shown
            return self._messages(self._one(comparison) | rest)
        pairs = [self._pair(number, comparison, order) for number, (comparison, order) in enumerate(shown, 1)]
        values = {"pairs": pairs, "context": self.given.context} if "pairs" in self.variables else pairs[0]
        return self._messages(values | rest)

    def render_stage(
        self, comparison: Comparison, order: str, criteria: Sequence[Any], told: Mapping[str, str], side: str
    ) -> tuple[Message, ...]:
        """The messages of a stage before the verdict; `side` is the output that it is about ("1" or "2"), where it is
        about one."""
        if not self.each:
            return self.render(comparison, order, criteria, told)
        pair = self._pair(1, comparison, "12" if side == "1" else "21")
        turn = {"output": pair["first"], "other": pair["second"], "criteria": shown_of(criteria)}
        return self._messages(pair | turn | {n: self.neutralise(t) for n, t in told.items()})

    def render_outputs(
        self, comparison: Comparison, texts: Mapping[str, str], criteria: Sequence[Any] = ()
    ) -> tuple[Message, ...]:
        """The same for any number of outputs to one instruction, that of `comparison`, by their labels."""
        pair = self._pair(1, comparison, "12")
        outputs = [{"label": label, "text": self.neutralise(text)} for label, text in texts.items()]
        values = {name: pair[name] for name in ("instruction", "messages", "context", "reference", "checklist")}
        return self._messages(values | {"outputs": outputs, "criteria": shown_of(criteria)})

    def render_joint(
        self, comparison: Comparison, order: str, asked: tuple[str, str], criteria: Sequence[Any] = ()
    ) -> tuple[Message, ...]:
        """The same for two outputs that answer what was `asked`, each its own."""
        pair = self._pair(1, comparison, order)
        values = {name: pair[name] for name in ("first", "second", "context")} | {"criteria": shown_of(criteria)}
        for name, text in zip(("first", "second"), asked if order == "12" else asked[::-1], strict=True):
            values[f"{name}_instruction"] = self.neutralise(text)
        return self._messages(values)

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
        return self.given.values(rated, self.neutralise) | {
            "instruction": self.neutralise(rated.instruction),
            "messages": [_turn(message, self.neutralise) for message in rated.messages or ()],
            "output": self.neutralise(rated.output_1),
            "auxiliary": [self.neutralise(text) for text in getattr(rated, "beside", ())],
        }

    def _pair(self, number: int, comparison: Comparison, order: str) -> dict[str, Any]:
        """What a template knows of one comparison, as it is shown."""
        neutralise = self.neutralise
        outputs = neutralise(comparison.output_1), neutralise(comparison.output_2)
        first, second = outputs if order == "12" else outputs[::-1]
        return self.given.values(comparison, neutralise) | {
            "number": number,
            "instruction": neutralise(comparison.instruction),
            "messages": [_turn(message, neutralise) for message in comparison.messages or ()],
            "first": first,
            "second": second,
        }


@lru_cache(maxsize=64)
def compile_template(
    source: str,
    delimiters: tuple[str, ...],
    where: str,
    alone: bool = False,
    *,
    shows: str = "",
    earlier: tuple[tuple[str, bool], ...] = (),
    stage: bool = False,
    given: Given = UNTOLD,
) -> Template:
    """The compiled template of a source text, compiled once in a process. `where` names it in errors; one for judges
    that rate shows an output `alone`, another `shows` all outputs or, where the instruction is to be told from one,
    that `blind`; one of a `stage` need not show both, and one that derives criteria shows those it compares alone.
    `earlier` stages are known to it by name, each with whether it was asked for each answer; `given` is what is told
    beside what is judged."""
    return Template(source, delimiters, where, alone, shows=shows, earlier=earlier, stage=stage, given=given)


def told_names(earlier: Iterable[tuple[str, bool]], aside: bool) -> frozenset[str]:
    """What earlier stages are called in a template; `aside` where that is about one of the two answers."""
    names: set[str] = set()
    for name, each in earlier:
        names |= {name, f"{name}_other"} if each and aside else {f"{name}_first", f"{name}_second"} if each else {name}
    return frozenset(names)


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


def _check_stage(
    variables: frozenset[str], where: str, known: tuple[str, ...], earlier: tuple[tuple[str, bool], ...]
) -> None:
    """Raise `InputError` for a variable that a stage does not know, and for one that does not show the question."""
    for name in sorted(variables - set(known)):
        hint = ""
        if "auxiliary" in known and name in ("output", "first", "second"):
            hint = "; what one answer is rated by is asked once for all, and shows none of them alone"
        elif name in ("first", "second"):
            hint = "; a stage shows both answers (first, second) or one at a time (output, other), not both ways"
        told = sorted(told_names(earlier, "output" in known))
        raise InputError(f"{where}: unknown variable {name!r}; this stage knows {', '.join((*known, *told))}{hint}")
    if not variables & {"instruction", "messages"}:
        raise InputError(f"{where}: {{{{ instruction }}}} is not used; a stage must see what was asked")
    if "auxiliary" in known and "auxiliary" not in variables:
        raise InputError(f"{where}: {{{{ auxiliary }}}} is not used; the stage must see the answers that it compares")


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


def _check_joint(_tree: jinja2.nodes.Template, variables: frozenset[str], where: str) -> None:
    """Raise `InputError` for a variable that there is not of two instructions, and for one that is not used."""
    for name in sorted(variables - set(JOINT)):
        hint = "; there are two instructions, one of each output" if name in ("instruction", "messages") else ""
        raise InputError(f"{where}: unknown variable {name!r}; a joint template knows {', '.join(JOINT)}{hint}")
    for name in JOINT[:4]:
        if name not in variables:
            raise InputError(f"{where}: {{{{ {name} }}}} is not used; the judge must see both answers to what they are")


CHECKS = {"blind": _check_blind, "outputs": check_outputs, "joint": _check_joint}
"""By what is shown, where that is neither a pair nor one output with its instruction."""
