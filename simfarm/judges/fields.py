"""The keys of a judge file: each function takes a raw value and gives a valid one, or an InputError with the remedy.

Strict on purpose: a misspelt key that is silently ignored is a judge that asks another question than its author meant,
and its verdicts have been paid for by the time anyone notices.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from simfarm.data.reading import read_text
from simfarm.data.sampling import VOCABULARY
from simfarm.errors import InputError
from simfarm.judges.parsers import MEANINGS, PARSERS, VerdictSpec
from simfarm.judges.surface import WEIGHTS

__all__ = [
    "around",
    "choice",
    "criteria",
    "day",
    "delimiters",
    "descriptions",
    "known_keys",
    "model",
    "models",
    "read_yaml",
    "sampling",
    "taste",
    "text",
    "verdict",
]

JUDGED = {name: option for name, option in VOCABULARY.items() if option.judged} | {
    "temperature": replace(VOCABULARY["temperature"], most=2, words="from 0 to 2")
}
"""The sampling that a judge may name, in the words of a request; no provider draws hotter."""

MODEL_NAME = r"^[^/]*[^/\s][^/]*/[\s\S]*\S|^embedded$|\S\.gguf$"
"""What a model is called in a judge's file, as `--model` takes it."""

FIXED = {"model", "messages", "max_tokens", "max_completion_tokens", "stream", "n", "logprobs", "top_logprobs"}
"""Fields of a body that follow from the judge, and are not for `extra` to replace."""

NODES, DEPTH, DIGITS = 10_000, 50, 100
MOST_WEIGHT = 20
"""Logits for one scale: with more a person is a rule."""
VERDICT = {
    "token_logprobs": ("parser", "labels"),
    "label": ("parser", "labels", "delimiters"),
    "json": ("parser", "labels", "winner", "reason"),
    "criteria": ("parser", "labels"),
    "decision": ("parser", "labels", "question", "descriptions"),
}


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds one mapping. A key given twice is an error: YAML itself would keep the last, unseen.

    A file from a stranger may be a bomb: it is read no further than a judge is long, deep, and many.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        nodes = depth = 0

        def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
            if self.check_event(yaml.AliasEvent):
                raise InputError(f"{path}: YAML's aliases (*name) are not taken; write the value out")
            self.nodes, self.depth = self.nodes + 1, self.depth + 1
            if self.nodes > NODES or self.depth > DEPTH:
                raise InputError(f"{path}: has more than {NODES:,} values, or more than {DEPTH} one in the other")
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def compose_scalar_node(self, anchor: dict[Any, yaml.Node]) -> yaml.ScalarNode:
            node = super().compose_scalar_node(anchor)
            if len(node.value) > DIGITS and node.tag.endswith((":int", ":float")):
                raise InputError(f"{path}: the number {node.value[:20]}… is too long; put a text in quotes")
            return node

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key in [self.construct_object(key, deep=True) for key, _ in node.value]:
                if key in seen:
                    line = node.start_mark.line + 1
                    raise InputError(f"{path}: the key {key!r} is given twice (mapping at line {line}); keep one")
                seen.add(key)
            return super().construct_mapping(node, deep=deep)

    try:
        # A subclass of SafeLoader: it builds plain values only.
        data = yaml.load(read_text(path), Loader=Loader)
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())[:300]}") from error
    except TypeError as error:
        raise InputError(f"{path}: a key is not a text ({error}); keys are plain words") from error
    except ValueError as error:
        raise InputError(f"{path}: a value is no date or number ({error}); put it in quotes") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} holds no judge: it must be a mapping with protocol, template, verdict … or rule")
    return data


def known_keys(where: str, data: Mapping[Any, Any], allowed: Iterable[str]) -> None:
    """Refuse keys that mean nothing here, with the nearest that does."""
    names = list(allowed)
    for key in data:
        if key not in names:
            raise InputError(f"{where}: unknown key {key!r}{_nearest(str(key), names)}")


def choice(where: str, value: Any, allowed: Iterable[str]) -> str:
    """One word out of a few."""
    names = list(allowed)
    if not isinstance(value, str) or value not in names:
        raise InputError(f"{where}: {value!r} is not known{_nearest(str(value), names)}")
    return value


def text(where: str, value: Any) -> str:
    """A text that is not blank."""
    if not isinstance(value, str) or not value.strip():
        bare = " (YAML reads a bare on, off, yes and no so: quote it)" if isinstance(value, bool) else ""
        raise InputError(f"{where}: must be a text, not {value!r}{bare}")
    return value


def model(where: str, value: Any) -> str:
    """`provider/name`, `embedded` or a GGUF file. Whether the provider exists is the backends' business."""
    if not isinstance(value, str) or not re.search(MODEL_NAME, value):
        raise InputError(
            f"{where}: must be provider/name, e.g. openai/gpt-6-luna (or embedded, or a GGUF file), not {value!r}"
        )
    return value


def models(where: str, value: Any) -> tuple[str, ...]:
    """A list of `provider/name`."""
    if not isinstance(value, list):
        raise InputError(f"{where}: must be a list such as [anthropic/claude-haiku-5-5], not {value!r}")
    return tuple(model(where, item) for item in value)


def day(where: str, value: Any) -> date | None:
    """A date, None for none."""
    try:
        parsed = date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        parsed = value
    if parsed is None or (isinstance(parsed, date) and not isinstance(parsed, datetime)):
        return parsed
    raise InputError(f"{where}: must be a date such as 2026-11-26, not {value!r}")


def delimiters(where: str, value: Any) -> tuple[str, ...]:
    """The template's own delimiters, to be broken inside what candidates wrote. One character cannot be broken."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InputError(f"{where}: must be a list of texts such as ['<answer>', '</answer>'], not {value!r}")
    for item in value:
        if len(item) < 2 or "\u200b" in item:
            raise InputError(
                f"{where}: {item!r} cannot be neutralised; use delimiters of two or more visible characters"
            )
    return tuple(value)


def criteria(where: str, value: Any) -> tuple[Any, ...]:
    """What the judge is to look at: a list of texts, or of mappings that the template takes apart."""
    if not isinstance(value, list) or not all(isinstance(item, str | dict) for item in value):
        raise InputError(f"{where}: must be a list of texts or of mappings, not {value!r}")
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: use plain texts, numbers, lists and mappings only ({error})") from error
    return tuple(value)


def sampling(where: str, value: Any) -> dict[str, Any]:
    """Sampling options by their provider-neutral names."""
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: must be a mapping such as {{temperature: 0, max_tokens: 2048}}, not {value!r}")
    known_keys(where, value, JUDGED)
    for name, item in value.items():
        option = JUDGED[name]
        match option.kind:
            case "text":
                text(f"{where}.{name}", item)
            case "mapping":
                plain_mapping(f"{where}.{name}", item)
            case _ if not option.fits(item):
                raise InputError(f"{where}.{name}: must be {option.form}, not {item!r}")
    if taken := FIXED & set(value.get("extra", {})):
        raise InputError(f"{where}.extra: {min(taken)} follows from the judge; leave it out")
    return dict(value)


def taste(where: str, value: Any) -> dict[str, float]:
    """Weights of surface features, in logits for one scale."""
    if not isinstance(value, Mapping) or not value:
        raise InputError(f"{where}: must map features to weights such as {{length: 0.8, lists: -0.3}}, not {value!r}")
    known_keys(where, value, WEIGHTS)
    for name, weight in value.items():
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not (number and abs(weight) <= MOST_WEIGHT):
            raise InputError(f"{where}.{name}: must be a number from -{MOST_WEIGHT} to {MOST_WEIGHT}, not {weight!r}")
    return {name: float(weight) for name, weight in value.items()}


def plain_mapping(where: str, value: Any) -> None:
    """Refuse what is no mapping of names to values that JSON can hold."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise InputError(f"{where}: must map names to values, not {value!r}")
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: use plain texts, numbers, lists and mappings only ({error})") from error


def around(where: str, value: Mapping[Any, Any]) -> tuple[str, str]:
    """The two texts around a label."""
    pair = value.get("delimiters")
    if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(side, str) and side for side in pair)):
        raise InputError(
            f"{where}.delimiters: must be the two texts around a label, such as ['[[', ']]'], not {pair!r}"
        )
    return pair[0], pair[1]


def verdict(where: str, value: Any) -> VerdictSpec:
    """How a reply is read: parser, labels and what the parser needs beside them."""
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: must be a mapping with parser and labels, not {value!r}")
    if "parser" not in value:
        raise InputError(f"{where}: name a parser ({', '.join(PARSERS)})")
    parser = choice(f"{where}.parser", value["parser"], PARSERS)
    known_keys(where, value, VERDICT[parser])
    labels = _labels(f"{where}.labels", value.get("labels"), parser)
    if parser == "label":
        return VerdictSpec(parser, labels, delimiters=around(where, value))
    if parser == "json":
        winner = text(f"{where}.winner", value.get("winner", "winner"))
        reason = text(f"{where}.reason", value.get("reason", "reason"))
        if winner == reason:
            raise InputError(f"{where}: winner and reason name the same field {winner!r}; give them two names")
        return VerdictSpec(parser, labels, winner=winner, reason=reason)
    if parser == "decision":
        question = text(f"{where}.question", value.get("question"))
        return VerdictSpec(parser, labels, question=question, descriptions=descriptions(where, value, labels))
    return VerdictSpec(parser, labels)


def descriptions(where: str, value: Mapping[Any, Any], labels: Mapping[str, str]) -> dict[str, str]:
    """What a decision judge's labels stand for, where the file says it."""
    given = value.get("descriptions", {})
    if not isinstance(given, Mapping):
        raise InputError(f"{where}.descriptions: must map a label to what it stands for, not {given!r}")
    described = {str(label): text(f"{where}.descriptions.{label}", said) for label, said in given.items()}
    known_keys(f"{where}.descriptions", described, labels)
    return described


def _labels(where: str, value: Any, parser: str) -> dict[str, str]:
    if not isinstance(value, Mapping) or not value:
        raise InputError(f"{where}: must map each label to what it means, e.g. {{A: first, B: second}}, not {value!r}")
    meanings = ("first", "second") if parser in ("token_logprobs", "criteria") else tuple(MEANINGS)
    labels: dict[str, str] = {}
    for raw, meaning in value.items():
        if isinstance(raw, bool) or not isinstance(raw, str | int):
            raise InputError(f"{where}: YAML reads the label {raw!r} as something else than text; put it in quotes")
        label = str(raw)
        if not label.strip():
            raise InputError(f"{where}: a label is empty; name the text the judge answers with")
        if parser != "token_logprobs" and label != label.strip():
            raise InputError(f"{where}: the label {label!r} has blanks around it; leave them out")
        if label in labels:
            raise InputError(f"{where}: the label {label!r} is given twice; labels must be distinct")
        if meaning in labels.values():
            raise InputError(f"{where}: two labels mean {meaning!r}; give each meaning one label")
        labels[label] = choice(f"{where}.{label}", meaning, meanings)
    if missing := [meaning for meaning in ("first", "second") if meaning not in labels.values()]:
        raise InputError(f"{where}: no label means {missing[0]!r}; name one for first and one for second")
    if ("much-first" in labels.values()) != ("much-second" in labels.values()):
        raise InputError(f"{where}: much-first and much-second come together; name both or neither")
    return labels


def _nearest(word: str, names: list[str]) -> str:
    near = difflib.get_close_matches(word, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; it can be {', '.join(names)}"
