"""A qlib folder by its text files: the calendar, the instruments, the spells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.partitions import length_in_minutes
from ranking_pipeline.errors import UserError

_FUTURE = "_future"
# qlib keeps names that Windows reserves for devices behind a prefix.
_NUMBERED = {f"{device}{i}" for device in ("com", "lpt") for i in range(10)}
_DEVICES = {"con", "prn", "aux", "nul"} | _NUMBERED
_DEVICE_PREFIX = "_qlib_"


@dataclass(frozen=True)
class QlibFolder:
    """A qlib folder at one frequency.

    Attributes
    ----------
    root : Path
    frequency : str
        As qlib's file names spell it: ``day``, ``5min`` ...
    calendar : Series of datetime64[ns], shape (T,)
        Labels of the bars without a time zone, strictly increasing.
    symbols : tuple of str
        Names of ``instruments/all.txt`` in its order and spelling.
    """

    root: Path
    frequency: str
    calendar: pd.Series
    symbols: tuple[str, ...]


def open_qlib(root: Path, config: ChecksConfig) -> QlibFolder:
    """Read the calendar and the names of a qlib folder.

    Raises
    ------
    UserError
        As :func:`~ranking_pipeline.bars.qlib_bars.read_qlib`.
    """
    if not root.is_dir():
        raise UserError(f"data.source: {root} is no folder. Give that of qlib's data.")
    frequency = _frequency(root, config)
    if config.daily and config.bar_stamp == "end":
        raise UserError(
            "data.bar_stamp: end shifts every bar to the day before, because the daily "
            f"calendar of the qlib folder {root.name} names the trading dates "
            "themselves. Set data.bar_stamp: start."
        )
    spells = qlib_spells(root, "all")
    return QlibFolder(
        root,
        frequency,
        _calendar(root / "calendars" / f"{frequency}.txt"),
        _distinct(spells["symbol"].unique().tolist(), root),
    )


def qlib_spells(root: str | Path, market: str) -> pd.DataFrame:
    """Read when symbols belong to a market: the lines of ``instruments/<market>.txt``.

    Returns
    -------
    DataFrame
        symbol (text), first, last (datetime64[s], midnight of the first and of the
        last day inside). A symbol may have several spells.

    Raises
    ------
    UserError
        There is no such market, or a line is not name, first and last date.
    """
    path = Path(root) / "instruments" / f"{market}.txt"
    lines = _lines(path, f"data.source: {path.parent.parent} has no market {market!r}")
    cells = [[cell.strip() for cell in line.split("\t")] for line in lines]
    padded = [[*row, "", ""][:3] for row in cells]
    table = pd.DataFrame(padded, columns=["symbol", "first", "last"], dtype=str)
    for name in ("first", "last"):
        dates = pd.to_datetime(table[name], format="ISO8601", errors="coerce")
        table[name] = dates.dt.normalize().astype("M8[s]")
    wrong = table[["first", "last"]].isna().any(axis=1) | (table["symbol"] == "")
    if wrong.any():
        number = int(np.argmax(wrong.to_numpy()))
        raise UserError(
            f"{path}, line {number + 1}: {lines[number]!r} is not a name, its first and "
            "its last date, parted by tabs. Mend the line."
        )
    return table


def _frequency(root: Path, config: ChecksConfig) -> str:
    stems = sorted(path.stem for path in (root / "calendars").glob("*.txt"))
    stems = [stem for stem in stems if not stem.endswith(_FUTURE)]
    if not stems:
        raise UserError(
            f"data.source: {root} is laid out as a qlib folder but has no calendar "
            "(calendars/day.txt, calendars/5min.txt ...). Export it again, or set "
            "data.layout if it is something else."
        )
    wanted = length_in_minutes(config.interval)
    matches = [stem for stem in stems if length_in_minutes(stem) == wanted]
    if len(matches) != 1:
        raise UserError(
            f"data.interval is {config.interval}, but {root} has "
            f"{'two calendars' if matches else 'no calendar'} of that length: its "
            f"frequencies are {', '.join(stems)}. Set data.interval to one of them."
        )
    return matches[0]


def _calendar(path: Path) -> pd.Series:
    lines = pd.Series(_lines(path, f"data.source: {path} is missing"), dtype=str)
    stamps = pd.to_datetime(lines, format="ISO8601", errors="coerce")
    wrong = stamps.isna() | (stamps.diff() <= pd.Timedelta(0))
    if wrong.any():
        number = int(np.argmax(wrong.to_numpy()))
        raise UserError(
            f"{path}, line {number + 1}: {lines[number]!r} is no date later than the one "
            "before it. Mend the calendar."
        )
    fine: pd.Series = stamps.dt.as_unit("ns")
    return fine


def _lines(path: Path, problem: str) -> list[str]:
    """The lines of a text file that are not blank."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{problem} ({path} is not there).") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8: byte {error.start} cannot be decoded."
        ) from error
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise UserError(f"{path} is empty. Export the qlib folder again.")
    return lines


def _distinct(symbols: Sequence[str], root: Path) -> tuple[str, ...]:
    by_folder: dict[str, str] = {}
    for symbol in symbols:
        other = by_folder.setdefault(feature_folder(symbol), symbol)
        if other != symbol:
            raise UserError(
                f"{root / 'instruments' / 'all.txt'}: {other} and {symbol} differ only "
                "by case, and qlib keeps both in one folder. Rename one of them."
            )
    return tuple(symbols)


def feature_folder(symbol: str) -> str:
    """Where the binaries of a symbol lie below the folder."""
    name = symbol.lower()
    return f"features/{_DEVICE_PREFIX if name in _DEVICES else ''}{name}"
