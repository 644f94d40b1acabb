"""Files of others that are broken, mixed or made to break the reader: one line, or a row left out, and counted."""

import contextlib
import copy
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from foreign import (
    LOG,
    WRITTEN,
    Row,
    annotated_pairs,
    archive,
    arena_hard,
    assistant,
    lm_eval,
    lmarena,
    mt_bench_pairs,
    mt_bench_single,
    record,
    sample,
    task,
    trl_texts,
    user,
)

import simfarm
from simfarm.cli import main
from simfarm.data.conversion import NAMES
from simfarm.errors import InputError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def whole(name: str, **parts: Any) -> str:
    Path(name).write_text(json.dumps(annotated_pairs()[0] | parts))
    return name


def broken_archive(name: str) -> str:
    data = Path(archive(name)).read_bytes()
    Path(name).write_bytes(data[: len(data) // 2])
    return name


def zipped(name: str, entries: dict[str, str]) -> str:
    with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as log:
        for entry, text in entries.items():
            log.writestr(entry, text)
    return name


def rows_of(name: str, *rows: Any) -> str:
    Path(name).write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return name


HEADER = json.dumps(LOG)
BATTLE = lmarena()[0]
DETACHED = sample(2) | {"attachments": {}}
PAIR = annotated_pairs()[0]["comparisons"][0]
BAD: dict[str, tuple[Callable[[], str], str]] = {
    "half an archive": (lambda: broken_archive("x.eval"), "not a readable .eval archive"),
    "text called a log": (lambda: rows_of("x.eval", "hello"), "not a readable .eval archive"),
    "an archive of something": (lambda: zipped("x.eval", {"a.txt": "a"}), "is a zip archive, but no log"),
    "a log without samples": (lambda: zipped("x.eval", {"header.json": HEADER}), "has no rows"),
    "a header that is none": (lambda: zipped("x.eval", {"header.json": "[1]"}), "header.json is no object"),
    "a sample that is no JSON": (
        lambda: zipped("x.eval", {"header.json": HEADER, "samples/1_epoch_1.json": "{"}),
        "samples/1_epoch_1.json is not valid JSON",
    ),
    "a sample nested without end": (
        lambda: zipped("x.eval", {"header.json": HEADER, "samples/1_epoch_1.json": '{"a":' * 100_000}),
        "is not valid JSON",
    ),
    "an attachment that is not there": (
        lambda: zipped(
            "x.eval", {"header.json": HEADER, "samples/2.json": json.dumps(sample(2) | {"attachments": {}})}
        ),
        "x.eval: row 1 refers to the attachment 'abc'",
    ),
    "two formats in one file": (lambda: rows_of("x.jsonl", *trl_texts(), BATTLE), "row 9 has no 'chosen', as the rows"),
    "the columns of two formats": (
        lambda: rows_of("x.jsonl", BATTLE | trl_texts()[0]),
        "has the columns of lmarena and of trl; say which is what with",
    ),
    "games that are no list": (lambda: rows_of("x.jsonl", arena_hard()[0] | {"games": "both"}), "a str in 'games'"),
    "a game that is a number": (lambda: rows_of("x.jsonl", arena_hard()[0] | {"games": [3, None]}), "a int as a game"),
    "nobody knows the question": (lambda: rows_of("x.jsonl", {"games": [], "model": "m"}), "neither 'uid' nor"),
    "a model that is a list": (
        lambda: rows_of("x.jsonl", BATTLE | {"model_a": ["m"]}),
        "row 1 has a list in 'model_a'",
    ),
    "a grade that is a word": (
        lambda: rows_of("x.jsonl", mt_bench_single()[0] | {"score": "good"}),
        "row 1 has a str as its score",
    ),
    "a judge that is an object": (
        lambda: rows_of("x.jsonl", mt_bench_pairs()[0] | {"judge": {}}),
        "neither a name nor",
    ),
    "a chat that is an object": (
        lambda: rows_of("x.jsonl", BATTLE | {"conversation_a": {}}),
        "a dict in 'conversation_a'",
    ),
    "no comparison": (lambda: whole("x.json", comparisons=[]), "has no rows"),
    "comparisons of words": (lambda: whole("x.json", comparisons=["a"]), "row 1 has a str in 'comparisons'"),
    "annotators in a list": (lambda: whole("x.json", annotators=[]), "row 1 has a list in 'annotators'"),
    "a huge number": (lambda: rows_of("x.jsonl", '{"chosen": "a", "rejected": ' + "9" * 5000 + "}"), "too many digits"),
    "nested without end": (lambda: rows_of("x.jsonl", '{"games":' + "[" * 100_000), "nested too deeply"),
    "labels in a word": (lambda: rows_of("x.json", task() | {"annotations": "none"}), "a str in 'annotations'"),
    "fields in a word": (lambda: rows_of("x.json", record() | {"fields": "none"}), "a str in 'fields'"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_made_to_break_the_reader_is_one_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    make, told = BAD[case]
    assert main(["convert", make()]) == 2
    said = capsys.readouterr().err
    assert told in said, said
    assert said.count("\n") == 1
    assert len(said) < 400


LEFT_OUT: dict[str, tuple[Row, str]] = {
    "a conversation of one": (BATTLE | {"conversation_a": [user("Q0?")]}, "a conversation that does not end with"),
    "no turn at all": (BATTLE | {"conversation_a": [], "conversation_b": []}, "does not end with an answer"),
    "answers alone": (BATTLE | {"conversation_a": [assistant("A")], "conversation_b": [assistant("B")]}, "begin with"),
    "other questions": (BATTLE | {"conversation_b": [user("Q1?"), assistant("B")]}, "begin with different questions"),
    "a turn that is a word": (BATTLE | {"conversation_a": ["Q0?", "A"]}, "a turn without a role"),
    "a role that is a number": (BATTLE | {"conversation_a": [{"role": 1, "content": "x"}]}, "a turn without a role"),
    "nothing said": (
        BATTLE | {"conversation_a": [user("Q0?"), {"role": "assistant", "content": None}]},
        "without text",
    ),
    "answers that are the same": (
        {"prompt": "Q?", "chosen": "a", "rejected": "a"},
        "a chosen answer that is the rejected",
    ),
    "nothing in common": ({"chosen": "a", "rejected": "b"}, "no prompt, and nothing that both answers begin with"),
    "an empty chat": (
        {"prompt": [user("Q?")], "chosen": [], "rejected": [assistant("B")]},
        "does not end with an answer",
    ),
    "no votes": (
        {"comparison": annotated_pairs()[0]["comparisons"][0] | {"annotations": {}}, "annotators": {}},
        "no annota",
    ),
    "no answer": (LOG | {"sample": sample(1) | {"output": {"choices": []}}}, "no answer"),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_a_row_that_ours_cannot_be_is_left_out_and_counted(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    row, told = LEFT_OUT[case]
    assert main(["convert", rows_of("x.jsonl", row)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("simfarm: x.jsonl: nothing in it can be read (1 with ")
    assert told in said


def test_numbers_that_are_none_are_no_verdict() -> None:
    text = json.dumps(arena_hard()[0] | {"games": [{"score": float("nan")}, {"score": 3}]})
    assert [row["status"] for row in simfarm.read(rows_of("x.jsonl", text))] == ["unparseable"] * 2
    assert simfarm.convert([mt_bench_single()[0] | {"score": float("nan")}])[0]["score"] is None


def test_a_log_that_expands_is_read_no_further_than_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    from simfarm.data import archives

    monkeypatch.setattr(archives, "ROW_LIMIT", 1 << 20)
    zipped("x.eval", {"header.json": HEADER, "samples/1_epoch_1.json": json.dumps({"a": "x" * (1 << 21)})})
    with pytest.raises(InputError, match=r"samples/1_epoch_1.json is longer than"):
        simfarm.read("x.eval")


def test_comparisons_of_any_number_are_read_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object longer than a row can be: only what stands beside its list is held."""
    from simfarm.data import parsing, unpacking

    monkeypatch.setattr(parsing, "ROW_LIMIT", 1 << 16)
    monkeypatch.setattr(unpacking, "BLOCK", 1 << 12)
    pairs = annotated_pairs()[0]
    many = [pairs["comparisons"][0] | {"id": f"c{i}", "prompt": "long? " * 50 + str(i)} for i in range(1000)]
    Path("x.json").write_text(json.dumps(pairs | {"comparisons": many}))
    rows = simfarm.read("x.json")
    assert len(rows) == 2000
    assert rows[-1]["comparison_id"] == "c999"
    assert rows[-1]["annotator"] == "Select the response that is shorter."
    Path("y.json").write_text(json.dumps({"other": many} | pairs))
    with pytest.raises(InputError, match="holds more beside its array of rows"):
        simfarm.read("y.json")
    Path("z.json").write_text(json.dumps({"metadata": {}} | {"other": many} | pairs))
    with pytest.raises(InputError, match="'other' is longer than"):
        simfarm.read("z.json")
    short = {f"part {i}": "x" * 100 for i in range(1000)}
    Path("z.json").write_text(json.dumps({"metadata": {}} | short | pairs | {"comparisons": many}))
    with pytest.raises(InputError, match="the file is longer than a row can be"):
        simfarm.read("z.json")


@pytest.mark.parametrize("seed", range(4))
def test_rows_changed_at_random_raise_nothing_else(seed: int) -> None:
    """Any value anywhere: refused in a line, left out, or read; never a traceback."""
    rng = random.Random(seed)
    odd = [
        None,
        3,
        1.5,
        float("nan"),
        "",
        "[",
        '[{"role"',
        [],
        [None],
        {},
        {"a": 1},
        True,
        b"x",
        "\ud800",
        [assistant("x")],
    ]
    sets = [rows() for _, rows in WRITTEN.values()]
    sets += [
        [lm_eval(["a"])],
        [LOG | {"sample": sample(2)}],
        [task({"selected": "left"})],
        [record(preference=["tie"])],
    ]
    for rows in sets:
        for _ in range(25):
            changed = copy.deepcopy(rows)
            if "comparisons" in changed[0]:
                changed = [changed[0] | {"comparison": one} for one in changed[0].pop("comparisons")]
            place: Any = rng.choice(changed)
            while True:
                key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
                if not (isinstance(place[key], dict | list) and place[key]) or rng.random() < 0.4:
                    break
                place = place[key]
            if rng.random() < 0.2:
                del place[key]
            else:
                place[key] = rng.choice(odd)
            with contextlib.suppress(InputError):
                simfarm.read(changed)
            with contextlib.suppress(InputError):
                simfarm.convert(changed, rng.choice(NAMES))
