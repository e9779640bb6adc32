"""Disagreements name the earliest stage that has to run again."""

from __future__ import annotations

from pathlib import Path

import pytest
from kedro.io import DataCatalog

from ranking_pipeline.datasets import JsonDataset
from ranking_pipeline.datasets.artefact import Lineage
from ranking_pipeline.hooks import disagreements as disagreements_module
from ranking_pipeline.hooks.disagreements import disagreements
from ranking_pipeline.hooks.lineage import claims
from ranking_pipeline.pipeline_registry import register_pipelines

MADE_FROM = {
    "panel": (),
    "features": ("panel",),
    "sector_candidates": ("panel",),
    "batch_predictions": ("panel", "features", "sector_candidates"),
}


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataCatalog:
    """Each artefact made from the ones before it."""
    monkeypatch.setattr(disagreements_module, "pipelines", register_pipelines())
    stored = DataCatalog(
        {
            name: JsonDataset(filepath=str(tmp_path / f"{name}.json"))
            for name in MADE_FROM
        }
    )
    for name in MADE_FROM:
        _save(stored, name, "first")
    return stored


def _save(catalog: DataCatalog, name: str, content: str) -> None:
    ancestors: dict[str, str] = {}
    for one in MADE_FROM[name]:
        ancestors |= claims(one, catalog)
    dataset = catalog[name]
    assert isinstance(dataset, JsonDataset)
    dataset.lineage = Lineage("node", ancestors)
    dataset.save([name, content])


@pytest.mark.parametrize(
    ("names", "again"),
    [
        (("features", "panel", "sector_candidates"), "candidate_selection"),
        # The book is behind too, and so is what it was made from.
        (("batch_predictions", "panel"), "candidate_selection"),
    ],
)
def test_the_first_stage_behind_is_named(
    catalog: DataCatalog, names: tuple[str, ...], again: str
) -> None:
    assert disagreements(names, catalog) == []
    _save(catalog, "panel", "of new bars")
    _save(catalog, "features", "of new bars")
    told = disagreements(names, catalog)
    assert any("disagree about panel" in line for line in told)
    assert all(f"`kedro run --pipelines={again}` again" in line for line in told)
