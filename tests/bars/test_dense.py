"""The dense panel against the raw rows and against its own table of bars."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.bars.config import ChecksConfig

from .checked import Checked, check

Frame = Callable[..., pd.DataFrame]
Make = Callable[..., ChecksConfig]


@pytest.fixture
def checked(good: Frame, checks: Make) -> Checked:
    raw = good(6, ("B", "A")).drop(index=[2, 10, 11])
    raw.loc[4, "volume"] = 0.0
    return check(raw, checks())


def test_the_panel_cell_by_cell(checked: Checked) -> None:
    panel, bars = checked.panel, checked.bars
    assert panel.symbols == ("A", "B")
    assert panel.values.shape == (2, 6, 5)
    assert panel.values.dtype == np.float32
    seen = 0
    for i, symbol in enumerate(panel.symbols):
        for t, stamp in enumerate(panel.timestamps):
            row = bars[
                (bars["symbol"] == symbol)
                & (bars["timestamp"] == pd.Timestamp(stamp, tz="UTC"))
            ]
            if row.empty:
                assert np.isnan(panel.values[i, t]).all()
                assert not panel.tradable[i, t]
                continue
            seen += 1
            for f, name in enumerate(panel.fields):
                assert panel.values[i, t, f] == np.float32(row[name].iloc[0])
            assert panel.tradable[i, t] == row["tradable"].iloc[0]
    assert seen == len(bars) == 9
