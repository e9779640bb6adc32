"""Futures: the ways in which the bars of a panel after a cut are altered."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import FloatArray, Panel

TRUNCATED, UNIVERSE = "truncated", "universe"
FLAT_PRICE = 100.0
FIRST_PRICE = 50.0
LARGE = np.float32(1000.0)
MOVED_DAYS = 10  # longer than any holiday: every later bar changes week
SECTORS_IF_NONE = ("first", "second")

Alteration = Callable[[Panel, slice, np.random.Generator], dict[str, Any]]


def alter_future(panel: Panel, bar: int, mode: str, seed: int) -> Panel:
    """Alter everything that is not yet known at the close of ``bar``.

    Parameters
    ----------
    panel : Panel
    bar : int
        Last bar t that stays as it is.
    mode : str
        One of ``MODES``; all but ``truncated`` and ``universe`` keep the shape.
    seed : int

    Returns
    -------
    Panel
        Bars 0 ... t are those of ``panel``, bit for bit. In the way ``universe`` a
        symbol that is listed after t follows those of ``panel``.
    """
    if mode == TRUNCATED:
        return panel.cut(slice(bar + 1))
    altered = alter(panel, slice(bar + 1, None), mode, seed)
    return _with_newcomer(altered, bar) if mode == UNIVERSE else altered


def alter_past(panel: Panel, bar: int, mode: str, seed: int) -> Panel:
    """Alter everything before ``bar``; ``truncated`` starts the history there."""
    if mode == TRUNCATED:
        return panel.cut(slice(bar, None))
    return alter(panel, slice(bar), mode, seed)


def alter(panel: Panel, bars: slice, mode: str, seed: int) -> Panel:
    """Alter a span of bars in one of the ways that keep the shape.

    Raises
    ------
    UserError
        For an unknown mode.
    """
    if mode not in _ALTERATIONS:
        raise UserError(
            f"audit.modes: unknown way {mode!r}; there are {', '.join(MODES)}"
        )
    number = zlib.crc32(mode.encode())  # the same bars whatever else is audited
    first, stop, _ = bars.indices(panel.n_bars)
    random = np.random.default_rng([seed, number, first, stop])
    return replace(panel, **_ALTERATIONS[mode](panel, bars, random))


def alter_bars(bars: pd.DataFrame, after: pd.Timestamp, seed: int) -> pd.DataFrame:
    """Alter the rows of a table of bars that are stamped later than ``after``.

    Parameters
    ----------
    bars : DataFrame
        ``timestamp``, the prices ``open``, ``high``, ``low``, ``close`` and ``volume``.
    after : Timestamp
        Comparable with the column; rows at or before it stay as they are.
    seed : int

    Returns
    -------
    DataFrame
        The same rows. Each later bar's prices are scaled by one random number between
        1/2 and 2, so that the bar stays a possible one, and so is its volume.
    """
    later = (bars["timestamp"] > after).to_numpy()
    scale = np.random.default_rng(seed).uniform(0.5, 2.0, int(later.sum()))
    altered = bars.copy()
    for name in ("open", "high", "low", "close", "volume"):
        values = bars[name].to_numpy(dtype=np.float64).copy()
        values[later] *= scale
        kind = bars[name].dtype
        whole = values.round() if pd.api.types.is_integer_dtype(kind) else values
        altered[name] = pd.Series(whole, index=bars.index).astype(kind)
    return altered


def _random_walk(
    panel: Panel, bars: slice, random: np.random.Generator
) -> dict[str, Any]:
    """Other prices from the last known close on; missing bars stay missing."""
    close = _last_close(panel, bars.start or 0)
    n_bars = panel.values[:, bars].shape[1]
    steps = random.normal(0.0, 0.03, (panel.n_symbols, n_bars))
    path = close[:, None] * np.exp(np.cumsum(steps, axis=1))
    opened = path * np.exp(random.normal(0.0, 0.01, path.shape))
    volume = np.exp(random.normal(12.0, 1.0, path.shape))
    fields = {
        "open": opened,
        "high": np.maximum(opened, path) * 1.01,
        "low": np.minimum(opened, path) * 0.99,
        "close": path,
        "volume": volume,
    }
    values = panel.values.copy()
    present = panel.present[:, bars]
    for number, name in enumerate(panel.fields):
        span = values[:, bars, number]
        other = fields.get(name, span * 1.5)
        span[present] = other[present].astype(np.float32)
    return {"values": values}


def _last_close(panel: Panel, bar: int) -> FloatArray:
    """Close of each symbol's last bar before ``bar``; a plain price without one."""
    close = panel.field("close")[:, :bar].astype(np.float64)
    place = np.where(np.isfinite(close), np.arange(close.shape[1]), -1)
    last = place.max(axis=1, initial=-1)
    known = last >= 0
    price = np.full(panel.n_symbols, FIRST_PRICE)
    price[known] = close[known, last[known]]
    return price


def _missing(panel: Panel, bars: slice, random: np.random.Generator) -> dict[str, Any]:
    """No bar at all."""
    del random
    values, tradable = panel.values.copy(), panel.tradable.copy()
    values[:, bars], tradable[:, bars] = np.nan, False
    return {"values": values, "tradable": tradable}


def _scaled(panel: Panel, bars: slice, random: np.random.Generator) -> dict[str, Any]:
    """A thousand times the prices and the volume."""
    del random
    values = panel.values.copy()
    values[:, bars] *= LARGE
    return {"values": values}


def _constant(panel: Panel, bars: slice, random: np.random.Generator) -> dict[str, Any]:
    """One number in every field of every bar that exists."""
    del random
    values = panel.values.copy()
    span = values[:, bars]
    span[~np.isnan(span)] = FLAT_PRICE
    return {"values": values}


def _shuffled(panel: Panel, bars: slice, random: np.random.Generator) -> dict[str, Any]:
    """The same bars in another order."""
    values, tradable = panel.values.copy(), panel.tradable.copy()
    order = random.permutation(values[:, bars].shape[1])
    values[:, bars] = values[:, bars][:, order]
    tradable[:, bars] = tradable[:, bars][:, order]
    return {"values": values, "tradable": tradable}


def _half_missing(
    panel: Panel, bars: slice, random: np.random.Generator
) -> dict[str, Any]:
    """Half of the symbols are delisted."""
    gone = np.sort(random.permutation(panel.n_symbols)[: -(-panel.n_symbols // 2)])
    values, tradable = panel.values.copy(), panel.tradable.copy()
    values[gone, bars], tradable[gone, bars] = np.nan, False
    return {"values": values, "tradable": tradable}


def _universe(panel: Panel, bars: slice, random: np.random.Generator) -> dict[str, Any]:
    """Other members at the same prices: each bar's membership is the opposite."""
    del random
    tradable = panel.tradable.copy()
    tradable[:, bars] = ~tradable[:, bars] & panel.present[:, bars]
    return {"tradable": tradable}


def _with_newcomer(panel: Panel, bar: int) -> Panel:
    """One symbol more, whose bars all follow ``bar``: how many there will be is open."""
    twin = int(panel.present.sum(axis=1).argmax())
    values, tradable = panel.values[twin].copy(), panel.present[twin].copy()
    values[: bar + 1], tradable[: bar + 1] = np.nan, False
    return replace(
        panel,
        symbols=(*panel.symbols, f"{panel.symbols[-1]}~"),  # behind all others
        values=np.concatenate([panel.values, values[None]]),
        tradable=np.concatenate([panel.tradable, tradable[None]]),
        sectors=np.concatenate([panel.sectors, panel.sectors[twin][None]]),
    )


def _sectors(panel: Panel, bars: slice, random: np.random.Generator) -> dict[str, Any]:
    """Every symbol moves to another sector, drawn anew for each."""
    names = panel.sector_names if len(panel.sector_names) > 1 else SECTORS_IF_NONE
    codes = panel.sectors.copy()
    step = random.integers(1, len(names), (panel.n_symbols, 1))
    codes[:, bars] = (np.maximum(codes[:, bars], 0) + step) % len(names)
    return {"sectors": codes, "sector_names": names}


def _calendar(panel: Panel, bars: slice, random: np.random.Generator) -> dict[str, Any]:
    """The same bars at other times: later by days, at other minutes of the session."""
    del random
    stamps, dates = panel.timestamps.copy(), panel.trading_dates.copy()
    minutes = panel.session_minutes.copy()
    away = np.timedelta64(MOVED_DAYS if bars.start else -MOVED_DAYS, "D")
    stamps[bars] += away
    dates[bars] += away
    minutes[bars] += 1
    return {"timestamps": stamps, "trading_dates": dates, "session_minutes": minutes}


_ALTERATIONS: dict[str, Alteration] = {
    "random_walk": _random_walk,
    "missing": _missing,
    "scaled": _scaled,
    "constant": _constant,
    "shuffled": _shuffled,
    "half_missing": _half_missing,
    UNIVERSE: _universe,
    "sectors": _sectors,
    "calendar": _calendar,
}
SAME_SHAPE = tuple(_ALTERATIONS)
MODES = (TRUNCATED, *SAME_SHAPE)
# Ways that leave every bar where it is: the batches of a network keep their size.
SAME_CELLS = ("random_walk", "scaled", "constant")
DESCRIPTIONS = {
    TRUNCATED: "the panel is cut off",
    "random_walk": "the prices are other ones",
    "missing": "all bars are missing",
    "scaled": "prices and volume are a thousandfold",
    "constant": "every field is one number",
    "shuffled": "the bars come in another order",
    "half_missing": "half of the symbols are missing",
    UNIVERSE: "the members are other ones, and one more is listed",
    "sectors": "every symbol is in another sector",
    "calendar": "the bars come at other times",
}
