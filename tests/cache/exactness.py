"""Equality that tells apart everything: types, bits, dtypes, kinds of missing values."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pandas as pd


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if is_dataclass(one):
        names = [field.name for field in fields(one)]
        return all(same(getattr(one, n), getattr(other, n)) for n in names)
    for kinds, alike in _ALIKE:
        if isinstance(one, kinds):
            return alike(one, other)
    return bool(one is other or one == other)


def _same_items(one: Any, other: Any) -> bool:
    return len(one) == len(other) and all(map(same, one, other))


def _same_pairs(one: Any, other: Any) -> bool:
    return _same_items(list(one.items()), list(other.items()))


def _same_bits(one: Any, other: Any) -> bool:
    return struct.pack("d", one) == struct.pack("d", other)


def _same_bytes(one: Any, other: Any) -> bool:
    first, second = ((v.dtype, v.shape, v.tobytes()) for v in (one, other))
    return first == second


def _same_frame(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    axes = zip(one.axes, other.axes, strict=True)
    if one.shape != other.shape or not all(_same_index(a, b) for a, b in axes):
        return False
    numbers = range(one.shape[1])
    return one.attrs == other.attrs and all(
        _same_column(one.iloc[:, n], other.iloc[:, n]) for n in numbers
    )


def _same_index(one: pd.Index, other: pd.Index) -> bool:
    alike = type(one) is type(other) and same(one.name, other.name)
    return alike and _same_column(one.to_series(), other.to_series())


def _same_column(one: pd.Series, other: pd.Series) -> bool:
    if one.dtype != other.dtype:
        return False
    if isinstance(one.dtype, pd.CategoricalDtype):
        return one.cat.ordered == other.cat.ordered and all(
            same(a, b)
            for a, b in (
                (list(one.cat.categories), list(other.cat.categories)),
                (one.cat.codes.to_numpy(), other.cat.codes.to_numpy()),
            )
        )
    if isinstance(one.dtype, np.dtype) and one.dtype.kind != "O":
        return same(one.to_numpy(), other.to_numpy())
    return same(list(one), list(other))


_ALIKE: list[tuple[Any, Callable[[Any, Any], bool]]] = [
    (list | tuple, _same_items),
    (dict, _same_pairs),
    (np.generic | np.ndarray, _same_bytes),  # np.float64 is a float too
    (float, _same_bits),
    (pd.DataFrame, _same_frame),
]
