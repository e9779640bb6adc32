"""Block tests, Newey-West, false discovery rate and paired comparisons."""

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from ranking_pipeline.evaluation import inference


def test_block_test_by_hand() -> None:
    means = np.array([0.1, 0.3, 0.2, 0.0, 0.4, 0.1, 0.2, 0.3])
    series = np.repeat(means, 10)
    got = inference.block_test(series, 10)
    expected = stats.ttest_1samp(means, 0, alternative="greater")
    assert (got.n_blocks, got.n_bars, got.block_bars) == (8, 80, 10)
    assert got.mean == pytest.approx(0.2)
    assert got.t == pytest.approx(expected.statistic)
    assert got.p == pytest.approx(expected.pvalue)
    assert got.z == pytest.approx(stats.norm.isf(expected.pvalue))
    low, high = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    assert (got.ci_low, got.ci_high) == pytest.approx((low, high))


def test_negative_mean_mirrors_positive() -> None:
    series = np.random.default_rng(0).normal(0.3, 1, 200)
    up, down = inference.block_test(series, 10), inference.block_test(-series, 10)
    assert down.p == pytest.approx(1 - up.p)
    assert (down.t, down.z) == pytest.approx((-up.t, -up.z))


def test_missing_bars_keep_their_place() -> None:
    series = np.random.default_rng(1).normal(size=120)
    holed = series.copy()
    holed[30:40] = np.nan
    holed[55] = np.nan
    got = inference.block_means(holed, 10)
    blocks = [series[i : i + 10] for i in range(0, 120, 10) if i != 30]
    blocks[4] = np.delete(series[50:60], 5)
    np.testing.assert_allclose(got, [block.mean() for block in blocks])


def test_blocks_start_at_the_first_measured_bar() -> None:
    series = np.random.default_rng(1).normal(size=100)
    late = np.concatenate([np.full(37, np.nan), series])
    assert inference.block_test(late, 10) == inference.block_test(series, 10)


def test_a_short_rest_is_left_out() -> None:
    assert len(inference.block_means(np.ones(94), 10)) == 9
    assert len(inference.block_means(np.ones(95), 10)) == 10


def test_too_few_blocks_give_no_test() -> None:
    got = inference.block_test(np.arange(70.0), 10)
    assert got.n_blocks == 7
    assert got.mean == pytest.approx(34.5)
    assert np.isnan([got.t, got.p, got.z, got.ci_low, got.ci_high]).all()
    empty = inference.block_test(np.full(50, np.nan), 10)
    assert np.isnan(empty.mean)
    assert (empty.n_bars, empty.n_blocks) == (0, 0)


def test_constant_series_is_certain() -> None:
    got = inference.block_test(np.full(100, 0.1), 10)
    assert (got.t, got.p, got.z) == (np.inf, 0.0, np.inf)
    assert np.isnan(inference.block_test(np.zeros(100), 10).t)


def test_block_length() -> None:
    assert inference.block_length(1, 1) == 10
    assert inference.block_length(1, 20) == 42


def test_null_size_with_overlap() -> None:
    """Five-bar labels without skill: blocks keep the level, single bars do not."""
    rng = np.random.default_rng(5)
    trials, bars = 1000, 240
    noise = lfilter(np.ones(6), 1, rng.normal(size=(trials, bars + 5)))[:, 5:]
    block = [inference.block_test(row, 12).p < 0.05 for row in noise]
    naive = [
        row.mean() / row.std(ddof=1) * np.sqrt(bars) > stats.norm.isf(0.05)
        for row in noise
    ]
    assert 0.03 < np.mean(block) < 0.075
    assert np.mean(naive) > 0.15


def test_newey_west_against_plain_sums() -> None:
    x = np.random.default_rng(2).normal(0.1, 1, 90)
    centred, n = x - x.mean(), len(x)
    variance = sum(v * v for v in centred) / n
    for lag in (1, 2, 3):
        products = [centred[i] * centred[i - lag] for i in range(lag, n)]
        variance += 2 * (1 - lag / 4) * sum(products) / n
    expected = x.mean() / np.sqrt(variance / n)
    assert inference.newey_west_t(x, 3) == pytest.approx(expected)
    plain = x.mean() / (x.std() / np.sqrt(n))
    assert inference.newey_west_t(x, 0) == pytest.approx(plain)
    assert np.isnan(inference.newey_west_t(np.array([1.0, np.nan]), 1))


def test_benjamini_hochberg_by_hand() -> None:
    p = np.array([0.01, np.nan, 0.04, 0.03, 0.5])
    got = inference.benjamini_hochberg(p)
    expected = [0.04, np.nan, 0.04 * 4 / 3, 0.04 * 4 / 3, 0.5]
    np.testing.assert_allclose(got, expected)
    assert np.isnan(inference.benjamini_hochberg(np.array([np.nan]))).all()
    known = stats.false_discovery_control(p[np.isfinite(p)])
    np.testing.assert_allclose(got[np.isfinite(p)], known)


def test_paired_comparison_takes_common_noise_away() -> None:
    rng = np.random.default_rng(3)
    common = rng.normal(0, 0.2, 300)
    first = common + 0.02 + 0.01 * rng.normal(size=300)
    got = inference.paired_comparison(first, common, 10, seed=0)
    assert got.test.mean == pytest.approx(0.02, abs=0.003)
    assert got.test.ci_low > 0
    assert got.bootstrap_low == pytest.approx(got.test.ci_low, abs=0.002)
    assert got.bootstrap_high == pytest.approx(got.test.ci_high, abs=0.002)
    again = inference.paired_comparison(first, common, 10, seed=0)
    assert again == got


def test_minimum_detectable_effect_has_its_power() -> None:
    rng = np.random.default_rng(4)
    series = rng.normal(size=200)
    got = inference.paired_comparison(series, np.zeros(200), 10, seed=0)
    reach = stats.t.isf(0.025, 19) + stats.t.isf(0.2, 19)
    error = np.std(series.reshape(20, 10).mean(axis=1), ddof=1) / np.sqrt(20)
    assert got.minimum_detectable_effect == pytest.approx(reach * error)
    # a true difference of 2.9 standard errors (20 blocks, t law) is found 4 times in 5
    found = 0
    shift = reach / np.sqrt(200)
    for _ in range(400):
        series = rng.normal(shift, 1, 200)
        found += inference.block_test(series, 10).ci_low > 0
    assert 0.72 < found / 400 < 0.87


def test_paired_comparison_of_short_series() -> None:
    got = inference.paired_comparison(np.ones(20), np.zeros(20), 10, seed=0)
    assert got.test.mean == 1.0
    assert np.isnan([got.bootstrap_low, got.minimum_detectable_effect]).all()
