"""A small market with candidates and a model whose scores are known."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from ranking_pipeline.panel import OHLCV, Panel
from ranking_pipeline.portfolio.prediction_config import (
    PredictionConfig,
    WeightingConfig,
)

PROJECT = Path(__file__).resolve().parents[2]
SECTORS = ("Energy", "Health Care")


def parameters(**changes: Any) -> PredictionConfig:
    """The shipped parameters by sector, with changes; ``weighting`` is merged."""
    text = (PROJECT / "conf/base/parameters_prediction.yml").read_text("utf-8")
    values = deepcopy(yaml.safe_load(text)["prediction"])
    values["weighting"] |= changes.pop("weighting", {})
    plain = {"per_sector": True, "score_band": None}
    return PredictionConfig.model_validate(values | plain | changes)


def weighting(**changes: Any) -> WeightingConfig:
    return parameters(weighting=changes).weighting


def market(n_symbols: int = 24, n_bars: int = 160, seed: int = 3) -> Panel:
    """Weekdays from 2020-01-01, all symbols present, every close of another path."""
    rng = np.random.default_rng(seed)
    days = np.datetime64("2020-01-01") + np.arange(2 * n_bars)
    days = days[np.is_busday(days)][:n_bars]
    moves = rng.normal(
        0, 0.01 + 0.001 * np.arange(n_symbols)[:, None], (n_symbols, n_bars)
    )
    close = 40 * np.exp(np.cumsum(moves, axis=1))
    values = np.repeat(close[:, :, None], 5, axis=2).astype(np.float32)
    return Panel(
        symbols=tuple(f"S{i:0{len(str(n_symbols))}d}" for i in range(n_symbols)),
        timestamps=(days + np.timedelta64(1, "D")).astype("M8[ns]"),
        fields=OHLCV,
        values=values,
        tradable=np.ones((n_symbols, n_bars), dtype=bool),
    )


def without_bars(panel: Panel, symbol: int, bars: slice) -> Panel:
    """The panel with some bars of a symbol taken out."""
    values, tradable = panel.values.copy(), panel.tradable.copy()
    values[symbol, bars] = np.nan
    tradable[symbol, bars] = False
    return _with(panel, values, tradable)


def moved_after(panel: Panel, bar: int) -> Panel:
    """The panel with other prices, and other gaps, after a bar."""
    values, tradable = panel.values.copy(), panel.tradable.copy()
    values[:, bar + 1 :] *= 3.7
    values[::2, bar + 1 :] = np.nan
    tradable[::2, bar + 1 :] = False
    return _with(panel, values, tradable)


def _with(panel: Panel, values: Any, tradable: Any) -> Panel:
    return Panel(panel.symbols, panel.timestamps, OHLCV, values, tradable)


def last_bar_before(panel: Panel, month: str) -> int:
    first = np.datetime64(month, "D")
    return int(np.flatnonzero(panel.trading_dates < first)[-1])


def candidates(panel: Panel, *months: str) -> pd.DataFrame:
    """The first half of each sector is long, the other short; composites by place."""
    rows = []
    half = panel.n_symbols // 2
    for month in months:
        stamp = panel.timestamps[last_bar_before(panel, month)]
        for place, symbol in enumerate(panel.symbols):
            inside = place % half
            leg = "long" if inside < half // 2 else "short"
            rank = inside + 1 if leg == "long" else half - inside
            rows.append(
                {
                    "month": month,
                    "timestamp": pd.Timestamp(stamp, tz="UTC"),
                    "asof_date": str(stamp - np.timedelta64(1, "D"))[:10],
                    "sector": SECTORS[place // half],
                    "gics_code": ("10", "35")[place // half],
                    "symbol": symbol,
                    "composite_score": np.float32(1 - inside / half),
                    "candidate_type": leg,
                    "rank": rank,
                }
            )
    return pd.DataFrame(rows).sort_values(["month", "sector", "symbol"])


@dataclass
class FakeModel:
    """Scores are the return of the last ten bars; counts how often it is asked."""

    until: np.datetime64 | None = field(
        default_factory=lambda: np.datetime64("2020-01-31", "ns")
    )
    asked: list[list[int]] = field(default_factory=list)
    unscored: tuple[int, ...] = ()
    alias: str = "production"
    version: str = "0123456789abcdef"
    label: str = "fake v. 01234567"
    target: str = "fwd_ret_5d"

    is_ranking_network: bool = False
    learning_target: str = "raw"

    @property
    def parts(self) -> tuple[str, ...]:
        return ("fake:seed=1",)

    def meta(self, part: str | None = None) -> Mapping[str, Any]:
        return {"task": "regression", "learning_target": self.learning_target}

    @property
    def record(self) -> Mapping[str, Any]:
        return {"model_id": "fake:seed=1", "parts": [{"seed": 1}, {"seed": "0,2"}]}

    @property
    def informed_until(self) -> np.datetime64 | None:
        return self.until

    def scores(self, panel: Panel, features: Any, bars: Any, threads: int = 1) -> Any:
        self.asked.append(list(map(int, bars)))
        close = panel.cross_sections("close").astype(np.float64)
        result = close[bars] / close[bars - 10] - 1
        result[:, list(self.unscored)] = np.nan
        return result
