"""Typed parameters of the bars: where they come from, how they are read and checked."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

import pandas as pd
from pydantic import BeforeValidator, Field, field_validator, model_validator

from ranking_pipeline.bars.defect_rules import DefectRules
from ranking_pipeline.bars.interval import interval_minutes
from ranking_pipeline.bars.source import SIMULATED
from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError

CANONICAL_COLUMNS = (
    "symbol",
    "timestamp",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "adj_close",
)
UNIX_FORMATS: dict[str, Literal["s", "ms", "ns"]] = {
    "unix_s": "s",
    "unix_ms": "ms",
    "unix_ns": "ns",
}


def _refuse_mangled(value: Any) -> Any:
    """Refuse what YAML makes of an unquoted ticker (ON, NO, 1E5, NULL)."""
    if not isinstance(value, str):
        raise ValueError(
            f"{value!r} is not text: YAML reads tickers such as ON, NO, TRUE, NULL or "
            "1E5 as other things. Quote it, as in '\"ON\"'."
        )
    return value


def _refuse_mangled_list(value: Any) -> Any:
    """Refuse one ticker which YAML took for something else than text."""
    if isinstance(value, bool | int | float):
        _refuse_mangled(value)
    return value


Symbol = Annotated[str, BeforeValidator(_refuse_mangled), Field(min_length=1)]


class SignalWeights(Config):
    """Weights of the planted score; each part is standardised across symbols first."""

    gap: float = Field(
        description="weight of the gap between the last close and this open"
    )
    momentum: float = Field(
        description="weight of the 20-bar return of the names that are calm"
    )
    volume: float = Field(description="weight of the volume surprise")
    sequence: float = Field(
        description="weight of the 32-bar oscillation, which only a window can see"
    )


class MarketConfig(Config):
    """The simulated market."""

    n_symbols: int = Field(ge=4, description="number of symbols")
    n_sectors: int = Field(ge=1, description="number of sectors, dealt out in turn")
    n_bars: int = Field(ge=64, description="number of bars on the common time axis")
    interval: Literal["1d", "5m", "1m"] = Field(
        description="length of a bar; must equal data.interval, or data.source_interval"
    )
    bars_per_session: int = Field(
        ge=1,
        le=1440,
        description="bars of one full intraday session; 78 of 5m, or 390 of 1m, fill "
        "09:30-16:00",
    )
    calendar: str | None = Field(
        description="sessions, as XNYS: its dates, hours and early closes; null = "
        "business days, intraday 09:30-16:00 in New York"
    )
    start_date: date = Field(description="first calendar day of the simulation")
    strength: float = Field(
        ge=0,
        description="planted return per unit of score, in own volatilities of one bar",
    )
    reversed_symbols: int = Field(
        ge=0, description="number of symbols that answer to the score the other way"
    )
    reversed_loading: float = Field(description="their loading; all others have 1")
    signal_weights: SignalWeights
    late_listings: int = Field(ge=0, description="symbols listed after the first bar")
    delistings: int = Field(ge=0, description="symbols that end before the last bar")
    missing_share: float = Field(
        ge=0, lt=0.5, description="share of bars left out at random"
    )
    planted_defects: bool = Field(
        description="whether a few rows are damaged, so that the checks have work"
    )

    @model_validator(mode="after")
    def _roles_fit(self) -> Self:
        special = self.reversed_symbols + self.late_listings + self.delistings
        if special > self.n_symbols:
            raise ValueError(
                f"reversed_symbols + late_listings + delistings = {special} exceed "
                f"n_symbols = {self.n_symbols}"
            )
        return self

    @model_validator(mode="after")
    def _bars_fit_the_session(self) -> Self:
        fitting = {"1d": self.bars_per_session, "5m": 78, "1m": 390}[self.interval]
        if self.calendar is None and self.bars_per_session > fitting:
            raise ValueError(
                f"bars_per_session is {self.bars_per_session}, but 09:30-16:00 holds "
                f"{fitting} bars of {self.interval}"
            )
        return self


class ChecksConfig(Config):
    """How bars are read, which rows are trusted, and when the run must stop."""

    layout: Literal["auto", "long", "wide", "qlib"] = Field(
        description="long: one row per bar; wide: one column per field and symbol, or "
        "one file per field; qlib: its binary folder; auto: told from the names"
    )
    interval: str = Field(
        description="length of a bar: 1d, or a number of minutes or hours as 5m, 1h"
    )
    bar_stamp: Literal["start", "end"] = Field(
        description="whether a stamp names the start or the end of its bar"
    )
    timezone: str | None = Field(
        description="zone of stamps that carry none, as America/New_York"
    )
    timestamp_format: str | None = Field(
        description="strptime pattern or unix_s, unix_ms, unix_ns; null = ISO 8601"
    )
    encoding: str = Field(description="text encoding of CSV files")
    column_map: dict[str, str] = Field(
        description="our column name -> the name in the file, where they differ"
    )
    symbols: Annotated[list[Symbol], BeforeValidator(_refuse_mangled_list)] = Field(
        description="symbols to use; empty = all"
    )
    first_date: date | None = Field(description="first trading date used; null = all")
    last_date: date | None = Field(description="last trading date used; null = all")
    adjust_by_adj_close: bool = Field(
        description="scale open, high, low and close by adj_close / close where given"
    )
    calendar: str | None = Field(
        description="exchange calendar, as XNYS or 24/7; null = every local date trades"
    )
    session: Literal["regular", "all"] = Field(
        description="with a calendar, intraday bars outside the session: set aside "
        "(regular), or keep (all)"
    )
    defects: DefectRules = Field(description="what becomes of each defect")
    max_quarantined_share: float = Field(
        ge=0, le=1, description="share of all rows set aside above which the run stops"
    )
    max_quarantined_share_of_symbol: float = Field(
        ge=0, le=1, description="the same for the rows of any one symbol"
    )

    @field_validator("interval")
    @classmethod
    def _known_interval(cls, value: str) -> str:
        _minutes("interval", value)
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ZoneInfo(value)
            except (KeyError, ValueError, OSError) as error:
                raise ValueError(
                    f"{value!r} is not a time zone: use a name such as America/New_York"
                ) from error
        return value

    @field_validator("column_map")
    @classmethod
    def _known_columns(cls, value: dict[str, str]) -> dict[str, str]:
        unknown = sorted(set(value) - set(CANONICAL_COLUMNS))
        if unknown:
            raise ValueError(
                f"unknown column {unknown[0]!r}: the keys are our names "
                f"({', '.join(CANONICAL_COLUMNS)}), the values those in the file"
            )
        return value

    @model_validator(mode="after")
    def _dates_in_order(self) -> Self:
        if self.first_date and self.last_date and self.first_date > self.last_date:
            raise ValueError(
                f"first_date {self.first_date} is after last_date {self.last_date}"
            )
        return self

    @property
    def daily(self) -> bool:
        """Whether one bar is one trading date."""
        return self.interval == "1d"

    @property
    def bar_length(self) -> pd.Timedelta:
        """Length of an intraday bar (a day for daily bars)."""
        return pd.Timedelta(minutes=interval_minutes(self.interval))


class DataConfig(ChecksConfig):
    """The section ``data``: a source of bars, its checks, and the simulated market."""

    source: str = Field(
        min_length=1,
        description="'simulated', a parquet or CSV file, a folder of them (one file per "
        "symbol, Hive, one wide file per field), or a qlib folder",
    )
    source_interval: str | None = Field(
        description="length of the bars in the source where they are finer than "
        "interval, to which they are then resampled; null = the same"
    )
    sectors: str | None = Field(
        description="CSV file with the columns symbol, sector and, where sectors change, "
        "valid_from [, valid_to]; null = none"
    )
    universe: str | None = Field(
        description="CSV file of membership: symbol, start_date, end_date (empty = still "
        "a member); null = every symbol is a member always"
    )
    market: MarketConfig

    @model_validator(mode="after")
    def _intervals_fit(self) -> Self:
        if self.source_interval is not None:
            fine = _minutes("source_interval", self.source_interval)
            coarse = _minutes("interval", self.interval)
            if fine >= coarse or coarse % fine:
                raise ValueError(
                    f"source_interval {self.source_interval!r} must be shorter than "
                    f"interval {self.interval!r} and divide it; null when they are equal"
                )
            anchored = self.calendar is not None or self.interval == "1d"
            if self.source != SIMULATED and not anchored:
                raise ValueError(
                    f"bars of {self.interval} are counted from the open of a session, "
                    "which source_interval needs to know: set calendar, as XNYS or 24/7"
                )
        wanted = self.source_interval or self.interval
        if self.source == SIMULATED and self.market.interval != wanted:
            name = "interval" if self.source_interval is None else "source_interval"
            raise ValueError(
                f"{name} is {wanted!r} but market.interval is "
                f"{self.market.interval!r}: set both alike"
            )
        return self

    def of_source(self) -> Self:
        """Parameters with the interval of the bars as the source holds them."""
        if self.source_interval is None:
            return self
        return self.model_copy(update={"interval": self.source_interval})


def _minutes(name: str, interval: str) -> int:
    try:
        return interval_minutes(interval)
    except UserError as error:
        raise ValueError(f"{name}: {error}") from None
