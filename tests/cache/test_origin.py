"""Origins: what decides a result is in the key, and nothing that does not."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking_pipeline.cache import columns, origin
from ranking_pipeline.cache.codec import Codec
from ranking_pipeline.cache.columns import column_content
from ranking_pipeline.cache.config import CacheConfig
from ranking_pipeline.cache.plain import differences, plain
from ranking_pipeline.cache.results import ResultCache
from ranking_pipeline.errors import UserError
from ranking_pipeline.storage import TableHandle, sha256_file, sha256_json, write_table

SOURCES = {
    "__init__.py": "",
    "start.py": "from ranking_pipeline.near import (\n    one,\n    two as other,\n)\n",
    "near/__init__.py": "",
    "near/one.py": "def f():\n    from ranking_pipeline.late import g\n",
    "near/two.py": "import ranking_pipeline.deep.inner\n",
    "late.py": "from ranking_pipeline.start import x\n",
    "deep/__init__.py": "import ranking_pipeline.deep.folder_too\n",
    "deep/inner.py": '_ROOM = "ranking_pipeline.rooms"\nNAMES = [f"{_ROOM}.listed"]\n',
    "deep/folder_too.py": "",
    "rooms/__init__.py": "",
    "rooms/listed.py": 'LATER = "ranking_pipeline.rooms.named:function"\n',
    "rooms/named.py": "",
    "rooms/unused.py": "",
    "unused.py": "import ranking_pipeline.start\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in SOURCES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(origin, "_ROOT", tmp_path)
    return tmp_path


def test_every_way_of_reaching_a_module_is_followed(package: Path) -> None:
    found = origin.reached("ranking_pipeline.start")
    missing = {str(package / name) for name in SOURCES} - set(map(str, found.values()))
    assert missing == {str(package / n) for n in ("unused.py", "rooms/unused.py")}


@pytest.mark.parametrize("name", SOURCES)
def test_an_edit_changes_the_digest_where_the_module_is_reached(
    package: Path, name: str
) -> None:
    before = origin.sources_reached("ranking_pipeline.start")
    with (package / name).open("a") as stream:
        stream.write("# edited\n")
    changed = origin.sources_reached("ranking_pipeline.start") != before
    assert changed == ("unused" not in name)


def test_moving_a_line_from_one_module_to_another_changes_the_digest(
    package: Path,
) -> None:
    (package / "near/one.py").write_text("a = 1\n")
    (package / "near/two.py").write_text("")
    before = origin.sources_reached("ranking_pipeline.start")
    (package / "near/one.py").write_text("")
    (package / "near/two.py").write_text("a = 1\n")
    assert origin.sources_reached("ranking_pipeline.start") != before


def test_evidence_outside_the_package_brings_its_own_source() -> None:
    found = origin.reached(__name__)
    assert found[__name__] == Path(__file__)
    assert "ranking_pipeline.cache.origin" in found


def test_a_module_without_a_source_is_refused() -> None:
    with pytest.raises(TypeError, match="no source file"):
        origin.sources_reached("nowhere.at_all")


def test_the_real_evidence_reaches_what_it_is_made_with() -> None:
    found = origin.reached("ranking_pipeline.selection.predictability")
    for name in (
        "selection.target_evidence", "selection.out_of_fold", "models.registry",
        "models.families.lightgbm", "models.families.mlp", "models.assemble", "folds",
        "splits", "panel", "evaluation.inference", "learning.loop", "cache.codec",
    ):  # fmt: skip
        assert f"ranking_pipeline.{name}" in found
    for name in ("pipelines", "hooks", "datasets", "routing.router", "bars.ingest"):
        assert f"ranking_pipeline.{name}" not in found


def test_the_code_names_the_libraries() -> None:
    code = origin.code_of("ranking_pipeline.selection.predictability")
    assert code["numpy"] == np.__version__
    assert {"sources", "python", "pandas", "lightgbm"} <= code.keys()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float64(0.1), 0.1),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (float("nan"), "nan"),
        (-np.inf, "-inf"),
        ((1, [2.5]), [1, [2.5]]),
        ({1: None}, {"1": None}),
        (Path("a/b"), "a/b"),
        (date(2020, 1, 2), "2020-01-02"),
        (pd.Timestamp("2020-01-02", tz="UTC"), "2020-01-02 00:00:00+00:00"),
        (pd.NaT, "NaT"),
        (np.datetime64("2020-01-02"), "2020-01-02"),
    ],
)
def test_parts_become_plain(value: Any, expected: Any) -> None:
    assert plain(value) == expected


@pytest.mark.parametrize("value", [np.zeros(9), pd.DataFrame(), object(), {1}])
def test_what_has_no_exact_text_is_no_part_of_a_key(value: Any) -> None:
    with pytest.raises(TypeError, match="cannot be part of a cache key"):
        plain({"part": value})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(json_values)
def test_a_plain_value_is_the_same_after_it_was_a_file(value: Any) -> None:
    import json

    read = json.loads(json.dumps(plain(value), allow_nan=False))
    assert sha256_json(read) == sha256_json(plain(value))


def test_differences_are_named() -> None:
    old = {"config": {"seed": 1, "gone": 2}, "code": "a" * 64, "same": [1]}
    new = {"config": {"seed": 2, "come": 3}, "code": "b" * 64, "same": [1]}
    assert list(differences(old, new)) == [
        "code: aaaaaaaaaaaa… -> bbbbbbbbbbbb…",
        "config.come: absent -> 3",
        "config.gone: 2 -> absent",
        "config.seed: 1 -> 2",
    ]


def _cache(folder: Path, enabled: bool = True) -> ResultCache:
    config = CacheConfig(
        enabled=enabled, ttl_days=7, force_refresh=False, store=str(folder / "cache")
    )
    return ResultCache(config, Codec())


def _table(frame: pd.DataFrame, path: Path) -> TableHandle:
    write_table(frame, path)
    return TableHandle(str(path), sha256_file(path))


FRAME = pd.DataFrame(
    {
        "timestamp": pd.to_datetime(["2020-01-01", "2020-01-02"]).tz_localize("UTC"),
        "symbol": ["a", "b"],
        "kind": pd.Categorical(["x", None], categories=["x", "y"]),
        "y": [1.0, np.nan],
        "y__end": pd.to_datetime(["2020-01-03", None]),
    }
)
NAMES = ("symbol", "y")


def test_the_content_of_columns_ignores_the_other_columns(tmp_path: Path) -> None:
    cache = _cache(tmp_path)
    one = _table(FRAME, tmp_path / "one")
    more = _table(FRAME.assign(z=1.0), tmp_path / "more")
    assert one.sha256 != more.sha256
    found = {column_content(table, NAMES, cache) for table in (one, more)}
    assert len(found) == 1


@pytest.mark.parametrize("column", FRAME.columns)
def test_the_content_of_columns_follows_every_value(
    tmp_path: Path, column: str
) -> None:
    cache = _cache(tmp_path)
    frames = [FRAME, FRAME.iloc[::-1], FRAME.iloc[:1], FRAME.iloc[[0, 0]]]
    frames = [frame.reset_index(drop=True) for frame in frames]
    digests = {
        column_content(_table(frame, tmp_path / str(n)), (column,), cache)
        for n, frame in enumerate(frames)
    }
    assert len(digests) == len(frames)


def test_a_known_table_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = _table(FRAME, tmp_path / "one")
    first = column_content(table, NAMES, _cache(tmp_path))
    monkeypatch.setattr(columns, "_digest", None)
    Path(table.path).unlink()
    assert column_content(table, NAMES, _cache(tmp_path)) == first


def test_a_table_that_is_not_what_its_handle_says_has_no_content(
    tmp_path: Path,
) -> None:
    table = _table(FRAME, tmp_path / "one")
    _table(FRAME.assign(y=2.0), tmp_path / "one")
    with pytest.raises(UserError, match="has changed"):
        column_content(table, NAMES, _cache(tmp_path))
