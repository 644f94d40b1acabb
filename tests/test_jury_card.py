"""A panel over recorded verdicts: one more judge on the card, beside the best of its members."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import simfarm
from simfarm.agreement.jury import seated
from simfarm.agreement.votes import votes_of
from simfarm.cli import main
from simfarm.data.frames import frame_verdicts
from simfarm.data.inspection import Inspection
from simfarm.data.juries import Fitted, JuryRule, instruction_key
from simfarm.errors import InputError


def recorded(rates: dict[str, float], n: int = 120, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Verdicts of judges that are right so often, each by itself, and one person's labels, who is always right."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    base = pd.DataFrame({"instruction_id": np.arange(n), "generator_1": "ann", "generator_2": "bob", "price": 0.001})
    right = [np.where(rng.random(n) < rate, truth, 1 - truth) for rate in rates.values()]
    judged = [base.assign(annotator=name, preference=1.0 + p) for name, p in zip(rates, right, strict=True)]
    return pd.concat(judged, ignore_index=True), base.assign(annotator="person", preference=1.0 + truth)


ALIKE = {"a": 0.75, "b": 0.75, "c": 0.75, "d": 0.75, "e": 0.75}
ONE_GOOD = {"good": 0.95, "x": 0.4, "y": 0.4, "z": 0.4}


def test_a_majority_of_equals_beats_each_and_costs_what_all_do() -> None:
    verdicts, labels = recorded(ALIKE)
    card = simfarm.report_card(verdicts, human=labels, jury="majority")
    assert card.judges[0].name == "majority"
    assert card.jury is not None
    assert card.jury.gap is not None
    assert card.jury.gap.value > 0.05
    assert card.panel is not None
    assert card.panel.n == 5
    price = card.row("majority").get("price_per_1000")
    assert price is not None
    assert price.value == pytest.approx(5.0)
    assert card.to_json()["jury"]["best"] == card.jury.best


def test_a_panel_that_loses_to_its_best_member_says_so() -> None:
    verdicts, labels = recorded(ONE_GOOD)
    with pytest.warns(UserWarning, match="agrees less with people than its member good"):
        card = simfarm.report_card(verdicts, human=labels, jury="majority")
    assert card.jury is not None
    assert card.jury.best == "good"
    weighted = simfarm.report_card(verdicts, human=labels, jury="weighted").jury
    assert weighted is not None
    assert weighted.gap is not None
    assert weighted.weights is not None
    assert weighted.gap.value > -0.03
    assert weighted.weights["good"] > 0.5
    assert min(weighted.weights.values()) == 0
    signed = simfarm.report_card(verdicts, human=labels, jury="weighted", signed=True).jury
    assert signed is not None
    assert signed.weights is not None
    assert min(signed.weights.values()) < 0


def test_who_has_no_verdict_abstains() -> None:
    verdicts, labels = recorded(ALIKE, n=40)
    verdicts.loc[(verdicts.annotator == "a") & (verdicts.instruction_id < 7), "preference"] = np.nan
    few = (verdicts.annotator.isin(["b", "c"])) & (verdicts.instruction_id < 3)
    verdicts.loc[few, "preference"] = np.nan
    jury = simfarm.report_card(verdicts, human=labels, jury="mean").jury
    assert jury is not None
    assert (jury.abstained, jury.asked, jury.undecided) == (7 + 6, 200, 3)


def test_a_panel_costs_what_its_members_do() -> None:
    verdicts, labels = recorded(ALIKE, n=30)
    looked = Inspection(calls=True)
    votes = votes_of(frame_verdicts(verdicts, "v", looked), frame_verdicts(labels, "l", looked))
    joined, _ = seated(votes, JuryRule("two", "mean", ("a", "c")))
    assert joined.of("two")["price"].to_numpy() == pytest.approx(0.002)


def test_without_labels_the_best_is_not_known() -> None:
    verdicts, _ = recorded(ALIKE, n=30)
    jury = simfarm.report_card(verdicts, jury="mean").jury
    assert jury is not None
    assert jury.best is None
    assert jury.gap is None
    with pytest.raises(InputError, match="give --human LABELS, or take majority"):
        simfarm.report_card(verdicts, jury="weighted")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"jury": "debate"}, "cannot debate"),
        ({"jury": "votes"}, "neither majority, mean, weighted nor"),
        ({"jury": "mean", "signed": True}, "mean has no weights"),
        ({"signed": True}, "goes with --jury weighted"),
    ],
)
def test_what_is_no_jury_is_refused(given: dict[str, object], said: str) -> None:
    verdicts, labels = recorded(ALIKE, n=30)
    with pytest.raises(InputError, match=said):
        simfarm.report_card(verdicts, human=labels, **given)  # type: ignore[arg-type]


def test_one_judge_is_no_panel_and_a_name_is_taken_once() -> None:
    verdicts, labels = recorded({"a": 0.8}, n=30)
    with pytest.raises(InputError, match="a panel of one is 'a' itself"):
        simfarm.report_card(verdicts, human=labels, jury="majority")
    verdicts, labels = recorded({"a": 0.8, "mean": 0.8}, n=30)
    with pytest.raises(InputError, match="is an annotator of the files already"):
        simfarm.report_card(verdicts, human=labels, jury="mean")


def test_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verdicts, labels = recorded(ONE_GOOD)
    verdicts.to_csv(tmp_path / "v.csv", index=False)
    labels.to_csv(tmp_path / "l.csv", index=False)
    assert main(["agreement", str(tmp_path / "v.csv"), "--human", str(tmp_path / "l.csv"), "--jury", "majority"]) == 0
    out = capsys.readouterr()
    assert "4 judges together, by majority" in out.out
    assert "beside its best member (good, chosen on these labels): −" in out.out
    assert "of 480 verdicts missing" in out.out
    assert "warning: majority of 4 judges agrees less with people" in out.err


def test_what_weights_were_fitted_on_is_told_from_other_data() -> None:
    here = [instruction_key(f"What is {k}?") for k in range(250)]
    fitted = Fitted.of("labels.jsonl", 250, here)
    assert len(fitted.keys) == 100
    assert fitted.instructions == 250
    assert fitted.shared(here) == 1
    assert fitted.shared(here[:60]) == 1
    there = [instruction_key(f"Who is {k}?") for k in range(250)]
    assert fitted.shared(there) == 0
    assert fitted.warning("panel", here) is None
    line = fitted.warning("panel", there)
    assert line is not None
    assert "other data than it judges (250 instructions of labels.jsonl)" in line
