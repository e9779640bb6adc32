"""Outcomes: what came after each decision, per target and split, on one set of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.baselines import naive_utc, trailing_deviation
from ranking_pipeline.models.assemble import locate
from ranking_pipeline.panel import Panel, to_cross_sections
from ranking_pipeline.splits import Splits

Matrix = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Outcome:
    """One target in cross-section layout.

    Attributes
    ----------
    target, task, kind, payoff_name : str
    horizon_bars, lag_bars : int
    payoff : ndarray, shape (T, S)
        Raw forward return over the target's horizon; NaN where not tradable.
    payoff_end : ndarray of int, shape (T, S)
        Bar at which it is known; -1 where it never is.
    label : ndarray, shape (T, S)
        The target itself: the class of a classification target.
    label_end : ndarray of int, shape (T, S)
    """

    target: str
    task: str
    kind: str
    payoff_name: str
    horizon_bars: int
    lag_bars: int
    payoff: Matrix
    payoff_end: npt.NDArray[np.intp]
    label: Matrix
    label_end: npt.NDArray[np.intp]


@dataclass(frozen=True)
class Block:
    """One split on the time axis: its bars, and the rows whose label ends inside.

    Attributes
    ----------
    name : str
    bars : slice
    payoff_rows, label_rows : ndarray of bool, shape (bars in the block, S)
    """

    name: str
    bars: slice
    payoff_rows: Mask
    label_rows: Mask


def outcome(
    target: str, labels: pd.DataFrame, manifest: pd.DataFrame, panel: Panel
) -> Outcome:
    """Lay out one target of the table of labels.

    Parameters
    ----------
    target : str
    labels : DataFrame
        Columns timestamp, symbol, the target, its payoff, and their ``__end``.
    manifest : DataFrame
        The table ``target_manifest``.
    panel : Panel

    Returns
    -------
    Outcome

    Raises
    ------
    UserError
        Where the manifest does not list the target.
    """
    found = manifest[manifest["target"] == target]
    if found.empty:
        known = ", ".join(map(str, manifest["target"]))
        raise UserError(
            f"evaluation: target '{target}' is not in target_manifest "
            f"(known: {known}); add it to the labels or change primary_target"
        )
    row = found.iloc[0]
    payoff_name = str(row["payoff"])
    cells = locate(panel, labels, "labels")
    payoff, payoff_end = _layout(labels, payoff_name, cells, panel)
    label, label_end = _layout(labels, target, cells, panel)
    return Outcome(
        target, str(row["task"]), str(row["kind"]), payoff_name,
        int(row["horizon_bars"]), int(row["entry_lag_bars"]),
        payoff, payoff_end, label, label_end,
    )  # fmt: skip


def block(data: Outcome, split: str, splits: Mapping[str, Any]) -> Block:
    """Bars of a split and the rows of ``data`` that may be measured in it."""
    limits = splits[split]
    bars = slice(int(limits["first_bar"]), int(limits["last_bar"]) + 1)
    rows = [
        _inside(values, end, bars, split, splits)
        for values, end in (
            (data.payoff, data.payoff_end),
            (data.label, data.label_end),
        )
    ]
    return Block(split, bars, rows[0], rows[1])


def majority_class(data: Outcome, splits: Mapping[str, Any]) -> float:
    """Most frequent class of the train rows: the guess that needs no features."""
    train = block(data, "train", splits)
    labels = data.label[train.bars][train.label_rows]
    if len(labels) == 0:
        return float("nan")
    classes, counts = np.unique(labels, return_counts=True)
    return float(classes[np.argmax(counts)])


def neutral_payoff(payoff: Matrix, returns: Matrix, panel: Panel, bars: int) -> Matrix:
    """Payoff over trailing volatility, less the mean of the symbol's sector.

    Parameters
    ----------
    payoff, returns : ndarray, shape (T, S)
    panel : Panel
        Names without a known sector are compared with each other.
    bars : int
        Window of the volatility, known at the decision.

    Returns
    -------
    ndarray of float64, shape (T, S)
        NaN where the payoff or the volatility is.
    """
    deviation = trailing_deviation(returns, bars)
    scaled = np.full(payoff.shape, np.nan)
    np.divide(payoff, deviation, out=scaled, where=deviation > 0)
    neutral = scaled.copy()
    for code in np.unique(panel.sectors):
        members = (panel.sectors.T == code) & np.isfinite(scaled)
        total = np.where(members, scaled, 0.0).sum(axis=1, keepdims=True)
        mean = total / np.maximum(members.sum(axis=1, keepdims=True), 1)
        neutral = np.where(members, scaled - mean, neutral)
    return neutral


def _layout(
    labels: pd.DataFrame,
    name: str,
    cells: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
    panel: Panel,
) -> tuple[Matrix, npt.NDArray[np.intp]]:
    missing = [column for column in (name, f"{name}__end") if column not in labels]
    if missing:
        raise UserError(
            f"labels: columns {missing} are absent; run data_preparation again so that "
            "labels and target_manifest agree"
        )
    shape = (panel.n_bars, panel.n_symbols)
    values = to_cross_sections(labels[name].to_numpy(np.float64), *cells, shape)
    values[~panel.tradable.T] = np.nan
    end = np.full(shape, -1, dtype=np.intp)
    end[cells] = _end_bars(labels[f"{name}__end"], panel)
    return values, end


def _end_bars(stamps: pd.Series, panel: Panel) -> npt.NDArray[np.intp]:
    naive = naive_utc(stamps)
    known = ~np.isnat(naive)
    bars = np.full(len(naive), -1, dtype=np.intp)
    bars[known] = panel.bar_positions(naive[known])
    return bars


def _inside(
    values: Matrix,
    end: npt.NDArray[np.intp],
    bars: slice,
    split: str,
    splits: Mapping[str, Any],
) -> Mask:
    known = np.isfinite(values[bars]) & (end[bars] >= 0)
    positions, symbols = np.nonzero(known)
    absolute = positions + bars.start
    kept = Splits.from_dict(splits).mask(split, absolute, end[absolute, symbols])
    inside = np.zeros(known.shape, dtype=np.bool_)
    inside[positions[kept], symbols[kept]] = True
    return inside
