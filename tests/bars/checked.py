"""Raw bars of a frame, ingested, with the panel as one table: what most tests look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from ranking_pipeline.bars.calendar import Sessions
from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.dense import bar_table
from ranking_pipeline.bars.ingest import Ingested, ingest
from ranking_pipeline.bars.raw import FrameBars
from ranking_pipeline.bars.reading import Reading
from ranking_pipeline.panel import OHLCV, Panel


@dataclass(frozen=True)
class Checked:
    """What an ingest gave, with the bars as a table in 64 bits."""

    ingested: Ingested
    bars: pd.DataFrame

    @property
    def panel(self) -> Panel:
        return self.ingested.panel

    @property
    def quarantine(self) -> pd.DataFrame:
        return self.ingested.quarantine

    @property
    def quality(self) -> pd.DataFrame:
        return self.ingested.quality

    @property
    def gaps(self) -> pd.DataFrame:
        return self.ingested.gaps

    @property
    def summary(self) -> dict[str, Any]:
        return self.ingested.summary


def table(done: Ingested) -> Checked:
    bars = bar_table(done.panel, slice(None)).astype(dict.fromkeys(OHLCV, "float64"))
    return Checked(done, bars)


def check(
    raw: pd.DataFrame,
    config: ChecksConfig,
    *,
    reading: Reading | None = None,
    now: pd.Timestamp | None = None,
    calendar: Sessions | None = None,
) -> Checked:
    """Ingest a frame of raw bars."""
    source = FrameBars(raw, reading or Reading("frame"))
    return table(ingest(source, config, now=now, calendar=calendar))


def account(checked: Checked, rows_in: int) -> None:
    """Every row was kept, repaired or set aside; added bars are counted apart."""
    summary = checked.summary
    assert summary["rows_in"] == rows_in
    assert summary["rows_in"] == (
        summary["rows_kept"] + summary["rows_repaired"] + summary["rows_quarantined"]
    )
    bars = summary["rows_kept"] + summary["rows_repaired"] + summary["rows_filled"]
    assert len(checked.bars) == bars
    assert len(checked.quarantine) == summary["rows_quarantined"]


def line(checked: Checked, rule: str) -> dict[str, Any]:
    """The one line of a rule."""
    lines = checked.quality[checked.quality["rule"] == rule]
    assert len(lines) == 1, checked.quality
    return dict(lines.iloc[0])
