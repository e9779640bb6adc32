"""Datasets: complete, verified, versioned; a torn version does not exist."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from kedro.io import DatasetError, Version

from ranking_pipeline.datasets import (
    CounterDataset,
    FigureDataset,
    JsonDataset,
    LedgerDataset,
    PanelDataset,
    TableDataset,
    TableHandleDataset,
    TensorsDataset,
    TextDataset,
    YamlDataset,
)
from ranking_pipeline.datasets.artefact import Lineage
from ranking_pipeline.datasets.sealed_file import SealedFileDataset
from ranking_pipeline.panel import Panel
from ranking_pipeline.storage import TableStream, manifest_path

KEYED = "ranking_pipeline.datasets.schemas.KeyedRows"
FRAME = pd.DataFrame({"symbol": ["ON", "NA"], "x": np.array([1, np.nan], np.float32)})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (JsonDataset, {"a": [1, None, "µ"]}),
        (YamlDataset, {"a": [1, None, "ON"]}),
        (TextDataset, "<b>report</b>"),
        (FigureDataset, {"data": [{"type": "bar", "x": [1]}], "layout": {}}),
    ],
)
def test_documents_come_back_as_they_were(
    tmp_path: Path, kind: type, value: object
) -> None:
    dataset = kind(filepath=str(tmp_path / "x"))
    assert not dataset.exists()
    dataset.save(value)
    assert dataset.exists()
    assert dataset.load() == value


def test_json_refuses_nan_and_keeps_the_previous_document(tmp_path: Path) -> None:
    dataset = JsonDataset(filepath=str(tmp_path / "x.json"))
    dataset.save({"a": 1})
    with pytest.raises(DatasetError):
        dataset.save({"a": float("nan")})
    assert '"a": 1' in (tmp_path / "x.json").read_text()


def test_tables_load_as_frames_or_as_handles(tmp_path: Path) -> None:
    TableDataset(filepath=str(tmp_path / "t.parquet")).save(FRAME)
    frame = TableDataset(filepath=str(tmp_path / "t.parquet")).load()
    handle = TableHandleDataset(filepath=str(tmp_path / "t.parquet")).load()
    assert frame["symbol"].tolist() == ["ON", "NA"]
    assert frame["x"].dtype == np.float32
    pd.testing.assert_frame_equal(handle.read(["x"]), frame[["x"]])


def test_tensors_and_panels_come_back(tmp_path: Path, random_walk_panel: Panel) -> None:
    tensors = TensorsDataset(filepath=str(tmp_path / "w.safetensors"))
    tensors.save({"net/weight": np.arange(6, dtype=np.float32).reshape(2, 3)})
    assert tensors.load()["net/weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    panel = PanelDataset(filepath=str(tmp_path / "p.safetensors"))
    panel.save(random_walk_panel)
    np.testing.assert_array_equal(panel.load().read().values, random_walk_panel.values)
    preview = panel.preview()
    assert preview["data"][5] == ["SYM5", 90, 90, 120]


def test_damaged_bytes_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    dataset = TableDataset(filepath=str(path))
    dataset.lineage = Lineage("candidate_selection.select_candidates")
    dataset.save(FRAME)
    raw = bytearray(path.read_bytes())
    raw[20] ^= 255
    path.write_bytes(bytes(raw))
    told = r"t\.parquet is damaged.*`kedro run --pipelines=candidate_selection` again"
    with pytest.raises(DatasetError, match=told):
        dataset.load()


@pytest.mark.parametrize("damage", ["no manifest", "truncated"])
def test_a_version_that_was_never_finished_is_not_the_latest(
    tmp_path: Path, damage: str
) -> None:
    def at(version: str) -> JsonDataset:
        return JsonDataset(
            filepath=str(tmp_path / "plan.json"), version=Version(version, version)
        )

    at("2020-01-01T00.00.00.000Z").save({"run": 1})
    at("2020-01-02T00.00.00.000Z").save({"run": 2})
    newest = tmp_path / "plan.json" / "2020-01-02T00.00.00.000Z" / "plan.json"
    latest = JsonDataset(
        filepath=str(tmp_path / "plan.json"), version=Version(None, None)
    )
    assert latest.load() == {"run": 2}
    if damage == "no manifest":
        manifest_path(newest).unlink()
    else:
        newest.write_text("{")
    latest.release()
    fresh = JsonDataset(
        filepath=str(tmp_path / "plan.json"), version=Version(None, None)
    )
    assert fresh.load() == {"run": 1}
    assert fresh.list_versions(full_path=False) == ["2020-01-01T00.00.00.000Z"]


def test_previews_are_small_and_json_safe(tmp_path: Path) -> None:
    import json

    big = pd.DataFrame(
        {
            "timestamp": pd.date_range("2020", periods=500, tz="UTC"),
            "x": np.full(500, np.nan, np.float32),
        }
    )
    dataset = TableDataset(filepath=str(tmp_path / "t.parquet"))
    dataset.save(big)
    preview = dataset.preview(nrows=7)
    assert len(preview["data"]) == 7
    json.dumps(preview, allow_nan=False)


def test_the_counter_counts_by_key(tmp_path: Path) -> None:
    counter = CounterDataset(filepath=str(tmp_path / "c.json"))
    for key in ("a", "a", "b", "a"):
        counter.save(key)
    assert counter.load() == {"key": "a", "count": 3}


@pytest.mark.parametrize(
    ("dataset", "first", "second", "edit"),
    [
        (CounterDataset, "a", "a", ('"a": 2', '"a": 1')),
        (
            LedgerDataset,
            {"key": "a", "entries": ["one"]},
            {"key": "a", "entries": ["two"]},
            ('      "one",\n', ""),
        ),
    ],
)
def test_an_edited_count_is_refused(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    dataset: type[SealedFileDataset[Any, Any]],
    first: Any,
    second: Any,
    edit: tuple[str, str],
) -> None:
    path = tmp_path / "c.json"
    kept = dataset(filepath=str(path))
    kept.save(first)
    kept.save(second)
    loaded, whole = kept.load(), path.read_text("utf-8")
    path.write_text(whole.replace(*edit), "utf-8")
    assert path.read_text("utf-8") != whole
    for refused in (kept.load, lambda: kept.save(second)):
        with pytest.raises(DatasetError, match=r"c\.json was changed .*Restore it"):
            refused()
    # a file of an earlier version has no digest: told, and sealed by the next save
    bare = {k: v for k, v in json.loads(whole).items() if k != "sha256"}
    path.write_text(json.dumps(bare), "utf-8")
    assert kept.load() == loaded
    assert "carries no digest" in caplog.text
    kept.save(second)
    assert "sha256" in json.loads(path.read_text("utf-8"))


def _blocks(*starts: str, symbol: str = "A") -> TableStream:
    def make() -> Iterator[pd.DataFrame]:
        for start in starts:
            yield pd.DataFrame(
                {
                    "timestamp": pd.date_range(start, periods=3, tz="UTC", unit="ns"),
                    "symbol": pd.Series([symbol] * 3, dtype=str),
                    "x": np.arange(3, dtype=np.float32),
                }
            )

    return TableStream(make)


def test_a_stream_is_written_block_by_block(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    dataset = TableHandleDataset(filepath=str(path), schema=KEYED)
    dataset.save(_blocks("2024-01-01", "2024-01-04"))
    assert pq.ParquetFile(path).num_row_groups == 2
    frame = dataset.load().read()
    assert frame["x"].tolist() == [0, 1, 2, 0, 1, 2]
    assert frame["timestamp"].is_monotonic_increasing


@pytest.mark.parametrize("second", ["2024-01-03", "2023-12-01"])
def test_blocks_out_of_order_are_refused_and_the_old_file_stays(
    tmp_path: Path, second: str
) -> None:
    dataset = TableHandleDataset(filepath=str(tmp_path / "t.parquet"), schema=KEYED)
    dataset.save(_blocks("2024-01-01"))
    with pytest.raises(DatasetError, match="a block begins at"):
        dataset.save(_blocks("2024-01-01", second))
    assert len(dataset.load().read()) == 3
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".tmp")] == []


def test_every_block_must_satisfy_the_schema(tmp_path: Path) -> None:
    dataset = TableHandleDataset(filepath=str(tmp_path / "t.parquet"), schema=KEYED)
    block = next(_blocks("2024-01-01").blocks())
    with pytest.raises(DatasetError, match="not sorted"):
        dataset.save(pd.concat([block, block], ignore_index=True))
    assert not dataset.exists()
