"""Where a verb's `-o` goes: a file, or standard output for `-`."""

from __future__ import annotations

import os
from collections.abc import Sequence

from simfarm.errors import InputError

__all__ = ["refuse_overwriting", "rows_target"]


def rows_target(output: str | None, inputs: Sequence[object]) -> str | None:
    """The file that rows are written to, None for standard output. Raises `InputError` where it cannot be written, or
    is read."""
    from simfarm.data.files import check_writable

    if output is None or output == "-":
        return None
    if not output:
        raise InputError("-o is empty; name a file, or - for standard output")
    check_writable(output, inputs)
    return output


def refuse_overwriting(output: str, inputs: Sequence[object]) -> None:
    """Raise `InputError` where the target is one of the inputs."""
    place = os.path.realpath(output)
    if any(isinstance(i, str | os.PathLike) and os.path.realpath(i) == place for i in inputs):
        raise InputError(f"{output}: is an input as well, and would be replaced; choose another -o FILE")
