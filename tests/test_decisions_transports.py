"""One judge over every transport: the same model and prompt give the same probabilities, whether the model runs in this
process or a server of either shape computes with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from loopback import Call, Loopback
from tiny_model import build_tiny_gguf, build_tiny_model

from simfarm.backends import open_model
from simfarm.data.decision import Option, Question
from simfarm.data.exchange import Request
from simfarm.data.records import Comparison
from simfarm.runs.annotation import AnnotationRun
from simfarm.runs.options import JudgeOptions, RunOptions

pytestmark = pytest.mark.engines

TEMPLATE = (
    "<|im_start|>user\n{{ messages | map(attribute='content') | join('\n\n') }}<|im_end|>\n<|im_start|>assistant\n"
)
"""Renders the messages as one text, which is all that System One is sent."""

CONTEXT = 4096

PAIRS = [Comparison(f"Question {i}?", f"One {i}." * (i + 1), f"Two {i}.", "a", "b") for i in range(5)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    return build_tiny_model(tmp_path_factory.mktemp("tiny"), context=CONTEXT, chat_template=TEMPLATE)


def messages_of(body: dict[str, Any]) -> tuple[dict[str, str], ...]:
    """What is judged, as chat messages, from a body of either shape."""
    if "state" in body:
        return ({"role": "user", "content": body["state"]},)
    texts = [m["content"] if isinstance(m["content"], str) else m["content"][0]["text"] for m in body["input"]]
    return tuple({"role": m["role"], "content": text} for m, text in zip(body["input"], texts, strict=True))


def question_of(name: str, asked: dict[str, Any]) -> Question:
    """A choice, from either shape."""
    if "criteria" in asked:
        options = tuple(Option(value, text or "") for value, text in asked["criteria"].items())
    else:
        options = tuple(Option(one["value"], one.get("description", "")) for one in asked["choices"])
    return Question(name, "choice", asked["instructions"], options)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Loopback]:
    """A server of both shapes that computes with the model itself."""
    model: Any = open_model(f"transformers/{folder}", {})

    def answer(call: Call) -> dict[str, Any]:
        asked = call.body["questions"]
        listed = [(q["name"], q) for q in asked] if isinstance(asked, list) else list(asked.items())
        request = Request(
            model.model, messages_of(call.body), questions=tuple(question_of(name, one) for name, one in listed)
        )
        with ThreadPoolExecutor(1) as aside:
            got = aside.submit(asyncio.run, model.decide(request)).result()
        usage = {"input_tokens": got.input_tokens, "output_tokens": 0}
        if isinstance(asked, list):
            answers: Any = [
                {
                    "type": "choice",
                    "name": name,
                    "choice": max(chances, key=chances.get),
                    "probabilities": [{"value": v, "probability": p} for v, p in chances.items()],
                }
                for name, chances in got.answers.items()
            ]
        else:
            answers = {
                name: {"type": "choice", "choice": max(chances, key=chances.get), "probabilities": chances}
                for name, chances in got.answers.items()
            }
        return {"model": call.body["model"], "answers": answers, "usage": usage}

    with Loopback(decision=answer) as running:
        yield running
    asyncio.run(model.close())


def preferences(spec: str, store: Path, **options: Any) -> list[float]:
    run = AnnotationRun.open(JudgeOptions("pairwise-decision", model=spec), RunOptions(store=store, **options))
    annotations = list(run.results(PAIRS))
    assert {annotation.status for annotation in annotations} == {"verdict"}
    assert len(annotations) == 2 * len(PAIRS)
    return [annotation.preference for annotation in annotations if annotation.preference is not None]


@pytest.fixture(scope="module")
def wanted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    got = preferences(f"transformers/{folder}", tmp_path_factory.mktemp("here") / "store.sqlite")
    assert len({round(value, 3) for value in got}) > 3
    return got


@pytest.mark.parametrize("shape", ["openai", "systemone"])
def test_servers_of_both_shapes_give_what_the_model_gives_here(
    shape: str, server: Loopback, wanted: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "SYSTEMONE_API_KEY"):
        monkeypatch.setenv(name, "sk-loopback")
    got = preferences(f"{shape}/judge", tmp_path / "store.sqlite", base_url=f"{server.url}/v1")
    assert got == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize(("options", "slack"), [({"dtype": "f32"}, 0.01), ({}, 0.05)])
def test_openvino_gives_it_in_its_own_arithmetic(
    options: dict[str, str], slack: float, wanted: list[float], tmp_path: Path
) -> None:
    """The file has the weights rounded to 16 bits; the default arithmetic rounds further."""
    pytest.importorskip("openvino_genai")
    pytest.importorskip("gguf")
    file = build_tiny_gguf(tmp_path / "tiny.gguf", context=CONTEXT, chat_template=TEMPLATE)
    got = preferences(str(file), tmp_path / "store.sqlite", engine_args=options)
    assert got == pytest.approx(wanted, abs=slack)
