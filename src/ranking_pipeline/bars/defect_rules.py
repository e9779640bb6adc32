"""What becomes of each defect of raw bars: one choice per defect."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ranking_pipeline.config import Config


class DefectRules(Config):
    """The section ``data.defects``; the first choice of each rule is the cautious one."""

    unknown_columns: Literal["keep_aside", "error"] = Field(
        description="columns that are none of ours: list them, or stop"
    )
    unreadable_files: Literal["skip", "error"] = Field(
        description="damaged files of a folder: leave out and list, or stop"
    )
    empty_files: Literal["skip", "error"] = Field(
        description="files of a folder without rows: leave out and list, or stop"
    )
    text_numbers: Literal["cast", "error"] = Field(
        description="numbers stored as text: cast without loss and count, or stop"
    )
    precision_loss: Literal["flag", "error"] = Field(
        description="bars whose high and low are one number in 32 bits: flag, or stop"
    )
    unsorted_rows: Literal["sort", "error"] = Field(
        description="rows of a symbol that go back in time: sort and count, or stop"
    )
    missing_prices: Literal["quarantine", "forward_fill"] = Field(
        description="rows with a missing or infinite price: set aside, or last close"
    )
    gaps: Literal["keep", "forward_fill"] = Field(
        description="bars that a symbol lacks between others: leave out, or last close"
    )
    max_fill_bars: int = Field(
        ge=1, description="bars after a real one which forward_fill may reach"
    )
    zero_volume: Literal["keep", "quarantine"] = Field(
        description="bars without volume: keep them not tradable, or set aside"
    )
    price_range: Literal["quarantine", "repair"] = Field(
        description="open or close outside [low, high]: set aside, or widen the range"
    )
    price_range_tolerance: float = Field(
        ge=0, description="relative excess over [low, high] that counts as rounding"
    )
    conflicts: Literal["quarantine", "keep_last"] = Field(
        description="rows with one key and different values: all out, or last one kept"
    )
    future_bars: Literal["quarantine", "keep"] = Field(
        description="bars that have not begun: set aside, or keep"
    )
    weekends: Literal["quarantine", "keep"] = Field(
        description="daily bars of a Saturday or Sunday, and with a calendar all bars "
        "of dates without a session: set aside, or keep"
    )
    stale_runs: Literal["not_tradable", "keep"] = Field(
        description="bars that repeat the prices before: not tradable, or as any other"
    )
    stale_run_bars: int = Field(
        ge=1, description="equal bars in a row after which a name is stale"
    )
    outliers: Literal["flag", "quarantine"] = Field(
        description="moves that are at once undone: flag, or set aside (which the next "
        "bar decides: a look ahead)"
    )
    outlier_sigmas: float = Field(
        gt=0, description="robust sigmas beyond which a reverting return is an outlier"
    )
    split_table: str | None = Field(
        description="CSV file symbol, date, ratio of the splits to adjust for; null = "
        "none"
    )
    max_split_share: float = Field(
        ge=0,
        le=1,
        description="share of symbols with a likely unadjusted split above which the "
        "run stops; 1 = never",
    )
    survivorship: Literal["warn", "error"] = Field(
        description="nearly all symbols trade to the last day: warn, or stop"
    )
    survivorship_share: float = Field(
        gt=0, le=1, description="share of symbols alive at the end that is suspicious"
    )
