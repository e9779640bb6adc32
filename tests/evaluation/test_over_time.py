"""Over time: a handful of symbols is measured along time, by hand and by reference."""

import numpy as np
import pytest
from scipy import stats

from ranking_pipeline.evaluation import over_time
from ranking_pipeline.evaluation.over_time import (
    time_series_auc_skill,
    time_series_ic,
)
from ranking_pipeline.row_ranks import row_ranks


def test_row_ranks_equal_the_plain_ones() -> None:
    rng = np.random.default_rng(0)
    values = np.round(rng.normal(size=(40, 17)), 1)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[3], values[4] = np.nan, 2.0
    values[5, :3] = np.inf
    clean = np.where(np.isfinite(values), values, np.nan)
    plain = stats.rankdata(clean, axis=1, nan_policy="omit")
    np.testing.assert_array_equal(row_ranks(values), plain)


def plain_ic(score: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """One symbol, bar after bar, as the documentation says it."""
    x, y = stats.rankdata(score), stats.rankdata(outcome)
    n, left_out = len(x), len(x) // 4
    result = np.empty(n)
    for t in range(n):
        away = [u for u in range(n) if not t - left_out <= u < t]
        centred = y[t] - y[away].mean()
        result[t] = (x[t] - x.mean()) / x.std() * centred / y.std()
    return result


def test_ic_over_time_against_a_plain_reference() -> None:
    rng = np.random.default_rng(1)
    score = rng.normal(size=(60, 2))
    outcome = 0.5 * score + rng.normal(size=(60, 2))
    score[::7, 1] = np.nan
    known = np.isfinite(score[:, 1])
    first = plain_ic(score[:, 0], outcome[:, 0])
    second = np.full(60, np.nan)
    second[known] = plain_ic(score[known, 1], outcome[known, 1])
    expected = np.nanmean(np.column_stack([first, second]), axis=1)
    np.testing.assert_allclose(time_series_ic(score, outcome, 10), expected)


def test_without_bars_left_out_the_means_are_the_known_statistics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(over_time, "_LEFT_OUT", 10**9)
    rng = np.random.default_rng(2)
    score = rng.normal(size=(80, 1))
    outcome = score + rng.normal(size=(80, 1))
    ic = stats.spearmanr(score[:, 0], outcome[:, 0]).statistic
    assert time_series_ic(score, outcome, 3).mean() == pytest.approx(ic)
    label = np.where(np.abs(outcome) < 0.4, 0.0, np.sign(outcome))
    up, down = score[label == 1], score[label == -1]
    auc = stats.mannwhitneyu(up, down).statistic / (len(up) * len(down))
    skill = time_series_auc_skill(score, label, 5)
    assert np.nanmean(skill) == pytest.approx(2 * auc - 1)
    np.testing.assert_array_equal(np.isnan(skill), label[:, 0] == 0)


def test_symbols_with_too_few_bars_or_classes_are_not_measured() -> None:
    score, outcome = np.arange(12.0)[:, None], np.arange(12.0)[:, None]
    assert np.isnan(time_series_ic(score, outcome, 13)).all()
    assert np.isfinite(time_series_ic(score, outcome, 12)).all()
    assert np.isnan(time_series_ic(np.ones((12, 1)), outcome, 3)).all()
    label = (outcome > 8).astype(float)  # three bars above
    assert np.isnan(time_series_auc_skill(score, label, 4, negative=0)).all()
    assert np.isfinite(time_series_auc_skill(score, label, 3, negative=0)).all()


def test_a_bet_on_the_mean_earns_less_on_noise_than_with_the_whole_mean() -> None:
    """Past sums of noise: the plain correlation has a bias, which is halved."""
    rng = np.random.default_rng(3)
    returns = rng.normal(size=(300, 400))
    past = np.cumsum(returns, axis=0)
    score, outcome = np.full((2, 300, 400), np.nan)
    score[40:] = past[:-40] - past[40:]
    outcome[:-1] = returns[1:]
    columns = [(score[:, [k]], outcome[:, [k]]) for k in range(400)]
    beside = [np.nanmean(time_series_ic(x, y, 10)) for x, y in columns]
    plain = [stats.spearmanr(x[40:-1], y[40:-1]).statistic for x, y in columns]
    assert np.mean(plain) > 0.03
    assert abs(np.mean(beside)) < 0.55 * np.mean(plain)
