"""Every kind of target on hard panels, swings by hand, sessions, known old faults."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_labels import plain_labels

from ranking_pipeline.errors import UserError
from ranking_pipeline.labels import (
    LabelsConfig,
    compute_labels,
    degenerate_reason,
    parse_target,
    parse_targets,
)
from ranking_pipeline.labels.compute import label_matrix
from ranking_pipeline.labels.sessions import uneven_sessions
from ranking_pipeline.panel import OHLCV, Panel

SMALL_KINDS = [
    "fwd_ret_3b",
    "fwd_mfe_4b",
    "fwd_mdd_4b",
    "y_will_peak_4b_0.5",
    "y_will_valley_4b_0.5",
    "y_first_touch_4b_0.5",
    "y_will_peak_mfe_4b_0.01",
    "y_will_valley_mdd_4b_0.01",
    "y_will_swing_high_9b_0.7",
    "y_will_swing_low_9b_0.7",
    "label_h4",
]
Config = Callable[..., LabelsConfig]


def _coarse_panel(seed: int, n_bars: int = 60, per_session: int = 13) -> Panel:
    """Prices on a coarse grid, so that highs tie; bars missing one by one and in runs."""
    rng = np.random.default_rng(seed)
    shape = (3, n_bars)
    close = 100 + rng.integers(-2, 3, shape).cumsum(axis=1)
    opening = close + rng.integers(-1, 2, shape)
    high = np.maximum(opening, close) + rng.integers(0, 2, shape)
    low = np.minimum(opening, close) - rng.integers(0, 2, shape)
    values = np.stack([opening, high, low, close, close], axis=-1).astype(np.float32)
    values[rng.random(shape) < 0.08] = np.nan
    values[0, 30:34] = np.nan
    sessions = np.arange(n_bars) // per_session
    stamps = np.datetime64("2024-01-01T10", "ns") + (
        sessions * np.timedelta64(24 * 60, "m")
        + (np.arange(n_bars) % per_session) * np.timedelta64(5, "m")
    )
    symbols = ("A", "B", "C")
    return Panel(symbols, stamps, OHLCV, values, np.isfinite(values[:, :, 3]))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    lag=st.integers(0, 2),
    name=st.sampled_from(SMALL_KINDS),
    cross=st.booleans(),
)
def test_every_kind_equals_the_plain_reference(
    seed: int, lag: int, name: str, cross: bool, label_config: Config
) -> None:
    panel = _coarse_panel(seed)
    config = label_config(
        entry_lag_bars=lag,
        cross_sessions=cross,
        path_volatility_bars=6,
        barrier_volatility_span_bars=12,
        barrier_volatility_min_bars=4,
    )
    spec = parse_target(name, "5m")
    expected, expected_ends = plain_labels(panel, spec, config)
    values, ends = label_matrix(panel, spec, config)
    np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(ends, expected_ends)
    window = lag + spec.horizon_bars
    assert np.isnan(values[:, panel.n_bars - window :]).all()


@pytest.mark.parametrize("name", SMALL_KINDS)
def test_the_reference_sees_every_outcome(name: str, label_config: Config) -> None:
    """So that the comparison above is not one of constants."""
    spec = parse_target(name, "5m")
    config = label_config(path_volatility_bars=6, barrier_volatility_min_bars=4)
    labels = [plain_labels(_coarse_panel(seed), spec, config)[0] for seed in range(4)]
    outcomes = np.unique(np.concatenate(labels)[np.isfinite(labels).reshape(12, -1)])
    least = {"regression": 20, "binary": 2, "three_class": 3}[spec.task]
    assert len(outcomes) >= least


def _panel_of(tail: list[tuple[float, ...]]) -> Panel:
    """Volatility of 1 % up to bar 20, then bars of open, high, low, close."""
    quiet = [100.0, 101.0] * 10 + [100.0]
    rows = [(price,) * 5 for price in quiet] + [(*bar, 1.0) for bar in tail]
    values = np.array(rows, dtype=np.float32)[None]
    stamps = np.datetime64("2024-01-01", "ns") + np.arange(len(rows)) * np.timedelta64(
        1, "D"
    )
    return Panel(("A",), stamps, OHLCV, values, np.isfinite(values[:, :, 3]))


def _swing_window(
    highs: list[float], last_low: float, missing: tuple[int, ...] = ()
) -> list[tuple[float, ...]]:
    window = [(99.0, high, 98.9, 99.0) for high in highs]
    window[-1] = (99.0, highs[-1], last_low, 99.0)
    for bar in missing:
        window[bar] = (math.nan,) * 4
    return [(100.0, 100.0, 100.0, 100.0), *window]


TOP = [100, 100, 100, 104, 100, 100, 100]


@pytest.mark.parametrize(
    ("highs", "last_low", "missing", "label"),
    [
        (TOP, 98.9, (), 1.0),  # 104 falls by 4.9 %
        (TOP, 103.5, (), 1.0),  # the low of the bar before the last is deep enough
        ([100, 100, 104, 100, 100, 100, 100], 98.9, (), 0.0),  # two bars before it only
        ([100, 100, 100, 100, 104, 100, 100], 98.9, (), 0.0),  # two bars after it only
        ([100, 100, 104, 104, 100, 100, 100], 98.9, (), 0.0),  # the first equal counts
        ([100, 100, 100, 104, 104, 100, 100], 98.9, (), 1.0),
        ([100, 100, 100, 104, 100, 100, 105], 98.9, (), 0.0),  # higher after it
        (TOP, 98.9, (2,), 1.0),  # a missing neighbour refutes nothing
        (TOP, 98.9, (3,), 0.0),  # a missing bar is no extreme
    ],
)
def test_swings_by_hand(
    highs: list[float],
    last_low: float,
    missing: tuple[int, ...],
    label: float,
    label_config: Config,
) -> None:
    panel = _panel_of(_swing_window(highs, last_low, missing))
    spec = parse_target("y_will_swing_high_7d_0.5", "1d")
    values, ends = label_matrix(panel, spec, label_config())
    assert (values[0, 20], ends[0, 20]) == (label, 28)


def test_a_swing_low_is_a_swing_high_upside_down(label_config: Config) -> None:
    lows = [100, 100, 100, 96, 100, 100, 100]
    window = [(101.0, 101.1, low, 101.0) for low in lows]
    panel = _panel_of([(100.0,) * 4, *window])
    low, high = (
        label_matrix(panel, parse_target(name, "1d"), label_config())[0][0, 20]
        for name in ("y_will_swing_low_7d_0.5", "y_will_swing_high_7d_0.5")
    )
    assert (low, high) == (1.0, 0.0)


def test_the_reversal_counts(label_config: Config, holed_panel: Panel) -> None:
    """A share that is never used makes all of them the same column."""
    shares = []
    for size in ("0.2", "0.8", "1.4"):
        spec = parse_target(f"y_will_swing_high_12d_{size}", "1d")
        values, _ = label_matrix(holed_panel, spec, label_config())
        shares.append(np.nanmean(values))
    assert shares[0] > shares[1] > shares[2] > 0


def test_the_reversal_scales_with_the_root_of_the_horizon(
    label_config: Config,
) -> None:
    sigma = np.std(np.diff([100, 101] * 10 + [100]) / ([100, 101] * 10), ddof=1)
    for days in (7, 12):
        fall = 0.5 * sigma * math.sqrt(days)
        for excess, label in ((0.001, 1.0), (-0.001, 0.0)):
            lowest = 104 * (1 - fall - excess)
            flat = (103.0, 103.0, 103.0, 103.0)
            window = [flat] * 3 + [(103.0, 104.0, 103.0, 103.0)] + [flat] * (days - 4)
            window[-1] = (103.0, 103.0, lowest, 103.0)
            panel = _panel_of([(100.0,) * 4, *window])
            spec = parse_target(f"y_will_swing_high_{days}d_0.5", "1d")
            assert label_matrix(panel, spec, label_config())[0][0, 20] == label


@pytest.mark.parametrize(
    ("name", "interval"),
    [("y_will_swing_low_10m_0.20", "5m"), ("y_will_swing_high_6b_0.05", "1d")],
)
def test_a_window_too_short_for_a_swing_is_refused(name: str, interval: str) -> None:
    with pytest.raises(UserError, match="on either side needs at least 7"):
        parse_target(name, interval)
    assert parse_target("y_will_swing_low_35m_0.20", "5m").horizon_bars == 7


def test_excursions_by_hand(label_config: Config) -> None:
    window = [(100, 103, 99, 100), (100, 102, 95, 100), (100, 101, 99, 100)]
    panel = _panel_of(
        [(100.0, 120.0, 80.0, 100.0), *window, (100.0, 150.0, 50.0, 100.0)]
    )
    expected = {
        "fwd_mfe_3d": 0.03,
        "fwd_mdd_3d": -0.05,
        "y_will_peak_mfe_3d_0.03": 1.0,
        "y_will_peak_mfe_3d_0.031": 0.0,
        "y_will_valley_mdd_3d_0.05": 1.0,
        "y_will_valley_mdd_3d_0.051": 0.0,
    }
    for name, value in expected.items():
        found, ends = label_matrix(panel, parse_target(name, "1d"), label_config())
        assert found[0, 20] == pytest.approx(value, abs=1e-7)
        assert ends[0, 20] == 24
        assert np.isfinite(found[0, 5])  # no volatility is needed


def test_undefined_volatility_in_the_middle_moves_nothing(label_config: Config) -> None:
    """Labels on both sides of it stay in their own rows."""
    panel = _coarse_panel(5, n_bars=120)
    whole = panel.values.copy()
    holed = whole.copy()
    holed[:, 50:70] = np.nan
    config = label_config(path_volatility_bars=6, barrier_volatility_min_bars=10)
    for name in SMALL_KINDS:
        spec = parse_target(name, "5m")
        (a, _), (b, _) = (
            label_matrix(dataclasses.replace(panel, values=v), spec, config)
            for v in (whole, holed)
        )
        window = config.entry_lag_bars + spec.horizon_bars
        before, after = slice(0, 50 - window), slice(71, None)
        assert a[:, before].tobytes() == b[:, before].tobytes()
        known = np.isfinite(b[:, after])
        same = a[:, after][known] == b[:, after][known]
        if spec.kind in ("forward_return", "excursion", "threshold"):
            assert same.all()
        assert np.isnan(b[:, 50 - window : 50]).mean() > 0.5


def test_a_bar_that_reaches_both_barriers_equally_is_neither(
    label_config: Config,
) -> None:
    flat, both = (100.0,) * 4, (100.0, 110.0, 90.0, 100.0)
    for name in ("label_h2", "y_first_touch_2d_0.8"):
        panel = _panel_of([flat, both, flat])
        found, _ = label_matrix(panel, parse_target(name, "1d"), label_config())
        assert found[0, 20] == 0.0


def test_five_minutes_are_five_minutes() -> None:
    """The d of the prefix is no unit, and no name is read from its middle."""
    assert parse_target("fwd_ret_5m", "1m").horizon_bars == 5
    assert parse_target("y_will_swing_low_60m_0.2", "5m").horizon_bars == 12
    assert parse_target("fwd_mdd_5m", "5m").horizon_minutes == 5
    assert parse_target("fwd_ret_12b", "5m").horizon_bars == 12


@pytest.mark.parametrize(
    ("name", "interval", "tier"),
    [
        ("fwd_ret_55m", "5m", "short"),
        ("fwd_ret_60m", "5m", "medium"),
        ("label_h11", "5m", "short"),
        ("fwd_ret_235m", "5m", "medium"),
        ("fwd_ret_4h", "5m", "long"),
        ("fwd_ret_77b", "5m", "long"),
        ("fwd_ret_78b", "5m", "very_long"),
        ("fwd_ret_1d", "5m", "very_long"),
        ("label_h1", "1d", "very_long"),
    ],
)
def test_horizon_tiers(name: str, interval: str, tier: str) -> None:
    assert parse_target(name, interval, 78).horizon_tier == tier


def test_names_of_every_kind() -> None:
    specs = parse_targets(SMALL_KINDS, "5m")
    assert [spec.kind for spec in specs] == [
        "forward_return",
        *["excursion"] * 2,
        *["path"] * 3,
        *["threshold"] * 2,
        *["swing"] * 2,
        "triple_barrier",
    ]
    assert {spec.name: spec.task for spec in specs}["y_first_touch_4b_0.5"] == (
        "three_class"
    )
    assert {spec.payoff for spec in specs[1:8]} == {"fwd_ret_4b"}
    assert specs[6].threshold == 0.01
    assert specs[8].multiple == 0.7
    with pytest.raises(UserError, match="no price can make"):
        parse_target("y_will_valley_mdd_5b_1.5", "5m")


def test_labels_may_not_leave_their_session(label_config: Config) -> None:
    panel = _coarse_panel(3, n_bars=65)
    spec = parse_target("fwd_ret_3b", "5m")
    inside, ends = label_matrix(panel, spec, label_config(cross_sessions=False))
    across, _ = label_matrix(panel, spec, label_config())
    place = np.arange(65) % 13
    assert np.isnan(inside[:, place > 8]).all()
    assert (ends[:, place > 8] == -1).all()
    assert inside[:, place <= 8].tobytes() == across[:, place <= 8].tobytes()
    assert np.isfinite(across[:, place > 8]).any()


def test_windows_longer_than_every_session_are_refused(label_config: Config) -> None:
    specs = parse_targets(["fwd_ret_11b", "fwd_ret_12b", "label_h40"], "5m")
    config = label_config(cross_sessions=False)
    with pytest.raises(UserError, match="longest session has 13 bars") as raised:
        compute_labels(_coarse_panel(0), specs, config)
    assert "fwd_ret_12b (13 bars), label_h40 (41 bars)" in str(raised.value)
    labels, _ = compute_labels(_coarse_panel(0), specs[:1], config)
    assert labels["fwd_ret_11b"].notna().any()


def test_uneven_sessions_are_told() -> None:
    panel = _coarse_panel(0, n_bars=60)  # four of 13 bars, and one of 8 at the end
    assert uneven_sessions(panel, 13) is None
    note = uneven_sessions(panel, 78)
    assert note is not None
    assert note.startswith("3 of 3 sessions do not have 78 bars (they have 13 to 13)")


def test_a_target_that_is_degenerate_for_the_first_symbol_only_is_kept(
    label_config: Config, holed_panel: Panel
) -> None:
    values = holed_panel.values.copy()
    values[0, :, :4] = 10.0  # never moves: no path label at all, all returns equal
    panel = dataclasses.replace(holed_panel, values=values)
    specs = parse_targets(["fwd_ret_5d", "y_will_peak_5d_0.8"], "1d")
    labels, manifest = compute_labels(panel, specs, label_config())
    first = labels["symbol"] == panel.symbols[0]
    for spec in specs:
        of_first = labels.loc[first, spec.name].to_numpy()
        assert degenerate_reason(of_first, spec.task) is not None
        assert degenerate_reason(labels[spec.name].to_numpy(), spec.task) is None
    assert (manifest["n_rows"] > 100).all()


def test_the_manifest_describes_every_kind(label_config: Config) -> None:
    labels, manifest = compute_labels(
        _coarse_panel(1), parse_targets(SMALL_KINDS, "5m"), label_config()
    )
    rows = manifest.set_index("target")
    assert rows.formula["fwd_mfe_4b"] == "max high[t+2 ... t+5] / close[t+1] - 1"
    assert rows.formula["fwd_mdd_4b"] == "min low[t+2 ... t+5] / close[t+1] - 1"
    assert ">= 0.01" in rows.formula["y_will_peak_mfe_4b_0.01"]
    assert "<= -0.01" in rows.formula["y_will_valley_mdd_4b_0.01"]
    assert "a fall of 0.7 sigma sqrt(9)" in rows.formula["y_will_swing_high_9b_0.7"]
    assert "a rise of 0.7 sigma sqrt(9)" in rows.formula["y_will_swing_low_9b_0.7"]
    assert set(rows.horizon_tier) == {"short"}
    # The payoff of the swings was not asked for and is carried along.
    assert not rows.is_target["fwd_ret_9b"]
    assert rows.kind["fwd_ret_9b"] == "forward_return"
    expected = plain_labels(
        _coarse_panel(1), parse_target("fwd_ret_9b", "5m"), label_config()
    )[0]
    assert labels["fwd_ret_9b"].notna().sum() <= np.isfinite(expected).sum()
