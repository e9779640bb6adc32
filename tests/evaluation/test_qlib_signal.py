"""The qlib signal: its keys are those under which qlib knows the bars."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.bars.conftest import CHECKS
from tests.bars.qlib_files import write_qlib

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.readers import read_bars
from ranking_pipeline.datasets import IndexedTableDataset
from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.qlib_signal import qlib_signal
from ranking_pipeline.panel import OHLCV, Panel

SYMBOLS = ("0700", "1E5", "BF-B", "BRK.B", "NA", "NO", "ON", "TRUE")
ZONE = "America/New_York"
DAILY = {"interval": "1d", "timezone": None, "bar_stamp": "start"}
FIVE = {"interval": "5m", "timezone": ZONE, "bar_stamp": "start"}


def _utc(stamps: pd.DatetimeIndex) -> np.ndarray:
    return stamps.tz_convert("UTC").tz_localize(None).as_unit("ns").to_numpy()


def _panel(ends: pd.DatetimeIndex, dates: pd.DatetimeIndex) -> Panel:
    shape = (len(SYMBOLS), len(ends), len(OHLCV))
    return Panel(
        SYMBOLS,
        _utc(ends),
        OHLCV,
        np.ones(shape, np.float32),
        np.ones(shape[:2], dtype=bool),
        trading_dates=dates.to_numpy().astype("M8[D]"),
    )


def _predictions(panel: Panel, **keys: Any) -> pd.DataFrame:
    """A toy score for every bar and symbol: the bar's number and the symbol's."""
    bars, symbols = panel.rows()
    return pd.DataFrame(
        {
            "timestamp": pd.DatetimeIndex(panel.timestamps).tz_localize("UTC")[bars],
            "symbol": pd.array(np.array(SYMBOLS, dtype=object)[symbols], dtype="str"),
            "target": "fwd_ret_1d",
            "model_id": "toy",
            "score": (bars + symbols / 100).astype(np.float32),
        }
        | keys
    )


def test_daily_bars_are_labelled_by_their_date() -> None:
    # The clock goes forward on 10 March: the midnights are 04:00 and 05:00 UTC.
    days = pd.bdate_range("2024-03-07", periods=4)
    panel = _panel((days + pd.Timedelta(days=1)).tz_localize(ZONE), days)
    signal = qlib_signal(_predictions(panel), "toy", "fwd_ret_1d", panel, **DAILY)
    assert signal.index.names == ["datetime", "instrument"]
    assert list(signal.columns) == ["score"]
    assert signal["score"].dtype == np.float32
    assert signal.index.levels[0].tolist() == days.tolist()
    assert signal.index.levels[1].tolist() == list(SYMBOLS)
    assert signal.loc[("2024-03-11", "NO"), "score"] == np.float32(2.05)
    # The close of the session as the end of the bar has the same label.
    closes = _panel((days + pd.Timedelta(hours=16)).tz_localize(ZONE), days)
    again = qlib_signal(_predictions(closes), "toy", "fwd_ret_1d", closes, **DAILY)
    pd.testing.assert_frame_equal(again, signal)


def test_intraday_bars_are_labelled_by_their_local_start() -> None:
    starts = pd.DatetimeIndex(
        ["2024-03-08 09:30", "2024-03-08 15:55", "2024-03-11 09:30"], tz=ZONE
    )
    ends = starts + pd.Timedelta(minutes=5)
    panel = _panel(ends, starts.tz_localize(None).normalize())
    predictions = _predictions(panel)
    signal = qlib_signal(predictions, "toy", "fwd_ret_1d", panel, **FIVE)
    assert signal.index.levels[0].tolist() == starts.tz_localize(None).tolist()
    by_end = FIVE | {"bar_stamp": "end"}
    signal = qlib_signal(predictions, "toy", "fwd_ret_1d", panel, **by_end)
    assert signal.index.levels[0].tolist() == ends.tz_localize(None).tolist()
    no_zone = FIVE | {"timezone": None}
    with pytest.raises(UserError, match=r"data\.timezone is null"):
        qlib_signal(predictions, "toy", "fwd_ret_1d", panel, **no_zone)


def test_one_model_and_target_are_chosen() -> None:
    days = pd.bdate_range("2024-03-04", periods=3)
    panel = _panel((days + pd.Timedelta(days=1)).tz_localize(ZONE), days)
    others = [
        _predictions(panel, model_id="other"),
        _predictions(panel, target="fwd_ret_5d").assign(score=np.float32(9)),
    ]
    predictions = pd.concat([*others, _predictions(panel)], ignore_index=True)
    signal = qlib_signal(predictions, "toy", "fwd_ret_1d", panel, **DAILY)
    assert len(signal) == 3 * len(SYMBOLS)
    assert signal["score"].max() == np.float32(2.07)
    with pytest.raises(
        UserError, match=r"of toy for x\. There are: other of fwd_ret_1d"
    ):
        qlib_signal(predictions, "toy", "x", panel, **DAILY)
    with pytest.raises(UserError, match=r"other bars than the panel: timestamp"):
        qlib_signal(predictions, "toy", "fwd_ret_1d", panel.cut(slice(2)), **DAILY)


def test_two_bars_with_one_local_time_are_refused() -> None:
    # 01:30 came twice in New York on 3 November 2024.
    ends = pd.DatetimeIndex(["2024-11-03 05:35", "2024-11-03 06:35"], tz="UTC")
    panel = _panel(ends, ends.tz_localize(None).normalize())
    with pytest.raises(UserError, match=r"0700 have the local time 2024-11-03 01:30"):
        qlib_signal(_predictions(panel), "toy", "fwd_ret_1d", panel, **FIVE)
    in_utc = FIVE | {"timezone": "UTC"}
    signal = qlib_signal(_predictions(panel), "toy", "fwd_ret_1d", panel, **in_utc)
    assert len(signal) == 2 * len(SYMBOLS)


def _bars(interval: str) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    if interval == "1d":
        stamps = pd.bdate_range("2024-03-04", periods=40)
    else:
        sessions = [
            pd.date_range(f"{day} 09:30", periods=78, freq="5min")
            for day in ("2024-03-08", "2024-03-11")
        ]
        stamps = sessions[0].append(sessions[1])
    parts = []
    for symbol in SYMBOLS:
        close = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, len(stamps))))
        prices = {"open": close, "high": close * 1.01, "low": close * 0.99}
        part = {"symbol": symbol, "timestamp": stamps, **prices, "close": close}
        parts.append(pd.DataFrame(part | {"volume": 1000.0, "factor": 1.0}))
    bars = pd.concat(parts, ignore_index=True)
    return bars[rng.random(len(bars)) > 0.05]


def _exported(folder: Path, interval: str, path: Path) -> pd.DataFrame:
    """Read a qlib folder, score its bars with a toy and export the scores."""
    config = ChecksConfig(**(CHECKS | {"interval": interval, "timezone": ZONE}))
    raw, _ = read_bars(folder, config)
    labels = pd.DatetimeIndex(raw["timestamp"].unique()).sort_values()
    length = pd.Timedelta(days=1) if interval == "1d" else pd.Timedelta(minutes=5)
    panel = _panel((labels + length).tz_localize(ZONE), labels.normalize())
    at = labels.get_indexer(pd.DatetimeIndex(raw["timestamp"]))
    predictions = pd.DataFrame(
        {
            "timestamp": pd.DatetimeIndex(panel.timestamps).tz_localize("UTC")[at],
            "symbol": raw["symbol"].astype("str"),
            "target": "fwd_ret_1d",
            "model_id": "toy",
            "score": raw["close"].to_numpy(np.float32),
        }
    )
    settings = {"interval": interval, "timezone": ZONE, "bar_stamp": "start"}
    signal = qlib_signal(predictions, "toy", "fwd_ret_1d", panel, **settings)
    IndexedTableDataset(filepath=str(path)).save(signal)
    return signal


@pytest.mark.parametrize("interval", ["1d", "5m"])
def test_keys_go_out_as_they_came_in(tmp_path: Path, interval: str) -> None:
    bars = _bars(interval)
    frequency = {"1d": "day", "5m": "5min"}[interval]
    folder = write_qlib(tmp_path / "q", bars, frequency)
    signal = _exported(folder, interval, tmp_path / "signal.parquet")
    stored = pd.read_parquet(tmp_path / "signal.parquet")
    pd.testing.assert_frame_equal(stored, signal)
    keys = pd.MultiIndex.from_frame(bars[["timestamp", "symbol"]]).sort_values()
    assert stored.index.tolist() == keys.tolist()
    closes = bars.set_index(["timestamp", "symbol"])["close"].sort_index()
    np.testing.assert_array_equal(stored["score"], closes.to_numpy(np.float32))


_ASK_QLIB = """
import json, sys
import pandas as pd
import qlib
from qlib.backtest import backtest
from qlib.backtest.signal import SignalWCache, create_signal_from
from qlib.contrib.strategy import TopkDropoutStrategy
from qlib.data import D

folder, path, out = sys.argv[1:]
qlib.init(provider_uri=folder, region="us", kernels=1, expression_cache=None,
          dataset_cache=None, logging_level=40)
score = pd.read_parquet(path)
signal = create_signal_from(score)
assert isinstance(signal, SignalWCache)
days = D.calendar()
seen = [signal.get_signal(day, day) for day in days]
closes = D.features(sorted({str(name) for name in score.index.levels[1]}), ["$close"])
closes = closes["$close"].dropna().swaplevel().sort_index()
strategy = TopkDropoutStrategy(signal=score, topk=3, n_drop=1)
portfolio, _ = backtest(
    start_time=days[5], end_time=days[-2], strategy=strategy,
    executor={"class": "SimulatorExecutor", "module_path": "qlib.backtest.executor",
              "kwargs": {"time_per_step": "day", "generate_portfolio_metrics": True}},
    benchmark=pd.Series(0.0, index=days), account=1e6,
    exchange_kwargs={"freq": "day", "deal_price": "close", "open_cost": 0,
                     "close_cost": 0, "min_cost": 0, "limit_threshold": None},
)
report, positions = portfolio["1day"]
held = [name for name in positions[days[7]].get_stock_list()]
json.dump({
    "days_with_scores": sum(part is not None for part in seen),
    "scores": sum(len(part) for part in seen),
    "score_is_close": bool((closes == score["score"]).all()),
    "same_keys": closes.index.tolist() == score.index.tolist(),
    "held": sorted(held),
    "turnover": float(report["turnover"].sum()),
}, open(out, "w"))
"""


@pytest.mark.skipif(
    "QLIB_PYTHON" not in os.environ, reason="QLIB_PYTHON names no interpreter with qlib"
)
def test_qlib_trades_on_the_exported_file(tmp_path: Path) -> None:
    bars = _bars("1d")
    # qlib's own reader of instruments/all.txt takes the ticker NA for a missing name.
    folder = write_qlib(tmp_path / "q", bars[bars["symbol"] != "NA"])
    path, out = tmp_path / "signal.parquet", tmp_path / "answer.json"
    signal = _exported(folder, "1d", path)
    script = tmp_path / "ask.py"
    script.write_text(_ASK_QLIB)
    done = subprocess.run(
        [os.environ["QLIB_PYTHON"], script, folder, path, out],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(out.read_text())
    assert answer["days_with_scores"] == 40
    assert answer["scores"] == len(signal)
    assert answer["score_is_close"]
    assert answer["same_keys"]
    assert len(answer["held"]) == 3
    assert set(answer["held"]) <= set(SYMBOLS)
    assert answer["turnover"] > 0
