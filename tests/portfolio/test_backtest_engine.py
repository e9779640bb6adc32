"""The engine: against a plain ledger in money, by hand, and without looking ahead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from benchmarks.plain_ledger import PlainLedger, plain_targets
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.portfolio.backtest import (
    Rules,
    banded_weights,
    equal_weights,
    hold,
    run_book,
    target_weights,
)

PLAIN = Rules(
    horizon_bars=1,
    lag_bars=0,
    cost_bps_per_side=5.0,
    borrow_bps_per_year=0.0,
    rebalance_bars=1,
    exit_at_end=False,
    capital_base="leg",
    legs="both",
    periods_per_year=252.0,
)
SERIES = ("gross", "cost", "borrow", "net", "turnover")

RULES = st.builds(
    lambda pair, **named: Rules(pair[0], rebalance_bars=pair[1], **named),
    st.sampled_from([(1, 1), (2, 1), (3, 1), (4, 2), (3, 3), (1, 3), (2, 4)]),
    lag_bars=st.integers(0, 2),
    cost_bps_per_side=st.sampled_from([0.0, 5.0]),
    borrow_bps_per_year=st.sampled_from([0.0, 300.0]),
    exit_at_end=st.booleans(),
    capital_base=st.sampled_from(["leg", "gross"]),
    legs=st.sampled_from(["both", "long", "short"]),
    periods_per_year=st.just(252.0),
)


def world(seed: int, bars: int = 24, symbols: int = 9) -> dict[str, np.ndarray]:
    """Scores and returns with halts, missing names, empty bars and delisted names."""
    rng = np.random.default_rng(seed)
    returns = rng.normal(0, 0.05, (bars, symbols))
    returns[rng.random(returns.shape) < 0.1] = np.nan
    last = np.full(symbols, bars - 1)
    last[:3] = rng.integers(-1, bars, 3)
    for symbol, end in enumerate(last):
        returns[end + 1 :, symbol] = np.nan
    score = rng.normal(size=returns.shape)
    score[rng.random(returns.shape) < 0.15] = np.nan
    score[rng.random(bars) < 0.15] = np.nan
    paid = np.array([-1.0, -0.3, np.nan, *np.zeros(symbols - 3)])
    return {"score": score, "returns": returns, "last": last, "paid": paid}


def same(path: Any, ledger: PlainLedger) -> None:
    for name in SERIES:
        np.testing.assert_allclose(
            getattr(path, name), ledger.rows[name], rtol=1e-10, atol=1e-12, err_msg=name
        )
    # Held in float32: a book that is nearly bankrupt has weights of hundreds.
    np.testing.assert_allclose(path.weights, ledger.weights, rtol=1e-6, atol=1e-6)
    assert path.n_insolvent == ledger.insolvent
    assert path.n_settled == ledger.settled


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rules=RULES,
    band=st.sampled_from([0.2, 0.45]),
    delisted=st.booleans(),
)
def test_equals_the_plain_ledger(
    seed: int, rules: Rules, band: float, delisted: bool
) -> None:
    data = world(seed)
    targets = banded_weights(data["score"], 0.2, band, min_symbols=4)
    ends = (data["paid"], data["last"]) if delisted else (None, None)
    path = run_book(targets, data["returns"], rules, *ends, keep_weights=True)
    same(path, PlainLedger(targets, data["returns"], rules, *ends).run())
    assert (
        np.isfinite(path.net).any() == np.isfinite(targets[: 24 - rules.lag_bars]).any()
    )


def test_equals_the_plain_ledger_through_a_bankruptcy() -> None:
    score = np.tile([[2.0, 1.0]], (8, 1))
    returns = np.zeros((8, 2))
    returns[3] = -0.1, 1.5
    for exit_at_end in (False, True):
        rules = replace(PLAIN, horizon_bars=2, lag_bars=1, exit_at_end=exit_at_end)
        targets = target_weights(score, 0.5)
        path = run_book(targets, returns, rules, keep_weights=True)
        same(path, PlainLedger(targets, returns, rules).run())
        assert path.n_insolvent == 2


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    shares=st.sampled_from([(0.1, 0.1), (0.2, 0.45), (0.29, 0.3), (0.5, 0.5)]),
    horizon=st.integers(1, 3),
)
def test_a_band_is_that_of_the_plain_walk(
    seed: int, shares: tuple[float, float], horizon: int
) -> None:
    score = np.round(world(seed)["score"], 1)
    found = banded_weights(score, *shares, horizon_bars=horizon)
    np.testing.assert_array_equal(found, plain_targets(score, *shares, horizon))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000), rules=RULES, cut=st.integers(0, 22), how=st.booleans()
)
def test_later_data_change_nothing_before(
    seed: int, rules: Rules, cut: int, how: bool
) -> None:
    """Returns, delistings and scores after a bar, with an exit after both."""
    rules = replace(rules, exit_at_end=False)
    data = world(seed)
    rng = np.random.default_rng(seed + 1)
    targets = banded_weights(data["score"], 0.2, 0.4, min_symbols=4)
    known = run_book(
        targets, data["returns"], rules, data["paid"], data["last"], keep_weights=True
    )
    later, score = data["returns"].copy(), data["score"].copy()
    last = np.where(data["last"] > cut, 23, data["last"])
    paid = np.where(data["last"] >= cut, -0.9, data["paid"])
    gone = np.arange(24)[cut + 1 :, None] > last
    fresh = rng.normal(0, 0.3, later[cut + 1 :].shape)
    fresh[rng.random(fresh.shape) < 0.2] = np.nan
    later[cut + 1 :] = np.where(gone, np.nan, fresh)
    moved = run_book(targets, later, rules, paid, last, keep_weights=True)
    _equal_until(known, moved, cut + 1)
    score[cut:] = rng.normal(size=score[cut:].shape) if how else np.nan
    other = banded_weights(score, 0.2, 0.4, min_symbols=4)
    decided = run_book(
        other, data["returns"], rules, data["paid"], data["last"], keep_weights=True
    )
    _equal_until(known, decided, min(cut + rules.lag_bars, 24))


def _equal_until(first: Any, second: Any, stop: int) -> None:
    for name in (*SERIES, "weights", "trades"):
        np.testing.assert_array_equal(
            getattr(first, name)[:stop], getattr(second, name)[:stop], err_msg=name
        )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), horizon=st.integers(1, 4), lag=st.integers(0, 2))
def test_the_plain_book_is_the_engine_bit_for_bit(
    seed: int, horizon: int, lag: int
) -> None:
    data = world(seed)
    targets = target_weights(data["score"], 0.2)
    book = hold(targets, data["returns"], horizon, lag, 5.0)
    rules = replace(PLAIN, horizon_bars=horizon, lag_bars=lag)
    path = run_book(targets, data["returns"], rules)
    for name in ("gross", "cost", "net", "turnover"):
        np.testing.assert_array_equal(getattr(book, name), getattr(path, name))
    np.testing.assert_array_equal(np.nan_to_num(path.borrow), 0)


SWITCH = np.array([[1.0, -1], [-1, 1], [1, -1], [-1, 1]])


def test_a_full_turnover_costs_twenty_basis_points_and_the_exit_ten() -> None:
    path = run_book(SWITCH, np.zeros((4, 2)), PLAIN)
    np.testing.assert_allclose(path.turnover, [2, 4, 4, 4])
    np.testing.assert_allclose(path.cost, [10e-4, 20e-4, 20e-4, 20e-4])
    path = run_book(SWITCH, np.zeros((4, 2)), replace(PLAIN, exit_at_end=True))
    np.testing.assert_allclose(path.cost, [10e-4, 20e-4, 20e-4, 10e-4])
    assert path.unsold == 0.0


def test_the_exit_of_staggered_books_is_one_sale_of_the_account() -> None:
    rules = replace(PLAIN, horizon_bars=2, exit_at_end=True)
    path = run_book(SWITCH[:3], np.zeros((3, 2)), rules, keep_weights=True)
    # the two books are opposed, so the account holds nothing and sells nothing
    np.testing.assert_allclose(path.turnover, [2, 2, 0])
    np.testing.assert_allclose(path.cost, [5e-4, 5e-4, 0])
    np.testing.assert_allclose(path.weights[:2], [[0.5, -0.5], [0, 0]])


def test_names_halted_on_the_last_bar_are_told() -> None:
    returns = np.zeros((2, 2))
    returns[1, 0] = np.nan
    path = run_book(
        SWITCH[[0, 0]], returns, replace(PLAIN, exit_at_end=True), keep_weights=True
    )
    assert path.unsold == 1.0
    assert path.turnover.tolist() == [2, 1]
    assert path.weights[1].tolist() == [1, 0]


def test_borrow_is_paid_on_what_was_short_the_bar_before() -> None:
    rules = replace(PLAIN, borrow_bps_per_year=252.0, cost_bps_per_side=0.0)
    returns = np.array([[0.0, 0], [0, 0.5], [0, 0]])
    targets = np.array([[1.0, -1], [np.nan, np.nan], [np.nan, np.nan]])
    path = run_book(targets, returns, rules)
    # after the rise the short is 1.5 on a capital of 0.5
    np.testing.assert_allclose(path.borrow, [0, 1e-4, 3e-4])
    np.testing.assert_allclose(path.net, [0, -0.5 - 1e-4, -3e-4])


def test_opposed_books_borrow_nothing() -> None:
    rules = replace(PLAIN, horizon_bars=2, borrow_bps_per_year=252.0)
    path = run_book(SWITCH[:3], np.zeros((3, 2)), rules)
    np.testing.assert_allclose(path.borrow, [0, 0.5e-4, 0])


def test_a_delisting_is_paid_on_the_bar_after_the_last() -> None:
    targets = np.array([[1.0, -1, 0], *[[np.nan] * 3] * 3, [0, -1, 1]])
    returns = np.zeros((5, 3))
    returns[2:, 0] = np.nan
    ends = np.array([-0.5, np.nan, np.nan]), np.array([1, 4, 4])
    path = run_book(targets, returns, PLAIN, *ends, keep_weights=True)
    np.testing.assert_allclose(path.gross, [0, 0, -0.5, 0, 0])
    # paid out without a trade: the short of 1 is now twice the capital of 0.5
    assert path.weights[:, 0].tolist() == [1, 1, 0, 0, 0]
    np.testing.assert_allclose(path.turnover, [2, np.nan, np.nan, np.nan, 2])
    assert path.n_settled == 1
    settled = run_book(targets, returns, PLAIN, None, ends[1], keep_weights=True)
    np.testing.assert_allclose(settled.gross, 0)
    assert settled.weights[2].tolist() == [0, -1, 0]
    halted = run_book(targets, returns, PLAIN, keep_weights=True)
    np.testing.assert_array_equal(halted.net, settled.net)
    assert halted.weights[2].tolist() == [1, -1, 0]


def test_a_short_gains_from_a_delisting() -> None:
    returns = np.zeros((3, 2))
    returns[2:, 1] = np.nan
    path = run_book(
        SWITCH[[0, 0, 0]], returns, PLAIN, np.array([0.0, -1.0]), np.array([2, 1])
    )
    np.testing.assert_allclose(path.gross, [0, 0, 1.0])


def test_capital_is_that_of_one_leg_or_of_both() -> None:
    returns = np.array([[0.0, 0], [0.02, -0.01]])
    leg = run_book(SWITCH[[0, 0]], returns, PLAIN)
    both = run_book(SWITCH[[0, 0]], returns, replace(PLAIN, capital_base="gross"))
    assert leg.gross[1] == pytest.approx(0.03)
    assert both.gross[1] == pytest.approx(0.015)
    assert both.cost[0] == pytest.approx(leg.cost[0] / 2)
    one = replace(PLAIN, legs="long")
    for rules in (one, replace(one, capital_base="gross")):
        assert run_book(SWITCH[[0, 0]], returns, rules).gross[1] == pytest.approx(0.02)
    short = run_book(SWITCH[[0, 0]], returns, replace(PLAIN, legs="short"))
    assert short.gross[1] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("horizon", "rebalance", "traded"),
    [(1, 1, [1, 2, 3, 4, 5]), (4, 2, [1, 3, 5]), (3, 3, [1, 4]), (1, 2, [1, 3, 5])],
)
def test_trades_come_at_the_interval_from_the_first_decision(
    horizon: int, rebalance: int, traded: list[int]
) -> None:
    targets = np.tile([[1.0, -1]], (6, 1))
    targets[0] = np.nan
    rules = replace(PLAIN, horizon_bars=horizon, rebalance_bars=rebalance)
    path = run_book(targets, np.zeros((6, 2)), rules)
    assert np.flatnonzero(np.isfinite(path.turnover)).tolist() == traded
    # two books of the horizon 4 enter one after the other; the third trade is void
    entries = 2 if horizon == 4 else 1
    assert path.turnover[traded].tolist() == [2] * entries + [0] * (
        len(traded) - entries
    )
    assert path.cost[1] == pytest.approx(2 * 5e-4 / entries)


def test_a_name_without_a_number_beside_others_is_not_wanted() -> None:
    targets = np.array([[1.0, -1, np.nan], [np.nan, -1, 1.0]])
    path = run_book(targets, np.zeros((2, 3)), PLAIN, keep_weights=True)
    assert path.weights[1].tolist() == [0, -1, 1]


def test_the_equal_weight_market_is_a_book() -> None:
    members = np.array([[True, True, False], [True, True, True], [False] * 3])
    weights = equal_weights(members)
    np.testing.assert_allclose(weights[:2], [[0.5, 0.5, 0], [1 / 3] * 3])
    assert np.isnan(weights[2]).all()


def test_a_price_in_another_unit_is_the_same_book() -> None:
    """Prices that one factor adjusts give the same returns, so the same book."""
    rng = np.random.default_rng(0)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (30, 6)), axis=0))
    targets = target_weights(rng.normal(size=close.shape), 0.34)
    factor = np.array([1, 2, 4, 0.5, 1, 8.0])
    paths = [
        run_book(
            targets, np.vstack([np.full((1, 6), np.nan), p[1:] / p[:-1] - 1]), PLAIN
        )
        for p in (close, close * factor)
    ]
    np.testing.assert_array_equal(paths[0].net, paths[1].net)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"horizon_bars": 3, "rebalance_bars": 2}, "multiple"),
        ({"horizon_bars": 0}, "at least 1"),
        ({"lag_bars": -1}, "lag_bars"),
        ({"cost_bps_per_side": -1.0}, "cost_bps_per_side"),
        ({"borrow_bps_per_year": 1.0, "periods_per_year": float("nan")}, "periods"),
        ({"capital_base": "net"}, "capital_base"),
        ({"legs": "neither"}, "legs"),
    ],
)
def test_rules_that_cannot_be_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PLAIN, **change)


def test_data_that_disagree_are_refused() -> None:
    returns = np.zeros((4, 2))
    with pytest.raises(ValueError, match="targets are"):
        run_book(SWITCH, np.zeros((4, 3)), PLAIN)
    with pytest.raises(ValueError, match="after last_bar"):
        run_book(SWITCH, returns, PLAIN, None, np.array([1, 3]))
    with pytest.raises(ValueError, match="needs last_bar"):
        run_book(SWITCH, returns, PLAIN, np.zeros(2))
    with pytest.raises(ValueError, match="2 values"):
        run_book(SWITCH, returns, PLAIN, None, np.array([1, 3, 3]))
