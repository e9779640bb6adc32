"""The backtest, against a ledger of single positions and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.portfolio.backtest import (
    backtest,
    banded_weights,
    expected_best_sharpe,
    hold,
    sharpe,
    target_weights,
)


def ledger(targets, returns, horizon, lag, cost_bps):
    """Keep the books position by position, in money, with one account per book."""
    n_bars, n_symbols = returns.shape
    positions = [{} for _ in range(horizon)]
    equity = [1.0] * horizon
    last = {
        s: max((b for b in range(n_bars) if not np.isnan(returns[b, s])), default=-1)
        for s in range(n_symbols)
    }
    rows, started = [], False
    for bar in range(n_bars):
        gains = []
        for book in range(horizon):
            before = equity[book]
            for symbol, money in list(positions[book].items()):
                if last[symbol] < bar:
                    del positions[book][symbol]
                    continue
                move = returns[bar, symbol]
                if not np.isnan(move):
                    positions[book][symbol] = money * (1 + move)
                    equity[book] += money * move
            gains.append(equity[book] / before - 1)
            if equity[book] <= 0:
                positions[book], equity[book] = {}, 1.0
        turnover, decision = None, bar - lag
        if decision >= 0 and not np.isnan(targets[decision]).all():
            started = True
            book = decision % horizon
            turnover = 0.0
            for symbol in range(n_symbols):
                if np.isnan(returns[bar, symbol]):
                    continue
                held = positions[book].get(symbol, 0.0)
                wanted = targets[decision, symbol] * equity[book]
                turnover += abs(wanted - held) / equity[book]
                positions[book][symbol] = wanted
        if started:
            cost = (turnover or 0.0) * cost_bps * 1e-4 / horizon
            rows.append((sum(gains) / horizon, cost, turnover))
        else:
            rows.append((None, None, None))
    return np.array(rows, dtype=float)


def market(seed, bars=60, symbols=30, halts=0.05):
    rng = np.random.default_rng(seed)
    returns = rng.normal(0, 0.02, (bars, symbols))
    returns[rng.random(returns.shape) < halts] = np.nan
    returns[bars // 2 :, 0] = np.nan
    score = rng.normal(size=returns.shape)
    score[rng.random(returns.shape) < 0.1] = np.nan
    score[rng.random(bars) < 0.1] = np.nan
    return score, returns


@pytest.mark.parametrize("horizon", [1, 3, 5])
@pytest.mark.parametrize("lag", [0, 1, 2])
def test_equals_the_ledger(horizon: int, lag: int) -> None:
    score, returns = market(10 * horizon + lag)
    got = backtest(
        score, returns, horizon_bars=horizon, lag_bars=lag, tail_share=0.1,
        cost_bps_per_side=5.0, min_symbols=5,
    )  # fmt: skip
    expected = ledger(target_weights(score, 0.1, 5), returns, horizon, lag, 5.0)
    np.testing.assert_allclose(got.gross, expected[:, 0], atol=1e-12)
    np.testing.assert_allclose(got.cost, expected[:, 1], atol=1e-12)
    np.testing.assert_allclose(got.turnover, expected[:, 2], atol=1e-12)
    np.testing.assert_allclose(got.net, expected[:, 0] - expected[:, 1], atol=1e-12)


def test_equals_the_ledger_through_a_bankruptcy() -> None:
    score = np.tile([[2.0, 1.0]], (6, 1))
    returns = np.zeros((6, 2))
    returns[2] = -0.1, 1.5
    expected = ledger(target_weights(score, 0.5), returns, 1, 1, 5.0)
    got = backtest(
        score, returns, horizon_bars=1, lag_bars=1, tail_share=0.5,
        cost_bps_per_side=5.0,
    )  # fmt: skip
    assert got.gross[2] == pytest.approx(-1.6)
    assert got.turnover[2] == pytest.approx(2.0)
    np.testing.assert_allclose(got.gross, expected[:, 0], atol=1e-12)
    np.testing.assert_allclose(got.turnover, expected[:, 2], atol=1e-12)


def test_full_turnover_costs_twenty_basis_points() -> None:
    score = np.array([[1.0, -1], [-1, 1], [1, -1], [-1, 1]])
    got = backtest(
        score, np.zeros((4, 2)), horizon_bars=1, lag_bars=0, tail_share=0.5,
        cost_bps_per_side=5.0,
    )  # fmt: skip
    np.testing.assert_allclose(got.turnover, [2, 4, 4, 4])
    np.testing.assert_allclose(got.cost, [10e-4, 20e-4, 20e-4, 20e-4])


def test_score_earns_only_after_the_lag() -> None:
    score, returns = np.full((6, 2), np.nan), np.zeros((6, 2))
    score[1] = 1.0, 0.0
    returns[:, 0] = 0.01 * np.arange(6)
    got = backtest(
        score, returns, horizon_bars=1, lag_bars=1, tail_share=0.5,
        cost_bps_per_side=0.0,
    )  # fmt: skip
    assert np.isnan(got.gross[:2]).all()
    assert got.gross[2] == 0.0
    assert got.gross[3] == pytest.approx(0.03)


def test_staggered_books_hold_the_horizon() -> None:
    """One decision: its book has a third of the capital and keeps what it bought."""
    score, returns = np.full((5, 2), np.nan), np.zeros((5, 2))
    score[0] = 1.0, 0.0
    returns[1:, 0] = 0.03
    got = backtest(
        score, returns, horizon_bars=3, lag_bars=0, tail_share=0.5,
        cost_bps_per_side=5.0,
    )  # fmt: skip
    assert got.cost[0] == pytest.approx(2 * 5e-4 / 3)
    assert got.gross[1] == pytest.approx(0.01)
    assert np.isnan(got.turnover[1:]).all()
    assert (got.cost[1:] == 0).all()


def test_halted_name_keeps_its_weight() -> None:
    targets = np.array([[1.0, -1, 0], [0, -1, 1.0], [0, -1, 1.0]])
    returns = np.array([[0.0, 0, 0], [np.nan, 0, 0], [0.5, 0, 0]])
    got = hold(targets, returns, 1, 0, 0.0)
    # at the last bar weights drifted to 1.0, -1/1.5 and 1/1.5 of a capital of 1.5
    assert got.turnover.tolist() == pytest.approx([2.0, 1.0, 1 + 2 / 3])
    assert got.gross[2] == pytest.approx(0.5)


def test_delisted_name_is_settled_at_its_last_price() -> None:
    targets = np.array([[1.0, -1, 0], [1.0, -1, 0], [0, -1, 1], [0, -1, 1.0]])
    returns = np.zeros((4, 3))
    returns[2:, 0] = np.nan
    got = hold(targets, returns, 1, 0, 5.0)
    assert got.turnover.tolist() == [2.0, 0.0, 1.0, 0.0]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 500), horizon=st.integers(1, 4))
def test_properties(seed: int, horizon: int) -> None:
    score, returns = market(seed, bars=30, symbols=12)
    options = dict(horizon_bars=horizon, lag_bars=1, tail_share=0.2)
    book = backtest(score, returns, cost_bps_per_side=5.0, **options)
    free = backtest(score, returns, cost_bps_per_side=0.0, **options)
    np.testing.assert_array_equal(book.gross, free.gross)
    np.testing.assert_array_equal(free.net, free.gross)
    same = backtest(np.arctan(score), returns, cost_bps_per_side=5.0, **options)
    np.testing.assert_array_equal(book.net, same.net)
    absent = np.full((30, 1), np.nan)
    wider = backtest(
        np.hstack([score, absent]),
        np.hstack([returns, absent]),
        cost_bps_per_side=5.0,
        **options,
    )
    np.testing.assert_allclose(book.net, wider.net, atol=1e-15)


def test_weights_sum_to_nought_and_two() -> None:
    score, _ = market(3)
    weights = target_weights(score, 0.1, 5)
    held = weights[np.isfinite(weights).all(axis=1)]
    assert len(held) > 0
    np.testing.assert_allclose(held.sum(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(np.abs(held).sum(axis=1), 2)
    assert np.isnan(target_weights(np.array([[1.0]]), 0.1)).all()


def test_nothing_to_trade_gives_nothing() -> None:
    empty = np.full((5, 3), np.nan)
    got = hold(empty, np.zeros((5, 3)), 2, 1, 5.0)
    for series in (got.gross, got.cost, got.net, got.turnover):
        assert np.isnan(series).all()


def test_sharpe_by_hand() -> None:
    series = np.array([0.01, 0.03, np.nan])
    expected = 0.02 / np.std([0.01, 0.03], ddof=1) * np.sqrt(252)
    assert sharpe(series, 252) == pytest.approx(expected)
    assert np.isnan(sharpe(np.array([0.01]), 252))
    assert np.isnan(sharpe(np.zeros(4), 252))


def test_expected_best_sharpe_against_simulation() -> None:
    rng = np.random.default_rng(0)
    trials = rng.standard_normal((4000, 10)).max(axis=1).mean() * np.sqrt(252 / 187)
    assert expected_best_sharpe(10, 187, 252) == pytest.approx(trials, abs=0.07)
    assert np.isnan(expected_best_sharpe(1, 187, 252))


def test_a_held_name_stays_inside_the_band_and_no_longer():
    # ten names; the tail holds two, the band four
    first = np.arange(10.0)  # best: 9, 8; worst: 0, 1
    second = first[[0, 1, 2, 3, 4, 5, 9, 8, 7, 6]]  # best: 6, 7, 8, 9
    third = first[::-1]  # best: 0, 1; worst: 9, 8
    weights = banded_weights(np.array([first, second, third]), 0.2, 0.4)
    longs = [set(np.flatnonzero(row > 0)) for row in weights]
    shorts = [set(np.flatnonzero(row < 0)) for row in weights]
    assert longs == [{9, 8}, {9, 8}, {0, 1}]
    assert shorts == [{0, 1}, {0, 1}, {9, 8}]
    assert set(np.abs(weights[np.nonzero(weights)])) == {0.5}


def test_a_place_that_is_left_goes_to_the_best_name_not_held():
    first = np.arange(10.0)
    second = np.array([0, 1, 2, 3, 4, 9, 8, 5.5, 5.2, 7])  # order: 5, 6, 9, 7, 8
    weights = banded_weights(np.array([first, second]), 0.2, 0.3)
    assert set(np.flatnonzero(weights[1] > 0)) == {9, 5}


def test_each_staggered_book_holds_on_to_its_own_names():
    rng = np.random.default_rng(4)
    score = rng.normal(size=(12, 20))
    weights = banded_weights(score, 0.1, 0.3, horizon_bars=3)
    for phase in range(3):
        own = banded_weights(score[phase::3], 0.1, 0.3)
        np.testing.assert_array_equal(weights[phase::3], own)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.1, 0.25, 0.5]))
def test_a_band_as_wide_as_the_tail_is_no_band(seed, share):
    rng = np.random.default_rng(seed)
    score = np.round(rng.normal(size=(6, 13)), 1)
    score[rng.random(score.shape) < 0.2] = np.nan
    np.testing.assert_array_equal(
        banded_weights(score, share, share), target_weights(score, share)
    )
    wide = banded_weights(score, share, 0.5)
    np.testing.assert_allclose(np.nansum(wide, axis=1), 0, atol=1e-12)
    assert not (np.isnan(score) & (np.abs(wide) > 0)).any()


def test_a_band_lowers_turnover_on_a_noisy_score():
    rng = np.random.default_rng(5)
    score = np.cumsum(rng.normal(size=(200, 50)), axis=0) + rng.normal(size=(200, 50))
    changes = [
        np.abs(np.diff(banded_weights(score, 0.1, band), axis=0)).sum()
        for band in (0.1, 0.2, 0.4)
    ]
    assert changes[0] > 1.2 * changes[1] > 1.2 * changes[2]


def test_a_band_narrower_than_the_tail_is_refused():
    with pytest.raises(ValueError, match="band_share"):
        banded_weights(np.zeros((2, 8)), 0.2, 0.1)
