"""Column content: a digest of some columns of a stored table, whatever the others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ranking_pipeline.cache.results import ResultCache
from ranking_pipeline.storage import TableHandle

if TYPE_CHECKING:
    import pandas as pd

_FORMAT = 1  # of the digest; another number makes every stored one unknown


def column_content(table: TableHandle, names: Sequence[str], cache: ResultCache) -> str:
    """Hex SHA-256 of the values of columns, in the order of ``names``.

    It does not change when the table gains another column. The digest itself is kept in
    the cache under the table's own hash, so that a known table is not opened.

    Raises
    ------
    UserError
        When the table no longer holds the content that its handle names.
    """
    made_from: dict[str, Any] = {
        "content": "digest of columns",
        "format": _FORMAT,
        "table": table.sha256,
        "columns": list(names),
    }
    found = cache.find(made_from)
    if found.status == "hit":
        return str(found.value)
    digest = _digest(table.read(names))
    cache.keep(made_from, digest, 0.0)
    return digest


def _digest(frame: pd.DataFrame) -> str:
    digest = hashlib.sha256()
    for name in frame.columns:
        digest.update(json.dumps([name, str(frame[name].dtype)]).encode())
        digest.update(_bytes(frame[name]))
    return digest.hexdigest()


def _bytes(column: pd.Series) -> bytes:
    """Bytes of the values: of numbers as they are, of all else as numbered levels."""
    dtype = column.dtype
    if str(dtype).startswith("datetime64"):
        column, dtype = column.astype("int64"), np.dtype("int64")
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        return np.ascontiguousarray(column.to_numpy()).tobytes()
    codes, levels = column.factorize()
    text = json.dumps([str(level) for level in levels])
    return codes.astype("<i8").tobytes() + text.encode()
