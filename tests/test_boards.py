"""Two boards beside each other: Spearman and Kendall as scipy has them, planted rates, sets of instructions."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau, spearmanr

from simfarm.errors import InputError
from simfarm.statistics.boards import Figure, _gaps_behind, _least_error, _rates_behind, _spearman, board_agreement
from simfarm.statistics.estimate import Array, Estimate, mean_estimate
from simfarm.statistics.sets import set_agreement


def drawn(rates: Array, n: int, rng: np.random.Generator) -> list[Estimate]:
    """One board: verdicts on n instructions, which have a difficulty that all models share."""
    hard = 0.2 * rng.standard_normal((n, 1))
    wins = (rng.random((n, len(rates))) < np.clip(rates + hard, 0, 1)).astype(float)
    return [mean_estimate(column, np.arange(n)) for column in wins.T]


def inside(found: Figure, truth: float) -> bool:
    return found.low - 1e-12 <= truth <= found.high + 1e-12


def test_plain_figures_are_scipys() -> None:
    rng = np.random.default_rng(0)
    judge, people = (drawn(np.linspace(0.3, 0.6, 9), 60, rng) for _ in range(2))
    found = board_agreement(judge, people)
    one, other = ([e.value for e in board] for board in (judge, people))
    assert found.spearman.plain == pytest.approx(spearmanr(one, other).statistic, abs=1e-12)
    assert found.kendall.plain == pytest.approx(kendalltau(one, other).statistic, abs=1e-12)
    assert found.mean_absolute_error.plain == pytest.approx(np.abs(np.subtract(one, other)).mean(), abs=1e-12)
    assert found == board_agreement(judge, people)  # the same seed


def test_noise_is_taken_off_and_intervals_hold_the_truth() -> None:
    """60 instructions, rates from .3 to .6: noise halves the likeness of two boards of the very same rates, and makes
    up an error. 14 replicates."""
    rng = np.random.default_rng(1)
    rates = np.linspace(0.3, 0.6, 8)
    other = rates + 0.08 * np.array([1, -1, 1, 1, -1, -1, 1, -1])
    truth = spearmanr(rates, other).statistic, kendalltau(rates, other).statistic, 0.08
    held, plain, value = np.zeros(3), [], []
    for _ in range(14):
        found = board_agreement(drawn(rates, 60, rng), drawn(other, 60, rng))
        figures = found.spearman, found.kendall, found.mean_absolute_error
        held += [inside(*pair) for pair in zip(figures, truth, strict=True)]
        plain.append([f.plain for f in figures])
        value.append([f.value for f in figures])
    assert (held >= 11).all(), held
    assert np.mean(plain, axis=0)[0] < truth[0] - 0.05
    gap = np.abs(np.mean(value, axis=0) - truth)
    assert (gap < np.abs(np.mean(plain, axis=0) - truth)).all()


def test_boards_of_the_same_rates_may_have_no_error_at_all() -> None:
    """Noise alone makes the mean of |differences| up: its lower limit is 0 unless equal rates are refuted, and no draw
    of rates behind is ever 0. 40 replicates each of no difference and of one that is a third of the noise."""
    rng = np.random.default_rng(8)
    rates = np.linspace(0.35, 0.65, 4)
    for gap in (0.0, 0.03):
        low = []
        for _ in range(40):
            found = board_agreement(drawn(rates, 50, rng), drawn(rates + gap, 50, rng)).mean_absolute_error
            assert found.low <= found.value <= found.high
            low.append(found.low)
        assert np.mean(np.array(low) <= gap) >= 0.9
    far = board_agreement(drawn(rates - 0.3, 200, rng), drawn(rates + 0.3, 200, rng)).mean_absolute_error
    assert 0.5 < far.low < 0.6 < far.high < 0.7


def test_the_least_error_is_where_as_much_is_seen_in_one_of_forty() -> None:
    """One model, noise of 1 (.8 and .6), seen 3: 3 − 1.96 but for what falls on the other side; seen 1.9: 0."""
    root = np.kron([[0.8, 0.0], [0.0, 0.6]], np.full((1, 50_000), 1 / np.sqrt(50_000)))
    rng = np.random.default_rng(0)
    assert _least_error(np.array([[3.0], [0.0]]), root, 0.025, rng) == pytest.approx(1.04, abs=0.15)
    assert _least_error(np.array([[1.9], [0.0]]), root, 0.025, rng) == 0


def test_rates_are_drawn_as_far_out_as_their_errors_go() -> None:
    """Of models far apart each rate keeps its own error, of models of one true rate hardly any."""
    rng = np.random.default_rng(4)
    root = 0.02 * np.eye(40)
    seen = rng.random((2, 20))
    apart, alike = (_rates_behind(x, root, rng).std(axis=0).mean() for x in (seen, np.full((2, 20), 0.5)))
    assert apart == pytest.approx(0.02, rel=0.15)
    assert alike < 0.015
    gaps = _gaps_behind(seen, root, rng)
    assert gaps.std(axis=0).mean() == pytest.approx(0.02 * np.sqrt(2), rel=0.15)
    assert gaps.mean(axis=0) == pytest.approx(seen[0] - seen[1], abs=0.01)


def test_few_models_are_no_more_alike_than_they_are() -> None:
    """Eight models whose rates have the correlation .9: the drawn rank correlations are not above the truth's."""
    rng = np.random.default_rng(5)
    excess = []
    for _ in range(30):
        z = rng.standard_normal((2, 8))
        rates = 0.2 * np.stack([z[0], 0.9 * z[0] + np.sqrt(0.19) * z[1]])
        drawn = _rates_behind(rates + 0.03 * rng.standard_normal((2, 8)), 0.03 * np.eye(16), rng)
        excess.append(np.median(_spearman(drawn)) - spearmanr(*rates).statistic)
    assert abs(np.mean(excess)) < 0.035


def test_boards_that_cannot_be_compared_are_refused() -> None:
    board = drawn(np.array([0.3, 0.5, 0.6]), 30, np.random.default_rng(2))
    with pytest.raises(InputError, match="2 models are on both boards"):
        board_agreement(board[:2], board[:2])
    with pytest.raises(InputError, match="give the models of both"):
        board_agreement(board, board[:2])
    single = mean_estimate(np.array([1.0]), np.array([0]))
    with pytest.raises(InputError, match="fewer than two instructions"):
        board_agreement([single, *board[1:]], board)


def test_alpaca_evals_vicuna_part_ranks_as_any_part_of_its_size(shared_data: Path) -> None:
    rows = pd.read_parquet(shared_data / "alpaca_eval_2" / "preferences.parquet")
    rows = rows[rows.generator_2 != "gpt4_1106_preview"]
    table = rows.pivot_table(index="generator_2", columns="instruction_id", values="preference") - 1
    part = rows.drop_duplicates("instruction_id").set_index("instruction_id").dataset.reindex(table.columns)
    found = set_agreement(table.to_numpy(), (part == "vicuna").to_numpy(), draws=500)
    assert found.value == pytest.approx(0.894, abs=5e-4)
    assert (found.low, found.high) == pytest.approx((0.847, 0.959), abs=0.02)
    assert (found.news, found.n_in, found.n_out) == (False, 80, 725)


def test_rates_of_a_set_are_of_the_verdicts_there_are() -> None:
    rng = np.random.default_rng(6)
    p = (rng.random((6, 80)) < np.linspace(0.3, 0.6, 6)[:, None]).astype(float)
    inside = np.arange(80) < 30
    p[rng.random(p.shape) < np.where(inside, 0.1, np.linspace(0, 0.9, 6)[:, None])] = np.nan
    wanted = spearmanr(np.nanmean(p[:, inside], axis=1), np.nanmean(p[:, ~inside], axis=1)).statistic
    assert set_agreement(p, inside, draws=50).value == pytest.approx(wanted, abs=1e-12)


def test_a_set_of_another_kind_is_news() -> None:
    rng = np.random.default_rng(3)
    rates = np.linspace(0.2, 0.8, 10)
    odd = np.arange(300) < 60
    p = (rng.random((10, 300)) < np.where(odd, rates[::-1, None], rates[:, None])).astype(float)
    found = set_agreement(p, odd, draws=300)
    assert found.news
    assert found.p < 0.01
    assert not set_agreement(p, rng.permutation(odd), draws=300).news
    with pytest.raises(InputError, match="on one side of the set only"):
        set_agreement(np.where(odd & (np.arange(10) == 0)[:, None], np.nan, p), odd)
