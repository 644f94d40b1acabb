"""What is looked for in outputs while their texts are at hand: once a row is read, its texts are gone.

Whoever ranks says what that is; reading only shows the texts. So the guard against outputs that cheat can change, or be
another, and no reader of files knows of it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Flag", "Inspection", "Watcher"]


class Flag(str):
    """A flag's name, with an `example` of what raised it: one harmless line, empty where there is none."""

    example: str

    def __new__(cls, name: str, example: str = "") -> Flag:
        flag = super().__new__(cls, name)
        flag.example = example
        return flag


class Watcher(Protocol):
    """Sees every output as it is read, and says at the end what they show."""

    def see(self, generator: str, cluster: Hashable, text: str, where: object = None) -> None:
        """One output to one instruction (`cluster`), which messages call `where`."""

    def flags(self) -> Mapping[str, tuple[Flag, ...]]:
        """The flags of every generator seen, empty where it is clean."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What texts leave behind beside their length and hash: the flags of `watch`, and a measure of each of `features`
    (names of `text.properties`). `covariates` are the names whose columns NAME_1 and NAME_2 are read too. `calls` keeps
    of every row who made it and what it took (`person`, `price`, `seconds`), where the file says. `instructions` keeps
    these whole, once each. `criteria` keeps the scores by criterion (`simfarm.data.marks`)."""

    watch: Watcher | None = None
    features: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    calls: bool = False
    instructions: bool = False
    criteria: bool = False
