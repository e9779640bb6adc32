"""Raw market: a small table of raw bars with every defect that a rule is made for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.calendar import sessions_between
from ranking_pipeline.bars.config import DataConfig

N_SYMBOLS, N_DATES = 8, 60
FIRST_DATE = np.datetime64("2024-06-27", "D")  # New York closes early on 3 July 2024
N_SESSIONS, BARS_OF_A_SESSION = 5, 40
LONGEST_STALE_RUN = 20
_OPEN, _CLOSE = np.timedelta64(570, "m"), np.timedelta64(960, "m")

Stamps = npt.NDArray[np.datetime64]


@dataclass(frozen=True)
class RawMarket:
    """Raw bars, and the tables of who belongs when.

    Attributes
    ----------
    rows : DataFrame
        symbol, timestamp (START of the bar, no zone), open, high, low, close, volume,
        adj_close; sorted by timestamp.
    members : DataFrame
        symbol, start_date, end_date.
    sectors : DataFrame
        symbol, sector, valid_from.
    stamps : ndarray of datetime64[ns], shape (T,)
        Distinct timestamps.
    events : tuple of int
        Positions in ``stamps`` after which something happens to a symbol: a gap ends,
        a run of equal bars goes on, a symbol is listed, ends, splits or moves.
    """

    rows: pd.DataFrame
    members: pd.DataFrame
    sectors: pd.DataFrame
    stamps: Stamps
    events: tuple[int, ...]


def raw_market(config: DataConfig, seed: int) -> RawMarket:
    """Make raw bars as long as those of the user's source, on the user's calendar.

    Two gaps, a late listing, a symbol that ends, a run of equal bars, bars without
    volume, a missing price, a split with its adj_close, a dividend, a key given twice,
    a member that leaves and comes back, and a change of sector.
    """
    stamps = _stamps(config)
    n_bars = len(stamps)
    random = np.random.default_rng(seed)
    close = 40 * np.exp(np.cumsum(random.normal(0, 0.02, (N_SYMBOLS, n_bars)), axis=1))
    third, half, late = n_bars // 3, n_bars // 2, 3 * n_bars // 4
    factor = np.ones_like(close)
    factor[5, :half] = 0.5  # split 2:1
    factor[4, :late] = 0.98  # dividend
    rows = _table(random, stamps, close, factor)
    run = min(config.defects.stale_run_bars + 4, LONGEST_STALE_RUN)
    rows = _equal_bars(rows, n_bars, 3, third, run)
    rows.loc[_of(n_bars, 4, half, 2), "volume"] = 0.0
    rows.loc[_of(n_bars, 4, third, 2), "close"] = np.nan
    gone = [
        *_of(n_bars, 0, third, 3),
        *_of(n_bars, 0, half, 1),
        *_of(n_bars, 1, 0, third),
        *_of(n_bars, 2, late, n_bars - late),
    ]
    twice = rows.loc[_of(n_bars, 7, half, 1)].assign(volume=1.0)
    rows = pd.concat([rows.drop(index=gone), twice])
    rows = rows.sort_values("timestamp", kind="stable", ignore_index=True)
    events = {third - 1, third, third + 1, third + 2, third + 3, half - 1, half}
    events |= {half + 1, late - 1, late, third + run // 2, third + run - 1}
    days = stamps.astype("M8[D]")
    return RawMarket(
        rows,
        _members(days[half], days[late]),
        _sectors(days[half]),
        stamps,
        tuple(sorted(bar for bar in events if bar < n_bars - 1)),
    )


def _stamps(config: DataConfig) -> Stamps:
    """Starts of the bars of the source: business days, or some sessions."""
    source = config.of_source()
    if source.daily:
        dates = np.busday_offset(FIRST_DATE, np.arange(N_DATES), roll="forward")
        return np.asarray(dates.astype("M8[ns]"))
    length = np.timedelta64(source.bar_length.value, "ns")
    last = FIRST_DATE + np.timedelta64(3 * N_SESSIONS, "D")
    if config.calendar is None:
        dates = np.busday_offset(FIRST_DATE, np.arange(N_SESSIONS), roll="forward")
        days: Stamps = dates.astype("M8[ns]")
        opens, closes = np.add(days, _OPEN), np.add(days, _CLOSE)
    else:
        sessions = sessions_between(config.calendar, FIRST_DATE, last)
        opens, closes = sessions.opens[:N_SESSIONS], sessions.closes[:N_SESSIONS]
    return np.concatenate(
        [_session(*hours, length) for hours in zip(opens, closes, strict=True)]
    )


def _session(
    opens: np.datetime64, closes: np.datetime64, length: np.timedelta64
) -> Stamps:
    """Starts of the first and the last bars of a session."""
    count = int((closes - opens) // length)
    starts: Stamps = np.add(opens.astype("M8[ns]"), length * np.arange(count))
    if len(starts) <= BARS_OF_A_SESSION:
        return starts
    half = BARS_OF_A_SESSION // 2
    return np.concatenate([starts[:half], starts[-half:]])


def _table(
    random: np.random.Generator,
    stamps: Stamps,
    close: npt.NDArray[np.float64],
    factor: npt.NDArray[np.float64],
) -> pd.DataFrame:
    """One row per symbol and bar; row number = symbol x T + bar."""
    opened = close * np.exp(random.normal(0, 0.01, close.shape))
    high = np.maximum(opened, close) * 1.01
    low = np.minimum(opened, close) * 0.99
    raw = {"open": opened, "high": high, "low": low, "close": close}
    names = np.repeat([f"RAW{number}" for number in range(len(close))], len(stamps))
    table = {"symbol": names, "timestamp": np.tile(stamps, len(close))}
    prices = {name: (values / factor).ravel() for name, values in raw.items()}
    volume = np.exp(random.normal(12, 0.5, close.size)).round()
    return pd.DataFrame(
        {**table, **prices, "volume": volume, "adj_close": close.ravel()}
    )


def _of(n_bars: int, symbol: int, bar: int, count: int) -> list[int]:
    """Rows of some bars of one symbol."""
    return [symbol * n_bars + bar + step for step in range(count)]


def _equal_bars(
    rows: pd.DataFrame, n_bars: int, symbol: int, bar: int, count: int
) -> pd.DataFrame:
    equal, first = _of(n_bars, symbol, bar, count), symbol * n_bars + bar
    for name in ("open", "high", "low", "close", "adj_close"):
        rows.loc[equal, [name]] = rows[name].to_numpy()[first]
    return rows


def _members(leaves: np.datetime64, returns: np.datetime64) -> pd.DataFrame:
    """All symbols belong always, but for one that leaves and comes back."""
    always = [(f"RAW{number}", "2000-01-03", "") for number in range(N_SYMBOLS)]
    always[6] = ("RAW6", "2000-01-03", str(leaves - np.timedelta64(1, "D")))
    back = ("RAW6", str(returns), "")
    return pd.DataFrame([*always, back], columns=["symbol", "start_date", "end_date"])


def _sectors(moves: np.datetime64) -> pd.DataFrame:
    names = [(f"RAW{n}", "ab"[n % 2], "2000-01-03") for n in range(N_SYMBOLS)]
    moved = ("RAW6", "b", str(moves))
    return pd.DataFrame([*names, moved], columns=["symbol", "sector", "valid_from"])
