"""ingest: from a parquet file to a checked panel, beside plain pandas."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml

from benchmarks.harness import PROJECT, Row, row

PRICES = ["open", "high", "low", "close"]
NUMBERS = [*PRICES, "volume"]
# symbols, days, bars of a day
DAILY, INTRADAY = (500, 1500, 1), (500, 250, 78)
SEED = 7
Array = npt.NDArray[np.float64]


def run(rounds: int | None) -> list[Row]:
    """Ingest a daily and an intraday panel ``rounds`` times (3 by default).

    Each side runs in a fresh process with one thread, ours and the peer in turn. Both
    must keep the same bars. Seconds are without imports; memory is the peak of the
    whole process.
    """
    with tempfile.TemporaryDirectory() as folder:
        daily, intraday = Path(folder) / "daily.parquet", Path(folder) / "5m.parquet"
        write_bars(daily, *DAILY)
        write_bars(intraday, *INTRADAY)
        rows = _compare("750k rows", daily, "1d", rounds or 3, ("wall", "cpu"))
        rows += _compare(
            "9.75M rows", intraday, "5m", rounds or 3, ("wall", "cpu", "memory")
        )
    return rows


def _compare(
    case: str, path: Path, interval: str, rounds: int, figures: tuple[str, ...]
) -> list[Row]:
    ours, peer = [], []
    for _ in range(rounds):
        ours.append(_fresh_process("ours", path, interval))
        peer.append(_fresh_process("peer", path, interval))
        if ours[-1]["kept"] != peer[-1]["kept"]:
            raise RuntimeError(f"{ours[-1]['kept']} differs from {peer[-1]['kept']}")
    units = {"wall": "s", "cpu": "s", "memory": "MB"}
    return [
        row(
            f"{case} {name}",
            units[name],
            [m[name] for m in ours],
            [m[name] for m in peer],
        )
        for name in figures
    ]


def _fresh_process(side: str, path: Path, interval: str) -> dict[str, Any]:
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [sys.executable, "-m", "benchmarks.ingest", side, str(path), interval]
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env=os.environ | one_thread,
        check=True,
        stdout=subprocess.PIPE,
    )
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def write_bars(path: Path, symbols: int, days: int, bars: int) -> None:
    """Write random walks in 32 bits, with a few of each defect."""
    rng = np.random.default_rng(SEED)
    length = days * bars
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.002, (symbols, length)), axis=1))
    start = close * np.exp(rng.normal(0, 0.001, close.shape))
    dates = pd.bdate_range("2015-01-05", periods=days)
    clock = pd.to_timedelta(np.arange(bars) * 5 + (570 if bars > 1 else 0), unit="min")
    stamps = (dates.to_numpy()[:, None] + clock.to_numpy()).ravel()
    names = pd.Index([f"SYM{i:05d}" for i in range(symbols)], dtype=str)
    columns = {
        "open": start,
        "high": np.maximum(start, close) * 1.001,
        "low": np.minimum(start, close) * 0.999,
        "close": close,
        "volume": np.round(np.exp(rng.normal(12, 0.5, close.shape))),
    }
    frame = pd.DataFrame(
        {
            "symbol": pd.Categorical.from_codes(
                np.repeat(np.arange(symbols), length), categories=names
            ).astype(str),
            "timestamp": np.tile(stamps, symbols),
            **{
                name: values.ravel().astype(np.float32)
                for name, values in columns.items()
            },
        }
    )
    _damage(frame, rng).to_parquet(path, index=False)


def _damage(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    places = rng.choice(len(frame) - 20, (6, 50), replace=False)
    frame.loc[places[0], "close"] = 0.0
    frame.loc[places[1], "open"] = np.nan
    frame.loc[places[2], ["high", "low"]] = frame.loc[
        places[2], ["low", "high"]
    ].to_numpy()
    frame.loc[places[3], "volume"] = -1.0
    frame.loc[places[4], "volume"] = 0.0
    frame.loc[np.arange(places[5, 0], places[5, 0] + 12), PRICES] = np.float32(50.0)
    again = frame.loc[places[5, 1:]].copy()
    again.loc[again.index[:25], "volume"] += 1
    return pd.concat([frame, again], ignore_index=True)


def _ours(interval: str) -> Callable[[Path], list[int]]:
    # Imported before the clock starts, and only in the process that needs it.
    from ranking_pipeline.bars.ingest import ingest
    from ranking_pipeline.bars.raw import open_bars

    config = _config(interval)

    def work(path: Path) -> list[int]:
        done = ingest(open_bars(path, config), config, now=pd.Timestamp.now("UTC"))
        flagged = done.quality.loc[done.quality["action"] == "flagged", "rows"]
        return [
            int(done.panel.present.sum()),
            int(done.panel.tradable.sum()),
            done.summary["rows_quarantined"],
            *flagged.tolist(),
        ]

    return work


def _config(interval: str) -> Any:
    from ranking_pipeline.bars.config import ChecksConfig

    text = (PROJECT / "conf/base/parameters_data_preparation.yml").read_text("utf-8")
    base = yaml.safe_load(text)["data"]
    known = {name: base[name] for name in ChecksConfig.model_fields}
    changes = {"interval": interval, "timezone": "America/New_York"}
    return ChecksConfig(**(known | changes))


def _peer(interval: str) -> Callable[[Path], list[int]]:
    return lambda path: _pandas_ingest(path, interval)


def _pandas_ingest(path: Path, interval: str) -> list[int]:
    """Make the same checks with one pandas call after the other."""
    frame = pd.read_parquet(path)
    rows = len(frame)
    length = (
        pd.Timedelta(days=1)
        if interval == "1d"
        else pd.Timedelta(interval[:-1] + "min")
    )
    local = frame["timestamp"].dt.tz_localize("America/New_York")
    if interval == "1d":
        local = (frame["timestamp"] + length).dt.tz_localize("America/New_York")
        frame = frame[frame["timestamp"].dt.day_of_week < 5]
        frame["end"] = local.dt.tz_convert("UTC")
    else:
        frame["end"] = local.dt.tz_convert("UTC") + length
    frame = frame[frame["end"] <= pd.Timestamp.now("UTC") + length]
    frame = frame[frame[PRICES].abs().lt(np.inf).all(axis=1)]
    frame = frame[(frame[PRICES] > 0).all(axis=1)]
    frame = frame[~((frame["volume"] < 0) | np.isinf(frame["volume"]))]
    top = frame[["open", "close", "low"]].max(axis=1)
    bottom = frame[["open", "close", "high"]].min(axis=1)
    frame = frame[
        ~((top > frame["high"] * (1 + 1e-6)) | (bottom < frame["low"] * (1 - 1e-6)))
    ]
    frame = frame.drop_duplicates(["symbol", "end", *NUMBERS])
    frame = frame.loc[~frame.duplicated(["symbol", "end"], keep=False)]
    frame = frame.sort_values(["symbol", "end"], kind="stable")
    stale, split, spike = _peer_flags(frame)
    frame["tradable"] = (frame["volume"] > 0) & ~stale
    panel = {
        name: frame.pivot(index="symbol", columns="end", values=name)
        for name in [*NUMBERS, "tradable"]
    }
    values = np.stack([panel[name].to_numpy(np.float32) for name in NUMBERS], axis=-1)
    found = [(frame["volume"] == 0).sum(), stale.sum(), split.sum(), spike.sum()]
    return [
        int((~np.isnan(values[:, :, 3])).sum()),
        int(panel["tradable"].fillna(value=False).to_numpy(bool).sum()),
        rows - len(frame),
        *[int(count) for count in found if count],
    ]


def _peer_flags(frame: pd.DataFrame) -> tuple[pd.Series, pd.Series, pd.Series]:
    symbol = frame["symbol"]
    before = frame[NUMBERS].groupby(symbol).shift()
    changed = (frame[PRICES] != before[PRICES]).any(axis=1)
    stale = changed.groupby([symbol, changed.cumsum()]).cumcount() >= 5
    step = pd.Series(np.log(frame["close"] / before["close"]))
    opening = pd.Series(np.log(frame["open"] / before["close"]))
    more = frame["volume"].clip(lower=1) / before["volume"].clip(lower=1)
    answer = pd.Series(-np.log(more) * np.sign(step))
    near = pd.Series(data=False, index=frame.index)
    for ratio in (1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0):
        near |= (step.abs() - np.log(ratio)).abs() < 0.03
    split = near & ((step - opening).abs() < 0.06) & (answer > 0.5 * step.abs())
    typical = 1.4826 * step.abs().groupby(symbol).transform("median")
    back = step.groupby(symbol).shift(-1)
    undone = (step + back).abs() < 0.5 * step.abs()
    return stale, split, (step.abs() > 20 * typical) & undone


def _peak_megabytes() -> float:
    """Peak memory of this process; getrusage would count its parent's before exec."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status tells no VmHWM")


def _measure(work: Callable[[Path], list[int]], path: Path) -> None:
    # What both sides import is not measured.
    import pyarrow as pa
    import pyarrow.parquet

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    wall, cpu = time.perf_counter(), time.process_time()
    kept = work(path)
    measured = {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "memory": _peak_megabytes(),
        "kept": kept,
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    sides = {"ours": _ours, "peer": _peer}
    _measure(sides[sys.argv[1]](sys.argv[3]), Path(sys.argv[2]))
