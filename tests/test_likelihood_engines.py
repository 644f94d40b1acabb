"""Scores by real engines on tiny models: against transformers' own forward pass, and token by token."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_likelihood import BLIND, SHOWN, own
from tiny_model import CHAT_TEMPLATE, TEXTS, build_tiny_gguf, build_tiny_model

import simfarm
from simfarm.backends import open_model
from simfarm.backends.base import Scorer
from simfarm.cli import main
from simfarm.data.exchange import CallError
from simfarm.judges.likelihoods import APPROVING, DISAPPROVING

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.engines

ROWS = [
    {"instruction": TEXTS[4 + k % 2] + str(k), "output": TEXTS[k][: 20 + 11 * k], "generator": f"m{k % 2}"}
    for k in range(4)
]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two models of one tokenizer."""
    return tuple(build_tiny_model(tmp_path_factory.mktemp(f"tiny{seed}"), seed=seed) for seed in (0, 1))  # type: ignore[return-value]


class ByHand:
    """transformers' own forward pass, one text at a time."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()

    def __call__(self, shown: str, text: str) -> tuple[float, int]:
        """(log likelihood, tokens) of a text as the answer to one message."""
        chat = [{"role": "user", "content": shown}]
        framed = self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        before, after = (self.tokenizer(t, add_special_tokens=False).input_ids for t in (framed, text))
        with torch.no_grad():
            logits = self.model(torch.tensor([before + after])).logits[0].double()
        told = logits.log_softmax(-1)
        return sum(told[len(before) + i - 1, token].item() for i, token in enumerate(after)), len(after)


def scored(folder: Path, tmp_path: Path, shown: str = SHOWN, **keys: Any) -> list[dict[str, Any]]:
    judge = own(tmp_path / "j", shown, **keys)
    return simfarm.annotate(
        ROWS, judge=judge, model=f"transformers/{folder}", engine_args={"device": "cpu", "batch_size": 4}
    ).to_dict("records")  # type: ignore[return-value]


def test_scores_are_those_of_a_forward_pass(folders: tuple[Path, Path], tmp_path: Path) -> None:
    policy, reference = map(ByHand, folders)
    for per in ("token", "character", "sum"):
        rows = scored(folders[0], tmp_path, per=per)
        for row, given in zip(rows, ROWS, strict=True):
            nats, tokens = policy(given["instruction"], given["output"])
            by = {"token": tokens, "character": len(given["output"]), "sum": 1}[per]
            assert row["score"] == pytest.approx(nats / by, abs=1e-4)
    rows = scored(folders[0], tmp_path, BLIND, score="instruction", template="template.jinja")
    for row, given in zip(rows, ROWS, strict=True):
        nats, tokens = policy(given["output"], given["instruction"])
        assert row["score"] == pytest.approx(nats / tokens, abs=1e-4)
    rows = scored(folders[0], tmp_path, score="follow-up", template="template.jinja")
    for row, given in zip(rows, ROWS, strict=True):
        shown = f"{given['instruction']} {given['output']}"
        means = [sum(policy(shown, text)[0] for text in side) / 3 for side in (APPROVING, DISAPPROVING)]
        assert row["score"] == pytest.approx(means[0] - means[1], abs=1e-4)
    rows = scored(folders[0], tmp_path, score="reference", reference_model=f"transformers/{folders[1]}")
    for row, given in zip(rows, ROWS, strict=True):
        parts = [by_hand(given["instruction"], given["output"])[0] for by_hand in (policy, reference)]
        assert row["score"] == pytest.approx(parts[0] - parts[1], abs=1e-4)
        assert row["scores"] == pytest.approx({"policy": parts[0], "reference": parts[1]}, abs=1e-4)


def test_policy_and_reference_are_kept_apart_and_with_the_policys_own(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was scored for the answer is not scored again for the difference, and weights are part of the hash."""
    scored(folders[0], tmp_path)
    judge = own(tmp_path / "d", score="reference", reference_model=f"transformers/{folders[1]}")
    (tmp_path / "outputs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), "utf-8")
    ask = ["annotate", str(tmp_path / "outputs.jsonl"), "--judge", str(tmp_path / "d"), "-o", str(tmp_path / "s.jsonl")]
    ask += ["--model", f"transformers/{folders[0]}", "--engine-arg", "device=cpu"]
    assert main([*ask, "--dry-run"]) == 0
    assert "4 answers are in the store; 4 requests" in capsys.readouterr().out
    assert main(ask) == 0
    assert "4 new answers, 4 from the store" in capsys.readouterr().err
    rows = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text("utf-8").splitlines()]
    assert {row["model"].partition("@")[0] for row in rows} == {folders[1].name}
    assert {row["judge_hash"] for row in rows} != {judge.hash}
    same = own(tmp_path / "e", score="reference", reference_model=f"transformers/{folders[0]}")
    with pytest.raises(simfarm.InputError, match="from itself, which is 0"):
        simfarm.annotate(ROWS, judge=same, model=f"transformers/{folders[0]}", engine_args={"device": "cpu"})


def test_what_the_context_does_not_hold_is_an_error_and_never_a_score(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    long = ROWS[0] | {"output": "word " * 300, "generator": "long"}
    empty = ROWS[0] | {"output": "", "generator": "empty"}
    table = simfarm.annotate(
        [*ROWS[:2], long, empty],
        judge=own(tmp_path / "j"),
        model=f"transformers/{folders[0]}",
        engine_args={"device": "cpu"},
    )
    assert list(table["status"]) == ["verdict", "verdict", "error", "error"]
    assert table["score"].isna().tolist() == [False, False, True, True]
    assert "tokens and the context holds 256: name a model that holds more" in table["error"][2]
    assert "is empty" in table["error"][3]


EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scorer]:
    pytest.importorskip("openvino_genai")
    pytest.importorskip("gguf")
    model = open_model(str(build_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")), EXACT)
    yield model
    asyncio.run(model.close())


async def test_a_text_is_as_likely_as_its_tokens_one_by_one(embedded: Scorer, tmp_path: Path) -> None:
    prompt = f"<|im_start|>user\n{ROWS[0]['instruction']}<|im_end|>\n<|im_start|>assistant\n"
    tokenizer = transformers.AutoTokenizer.from_pretrained(build_tiny_model(tmp_path / "tiny"))
    text = TEXTS[1]
    pieces = [tokenizer.decode([token]) for token in tokenizer(text, add_special_tokens=False).input_ids]
    assert "".join(pieces) == text
    whole = await embedded.log_likelihood([{"role": "user", "content": ROWS[0]["instruction"]}], text)
    begun = ["".join(pieces[:k]) for k in range(len(pieces))]
    parts = [await embedded.log_likelihood(prompt + before, piece) for before, piece in zip(begun, pieces, strict=True)]
    assert len(parts) > 20
    assert whole == pytest.approx(math.fsum(parts), abs=1e-3)


async def test_the_embedded_engine_refuses_what_its_context_does_not_hold(embedded: Scorer) -> None:
    with pytest.raises(CallError, match="name a model that holds more"):
        await embedded.log_likelihood("Why", " leap" * 400)


def build_reward_model(
    folder: Path, *, labels: int = 1, pads: bool = True, template: str | None = CHAT_TEMPLATE
) -> Path:
    """A tiny classifier with random weights and the tiny model's tokenizer."""
    build_tiny_model(folder, chat_template=template)
    config = transformers.AutoConfig.from_pretrained(folder)
    config.num_labels, config.pad_token_id = labels, config.pad_token_id if pads else None
    with torch.random.fork_rng():
        torch.manual_seed(3)
        transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return folder


def rewards_by_hand(folder: Path, rows: list[dict[str, Any]], framed: bool = True) -> list[float]:
    """One conversation at a time, as a model card of such a model has it."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    found = []
    for row in rows:
        chat = [{"role": "user", "content": row["instruction"]}, {"role": "assistant", "content": row["output"]}]
        asked = (tokenizer.apply_chat_template(chat, tokenize=False),) if framed else tuple(m["content"] for m in chat)
        with torch.no_grad():
            found.append(
                model(**tokenizer(*asked, return_tensors="pt", add_special_tokens=not framed)).logits[0][0].item()
            )
    return found


def test_what_a_row_is_padded_with_is_not_read(tmp_path: Path) -> None:
    """Of a model that reads in both directions."""
    folder = build_tiny_model(tmp_path / "rm", chat_template=None)
    config = transformers.BertConfig(
        vocab_size=400, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, num_labels=1
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        transformers.BertForSequenceClassification(config).save_pretrained(folder)
    judge = own(tmp_path / "j", score="reward", model=f"transformers/{folder}")
    table = simfarm.annotate(ROWS, judge=judge, engine_args={"device": "cpu", "batch_size": 4})
    assert list(table["score"]) == pytest.approx(rewards_by_hand(folder, ROWS, framed=False), abs=1e-5)


@pytest.mark.parametrize(("pads", "template"), [(True, CHAT_TEMPLATE), (False, CHAT_TEMPLATE), (True, None)])
def test_rewards_are_those_of_the_classifier(tmp_path: Path, pads: bool, template: str | None) -> None:
    folder = build_reward_model(tmp_path / "rm", pads=pads, template=template)
    judge = own(tmp_path / "j", score="reward", model=f"transformers/{folder}")
    asked: dict[str, Any] = {"judge": judge, "engine_args": {"device": "cpu", "batch_size": 3}}
    table = simfarm.annotate(ROWS, **asked)
    by_hand = rewards_by_hand(folder, ROWS, template is not None)
    assert list(table["score"]) == pytest.approx(by_hand, abs=1e-5)
    assert len({round(score, 3) for score in by_hand}) == len(ROWS)
    assert table["raw_completion"][0]["text"] == repr(float(table["score"][0]))
    simfarm.write(tmp_path / "scores.jsonl", table)
    again = simfarm.annotate(tmp_path / "scores.jsonl", judge=judge, model=f"replay/{tmp_path / 'scores.jsonl'}")
    assert list(again["score"]) == list(table["score"])
    pair = {"instruction": ROWS[0]["instruction"], "output_1": ROWS[0]["output"], "output_2": ROWS[1]["output"]}
    both = rewards_by_hand(folder, [pair | {"output": pair[f"output_{k}"]} for k in (1, 2)], template is not None)
    preferred = simfarm.annotate([pair], **asked)
    assert preferred["preference"][0] == 1.0 + (both[1] > both[0])
    assert preferred["scores"][0] == pytest.approx({"score_1": both[0], "score_2": both[1]}, abs=1e-5)


def test_what_a_reward_model_cannot_read_is_an_error_of_its_own(tmp_path: Path) -> None:
    folder = build_reward_model(tmp_path / "rm", template=None)
    long = ROWS[0] | {"output": "word " * 300, "generator": "long"}
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    judge = own(tmp_path / "j", score="reward", model=f"transformers/{folder}")
    rows: list[dict[str, Any]] = [ROWS[0], long, {"messages": chat, "output": "d", "generator": "chat"}]
    table = simfarm.annotate(rows, judge=judge, engine_args={"device": "cpu"})
    assert list(table["status"]) == ["verdict", "error", "error"]
    assert "tokens and the context holds 256: name a model that holds more" in table["error"][1]
    assert table["error"][2].startswith("this model has no chat template: it takes one question")


def test_each_kind_of_model_is_for_its_own_judges(folders: tuple[Path, Path], tmp_path: Path) -> None:
    reward = build_reward_model(tmp_path / "rm")
    rates, likely = own(tmp_path / "r", score="reward"), own(tmp_path / "l")
    cpu: dict[str, Any] = {"engine_args": {"device": "cpu"}}
    for judge, model, why in (
        (rates, folders[0], "is no reward model: name transformers/PATH of a sequence classifier with one label"),
        (likely, reward, "is a reward model and writes no text: give it to a judge with protocol: likelihood and"),
        ("pairwise-letter", reward, "is a reward model and writes no text"),
        (rates, build_reward_model(tmp_path / "three", labels=3), "tells 3 labels apart, and a reward model has one"),
    ):
        with pytest.raises(simfarm.InputError, match=why):
            simfarm.annotate(ROWS, judge=judge, model=f"transformers/{model}", **cpu)
    with pytest.raises(simfarm.InputError, match="writes no text and tells no likelihood"):
        simfarm.generate([{"instruction": "Why?"}], model=f"transformers/{reward}", **cpu)
    for options, why in (({"adapter": "x"}, "a reward model takes"), ({"dtype": "int3"}, "dtype=int3: must be one of")):
        with pytest.raises(simfarm.InputError, match=why):
            simfarm.annotate(
                ROWS, judge=rates, model=f"transformers/{reward}", engine_args={"device": "cpu", **options}
            )


def test_a_head_that_the_weights_lack_is_not_made_up(tmp_path: Path) -> None:
    """transformers draws one at random, and warns: what it says would be noise."""
    folder = build_tiny_model(tmp_path / "rm")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    changed = {"architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "LABEL_0"}}
    (folder / "config.json").write_text(json.dumps(config | changed), "utf-8")
    with pytest.raises(simfarm.InputError, match="weights are missing or of another shape"):
        simfarm.annotate(ROWS, judge=own(tmp_path / "j", score="reward"), model=f"transformers/{folder}")
