"""The records that flow through the farm: instructions, outputs, comparisons, annotations.

Frozen dataclasses, validated once when a file is read (`outputs_from_rows`, `comparisons_from_rows`) and trusted
afterwards. Columns simfarm does not know travel in `extra`, untouched, to the annotation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from simfarm.errors import InputError
from simfarm.settings import spelled

__all__ = [
    "ANNOTATION_COLUMNS",
    "GENERATION_COLUMNS",
    "OF_CRITERIA",
    "SCHEMA",
    "Annotation",
    "Comparison",
    "Instruction",
    "Output",
    "Record",
    "comparisons_from_rows",
    "each_comparison",
    "each_output",
    "instructions_from_rows",
    "kind_of_rows",
    "outputs_from_rows",
]

SCHEMA = 1
"""Version of the annotation file's columns, written in every row's `schema`."""

OF_A_CROWD = ("person", "p_true", "is_noised")
"""What is known of a verdict beside its judge, where one of a crowd gave it."""

OF_CRITERIA = ("scores_sd", "scores_scale")
"""What is known of scores by criterion, where a judge gives them as probabilities."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a model is asked. `messages` is set where it is a chat."""

    instruction: str
    instruction_id: str | int | None = None
    dataset: str | None = None
    messages: tuple[Mapping[str, Any], ...] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Output:
    """One model's answer to one instruction. `messages` is set where the instruction is a chat."""

    instruction: str
    output: str
    generator: str
    instruction_id: str | int | None = None
    dataset: str | None = None
    sample: int = 0
    messages: tuple[Mapping[str, Any], ...] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """The output as a file's row: the columns of an Output, those it has, then the unknown ones."""
        row: dict[str, Any] = {"instruction_id": self.instruction_id, "dataset": self.dataset}
        row = {name: value for name, value in row.items() if value is not None}
        row |= {"instruction": self.instruction, "output": self.output, "generator": self.generator}
        row["sample"] = self.sample
        if self.messages is not None:
            row["messages"] = list(self.messages)
        return row | {k: v for k, v in self.extra.items() if k not in row}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two outputs to one instruction."""

    instruction: str
    output_1: str
    output_2: str
    generator_1: str | None = None
    generator_2: str | None = None
    instruction_id: str | int | None = None
    dataset: str | None = None
    messages: tuple[Mapping[str, Any], ...] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


Record = TypeVar("Record")
"""What a run is given, one after the other: a dataclass."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One call's result. `preference` is the file's number (1.0 output_1, 2.0 output_2, 1.5 tie, None no verdict);
    `status` is verdict, unparseable or error; `order` is "12" (output_1 shown first) or "21", None without a call;
    `judge_order` is which of them the judge asks (`both`, `hashed` …), so that half of a swap is known for one.
    `price` is in US dollars, `seconds` the provider's wall time; both None where unknown. Tokens, price and seconds are
    those of all questions asked for it, repairs and earlier attempts too; `calls` counts them, and is in no file.
    `person` is who gave the verdict where one of a crowd did, `is_noised` whether it was turned into another than was
    given, `p_true` the chance of output_2 that it was drawn with, `scores_sd` how sure the judge is of each of the
    `scores` (a standard deviation), `scores_scale` their ends: None where nobody says, and then no column."""

    comparison: Comparison
    annotator: str
    preference: float | None
    status: str
    order: str | None = None
    repeat: int = 0
    strength: int | None = None
    scores: Mapping[str, float] | None = None
    reason: str | None = None
    raw_completion: Any = None
    error: str | None = None
    judge_hash: str | None = None
    judge_order: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    price: float | None = None
    seconds: float | None = None
    person: str | None = None
    p_true: float | None = None
    is_noised: bool | None = None
    scores_sd: Mapping[str, float] | None = None
    scores_scale: Mapping[str, Sequence[float]] | None = None
    calls: int = 0

    def row(self) -> dict[str, Any]:
        """The annotation as a file's row: every column of `ANNOTATION_COLUMNS`, then the unknown ones."""
        pair = self.comparison
        row: dict[str, Any] = {
            "schema": SCHEMA,
            "instruction_id": pair.instruction_id,
            "dataset": pair.dataset,
            "instruction": pair.instruction,
            "output_1": pair.output_1,
            "output_2": pair.output_2,
            "generator_1": pair.generator_1,
            "generator_2": pair.generator_2,
            **{name: getattr(self, name) for name in _OWN},
        }
        for optional in ("instruction_id", "dataset", *OF_A_CROWD, *OF_CRITERIA):
            if row[optional] is None:
                del row[optional]
        if pair.messages is not None:
            row["messages"] = list(pair.messages)
        return row | {k: v for k, v in pair.extra.items() if k not in row}


_OWN = tuple(field.name for field in fields(Annotation))[1:-1]
"""An annotation's own columns: all of its fields but the comparison, and the calls, which are in no file."""

ANNOTATION_COLUMNS = tuple(
    Annotation(Comparison("", "", "", instruction_id="", dataset="", messages=()), "", None, "").row()
)
"""The columns of an annotation file, in writing order; `OF_A_CROWD` and `OF_CRITERIA` follow where a row has them."""

_OUTPUT_COLUMNS = {"instruction", "output", "generator", "instruction_id", "dataset", "sample", "messages", "input"}

GENERATION_COLUMNS = (
    *("finish_reason", "model", "revision", "engine", "system", "sampling", "thinking"),
    *("input_tokens", "output_tokens", "price", "seconds"),
)
"""What `simfarm generate` records beside an output."""


def kind_of_rows(rows: Sequence[Row], source: str) -> str:
    """What a file holds, from its columns: `annotations`, `comparisons` or `outputs`; raises `InputError` otherwise."""
    columns = {key for row in rows[:100] for key in row}
    if "preference" in columns:
        return "annotations"
    if columns & {"output_1", "output_2"}:
        return "comparisons"
    if "output" in columns:
        return "outputs"
    known = "outputs (instruction, output, generator) nor of comparisons (output_1, output_2) nor of annotations"
    others, named = ", ".join(sorted(columns)[:8]), spelled("columns", "OURS=THEIRS")
    raise InputError(f"{source}: has neither the columns of {known} (preference); it has {others}; add {named}")


def _text(row: Row, column: str, source: str, number: int, *, required: bool = True) -> str:
    value = row.get(column)
    if value is None and (column not in row or required):
        if column not in row:
            raise InputError(f"{source}: row {number} lacks the column {column!r}; add it or rename yours to it")
        raise InputError(f"{source}: row {number} has no {column!r}; fill it in or drop the row")
    if not isinstance(value, str):
        raise InputError(f"{source}: row {number} has a {type(value).__name__} in {column!r}; it must be text")
    return _whole_text(value)


def _whole_text(value: str) -> str:
    """A text without halves of surrogate pairs (a cut-off emoji), which cannot be sent or hashed as UTF-8."""
    return value if value.isascii() else value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _dataset(row: Row, source: str, number: int) -> str | None:
    value: str | None = row.get("dataset")
    if isinstance(value, list | dict):
        raise InputError(f"{source}: row {number} has a {type(value).__name__} in 'dataset'; it must be a name")
    return value


def _name(row: Row, column: str, source: str, number: int) -> str:
    value = row.get(column)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise InputError(
            f"{source}: row {number} lacks {column!r}, the name of the model that wrote the output; add it"
        )
    return value


def _instruction(row: Row, source: str, number: int) -> tuple[str, tuple[Row, ...] | None]:
    """(the instruction as one text, its chat messages if it is a chat)."""
    messages = row.get("messages")
    if isinstance(messages, str):
        try:
            messages = json.loads(messages)
        except json.JSONDecodeError as error:
            raise InputError(f"{source}: row {number} has 'messages' that are not JSON; write a list") from error
    if messages:
        if not isinstance(messages, list) or not all(
            isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str)
            for m in messages
        ):
            raise InputError(f"{source}: row {number} needs 'messages' as a list of objects with 'role' and 'content'")
        chat = tuple(m | {"content": _whole_text(m["content"])} for m in messages)
        if isinstance(row.get("instruction"), str):
            return _text(row, "instruction", source, number), chat
        return "\n\n".join(f"{m['role']}: {m['content']}" for m in chat), chat
    instruction = _text(row, "instruction", source, number)
    extra_input = row.get("input")
    if isinstance(extra_input, str) and extra_input.strip():
        instruction = f"{instruction}\n\n{_text(row, 'input', source, number)}"
    return instruction, None


def _sample(row: Row, source: str, number: int) -> int:
    value = row.get("sample")
    try:
        return 0 if value is None else int(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{source}: row {number} has the sample {value!r}; it must be a whole number") from error


def instructions_from_rows(rows: Iterable[Row], source: str) -> list[Instruction]:
    """Validated instructions, in file order; raises `InputError` naming the row, also for one asked twice.

    Rows of an output file are instructions too, each of them once: the answers and what was recorded about them are
    left behind. Columns simfarm does not know pass through.
    """
    asked: list[Instruction] = []
    seen: dict[tuple[str, str | None], int] = {}
    for number, row in enumerate(rows, 1):
        instruction, messages = _instruction(row, source, number)
        if messages is not None and messages[-1]["role"] == "assistant":
            raise InputError(f"{source}: row {number} has 'messages' that end with an answer; leave the last one out")
        if not instruction.strip():
            raise InputError(f"{source}: row {number} has an empty instruction; fill it in or drop the row")
        dataset, answered = _dataset(row, source, number), "output" in row
        key = (instruction.strip(), dataset)
        if key in seen and answered:
            continue
        if key in seen:
            raise InputError(
                f"{source}: row {number} repeats row {seen[key]} (same instruction); drop one, and ask for several "
                "answers with --n"
            )
        seen[key] = number
        if row.get("system") and not answered:
            raise InputError(
                f"{source}: row {number} has a column 'system', which is not sent; write it as a message in "
                "'messages', or drop it"
            )
        known = {*_OUTPUT_COLUMNS, *(GENERATION_COLUMNS if answered else ())}
        extra = {k: v for k, v in row.items() if k not in known}
        asked.append(Instruction(instruction, row.get("instruction_id"), dataset, messages, extra))
    return asked


def outputs_from_rows(rows: Iterable[Row], source: str) -> list[Output]:
    """Validated outputs, in file order; raises `InputError` naming the row, also for one asked twice."""
    return list(each_output(rows, source))


def each_output(rows: Iterable[Row], source: str) -> Iterator[Output]:
    """The same, one at a time: what was seen is remembered by its hash."""
    seen: dict[int, int] = {}
    for number, row in enumerate(rows, 1):
        instruction, messages = _instruction(row, source, number)
        output = Output(
            instruction=instruction,
            output=_text(row, "output", source, number),
            generator=_name(row, "generator", source, number),
            instruction_id=row.get("instruction_id"),
            dataset=_dataset(row, source, number),
            sample=_sample(row, source, number),
            messages=messages,
            extra={k: v for k, v in row.items() if k not in _OUTPUT_COLUMNS},
        )
        key = hash((instruction.strip(), output.generator, output.dataset, output.sample))
        if key in seen:
            raise InputError(
                f"{source}: row {number} repeats row {seen[key]} (same instruction and generator "
                f"{output.generator!r}); drop one, or number several answers in a column 'sample'"
            )
        seen[key] = number
        yield output


def comparisons_from_rows(rows: Iterable[Row], source: str) -> list[Comparison]:
    """Validated comparisons, in file order; an instruction may recur. Raises `InputError` naming the row.

    Rows of an annotation file are comparisons too: the verdict columns are left behind, so that another judge can
    be asked about the same pairs.
    """
    return list(each_comparison(rows, source))


def each_comparison(rows: Iterable[Row], source: str) -> Iterator[Comparison]:
    """The same, one at a time."""
    known = {*ANNOTATION_COLUMNS, *OF_A_CROWD, *OF_CRITERIA, "input"}
    for number, row in enumerate(rows, 1):
        instruction, messages = _instruction(row, source, number)
        yield Comparison(
            instruction,
            output_1=_text(row, "output_1", source, number),
            output_2=_text(row, "output_2", source, number),
            generator_1=_name(row, "generator_1", source, number) if row.get("generator_1") is not None else None,
            generator_2=_name(row, "generator_2", source, number) if row.get("generator_2") is not None else None,
            instruction_id=row.get("instruction_id"),
            dataset=_dataset(row, source, number),
            messages=messages,
            extra={k: v for k, v in row.items() if k not in known},
        )
