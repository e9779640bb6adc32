"""Good bars damaged in the ways of the 26 classes, as files of a folder or a frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

PRICES = ["open", "high", "low", "close"]
COLUMNS = ["symbol", "timestamp", *PRICES, "volume"]
N_ROWS = 40


def parquet(frame: pd.DataFrame, folder: Path, name: str = "bars.parquet") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = [c for c in frame if c not in {"source_file", "source_row"}]
    frame[columns].to_parquet(path, index=False)
    return path


def no_close(frame: pd.DataFrame, folder: Path) -> Path:
    return parquet(frame.rename(columns={"close": "Last"}), folder)


def extra_column(frame: pd.DataFrame, folder: Path) -> Path:
    return parquet(frame.assign(mood="good"), folder)


def text_prices(frame: pd.DataFrame, folder: Path) -> Path:
    texts = frame["close"].map(repr)
    texts[7] = "twelve"
    return parquet(frame.assign(close=texts), folder)


def latin(frame: pd.DataFrame, folder: Path) -> Path:
    path = folder / "bars.csv"
    frame.replace("AAA", "\xc9AA")[COLUMNS].to_csv(
        path, index=False, encoding="latin-1"
    )
    return path


def torn_file(frame: pd.DataFrame, folder: Path) -> Path:
    for symbol, own in frame.groupby("symbol"):
        parquet(own, folder / "bars", f"{symbol}.parquet")
    torn = parquet(frame, folder / "bars", "CCC.parquet")
    torn.write_bytes(torn.read_bytes()[:-50])
    return folder / "bars"


def missing_prices(frame: pd.DataFrame, folder: Path) -> Path:
    frame.loc[5, "open"], frame.loc[25, "close"] = np.nan, np.inf
    return parquet(frame, folder)


def senseless(frame: pd.DataFrame, folder: Path) -> Path:
    frame.loc[4, "close"], frame.loc[5, "low"] = 0.0, -1.0
    frame.loc[25, "volume"] = -5.0
    return parquet(frame, folder)


def no_volume(frame: pd.DataFrame, folder: Path) -> Path:
    frame.loc[[3, 4], "volume"] = 0.0
    return parquet(frame, folder)


def crossed(frame: pd.DataFrame, folder: Path) -> Path:
    frame.loc[6, ["high", "low"]] = frame.loc[6, ["low", "high"]].to_numpy()
    return parquet(frame, folder)


def twice(frame: pd.DataFrame, folder: Path) -> Path:
    return parquet(pd.concat([frame, frame.iloc[[5]]]), folder)


def twice_otherwise(frame: pd.DataFrame, folder: Path) -> Path:
    return parquet(pd.concat([frame, frame.iloc[[5]].assign(volume=9.0)]), folder)


def unsorted(frame: pd.DataFrame, folder: Path) -> Path:
    return parquet(frame.iloc[[1, 0, *range(2, N_ROWS)]], folder)


def naive(frame: pd.DataFrame, folder: Path) -> Path:
    return parquet(frame, folder)


def many_zones(frame: pd.DataFrame, folder: Path) -> pd.DataFrame:
    zones = ["America/New_York", "Asia/Tokyo"] * (N_ROWS // 2)
    utc = (frame["timestamp"] + pd.Timedelta(hours=15)).dt.tz_localize("UTC")
    local = [t.tz_convert(zone) for t, zone in zip(utc, zones, strict=True)]
    return frame.assign(timestamp=pd.Series(local, dtype=object))


def some_zones(frame: pd.DataFrame, folder: Path) -> pd.DataFrame:
    mixed = many_zones(frame, folder)
    mixed.loc[3, "timestamp"] = pd.Timestamp("2024-01-11 10:00")
    return mixed


def end_stamps(frame: pd.DataFrame, folder: Path) -> Path:
    """Hourly bars of three days whose stamps name their ends."""
    days = [pd.Timestamp(f"2024-01-{day} 10:30") for day in ("08", "09", "10")]
    hours = [day + pd.Timedelta(hours=h) for day in days for h in range(6)]
    hours += [pd.Timestamp(f"2024-01-{day} 16:00") for day in ("08", "09")]
    stamps = sorted(hours)
    return parquet(frame.assign(timestamp=stamps * 2), folder)


def gaps(frame: pd.DataFrame, folder: Path) -> Path:
    return parquet(frame.drop(index=[3, 4, 5, 6, 30]), folder)


def left_early(frame: pd.DataFrame, folder: Path) -> Path:
    return parquet(frame.drop(index=[0, 1, 37, 38, 39]), folder)


def as_it_is(frame: pd.DataFrame, folder: Path) -> Path:
    return parquet(frame, folder)


def stale(frame: pd.DataFrame, folder: Path) -> Path:
    frame.loc[range(4, 14), PRICES] = 50.0
    return parquet(frame, folder)


def one_symbol(frame: pd.DataFrame, folder: Path) -> Path:
    return parquet(frame.iloc[:20], folder)


def split(frame: pd.DataFrame, folder: Path) -> Path:
    frame.loc[range(10, 20), PRICES] /= 4
    frame.loc[range(10, 20), "volume"] *= 4
    # The eleventh bar of AAA is that of Monday 2024-01-22.
    text = "symbol,date,ratio\nAAA,2024-01-22,4\nZZZ,2024-01-22,2\n"
    (folder / "splits.csv").write_text(text)
    return parquet(frame, folder)


def spike(frame: pd.DataFrame, folder: Path) -> Path:
    frame.loc[10, PRICES] *= 3
    return parquet(frame, folder)


def empty_file(frame: pd.DataFrame, folder: Path) -> Path:
    for symbol, own in frame.groupby("symbol"):
        parquet(own, folder / "bars", f"{symbol}.parquet")
    parquet(frame.iloc[:0], folder / "bars", "CCC.parquet")
    return folder / "bars"


ODD = ("ON", "NO", "TRUE", "NA", "NULL", "NAN", "0700", "1E5", "BRK.B", "on")


def odd_symbols(frame: pd.DataFrame, folder: Path) -> Path:
    names = np.repeat(ODD, N_ROWS // len(ODD))
    path = folder / "bars.csv"
    frame.assign(symbol=names)[COLUMNS].to_csv(path, index=False)
    return path


def wrong_days(frame: pd.DataFrame, folder: Path) -> Path:
    frame.loc[19, "timestamp"] = pd.Timestamp("2024-06-04")
    frame.loc[24, "timestamp"] = pd.Timestamp("2024-01-13")
    return parquet(frame, folder)


def too_fine(frame: pd.DataFrame, folder: Path) -> Path:
    """Prices near 20 million cents which move by one cent."""
    cents = np.full(N_ROWS, 20_000_000, dtype=np.int64)
    prices = dict.fromkeys(["open", "close", "low"], cents) | {"high": cents + 1}
    frame = frame.assign(**prices, volume=frame["volume"].astype("int64"))
    frame.loc[2, "volume"] = 2**53 + 1
    return parquet(frame, folder)
