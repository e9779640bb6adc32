"""Statistics of a book: by hand, by plain formulas, and NaN where there is no value."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.inference import block_test
from ranking_pipeline.labels.delisting import closes_with_payouts
from ranking_pipeline.panel import OHLCV, Panel
from ranking_pipeline.portfolio.backtest import (
    Rules,
    book_statistics,
    deflated_sharpe,
    drawdown_curve,
    equity_curve,
    expected_best_sharpe,
    market_exposure,
    market_return,
    max_drawdown,
    panel_settlement,
    probabilistic_sharpe,
    run_book,
    sector_exposure,
    sharpe,
    trading_capacity,
    usual_dollar_volume,
)
from ranking_pipeline.portfolio.backtest.sharpe_ratio import (
    expected_maximum,
    probability_above,
)
from ranking_pipeline.portfolio.returns import panel_returns

PLAIN = Rules(1, 0, 5.0, 0.0, 1, False, "leg", "both", 252.0)
NAN = float("nan")


def test_the_published_example_of_the_deflated_ratio() -> None:
    """2.5 a year on 1,250 days, 100 trials of variance 1/2: 0.1132 and 0.9004."""
    threshold = expected_maximum(100) * math.sqrt(0.5 / 250)
    assert threshold == pytest.approx(0.1132, abs=5e-5)
    found = probability_above(2.5 / math.sqrt(250), threshold, 1250, -3.0, 10.0)
    assert found == pytest.approx(0.9004, abs=5e-4)


@pytest.mark.parametrize(
    ("n_trials", "n_bars", "annual"),
    [(10, 187, 1.8), (80, 187, 2.9), (80, 250, 2.5), (10, 500, 1.1), (80, 500, 1.7)],
)
def test_luck_in_a_search(n_trials: int, n_bars: int, annual: float) -> None:
    luck = expected_best_sharpe(n_trials, n_bars, 252)
    assert luck == pytest.approx(annual, abs=0.06)
    series = np.random.default_rng(0).normal(0.001, 0.01, n_bars)
    found = deflated_sharpe(series, n_trials)
    assert found.variance_source == "no skill"
    assert found.trial_variance == 1 / n_bars
    assert found.threshold * math.sqrt(252) == pytest.approx(luck)


def test_the_probabilistic_ratio_by_its_formula() -> None:
    series = np.random.default_rng(1).standard_t(4, 90) * 0.01 + 0.002
    ratio = series.mean() / series.std(ddof=1)
    skewness, kurtosis = stats.skew(series), stats.kurtosis(series, fisher=False)
    error = math.sqrt((1 - skewness * ratio + (kurtosis - 1) / 4 * ratio**2) / 89)
    for threshold in (0.0, 0.1):
        expected = stats.norm.cdf((ratio - threshold) / error)
        padded = np.append(series, [NAN, NAN])
        assert probabilistic_sharpe(padded, threshold) == pytest.approx(expected)


def test_the_probabilistic_ratio_is_calibrated() -> None:
    """Without skill a probability below 5 % comes about five times in a hundred."""
    rng = np.random.default_rng(2)
    found = [probabilistic_sharpe(rng.gamma(2, 1, 250) - 2) for _ in range(600)]
    assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(np.array(found) > 0.95) == pytest.approx(0.05, abs=0.03)


def test_trials_that_differ_more_ask_for_more() -> None:
    series = np.random.default_rng(3).normal(0.002, 0.01, 250)
    one = deflated_sharpe(series, 1)
    assert one.threshold == 0.0
    assert one.probability == probabilistic_sharpe(series)
    known = np.array([0.1, -0.1, 0.2, 0.0, 0.1, -0.2, 0.3, 0.1, 0.0, 0.2])
    many = deflated_sharpe(series, 20, np.append(known, NAN))
    assert many.variance_source == "trials"
    assert many.trial_variance == pytest.approx(np.var(known, ddof=1))
    assert many.threshold == pytest.approx(expected_maximum(20) * np.std(known, ddof=1))
    # nine that are all alike would leave luck no room
    alike = deflated_sharpe(series, 20, np.full(9, 0.1))
    assert alike == deflated_sharpe(series, 20)
    assert alike.variance_source == "no skill"
    assert many.probability < deflated_sharpe(series, 20).probability < one.probability
    with pytest.raises(ValueError, match="n_trials"):
        deflated_sharpe(series, 0)


def test_trials_that_resemble_each_other_leave_luck_its_room() -> None:
    series = np.random.default_rng(4).normal(0.0005, 0.01, 250)
    alike = 0.05 + np.random.default_rng(5).normal(0, 1e-4, 40)
    found = deflated_sharpe(series, 500, alike)
    assert found == deflated_sharpe(series, 500)
    assert found.variance_source == "no skill"
    assert found.trial_variance == 1 / 250


def test_what_has_no_ratio_has_no_probability() -> None:
    steady = np.full(300, 1e-3)
    assert steady.std(ddof=1) > 0  # by rounding
    assert np.isnan(sharpe(steady, 252.0))
    for series in (np.array([]), np.array([0.1, NAN]), np.zeros(5), steady):
        assert np.isnan(probabilistic_sharpe(series))
        assert np.isnan(deflated_sharpe(series, 10).probability)


def test_drawdown_by_hand() -> None:
    returns = np.array([NAN, 0.0, 1.0, -0.5, -0.5, 1.0, 1.0, -0.1])
    np.testing.assert_allclose(equity_curve(returns)[1:], [1, 2, 1, 0.5, 1, 2, 1.8])
    assert max_drawdown(returns) == pytest.approx(0.75)
    np.testing.assert_allclose(
        drawdown_curve(returns), [NAN, 0, 0, 0.5, 0.75, 0.5, 0, 0.1]
    )


def test_a_fall_from_the_start_counts() -> None:
    assert max_drawdown(np.array([NAN, -0.1, -0.1, 0.05])) == pytest.approx(0.19)


def test_no_fall_and_no_bars() -> None:
    assert max_drawdown(np.array([0.1, 0.0, 0.1])) == 0.0
    assert np.isnan(max_drawdown(np.array([NAN, NAN])))
    assert np.isnan(max_drawdown(np.array([])))


def test_a_ruined_account_stays_ruined() -> None:
    returns = np.array([0.5, -1.6, 0.5])
    assert equity_curve(returns).tolist() == [1.5, 0.0, 0.0]
    assert max_drawdown(returns) == 1.0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=30))
def test_drawdown_by_a_plain_walk(returns: list[float]) -> None:
    value, peak, deepest = 1.0, 1.0, 0.0
    for each in returns:
        value *= 1 + each
        peak = max(peak, value)
        deepest = max(deepest, 1 - value / peak)
    assert max_drawdown(np.array(returns)) == pytest.approx(deepest, abs=1e-12)


def test_the_market_is_the_mean_of_what_trades() -> None:
    found = market_return(np.array([[0.1, NAN], [0.1, 0.3], [NAN, NAN]]))
    np.testing.assert_allclose(found, [0.1, 0.2, NAN])


def test_beta_and_its_error_by_plain_sums() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(0.001, 0.01, 120)
    y = 0.4 * x + 0.0005 + rng.normal(0, 0.005, 120)
    y[[5, 60]] = NAN
    found = market_exposure(y, x, 3)
    known = np.isfinite(y)
    design = np.column_stack([np.ones(118), x[known]])
    solved = np.linalg.lstsq(design, y[known], rcond=None)[0]
    assert (found.alpha, found.beta) == pytest.approx(tuple(solved), rel=1e-9)
    scores = np.zeros((120, 2))
    scores[known] = design * (y[known] - design @ solved)[:, None]
    meat = scores.T @ scores
    for lag in range(1, 4):
        cross = scores[lag:].T @ scores[:-lag]
        meat += (1 - lag / 4) * (cross + cross.T)
    bread = np.linalg.inv(design.T @ design)
    errors = np.sqrt(np.diag(bread @ meat @ bread))
    assert (found.alpha_t, found.beta_t) == pytest.approx(tuple(solved / errors))
    assert found.n_bars == 118


def test_no_beta_without_a_market() -> None:
    flat = market_exposure(np.arange(5.0), np.full(5, 0.1), 1)
    few = market_exposure(np.array([0.1, NAN, 0.2]), np.array([0.1, 0.2, 0.3]), 1)
    for found, n_bars in ((flat, 5), (few, 2)):
        assert np.isnan([found.beta, found.beta_t, found.alpha, found.alpha_t]).all()
        assert found.n_bars == n_bars


def test_exposure_by_sector() -> None:
    weights = np.array([[0, 0, 0, 0], [0.5, 0.5, -0.7, -0.3]])
    sectors = np.array([[0, 0, 0, 0], [0, 1, 0, -1]])
    found = sector_exposure(weights, np.array([False, True]), sectors, 2)
    np.testing.assert_allclose(found.net, [[NAN] * 3, [-0.2, 0.5, -0.3]])
    np.testing.assert_allclose(found.gross, [[NAN] * 3, [1.2, 0.5, 0.3]])
    np.testing.assert_allclose(found.long, [NAN, 1.0])
    np.testing.assert_allclose(found.short, [NAN, -1.0])


def test_usual_dollar_volume_is_a_past_median() -> None:
    close = np.array([[10.0], [10], [NAN], [20], [10]])
    volume = np.array([[1.0], [3], [5], [1], [9]])
    found = usual_dollar_volume(close, volume, 3, min_bars=2)[:, 0]
    np.testing.assert_allclose(found, [NAN, 20, 20, 25, 55])
    close[4] = 1e6
    again = usual_dollar_volume(close, volume, 3, min_bars=2)[:, 0]
    np.testing.assert_array_equal(again[:4], found[:4])


def test_capacity_by_hand() -> None:
    trades = np.array([[0.0, 0, 0], [0.5, -0.5, 0.2]])
    usual = np.array([[1e6, 2e6, NAN], [1.0, 1.0, 1.0]])
    found = trading_capacity(trades, usual, 1, 0.05)
    # a twentieth of a million is half of 100,000, and of two millions of 200,000
    assert (found.capital, found.strict_capital) == pytest.approx((1e5, 1e5))
    trades[1, 0] = 0.1
    other = trading_capacity(trades, usual, 1, 0.05)
    assert (other.capital, other.strict_capital) == pytest.approx((2e5, 2e5))
    none = trading_capacity(np.zeros((2, 3)), usual, 1, 0.05)
    assert np.isnan([none.capital, none.strict_capital]).all()
    # a trade whose decision lies before the first bar has no volume to go by
    assert np.isnan(trading_capacity(trades, usual, 2, 0.05).capital)
    with pytest.raises(ValueError, match="participation"):
        trading_capacity(trades, usual, 1, 0.0)


def _path(rules: Rules = PLAIN) -> tuple[Any, np.ndarray]:
    rng = np.random.default_rng(5)
    returns = rng.normal(0.001, 0.02, (200, 6))
    targets = np.full((200, 6), NAN)
    targets[10::5] = np.array([1, 0, 0, 0, 0, -1.0])
    targets[12::5] = np.array([0, 1, 0, 0, -1.0, 0])
    return run_book(targets, returns, rules), returns


def test_statistics_of_a_book_by_plain_formulas() -> None:
    path, returns = _path(replace(PLAIN, borrow_bps_per_year=100.0))
    market = market_return(returns)
    found = book_statistics(
        path, market, periods_per_year=252, block_bars=10, n_trials=8
    )
    net, gross = path.net[10:], path.gross[10:]
    assert (found.n_bars, found.n_bars_before) == (190, 10)
    assert found.net_per_bar == pytest.approx(
        found.gross_per_bar - found.cost_per_bar - found.borrow_per_bar
    )
    assert found.annual_return == pytest.approx(252 * net.mean())
    assert found.annual_volatility == pytest.approx(net.std(ddof=1) * math.sqrt(252))
    assert found.sharpe == pytest.approx(found.annual_return / found.annual_volatility)
    assert found.gross_sharpe == sharpe(gross, 252)
    assert found.total_return == pytest.approx(np.prod(1 + net) - 1)
    assert (1 + found.compound_annual_return) ** (190 / 252) == pytest.approx(
        1 + found.total_return
    )
    assert found.win_rate == (net > 0).mean()
    assert found.profit_factor == pytest.approx(
        net[net > 0].sum() / -net[net < 0].sum()
    )
    assert found.n_trade_bars == np.isfinite(path.turnover).sum() == 76
    assert found.turnover_per_trade == pytest.approx(np.nanmean(path.turnover))
    assert found.turnover_per_year == pytest.approx(
        np.nansum(path.turnover) / 190 * 252
    )
    paid = np.nansum(path.cost) + np.nansum(path.borrow)
    share = paid / gross.sum() if gross.sum() > 0 else NAN
    assert found.cost_share == pytest.approx(share, nan_ok=True)
    assert found.net_test == block_test(path.net, 10)
    assert found.market == market_exposure(path.net, market, 10)
    assert found.deflated_sharpe.n_trials == 8
    assert found.deflated_sharpe.probability < found.probabilistic_sharpe


def test_turnover_a_year_is_of_the_whole_capital() -> None:
    staggered = replace(PLAIN, horizon_bars=2)
    two = run_book(np.tile([[1.0, -1]], (20, 1)), np.zeros((20, 2)), staggered)
    found = book_statistics(
        two, np.zeros(20), periods_per_year=20, block_bars=5, n_trials=1
    )
    # each of two books entered once with 2 of its half of the capital
    assert found.turnover_per_year == pytest.approx(2.0)


def _numbers(value: Any) -> list[float]:
    if is_dataclass(value):
        return [x for f in fields(value) for x in _numbers(getattr(value, f.name))]
    return [value] if isinstance(value, float) else []


def test_a_book_that_never_trades_has_no_numbers() -> None:
    path = run_book(np.full((6, 2), NAN), np.zeros((6, 2)), PLAIN)
    found = book_statistics(
        path, np.zeros(6), periods_per_year=252, block_bars=2, n_trials=3
    )
    assert (found.n_bars, found.n_bars_before, found.n_trade_bars) == (0, 6, 0)
    told = [x for x in _numbers(found) if x not in (252, 0.0)]
    assert len(told) > 20
    assert np.isnan(told).all()
    assert found.unsold == 0.0


def test_no_loss_has_no_profit_factor_and_no_gain_no_cost_share() -> None:
    rise = run_book(np.array([[1.0, 0], [NAN, NAN]]), np.array([[0.0] * 2, [0.1] * 2]),
                    replace(PLAIN, cost_bps_per_side=0.0))  # fmt: skip
    options: dict[str, Any] = dict(periods_per_year=252, block_bars=2, n_trials=1)
    assert np.isnan(book_statistics(rise, np.zeros(2), **options).profit_factor)
    flat = run_book(np.array([[1.0, 0], [NAN, NAN]]), np.zeros((2, 2)), PLAIN)
    assert np.isnan(book_statistics(flat, np.zeros(2), **options).cost_share)


def test_ends_of_the_names_of_a_panel() -> None:
    close = np.array([[1.0, 2, 3, 4], [1, 2, 1, NAN], [NAN] * 4]).astype(np.float32)
    stamps = np.datetime64("2024-01-03", "ns") + np.arange(4) * np.timedelta64(1, "D")
    panel = Panel(
        ("A", "B", "C"), stamps, OHLCV, np.repeat(close[:, :, None], 5, 2),
        np.isfinite(close),
    )  # fmt: skip
    returns = np.full((4, 3), NAN)
    returns[1:, 0], returns[1:3, 1] = 0.5, 0.1
    plain = panel_settlement(panel, returns)
    assert plain.last_bar.tolist() == [3, 2, -1]
    assert np.isnan(plain.delisting_return).all()
    table = pd.DataFrame(
        {
            "symbol": ["B", "Z", "A"],
            "date": pd.to_datetime(["2024-01-04", "2024-01-04", "2024-02-01"]),
            "return": [-0.4, -1.0, -1.0],
        }
    )
    found = panel_settlement(panel, returns, table)
    np.testing.assert_array_equal(found.delisting_return, [NAN, -0.4, NAN])
    path = run_book(
        np.tile([[0.0, 1, 0]], (4, 1)), returns, PLAIN, found.delisting_return,
        found.last_bar,
    )  # fmt: skip
    assert path.gross.tolist() == [0.0, 0.0, pytest.approx(0.1), pytest.approx(-0.4)]
    with pytest.raises(UserError, match="B has bars after"):
        panel_settlement(panel, returns, table.assign(date=pd.Timestamp("2024-01-03")))


@pytest.mark.parametrize(
    ("date", "gross"),
    [
        ("2024-01-05", [0, 0, 0.1, -0.4, 0, 0]),
        ("2024-01-06", [0, 0, 0.1, -0.4, 0, 0]),  # a Saturday
        # held at its last price through the 8th, as the labels have it
        ("2024-01-08", [0, 0, 0.1, 0, -0.4, 0]),
        ("2024-01-09", [0, 0, 0.1, 0, 0, -0.4]),
        # not yet paid when the panel ends
        ("2024-01-10", [0, 0, 0.1, 0, 0, 0]),
        ("2024-03-01", [0, 0, 0.1, 0, 0, 0]),
    ],
)
def test_a_name_is_settled_after_the_date_of_its_table(
    date: str, gross: list[float]
) -> None:
    """B trades for the last time on Friday the 5th; its holders lose 40 %."""
    days = [f"2024-01-{day:02}T21:00" for day in (3, 4, 5, 8, 9, 10)]
    close = np.array([[1.0] * 6, [1, 1, 1.1, NAN, NAN, NAN]]).astype(np.float32)
    panel = Panel(
        ("A", "B"), np.array(days, "M8[ns]"), OHLCV, np.repeat(close[:, :, None], 5, 2),
        np.isfinite(close),
    )  # fmt: skip
    returns, targets = panel_returns(panel), np.full((6, 2), NAN)
    targets[1] = 0.0, 1.0  # the first bar has no return, so nothing trades on it
    table = pd.DataFrame({"symbol": ["B"], "date": [pd.Timestamp(date)]})
    ends = panel_settlement(panel, returns, table.assign(**{"return": -0.4}))
    path = run_book(targets, returns, PLAIN, ends.delisting_return, ends.last_bar)
    np.testing.assert_allclose(np.nan_to_num(path.gross), gross, atol=1e-6)
    paid = closes_with_payouts(panel, table.assign(**{"return": -0.4}))[1]
    held = np.where(np.isfinite(paid), paid, 1.1)
    np.testing.assert_allclose(np.diff(held) / held[:-1], gross[1:], atol=1e-6)
