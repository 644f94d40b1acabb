"""Length control: `joint` on planted truth, both definitions against statsmodels and the published numbers."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize
from scipy.special import expit, roots_hermitenorm
from tables import boards_of

from simfarm.errors import InputError
from simfarm.ranking import alpaca_eval
from simfarm.ranking.lengths import _joint, _joint_lines, _slope
from simfarm.statistics.length_control import SMALL_PANEL_PRIOR_SD, _fit, fit_joint, length_feature
from simfarm.statistics.marginal import Panel, Pass, State
from simfarm.statistics.slopes import uncertain_spread

NODES, WEIGHTS = roots_hermitenorm(60)
THETA = np.linspace(-2.5, 1.2, 20)
TRUTH = expit(THETA[:, None] + 1.2 * NODES) @ WEIGHTS / WEIGHTS.sum()


def plant(rng: np.random.Generator, n_clusters: int, theta: np.ndarray = THETA) -> tuple[np.ndarray, np.ndarray]:
    """(p, delta) of models with effects `theta`, s_γ = 1.2, slopes N(1.5, 0.5²); most answers are short."""
    delta = np.linspace(-500, 200, len(theta)) + 400 * rng.standard_normal((n_clusters, len(theta)))
    slope = 1.5 + 0.5 * rng.standard_normal(len(theta))
    eta = theta + 1.2 * rng.standard_normal((n_clusters, 1)) + slope * length_feature(delta)
    return rng.binomial(1, expit(eta)).astype(float), delta


def test_joint_recovers_planted_effects_slope_and_variances() -> None:
    p, delta = plant(np.random.default_rng(0), 4000)
    fit = fit_joint(p, delta)
    values = np.array([e.value for e in fit.estimates])
    assert np.abs(values - TRUTH).max() < 0.035
    assert np.abs(p.mean(axis=0) - TRUTH).max() > 0.08  # the raw win rate is far off: there is something to control
    assert fit.spread_instruction == pytest.approx(1.2, abs=0.06)
    assert fit.spread_slope == pytest.approx(0.5, abs=0.2)
    assert fit.pooled.value == pytest.approx(1.5, abs=3 * fit.pooled.standard_error)


def test_joint_intervals_cover_the_population_mean_with_slopes_drawn_anew() -> None:
    rng = np.random.default_rng(1)
    hits, differences, slopes = [], [], []
    for _ in range(160):
        p, delta = plant(rng, 100)
        fit = fit_joint(p, delta)
        intervals = np.array([e.interval() for e in fit.estimates])
        hits.append((intervals[:, 0] <= TRUTH) & (intervals[:, 1] >= TRUTH))
        pairs = np.array([(fit.estimates[a] - fit.estimates[a - 10]).interval() for a in range(10, 20)])
        truth = TRUTH[10:] - TRUTH[:10]
        differences.append((pairs[:, 0] <= truth) & (pairs[:, 1] >= truth))
        low, high = fit.pooled.interval()
        slopes.append(low <= 1.5 <= high)
    assert 0.92 <= np.mean(hits) <= 0.98
    assert 0.92 <= np.mean(differences) <= 0.98
    assert 0.92 <= np.mean(slopes) <= 0.98


def test_missing_cells_do_not_bias_the_rest() -> None:
    rng = np.random.default_rng(2)
    p, delta = plant(rng, 3000)
    p[rng.uniform(size=p.shape) < 0.3] = np.nan
    values = np.array([e.value for e in fit_joint(p, delta).estimates])
    assert np.abs(values - TRUTH).max() < 0.045


def test_one_model_has_no_length_control() -> None:
    p, delta = plant(np.random.default_rng(3), 50, np.zeros(1))
    with pytest.raises(InputError, match="add another model"):
        fit_joint(p, delta)


def test_a_near_copy_of_the_baseline_is_not_blown_up() -> None:
    """Twenty characters more, give or take three, are next to nothing where other models are hundreds off."""
    rng = np.random.default_rng(12)
    p, delta = plant(rng, 400)
    delta[:, -1] = 20 + 3 * rng.standard_normal(400)
    p[:, -1] = rng.binomial(1, 0.494, 400)
    assert fit_joint(p, delta).estimates[-1].value == pytest.approx(p[:, -1].mean(), abs=0.05)


def penalised(p: np.ndarray, x: np.ndarray, state: State) -> Callable[[np.ndarray], float]:
    """Minus the log likelihood of θ, β_m, c_m, log s_γ with their priors at the state's s_β: γ by 60 fixed nodes."""
    n, z = p.shape[1], x.mean(axis=1) - x.mean()

    def loss(b: np.ndarray) -> float:
        theta, slope, between, spread = b[:n], b[n : 2 * n], b[2 * n : -1], np.exp(b[-1])
        eta = theta + spread * NODES[:, None] + (z[:, None] * between + slope * x)[:, None, :]
        chance = np.exp((p[:, None, :] * eta - np.logaddexp(0, eta)).sum(axis=2)) @ WEIGHTS / WEIGHTS.sum()
        pooled = slope.sum() / (n + (state.spread_slope / SMALL_PANEL_PRIOR_SD) ** 2)
        prior = ((slope - pooled) ** 2).sum() / state.spread_slope**2 + (pooled / SMALL_PANEL_PRIOR_SD) ** 2
        prior += between @ np.linalg.solve(0.49 * (np.ones((n, n)) + np.eye(n)), between)
        return float(0.5 * prior - np.log(chance).sum())

    return loss


@pytest.mark.parametrize("n_clusters", [60, 120])
def test_two_models_reach_the_highest_likelihood_that_a_general_optimiser_finds(n_clusters: int) -> None:
    """Five panels of either size; s_γ has the bounds that it has in the fit."""
    rng = np.random.default_rng(13)
    for _ in range(5):
        common = 300 * rng.standard_normal((n_clusters, 1))
        delta = np.array([-600, 100]) + common + 350 * rng.standard_normal((n_clusters, 2))
        x = length_feature(delta)
        eta = np.array([-1.5, 0.7]) - x.mean(axis=1, keepdims=True) + rng.standard_normal((n_clusters, 1)) + 1.5 * x
        p = rng.binomial(1, expit(eta)).astype(float)
        state, _, converged = _fit(Panel.of(p, delta), SMALL_PANEL_PRIOR_SD)
        loss = penalised(p, x, state)
        bounds = [(None, None)] * 6 + [(np.log(0.01), np.log(5))]
        options = {"ftol": 1e-13, "gtol": 1e-7}
        best = minimize(loss, np.zeros(7), method="L-BFGS-B", bounds=bounds, options=options).fun
        here = np.array([*state.theta, *state.slope, *state.between, np.log(state.spread_instruction)])
        assert converged
        assert loss(here) < best + 1e-6


def test_a_fit_that_did_not_converge_is_said_on_the_board(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "the length-controlled fit did not converge"
    assert not any(said in line for line in boards_of(slim(2, 60), length_control=["joint"])[0].warnings)
    monkeypatch.setattr("simfarm.statistics.length_control._MAX_STEPS", 2)
    assert any(said in line for line in boards_of(slim(2, 60), length_control=["joint"])[0].warnings)


def test_two_instructions_or_verdicts_all_alike_have_no_slope() -> None:
    rng = np.random.default_rng(0)
    for n, p in ((2, rng.uniform(0.2, 0.8, (2, 3))), (40, np.full((40, 3), 0.5)), (3, rng.uniform(0.2, 0.8, (3, 3)))):
        joint = fit_joint(p, 200 * rng.standard_normal((n, 3)))
        slope = _slope(joint, 0.95)
        assert (slope is not None) == (n == 3)
        told = any("length slope: too few" in note for note in _joint_lines(joint, slope)[1])
        assert told == (slope is None and joint.slopes.any())


def test_instructions_that_are_harder_where_answers_are_long_do_not_pass_for_a_love_of_length() -> None:
    """γ correlates .5 with the models' common length; the slope stays what was planted and c takes the rest."""
    rng = np.random.default_rng(14)
    common = rng.standard_normal((3000, 1))
    delta = 300 * common + 300 * rng.standard_normal((3000, 6))
    gamma = -0.6 * common + 1.0 * rng.standard_normal((3000, 1))
    theta = np.linspace(-1.5, 1, 6)
    p = rng.binomial(1, expit(theta + gamma + 1.5 * length_feature(delta))).astype(float)
    fit = fit_joint(p, delta)
    assert fit.between < -0.5
    assert fit.slopes == pytest.approx(np.full(6, 1.5), abs=0.25)
    truth = expit(theta[:, None] + np.sqrt(1.36) * NODES) @ WEIGHTS / WEIGHTS.sum()
    assert np.abs([e.value for e in fit.estimates] - truth).max() < 0.04


def test_a_strong_model_with_a_c_of_its_own_does_not_bend_the_slopes_of_weak_ones() -> None:
    """Where answers are long, the four models that win a tenth find it easier, the one that wins most harder."""
    rng = np.random.default_rng(16)
    common = rng.standard_normal((2000, 1))
    x = length_feature(delta := 300 * common + 300 * rng.standard_normal((2000, 5)))
    z = x.mean(axis=1, keepdims=True) - x.mean()
    theta, c = np.array([-2.5, -2.5, -2.5, -2.5, 1]), np.array([1.2, 1.2, 1.2, 1.2, -1.2])
    p = rng.binomial(1, expit(theta + c * z + rng.standard_normal((2000, 1)) + 1.2 * x)).astype(float)
    fit = fit_joint(p, delta)
    assert fit.slopes == pytest.approx(np.full(5, 1.2), abs=0.3)
    assert fit.between == pytest.approx(0.72, abs=0.3)


def test_the_pooled_slope_has_the_models_as_units_from_twenty_on() -> None:
    """Many instructions leave nothing but the spread between the models: the plain mean and t test of their slopes."""
    p, delta = plant(np.random.default_rng(9), 6000)
    fit = fit_joint(p, delta)
    assert fit.pooled.n_clusters == 20
    assert fit.pooled.value == pytest.approx(fit.slopes.mean(), abs=0.01)
    # The fitted slopes are shrunk towards their mean, here by some 2 %, so their own spread is a little too small.
    assert 1 < fit.pooled.standard_error / (fit.slopes.std(ddof=1) / np.sqrt(20)) < 1.03
    assert fit_joint(p[:50, -3:], delta[:50, -3:]).pooled.n_clusters == 3


def test_a_small_panel_is_the_penalised_marginal_likelihood_of_a_general_optimiser() -> None:
    """Three models on 60 instructions: γ by 60 fixed nodes, the priors of β, β_m and c as they are written down."""
    rng = np.random.default_rng(11)
    delta = 300 * rng.standard_normal((60, 1)) + 300 * rng.standard_normal((60, 3))
    x = length_feature(delta)
    z = x.mean(axis=1) - x.mean()
    eta = np.array([-1.0, 0.0, 0.7]) + 1.5 * x - 3 * z[:, None] + rng.standard_normal((60, 1))
    p = rng.binomial(1, expit(eta)).astype(float)
    fit = fit_joint(p, delta)

    def of_nodes(b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        level = b[:3] + (z[:, None] * b[6:9])[:, None, :] + np.exp(b[10]) * NODES[:, None]
        eta = level + (b[3:6] * x)[:, None, :]
        chance = np.exp((p[:, None, :] * eta - np.logaddexp(0, eta)).sum(axis=2)) * WEIGHTS / WEIGHTS.sum()
        return level, chance

    def loss(b: np.ndarray) -> float:
        prior = ((b[3:6] - b[9]) ** 2).sum() / fit.spread_slope**2 + (b[9] / 2) ** 2
        prior += ((b[6:9] - b[11]) ** 2).sum() / 0.49 + b[11] ** 2 / 0.49
        return float(0.5 * prior - np.log(of_nodes(b)[1].sum(axis=1)).sum())

    oracle = minimize(loss, np.zeros(12), tol=1e-9).x
    assert abs(oracle[11]) > 0.3  # c has something to do
    assert fit.slopes == pytest.approx(oracle[3:6], abs=2e-3)
    assert fit.between == pytest.approx(oracle[6:9].mean(), abs=2e-3)
    assert fit.spread_instruction == pytest.approx(np.exp(oracle[10]), abs=2e-3)
    level, chance = of_nodes(oracle)
    rate = (expit(level) * (chance / chance.sum(axis=1, keepdims=True))[:, :, None]).sum(axis=1).mean(axis=0)
    assert [e.value for e in fit.estimates] == pytest.approx(rate, abs=1e-3)


def test_a_model_apart_moves_nobody() -> None:
    rng = np.random.default_rng(15)
    p, delta = plant(rng, 100, np.linspace(-1, 1, 4))
    p[:, 3] = rng.binomial(1, 0.9, 100)
    cells = pd.DataFrame(
        {
            "model": np.repeat([f"m{m}" for m in range(4)], 100),
            "cluster": np.tile(np.arange(100), 4),
            "p": p.T.ravel(),
            "delta": delta.T.ravel(),
        }
    )
    apart, fit = _joint(cells, {}, {"m3"})
    without, _ = _joint(cells[cells["model"] != "m3"], {}, ())
    together, _ = _joint(cells, {}, ())
    assert fit is not None
    assert len(fit.slopes) == 3
    assert [apart[m].value for m in without] == [without[m].value for m in without]
    assert apart["m3"].value == together["m3"].value
    assert apart["m0"].value != together["m0"].value
    two, _ = _joint(pd.concat([cells, cells[cells["model"] == "m3"].assign(model="m4")]), {}, {"m3", "m4"})
    terms = [np.flatnonzero(two[m].shared) for m in ("m0", "m3", "m4")]
    assert terms[0].max() < terms[1].min()
    assert terms[1].max() < terms[2].min()


def test_the_length_feature_is_scaled_by_the_sample_standard_deviation() -> None:
    delta = np.array([[3.0, 7.0], [-3.0, 7.0], [np.nan, 7.0]])
    np.testing.assert_allclose(
        length_feature(delta[:, :1]), [[np.tanh(1 / np.sqrt(2))], [-np.tanh(1 / np.sqrt(2))], [0]]
    )


@pytest.mark.parametrize("n_models", [2, 5])
def test_a_small_panel_with_few_instructions_still_fits(n_models: int) -> None:
    p, delta = plant(np.random.default_rng(4), 12, np.linspace(-0.5, 0.5, n_models))
    fit = fit_joint(p, delta)
    assert all(0 < e.value < 1 and e.standard_error > 0 for e in fit.estimates)
    assert np.isfinite([fit.pooled.value, fit.pooled.standard_error]).all()


def test_constant_lengths_leave_the_raw_win_rate() -> None:
    p = np.random.default_rng(5).uniform(size=(200, 2))
    rates = [e.value for e in fit_joint(p, np.full((200, 2), 40.0)).estimates]
    assert rates == pytest.approx(p.mean(axis=0), abs=1e-4)


def test_blocks_of_instructions_give_the_same_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    p, delta = plant(np.random.default_rng(6), 200)
    whole = [e.value for e in fit_joint(p, delta).estimates]
    monkeypatch.setattr("simfarm.statistics.marginal._BLOCK", 15 * 41 * 37)
    # two orders of summation, one convergence tolerance (1e-7)
    assert [e.value for e in fit_joint(p, delta).estimates] == pytest.approx(whole, abs=1e-7)


def test_short_lines_are_added_up_to_what_the_whole_table_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each instruction answered by three of twenty models: products cell by cell, or as matrices with empty cells."""
    rng = np.random.default_rng(10)
    p, delta = plant(rng, 600)
    p[np.argsort(rng.random(p.shape), axis=1) >= 3] = np.nan
    short = fit_joint(p, delta)
    monkeypatch.setattr("simfarm.statistics.marginal._SPARSE", 1000)
    whole = fit_joint(p, delta)
    for one, other in zip(short.estimates, whole.estimates, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-7)
        assert one.standard_error == pytest.approx(other.standard_error, rel=1e-6)
    assert short.pooled.value == pytest.approx(whole.pooled.value, abs=1e-6)


def slim(n_models: int, n: int, **columns: object) -> pd.DataFrame:
    """A slim annotation file of planted verdicts."""
    p, delta = plant(np.random.default_rng(7), n, np.linspace(-1, 1, n_models))
    parts = [
        pd.DataFrame(
            {
                "instruction_id": np.arange(n),
                "generator_1": "base",
                "generator_2": f"m{m}",
                "length_1": 3000,
                "length_2": (3000 + delta[:, m]).round().clip(0),
                "preference": 1 + p[:, m],
                "annotator": "judge",
            }
        )
        for m in range(n_models)
    ]
    return pd.concat(parts, ignore_index=True).assign(**columns)


def test_other_instructions_are_refused_by_alpaca_eval_2_with_the_remedy(shared_data: Path) -> None:
    folder = shared_data / "alpaca_eval_2"
    for rows in (
        slim(2, 20, dataset="mine"),
        slim(2, 20).assign(instruction_id=lambda d: d["instruction_id"] + 800),
        slim(2, 20).assign(instruction=lambda d: "question " + d["instruction_id"].astype(str)),
    ):
        with pytest.raises(InputError, match="--length-control joint"):
            boards_of(rows, length_control=["alpaca-eval-2"], lc_data=folder)


def test_missing_length_control_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"df_gamed\.csv: no such file"):
        boards_of(slim(1, 10), length_control=["alpaca-eval-2"], lc_data=tmp_path)


def test_without_the_hub_extra_the_remedies_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"--lc-data DIR.*simfarm\[hub\].*--length-control joint"):
        boards_of(slim(1, 10), length_control=["alpaca-eval-2"])


@pytest.fixture(scope="module")
def published_rows(shared_data: Path) -> pd.DataFrame:
    return pd.read_parquet(shared_data / "alpaca_eval_2" / "preferences.parquet")


@pytest.fixture(scope="module")
def published(shared_data: Path) -> pd.DataFrame:
    return pd.read_csv(shared_data / "alpaca_eval_2" / "published_leaderboard.csv").set_index("model")


def test_published_columns_and_length_control(
    shared_data: Path, published_rows: pd.DataFrame, published: pd.DataFrame
) -> None:
    [board] = boards_of(
        published_rows, length_control=["alpaca-eval-2", "joint"], lc_data=shared_data / "alpaca_eval_2"
    )
    table = board.table.set_index("model")
    names = table.index.intersection(published.index)
    assert len(names) == 32
    for column in ("win_rate", "standard_error", "n_wins", "n_wins_base", "n_draws", "n_total", "discrete_win_rate"):
        np.testing.assert_allclose(table.loc[names, column].astype(float), published.loc[names, column], atol=1e-9)
    whole = [m for m in names if table.loc[m, "n_total"] == 805 and m != board.baseline]
    target = published.loc[whole, "length_controlled_winrate"]
    off = (table.loc[whole, "length_controlled_winrate"] - target).abs()
    assert off.max() < 0.16
    assert off.median() < 0.05
    joint = table.loc[whole, "length_controlled_winrate_joint"]
    assert joint.rank().corr(target.rank()) >= 0.98
    assert (joint - target).abs().mean() <= 1.5
    assert board.panel_size == 32
    assert board.headline == "length_controlled_winrate"
    # of no model is the adjusted rate surer than the raw one that it adjusts
    for by_model in board.lc_estimates.values():
        assert all(by_model[m].plain is board.estimates[m] for m in whole)


def test_alpaca_eval_fit_is_the_weighted_logistic_fit_of_statsmodels(
    shared_data: Path, published_rows: pd.DataFrame
) -> None:
    data = alpaca_eval.load_data(shared_data / "alpaca_eval_2")
    rows = published_rows[published_rows["generator_2"] == "phi-2"]
    p = rows["preference"].to_numpy() - 1
    delta = (rows["length_1"] - rows["length_2"]).to_numpy(float)
    position = rows["instruction_id"].to_numpy(np.int64)
    estimate = alpaca_eval.fit(p, delta, position, position, data)
    x = np.tanh(delta / delta.std(ddof=1))
    own = np.column_stack([np.ones(len(p)), x, data.difficulty[position]])
    gamed = np.column_stack([np.zeros(1610), data.gamed_x, data.difficulty[data.gamed_position]])
    weights = np.concatenate([np.ones(len(p)), np.full(1610, 0.1)])
    model = sm.GLM(
        np.concatenate([p, data.gamed_p]),
        np.vstack([own, gamed]),
        family=sm.families.Binomial(),
        freq_weights=weights,
    )
    b0, _, b2 = model.fit(tol=1e-12).params
    assert estimate.value == pytest.approx(expit(b0 + b2 * data.difficulty[position]).mean(), abs=1e-7)
    # The independent refit joined on the instruction, as here, not on the row as upstream did.
    refit = pd.read_csv(shared_data / "alpaca_eval_2" / "lc_refit_independent_mle.csv").set_index("model")
    assert 100 * estimate.value == pytest.approx(refit.loc["phi-2", "lc"], abs=1e-3)


def test_alpaca_eval_intervals_cover_planted_truth() -> None:
    rng = np.random.default_rng(8)
    n = 300
    truth = expit(-1 + 1.0 * (1.5 * NODES)) @ WEIGHTS / WEIGHTS.sum()
    hits = 0
    for _ in range(400):
        difficulty = 1.5 * rng.standard_normal(n)
        delta = 300 * rng.standard_normal(n) + 150
        p = rng.binomial(1, expit(-1 + difficulty - 1.2 * length_feature(delta[:, None])[:, 0])).astype(float)
        gamed_x = np.tanh(rng.standard_normal(2 * n))
        position = np.tile(np.arange(n), 2)
        gamed_p = rng.binomial(1, expit(difficulty[position] - 1.2 * gamed_x)).astype(float)
        data = alpaca_eval.LengthControlData(difficulty, position.astype(np.int64), gamed_x, gamed_p)
        low, high = alpaca_eval.fit(p, delta, np.arange(n), np.arange(n), data).interval()
        hits += low <= truth <= high
    assert 0.92 <= hits / 400 <= 0.98


def test_text_and_slim_positions_agree(shared_data: Path) -> None:
    instructions = pd.read_json(shared_data / "alpaca_eval_2" / "instructions.jsonl", lines=True).sample(
        50, random_state=1
    )
    np.testing.assert_array_equal(alpaca_eval.positions(instructions), instructions["instruction_id"])
    np.testing.assert_array_equal(
        alpaca_eval.positions(instructions.drop(columns="instruction")), instructions["instruction_id"]
    )


@pytest.mark.parametrize("rows", [20, 60])
def test_length_controlled_rates_of_rare_wins_are_no_surer_than_the_raw_ones(rows: int) -> None:
    data = slim(3, rows)
    rare = data["generator_2"] == "m1"
    data.loc[rare, "preference"] = np.where(np.arange(rare.sum()) < 1, 2.0, 1.0)
    [board] = boards_of(data)
    raw, equal = (board.table.set_index("model").loc["m1", [f"{c}_low", f"{c}_high"]] for c in ("win_rate", "lc"))
    rate = board.table.set_index("model").loc["m1", "length_controlled_winrate"]
    own = board.lc_estimates["joint"]["m1"]
    assert own.plain is not None
    assert (equal["lc_high"] - rate) >= 0.8 * (raw["win_rate_high"] - 100 / rows)


def test_slopes_known_exactly_leave_the_spread_that_an_inverse_gamma_has() -> None:
    """Slopes b with a flat prior of s: s² is inverse gamma, of mean Σ(b − b̄)² / (M − 4), as uncertain as a χ² of M − 6
    degrees; below 20 models, and with slopes hardly known, the prior of s² has mean .5 and 2 degrees."""
    slopes = np.random.default_rng(0).standard_normal(20)
    found, freedom = uncertain_spread(*_slopes_seen(slopes, 1e6), np.inf)
    assert found**2 == pytest.approx(((slopes - slopes.mean()) ** 2).sum() / 16, rel=1e-3)
    assert freedom == pytest.approx(14, rel=1e-2)
    found, freedom = uncertain_spread(*_slopes_seen(slopes[:5], 1e-6), SMALL_PANEL_PRIOR_SD)
    assert found**2 == pytest.approx(0.5, rel=1e-3)
    assert freedom == pytest.approx(2, rel=1e-2)
    assert uncertain_spread(*_slopes_seen(slopes[:2], 1e-6), SMALL_PANEL_PRIOR_SD)[1] == 1


def _slopes_seen(slopes: np.ndarray, information: float) -> tuple[Pass, State]:
    """A look at a fit whose only news is that the slopes are `slopes`, each with this much information."""
    n = len(slopes)
    observed = np.eye(2 * n + 2)
    observed[n : 2 * n, n : 2 * n] *= information
    score = np.concatenate([np.zeros(n), information * slopes, np.zeros(2)])
    state = State(np.zeros(n), np.zeros(n), np.zeros(1), 1.0, 0.5)
    return Pass(0.0, score, observed, observed, np.zeros((1, n)), np.zeros(1), np.zeros(1)), state


def test_slopes_that_look_alike_are_not_taken_for_alike() -> None:
    """Sixty soft verdicts say so little of each slope that s_β comes out at nought; rates at equal length of models
    whose answers are nearly all shorter are extrapolated by a slope, and its own part in their error stays."""
    rng = np.random.default_rng(0)
    delta = np.linspace(-600, 300, 20) + 300 * rng.standard_normal((60, 1)) + 350 * rng.standard_normal((60, 20))
    eta = -0.3 + 1.2 * rng.standard_normal((60, 1)) + 1.5 * length_feature(delta)
    fit = fit_joint(rng.beta(0.3 * expit(eta), 0.3 * expit(-eta)), delta)
    assert fit.spread_slope < 0.02
    short = fit.estimates[0]
    assert np.linalg.norm(short.shared) > 0.2 * short.standard_error
    assert short.shared_freedom < 12
