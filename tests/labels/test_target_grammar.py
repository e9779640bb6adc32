"""The target grammar."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking_pipeline.errors import UserError
from ranking_pipeline.labels import LabelsConfig, parse_target, parse_targets


@pytest.mark.parametrize(
    ("name", "interval", "bars"),
    [
        ("fwd_ret_1d", "1d", 1),
        ("fwd_ret_60d", "1d", 60),
        ("fwd_ret_5m", "5m", 1),
        ("fwd_ret_60m", "5m", 12),
        ("fwd_ret_2h", "5m", 24),
        ("fwd_ret_60m", "1h", 1),
        ("fwd_ret_2d", "5m", 156),
        ("label_h5", "5m", 5),
        ("y_will_peak_30m_0.5", "5m", 6),
    ],
)
def test_horizons_in_bars(name: str, interval: str, bars: int) -> None:
    assert parse_target(name, interval, bars_per_session=78).horizon_bars == bars


def test_the_parts_of_a_path_target() -> None:
    spec = parse_target("y_first_touch_5d_0.8", "1d")
    assert (spec.kind, spec.task, spec.event) == ("path", "three_class", "first_touch")
    assert (spec.multiple, spec.payoff) == (0.8, "fwd_ret_5d")
    assert parse_target("y_will_valley_5d_1", "1d").task == "binary"
    label = parse_target("label_h20", "5m")
    assert (label.kind, label.task) == ("triple_barrier", "three_class")
    assert label.payoff == "fwd_ret_100m"
    assert math.isnan(label.multiple)


@pytest.mark.parametrize(
    "name",
    [
        "fwd_ret_5",
        "fwd_ret_05d",
        "fwd_ret_0d",
        "fwd_ret_5d ",
        "fwd_ret_5d\n",
        "xfwd_ret_5d",
        "fwd_ret_5dd",
        "fwd_ret_5D",
        "fwd_ret_-5d",
        "fwd_ret_1.5d",
        "fwd_ret_oc_same_day",
        "fwd_ret_٥d",
        "y_will_peak_5d",
        "y_will_peak_5d_",
        "y_will_peak_5d_0",
        "y_will_peak_5d_.5",
        "y_will_peak_5d_-1",
        "y_will_swing_low_10m",
        "y_will_swing_12d_0.2",
        "y_will_peak_mfe_5d",
        "y_will_peak_mfe_5d_0",
        "y_will_peak_mdd_5d_0.01",
        "y_first_touch_mfe_5d_0.01",
        "fwd_mfe_5d_0.01",
        "fwd_ret_5w",
        "label_h5b",
        "label_h",
        "label_h0",
        "label_h5d",
        "",
    ],
)
def test_bad_names_are_refused_with_the_grammar(name: str) -> None:
    with pytest.raises(UserError, match=r"targets are\n.*fwd_ret_<h>"):
        parse_target(name, "1d")


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(UserError) as raised:
        parse_targets(["fwd_ret_5", "fwd_ret_5m", "fwd_ret_1d", "fwd_ret_1d"], "1d")
    text = str(raised.value)
    assert "'fwd_ret_5'" in text
    assert "5m does not count 1d bars" in text
    assert "'fwd_ret_1d' is listed twice" in text
    assert text.count("targets are") == 1


@pytest.mark.parametrize(
    ("name", "interval", "message"),
    [
        ("fwd_ret_1d", "5m", "needs bars_per_session"),
        ("fwd_ret_7m", "5m", "no whole number of 5m bars"),
        ("fwd_ret_30m", "1h", "no whole number of 1h bars"),
        ("fwd_ret_24h", "1d", "does not count 1d bars; give it in days"),
        ("fwd_ret_1d", "daily", "'daily' is not the length of a bar"),
        ("label_h5", "1w", "'1w' is not"),
        ("label_h5", "2d", "'2d' is not"),
        ("label_h5", "24h", "'24h' is not"),
    ],
)
def test_impossible_horizons(name: str, interval: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_target(name, interval)


@given(count=st.integers(1, 500), unit=st.sampled_from("mh"))
def test_the_unit_decides_the_horizon(count: int, unit: str) -> None:
    bars = parse_target(f"fwd_ret_{count}{unit}", "1m", 390).horizon_bars
    assert bars == count * {"m": 1, "h": 60}[unit]


def test_a_requested_forward_return_is_the_payoff_of_its_horizon() -> None:
    specs = parse_targets(["y_will_peak_60m_0.5", "fwd_ret_1h", "label_h12"], "5m")
    assert [spec.payoff for spec in specs] == ["fwd_ret_1h"] * 3
    alone = parse_targets(["fwd_ret_60m", "fwd_ret_1h"], "5m")
    assert [spec.payoff for spec in alone] == ["fwd_ret_60m", "fwd_ret_1h"]


def test_a_window_that_can_never_be_filled_is_refused(
    label_config: Callable[..., LabelsConfig],
) -> None:
    with pytest.raises(ValueError, match="barrier_volatility_min_bars 30 exceeds"):
        label_config(barrier_volatility_span_bars=20, barrier_volatility_min_bars=30)
