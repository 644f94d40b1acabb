"""Logistic persons: a taste in a judge's file is what it says, and is learnt from a few labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

import simfarm
from simfarm.cli import main
from simfarm.data.records import Comparison
from simfarm.errors import InputError, SimfarmError
from simfarm.judges import load_judge, load_one
from simfarm.judges.persons import logistic_persons, write_persons
from simfarm.judges.population import Population
from simfarm.judges.rules import decide, introduction
from simfarm.judges.surface import WEIGHTS, differences, prefer
from simfarm.statistics.ridge import each_apart, evidence, ridge_logistic

ROOT = Path(__file__).parents[1]
SHORT, LISTED = (
    "Salt keeps fish.",
    "- salt\n- smoke\n- ice\n\nAll three keep a catch from spoiling on the way to market.",
)
PAIR = Comparison("How is fish kept?", SHORT, LISTED)


def taste(path: Path, weights: Any, **changes: Any) -> Path:
    keys = {"description": "a person", "protocol": "pairwise", "rule": "surface", "weights": weights, **changes}
    lines = [f"{key}: {value}" for key, value in keys.items() if value is not None]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_weights_are_logits_for_one_scale_of_a_feature(tmp_path: Path) -> None:
    judge = load_one(taste(tmp_path / "brief.yaml", "{length: -0.8, lists: 0.5}", order="fixed"))
    seen = dict(zip(WEIGHTS, differences(PAIR.instruction, SHORT, LISTED), strict=True))
    wanted = float(expit(-0.8 * seen["length"] + 0.5 * seen["lists"]))
    assert decide(judge, PAIR, "12").p_second == pytest.approx(wanted, abs=1e-12)
    assert decide(judge, PAIR, "21").p_second == pytest.approx(1 - wanted, abs=1e-12)
    shipped = {name: weight for name, (weight, _) in WEIGHTS.items()}
    assert prefer("How?", SHORT, LISTED, shipped) == pytest.approx(prefer("How?", SHORT, LISTED), abs=1e-12)


def test_a_taste_is_in_the_hash_and_in_what_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = load_one(taste(tmp_path / "one.yaml", "{length: 1}", order="fixed"))
    other = load_one(taste(tmp_path / "other.yaml", "{length: -1}", order="fixed"))
    again = load_one(taste(tmp_path / "again.yaml", "{lists: 0, length: 1.0}", order="fixed"))
    assert len({one.hash, other.hash, load_one("surface").hash}) == 3
    assert again.hash == one.hash
    assert "agrees with most" not in str(introduction(one))
    assert introduction(load_one("pairwise-letter")) is None
    assert main(["judges", "show", str(tmp_path / "other.yaml")]) == 0
    assert "weights: length = -1.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("weights", "changes", "message"),
    [
        ("{lenght: 1}", {}, "unknown key 'lenght'; did you mean 'length'"),
        ("{length: long}", {}, r"weights.length: must be a number from -20 to 20, not 'long'"),
        ("{length: true}", {}, "not True"),
        ("{length: .nan}", {}, "not nan"),
        ("{length: 21}", {}, "not 21"),
        ("[length]", {}, "must map features to weights such as"),
        ("{}", {}, "must map features to weights such as"),
        ("{length: 1}", {"rule": "longest"}, "rule 'longest' has none: use surface"),
        ("{length: 1}", {"rule": None}, "for a judge with rule: surface; add that or remove them"),
    ],
)
def test_what_is_no_taste_is_refused(tmp_path: Path, weights: Any, changes: dict[str, Any], message: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    yaml = pytest.importorskip("yaml")
    from simfarm.judges.schema import judge_schema

    path = taste(tmp_path / "bad.yaml", weights, **changes)
    with pytest.raises(InputError, match=message):
        load_one(path)
    if "nan" not in weights:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert not jsonschema.Draft202012Validator(judge_schema()).is_valid(read)


def planted(k: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of two persons of opposite taste (a logit and a half for one feature, half of one for another), k labels each."""
    rng = np.random.default_rng([k, seed])
    x, weights = rng.standard_normal((2 * k, len(WEIGHTS))), np.zeros(len(WEIGHTS))
    weights[0], weights[5] = 1.5, -0.5
    who = np.repeat([0, 1], k)
    p = (rng.random(2 * k) < expit((1 - 2 * who) * (x @ weights))).astype(float)
    return x, p, who, weights


def test_opposite_tastes_are_told_apart_from_eight_labels() -> None:
    apart = []
    for seed in range(40):
        x, p, who, weights = planted(8, seed)
        one, other = each_apart(x, p, who)
        apart.append((one - other) @ weights > 0)
    assert np.mean(apart) > 0.9


def test_persons_that_are_alike_come_out_alike() -> None:
    """And those who are not keep apart: how far is read from the labels."""
    rng = np.random.default_rng(3)
    x, who = rng.standard_normal((600, 4)), np.repeat([0, 1, 2], 200)
    share = expit(x @ np.array([1.0, -0.5, 0, 0]))
    alike = each_apart(x, (rng.random(600) < share) * 1.0, who)
    turned = each_apart(x, (rng.random(600) < np.where(who == 2, 1 - share, share)) * 1.0, who)
    # of 200 verdicts each the plain fits differ by .3 and more
    assert np.ptp(alike, axis=0).max() < 0.25
    assert turned[0] == pytest.approx([1, -0.5, 0, 0], abs=0.4)
    assert turned[2] == pytest.approx([-1, 0.5, 0, 0], abs=0.4)


def test_the_weights_are_the_most_likely_under_the_prior() -> None:
    x, p, _, _ = planted(10, 0)
    p[0], center = 0.5, np.linspace(-1, 1, x.shape[1])

    def loss(b: np.ndarray) -> float:
        return float(np.logaddexp(0, x @ b).sum() - p @ (x @ b) + 1.5 * ((b - center) ** 2).sum())

    found = ridge_logistic(x, p, 3.0, center)
    assert found == pytest.approx(minimize(loss, center, tol=1e-12).x, abs=1e-4)
    # a prior far from what the verdict says, where it hardly curves: whole steps would leap to and fro
    far = ridge_logistic(np.ones((1, 1)), np.zeros(1), 1e-3, np.array([30.0]))
    assert expit(far) == pytest.approx(1e-3 * (30 - far), abs=1e-9)
    # verdicts that one feature foresees
    steep, sides = 40 * x, (x[:, 0] > 0).astype(np.float64)
    held = ridge_logistic(steep, sides, 1e-3)
    assert steep.T @ (sides - expit(steep @ held)) == pytest.approx(1e-3 * held, abs=1e-9)
    with pytest.raises(SimfarmError, match="did not settle"):
        ridge_logistic(np.full((2, 1), np.nan), np.zeros(2), 1.0)


def test_the_evidence_is_the_integral_over_the_weights() -> None:
    x, p, _, _ = planted(6, 1)
    x = x[:, :1]
    grid = np.linspace(-12, 12, 20001)
    logits = x * grid
    like = np.exp((p[:, None] * logits - np.logaddexp(0, logits)).sum(axis=0))
    for precision in (0.25, 4.0):
        prior = np.sqrt(precision / (2 * np.pi)) * np.exp(-precision / 2 * (grid - 0.3) ** 2)
        exact = float(np.log(np.trapezoid(like * prior, grid)))
        center = np.array([0.3])
        assert evidence(x, p, precision, center, ridge_logistic(x, p, precision, center)) == pytest.approx(
            exact, abs=0.05
        )


def test_persons_are_made_from_labels_and_judge_like_them(tmp_path: Path) -> None:
    labels = [
        {
            "instruction": f"Question {k}?",
            "output_1": f"Word {k}.",
            "output_2": f"A much longer answer to question {k}, with more words than anybody wanted to read.",
            "annotator": "crowd",
            "person": person,
            "preference": 2.0 if person == "Ann" else 1.0,
        }
        for k in range(10)
        for person in ("Ann", "Ben")
    ]
    persons = logistic_persons(labels)
    assert list(persons) == ["Ann", "Ben"]
    by_annotator = logistic_persons([{**row, "annotator": row["person"], "person": None} for row in labels])
    assert by_annotator["Ben"].weights == persons["Ben"].weights
    write_persons(tmp_path / "people.yaml", persons)
    crowd = load_judge(tmp_path / "people.yaml")
    assert isinstance(crowd, Population)
    assert [member.name for member in crowd.members] == ["Ann", "Ben"]
    ben = crowd.members[1].judge
    assert (ben.weights, ben.hash) == (persons["Ben"].weights, persons["Ben"].hash)
    pair = [{key: labels[0][key] for key in ("instruction", "output_1", "output_2")}]
    with pytest.warns(simfarm.SimfarmWarning, match="one person's taste"):
        said = [simfarm.annotate(pair, judge=judge)["preference"].item() for judge in (persons["Ann"], ben)]
    assert said[0] > 1.7
    assert said[1] < 1.3


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("{person: {weights: {lenght: 1}}}", "person: weights: unknown key 'lenght'"),
        ("{person: {wieghts: {length: 1}}}", "unknown key 'wieghts'; did you mean 'weights'"),
        ("{person: [1]}", "must be a mapping such as {weights"),
        ("{judge: longest, person: {weights: {length: 1}}}", "a taste for the judge surface, not for 'longest'"),
    ],
)
def test_a_member_that_is_no_person_is_refused(tmp_path: Path, member: str, message: str) -> None:
    path = tmp_path / "people.yaml"
    path.write_text(f"description: people\nmembers: [{member}]", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_judge(path)


def test_labels_that_nobody_can_learn_from_are_refused() -> None:
    pair = {"instruction": "Why?", "output_1": "a", "output_2": "b", "annotator": "Ann"}
    with pytest.raises(InputError, match="no verdicts"):
        logistic_persons([pair])
    with pytest.raises(InputError, match="no label has a preference"):
        logistic_persons([{**pair, "preference": None}])
    with pytest.raises(InputError, match="output_2"):
        logistic_persons([{**pair, "preference": 1.0, "output_2": None}])
