"""qlib's backtest as a peer: the best 50 names of a score, day by day, with costs.

It runs under an interpreter that has qlib, and imports nothing of this project. It
prints the processor seconds of one backtest of the bars and scores that
``benchmarks.backtest`` has written; reading them and starting qlib do not count.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

TOP, DROP = 50, 5


def write_bars(
    folder: Path, close: np.ndarray, days: pd.DatetimeIndex, names: list[str]
) -> None:
    """Write closes (T, S) as qlib's folder: float32, a start row, then the values."""
    texts = [day.strftime("%Y-%m-%d") for day in days]
    for part in ("calendars", "instruments"):
        (folder / part).mkdir(parents=True)
    (folder / "calendars" / "day.txt").write_text("\n".join(texts), encoding="utf-8")
    lines = [f"{name}\t{texts[0]}\t{texts[-1]}" for name in names]
    file = folder / "instruments" / "all.txt"
    file.write_text("\n".join(lines), encoding="utf-8")
    for name, prices in zip(names, close.T, strict=True):
        own = folder / "features" / name.lower()
        own.mkdir(parents=True)
        change = np.append(np.nan, prices[1:] / prices[:-1] - 1)
        volume = np.where(np.isfinite(prices), 1e9, np.nan)
        columns = {"volume": volume, "factor": np.ones(len(prices)), "change": change}
        for field in ("open", "high", "low", "close"):
            columns[field] = prices
        for field, values in columns.items():
            stored = np.append(0, values).astype("<f4")
            stored.tofile(own / f"{field}.day.bin")


def main(source: str) -> None:
    """Run qlib's backtest on ``source`` and print what it took."""
    warnings.filterwarnings("ignore")
    data = np.load(source)
    close, score = data["close"], data["score"]
    days = pd.bdate_range("2020-01-01", periods=len(close) + 1)
    names = [f"S{i:04d}" for i in range(close.shape[1])]
    folder = Path(source).parent / "qlib"
    # the day after the last bar: qlib's last step needs its end
    write_bars(folder, np.vstack([close, close[-1:]]), days, names)
    # the released package writes below the working folder on import and on init
    os.chdir(folder)
    importlib.import_module("qlib").init(
        provider_uri=str(folder),
        region="us",
        kernels=1,
        expression_cache=None,
        dataset_cache=None,
        logging_level=40,
    )
    index = pd.MultiIndex.from_product(
        [days[:-1], names], names=["datetime", "instrument"]
    )
    signal = pd.DataFrame({"score": score.ravel()}, index=index).dropna()
    strategies = importlib.import_module("qlib.contrib.strategy")
    strategy = strategies.TopkDropoutStrategy(signal=signal, topk=TOP, n_drop=DROP)
    started = time.process_time()
    portfolio = _backtest(strategy, days)
    seconds = time.process_time() - started
    report = portfolio["1day"][0]
    assert float(report["turnover"].sum()) > 1, "qlib traded nothing"
    print(seconds, flush=True)


def _backtest(strategy: Any, days: pd.DatetimeIndex) -> Any:
    run = importlib.import_module("qlib.backtest").backtest
    portfolio, _ = run(
        start_time=days[0],
        end_time=days[-2],
        strategy=strategy,
        executor={
            "class": "SimulatorExecutor",
            "module_path": "qlib.backtest.executor",
            "kwargs": {"time_per_step": "day", "generate_portfolio_metrics": True},
        },
        benchmark=pd.Series(0.0, index=days),
        account=1e8,
        exchange_kwargs={
            "freq": "day",
            "deal_price": "close",
            "open_cost": 5e-4,
            "close_cost": 5e-4,
            "min_cost": 0,
            "limit_threshold": None,
        },
    )
    return portfolio


if __name__ == "__main__":
    main(sys.argv[1])
