"""Text files that are added one by one, under names that cannot leave the folder."""

from __future__ import annotations

import json
from pathlib import Path

from ranking_pipeline.datasets import TextFilesDataset


def test_files_come_back_and_others_stay(tmp_path: Path) -> None:
    folder = tmp_path / "portfolio"
    dataset = TextFilesDataset(filepath=str(folder))
    assert not dataset.exists()
    first = {("health", "2020_05.json"): "a", ("../up/..", "2020_05.json"): "b"}
    dataset.save(first)
    dataset.save({("health", "2020_06.json"): "c", ("health", "2020_05.json"): "d"})
    assert dataset.load() == {
        ("../up/..", "2020_05.json"): "b",
        ("health", "2020_05.json"): "d",
        ("health", "2020_06.json"): "c",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["portfolio"]
    assert json.loads(dataset.preview())["health/2020_06.json"] == 1
    dataset.save({("health", "2020_06.json"): None, ("never", "2020_06.json"): None})
    assert ("health", "2020_06.json") not in dataset.load()
    assert len(dataset.load()) == 2
    dataset.save({("health", "2020_06.json"): "c"})
    dataset.save({})
    assert len(dataset.load()) == 3
