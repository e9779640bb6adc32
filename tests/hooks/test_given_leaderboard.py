"""What a given leaderboard was made from is read, and what is newer is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from kedro.io import DataCatalog

from ranking_pipeline.datasets import JsonDataset
from ranking_pipeline.datasets.artefact import Lineage
from ranking_pipeline.hooks.given_leaderboard import RANKED, TRAINED, follow_leaderboard
from ranking_pipeline.pipeline_registry import register_pipelines
from ranking_pipeline.pipelines.backtest.nodes import _measured
from ranking_pipeline.storage import read_manifest

DATA = ("panel", "labels", "splits", "features")
BOTH = (*TRAINED, *RANKED)


def _catalog(folder: Path, names: tuple[str, ...]) -> DataCatalog:
    """A catalog in which each name holds itself, and a leaderboard of all of them."""
    stored = {
        name: JsonDataset(filepath=str(folder / f"{name}.json"))
        for name in (*DATA, *BOTH, "leaderboard")
    }
    ancestors: dict[str, str] = {}
    for name in (*DATA, *names):
        stored[name].save(name)
        manifest = read_manifest(folder / f"{name}.json")
        assert manifest is not None
        ancestors[name] = manifest.sha256
    stored["leaderboard"].lineage = Lineage("evaluate", ancestors)
    stored["leaderboard"].save("board")
    return DataCatalog(stored)


def _follow(catalog: DataCatalog, *names: str) -> list[str]:
    pipelines = register_pipelines()
    asked = sum((pipelines[name] for name in names), start=pipelines["promotion"])
    return follow_leaderboard(asked, catalog)


def test_a_backtest_reads_the_pairs_of_tables_behind_its_leaderboard(
    tmp_path: Path,
) -> None:
    catalog, backtest = _catalog(tmp_path, TRAINED), register_pipelines()["backtest"]
    assert follow_leaderboard(backtest, catalog) == []
    assert [catalog[name].load() for name in RANKED[:2]] == [None, None]
    pairs = [catalog[name].load() for name in (*TRAINED[:2], *RANKED[:2])]
    assert _measured(pairs) == (["models"], ["predictions"])
    catalog["models"].save("made again")
    (told,) = follow_leaderboard(backtest, catalog)
    assert told.endswith("(`kedro run --pipelines=train`), then run the backtest.")


@pytest.mark.parametrize("names", [BOTH, TRAINED, RANKED])
def test_stages_that_took_no_part_are_left_out(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    catalog = _catalog(tmp_path, names)
    assert _follow(catalog) == []
    for name in BOTH:
        assert catalog[name].load() == (name if name in names else None)


def test_what_another_stage_left_earlier_is_not_looked_at(tmp_path: Path) -> None:
    catalog = _catalog(tmp_path, TRAINED)
    catalog["cs_models"].save("of other data")
    assert _follow(catalog) == []
    assert catalog["cs_models"].load() is None


@pytest.mark.parametrize(
    ("names", "changed", "words"),
    [
        (
            BOTH,
            ("predictions", "models"),
            "older than models, predictions: .*evaluation`",
        ),
        (TRAINED, ("models",), "older than models: .*--pipelines=train`"),
        (BOTH, ("routing_plan",), "older than routing_plan: .*--pipelines=train`"),
        (RANKED, ("cs_model",), "older than cs_model: .*--pipelines=cs_full`"),
        (BOTH, ("panel", "models"), r"other data: panel was .*\(`kedro run`\)"),
        (
            RANKED,
            ("panel", "labels"),
            r"panel, labels were .*`kedro run --pip.*cs_full`",
        ),
    ],
)
def test_a_leaderboard_that_is_older_is_told_in_words(
    tmp_path: Path, names: tuple[str, ...], changed: tuple[str, ...], words: str
) -> None:
    catalog = _catalog(tmp_path, names)
    for name in changed:
        catalog[name].save("made again")
    (told,) = _follow(catalog)
    import re

    assert re.search(words, told)
    assert told.endswith("then promote.")


def test_a_missing_leaderboard_is_the_only_thing_missing(tmp_path: Path) -> None:
    catalog = _catalog(tmp_path, BOTH)
    (tmp_path / "leaderboard.json").unlink()
    assert _follow(catalog) == []
    assert all(catalog[name].load() is None for name in BOTH)


def test_a_leaderboard_of_the_same_run_brings_its_tables(tmp_path: Path) -> None:
    catalog = _catalog(tmp_path, TRAINED)
    assert _follow(catalog, "train") == []
    kept: Mapping[str, object] = {name: catalog[name] for name in BOTH}
    assert isinstance(kept["models"], JsonDataset)
    assert catalog["cs_model"].load() is None


def test_other_pipelines_are_left_alone(tmp_path: Path) -> None:
    catalog = _catalog(tmp_path, TRAINED)
    assert follow_leaderboard(register_pipelines()["evaluation"], catalog) == []
    assert isinstance(catalog["cs_models"], JsonDataset)
