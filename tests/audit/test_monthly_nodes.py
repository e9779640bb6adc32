"""The registered monthly nodes give exactly what the audit compares, in any future."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from tests.audit import worlds

from ranking_pipeline.audit.futures import alter_future
from ranking_pipeline.audit.learned import fitted_on_train, model_scores
from ranking_pipeline.audit.month_world import MonthWorld
from ranking_pipeline.audit.portfolio_checks import (
    METHODS,
    PortfolioWorld,
    prediction_config,
)
from ranking_pipeline.audit.promoted_model import AuditedVersion, promoted_version
from ranking_pipeline.cache.config import CacheConfig
from ranking_pipeline.features import compute_features, feature_table
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.labels import parse_target
from ranking_pipeline.panel import Panel
from ranking_pipeline.pipelines import candidate_selection, prediction
from ranking_pipeline.pipelines.candidate_selection import nodes as candidate_nodes
from ranking_pipeline.pipelines.prediction import nodes as prediction_nodes
from ranking_pipeline.storage import (
    PanelHandle,
    TableHandle,
    sha256_file,
    write_panel,
    write_table,
)

CUT = 84  # a month end


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Nine names in three sectors, and one that changes its own."""
    return worlds.daily_market(4, n_symbols=9, n_bars=110)


@pytest.fixture(scope="module")
def futures(panel: Panel) -> list[Panel]:
    return [panel, alter_future(panel, CUT, "random_walk", 0)]


@pytest.fixture(scope="module")
def model(panel: Panel, tmp_path_factory: pytest.TempPathFactory) -> AuditedVersion:
    families = {"ridge": worlds.FAMILIES["ridge"]}
    spec = parse_target("fwd_ret_1d", "1d")
    world = worlds.world(panel, families=families, spec=spec)
    return promoted_version(world, "ridge", tmp_path_factory.mktemp("promoted"))


def handle_of(panel: Panel, folder: Path) -> PanelHandle:
    path = folder / "panel"
    write_panel(panel, path)
    return PanelHandle(str(path), sha256_file(path))


def features_of(panel: Panel, folder: Path) -> TableHandle:
    path = folder / "features"
    values = compute_features(panel, worlds.FACTORS)
    write_table(feature_table(panel, values, worlds.FACTORS), path)
    return TableHandle(str(path), sha256_file(path))


def test_candidates_of_the_node_are_those_of_the_audit(
    panel: Panel, futures: list[Panel], base_parameters: dict[str, Any], tmp_path: Path
) -> None:
    world = MonthWorld(panel)
    jobs = JobsConfig(
        **base_parameters["jobs"] | {"engine": "serial", "ledger": str(tmp_path)}
    )
    cache = CacheConfig(**base_parameters["cache"] | {"enabled": False})
    for one in futures:
        made = candidate_nodes.select_candidates(
            handle_of(one, tmp_path), world.config(one), jobs, cache
        )
        known = world.selected(one)
        tables = (known.indicators, known.candidates, known.outcomes)
        for found, expected in zip(made[:3], tables, strict=True):
            assert len(expected)
            assert_frame_equal(found, expected, check_exact=True)


def test_portfolios_of_the_node_are_those_of_the_audit(
    panel: Panel, futures: list[Panel], model: AuditedVersion, tmp_path: Path
) -> None:
    world = PortfolioWorld(MonthWorld(panel), model)
    registry = str(model.folder.parents[1])
    tables: list[pd.DataFrame] = []
    for one in futures:
        chosen = world.months.selected(one).candidates
        how = prediction_config(METHODS[1], chosen["month"].astype(str).tolist())
        stored = handle_of(one, tmp_path), features_of(one, tmp_path)
        made = prediction_nodes.predict_portfolios(chosen, *stored, how, registry, 1)
        expected = world.table(one, METHODS[1])
        shared = ["month", "symbol", "leg", "weight", "rank", "score"]
        assert len(expected) > 10
        assert_frame_equal(made[1][shared], expected[shared], check_exact=True)
        tables.append(made[1])
    known = [table[table["timestamp"] <= stamp_of(panel, CUT)] for table in tables]
    assert_frame_equal(known[0], known[1], check_exact=True)
    assert not tables[0].equals(tables[1])


def stamp_of(panel: Panel, bar: int) -> pd.Timestamp:
    return pd.Timestamp(panel.timestamps[bar], tz="UTC")


def test_no_other_node_decides_anything() -> None:
    """What follows in each pipeline reads its tables, neither bars nor factors."""
    for made, name in (
        (candidate_selection.create_pipeline(), "select_candidates"),
        (prediction.create_pipeline(), "predict_portfolios"),
    ):
        (first,) = [node for node in made.nodes if node.name.endswith(name)]
        for other in set(made.nodes) - {first}:
            assert set(other.inputs) <= set(first.outputs)


def test_the_promoted_copy_scores_as_the_model_that_was_fitted(
    panel: Panel, model: AuditedVersion
) -> None:
    fitted = fitted_on_train(model.world, "ridge")
    expected = model_scores(model.world, {"ridge": fitted}, panel)[:, CUT, 0]
    found = model.scores(panel, None, np.array([CUT]))[0]
    np.testing.assert_array_equal(found, expected)
    assert np.isfinite(found).sum() > 5
