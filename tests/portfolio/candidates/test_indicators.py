"""Indicators against plain references, and against values worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.portfolio.candidates.candidate_world import panel_of, random_market

from ranking_pipeline.portfolio.candidates.indicators import Closes, traded_closes

ONE = np.array([0])


def plain_average(row: list[float], bar: int, width: int) -> float:
    """Read off the definition: own closes of the window, a quarter of it at least."""
    seen = [
        row[b]
        for b in range(bar - width + 1, bar + 1)
        if 0 <= b < len(row) and not math.isnan(row[b])
    ]
    enough = len(seen) >= max(5, width // 4)
    return math.fsum(seen) / len(seen) if enough else math.nan


def plain_momentum(row: list[float], bar: int, lag_bars: int) -> float:
    for b in range(bar - lag_bars, -1, -1):
        if not math.isnan(row[b]):
            return row[bar] / row[b] - 1.0
    return math.nan


@pytest.mark.parametrize("width", [5, 20, 60])
def test_the_slow_reference_gives_the_same(width: int) -> None:
    rng = np.random.default_rng(width)
    values = 50.0 * np.exp(np.cumsum(rng.normal(0, 0.02, (6, 120)), axis=1))
    values[rng.random(values.shape) < 0.3] = np.nan
    values[2, :60] = np.nan  # listed late
    closes, rows = Closes.of(values), np.array([5, 0, 2, 3])
    for bar in (0, 3, 18, 70, 119):
        slopes = closes.moving_average_slope(rows, bar, width, 5)
        momenta = closes.momentum(rows, bar, width)
        for place, symbol in enumerate(rows):
            row = values[symbol].tolist()
            before = plain_average(row, bar - 5, width)
            slope = plain_average(row, bar, width) / before - 1.0
            np.testing.assert_allclose(slopes[place], slope, rtol=1e-12)
            momentum = plain_momentum(row, bar, width)
            np.testing.assert_allclose(momenta[place], momentum, rtol=1e-12)


def test_a_straight_line_has_the_slope_worked_by_hand() -> None:
    closes = Closes.of(np.arange(1.0, 41.0)[None])  # 1, 2, ... 40
    # the means of 31..40 and of 26..35 are 35.5 and 30.5
    assert closes.moving_average_slope(ONE, 39, 10, 5)[0] == pytest.approx(5 / 30.5)
    assert closes.momentum(ONE, 39, 10)[0] == pytest.approx(40 / 30 - 1)


def test_a_window_needs_a_quarter_of_its_bars_and_five_at_least() -> None:
    closes = Closes.of(np.full((1, 60), 2.0))
    assert np.isnan(closes.moving_average(ONE, 13, 60)[0])  # 14 of 60
    assert closes.moving_average(ONE, 14, 60)[0] == 2.0
    assert np.isnan(closes.moving_average(ONE, 3, 8)[0])
    assert closes.moving_average(ONE, 4, 8)[0] == 2.0


def test_a_halt_where_the_momentum_begins_takes_the_close_before_it() -> None:
    row = np.array([[10.0, 11.0, np.nan, np.nan, 14.0, 15.0]])
    assert Closes.of(row).momentum(ONE, 5, 3)[0] == pytest.approx(15 / 11 - 1)
    late = np.array([[np.nan, np.nan, np.nan, 13.0, 14.0, 15.0]])
    assert np.isnan(Closes.of(late).momentum(ONE, 5, 3)[0])
    assert np.isnan(Closes.of(row).momentum(ONE, 5, 6)[0])


def test_a_bar_without_volume_is_no_close() -> None:
    panel = panel_of(np.full((2, 10), 5.0), [0, 0])
    panel.values[1, 4, 4] = 0.0
    closes = traded_closes(panel)
    assert np.isnan(closes[1, 4])
    assert np.isfinite(closes).sum() == 19


def test_a_window_has_the_same_bits_wherever_the_panel_begins() -> None:
    values = traded_closes(random_market())
    rows = np.arange(len(values))
    whole, part = Closes.of(values), Closes.of(values[:, 57:])
    for bar in (120, 199):
        np.testing.assert_array_equal(
            whole.moving_average_slope(rows, bar, 30, 5),
            part.moving_average_slope(rows, bar - 57, 30, 5),
        )
        np.testing.assert_array_equal(
            whole.moving_average(rows, bar, 30)[7],
            whole.moving_average(rows[7:8], bar, 30)[0],
        )
