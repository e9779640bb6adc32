"""Typed parameters of the bars: where they come from, how they are read and checked."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

import pandas as pd
from pydantic import BeforeValidator, Field, field_validator, model_validator

from ranking_pipeline.bars.source import SIMULATED
from ranking_pipeline.config import Config

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
    interval: Literal["1d", "5m"] = Field(
        description="length of a bar; must equal data.interval"
    )
    bars_per_session: int = Field(
        ge=1,
        le=78,
        description="bars of one session (5m; 78 fill 14:30-21:00 UTC)",
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


class ChecksConfig(Config):
    """How bars are read, which rows are trusted, and when the run must stop."""

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
    symbols: list[Symbol] = Field(description="symbols to use; empty = all")
    first_date: date | None = Field(description="first trading date used; null = all")
    last_date: date | None = Field(description="last trading date used; null = all")
    adjust_by_adj_close: bool = Field(
        description="scale open, high, low and close by adj_close / close where given"
    )
    range_rule: Literal["quarantine", "repair"] = Field(
        description="open or close outside [low, high]: set aside, or widen the range"
    )
    range_tolerance: float = Field(
        ge=0, description="relative excess over [low, high] that counts as rounding"
    )
    conflict_rule: Literal["quarantine", "keep_last"] = Field(
        description="rows with one key and different values: all out, or last one kept"
    )
    weekend_rule: Literal["quarantine", "keep"] = Field(
        description="daily bars of a Saturday or Sunday; keep for markets without rest"
    )
    stale_run_bars: int = Field(
        ge=1, description="equal bars in a row after which a name is not tradable"
    )
    outlier_sigmas: float = Field(
        gt=0, description="robust sigmas beyond which a reverting return is flagged"
    )
    survivorship_warning_share: float = Field(
        gt=0,
        le=1,
        description="share of symbols alive at the end that is suspicious",
    )
    max_quarantined_share: float = Field(
        ge=0, le=1, description="share of all rows set aside above which the run stops"
    )
    max_quarantined_share_of_symbol: float = Field(
        ge=0, le=1, description="the same for the rows of any one symbol"
    )

    @field_validator("interval")
    @classmethod
    def _known_interval(cls, value: str) -> str:
        if value != "1d" and not re.fullmatch(r"[1-9]\d{0,3}[mh]", value):
            raise ValueError(f"{value!r} is not a bar length: use 1d, 5m, 1h ...")
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
        minutes = {"m": 1, "h": 60, "d": 24 * 60}[self.interval[-1]]
        return pd.Timedelta(minutes=int(self.interval[:-1]) * minutes)


class DataConfig(ChecksConfig):
    """The section ``data``: a source of bars, its checks, and the simulated market."""

    source: str = Field(
        min_length=1,
        description="'simulated', or a parquet or CSV file, or a folder of them",
    )
    sectors: str | None = Field(
        description="CSV file with the columns symbol and sector; null = none"
    )
    market: MarketConfig

    @model_validator(mode="after")
    def _one_interval(self) -> Self:
        if self.source == SIMULATED and self.market.interval != self.interval:
            raise ValueError(
                f"interval is {self.interval!r} but market.interval is "
                f"{self.market.interval!r}: set both alike"
            )
        return self
