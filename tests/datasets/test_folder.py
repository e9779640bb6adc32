"""Folders of text and costs: complete, inside their place, absent without harm."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.io import DatasetError

from ranking_pipeline.datasets import (
    CostsDataset,
    CounterDataset,
    CsvDataset,
    TextFolderDataset,
)
from ranking_pipeline.storage import sweep_temporaries

HOSTILE = ("../../x", "/abs", "..", ".", "", "a\x00b", "a\nb", "CON", "ü/µ", "a\\b")


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    dataset = TextFolderDataset(filepath=str(tmp_path / "reports"))
    assert not dataset.exists()
    dataset.save({"old/a.txt": "1"})
    dataset.save({"new/b.txt": "2", "c.txt": "3"})
    assert dataset.load() == {("c.txt",): "3", ("new", "b.txt"): "2"}
    assert [path.name for path in tmp_path.iterdir()] == ["reports"]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_leaves_the_folder(tmp_path: Path, name: str) -> None:
    dataset = TextFolderDataset(filepath=str(tmp_path / "deep" / "reports"))
    dataset.save({f"{name}/x.txt": "text"})
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert files[0].is_relative_to(tmp_path / "deep" / "reports")
    assert files[0].read_text() == "text"


def test_different_names_never_share_a_file(tmp_path: Path) -> None:
    dataset = TextFolderDataset(filepath=str(tmp_path / "reports"))
    names = [f"{name}/x.txt" for name in (*HOSTILE, "%2E", "a b", "a%20b")]
    dataset.save({name: name for name in names})
    assert sorted(dataset.load().values()) == sorted(names)


def test_a_failing_save_keeps_the_folder(tmp_path: Path) -> None:
    dataset = TextFolderDataset(filepath=str(tmp_path / "reports"))
    dataset.save({"a.txt": "1"})
    with pytest.raises(DatasetError):
        dataset.save({"a.txt": "2", "b.txt": 3})  # type: ignore[dict-item]
    assert dataset.load() == {("a.txt",): "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["reports"]


def test_costs_are_empty_before_the_first_run(tmp_path: Path) -> None:
    dataset = CostsDataset(filepath=str(tmp_path / "costs.json"))
    assert dataset.load() == []
    dataset.save([{"label": "targets", "seconds": 1.5}])
    assert dataset.load() == [{"label": "targets", "seconds": 1.5}]


def test_a_killed_save_does_not_stop_the_next_run(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from ranking_pipeline.datasets import TextFolderDataset
Path.write_text = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
TextFolderDataset(filepath=sys.argv[1]).save({"a.txt": "1"})
"""
    command = [sys.executable, "-c", program, str(tmp_path / "reports")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    sweep_temporaries(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_csv_keeps_missing_numbers_and_empty_texts(tmp_path: Path) -> None:
    frame = pd.DataFrame({"reason": ["", "no"], "z": [np.nan, 1.5]})
    dataset = CsvDataset(filepath=str(tmp_path / "t.csv"))
    dataset.save(frame)
    pd.testing.assert_frame_equal(dataset.load(), frame)


def test_a_csv_keeps_numbers_and_names(tmp_path: Path) -> None:
    frame = pd.DataFrame({"target": ["NA", "x,y"], "z": [0.1 + 0.2, -1e-300]})
    dataset = CsvDataset(filepath=str(tmp_path / "t.csv"))
    dataset.save(frame)
    pd.testing.assert_frame_equal(dataset.load(), frame)


def test_a_ticker_that_looks_like_a_number_stays_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({"ticker": ["000001", "600519"], "weight": [0.5, 0.5]})
    dataset = CsvDataset(filepath=str(tmp_path / "t.csv"), text=["ticker"])
    dataset.save(frame)
    pd.testing.assert_frame_equal(dataset.load(), frame)


def test_the_shipped_csv_keeps_tickers_as_text() -> None:
    place = Path(__file__).parents[2] / "conf" / "base" / "catalog_prediction.yml"
    entry = yaml.safe_load(place.read_text())["batch_results"]
    assert "ticker" in entry["text"]


def test_damaged_counts_and_costs_are_told_with_their_file(tmp_path: Path) -> None:
    path = tmp_path / "small.json"
    path.write_text("{")
    with pytest.raises(DatasetError, match=r"small\.json is damaged: no counts"):
        CounterDataset(filepath=str(path)).save("key")
    with pytest.raises(DatasetError, match=r"small\.json is damaged .*Delete it"):
        CostsDataset(filepath=str(path)).load()
