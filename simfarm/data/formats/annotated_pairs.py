"""Annotated pairs of feedback-forensics, versions 1 and 2: one object with its annotators and its comparisons, each
with every annotator's preference (`data/loader.py` of rdnfn/feedback-forensics, `annotated_pairs_format.py` of
rdnfn/icai). Here it is a row for each comparison and annotator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from simfarm.data.cells import stable_digest
from simfarm.data.formats.chats import answer, asked_text, rest_of
from simfarm.data.formats.format import Format, Left, LeftOut, Unfit, each, identity, named, passed, structure, unpassed
from simfarm.data.formats.verdicts import by_person, preferred, side, verdict, word_of
from simfarm.data.meaning import TIE
from simfarm.data.parsing import Row

__all__ = ["ANNOTATED_PAIRS"]

_WORDS = {"a": 1.0, "b": 2.0, "text_a": 1.0, "text_b": 2.0, "tie": 1.5}
_OURS = (
    *("comparison_id", "annotator_id", "annotator_type", "annotator_description", "no_pref_reason", "pairs_metadata"),
    "person",
)


def _votes(row: Row) -> Iterator[Row]:
    comparison = structure(row["comparison"], dict, "comparisons")
    annotators = structure(row["annotators"], dict, "annotators")
    about = _pair(comparison) | {"pairs_metadata": row.get("metadata")}
    votes = structure(comparison.get("annotations", {}), dict, "annotations")
    if not votes:
        raise LeftOut("no annotation")
    for key, vote in votes.items():
        who = annotators.get(key)
        known = who if isinstance(who, Mapping) else {}
        said = structure(vote, dict, "annotations")
        name = str(known.get("name") or known.get("description") or key)
        made = about | (by_person(name) if known.get("type") == "human" else {"annotator": name})
        made |= {"annotator_id": key, "annotator_type": known.get("type")}
        made |= {"annotator_description": known.get("description")} | verdict(word_of(said.get("pref"), _WORDS))
        yield made | {name: value for name, value in passed(said, ("pref",)).items() if value is not None}


def _pair(comparison: Mapping[str, Any]) -> Row:
    texts: Row = {}
    others: Row = {}
    for side_, letter in (("1", "a"), ("2", "b")):
        response = comparison.get(f"response_{letter}", {"text": comparison.get(f"text_{letter}")})
        response = structure(response, dict, f"response_{letter}")
        if not isinstance(response.get("text"), str):
            raise LeftOut("no texts")
        texts[f"output_{side_}"] = response["text"]
        model = named(response, "model")
        texts |= {} if model is None else {f"generator_{side_}": model}
        others |= {f"{name}_{side_}": value for name, value in response.items() if name not in ("text", "model")}
    prompt = comparison.get("prompt")
    if prompt is not None and not isinstance(prompt, str):
        raise Unfit(f"has a {type(prompt).__name__} as its prompt; it must be text")
    asked: Row = {"instruction": prompt or ""}
    if not prompt:
        # nobody knows what was asked: each comparison is a question of its own
        asked["instruction_id"] = str(identity(comparison, "id"))
    metadata = structure(comparison.get("metadata") or {}, dict, "metadata")
    return asked | texts | {"comparison_id": identity(comparison, "id")} | others | passed(metadata, ())


def _write(rows: Iterator[Row], left: Left) -> Iterator[Row]:
    """One row: the whole object."""
    metadata: Row = {}
    annotators: dict[str, Row] = {}
    comparisons: dict[Any, tuple[Row, dict[str, list[Row]]]] = {}
    for row in rows:
        try:
            pair, key = _their_pair(row), _annotator_id(row)
            preferred(row)
        except LeftOut as why:
            left.out(str(why))
            continue
        metadata = metadata or structure(row.get("pairs_metadata") or {}, dict, "pairs_metadata")
        annotators.setdefault(key, _annotator(row))
        comparisons.setdefault(pair["id"], (pair, {}))[1].setdefault(key, []).append(row)
    listed = [
        pair | {"annotations": {k: _vote(calls) for k, calls in votes.items()}} for pair, votes in comparisons.values()
    ]
    default = metadata.get("default_annotator") or next(iter(annotators), None)
    about = {"version": "2.0", "default_annotator": default}
    if str(metadata.get("version", "2.0")).split(".")[0] == "2":
        about |= metadata
    else:
        about = metadata | about
    yield {"metadata": about, "annotators": annotators, "comparisons": listed}


def _annotator_id(row: Mapping[str, Any]) -> str:
    known = row.get("annotator_id")
    return str(known) if known else stable_digest(_who(row)).hex()[:8]


def _annotator(row: Mapping[str, Any]) -> Row:
    name, description = _who(row), row.get("annotator_description")
    made = {} if name in (description, row.get("annotator_id")) else {"name": name}
    if description is not None or "name" not in made:
        made["description"] = description or name
    return made | {"type": row.get("annotator_type") or ("unknown" if row.get("person") is None else "human")}


def _who(row: Mapping[str, Any]) -> str:
    return str(row.get("person") or row.get("annotator") or "unknown")


def _their_pair(row: Mapping[str, Any]) -> Row:
    extras = unpassed(row, _OURS)
    paired = {name[:-2] for name in extras if name.endswith(("_1", "_2"))}
    made: Row = {"id": identity(row, "comparison_id"), "prompt": asked_text(row) or None}
    for number, letter in (("1", "a"), ("2", "b")):
        response: Row = {"text": answer(rest_of(row, number))}
        if row.get(f"generator_{number}") is not None:
            response["model"] = row[f"generator_{number}"]
        for name in paired:
            value = extras.pop(f"{name}_{number}", None)
            response |= {} if value is None else {name: value}
        made[f"response_{letter}"] = response
    if made["id"] is None:
        whole = "|".join((made["prompt"] or "", made["response_a"]["text"], made["response_b"]["text"]))
        made["id"] = stable_digest(whole).hex()[:8]
    known = {name: row[name] for name in ("instruction_id", "dataset") if row.get(name) is not None and made["prompt"]}
    return made | ({"metadata": known | extras} if known | extras else {})


def _vote(calls: list[Row]) -> Row:
    """One annotator's calls about one comparison as one preference; what is soft becomes the side that it leans to."""
    leaning = side(calls)
    if leaning is None:
        return {"pref": None, "no_pref_reason": calls[0].get("no_pref_reason") or "invalid"}
    return {"pref": "tie" if leaning == TIE else "a" if leaning < TIE else "b"}


ANNOTATED_PAIRS = Format(
    "annotated-pairs",
    "comparisons with every annotator's preference",
    lambda columns: {"comparison", "annotators"} <= {*columns},
    each(_votes, ("comparison", "annotators")),
    _write,
    whole=True,
)
