"""Where the plain files that travel with simfarm lie: judge specs and leaderboards.

They stand at the top of the repository, where people look for them, and are put inside the package when a wheel is
built (`force-include` in pyproject.toml). Both places are looked at, so a clone and an installation behave alike.
"""

from __future__ import annotations

from pathlib import Path

from simfarm.errors import SimfarmError

__all__ = ["leaderboards_dir", "prompts_dir"]

PACKAGE = Path(__file__).resolve().parent


def prompts_dir() -> Path:
    """The folder of bundled judges."""
    return _folder("prompts")


def leaderboards_dir() -> Path:
    """The folder of published and produced leaderboards."""
    return _folder("leaderboards")


def _folder(name: str) -> Path:
    for candidate in (PACKAGE / "_data" / name, PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise SimfarmError(f"the folder {name}/ is missing from this installation of simfarm: install it again")
