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
