"""A given version of the plan brings its routes; what tells of others is left out."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline, node
from tests.running import Place

from ranking_pipeline.hooks.given_plan import follow_plan
from ranking_pipeline.hooks.stored_files import StoredFiles
from ranking_pipeline.storage import write_artefact

NAMES = ("training_plan", "routing_plan", "routing_section", "routing_costs")
READER = Pipeline([node(lambda *inputs: None, [*NAMES], None, name="read")])
SECTION = {"name": "routing", "title": "Routes", "lead": "x", "tables": [1]}


class World:
    """Two plans, the second made with other routes; sections of the second alone."""

    def __init__(self, folder: Path) -> None:
        self.entries: dict[str, Any] = {
            name: {
                "type": "ranking_pipeline.datasets.JsonDataset",
                "filepath": f"{folder}/{name}.json",
                "versioned": name.endswith("_plan"),
            }
            for name in NAMES
        }
        for version in ("v1", "v2"):
            self.store("routing_plan", {"of": version}, {}, version)
            routes = self.catalog()["routing_plan"].manifest()  # type: ignore[attr-defined]
            lineage = {"routing_plan": routes.sha256, "params:routing": version}
            self.store("training_plan", {"of": version}, lineage, version)
        self.store("routing_section", SECTION, lineage)
        self.store("routing_costs", [{"seconds": 1}], {})

    def store(self, name: str, value: Any, made_from: Any, version: str = "") -> None:
        path = Path(self.entries[name]["filepath"])
        path = path / version / path.name if version else path
        write_artefact(
            path,
            lambda file: file.write_text(json.dumps(value)) and None,
            ancestors=made_from,
        )

    def catalog(self, **asked: str) -> DataCatalog:
        return DataCatalog.from_config(self.entries, load_versions=asked)

    def follow(self, version: str) -> tuple[list[str], DataCatalog]:
        catalog = self.catalog(training_plan=version)
        asked, files = {"training_plan": version}, StoredFiles(self.entries)
        return follow_plan(version, asked, READER, catalog, files), catalog


def test_an_older_plan_brings_its_routes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path)
    with caplog.at_level(logging.WARNING):
        problems, catalog = world.follow("v1")
    assert problems == []
    assert catalog.load("training_plan") == {"of": "v1"}
    assert catalog.load("routing_plan") == {"of": "v1"}
    section = catalog.load("routing_section")
    assert section["title"] == "Routes"
    assert section["tables"] == section["figures"] == []
    assert "ran again after training_plan v1 was made" in section["lead"]
    assert catalog.load("routing_costs") == []
    assert "v1 is older than the latest routing" in caplog.text


def test_the_latest_plan_keeps_everything(tmp_path: Path) -> None:
    problems, catalog = World(tmp_path).follow("v2")
    assert problems == []
    assert catalog.load("routing_plan") == {"of": "v2"}
    assert catalog.load("routing_section") == SECTION
    assert catalog.load("routing_costs") == [{"seconds": 1}]


def test_routes_of_another_run_with_the_same_content_will_do(tmp_path: Path) -> None:
    world = World(tmp_path)
    folder = tmp_path / "routing_plan.json"
    (folder / "v1").rename(folder / "v0")
    problems, catalog = world.follow("v1")
    assert problems == []
    assert catalog.load("routing_plan") == {"of": "v1"}


def test_a_plan_without_evidence_takes_the_routes_beside_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.store("training_plan", {"of": "v1"}, {}, "v1")
    problems, catalog = world.follow("v1")
    assert problems == []
    assert catalog.load("routing_plan") == {"of": "v1"}


def test_routes_that_are_gone_are_told(tmp_path: Path) -> None:
    world = World(tmp_path)
    (tmp_path / "routing_plan.json" / "v1" / "routing_plan.json").unlink()
    problems, _ = world.follow("v1")
    assert problems == [
        "the routing_plan that training_plan v1 was made from is gone; plan again."
    ]


@pytest.mark.slow
def test_an_older_plan_is_trained_after_another_routing(copied: Place) -> None:
    plans = copied.data / "05_model_input" / "training_plan.json"
    version = max(path.name for path in plans.iterdir())
    before = copied.load("training_outcomes")
    serial = {"jobs": {"engine": "serial"}}
    copied.run("routing", params={**serial, "routing": {"mode": "cross_sectional"}})
    copied.run("train", params=serial, load_versions={"training_plan": version})
    after = copied.load("training_outcomes")
    assert list(after["job_id"]) == list(before["job_id"])
    assert (after["route"] == "symbol_specific").any()
    assert "ran again after training_plan" in copied.load("report")
