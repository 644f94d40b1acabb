"""The folder of a run's parts: which of them are whole, read off the files themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from simfarm.data.files import write_rows
from simfarm.data.records import ANNOTATION_COLUMNS, Annotation, Comparison
from simfarm.runs.parts import Folder, Part, cut

PAIRS = [Comparison(f"Why {i}?", "One.", "Two!", "a", "b") for i in range(6)]


def folder_of(path: Path) -> Folder:
    folder = Folder(path, cut(PAIRS, 2, len), {"verb": "annotate"})
    folder.begin()
    return folder


def write(folder: Folder, part: Part, statuses: Sequence[str]) -> None:
    rows = [
        Annotation(pair, "judge", 1.0 if status == "verdict" else None, status).row()
        for pair, status in zip(part.records, statuses, strict=False)
    ]
    write_rows(folder.path / part.name, rows, ANNOTATION_COLUMNS)


@pytest.mark.parametrize("status", ["error", "unparseable"])
def test_a_part_without_a_verdict_is_made_again(status: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "out")
    first, second, third = folder.parts
    assert folder.missing() == [first, second, third]
    write(folder, first, ["verdict", "verdict"])
    write(folder, second, ["verdict", status])
    write(folder, third, [status, status])
    assert folder.missing() == [second, third]
    assert folder.written() == 3


def test_a_part_that_lacks_rows_or_cannot_be_read_is_made_again(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "out")
    first, second, third = folder.parts
    write(folder, first, ["verdict", "verdict"])
    write(folder, second, ["verdict"])
    write(folder, third, ["verdict", "verdict"])
    whole = (folder.path / third.name).read_bytes()
    (folder.path / third.name).write_bytes(whole[: len(whole) // 2])
    assert folder.missing() == [second, third]


def test_outputs_have_no_verdicts_to_lack(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "out")
    for part in folder.parts:
        # a user's own column of that name says nothing about verdicts
        write_rows(folder.path / part.name, [{"output": "Yes.", "status": "draft"} for _ in part.records])
    assert folder.missing() == []
