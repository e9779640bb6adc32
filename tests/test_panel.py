"""Panel: layouts, rows and positions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ranking_pipeline.panel import Panel, to_cross_sections


def test_rows_are_the_tradable_cells_by_bar_then_symbol(
    random_walk_panel: Panel,
) -> None:
    bars, symbols = random_walk_panel.rows()
    expected = [
        (t, s)
        for t in range(random_walk_panel.n_bars)
        for s in range(random_walk_panel.n_symbols)
        if random_walk_panel.tradable[s, t]
    ]
    assert list(zip(bars.tolist(), symbols.tolist(), strict=True)) == expected


def test_cross_sections_put_each_row_back(random_walk_panel: Panel) -> None:
    panel = random_walk_panel
    bars, symbols = panel.rows()
    shape = (panel.n_bars, panel.n_symbols)
    close = panel.field("close")[symbols, bars]
    matrix = to_cross_sections(close, bars, symbols, shape)
    np.testing.assert_array_equal(matrix, panel.cross_sections("close"))


def test_windows_are_the_bars_up_to_each_cell(random_walk_panel: Panel) -> None:
    panel = random_walk_panel
    bars, symbols = panel.rows()
    windows = panel.windows(bars, symbols, 5)
    assert windows.shape == (len(bars), 5, len(panel.fields))
    assert windows.dtype == np.float32
    for row in (0, 3, len(bars) // 2, len(bars) - 1):
        bar, own = bars[row], panel.values[symbols[row]]
        first = max(bar - 4, 0)
        np.testing.assert_array_equal(
            windows[row, first - bar - 1 :], own[first : bar + 1]
        )
        assert np.isnan(windows[row, : first - bar - 1]).all()
    assert np.isfinite(windows[:, -1]).all()  # the bar of the decision is the last
    held = panel.values.copy()
    windows[:] = 0.0  # a copy: the panel keeps its bars
    np.testing.assert_array_equal(panel.values, held)
    with pytest.raises(ValueError, match="length is 0"):
        panel.windows(bars, symbols, 0)


def test_positions_refuse_what_is_not_there(random_walk_panel: Panel) -> None:
    panel = random_walk_panel
    assert panel.bar_positions(panel.timestamps[[3, 7]]).tolist() == [3, 7]
    assert panel.symbol_positions(np.array(["SYM4"], dtype=object)).tolist() == [4]
    with pytest.raises(KeyError, match="SYM9"):
        panel.symbol_positions(np.array(["SYM9"], dtype=object))
    with pytest.raises(KeyError, match="timestamp"):
        panel.bar_positions(panel.timestamps[:1] + np.timedelta64(1, "h"))


def test_a_malformed_panel_is_refused(random_walk_panel: Panel) -> None:
    panel = random_walk_panel
    with pytest.raises(ValueError, match="sorted"):
        replace(panel, symbols=panel.symbols[::-1])
    with pytest.raises(ValueError, match="increasing"):
        replace(panel, timestamps=panel.timestamps[::-1])
    with pytest.raises(ValueError, match="match"):
        replace(panel, fields=("close",))
    for name in ("trading_dates", "session_minutes"):
        with pytest.raises(ValueError, match=f"{name} has another length"):
            replace(panel, **{name: getattr(panel, name)[:-1]})
