"""Run by an interpreter that has qlib: Alpha158 of a few symbols as qlib computes it.

``python qlib_alpha158.py BARS.parquet OUT.parquet`` reads rows (symbol, date, open, high,
low, close, volume), writes them as a qlib folder of its own, and stores the columns that
qlib's expressions give, keyed (symbol, date).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

FIELDS = ("open", "high", "low", "close", "volume", "vwap")


def write_folder(bars: pd.DataFrame, folder: Path) -> None:
    """A calendar, the list of symbols, and one float32 file per symbol and field."""
    dates = sorted(bars["date"].unique())
    place = {date: position for position, date in enumerate(dates)}
    text = [str(pd.Timestamp(date).date()) for date in dates]
    (folder / "calendars").mkdir()
    (folder / "calendars" / "day.txt").write_text("\n".join(text) + "\n")
    lines = []
    for symbol, own in bars.groupby("symbol"):
        first, last = own["date"].min(), own["date"].max()
        lines.append(f"{symbol}\t{text[place[first]]}\t{text[place[last]]}")
        axis = dates[place[first] : place[last] + 1]
        dense = own.set_index("date").reindex(axis)
        dense["vwap"] = (dense["high"] + dense["low"] + dense["close"]) / 3
        target = folder / "features" / str(symbol).lower()
        target.mkdir(parents=True)
        for field in FIELDS:
            stored = np.append(place[first], dense[field]).astype("<f4")
            stored.tofile(target / f"{field}.day.bin")
    (folder / "instruments").mkdir()
    (folder / "instruments" / "all.txt").write_text("\n".join(lines) + "\n")


def alpha158(folder: Path) -> pd.DataFrame:
    """The columns of Alpha158 as float32, index (symbol, date)."""
    import qlib
    from qlib.contrib.data.loader import Alpha158DL
    from qlib.data import D

    qlib.init(provider_uri=str(folder), region="us", kernels=1)
    expressions, names = Alpha158DL.get_feature_config()
    table = D.features(D.instruments("all"), expressions, freq="day")
    table.columns = names
    return table.rename_axis(["symbol", "date"])


def main() -> None:
    source, target = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        write_folder(pd.read_parquet(source), Path(folder))
        alpha158(Path(folder)).reset_index().to_parquet(target)


if __name__ == "__main__":
    main()
