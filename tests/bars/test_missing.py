"""The missing share by sector and period, by hand."""

from __future__ import annotations

import numpy as np

from ranking_pipeline.bars.missing import MOST_PERIODS, missing_share
from ranking_pipeline.panel import OHLCV, Panel


def _panel(present: np.ndarray, sectors: np.ndarray, names: tuple[str, ...]) -> Panel:
    values = np.where(present[:, :, None], 1.0, np.nan).astype(np.float32)
    values = np.repeat(values, len(OHLCV), axis=2)
    stamps = np.datetime64("2024-01-02", "ns") + np.arange(
        present.shape[1]
    ) * np.timedelta64(1, "D")
    symbols = tuple(f"S{i}" for i in range(len(present)))
    return Panel(
        symbols, stamps, OHLCV, values, present, sectors=sectors, sector_names=names
    )


def test_gaps_count_between_the_first_and_the_last_bar_of_a_symbol() -> None:
    present = np.ones((3, 4), dtype=bool)
    present[0, 1] = False  # a gap
    present[1, :2] = False  # a late listing is no gap
    present[2, 3] = False  # neither is an early end
    sectors = np.array([[0] * 4, [0] * 4, [-1] * 4], dtype=np.int16)
    table = missing_share(_panel(present, sectors, ("energy", "unused")))
    assert table.index.tolist() == ["energy", "unknown"]
    assert table.columns.tolist() == [
        "2024-01-01",
        "2024-01-02",
        "2024-01-03",
        "2024-01-04",
    ]
    np.testing.assert_array_equal(table.loc["energy"], [0.0, 1.0, 0.0, 0.0])
    np.testing.assert_array_equal(table.loc["unknown"], [0.0, 0.0, 0.0, np.nan])


def test_a_symbol_counts_in_the_sector_of_the_date() -> None:
    present = np.ones((2, 96), dtype=bool)
    present[0, 10] = present[0, 70] = False
    sectors = np.zeros((2, 96), dtype=np.int16)
    sectors[0, 48:] = 1
    table = missing_share(_panel(present, sectors, ("old", "new")))
    assert table.shape == (2, MOST_PERIODS)
    assert table.loc["old"].iloc[2] == 1 / 8
    assert table.loc["new"].iloc[17] == 1 / 4
    assert np.isnan(table.loc["new"].iloc[0])
    assert np.nansum(table.to_numpy()) == 1 / 8 + 1 / 4
