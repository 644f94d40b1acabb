"""Pictures: what they say and where their marks stand, that names are harmless in them, and that files are theirs."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from tables import boards_of, verdicts_of

import simfarm
from simfarm.agreement.figures import FIGURES
from simfarm.cli import main
from simfarm.errors import InputError
from simfarm.ranking import Board, Ratings, rate_models
from simfarm.report import targets
from simfarm.report.curve import write_curve
from simfarm.selection.curve import best_of_n_curve, curve_rows
from simfarm.statistics.chance import cohen_kappa
from simfarm.statistics.reliability import reliability

matplotlib = pytest.importorskip("matplotlib")

from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from simfarm.report import plots  # noqa: E402
from simfarm.report.plots.boards import scores_forest  # noqa: E402
from simfarm.report.plots.forest import draw  # noqa: E402
from simfarm.report.plots.style import LOOKS, labels, styled  # noqa: E402

ROOT = Path(__file__).parents[1]
ODD = ("$a$_{x}$", "<script>alert(1)</script>&", "line\nbreak\x1b[31m", "模型-7b", "m" * 90)


def rows(models: tuple[str, ...], n: int = 24, wins: tuple[float, ...] = (), **more: Any) -> pd.DataFrame:
    """Each model beside `base` on n instructions; it wins that share of them, by default one half."""
    rng = np.random.default_rng(0)
    made = []
    for k, model in enumerate(models):
        won = np.arange(n) < n * (wins[k] if wins else 0.5)
        lengths = rng.integers(50, 900, (n, 2))
        part = {"instruction_id": np.arange(n), "length_1": lengths[:, 0], "length_2": lengths[:, 1]}
        made.append(pd.DataFrame(part | {"generator_1": "base", "generator_2": model, "preference": 1.0 + won}))
    return pd.concat(made, ignore_index=True).assign(**{"annotator": "judge"} | more)


@pytest.fixture(scope="module")
def board() -> Board:
    return boards_of(rows(("best", "middle", "worst"), wins=(0.9, 0.5, 0.1)))[0]


def texts(picture: Axes | Figure) -> list[str]:
    """Everything that a picture says, as its SVG has it."""
    tree = ElementTree.fromstring(plots.svg(picture))
    return ["".join(text.itertext()).strip() for text in tree.iter("{http://www.w3.org/2000/svg}text")]


def fresh() -> Axes:
    return Figure(figsize=(5.5, 3), layout="constrained").subplots()


def points(values: Any) -> list[float]:
    return [float(value) for value in values]


def drawn(axes: Axes, name: str) -> Any:
    """(x, y) of the markers of a series."""
    line = next(line for line in axes.lines if line.get_label() == name)
    return points(line.get_xdata()), points(line.get_ydata())


def spans(axes: Axes) -> list[tuple[float, float]]:
    """(low, high) of the intervals of the first series."""
    lines: Any = axes.collections[0]
    return [(float(ends[0, 0]), float(ends[1, 0])) for ends in lines.get_segments()]


def spans_up(axes: Axes) -> list[tuple[float, float]]:
    """(low, high) of intervals that stand upright."""
    lines: Any = axes.collections[0]
    return [(float(ends[0, 1]), float(ends[1, 1])) for ends in lines.get_segments()]


def test_a_leaderboard_has_every_rate_limit_and_tier_where_it_belongs(board: Board) -> None:
    axes = fresh()
    assert plots.leaderboard(board, axes) is axes
    table = board.table
    assert [label.get_text() for label in axes.get_yticklabels()] == list(table["model"]) == ["best", "middle", "worst"]
    x, y = drawn(axes, "win rate")
    assert x == pytest.approx(list(table["win_rate"]))
    assert y == sorted(y)
    assert axes.yaxis_inverted()
    limits = table[["win_rate_low", "win_rate_high"]].itertuples(index=False)
    assert spans(axes) == [pytest.approx(tuple(ends)) for ends in limits]
    said = texts(axes)
    assert "preferred by judge over base, %" in said
    assert "95\N{NO-BREAK SPACE}% intervals, 24 instructions" in said
    assert {"91.7", "50.0", "12.5", "raw %", "tier", "win rate", "length-controlled"} <= {*said}
    assert [text for text in said if text in ("1", "2", "3")] == [str(tier) for tier in table["tier"]]


def test_ratings_without_a_limit_end_in_an_arrow() -> None:
    verdicts = verdicts_of(rows(("all", "half"), wins=(1.0, 0.5)))
    rated = rate_models(verdicts, "bradley-terry")[0]
    assert np.isinf(rated.table["rating_high"].iloc[0])
    axes = plots.ratings(rated, fresh())
    low, high = axes.get_xlim()
    arrows = [line for line in axes.lines if line.get_marker() == ">"]
    assert [points(line.get_xdata()) for line in arrows] == [[high]]
    assert all(low <= x <= high for x in drawn(axes, "rating")[0])
    assert any(text.startswith("Bradley-Terry rating by judge, Elo points") for text in texts(axes))


def test_mean_scores_stand_on_their_scale() -> None:
    graded = [
        {"instruction": f"q{i}", "output": "x", "generator": m, "annotator": "j", "score": 1 + (i + k) % 5}
        | {"scale_low": 1, "scale_high": 5}
        for i in range(12)
        for k, m in enumerate(("a", "b"))
    ]
    evaluation = simfarm.evaluation(pd.DataFrame(graded))
    table = evaluation.scored[0].table
    axes = draw(scores_forest(evaluation.scored[0]), fresh(), 5.5)
    assert drawn(axes, "mean score")[0] == pytest.approx(list(table["score"]))
    assert spans(axes) == [pytest.approx(ends) for ends in zip(table["score_low"], table["score_high"], strict=True)]
    said = texts(plots.evaluation_picture(evaluation))
    assert {"mean score by j (1 to 5)", "score", f"{table['score'].iloc[0]:.2f}"} <= {*said}
    assert evaluation._repr_html_().count("<svg") == 1


def test_a_lottery_has_weights_and_no_intervals() -> None:
    rated = rate_models(verdicts_of(rows(("one",), wins=(0.8,))), "lottery")[0]
    axes = plots.ratings(rated, fresh())
    assert sorted(drawn(axes, "rating")[0]) == pytest.approx([0, 1])
    assert spans(axes) == []
    assert "weight in the maximal lottery by judge" in texts(axes)


def test_names_are_data() -> None:
    odd = boards_of(rows(ODD, annotator="$x$ & <b>"))[0]
    page = plots.svg(plots.leaderboard(odd, fresh()))
    ElementTree.fromstring(page)
    assert "<script" not in page
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said = texts(plots.leaderboard(odd, fresh()))
    assert {"$a$_{x}$", "<script>alert(1)</script>&", "line\\nbreak\\x1b[31m", "模型-7b"} <= {*said}
    assert any(re.fullmatch("m+…m+", text) for text in said)
    assert said.count("1") == 1, "a tier is named once"
    assert "preferred by $x$ & <b> over base, %" in said


def test_names_that_are_cut_stay_apart() -> None:
    names = [f"meta/checkpoint-of-the-model-{k:03d}-instruct-and-more" for k in range(3)]
    short = labels(names, 18)
    assert len({*short}) == 3
    assert max(map(len, short)) <= 18
    assert labels(["same" * 9, "same" * 9], 12) == ["same…same"] * 2
    assert labels(["a$b"], 12) == [r"a\$b"]


def test_one_model_and_hundreds_have_their_pictures() -> None:
    one = plots.leaderboard(boards_of(rows(("only",)))[0], fresh())
    assert one.get_legend() is None, "what has no number is not in the key"
    table = pd.DataFrame({"model": [f"m{k}" for k in range(230)], "rating": 1.0, "rating_low": np.nan})
    table = table.assign(rating_high=np.nan, tier=1)
    many = Ratings("judge", "bradley-terry", 0.95, table, {}, None, {}, 9, (), ())
    axes = plots.ratings(many, fresh())
    assert len(axes.get_yticks()) == len(drawn(axes, "rating")[0]) == 200
    assert axes.get_xlabel().endswith("\n30 more models not drawn")
    with pytest.raises(InputError, match="rated no model"):
        plots.ratings(Ratings("judge", "lottery", 0.95, table.iloc[:0], {}, None, {}, 0, (), ()))


def judged(n: int = 40) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two judges, shown output_1 first and then output_2, and three people."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, n)
    lengths = rng.integers(100, 900, (n, 2))
    base = pd.DataFrame({"instruction_id": np.arange(n), "generator_1": "a", "generator_2": "b"})
    base = base.assign(length_1=lengths[:, 0], length_2=lengths[:, 1])

    def said(right: float) -> pd.DataFrame:
        return base.assign(preference=1.0 + np.where(rng.random(n) < right, truth, 1 - truth))

    judges = [said(r).assign(annotator=j, order=o) for j, r in (("good", 0.95), ("bad", 0.6)) for o in ("12", "21")]
    people = [said(0.9).assign(annotator=f"person {k}") for k in range(3)]
    return pd.concat(judges, ignore_index=True), pd.concat(people, ignore_index=True)


@pytest.fixture(scope="module")
def card() -> Any:
    verdicts, labels_ = judged()
    return simfarm.report_card(verdicts, human=labels_)


def test_agreement_stands_beside_people_and_the_longest_output(card: Any) -> None:
    axes = plots.agreement(card, fresh())
    assert [label.get_text() for label in axes.get_yticklabels()] == ["people", "longest", "good", "bad"]
    table = card.table.set_index("rater")
    for series, raters in (("people", ["people"]), ("longest", ["longest"]), ("judge", ["good", "bad"])):
        assert drawn(axes, series)[0] == pytest.approx(list(table.loc[raters, "agreement"]))
    through = [points(line.get_xdata())[0] for line in axes.lines if points(line.get_ydata()) == [0, 1]]
    assert through == pytest.approx(list(table.loc[["people", "longest"], "agreement"]))
    assert "agreement with 3 people, %" in texts(axes)
    assert axes.get_xlabel().endswith("intervals, 40 comparisons")
    verdicts, labels_ = judged()
    some = verdicts[(verdicts["annotator"] == "good") | (verdicts["instruction_id"] < 30)]
    few = plots.agreement(simfarm.report_card(some, human=labels_), fresh())
    assert few.get_xlabel().endswith("intervals, 30 to 40 comparisons")
    with pytest.raises(InputError, match="give labels"):
        plots.agreement(simfarm.report_card(verdicts))


def test_biases_are_points_from_none(card: Any) -> None:
    axes = plots.biases(card, fresh())
    table = card.table.set_index("rater")
    at = [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]
    assert at[0] == "prefers the output shown first"
    x, _ = drawn(axes, "good")
    assert x[0] == pytest.approx(table.loc["good", "first"] - 50)
    excess = next(figure.words for figure in FIGURES if figure.name == "longer_excess")
    assert x[at.index(excess)] == pytest.approx(table.loc["good", "longer_excess"])
    assert len(drawn(axes, "people")[0]) < len(x), "people have no order"
    with pytest.raises(InputError, match="up to 6 judges"):
        plots.biases(card, judges=["good"] * 7)


def test_looks_differ_in_grey_too() -> None:
    assert len({(look.marker, look.filled) for look in LOOKS}) == len({look.colour for look in LOOKS}) == len(LOOKS)


def test_axes_of_another_look_are_made_alike(board: Board) -> None:
    axes = plots.leaderboard(board, fresh())
    assert {*re.findall(r"([\d.]+)px", plots.svg(axes))} == {"8"}
    assert [side for side, spine in axes.spines.items() if spine.get_visible()] == ["bottom"]


def test_nobodys_settings_are_touched_and_the_same_picture_is_the_same_file(board: Board, tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    for name in ("a.svg", "b.svg", "a.png", "a.pdf", "b.pdf"):
        plots.save(plots.leaderboard(board, fresh()), tmp_path / name)
    assert dict(matplotlib.rcParams) == before
    for kind in ("svg", "pdf"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    assert b"/Type /Font" in (tmp_path / "a.pdf").read_bytes()
    assert b"/Subtype /Type3" not in (tmp_path / "a.pdf").read_bytes()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"a\.gif: a picture is written as \.svg"):
        plots.save(fresh(), tmp_path / "a.gif")


def test_new_axes_are_as_wide_as_asked_and_text_is_of_eight_points(board: Board) -> None:
    import matplotlib.pyplot as plt

    axes = plots.leaderboard(board, width=3.25)
    figure: Any = axes.figure
    try:
        assert figure.get_size_inches()[0] == 3.25
        page = plots.svg(axes)
        assert {*re.findall(r"([\d.]+)px", page)} == {"8"}
    finally:
        plt.close(figure)


@pytest.mark.parametrize("verb", ["evaluate", "agreement", "compare"])
def test_a_verb_writes_a_picture_or_says_what_is_missing(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    more = ["a", "b"] if verb == "compare" else []
    judged()[0].to_json("v.jsonl", orient="records", lines=True)
    assert main([verb, "v.jsonl", *more, "-o", "it.svg"]) == 0
    said = [
        "".join(text.itertext()) for text in ElementTree.parse("it.svg").getroot().iter() if text.tag[-4:] == "text"
    ]
    assert any("bad" in text for text in said)
    monkeypatch.setattr(targets, "find_spec", lambda _: None)
    capsys.readouterr()
    assert main([verb, "nowhere.jsonl", *more, "-o", "no.png"]) == 2
    told = capsys.readouterr()
    assert told.err.strip() == "simfarm: no.png: pictures need matplotlib: pip install 'simfarm[plots]'"
    assert not told.out
    with pytest.raises(InputError, match="simfarm\\[plots\\]"):
        styled(lambda: None)()


def test_a_table_that_has_no_picture_refuses_one() -> None:
    with pytest.raises(InputError, match=r"written as \.csv, \.json or \.md; choose"):
        targets.check_board_file("flips.svg")
    with pytest.raises(InputError, match=r"as a picture \.svg, \.png or \.pdf; choose"):
        targets.check_board_file("flips.gif", drawn=True)


def test_nothing_loads_matplotlib_until_something_is_drawn() -> None:
    code = "import sys, simfarm, simfarm.report.plots, simfarm.cli.evaluate; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_cell_that_ends_in_a_value_shows_its_picture(
    board: Board, card: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the protocol that every notebook speaks; a table of pandas keeps its own."""
    shown = pytest.importorskip("IPython.core.formatters").DisplayFormatter()
    rated = rate_models(verdicts_of(rows(ODD)), "bradley-terry")[0]
    whole = simfarm.evaluation(rows(("one",)))
    for value, told in (
        (board, "won–lost–tied"),
        (rated, "rating 95 %"),
        (card, "what to do"),
        (whole, "won–lost–tied"),
    ):
        page = shown.format(value)[0]["text/html"]
        assert page.count("<svg") == page.count("</svg>") == 1
        assert told in page
        assert "<script" not in page
        assert "<?xml" not in page
    assert "<svg" not in simfarm.evaluate(rows(("one",)))._repr_html_()
    monkeypatch.setattr(targets, "find_spec", lambda _: None)
    monkeypatch.setattr("simfarm.report.plots.style.missing_plots", lambda: "pip install")
    page = shown.format(board)[0]["text/html"]
    assert "<svg" not in page
    assert "<td>best</td>" in page


def test_readers_stand_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What people and a judge reward; the rates of two judges, with the limits that the table has."""
    rng = np.random.default_rng(3)
    table = rows(("m",), n=160)
    longer = table["length_2"] > table["length_1"]
    judge = table.assign(preference=1.0 + (longer ^ (rng.random(160) < 0.1)))
    people = table.assign(annotator="p", preference=1.0 + (longer ^ (rng.random(160) < 0.5)))
    found = simfarm.dissect(judge, human=people, control="length")
    axes = plots.rewards(found, fresh())
    weights = found.rewards[0]
    assert drawn(axes, "people")[0] == pytest.approx([e.value for e in weights.people.values()])
    assert drawn(axes, "judge")[0] == pytest.approx([e.value for e in weights.judge.values()])
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["log length *", "being output_2"]
    assert "judge and people differ" in " ".join(texts(axes))
    many = pd.concat([judge.assign(annotator=f"j{k}") for k in range(8)])
    said = texts(plots.dissection_picture(simfarm.dissect(many, human=people, control="length")))
    assert {"people", "j0", "j5"} <= set(said)
    assert "j6" not in said
    assert "2 more judges not drawn" in " ".join(said)
    with pytest.raises(InputError, match="no judge 'x'; there are judge"):
        plots.rewards(found, judge="x")

    one, other = rows(("a", "b"), wins=(0.75, 0.5)), rows(("a", "b"), wins=(0.5, 0.75))
    both = simfarm.rejudge(one, other)
    axes = plots.rejudged(both, fresh())
    assert drawn(axes, "A: judge (first file)")[0] == [75, 50]
    assert drawn(axes, "B: judge (second file)")[0] == [50, 75]
    assert spans(axes) == [tuple(row) for row in both.table[["win_rate_a_low", "win_rate_a_high"]].to_numpy()]
    monkeypatch.chdir(tmp_path)
    one.to_csv("a.csv", index=False)
    other.to_csv("b.csv", index=False)
    judge.to_csv("j.csv", index=False)
    assert main(["rejudge", "a.csv", "b.csv", "-o", "it.svg"]) == 0
    assert main(["rejudge", "a.csv", "b.csv", "-o", "it.csv"]) == 0
    assert pd.read_csv("it.csv")["win_rate_b"].tolist() == [50, 75]
    assert main(["dissect", "j.csv", "--control", "length", "-o", "w.svg"]) == 0
    for name in ("it.svg", "w.svg"):
        assert "judge" in Path(name).read_text()


def test_curves_and_what_their_proxy_promises(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    gold = rng.normal(size=(12, 8))
    curve = best_of_n_curve(list(gold + rng.normal(size=(12, 8))), list(gold))
    axes = plots.best_of_n(curve, fresh())
    assert drawn(axes, "chosen") == (list(range(1, 9)), pytest.approx([one.value for one in curve.gold]))
    assert points(axes.lines[1].get_ydata()) == pytest.approx([one.value for one in curve.proxy])
    band: Any = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(min(one.interval()[0] for one in curve.gold))
    said = texts(axes)
    assert {"1", "2", "4", "8", "expected score", "promised by the proxy"} <= {*said}
    both = plots.best_of_n({"a": curve, "$b$": curve}, fresh())
    assert {"a", "$b$"} <= {*texts(both)}
    write_curve(str(tmp_path / "c.svg"), [{"generator": "policy", **row} for row in curve_rows(curve)], 0.95)
    assert ">policy<" in (tmp_path / "c.svg").read_text(encoding="utf-8")


def test_verdicts_by_length_difference(card: Any) -> None:
    axes = plots.lengths(card, fresh(), judges=["good"])
    x, y = drawn(axes, "good")
    votes = card.votes
    longer = (votes.items["length_2"] - votes.items["length_1"]).to_numpy()
    p = votes.judged[votes.judges.index("good")]
    half = np.median(longer)
    assert len(x) == 2
    assert y == pytest.approx([100 * p[longer <= half].mean(), 100 * p[longer > half].mean()])
    assert [text for text in texts(axes) if re.fullmatch(r"[+−]\d+", text)] == [
        f"{np.median(part):+.0f}".replace("-", "−") for part in (longer[longer <= half], longer[longer > half])
    ]
    assert drawn(axes, "people")[1] != y
    with pytest.raises(InputError, match="no judge 'nobody'"):
        plots.lengths(card, fresh(), judges=["nobody"])


def test_a_reliability_diagram_has_a_point_for_each_bin() -> None:
    rng = np.random.default_rng(0)
    p = np.repeat([0.1, 0.5, 0.9], 40)
    found = reliability(p, (rng.random(120) < p).astype(float), np.arange(120))
    axes = plots.reliability(found, fresh())
    assert drawn(axes, "judge") == tuple(
        pytest.approx([100 * getattr(one, name) for one in found.bins]) for name in ("mean_p", "mean_y")
    )
    assert spans_up(axes) == [pytest.approx(tuple(100 * end for end in one.interval)) for one in found.bins]
    assert any(text.startswith(f"off by {100 * found.ece:.1f} points") for text in texts(axes))


def test_matrices_hold_who_beats_whom_and_who_says_the_same(card: Any) -> None:
    rated = rate_models(verdicts_of(rows(("one", "two"), wins=(0.75, 0.25))), "bradley-terry")[0]
    axes = plots.wins(rated, fresh())
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == ["one", "base", "two"]
    assert {text.get_position(): text.get_text() for text in axes.texts} == {
        (1, 0): "75",
        (0, 1): "25",
        (2, 1): "75",
        (1, 2): "25",
    }, "one and two never met"
    axes = plots.kappas(card, fresh())
    votes = card.votes
    one, other = votes.judged
    kappa = cohen_kappa(one, other, votes.cluster).value
    assert [text.get_text() for text in axes.texts] == [f"{kappa:.2f}".replace("0.", ".").replace("-", "−")]
    assert "Cohen's κ of two judges" in texts(axes)
