"""The 158 factors of Alpha158 in plain pandas: wide frames, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from ranking_pipeline.features.sets import ALPHA158_WINDOWS
from ranking_pipeline.panel import Panel

Frame = pd.DataFrame


def alpha158_table(panel: Panel) -> pd.DataFrame:
    """Compute the table of rows (timestamp, symbol) in float32."""
    bars = {
        name: Frame(panel.cross_sections(name).astype(float)) for name in panel.fields
    }
    values = np.empty((panel.n_bars * panel.n_symbols, 158), dtype=np.float32)
    names = []
    for i, (name, frame) in enumerate(_columns(bars)):
        values[:, i] = frame.to_numpy(np.float32).ravel()
        names.append(name)
    return pd.DataFrame(values, columns=names, copy=False)


def _columns(b: dict[str, Frame]) -> Iterator[tuple[str, Frame]]:
    yield from _of_one_bar(b).items()
    for width in ALPHA158_WINDOWS:
        for name, compute in _ROLLING.items():
            yield f"{name}{width}", compute(b, width)


def _of_one_bar(b: dict[str, Frame]) -> dict[str, Frame]:
    height = b["high"] - b["low"]
    top = b["open"].where(b["open"] > b["close"], b["close"])
    bottom = b["open"].where(b["open"] < b["close"], b["close"])
    shift = 2 * b["close"] - b["high"] - b["low"]
    return {
        "KMID": (b["close"] - b["open"]) / b["open"],
        "KLEN": height / b["open"],
        "KMID2": (b["close"] - b["open"]) / height,
        "KUP": (b["high"] - top) / b["open"],
        "KUP2": (b["high"] - top) / height,
        "KLOW": (bottom - b["low"]) / b["open"],
        "KLOW2": (bottom - b["low"]) / height,
        "KSFT": shift / b["open"],
        "KSFT2": shift / height,
        "OPEN0": b["open"] / b["close"],
        "HIGH0": b["high"] / b["close"],
        "LOW0": b["low"] / b["close"],
        "VWAP0": (b["high"] + b["low"] + b["close"]) / 3 / b["close"],
    }


def _trend(close: Frame, w: int) -> tuple[Frame, Frame, Frame]:
    """Slope, fit and residual; sums over a matrix of the window's bars."""
    ages = np.arange(w) - (w - 1) / 2
    weights = np.full((len(close), close.shape[1]), np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(close.to_numpy(), w, axis=0)
    weights[w - 1 :] = windows @ (ages / (ages @ ages))
    slope = pd.DataFrame(weights)
    deviation = close.rolling(w).std(ddof=0)
    fit = (slope * ages.std() / deviation) ** 2
    residual = close - close.rolling(w).mean() - slope * (w - 1) / 2
    return slope, fit, residual


def _place(values: Frame, w: int, find: Callable[..., np.ndarray]) -> Frame:
    found = np.full(values.shape, np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(values.to_numpy(), w, axis=0)
    found[w - 1 :] = find(windows, axis=-1) + 1
    return pd.DataFrame(found)


def _correlation(x: Frame, y: Frame, w: int) -> Frame:
    return pd.DataFrame(x.rolling(w).corr(y, pairwise=False))


def _rises(values: Frame, w: int) -> Frame:
    change = values.diff()
    return change.clip(lower=0).rolling(w).sum() / change.abs().rolling(w).sum()


def _moves(b: dict[str, Frame]) -> Frame:
    return (b["close"] / b["close"].shift(1) - 1).abs() * b["volume"]


def _up(b: dict[str, Frame], w: int, sign: int = 1) -> Frame:
    change = sign * b["close"].diff()
    return (change > 0).where(change.notna()).astype(float).rolling(w).mean()


def _range_position(b: dict[str, Frame], w: int) -> Frame:
    low = b["low"].rolling(w).min()
    return (b["close"] - low) / (b["high"].rolling(w).max() - low)


def _order(b: dict[str, Frame], w: int) -> Frame:
    return _place(b["high"], w, np.argmax) - _place(b["low"], w, np.argmin)


def _log_plus_one(values: Frame) -> Frame:
    return pd.DataFrame(np.log1p(values.to_numpy()))


def _growth(values: Frame) -> Frame:
    return values / values.shift(1)


_ROLLING: dict[str, Callable[[dict[str, Frame], int], Frame]] = {
    "ROC": lambda b, w: b["close"].shift(w) / b["close"],
    "MA": lambda b, w: b["close"].rolling(w).mean() / b["close"],
    "STD": lambda b, w: b["close"].rolling(w).std() / b["close"],
    "BETA": lambda b, w: _trend(b["close"], w)[0] / b["close"],
    "RSQR": lambda b, w: _trend(b["close"], w)[1],
    "RESI": lambda b, w: _trend(b["close"], w)[2] / b["close"],
    "MAX": lambda b, w: b["high"].rolling(w).max() / b["close"],
    "MIN": lambda b, w: b["low"].rolling(w).min() / b["close"],
    "QTLU": lambda b, w: b["close"].rolling(w).quantile(0.8) / b["close"],
    "QTLD": lambda b, w: b["close"].rolling(w).quantile(0.2) / b["close"],
    "RANK": lambda b, w: b["close"].rolling(w).rank(pct=True),
    "RSV": _range_position,
    "IMAX": lambda b, w: _place(b["high"], w, np.argmax) / w,
    "IMIN": lambda b, w: _place(b["low"], w, np.argmin) / w,
    "IMXD": lambda b, w: _order(b, w) / w,
    "CORR": lambda b, w: _correlation(b["close"], _log_plus_one(b["volume"]), w),
    "CORD": lambda b, w: _correlation(
        _growth(b["close"]), _log_plus_one(_growth(b["volume"])), w
    ),
    "CNTP": _up,
    "CNTN": lambda b, w: _up(b, w, -1),
    "CNTD": lambda b, w: _up(b, w) - _up(b, w, -1),
    "SUMP": lambda b, w: _rises(b["close"], w),
    "SUMN": lambda b, w: 1 - _rises(b["close"], w),
    "SUMD": lambda b, w: 2 * _rises(b["close"], w) - 1,
    "VMA": lambda b, w: b["volume"].rolling(w).mean() / b["volume"],
    "VSTD": lambda b, w: b["volume"].rolling(w).std() / b["volume"],
    "WVMA": lambda b, w: _moves(b).rolling(w).std() / _moves(b).rolling(w).mean(),
    "VSUMP": lambda b, w: _rises(b["volume"], w),
    "VSUMN": lambda b, w: 1 - _rises(b["volume"], w),
    "VSUMD": lambda b, w: 2 * _rises(b["volume"], w) - 1,
}
