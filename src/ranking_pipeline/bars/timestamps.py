"""From stamps as a file writes them to the END of each bar in UTC."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.config import UNIX_FORMATS, ChecksConfig
from ranking_pipeline.errors import UserError

# A time of day with an offset behind it; the day of a bare date is no offset.
_OFFSET = r"(?:\d{2}:\d{2}|T\d{4}).*?(?:Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"
_YEARS = (1700, 2200)
_DAY = pd.Timedelta(days=1)
_INSTANT = pd.Timedelta(1, unit="ns")


@dataclass(frozen=True)
class BarTimes:
    """When each row's bar ends and to which trading date it belongs.

    Attributes
    ----------
    end : ndarray of datetime64[ns], shape (n,)
        End of the bar in UTC; NaT where the stamp cannot be read.
    trading_date : ndarray of datetime64[ns], shape (n,)
        Midnight of the local date on which the bar ends.
    zone : str
        Zone in which the dates are counted.
    """

    end: npt.NDArray[np.datetime64]
    trading_date: npt.NDArray[np.datetime64]
    zone: str


def bar_times(stamps: pd.Series, config: ChecksConfig, where: str) -> BarTimes:
    """Turn stamps into bar ends.

    Stamps without a zone are taken to be in ``config.timezone``; stamps with one keep
    their instant. A daily bar covers one local date and ends at the next local
    midnight; its date is read in ``config.timezone`` when all stamps are midnights
    there, and as the stamp shows it otherwise. A local time of an intraday bar that a
    clock change skips or repeats cannot be read.

    Raises
    ------
    UserError
        Stamps without a zone and no ``data.timezone``; zoned and unzoned stamps mixed;
        numbers without ``data.timestamp_format``.
    """
    parsed = parse_stamps(stamps, config, where)
    require_zone(parsed, config, where)
    return _daily(parsed, config) if config.daily else _intraday(parsed, config)


def require_zone(parsed: pd.Series, config: ChecksConfig, where: str) -> None:
    """Refuse stamps that carry no time zone while none is configured."""
    if parsed.dt.tz is None and config.timezone is None:
        shown = parsed.dropna()
        example = f" ({shown.iloc[0]})" if len(shown) else ""
        raise UserError(
            f"{where}: the timestamps carry no time zone{example}, and "
            "data.timezone is null. Say where their clock stands, for example "
            "--params=data.timezone=America/New_York (or UTC)."
        )


def parse_stamps(stamps: pd.Series, config: ChecksConfig, where: str) -> pd.Series:
    """Read stamps of any stored type as datetime64[ns]; NaT = unreadable."""
    pattern = config.timestamp_format
    if isinstance(stamps.dtype, pd.DatetimeTZDtype) or stamps.dtype.kind == "M":
        return _nanoseconds(stamps)
    if pattern in UNIX_FORMATS:
        numbers = pd.to_numeric(stamps, errors="coerce")
        unit = UNIX_FORMATS[str(pattern)]
        instants = pd.to_datetime(numbers, unit=unit, utc=True, errors="coerce")
        return _nanoseconds(instants)
    if pd.api.types.is_numeric_dtype(stamps.dtype) and pattern is None:
        raise UserError(
            f"{where}: the timestamps are numbers (as {stamps.iloc[0]}). Say what they "
            "count: --params=data.timestamp_format=unix_s (unix_ms, unix_ns, or a "
            "pattern, which needs quotes inside quotes: '\"%Y%m%d\"')."
        )
    return _parse_text(stamps.astype(str).where(stamps.notna()), pattern, where)


def _parse_text(stamps: pd.Series, pattern: str | None, where: str) -> pd.Series:
    codes, texts = pd.factorize(stamps)
    distinct = pd.Series(texts).astype(str).str.strip()
    zoned = distinct.str.contains(_OFFSET, regex=True).to_numpy(bool)
    style = "ISO8601" if pattern is None else pattern
    if pattern is not None and "%z" in pattern:
        zoned[:] = True
    aware_ones = bool(zoned.any())
    try:
        parsed = pd.to_datetime(distinct, format=style, errors="coerce", utc=aware_ones)
    except ValueError as error:
        raise UserError(
            f"data.timestamp_format: {pattern!r} is no strptime pattern ({error})."
        ) from None
    readable = parsed.notna().to_numpy()
    if aware_ones and not zoned[readable].all():
        plain, aware = distinct[~zoned & readable].iloc[0], distinct[zoned].iloc[0]
        raise UserError(
            f"{where}: some timestamps carry a time zone ({aware}) and some do not "
            f"({plain}). Write all of them in the same way."
        )
    values = _nanoseconds(parsed)
    # Position -1 (a missing stamp) must pick NaT, not the last text.
    values = pd.concat([values, values.iloc[:0].reindex([0])], ignore_index=True)
    return values.iloc[codes].set_axis(stamps.index)


def _nanoseconds(stamps: pd.Series) -> pd.Series:
    years = stamps.dt.year
    inside = years.between(*_YEARS)
    kept: pd.Series = stamps if inside.all() else stamps.where(inside)
    fine: pd.Series = kept.dt.as_unit("ns")
    return fine


def _daily(parsed: pd.Series, config: ChecksConfig) -> BarTimes:
    zone = _daily_zone(parsed, config)
    wall = parsed if parsed.dt.tz is None else _wall_clock(parsed, zone)
    if config.bar_stamp == "start":
        date = wall.dt.floor("D")
        end = _localise(date + _DAY, zone)
    else:
        date = (wall - _INSTANT).dt.floor("D")
        end = _localise(wall, zone)
    return BarTimes(end, _array(date), zone)


def _daily_zone(parsed: pd.Series, config: ChecksConfig) -> str:
    if parsed.dt.tz is None:
        return str(config.timezone)
    if config.timezone is not None:
        wall = _wall_clock(parsed, config.timezone).dropna()
        if (wall == wall.dt.floor("D")).all():
            return config.timezone
    return str(parsed.dt.tz)


def _intraday(parsed: pd.Series, config: ChecksConfig) -> BarTimes:
    zone = config.timezone or str(parsed.dt.tz)
    if parsed.dt.tz is None:
        parsed = parsed.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    end = parsed + config.bar_length if config.bar_stamp == "start" else parsed
    date = _wall_clock(end - _INSTANT, zone).dt.floor("D")
    return BarTimes(_array(_wall_clock(end, "UTC")), _array(date), zone)


def _localise(wall: pd.Series, zone: str) -> npt.NDArray[np.datetime64]:
    """Wall clock -> UTC; where a clock change skips a time, the next one counts."""
    first = np.ones(len(wall), dtype=bool)
    local = wall.dt.tz_localize(zone, ambiguous=first, nonexistent="shift_forward")
    return _array(_wall_clock(local, "UTC"))


def _wall_clock(aware: pd.Series, zone: str) -> pd.Series:
    wall: pd.Series = aware.dt.tz_convert(zone).dt.tz_localize(None)
    return wall


def _array(stamps: pd.Series) -> npt.NDArray[np.datetime64]:
    return stamps.to_numpy(dtype="datetime64[ns]")
