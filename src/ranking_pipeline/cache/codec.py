"""Codec: a result as plain files and back, bit for bit and without running code."""

from __future__ import annotations

import io
import json
import math
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.cache.frames import decode_frame, encode_frame

VALUE = "value.json"
ARRAYS = "arrays.npz"
_KINDS = "biufcMmUS"  # of arrays: no objects, hence no pickle


class Tree(Protocol):
    """What an encoder of a part needs of the whole."""

    def encode(self, value: Any) -> Any:
        """Give the JSON node of a value."""

    def add(self, array: npt.NDArray[Any]) -> int:
        """Put an array aside and give its number."""


class Codec:
    """Encodes None, bool, int, float, str, list, tuple, dict, NumPy and pandas.

    Of other classes, only the dataclasses named here are known: a file can make no
    instance of anything else. Floats keep every bit: NaN, infinities and the sign of
    zero included.

    Parameters
    ----------
    types : iterable of dataclass types
    """

    def __init__(self, types: Iterable[type] = ()) -> None:
        self._types = {_name_of(kind): kind for kind in types}
        wrong = [name for name, kind in self._types.items() if not is_dataclass(kind)]
        if wrong:
            raise TypeError(f"{', '.join(wrong)} cannot be stored: no dataclass.")

    def encode(self, value: Any) -> dict[str, bytes]:
        """Encode a value as files: content by name.

        Raises
        ------
        TypeError
            When it holds anything of a kind that is not listed.
        """
        encoder = _Encoder(self._types)
        node = encoder.encode(value)
        packed = io.BytesIO()
        numbered = {str(n): array for n, array in enumerate(encoder.arrays)}
        np.savez_compressed(packed, allow_pickle=False, **numbered)
        text = json.dumps(node, allow_nan=False, separators=(",", ":"))
        return {VALUE: text.encode("ascii"), ARRAYS: packed.getvalue()}

    def decode(self, files: Mapping[str, bytes]) -> Any:
        """Decode what :meth:`encode` gave.

        Raises
        ------
        ValueError
            When the files are not of this format, or name an unknown class.
        """
        with np.load(io.BytesIO(files[ARRAYS]), allow_pickle=False) as packed:
            arrays = [packed[str(number)] for number in range(len(packed.files))]
        return _Decoder(self._types, arrays).decode(json.loads(files[VALUE]))


class _Encoder:
    def __init__(self, types: Mapping[str, type]) -> None:
        self._types = types
        self.arrays: list[npt.NDArray[Any]] = []

    def add(self, array: npt.NDArray[Any]) -> int:
        if array.dtype.kind not in _KINDS:
            raise TypeError(f"an array of {array.dtype} cannot be stored.")
        self.arrays.append(array)
        return len(self.arrays) - 1

    def encode(self, value: Any) -> Any:
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else {"float": _bits(value)}
        if kind is list:
            return [self.encode(item) for item in value]
        if kind is tuple:
            return {"tuple": [self.encode(item) for item in value]}
        if kind is dict:
            pairs = value.items()
            return {"dict": [[self.encode(k), self.encode(v)] for k, v in pairs]}
        return self._special(value, kind)

    def _special(self, value: Any, kind: type) -> Any:
        if kind is np.ndarray:
            return {"array": self.add(value)}
        if isinstance(value, np.generic) and value.dtype.kind in _KINDS:
            return {"scalar": [value.dtype.str, value.tobytes().hex()]}
        if value is pd.NA or value is pd.NaT:
            return {"missing": "NA" if value is pd.NA else "NaT"}
        if kind is pd.DataFrame:
            return {"frame": encode_frame(value, self)}
        name = _name_of(kind)
        if self._types.get(name) is kind:
            names = [field.name for field in fields(kind)]
            parts = {part: self.encode(getattr(value, part)) for part in names}
            return {"dataclass": [name, parts]}
        raise TypeError(f"{name} cannot be stored; it is not among the listed types.")


class _Decoder:
    def __init__(
        self, types: Mapping[str, type], arrays: list[npt.NDArray[Any]]
    ) -> None:
        self._types, self.arrays = types, arrays

    def decode(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.decode(item) for item in node]
        if not isinstance(node, dict):
            return node
        ((tag, content),) = node.items()
        decoders: dict[str, Callable[[Any], Any]] = {
            "float": _from_bits,
            "tuple": lambda items: tuple(map(self.decode, items)),
            "dict": lambda pairs: {self.decode(k): self.decode(v) for k, v in pairs},
            "array": self.arrays.__getitem__,
            "scalar": _scalar,
            "missing": {"NA": pd.NA, "NaT": pd.NaT}.__getitem__,
            "frame": lambda frame: decode_frame(frame, self.decode, self.arrays),
            "dataclass": self._dataclass,
        }
        if tag not in decoders:
            raise ValueError(f"unknown kind of value {tag!r}")
        return decoders[tag](content)

    def _dataclass(self, content: Any) -> Any:
        name, parts = content
        kind = self._types.get(name)
        if kind is None or {field.name for field in fields(kind)} != set(parts):
            raise ValueError(f"{name} is not a known type with these fields")
        made: Any = object.__new__(kind)
        # Not through __init__: a stored value was validated when it was first made.
        for part, node in parts.items():
            object.__setattr__(made, part, self.decode(node))
        return made


def _name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _bits(value: float) -> str:
    return struct.pack(">d", value).hex()


def _from_bits(text: str) -> float:
    value: float = struct.unpack(">d", bytes.fromhex(text))[0]
    return value


def _scalar(content: Any) -> Any:
    dtype, text = content
    return np.frombuffer(bytes.fromhex(text), dtype=np.dtype(dtype))[0]
