"""The real bars beside the project: known defects are found, none is invented."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.ingest import ingest
from ranking_pipeline.bars.raw import FrameBars, ParquetBars, open_bars
from ranking_pipeline.bars.readers import inspect_source, read_bars
from ranking_pipeline.bars.reading import Reading
from ranking_pipeline.errors import UserError

from .checked import Checked, account, table
from .conftest import CHECKS

pytestmark = pytest.mark.realdata
Make = Callable[..., ChecksConfig]
STRICT = {"max_quarantined_share": 0.01, "max_quarantined_share_of_symbol": 0.1}


def _ingest(source: Path, **changes: Any) -> Checked:
    config = ChecksConfig(**(CHECKS | STRICT | changes))
    inspect_source(source, config)
    raw = open_bars(source, config)
    assert isinstance(raw, ParquetBars)
    return table(ingest(raw, config, now=pd.Timestamp("2026-01-01", tz="UTC")))


@pytest.fixture(scope="module")
def daily(real_data: Path) -> Checked:
    return _ingest(real_data / "sp500_daily_2015_2020.parquet")


def test_known_defects_of_the_daily_bars(daily: Checked) -> None:
    account(daily, 657_921)
    summary = daily.summary
    assert (summary["rows_kept"], summary["rows_quarantined"]) == (657_917, 4)
    found = daily.quality.set_index(["rule", "action"])["rows"]
    # 1,330 rows without volume, one of which is the row of zeros of CBS.
    assert found["zero_volume", "flagged"] == 1_329
    assert found["price_outside_range", "quarantined"] == 3
    zero = daily.quarantine[daily.quarantine["rule"] == "non_positive_price"]
    assert zero[["symbol", "timestamp"]].to_numpy().tolist() == [["CBS", "2019-12-04"]]
    assert zero["source_row"].tolist() == [109_612]
    assert summary["survivorship"]["share"] > 0.95
    # BHF was not listed before July 2017: its junk of 2015 is followed by a long gap.
    gap = daily.gaps[daily.gaps["symbol"] == "BHF"].nlargest(1, "n_bars").iloc[0]
    assert gap["n_bars"] > 200
    assert gap["last_missing"].year == 2017


def test_the_panel_of_the_daily_bars(daily: Checked, real_data: Path) -> None:
    panel = daily.panel
    assert panel.values.shape == (537, 1_259, 5)
    assert int(panel.present.sum()) == 657_917
    raw = pd.read_parquet(real_data / "sp500_daily_2015_2020.parquet")
    apple = panel.symbols.index("AAPL")
    theirs = raw[raw["symbol"] == "AAPL"]
    ours = panel.field("close")[apple]
    np.testing.assert_array_equal(ours, theirs["adj_close"].to_numpy(np.float32))
    assert panel.trading_dates[0] == np.datetime64("2015-01-12")
    np.testing.assert_array_equal(
        panel.trading_dates, theirs["timestamp"].to_numpy("M8[D]")
    )


def test_every_trading_date_is_a_session(daily: Checked, real_data: Path) -> None:
    source = real_data / "sp500_daily_2015_2020.parquet"
    done = _ingest(source, calendar="XNYS")
    assert "not_a_session" not in set(done.quality["rule"])
    np.testing.assert_array_equal(done.panel.values, daily.panel.values)
    minutes, counts = np.unique(done.panel.session_minutes, return_counts=True)
    # Early closes at 13:00: the days after Thanksgiving, most Christmas Eves and July 3.
    assert minutes.tolist() == [210, 390]
    assert 8 < counts[0] < 15


def test_a_folder_of_csv_files_gives_the_same_bars(
    daily: Checked, real_data: Path, tmp_path: Path
) -> None:
    raw = pd.read_parquet(real_data / "sp500_daily_2015_2020.parquet")
    names = ["AAPL", "ALL", "BF-B", "CBS", "MSFT", "ON"]
    names = [name for name in names if name in set(raw["symbol"])]
    for name in names:
        own = raw[raw["symbol"] == name].drop(columns="symbol")
        own.to_csv(tmp_path / f"{name}.csv", index=False)
    config = ChecksConfig(**(CHECKS | STRICT))
    opened = open_bars(tmp_path, config)
    assert isinstance(opened, FrameBars)
    done = ingest(opened, config, now=None)
    assert done.panel.symbols == tuple(names)
    rows = [daily.panel.symbols.index(name) for name in names]
    np.testing.assert_array_equal(done.panel.values, daily.panel.values[rows])
    np.testing.assert_array_equal(done.panel.tradable, daily.panel.tradable[rows])


def test_the_lazy_panel_is_that_of_the_reader(daily: Checked, real_data: Path) -> None:
    config = ChecksConfig(**(CHECKS | STRICT))
    source = real_data / "sp500_daily_2015_2020.parquet"
    read = ingest(FrameBars(*read_bars(source, config)), config, now=None)
    np.testing.assert_array_equal(read.panel.values, daily.panel.values)
    np.testing.assert_array_equal(read.panel.tradable, daily.panel.tradable)
    pd.testing.assert_frame_equal(read.quarantine, daily.quarantine)
    pd.testing.assert_frame_equal(read.quality, daily.quality)
    pd.testing.assert_frame_equal(read.gaps, daily.gaps)


@pytest.mark.parametrize(("interval", "rows"), [("5m", 249_271), ("1m", 599_224)])
def test_intraday_bars(real_data: Path, interval: str, rows: int) -> None:
    minutes = {"5m": "5", "1m": "1"}[interval]
    source = real_data / f"us_stocks_{minutes}min_2024.parquet"
    done = _ingest(source, interval=interval, timezone="UTC")
    account(done, rows)
    assert done.summary["rows_quarantined"] == 0
    assert done.panel.n_symbols == 17
    raw = pd.read_parquet(source)
    length = pd.Timedelta(minutes=int(minutes))
    first = (raw["timestamp"].min() + length).tz_localize("UTC")
    assert done.bars["timestamp"].iloc[0] == first
    assert done.summary["missing_bars"] > 10_000


@pytest.mark.parametrize(
    ("interval", "rows", "outside"),
    [("5m", 249_271, 8_772 + 49), ("1m", 599_224, 10_716 + 49)],
)
def test_intraday_bars_of_the_regular_session(
    real_data: Path, interval: str, rows: int, outside: int
) -> None:
    source = real_data / f"us_stocks_{interval[0]}min_2024.parquet"
    changes: dict[str, Any] = {"interval": interval, "timezone": "UTC"}
    changes |= {"calendar": "XNYS"}
    done = _ingest(source, **changes)
    account(done, rows)
    # Counted by the clock of New York: before 09:30 or from 16:00 on, and 49 bars after
    # the early closes of three days.
    assert set(done.quarantine["rule"]) == {"outside_session"}
    assert done.summary["rows_outside_session"] == outside
    panel = done.panel
    assert panel.session_minutes.min() >= int(interval[0])
    assert panel.session_minutes.max() == 390
    assert len(np.unique(panel.trading_dates)) == 252
    whole = _ingest(source, **changes, session="all")
    account(whole, rows)
    assert whole.summary["rows_quarantined"] == 0


def test_stamps_declared_the_wrong_way_are_noticed(real_data: Path) -> None:
    """Stamps moved by one bar name the ends: declared as starts, XNYS contradicts."""
    raw = pd.read_parquet(real_data / "us_stocks_5min_2024.parquet")
    raw = raw[raw["symbol"].isin(["FICO", "TDG", "BKNG"])].reset_index(drop=True)
    hours = raw["timestamp"].dt.tz_localize("UTC").dt.tz_convert("America/New_York")
    clock = hours.dt.hour * 60 + hours.dt.minute
    raw = raw[(clock >= 570) & (clock < 960)].reset_index(drop=True)
    raw["timestamp"] += pd.Timedelta(minutes=5)
    raw["source_file"], raw["source_row"] = "f", np.arange(len(raw))
    raw = raw.drop(columns=["vwap", "n_1min"])
    changes = {"interval": "5m", "timezone": "UTC", "calendar": "XNYS"}
    config = ChecksConfig(**(CHECKS | changes | {"bar_stamp": "start"}))
    with pytest.raises(UserError, match=r"Set data\.bar_stamp=end"):
        ingest(FrameBars(raw, Reading("f")), config, now=None)
    config = ChecksConfig(**(CHECKS | changes | {"bar_stamp": "end"}))
    done = ingest(FrameBars(raw, Reading("f")), config, now=None)
    # A few trades after the early closes are all that lies outside.
    assert 0 < done.summary["rows_outside_session"] < 20
    assert done.summary["rows_quarantined"] == done.summary["rows_outside_session"]
