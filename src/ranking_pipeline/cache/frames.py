"""Frames: a DataFrame as arrays and JSON, with every dtype and every missing value."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from ranking_pipeline.cache.codec import Tree

Arrays = list[npt.NDArray[Any]]
Decode = Callable[[Any], Any]
_MASKED: dict[str, Any] = {
    "integer": pd.arrays.IntegerArray,
    "floating": pd.arrays.FloatingArray,
    "boolean": pd.arrays.BooleanArray,
}


def encode_frame(frame: pd.DataFrame, tree: Tree) -> dict[str, Any]:
    """Give the JSON node of a frame, its numbers put aside in ``tree``.

    Parquet would turn None, NaN and NA into one kind of missing value, and columns of
    objects into columns of strings.

    Raises
    ------
    TypeError
        For a MultiIndex, an index with a frequency, or a dtype that is not listed.
    """
    columns = [frame.iloc[:, n].array for n in range(frame.shape[1])]
    return {
        "columns": _encode_index(frame.columns, tree),
        "index": _encode_index(frame.index, tree),
        "values": [_encode_column(column, tree) for column in columns],
        "attrs": tree.encode(dict(frame.attrs)),
    }


def decode_frame(node: dict[str, Any], decode: Decode, arrays: Arrays) -> pd.DataFrame:
    """Give the frame of a node that :func:`encode_frame` made."""
    columns = [_decode_column(part, decode, arrays) for part in node["values"]]
    index = _decode_index(node["index"], decode, arrays)
    series = {
        # pandas takes a bare column of objects for strings where it can.
        n: pd.Series(column, dtype=column.dtype, copy=False)
        for n, column in enumerate(columns)
    }
    frame = pd.DataFrame(series, index=pd.RangeIndex(len(index)))
    frame.index = index
    frame.columns = _decode_index(node["columns"], decode, arrays)
    frame.attrs = decode(node["attrs"])
    return frame


def _encode_index(index: pd.Index, tree: Tree) -> dict[str, Any]:
    if isinstance(index, pd.MultiIndex) or getattr(index, "freq", None) is not None:
        raise TypeError(f"an index of {type(index).__name__} cannot be stored.")
    name = tree.encode(index.name)
    if isinstance(index, pd.RangeIndex):
        return {"name": name, "range": [index.start, index.stop, index.step]}
    return {"name": name, "values": _encode_column(index.array, tree)}


def _decode_index(node: dict[str, Any], decode: Decode, arrays: Arrays) -> pd.Index:
    name = decode(node["name"])
    if "range" in node:
        start, stop, step = node["range"]
        return pd.RangeIndex(start, stop, step, name=name)
    values = _decode_column(node["values"], decode, arrays)
    index: pd.Index = pd.Index(values, dtype=values.dtype, name=name)
    return index


def _encode_column(column: Any, tree: Tree) -> dict[str, Any]:
    if isinstance(column, pd.arrays.NumpyExtensionArray):
        column = column.to_numpy()
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        categories = _encode_index(column.categories, tree)
        codes = tree.add(np.asarray(column.codes))
        return {"codes": codes, "categories": categories, "ordered": column.ordered}
    if isinstance(dtype, pd.StringDtype):
        missing = "NA" if dtype.na_value is pd.NA else "NaN"
        return {"string": [dtype.storage, missing], **_encode_objects(column, tree)}
    if isinstance(dtype, pd.DatetimeTZDtype):
        if pd.DatetimeTZDtype(dtype.unit, str(dtype.tz)) != dtype:
            raise TypeError(f"a column of {dtype} cannot be stored.")
        stamps = tree.add(np.asarray(column.asi8))
        return {"zone": [dtype.unit, str(dtype.tz)], "array": stamps}
    for kind, masked in _MASKED.items():
        if isinstance(column, masked):
            fill = dtype.numpy_dtype.type(0)
            values = column.to_numpy(dtype=dtype.numpy_dtype, na_value=fill)
            mask = tree.add(np.asarray(column.isna()))
            return {"masked": kind, "array": tree.add(values), "mask": mask}
    if isinstance(dtype, np.dtype) and dtype.kind == "O":
        return _encode_objects(column, tree)
    if isinstance(dtype, np.dtype):
        return {"array": tree.add(np.asarray(column))}
    raise TypeError(f"a column of {dtype} cannot be stored.")


def _decode_column(node: dict[str, Any], decode: Decode, arrays: Arrays) -> Any:
    if "categories" in node:
        categories = _decode_index(node["categories"], decode, arrays)
        dtype = pd.CategoricalDtype(categories, ordered=node["ordered"])
        return pd.Categorical.from_codes(arrays[node["codes"]], dtype=dtype)
    if "string" in node:
        storage, missing = node["string"]
        na_value = pd.NA if missing == "NA" else np.nan
        text = pd.StringDtype(storage, na_value=na_value)
        return pd.array(_decode_objects(node, decode, arrays), dtype=text)
    if "zone" in node:
        unit, zone = node["zone"]
        stamps = arrays[node["array"]].view(f"M8[{unit}]")
        return pd.DatetimeIndex(stamps, tz="UTC").tz_convert(zone).array
    if "masked" in node:
        masked = _MASKED[node["masked"]]
        return masked(arrays[node["array"]], arrays[node["mask"]])
    if "levels" in node:
        return _decode_objects(node, decode, arrays)
    return arrays[node["array"]]


def _encode_objects(column: Any, tree: Tree) -> dict[str, Any]:
    """Number the distinct objects of a column: texts repeat."""
    numbers: dict[Any, int] = {}
    levels: list[Any] = []
    codes = np.empty(len(column), dtype=np.int32)
    for row, value in enumerate(column):
        token = value if type(value) is str else _token(value)
        number = numbers.setdefault(token, len(levels))
        if number == len(levels):
            levels.append(value)
        codes[row] = number
    return {"levels": tree.encode(levels), "rows": tree.add(codes)}


def _token(value: Any) -> Any:
    """Tell apart what compares as equal: 1, 1.0 and True, 0.0 and -0.0."""
    if isinstance(value, float | np.floating):
        return type(value), np.asarray(value).tobytes()
    if value is None or value is pd.NA or value is pd.NaT:
        return None, id(value)
    if isinstance(value, int | np.generic):
        return type(value), value
    return None, id(value)


def _decode_objects(node: dict[str, Any], decode: Decode, arrays: Arrays) -> Any:
    levels, rows = decode(node["levels"]), arrays[node["rows"]]
    table = np.empty(len(levels), dtype=object)
    for number, level in enumerate(levels):
        table[number] = level
    return table[rows]
