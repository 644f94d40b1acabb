"""Every kind of judge on the embedded model: it asks as often as a server would be asked, guesses nothing, and asks
nothing twice."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_protocol_faults import ASKED, KINDS, files

import simfarm
from simfarm.backends.local.embedded import MEMBER, cache_dir

__all__ = ["files"]

pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(not (cache_dir() / Path(MEMBER).name).is_file(), reason="the embedded model is not set up"),
]


@pytest.fixture(scope="module")
def model() -> Iterator[Any]:
    """The embedded model, loaded once."""
    opened = simfarm.open_model("embedded")
    yield opened
    asyncio.run(opened.close())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "logprob"])
def test_a_model_in_this_process_is_asked_the_same_way(model: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = KINDS[kind]
    asked = 0
    for name in ("complete", "decide"):
        plain = getattr(model, name)

        async def counted(request: Any, plain: Any = plain) -> Any:
            nonlocal asked
            asked += 1
            return await plain(request)

        monkeypatch.setattr(model, name, counted)
    inputs = [word for word in own.inputs if word.endswith("jsonl")]
    baseline = inputs.pop() if "--baseline" in own.inputs else None
    sampling = {} if kind.endswith("decision") else {"max_tokens": 16}

    def annotated() -> Any:
        with warnings.catch_warnings(action="ignore"):
            return simfarm.annotate(inputs, baseline=baseline, judge=own.judge, model=model, limit=1, **sampling)

    made = annotated()
    questions = 1 if kind == "several" else own.questions // (ASKED // 2 if kind == "joint" else ASKED)
    assert questions <= asked <= 2 * questions, "each question, and a repair of each at most"
    value = made["score" if kind.startswith("rating") else "preference"]
    assert (value.notna() == (made["status"] == "verdict")).all()
    assert set(made["status"]) <= {"verdict", "unparseable"}
    before, lacking = asked, (made["status"] != "verdict").any()
    again = annotated()
    assert lacking or asked == before, "what has no verdict, and nothing else"
    assert lacking or value.equals(again[value.name])
