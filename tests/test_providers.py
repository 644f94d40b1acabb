"""Twelve providers as they are: all the verdicts they can give, each paid for once, and stops in their own words."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest
from conftest import ROOT
from providers import PROVIDERS
from speaker import Run, Speaker, ask

JUDGES = ("pairwise-reasoned", "pairwise-json", "pairwise-letter", "pairwise-logprob")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simfarm.engine.runner.FIRST_WAIT", 0.01)


def pairings() -> Iterator[tuple[str, str, str, int]]:
    """Each provider with each judge, its models in turn, and fewer rows of the briefest judge with all that think."""
    for name, provider in PROVIDERS.items():
        taken = [(name, model, judge, 200) for judge, model in zip(JUDGES, cycle(provider.models), strict=False)]
        yield from taken
        for model, made in provider.models.items():
            if made.thinks and (name, model, "pairwise-letter", 200) not in taken:
                yield name, model, "pairwise-letter", 40


def ending(run: Run) -> str:
    """The one line in which a run that was stopped says why."""
    assert run.code in (1, 2), run.said
    (line,) = [line for line in run.said.splitlines() if line.startswith("simfarm: ")]
    return line


def quotes_nothing(line: str) -> bool:
    return "sk-" not in line.replace("sk-bad-0*", "").replace("sk***", "") and "Another, " not in line


@pytest.mark.parametrize(("name", "model", "judge", "rows"), list(pairings()))
def test_all_verdicts_that_a_provider_can_give_are_paid_once(
    name: str, model: str, judge: str, rows: int, tmp_path: Path
) -> None:
    provider = PROVIDERS[name]
    with Speaker(provider) as server:
        run = ask(server, model, judge, tmp_path / "run", rows=rows)
    if not provider.gives(model, judge):
        assert "log probabilities" in ending(run)
        assert server.received <= 4
        return
    assert (run.code, run.verdicts) == (0, rows), run.said
    assert len(server.paid) == rows, "a verdict was repaired"
    if judge == "pairwise-logprob":
        assert all(1 < row["preference"] < 2 for row in run.rows), "only the likeliest label was weighed"
    assert sum(times - 1 for times in server.paid.values()) <= 1, "what the first answer taught was not remembered"
    # each parameter that is refused costs one request, whatever is in flight
    assert server.refused.total() <= 4
    assert max(server.refused.values(), default=0) <= 1


@pytest.mark.parametrize(("name", "stop"), [(name, stop) for name, one in PROVIDERS.items() for stop in one.stops])
def test_what_no_row_can_pass_stops_the_run_in_the_providers_words(name: str, stop: str, tmp_path: Path) -> None:
    provider = PROVIDERS[name]
    model = "no-such-model" if stop == "model" else next(iter(provider.models))
    key = "sk-bad-0123456789abcdefghij" if stop == "key" else None
    with Speaker(provider, stop=None if stop in ("model", "key") else stop) as server:
        run = ask(server, model, "pairwise-reasoned", tmp_path / "run", rows=80, **({"key": key} if key else {}))
    line = ending(run)
    assert provider.stops[stop].reason.replace("{model}", model) in line
    assert quotes_nothing(line)
    assert server.received <= 2


EFFORTS = [
    (name, model, next(e for e in ("none", "minimal", "max") if e not in made.efforts))
    for name, one in PROVIDERS.items()
    if "effort" in one.words
    for model, made in one.models.items()
    if made.efforts and not made.hidden
]


@pytest.mark.parametrize(("name", "model", "effort"), EFFORTS)
def test_an_effort_that_a_model_has_not_is_never_dropped(name: str, model: str, effort: str, tmp_path: Path) -> None:
    provider = PROVIDERS[name]
    shutil.copytree(ROOT / "prompts" / "pairwise-reasoned", tmp_path / "judge")
    file = tmp_path / "judge" / "judge.yaml"
    file.write_text(file.read_text().replace("max_tokens: 2048", f"max_tokens: 2048, effort: {effort}"))
    with Speaker(provider) as server:
        run = ask(server, model, str(tmp_path / "judge"), tmp_path / "run", rows=80)
    line = ending(run)
    wanted = provider.models[model].efforts or ()
    assert provider.words["effort"].reason in line or all(value in line for value in wanted), line
    assert not server.paid
    assert server.received <= 2


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_bad_start_and_a_flagged_prompt_cost_one_row(name: str, tmp_path: Path) -> None:
    """The first call meets a bad moment, many of the next come too fast, and one prompt in 200 is refused for what it
    says."""
    provider = PROVIDERS[name]
    with Speaker(provider, busy=range(60, 72), overloaded={1, *range(30, 36)}, flagged="Question 77") as server:
        run = ask(server, next(iter(provider.models)), "pairwise-reasoned", tmp_path / "run")
    assert (run.code, run.verdicts) == (4, 199), run.said
    assert [row["instruction"] for row in run.rows if row["status"] == "error"] == ["Question 77"]
    assert server.refused["flagged"] == 1
    assert max(server.paid.values()) == 1
    assert quotes_nothing(run.said)
