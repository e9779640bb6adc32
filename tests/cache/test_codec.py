"""The codec: what comes back is what went in, to the last bit, and nothing else."""

from __future__ import annotations

import dataclasses
import json
import pickle
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest
from exactness import same
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ranking_pipeline.cache.codec import ARRAYS, VALUE, Codec


@dataclass(frozen=True)
class Leaf:
    name: str
    score: float
    rows: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Branch:
    leaves: tuple[Leaf, ...]
    table: pd.DataFrame

    def __post_init__(self) -> None:
        if self.table.attrs.get("forbidden"):
            raise AssertionError("a stored value is not validated again")


@dataclass
class Stranger:
    value: int


any_double = st.binary(min_size=8, max_size=8).map(lambda b: struct.unpack(">d", b)[0])
texts = st.text(st.characters(codec=None), max_size=8)  # lone surrogates too
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    any_double,
    st.floats(),
    texts,
    st.floats(width=32).map(np.float32),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.booleans().map(np.bool_),
    st.integers(-(2**62), 2**62).map(lambda n: np.datetime64(n, "ns")),
    st.sampled_from([pd.NA, pd.NaT]),
)
objects = st.one_of(
    st.sampled_from(
        [None, float("nan"), pd.NA, True, 1, 1.0, 0.0, -0.0, np.float64(1)]
    ),
    texts,
)


KINDS = (
    "f8", "f4", "i8", "u1", "?", "M8[ns]", "M8[s]", "m8[ns]", "object", "str", "string",
    "category", "ordered", "Int64", "Float64", "boolean", "UTC", "America/New_York",
)  # fmt: skip
SHORT = st.text("abé\n", max_size=3)
MISSING_ALLOWED = {
    "Int64": st.integers(-9, 9),
    "Float64": any_double,
    "boolean": st.booleans(),
    "str": SHORT,
    "string": SHORT,
}


@st.composite
def columns(draw: st.DrawFn, size: int) -> Any:
    kind = draw(st.sampled_from(KINDS))
    if kind in MISSING_ALLOWED:
        one = st.none() | MISSING_ALLOWED[kind]
        return pd.array(draw(st.lists(one, min_size=size, max_size=size)), dtype=kind)
    if kind == "object":
        made = np.empty(size, dtype=object)
        made[:] = draw(st.lists(objects, min_size=size, max_size=size))
        return pd.Series(made, dtype=object).array
    if kind in ("category", "ordered"):
        levels = draw(st.lists(SHORT, unique=True, max_size=4))
        codes = [draw(st.integers(-1, len(levels) - 1)) for _ in range(size)]
        return pd.Categorical.from_codes(codes, levels, ordered=kind == "ordered")
    return _from_bytes(kind, draw(st.binary(min_size=8 * size, max_size=8 * size)))


def _from_bytes(kind: str, content: bytes) -> Any:
    raw = np.frombuffer(content, dtype="i8")
    if kind in ("UTC", "America/New_York"):
        stamps = (raw % 2**60).astype("M8[ns]")
        return pd.DatetimeIndex(stamps, tz="UTC").tz_convert(kind).array
    if kind == "M8[s]":
        return pd.Series((raw % 2**31).astype(kind)).array
    return raw.view("f8") if kind == "f8" else raw.astype(kind)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    size = draw(st.integers(0, 5))
    made = draw(st.lists(columns(size), max_size=4))
    frame = pd.DataFrame(
        {n: pd.Series(column, dtype=column.dtype) for n, column in enumerate(made)},
        index=pd.RangeIndex(size),
    )
    index = draw(st.sampled_from(["range", "step", "column"]))
    if index == "step":
        frame.index = pd.RangeIndex(3, 3 + 2 * size, 2, name="n")
    elif index == "column":
        values = draw(columns(size))
        frame.index = pd.Index(values, dtype=values.dtype, name=draw(texts))
    names = draw(st.lists(texts, min_size=len(made), max_size=len(made)))
    frame.columns = pd.Index(names, dtype=object) if names else frame.columns
    frame.attrs = draw(st.dictionaries(texts, st.integers(), max_size=1))
    return frame


arrays = st.builds(
    lambda values, order: np.asarray(values).reshape(-1, 2).copy(order=order),
    st.lists(st.floats(), min_size=0, max_size=4).map(lambda v: v + v),
    st.sampled_from(["C", "F"]),
)
values = st.recursive(
    st.one_of(scalars, frames(), arrays),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(texts, st.integers(), st.none()), inner, max_size=3),
        st.builds(Leaf, texts, any_double, st.lists(st.just({"a": 1}), max_size=1)),
    ),
    max_leaves=6,
)


@given(value=values)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_everything_comes_back_bit_for_bit(value: Any) -> None:
    codec = Codec([Leaf])
    files = codec.encode(value)
    assert set(files) == {VALUE, ARRAYS}
    assert same(codec.decode(files), value)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -float("inf"), -0.0, 0.0, 5e-324, 1e308, 0.1]
)
def test_floats_that_json_would_lose(value: float) -> None:
    codec = Codec()
    payload = struct.unpack(">d", bytes.fromhex("7ff80000000000a5"))[0]
    for each in (value, payload):
        assert same(codec.decode(codec.encode(each)), each)


def test_frames_that_parquet_would_change() -> None:
    frame = pd.DataFrame(
        {
            "kinds": pd.Series(["x", None, float("nan"), pd.NA], dtype=object),
            "mixed": pd.Series([1, True, 1.0, "1"], dtype=object),
        }
    )
    frame.columns = ["same", "same"]
    codec = Codec()
    back = codec.decode(codec.encode(frame))
    assert [type(value) for value in back.iloc[:, 1]] == [int, bool, float, str]
    assert back.iloc[1, 0] is None
    assert back.iloc[3, 0] is pd.NA
    assert same(back, frame)


def test_objects_that_compare_as_equal_stay_apart() -> None:
    payload = struct.unpack(">d", bytes.fromhex("7ff80000000000a5"))[0]
    column = [0.0, -0.0, payload, float("nan"), np.float64(0.0), False, 0]
    frame = pd.DataFrame({"x": pd.Series(column, dtype=object)})
    codec = Codec()
    assert same(codec.decode(codec.encode(frame)), frame)


@pytest.mark.parametrize("rows", [0, 3])
@pytest.mark.parametrize("names", [(), ("a", "b")])
def test_empty_frames_keep_their_shape_and_dtypes(
    rows: int, names: tuple[str, ...]
) -> None:
    frame = pd.DataFrame(
        {name: pd.Series(np.zeros(rows), dtype="float32") for name in names},
        index=pd.RangeIndex(rows),
    )
    codec = Codec()
    assert same(codec.decode(codec.encode(frame)), frame)


def test_dataclasses_are_made_without_their_constructor() -> None:
    table = pd.DataFrame({"a": [1.0]})
    branch = Branch((Leaf("x", -0.0), Leaf("y", float("nan"))), table)
    table.attrs["forbidden"] = True
    codec = Codec([Leaf, Branch])
    assert same(codec.decode(codec.encode(branch)), branch)


@pytest.mark.parametrize(
    "value",
    [
        Stranger(1),
        {1, 2},
        b"bytes",
        object(),
        lambda: 1,
        np.array([object()]),
        pd.Series([1]),
        pd.DataFrame({"a": [Stranger(1)]}),
        pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(1, 2)])),
        pd.DataFrame({"a": pd.period_range("2020", periods=1, freq="D")}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_listed_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="cannot be stored"):
        Codec([Leaf]).encode([value])


def test_a_file_makes_only_listed_classes_with_their_fields() -> None:
    files = Codec([Leaf, Stranger]).encode(Stranger(1))
    with pytest.raises(ValueError, match="Stranger is not a known type"):
        Codec([Leaf]).decode(files)
    node = json.loads(files[VALUE])
    node["dataclass"][1]["other"] = 1
    files[VALUE] = json.dumps(node).encode()
    with pytest.raises(ValueError, match="with these fields"):
        Codec([Stranger]).decode(files)


def test_nothing_is_unpickled() -> None:
    files = Codec().encode([1])
    files[ARRAYS] = pickle.dumps({"0": 1})
    with pytest.raises(ValueError, match="pickle"):
        Codec().decode(files)
    with pytest.raises(ValueError, match="unknown kind"):
        Codec().decode({**Codec().encode(1), VALUE: b'{"reduce": []}'})


def test_only_dataclasses_can_be_listed() -> None:
    with pytest.raises(TypeError, match="no dataclass"):
        Codec([dict])
    assert dataclasses.is_dataclass(Leaf)


def test_the_same_value_has_the_same_files() -> None:
    frame = pd.DataFrame({"a": ["x", "y"], "b": [1.0, 2.0]})
    assert Codec().encode(frame) == Codec().encode(frame.copy())
