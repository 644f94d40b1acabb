"""Style: what is counted in a text, signed differences, and rates at equal style on planted and real data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from simfarm.errors import InputError
from simfarm.ranking import (
    Estimate,
    Matches,
    control_names,
    controlled_bradley_terry,
    controlled_win_rates,
    style_differences,
)
from simfarm.statistics.style import StyleDifferences, _as_rate
from simfarm.text import marks

ANSWER = """# Title

Some **bold words** and __more__, 2 * 3 ** 4 and snake__case__name.

- one
* two
  1. nested
• four

```python
# a comment, not a header
- not an item **nor bold**
```

## Second
~~~
plain
~~~
```
cut off # here
# still code
"""


def counts(text: str) -> dict[str, float]:
    names = control_names("style")
    return dict(zip(names, marks.counts(text, names), strict=True))


def test_counts_marks_in_prose_and_none_in_code() -> None:
    assert counts(ANSWER) == {"length": len(ANSWER), "headers": 2, "lists": 4, "bold": 2, "code": 3}


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("", "length", 0),
        ("#hashtag", "headers", 0),
        ("####### seven", "headers", 0),
        ("- ", "lists", 0),
        ("1998. was a year", "lists", 0),
        ("10) ten", "lists", 1),
        ("-5 degrees", "lists", 0),
        ("** not bold **", "bold", 0),
        ("**a** **b**", "bold", 2),
        ("inline `code` only", "code", 0),
        ("```\na\n```\ntext\n```js\nb\n```", "code", 2),
        ("```\n~~~\n```\n# header", "headers", 1),
    ],
)
def test_edges_of_markdown(text: str, name: str, expected: int) -> None:
    assert counts(text)[name] == expected


def test_names_of_controls() -> None:
    assert control_names("length,markdown") == ("length", "headers", "lists", "bold", "code")
    assert control_names(["code", " Length "]) == ("length", "code")
    assert control_names("Latency,ORDER,length") == ("length", "order", "Latency")
    with pytest.raises(InputError, match="has an empty name"):
        control_names("length,")


def test_differences_are_signed_scaled_and_not_centred() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 50, (200, 2)).astype(float), rng.integers(50, 100, (200, 2)).astype(float)
    there = style_differences(first, second, ("length", "lists"))
    back = style_differences(second, first, ("length", "lists"))
    np.testing.assert_array_equal(there.x, -back.x)
    np.testing.assert_allclose((there.x**2).mean(axis=0), 1)
    assert (there.x.mean(axis=0) > 0.5).all()


def test_a_feature_nobody_differs_in_is_left_out() -> None:
    style = style_differences(np.array([[5.0, 0], [9, 0]]), np.array([[7.0, 0], [3, 0]]), ("length", "code"))
    assert (style.names, style.constant, style.x.shape) == (("length",), ("code",), (2, 1))
    with pytest.raises(InputError, match="do not differ in code"):
        controlled_win_rates(
            ("m",), np.zeros(2, int), np.array([0.0, 1.0]), np.arange(2),
            style_differences(np.zeros((2, 1)), np.zeros((2, 1)), ("code",)),
        )  # fmt: skip


def test_with_no_effect_of_style_the_controlled_rate_is_the_raw_rate() -> None:
    rng = np.random.default_rng(1)
    model = np.tile([0, 1], 300)
    p = rng.choice([0.0, 0.5, 1.0], 600, p=[0.5, 0.2, 0.3])
    x = rng.uniform(1, 9, (600, 1))
    # Each verdict twice, once with a style and once with its mirror image: the slope is exactly 0.
    first, second = np.vstack([np.ones_like(x), x]), np.vstack([x, np.ones_like(x)])
    style = style_differences(first, second, ("length",))
    cluster = np.tile(np.repeat(np.arange(300), 2), 2)
    found = controlled_win_rates(("a", "b"), np.tile(model, 2), np.tile(p, 2), cluster, style)
    assert found.slopes["length"].value == pytest.approx(0, abs=1e-9)
    for name in ("a", "b"):
        assert found.controlled[name].value == pytest.approx(found.raw[name].value, abs=1e-9)
        alone = replace(found.controlled[name], shared=np.zeros(0))
        assert alone.standard_error == pytest.approx(found.raw[name].standard_error, abs=1e-9)
        assert alone.standard_error < found.controlled[name].standard_error < 1.02 * alone.standard_error


def test_samples_of_one_model_share_the_weight_of_one_instruction() -> None:
    rng = np.random.default_rng(2)
    p = rng.choice([0.0, 1.0], 40)
    p[0] = 1.0
    times = np.where(np.arange(40) == 0, 50, 1)
    first, second = rng.uniform(1, 9, (2, 40, 1))
    rows = np.repeat(np.arange(40), times)
    once = controlled_win_rates(
        ("m",), np.zeros(40, int), p, np.arange(40), style_differences(first, second, ("length",))
    )
    often = controlled_win_rates(
        ("m",), np.zeros(len(rows), int), p[rows], rows, style_differences(first[rows], second[rows], ("length",))
    )
    assert often.controlled["m"].value == pytest.approx(once.controlled["m"].value, abs=1e-9)
    assert often.raw["m"].value == pytest.approx(once.raw["m"].value, abs=1e-12)


def test_a_longer_equal_is_caught_and_the_interval_of_the_rate_holds_the_truth() -> None:
    rng = np.random.default_rng(3)
    held, slopes, raw = [], [], []
    for _ in range(250):
        gain = rng.normal(0.6, 0.8, (200, 2))
        first = np.full((400, 1), 1000.0)
        second = (first * np.exp(np.repeat(gain[:, :1], 2, axis=0) + 0.3 * rng.standard_normal((400, 1)))).round()
        style = style_differences(first, second, ("length",))
        unscaled = style.x[:, 0] * style.spread[0]
        chance = expit(np.tile([0.0, -0.7], 200) + 2.0 * unscaled)
        shared = np.where(np.repeat(rng.random(200), 2) < 0.6, np.repeat(rng.random(200), 2), rng.random(400))
        p = (shared < chance).astype(float)
        found = controlled_win_rates(("even", "worse"), np.tile([0, 1], 200), p, np.repeat(np.arange(200), 2), style)
        low, high = found.controlled["even"].interval()
        held.append(low <= 0.5 <= high)
        low, high = found.controlled["worse"].interval()
        held.append(low <= expit(-0.7) <= high)
        low, high = found.slopes["length"].interval()
        slopes.append(low <= 2.0 * style.spread[0] <= high)
        raw.append(found.raw["even"].value)
    assert 0.92 <= np.mean(held) <= 0.98
    assert 0.92 <= np.mean(slopes) <= 0.98
    assert np.mean(raw) > 0.58


def test_controlled_ranking_takes_the_effect_of_lists_out() -> None:
    rng = np.random.default_rng(4)
    n = 4000
    first = rng.integers(3, size=n)
    second = (first + 1 + rng.integers(2, size=n)) % 3
    texts = ["plain text", "some\n- list\n- of things", "**bold** words"]
    # Model c writes lists most of the time, the others seldom; all are equally good.
    writes = np.array([[0.6, 0.2, 0.2], [0.6, 0.2, 0.2], [0.1, 0.8, 0.1]])
    kinds = [np.array([rng.choice(3, p=writes[m]) for m in side]) for side in (first, second)]
    counted = [np.array([marks.counts(texts[k], ("lists", "bold")) for k in side], float) for side in kinds]
    style = style_differences(counted[0], counted[1], ("lists", "bold"))
    chance = expit(0.8 * ((kinds[1] == 1).astype(float) - (kinds[0] == 1)))
    p = (rng.random(n) < chance).astype(float)
    found = controlled_bradley_terry(Matches(("a", "b", "c"), first, second, p, np.arange(n) // 2), style)
    raw = found.raw.ratings["c"] - found.raw.ratings["a"]
    even = found.controlled.ratings["c"] - found.controlled.ratings["a"]
    assert raw.interval()[0] > 50
    assert even.interval()[0] < 0 < even.interval()[1]
    lists = found.controlled.slopes["lists"]
    assert lists.value / style.spread[0] == pytest.approx(0.8, abs=3 * lists.standard_error / style.spread[0])
    assert lists.interval()[0] > 0
    assert found.controlled.slopes["bold"].interval()[0] < 0 < found.controlled.slopes["bold"].interval()[1]


def test_a_rate_has_the_errors_of_its_rating() -> None:
    """Delta method: what moves the rating by a little moves the rate by its slope times that, whatever the source."""
    gap = Estimate(-120.0, np.array([3.0, -1.0]), np.array([0, 1]), shared=np.array([2.0, 0.5]))
    rate = _as_rate(gap)
    step = 1e-4
    slope = (1 / (1 + 10 ** ((120.0 - step) / 400)) - 1 / (1 + 10 ** ((120.0 + step) / 400))) / (2 * step)
    assert rate.value == pytest.approx(1 / (1 + 10 ** (120 / 400)))
    assert rate.influence == pytest.approx(slope * gap.influence)
    assert rate.shared == pytest.approx(slope * gap.shared)


def test_a_fixed_trait_of_each_model_is_refused() -> None:
    rng = np.random.default_rng(5)
    first = rng.integers(3, size=300)
    second = (first + 1 + rng.integers(2, size=300)) % 3
    x = np.array([0.0, 1.0, 3.0])
    style = style_differences(np.exp(x[first])[:, None], np.exp(x[second])[:, None], ("length",))
    trait = style.__class__(("length",), (x[second] - x[first])[:, None], np.ones(1), ())
    p = (rng.random(300) < 0.5).astype(float)
    with pytest.raises(InputError, match="'length' cannot be told from the models' strengths"):
        controlled_bradley_terry(Matches(("a", "b", "c"), first, second, p, np.arange(300)), trait)


def test_a_model_without_a_verdict_is_nan_and_disturbs_no_other() -> None:
    rng = np.random.default_rng(8)
    model, cluster = np.tile([0, 1, 2], 50), np.repeat(np.arange(50), 3)
    p = np.where(model == 1, np.nan, (rng.random(150) < 0.6).astype(float))
    style = style_differences(*rng.uniform(1, 9, (2, 150, 1)), ("length",))
    found = controlled_win_rates(("a", "silent", "c"), model, p, cluster, style)
    assert np.isnan(found.controlled["silent"].value)
    assert np.isnan(found.raw["silent"].value)
    kept = model != 1
    alone = style.__class__(style.names, style.x[kept], style.spread, ())
    without = controlled_win_rates(("a", "c"), model[kept] // 2, p[kept], cluster[kept], alone)
    for name in ("a", "c"):
        assert found.controlled[name].value == pytest.approx(without.controlled[name].value, abs=1e-9)
        assert found.controlled[name].standard_error == pytest.approx(without.controlled[name].standard_error)


def test_unknown_lengths_are_refused() -> None:
    with pytest.raises(InputError, match="unknown"):
        style_differences(np.array([[1.0], [np.nan]]), np.ones((2, 1)), ("length",))


def test_a_model_that_always_won_has_a_rate_below_one() -> None:
    rng = np.random.default_rng(6)
    first, second = rng.uniform(1, 9, (2, 80, 1))
    p = np.where(np.tile([0, 1], 40) == 0, 1.0, (rng.random(80) < 0.5).astype(float))
    style = style_differences(first, second, ("length",))
    found = controlled_win_rates(("best", "other"), np.tile([0, 1], 40), p, np.repeat(np.arange(40), 2), style)
    assert found.prior
    low, high = found.controlled["best"].interval()
    assert 0.8 < low < found.controlled["best"].value < high == 1


def test_real_length_bias_is_found_and_control_moves_towards_the_published_ranking(shared_data: Path) -> None:
    rows = pd.read_parquet(shared_data / "alpaca_eval_2" / "preferences.parquet")
    published = pd.read_csv(shared_data / "alpaca_eval_2" / "published_leaderboard.csv", index_col=0)
    rows = rows[rows["generator_2"].isin(published.index) & rows["preference"].notna()]
    model, models = pd.factorize(rows["generator_2"])
    style = style_differences(
        rows[["length_1"]].to_numpy(float), rows[["length_2"]].to_numpy(float), control_names("length")
    )
    cluster = pd.factorize(rows["instruction_id"])[0]
    found = controlled_win_rates(tuple(models), model, rows["preference"].to_numpy() - 1, cluster, style)
    assert found.slopes["length"].interval()[0] > 0
    target = published.loc[list(models), "length_controlled_winrate"]
    near = pd.DataFrame(
        {"raw": [found.raw[m].value for m in models], "controlled": [found.controlled[m].value for m in models]},
        index=models,
    )
    agreement = near.rank().corrwith(target.rank())
    assert agreement["controlled"] > agreement["raw"]
    for m in ("gpt4_gamed", "NullModel"):
        assert m not in models or np.isfinite(found.controlled[m].standard_error)


def rare(carriers: int, rng: np.random.Generator) -> tuple[Matches, StyleDifferences]:
    """150 instructions × 4 verdicts of two models on a baseline; `carriers` of them differ in a second feature."""
    cluster = np.repeat(np.arange(150), 4)
    model = np.tile([1, 2], 300)
    x = np.stack([rng.standard_normal(600), np.where(cluster < carriers, rng.choice([-1.0, 1.0], 600), 0.0)], axis=1)
    shared = np.where(rng.random(600) < 0.4, np.repeat(rng.random(150), 4), rng.random(600))
    p = (shared < expit(np.array([0.0, 0.3, -0.5])[model] + x @ [0.4, 0.7])).astype(float)
    spread = np.sqrt((x**2).mean(axis=0))
    matches = Matches(("base", "a", "b"), np.zeros(600, int), model, p, cluster)
    return matches, StyleDifferences(("length", "bold"), x / spread, spread, ())


@pytest.mark.parametrize("carriers", [1, 2, 3, 5, 20])
def test_a_rare_feature_is_called_so_or_its_interval_holds_the_truth(carriers: int) -> None:
    rng, hits, rates = np.random.default_rng(carriers), [], []
    for _ in range(150):
        matches, style = rare(carriers, rng)
        ranking = controlled_bradley_terry(matches, style)
        found = controlled_win_rates(("a", "b"), matches.model_2 - 1, matches.p, matches.cluster, style)
        low, high = found.controlled["a"].interval()
        rates.append(low <= expit(0.3) <= high)
        assert list(found.slopes) == ["length", "bold"]
        assert set(ranking.slopes) == {"length", "bold"}
        if carriers < 3:
            assert np.isnan(found.slopes["bold"].value)
            assert np.isnan(ranking.slopes["bold"].value)
            assert "bold" not in ranking.controlled.slopes
            continue
        for slopes in (found.slopes, ranking.slopes):
            low, high = slopes["bold"].interval()
            hits.append(low <= 0.7 * style.spread[1] <= high)
    assert np.mean(rates) >= 0.91
    assert not hits or np.mean(hits) >= 0.92


def test_nothing_but_a_rare_feature_is_refused() -> None:
    matches, style = rare(1, np.random.default_rng(0))
    bold = StyleDifferences(("bold",), style.x[:, 1:], style.spread[1:], ())
    with pytest.raises(InputError, match="differ in bold on fewer than three instructions: too rare"):
        controlled_bradley_terry(matches, bold)
