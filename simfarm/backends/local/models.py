"""Models on this machine: which files a spec means, which engine runs them, a name that changes with the weights.

An answer is kept under the name of the model that gave it. A path is no such name: a checkpoint folder is overwritten
by the next training run, and the same weights lie elsewhere on another machine. So a model is NAME@REVISION, the
revision being a hash of its content (or the hub's commit) and of the options that change what it says.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simfarm.data.sampling import LOCAL, refuse_unknown
from simfarm.errors import InputError

__all__ = [
    "ENGINES",
    "SERVERS",
    "LocalModel",
    "check_sampling",
    "find_model",
    "local_spec",
    "missing_engine",
]

SERVERS = ("openai", "anthropic", "systemone", "litellm", "replay")
"""Prefixes of the backends that run no model here; a folder of such a name in the way is not meant."""

ENGINES = ("openvino", "vllm", "transformers")
"""Prefixes of the backends that run a model in this process."""

PACKAGES = {
    "openvino": ("openvino_genai", "local"),
    "vllm": ("vllm", "vllm"),
    "transformers": ("torch", "transformers"),
}
"""Engine -> (a module it needs, the extra of simfarm that brings it)."""

WHOLE, EVERY, PIECE = 2**30, 2**22, 2**16
"""Bytes: files up to WHOLE are hashed whole, of larger ones a PIECE out of EVERY so many. Any layer of a model that
large is bigger than EVERY, so no training run can slip between two pieces."""

NOT_WANTED = ["pytorch_model*.bin", "*.pt", "*.pth", "*.onnx*", "*.h5", "*.msgpack", "*.gguf", "original/*"]
"""Hub files that hold the same weights again in a form the engines here do not read."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model's files. `path` is a GGUF file or a folder; `name` is what a leaderboard calls it."""

    path: Path
    name: str
    revision: str

    @property
    def full_name(self) -> str:
        return f"{self.name}@{self.revision}"


def local_spec(spec: str) -> str | None:
    """`ENGINE/PATH` for a spec that means a model on this machine, None for any other.

    A spec may name the engine (`vllm/PATH-OR-HUB-NAME`) or be a path alone: a GGUF file or an OpenVINO folder goes to
    openvino, any other folder to vllm where that is installed, else to transformers. `embedded` is the model that
    `simfarm setup-local` fetches. Raises `InputError` where no engine is installed that could run it.
    """
    prefix = spec.partition("/")[0]
    if prefix in SERVERS:
        return None
    if spec in ("embedded", "openvino/embedded"):
        from simfarm.backends.local.embedded import embedded_weights

        return f"openvino/{embedded_weights()}"
    if prefix in ENGINES:
        return spec
    path = Path(spec).expanduser()
    if path.suffix.lower() == ".gguf" or (path / "openvino_model.xml").is_file():
        return f"openvino/{path}"
    if not path.is_dir():
        return None
    for engine in ("vllm", "transformers"):
        if importlib.util.find_spec(PACKAGES[engine][0]) is not None:
            return f"{engine}/{path}"
    raise InputError(f"{spec}: {missing_engine('transformers')}, or 'simfarm[vllm]' on a GPU")


def missing_engine(engine: str) -> str:
    """What to say where an engine's package is not installed."""
    return f"running a model with {engine} needs: pip install 'simfarm[{PACKAGES[engine][1]}]'"


def check_sampling(engine: str, sampling: Mapping[str, Any]) -> None:
    """Refuses a sampling name that the engines here do not know. Raises `InputError`."""
    if "effort" in sampling:
        raise InputError(
            "a model in this process takes no effort: leave it out (enable_thinking among the template's arguments, or "
            "thinking: false in a judge, switches its thinking off)"
        )
    refuse_unknown(engine, LOCAL, sampling)


def find_model(engine: str, name: str, changing: Mapping[str, Any] | None = None) -> LocalModel:
    """The files of a model: a path, or a hub name (`owner/name` or `owner/name@revision`), which is downloaded.

    `changing` are the engine's options that change what the model says (dtype, quantization, an adapter's folder); they
    go into the revision. Raises `InputError` for what is neither, for a folder without a model or a tokenizer, and
    where the engine is not installed.
    """
    if importlib.util.find_spec(PACKAGES[engine][0]) is None:
        raise InputError(missing_engine(engine))
    path = Path(name).expanduser()
    commit = None
    if not path.exists():
        path, commit = _from_hub(name)
    label = path.stem if path.is_file() else path.resolve().name
    if commit is not None:
        label = name.partition("@")[0]
    if path.is_dir():
        _check_folder(path)
    elif path.suffix.lower() != ".gguf":
        raise InputError(f"{path}: is no model: name a GGUF file or a model's folder")
    digest = hashlib.sha256((commit or _content(path)).encode())
    for option, value in sorted((changing or {}).items()):
        content = _content(Path(value)) if isinstance(value, str | Path) and Path(value).is_dir() else str(value)
        digest.update(f"\0{option}={content}".encode())
    revision = (commit or "")[:12] if commit and not changing else digest.hexdigest()[:12]
    return LocalModel(path, label, revision)


def _check_folder(path: Path) -> None:
    if not any((path / name).is_file() for name in ("config.json", "openvino_model.xml", "params.json")):
        raise InputError(f"{path}: holds no model (no config.json, no openvino_model.xml); name a model's folder")
    tokenizers = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "openvino_tokenizer.xml", "vocab.json")
    if not any((path / name).is_file() for name in (*tokenizers, "tekken.json", "spiece.model")):
        raise InputError(f"{path}: holds a model without its tokenizer; copy tokenizer.json and its like beside it")


def _from_hub(name: str) -> tuple[Path, str]:
    """(the snapshot's folder, its commit) of a hub name."""
    repository, _, revision = name.partition("@")
    if repository.count("/") != 1 or repository.startswith((".", "/", "~")):
        raise InputError(f"{name}: no such file or folder, and no hub name (owner/name)")
    import huggingface_hub

    try:
        folder = huggingface_hub.snapshot_download(repository, revision=revision or None, ignore_patterns=NOT_WANTED)
    except (OSError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{name}: no such folder, and the hub did not give it ({reason})") from None
    return Path(folder), Path(folder).name


def _content(path: Path) -> str:
    """A hash of a file's content, or of all files of a folder (not of what lies in folders within it)."""
    if path.is_file():
        return _file_digest(path)
    files = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    return json.dumps([[p.name, _file_digest(p)] for p in files if p.suffix not in (".md", ".log")])


def _file_digest(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for piece in _pieces(size):
            file.seek(piece[0])
            digest.update(file.read(piece[1]))
    return digest.hexdigest()


def _pieces(size: int) -> Iterable[tuple[int, int]]:
    """(offset, length) of what is hashed of a file of `size` bytes."""
    if size <= WHOLE:
        return ((start, EVERY) for start in range(0, size, EVERY))
    return ((start, PIECE) for start in (*range(0, size, EVERY), size - PIECE))
