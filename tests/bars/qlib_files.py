"""A writer of small qlib folders: for tests of the reader and of the signal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

DEVICES = {"con", "prn", "aux", "nul"}


def feature_folder(root: Path, symbol: str) -> Path:
    """Where qlib keeps a symbol."""
    name = symbol.lower()
    return root / "features" / (f"_qlib_{name}" if name in DEVICES else name)


def write_qlib(
    root: Path,
    bars: pd.DataFrame,
    frequency: str = "day",
    markets: Mapping[str, Sequence[tuple[str, str, str]]] | None = None,
) -> Path:
    """Write long bars (symbol, timestamp, one column per field) as qlib stores them.

    One loop per symbol and field, as plain as the layout: float32 little-endian, first
    the row of the calendar on which the symbol starts, then one value per row, NaN
    where there is none.
    """
    shape = "%Y-%m-%d" if frequency == "day" else "%Y-%m-%d %H:%M:%S"
    calendar = sorted(bars["timestamp"].unique())
    texts = [pd.Timestamp(stamp).strftime(shape) for stamp in calendar]
    row = {pd.Timestamp(stamp): i for i, stamp in enumerate(calendar)}
    (root / "calendars").mkdir(parents=True, exist_ok=True)
    (root / "instruments").mkdir(exist_ok=True)
    (root / "calendars" / f"{frequency}.txt").write_text("\n".join(texts) + "\n")
    names = []
    for symbol, part in bars.groupby("symbol", sort=False):
        rows = [row[stamp] for stamp in part["timestamp"]]
        start, stop = min(rows), max(rows) + 1
        folder = feature_folder(root, str(symbol))
        folder.mkdir(parents=True, exist_ok=True)
        for field in part.columns.drop(["symbol", "timestamp"]):
            values = [float("nan")] * (stop - start)
            for at, value in zip(rows, part[field], strict=True):
                values[at - start] = value
            stored = np.array([start, *values], dtype="<f4")
            stored.tofile(folder / f"{field}.{frequency}.bin")
        names.append((str(symbol), texts[start], texts[stop - 1]))
    for market, spells in {"all": names, **(markets or {})}.items():
        lines = ["\t".join(spell) for spell in spells]
        (root / "instruments" / f"{market}.txt").write_text("\n".join(lines) + "\n")
    return root
