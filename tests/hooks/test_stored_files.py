"""Files of inputs: versions, those changed by hand, and those that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline, node

from ranking_pipeline.hooks.stored_files import (
    StoredFiles,
    changed_faults,
    unreadable_documents,
    version_faults,
)
from ranking_pipeline.storage import manifest_path, write_artefact

AGAIN = {"training_plan": "routing", "data_section": "data_preparation"}
READER = Pipeline([node(lambda plan, data: None, [*AGAIN], None, name="read")])


@pytest.fixture
def entries(tmp_path: Path) -> dict[str, Any]:
    kind = "ranking_pipeline.datasets.JsonDataset"
    plan = {"type": kind, "filepath": f"{tmp_path}/plan.json", "versioned": True}
    return {
        "training_plan": plan,
        "data_section": {"type": kind, "filepath": f"{tmp_path}/data.json"},
    }


def store(path: Path, text: str) -> Path:
    write_artefact(path, lambda file: file.write_text(text) and None)
    return path


def plan(entries: dict[str, Any], version: str, text: str = "{}") -> Path:
    folder = Path(entries["training_plan"]["filepath"])
    return store(folder / version / folder.name, text)


def test_an_unknown_version_is_told_with_those_there_are(
    entries: dict[str, Any],
) -> None:
    for number in range(7):
        plan(entries, f"v{number}")
    files = StoredFiles(entries)
    assert version_faults({"training_plan": "v3"}, READER, files) == []
    [told] = version_faults({"training_plan": "v9"}, READER, files)
    assert told == (
        "training_plan has no version 'v9'; the newest that exist: v6, v5, v4, v3, v2."
    )
    [told] = version_faults({"data_section": "v3"}, READER, files)
    assert "keeps no versions" in told
    [told] = version_faults({"routing_plan": "v3"}, READER, files)
    assert "this run does not read routing_plan from disk" in told


def test_a_file_changed_by_hand_is_not_called_missing(entries: dict[str, Any]) -> None:
    old, new = plan(entries, "v1"), plan(entries, "v2")
    files = StoredFiles(entries)
    assert changed_faults(["training_plan"], {}, files, AGAIN.__getitem__) == {}
    new.write_text("{ }")
    told = changed_faults(["training_plan"], {}, files, AGAIN.__getitem__)[
        "training_plan"
    ]
    assert f"changed after it was written: {new} does not fit its manifest" in told
    assert "model_training.targets" in told
    assert "Run `kedro run --pipelines=routing` again" in told
    assert f"or delete {new.parent}" in told
    asked = {"training_plan": "v1"}
    assert changed_faults(["training_plan"], asked, files, AGAIN.__getitem__) == {}
    assert files.versions("training_plan") == ["v1"]
    # a killed run leaves a file without a manifest: it never was a version
    manifest_path(new).unlink()
    assert changed_faults(["training_plan"], {}, files, AGAIN.__getitem__) == {}
    assert old.exists()


def test_documents_that_cannot_be_read_are_told_in_a_line(
    entries: dict[str, Any],
) -> None:
    catalog = DataCatalog.from_config(entries)
    path = plan(entries, "v1", '{"jobs": [')
    store(Path(entries["data_section"]["filepath"]), "{}")

    def told() -> str:
        catalog["training_plan"].release()  # type: ignore[attr-defined]
        [line] = unreadable_documents(
            ["data_section", "training_plan"], catalog, AGAIN.__getitem__
        )
        assert "\n" not in line
        assert str(path) in line
        return line

    assert "is no valid JSON (Expecting value: line 1" in told()
    assert "kedro run --pipelines=routing" in told()
    plan(entries, "v1", "[]")
    assert "it is a list, not an object. Run routing again" in told()
    plan(entries, "v1", json.dumps({"schema_version": 2}))
    assert "training_plan is not valid: status: Field required" in told()
    path.write_text(path.read_text().replace("2", "3"))  # as long as before
    assert "its SHA-256 differs from its manifest" in told()
