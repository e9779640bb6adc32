"""The 158 factors: time and memory, whole and streamed, beside pandas or qlib.

Every case runs in a process of its own with one thread, on a simulated panel of 500
symbols: 1,500 daily bars, or 19,500 bars of five minutes for the streamed cases.
The peer is pandas (wide frames), or qlib's Alpha158 where ``--peer-python`` names an
interpreter that has it; then ``--peer-scripts`` is a folder with ``to_bin.py`` (bars to
qlib's format) and ``bench_handler.py`` (times the handler).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.harness import PROJECT, Row, row
from ranking_pipeline.features import compute_table, factor_names, feature_blocks
from ranking_pipeline.panel import OHLCV, Panel

N_SYMBOLS = 500
DAILY_BARS = 1500
BARS_OF_DAY, DAYS = 78, 250
ROWS_PER_BLOCK = 300_000
PEER_SCRIPTS = PROJECT.parent / "shared" / "bench" / "qlib"

Figures = dict[str, float]


def run(
    rounds: int | None,
    peer_python: Path | None = None,
    peer_scripts: Path | None = None,
) -> list[Row]:
    """Measure ours and the peer alternately.

    Parameters
    ----------
    rounds
        3 by default; the long stream runs once.
    peer_python
        Interpreter that has qlib; pandas is the peer without one.
    peer_scripts
        Folder of the two scripts that drive qlib.
    """
    scripts = peer_scripts or PEER_SCRIPTS
    use_qlib = peer_python is not None and (scripts / "bench_handler.py").exists()
    ours, peer = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if use_qlib:
            _write_for_qlib(folder, str(peer_python), scripts)
        for _ in range(rounds or 3):
            ours.append(_child("table", folder))
            if use_qlib:
                peer.append(_qlib(folder, str(peer_python), scripts))
            else:
                peer.append(_child("pandas", folder))
        stream = _child("stream", folder)
    return [
        row("158 factors cpu", "s", *_pairs("cpu", ours, peer)),
        row("158 factors memory", "MB", *_pairs("peak_mb", ours, peer)),
        row("9.75M rows wall", "s", [stream["wall"]]),
        row("9.75M rows memory", "MB", [stream["peak_mb"]]),
    ]


def _pairs(
    key: str, ours: list[Figures], peer: list[Figures]
) -> tuple[list[float], list[float]]:
    return [figures[key] for figures in ours], [figures[key] for figures in peer]


def _child(task: str, folder: Path) -> Figures:
    command = [sys.executable, "-m", "benchmarks.features", task, str(folder)]
    return _figures(command, PROJECT)


def _figures(command: list[str], folder: Path) -> Figures:
    """Run a process with one thread; its last line holds the figures."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | threads,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    line = done.stdout.strip().splitlines()[-1]
    figures: Figures = json.loads(line.removeprefix("RESULT "))
    return figures


def simulated_panel(n_symbols: int, bars_of_day: int, days: int) -> Panel:
    """Random walks, made symbol by symbol so that little memory is touched."""
    n_bars = bars_of_day * days
    values = np.empty((n_symbols, n_bars, len(OHLCV)), dtype=np.float32)
    for symbol in range(n_symbols):
        values[symbol] = _walk(np.random.default_rng(symbol), n_bars).T
    day, bar = np.divmod(np.arange(n_bars), bars_of_day)
    weeks = np.datetime64("2015-01-05", "D") + day + 2 * (day // 5)
    ends = weeks.astype("M8[ns]") + (bar + 1) * np.timedelta64(5, "m")
    names = tuple(f"SYM{i:05d}" for i in range(n_symbols))
    return Panel(names, ends, OHLCV, values, np.ones((n_symbols, n_bars), dtype=bool))


def _walk(rng: np.random.Generator, n_bars: int) -> np.ndarray:
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.004, n_bars)))
    opening = close * np.exp(rng.normal(0, 0.002, n_bars))
    high = np.maximum(opening, close) * (1 + rng.uniform(0, 0.005, n_bars))
    low = np.minimum(opening, close) * (1 - rng.uniform(0, 0.005, n_bars))
    volume = np.exp(rng.normal(12, 0.5, n_bars))
    return np.stack([opening, high, low, close, volume])


def _write_for_qlib(folder: Path, python: str, scripts: Path) -> None:
    panel = simulated_panel(N_SYMBOLS, 1, DAILY_BARS)
    bars = pd.DataFrame(panel.values.reshape(-1, len(OHLCV)), columns=list(OHLCV))
    bars["vwap"] = bars[["high", "low", "close"]].mean(axis=1)
    bars["factor"] = np.float32(1)
    bars.insert(0, "symbol", np.repeat(panel.symbols, panel.n_bars))
    dates = np.tile(panel.trading_dates, panel.n_symbols)
    bars.insert(0, "date", pd.to_datetime(dates).astype("M8[ns]"))
    bars.to_parquet(folder / "panel.parquet", index=False)
    command = [python, str(scripts / "to_bin.py"), "--panel=panel.parquet", "--out=bin"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def _qlib(folder: Path, python: str, scripts: Path) -> Figures:
    """Raw Alpha158 without normalisation; its processor seconds and peak memory."""
    script = [python, str(scripts / "bench_handler.py"), "--bin=bin", "--threads=1"]
    figures = _figures([*script, "--kind=Alpha158", "--no-norm"], folder)
    peak = max(figures["peak_mb"], figures["peak_child_mb"])
    return {"cpu": figures["handler_cpu"], "peak_mb": peak}


def _table(_folder: Path) -> Figures:
    panel, names = simulated_panel(N_SYMBOLS, 1, DAILY_BARS), factor_names("alpha158")
    compute_table(panel.cut(slice(0, 100), slice(0, 2)), names)  # imports
    return _measured(lambda: compute_table(panel, names).shape)


def _pandas(_folder: Path) -> Figures:
    from benchmarks.pandas_alpha158 import alpha158_table

    panel = simulated_panel(N_SYMBOLS, 1, DAILY_BARS)
    return _measured(lambda: alpha158_table(panel).shape)


def _stream(folder: Path) -> Figures:
    panel = simulated_panel(N_SYMBOLS, BARS_OF_DAY, DAYS)
    names = factor_names("alpha158")
    return _measured(lambda: _write_stream(panel, names, folder / "features.parquet"))


def _write_stream(panel: Panel, names: list[str], file: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    for block in feature_blocks(panel, names, rows_per_block=ROWS_PER_BLOCK):
        table = pa.Table.from_pandas(block, preserve_index=False, nthreads=1)
        if writer is None:
            writer = pq.ParquetWriter(
                file,
                table.schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=["symbol"],
                write_statistics=False,
            )
        writer.write_table(table, row_group_size=len(table))
        del block, table  # the next block takes their place
    if writer is not None:
        writer.close()


def _measured(task: Any) -> Figures:
    cpu, wall = time.process_time(), time.perf_counter()
    task()
    figures = {
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - wall,
        "peak_mb": _peak_megabytes(),
    }
    return figures


def _peak_megabytes() -> float:
    """Highest resident memory of this process; unlike rusage, not of its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(v.split()[1]) / 1024 for v in lines if v.startswith("VmHWM"))


TASKS = {"table": _table, "pandas": _pandas, "stream": _stream}

if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[1]](Path(sys.argv[2]))))
