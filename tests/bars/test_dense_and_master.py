"""The dense panel and the security master of checked bars."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.bars.checks import check_bars
from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.dense import build_panel
from ranking_pipeline.bars.security_master import build_security_master
from ranking_pipeline.errors import UserError

Frame = Callable[..., pd.DataFrame]
Make = Callable[..., ChecksConfig]


@pytest.fixture
def bars(good: Frame, checks: Make) -> pd.DataFrame:
    raw = good(6, ("B", "A")).drop(index=[2, 10, 11])
    raw.loc[4, "volume"] = 0.0
    return check_bars(raw, checks()).bars


def test_the_panel_cell_by_cell(bars: pd.DataFrame) -> None:
    panel = build_panel(bars)
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


def test_the_order_of_rows_does_not_matter(bars: pd.DataFrame) -> None:
    one, two = build_panel(bars), build_panel(bars.sample(frac=1, random_state=0))
    np.testing.assert_array_equal(one.values, two.values)
    np.testing.assert_array_equal(one.tradable, two.tradable)


def test_two_rows_of_one_cell_are_refused(bars: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="two rows"):
        build_panel(pd.concat([bars, bars.iloc[[0]]]))


def test_the_master(bars: pd.DataFrame) -> None:
    sectors = pd.DataFrame({"symbol": ["B", "Z"], "sector": ["Energy", "Utilities"]})
    master = build_security_master(bars, sectors)
    assert list(master.columns) == [
        "symbol",
        "sector",
        "first_timestamp",
        "last_timestamp",
        "n_bars",
        "delisted",
    ]
    assert master["symbol"].tolist() == ["A", "B"]
    assert master["sector"].tolist() == ["unknown", "Energy"]
    assert master["n_bars"].tolist() == [4, 5]
    assert master["delisted"].tolist() == [True, False]
    assert master["last_timestamp"][0] == pd.Timestamp("2024-01-12 05:00", tz="UTC")


def test_a_thin_name_has_not_left(good: Frame, checks: Make) -> None:
    raw = good(10)
    start = pd.Timestamp("2024-01-08 15:00")
    raw["timestamp"] = start + pd.Timedelta(minutes=5) * (np.arange(20) % 10)
    raw = raw.drop(index=[8, 9])
    bars = check_bars(raw, checks(interval="5m")).bars
    assert not build_security_master(bars, None)["delisted"].any()


def test_sectors_from_a_file_keep_odd_tickers(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    path = tmp_path / "sectors.csv"
    path.write_text("symbol,sector\nNA,Energy\nTRUE,\n0700,Utilities\n")
    bars = check_bars(good(5, ("NA", "TRUE", "0700")), checks()).bars
    master = build_security_master(bars, path)
    assert dict(zip(master["symbol"], master["sector"], strict=True)) == {
        "0700": "Utilities",
        "NA": "Energy",
        "TRUE": "unknown",
    }


def test_wrong_sectors_are_explained(bars: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.csv does not exist"):
        build_security_master(bars, tmp_path / "absent.csv")
    with pytest.raises(UserError, match="no column sector"):
        build_security_master(bars, pd.DataFrame({"symbol": ["A"], "gics": ["x"]}))
    twice = pd.DataFrame({"symbol": ["A", "A"], "sector": ["x", "y"]})
    with pytest.raises(UserError, match="more than one sector for A"):
        build_security_master(bars, twice)
