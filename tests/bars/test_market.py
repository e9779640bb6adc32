"""The simulated market: deterministic, causal, its truth paid when it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from ranking_pipeline.bars.checks import CleanBars, check_bars
from ranking_pipeline.bars.config import ChecksConfig, MarketConfig
from ranking_pipeline.bars.dense import build_panel
from ranking_pipeline.bars.market import (
    TRUTH_COLUMNS,
    SimulatedMarket,
    bar_clock,
    empty_truth,
    simulate_market,
)
from ranking_pipeline.bars.planted_signal import SIGNAL_BARS, Signal, planted_score

from .conftest import CHECKS

Make = Callable[..., MarketConfig]
Array = npt.NDArray[np.float64]
STRICT = {"max_quarantined_share": 0.01, "max_quarantined_share_of_symbol": 0.1}
PLAIN = {"late_listings": 0, "delistings": 0, "missing_share": 0.0}


def _check(market: SimulatedMarket, interval: str = "1d") -> CleanBars:
    changes: dict[str, Any] = {"interval": interval, "timezone": None}
    return check_bars(market.raw, ChecksConfig(**(CHECKS | STRICT | changes)))


def _matrix(frame: pd.DataFrame, column: str, like: pd.DataFrame | None = None) -> Any:
    wide = frame.astype({"symbol": str}).pivot(
        index="timestamp", columns="symbol", values=column
    )
    return wide if like is None else wide.reindex_like(like)


def _rank_ic(score: pd.DataFrame, outcome: pd.DataFrame) -> float:
    both = score.notna() & outcome.notna()
    enough = both.sum(axis=1) >= 20
    one = score.where(both).rank(axis=1)[enough]
    two = outcome.where(both).rank(axis=1)[enough]
    return float(one.corrwith(two, axis=1).mean())


@pytest.fixture(scope="module")
def default(market: Make) -> SimulatedMarket:
    return simulate_market(market(), 0, 1)


@pytest.fixture(scope="module")
def clean(default: SimulatedMarket) -> CleanBars:
    return _check(default)


def test_the_same_seed_gives_the_same_bars(
    market: Make, default: SimulatedMarket
) -> None:
    again = simulate_market(market(), 0, 1)
    pd.testing.assert_frame_equal(again.raw, default.raw, check_exact=True)
    pd.testing.assert_frame_equal(again.truth, default.truth, check_exact=True)
    other = simulate_market(market(), 1, 1)
    assert not np.array_equal(other.raw["close"][:100], default.raw["close"][:100])


@pytest.mark.parametrize("seed", range(5))
def test_the_oracle_is_paid_at_the_planted_lag(market: Make, seed: int) -> None:
    truth = simulate_market(market(), seed, 1)
    close = _matrix(_check(truth).bars, "close")
    oracle = _matrix(truth.truth, "oracle_score", close)
    at_lag = {
        lag: _rank_ic(oracle, close.shift(-lag - 1) / close.shift(-lag) - 1)
        for lag in (0, 1, 2)
    }
    assert 0.12 < at_lag[1] < 0.155
    assert at_lag[0] < 0.7 * at_lag[1]
    assert at_lag[2] < 0.7 * at_lag[1]
    held = at_lag[1]
    reversal = -(close / close.shift(1) - 1)
    assert 0.01 < _rank_ic(reversal, close.shift(-2) / close.shift(-1) - 1) < held / 2


def test_the_lag_moves_the_payment(market: Make) -> None:
    truth = simulate_market(market(), 0, 0)
    close = _matrix(_check(truth).bars, "close")
    oracle = _matrix(truth.truth, "oracle_score", close)
    assert _rank_ic(oracle, close.shift(-1) / close - 1) > 0.12


def test_the_premium_is_strength_times_loading_times_score(market: Make) -> None:
    """With and without strength, the bars up to the first payment are the same."""
    config = market(**PLAIN, planted_defects=False, n_bars=64)
    paid = simulate_market(config, 3, 1)
    free = simulate_market(config.model_copy(update={"strength": 0.0}), 3, 1)
    with_, without = _matrix(paid.raw, "close"), _matrix(free.raw, "close")
    step = (np.log(with_).diff() - np.log(without).diff()).to_numpy()
    score = _matrix(paid.truth, "oracle_score").to_numpy()
    first = SIGNAL_BARS - 1
    # Prices are rounded to 1e-4, so returns agree to about 1e-4 / price.
    np.testing.assert_allclose(step[1 : first + 2], 0.0, atol=1e-4)
    one = simulate_market(config.model_copy(update={"strength": 0.28}), 3, 1)
    double = np.log(_matrix(one.raw, "close")).diff() - np.log(without).diff()
    # Truth starts with the bar 32 after the first; it is paid two bars later.
    bar = SIGNAL_BARS + 2
    assert np.corrcoef(np.sign(step[bar]), np.sign(score[0]))[0, 1] > 0.9
    ratio = double.to_numpy()[first + 2] / step[first + 2]
    assert abs(np.median(ratio) - 2.0) < 0.01


def test_reversed_names_answer_the_other_way(market: Make) -> None:
    truth = simulate_market(market(strength=0.3), 0, 1)
    close = _matrix(_check(truth).bars, "close")
    oracle = _matrix(truth.truth, "oracle_score", close)
    loading = truth.truth.groupby("symbol", observed=True)["loading"].first()
    names = loading.index[loading == -2.0].astype(str)
    assert len(names) == 8
    sectors = truth.sectors.set_index("symbol")["sector"]
    assert sectors[names].nunique() >= 6
    payoff = close.shift(-2) / close.shift(-1) - 1
    payoff = payoff.sub(payoff.mean(axis=1), axis=0)
    score = oracle / loading.rename(index=str)
    slope = {name: score[name].corr(payoff[name]) for name in close}
    reversed_slopes = [slope[name] for name in names]
    others = [slope[name] for name in close if name not in set(names)]
    assert max(reversed_slopes) < 0.0
    assert np.mean(others) > 0.1


def test_the_truth_is_known_at_its_bar(market: Make) -> None:
    """A longer simulation has the same beginning: nothing depends on later bars."""
    short = simulate_market(market(**PLAIN, planted_defects=False, n_bars=90), 5, 1)
    long = simulate_market(market(**PLAIN, planted_defects=False, n_bars=140), 5, 1)
    for ours, theirs in ((short.raw, long.raw), (short.truth, long.truth)):
        last = ours["timestamp"].max()
        begin = theirs[theirs["timestamp"] <= last]
        column = "close" if "close" in ours else "oracle_score"
        left, right = _matrix(ours, column), _matrix(begin, column)
        pd.testing.assert_frame_equal(left, right, check_exact=True)


def _plain_score(returns: Array, gaps: Array, volume: Array, sigma: Array) -> Array:
    """The formula of the score, symbol by symbol and term by term."""
    n = returns.shape[1]
    parts = np.zeros((4, n))
    turbulence = [float(np.std(returns[-20:, i]) / sigma[i]) for i in range(n)]
    for i in range(n):
        parts[0, i] = gaps[i]
        if turbulence[i] < np.median(turbulence):
            parts[1, i] = sum(returns[-20:, i])
        parts[2, i] = volume[-1, i] - sum(volume[-21:-1, i]) / 20
        for k in range(32):
            wave = np.cos(2 * np.pi * k / 8) * np.exp(-k / 14)
            parts[3, i] -= wave * returns[-1 - k, i] / sigma[i]
    z = [(part - part.mean()) / part.std() for part in parts]
    total = -0.8 * z[0] + 0.4 * z[1] + 0.5 * z[2] + 2.0 * z[3]
    return np.asarray((total - total.mean()) / total.std())


def test_the_score_against_its_plain_formula(market: Make) -> None:
    rng = np.random.default_rng(1)
    returns, volume = rng.normal(0, 0.01, (32, 9)), rng.normal(0, 1, (32, 9))
    gaps, sigma = rng.normal(0, 0.01, 9), rng.uniform(0.5, 2.0, 9)
    weights = market().signal_weights
    signal = Signal(gaps, returns, volume, np.ones(9, dtype=bool))
    got = planted_score(signal, sigma, weights)
    np.testing.assert_allclose(got, _plain_score(returns, gaps, volume, sigma))
    # A symbol that is not listed changes nothing for the others and has no score.
    wider = Signal(
        np.append(gaps, 9.0),
        np.c_[returns, np.full(32, 5.0)],
        np.c_[volume, np.full(32, 5.0)],
        np.append(signal.listed, False),
    )
    both = planted_score(wider, np.append(sigma, 1.0), weights)
    np.testing.assert_allclose(both, np.append(got, 0.0))
    early = replace(signal, returns=returns[1:], log_volume=volume[1:])
    assert not planted_score(early, sigma, weights).any()


def test_the_score_can_be_computed_from_the_bars(market: Make) -> None:
    truth = simulate_market(market(**PLAIN, planted_defects=False, n_bars=80), 2, 1)
    close, open_ = _matrix(truth.raw, "close"), _matrix(truth.raw, "open")
    volume = np.log(_matrix(truth.raw, "volume")).to_numpy()
    gaps = np.log(open_ / close.shift(1)).to_numpy()
    returns = np.log(close).diff().to_numpy()
    # Own volatility is a hidden constant: its estimate gives nearly the same ranks.
    sigma = np.nanstd(returns, axis=0)
    got = _plain_score(returns[-32:], gaps[-1], volume[-32:], sigma)
    oracle = _matrix(truth.truth, "oracle_score")
    loading = truth.truth.groupby("symbol", observed=True)["loading"].first()
    planted = (oracle.iloc[-1] / loading.rename(index=str)).to_numpy()
    assert np.corrcoef(got, planted)[0, 1] > 0.95


def test_truth_lies_on_the_bars(default: SimulatedMarket, clean: CleanBars) -> None:
    truth = default.truth
    assert tuple(truth.columns) == TRUTH_COLUMNS
    keys = truth[["timestamp", "symbol"]].astype({"symbol": str})
    assert keys.equals(keys.sort_values(["timestamp", "symbol"], ignore_index=True))
    assert set(truth["timestamp"]) <= set(clean.bars["timestamp"])
    joined = clean.bars.merge(truth, on=["timestamp", "symbol"])
    # All but the rows that were damaged beyond use have a bar.
    assert len(truth) - len(joined) <= 6
    assert np.isfinite(truth["oracle_score"]).all()
    assert empty_truth().dtypes.astype(str).tolist()[0] == "datetime64[ns, UTC]"
    assert tuple(empty_truth().columns) == TRUTH_COLUMNS


def test_planted_defects_are_found_and_nothing_else(
    default: SimulatedMarket, clean: CleanBars
) -> None:
    found = clean.quality.set_index("rule")["rows"].to_dict()
    planted = dict(default.planted)
    run = planted.pop("stale_run")
    assert found.pop("stale_run") == run - 5
    found.pop("reverting_outlier", None)
    assert found == planted
    swapped = clean.quarantine.set_index("rule").loc["price_outside_range"]
    assert swapped["high"] < swapped["low"]
    assert clean.summary["source"] == "simulated"


def test_listings_delistings_and_gaps(
    market: Make, default: SimulatedMarket, clean: CleanBars
) -> None:
    panel = build_panel(clean.bars)
    present = panel.present
    assert present.shape == (96, 1250)
    first = present.argmax(axis=1)
    last = 1249 - present[:, ::-1].argmax(axis=1)
    assert (first > 100).sum() == 6
    assert (last < 1200).sum() == 10
    missing = clean.summary["missing_bars"] / present.sum()
    assert 0.001 < missing < 0.003
    assert clean.summary["survivorship"]["warning"] == ""


def test_returns_look_like_those_of_stocks(clean: CleanBars) -> None:
    close = _matrix(clean.bars, "close")
    returns = close.pct_change(fill_method=None)
    annual = returns.std() * np.sqrt(252)
    assert annual.between(0.10, 0.60).all()
    assert 0.15 < annual.median() < 0.45
    shape = returns.kurt().median() + 3
    assert 4 < shape < 20
    assert returns.abs().max().max() < 0.4
    clustering = returns.abs().apply(lambda series: series.autocorr(1)).median()
    assert clustering > 0.02
    common = returns.corr().to_numpy()[np.triu_indices(96, 1)].mean()
    assert 0.1 < common < 0.6


def test_gaps_lie_on_the_path_of_the_price(market: Make) -> None:
    truth = simulate_market(market(**PLAIN, planted_defects=False), 0, 1)
    close, open_ = _matrix(truth.raw, "close"), _matrix(truth.raw, "open")
    gap, whole = np.log(open_ / close.shift(1)), np.log(close / close.shift(1))
    share = (gap.var() / whole.var()).median()
    assert 0.1 < share < 0.25
    assert gap.corrwith(whole).median() > 0.05
    high, low = _matrix(truth.raw, "high"), _matrix(truth.raw, "low")
    assert (high >= open_).all().all()
    assert (low <= close).all().all()


def test_five_minute_bars(market: Make) -> None:
    config = market(interval="5m", n_bars=200, **PLAIN, planted_defects=False)
    starts, ends = bar_clock(config)
    assert starts[0] == pd.Timestamp("2019-01-02 14:30", tz="UTC")
    assert ends[77] == pd.Timestamp("2019-01-02 21:00", tz="UTC")
    assert starts[78] == pd.Timestamp("2019-01-03 14:30", tz="UTC")
    truth = simulate_market(config, 0, 1)
    bars = _check(truth, "5m").bars
    np.testing.assert_array_equal(bars["timestamp"].unique(), ends)
    assert set(truth.truth["timestamp"]) <= set(ends)
    returns = _matrix(bars, "close").pct_change(fill_method=None)
    assert 0.1 < (returns.std() * np.sqrt(252 * 78)).median() < 0.5


def test_many_names_stay_in_order(market: Make) -> None:
    truth = simulate_market(market(n_symbols=1001, n_bars=64), 0, 1)
    names = truth.sectors["symbol"].tolist()
    assert names == sorted(names)
    assert len(set(names)) == 1001


def test_a_configured_zone_does_not_move_simulated_bars(market: Make) -> None:
    truth = simulate_market(market(n_bars=64), 0, 1)
    bars = check_bars(truth.raw, ChecksConfig(**CHECKS)).bars
    assert set(truth.truth["timestamp"]) <= set(bars["timestamp"])
