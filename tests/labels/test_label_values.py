"""Labels against hand-computed values and a slow plain reference."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from plain_labels import plain_labels

from ranking_pipeline.labels import (
    LabelsConfig,
    compute_labels,
    parse_target,
    parse_targets,
)
from ranking_pipeline.labels.compute import label_matrix
from ranking_pipeline.labels.volatility import rolling_volatility, weighted_volatility
from ranking_pipeline.panel import OHLCV, Panel


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_equals_the_plain_reference(
    lag: int,
    holed_panel: Panel,
    every_kind: list[str],
    label_config: Callable[..., LabelsConfig],
) -> None:
    config = label_config(entry_lag_bars=lag)
    for spec in parse_targets(every_kind, "1d"):
        expected, ends = plain_labels(holed_panel, spec, config)
        values, actual_ends = label_matrix(holed_panel, spec, config)
        np.testing.assert_allclose(values, expected, rtol=1e-5, err_msg=spec.name)
        np.testing.assert_array_equal(actual_ends, ends, err_msg=spec.name)
        assert np.isfinite(expected).sum() > 200


def _prices(**fields: list[float]) -> Panel:
    close = np.array(fields["close"])
    rows = [np.array(fields.get(name, close), float) for name in OHLCV]
    values = np.stack(rows, axis=-1)[None].astype(np.float32)
    stamps = np.datetime64("2024-01-01", "ns") + np.arange(len(close)) * np.timedelta64(
        1, "D"
    )
    return Panel(("A",), stamps, OHLCV, values, np.isfinite(values[:, :, 3]))


# 21 quiet bars between 100 and 101, so that sigma at bar 20 is about 1 %
QUIET = [100.0, 101.0] * 10 + [100.0]


def _label(name: str, config: LabelsConfig, tail: list[tuple[float, ...]]) -> Any:
    """Label of the last quiet bar; the tail holds open, high, low, close."""
    fields = {
        name: QUIET + [bar[i] for bar in tail]
        for i, name in enumerate(("open", "high", "low", "close"))
    }
    values, ends = label_matrix(_prices(**fields), parse_target(name, "1d"), config)
    return values[0, 20], ends[0, 20] - 20


FLAT = (100.0, 100.1, 99.9, 100.0)
UP = (100.0, 104.0, 99.9, 100.0)
DOWN = (100.0, 100.1, 96.0, 100.0)
BOTH_NEAR_UPPER = (101.0, 104.0, 96.0, 100.0)
BOTH_NEAR_LOWER = (99.0, 104.0, 96.0, 100.0)
GAP_UP = (110.0, 111.0, 96.0, 100.0)


@pytest.mark.parametrize("name", ["label_h3", "y_first_touch_3d_0.8"])
@pytest.mark.parametrize(
    ("tail", "side"),
    [
        ([FLAT, FLAT, FLAT, FLAT], 0),
        ([UP, FLAT, FLAT, FLAT], 0),  # the entry bar itself is not watched
        ([FLAT, UP, DOWN, FLAT], 1),
        ([FLAT, FLAT, DOWN, UP], -1),
        ([FLAT, FLAT, FLAT, UP], 1),
        ([FLAT, FLAT, FLAT, FLAT, UP], 0),
        ([FLAT, BOTH_NEAR_UPPER, FLAT, FLAT], 1),
        ([FLAT, BOTH_NEAR_LOWER, UP, FLAT], -1),
        ([FLAT, GAP_UP, FLAT, FLAT], 1),
        ([FLAT, (math.nan,) * 4, DOWN, FLAT], -1),
    ],
)
def test_hand_made_first_touch(
    name: str,
    tail: list[tuple[float, ...]],
    side: int,
    label_config: Callable[..., LabelsConfig],
) -> None:
    """A label counts as known at the end of its window, also when touched before."""
    assert _label(name, label_config(), tail) == (side, 4)


@pytest.mark.parametrize("name", ["label_h3", "y_will_peak_3d_0.8", "fwd_ret_3d"])
@pytest.mark.parametrize(
    "tail",
    [
        [(math.nan,) * 4, UP, FLAT, FLAT],
        [FLAT, UP, FLAT, (math.nan,) * 4],
        [FLAT, UP, FLAT],
    ],
)
def test_missing_entry_or_last_bar_gives_no_label(
    name: str,
    tail: list[tuple[float, ...]],
    label_config: Callable[..., LabelsConfig],
) -> None:
    value, age = _label(name, label_config(), tail)
    assert math.isnan(value)
    assert age == -21


def test_peak_and_valley_watch_one_side(
    label_config: Callable[..., LabelsConfig],
) -> None:
    config, tail = label_config(), [FLAT, DOWN, UP, FLAT]
    assert _label("y_will_peak_3d_0.8", config, tail) == (1, 4)
    assert _label("y_will_valley_3d_0.8", config, tail) == (1, 4)
    assert _label("y_will_peak_3d_0.8", config, [FLAT, DOWN, FLAT, FLAT]) == (0, 4)
    assert _label("y_will_valley_3d_0.8", config, [FLAT, UP, FLAT, FLAT]) == (0, 4)


def test_barriers_scale_with_the_root_of_the_horizon(
    label_config: Callable[..., LabelsConfig],
) -> None:
    sigma = rolling_volatility(np.array([QUIET]), 20)[0, 20]
    for days in (4, 9):
        reach = 100 * (1 + 0.5 * sigma * math.sqrt(days))
        for high, expected in ((reach - 0.01, 0), (reach + 0.01, 1)):
            tail = [FLAT] * days + [(100.0, high, 99.9, 100.0)]
            name = f"y_will_peak_{days}d_0.5"
            assert _label(name, label_config(), tail)[0] == expected


def test_barriers_start_from_the_entry(
    label_config: Callable[..., LabelsConfig],
) -> None:
    raised = [(110.0, 110.1, 109.9, 110.0)] * 4
    assert _label("label_h3", label_config(), raised) == (0, 4)
    assert _label("label_h3", label_config(entry_lag_bars=0), raised[:3])[0] == 1


def test_a_standing_price_has_no_barriers(
    label_config: Callable[..., LabelsConfig],
) -> None:
    panel = _prices(close=[10.0] * 60)
    for name in ("label_h5", "y_will_peak_5d_0.8"):
        values, ends = label_matrix(panel, parse_target(name, "1d"), label_config())
        assert np.isnan(values).all()
        assert (ends == -1).all()


def test_weighted_volatility_is_that_of_pandas() -> None:
    rng = np.random.default_rng(2)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (1, 300)), axis=1))
    returns = pd.Series(close[0]).pct_change()
    actual = weighted_volatility(close, 100, 20)[0]
    assert np.isnan(actual[:20]).all()
    untruncated = returns.ewm(span=100).std()
    np.testing.assert_allclose(actual[20:101], untruncated[20:101], rtol=1e-9)
    last = returns.iloc[-100:].ewm(span=100).std().iloc[-1]
    assert actual[-1] == pytest.approx(last, rel=1e-9)


def test_tables(holed_panel: Panel, label_config: Callable[..., LabelsConfig]) -> None:
    specs = parse_targets(["fwd_ret_1d", "label_h5", "y_will_peak_5d_0.8"], "1d")
    labels, manifest = compute_labels(holed_panel, specs, label_config())
    names = ["fwd_ret_1d", "label_h5", "y_will_peak_5d_0.8", "fwd_ret_5d"]
    columns = [c for name in names for c in (name, f"{name}__end")]
    assert list(labels.columns) == ["timestamp", "symbol", *columns]
    bars, symbols = holed_panel.rows()
    stamps = pd.DatetimeIndex(holed_panel.timestamps).tz_localize("UTC")
    assert (labels.timestamp == stamps[bars]).all()
    assert (labels.symbol == np.array(holed_panel.symbols)[symbols]).all()
    assert str(labels.symbol.dtype) == "str"
    for spec in specs:
        values, ends = label_matrix(holed_panel, spec, label_config())
        np.testing.assert_array_equal(labels[spec.name], values[symbols, bars])
        end = labels[f"{spec.name}__end"]
        assert str(end.dtype) == "datetime64[ns, UTC]"
        assert (end.isna() == labels[spec.name].isna()).all()
        known = end.notna().to_numpy()
        assert (end[known] == stamps[ends[symbols, bars][known]]).all()
    assert manifest.target.tolist() == names
    assert manifest.is_target.tolist() == [True, True, True, False]
    assert manifest.payoff.tolist() == ["fwd_ret_1d", *["fwd_ret_5d"] * 3]
    assert manifest.horizon_bars.tolist() == [1, 5, 5, 5]
    assert (manifest.entry_lag_bars == 1).all()
    assert manifest.n_rows.tolist() == [labels[name].notna().sum() for name in names]
    assert manifest.class_share[0] == ""
    shares = dict(part.split(": ") for part in manifest.class_share[1].split(", "))
    assert list(shares) == ["-1", "0", "1"]
    assert float(shares["0"]) == pytest.approx(
        (labels.label_h5.dropna() == 0).mean(), abs=0.01
    )
    assert manifest.formula[0] == "close[t+2] / close[t+1] - 1"


@pytest.mark.realdata
def test_classes_are_balanced_on_real_bars(
    real_data: Path, label_config: Callable[..., LabelsConfig]
) -> None:
    bars = pd.read_parquet(real_data / "sp500_daily_2015_2020.parquet")
    bars = bars[(bars[["open", "high", "low", "close"]] > 0).all(axis=1)]
    wide = bars.pivot(index="symbol", columns="timestamp", values=list(OHLCV))
    values = np.stack([wide[name].to_numpy(np.float32) for name in OHLCV], axis=-1)
    panel = Panel(
        tuple(wide.index),
        wide["close"].columns.to_numpy("datetime64[ns]"),
        OHLCV,
        values,
        np.isfinite(values[:, :, 3]) & (values[:, :, 4] > 0),
    )
    specs = parse_targets(["label_h5", "label_h20"], "1d")
    labels, _ = compute_labels(panel, specs, label_config())
    for spec in specs:
        share = labels[spec.name].value_counts(normalize=True)
        assert share.between(0.25, 0.42).all()
