"""The pipeline: from a finished whole job to portfolios, by a promoted ridge."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog
from tests.running import Place

from ranking_pipeline.models.promoted import resolve
from ranking_pipeline.portfolio import selection as selection_module

SCHEMA = Path(selection_module.__file__).with_name("portfolio_selection.schema.json")
# eleven sectors of two names: one candidate in each leg of each
TAILS = {"min_sector_size": 2, "top_k_ratio": 0.5, "bottom_k_ratio": 0.5}
WIDE = {"per_sector": False, "candidate_type": "both", "top_n": 4}


@pytest.fixture(scope="module")
def served(finished: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The smoke market with candidates and a promoted ridge."""
    place = finished.copy(tmp_path_factory.mktemp("served"))
    board = place.load("leaderboard")
    rows = board[board["model_id"].str.startswith("ridge")]
    first = rows.iloc[0]
    chosen = {"model_id": str(first["model_id"]), "target": str(first["target"])}
    place.run("promotion", params={"promotion": chosen})
    place.run("candidate_selection", params={"candidate_selection": TAILS})
    return place


@pytest.mark.slow
def test_months_from_before_and_after_the_model_was_informed(served: Place) -> None:
    known = sorted(served.load("sector_candidates")["month"].astype(str).unique())
    how = WIDE | {"first_month": known[-8], "last_month": known[-1]}
    served.run("prediction", params={"prediction": how})
    catalog = served.catalog()
    outcomes = catalog.load("batch_outcomes")
    assert outcomes["month"].tolist() == known[-8:]
    status = outcomes["status"].tolist()
    assert status == sorted(status, key=["in_sample", "done"].index)
    assert {"in_sample", "done"} == set(status)
    table = catalog.load("batch_predictions")
    sums = table.groupby(["month", "leg"])["weight"].sum().unstack()
    np.testing.assert_allclose(sums["long"], 1.0)
    np.testing.assert_allclose(sums["short"], -1.0)
    _scores_are_those_of_the_model(served, catalog, table)
    _documents_fit_their_schema(catalog, outcomes)
    assert catalog.load("batch_results")["ticker"].tolist() == table["symbol"].tolist()
    assert "rank | ticker" in catalog.load("portfolio_selection_md")
    assert catalog.load("prediction_section")["tables"]
    live = catalog.load("live_ranking")
    assert set(live["symbol"]) == set(catalog.load("panel").read_symbols())
    assert live["rank"].notna().sum() > 15


def _scores_are_those_of_the_model(
    place: Place, catalog: DataCatalog, table: pd.DataFrame
) -> None:
    """And every as-of bar lies before its month."""
    panel = catalog.load("panel").read()
    model = resolve(place.data / "06_models" / "production", "production")
    stamps = table["timestamp"].dt.tz_localize(None).to_numpy("M8[ns]")
    bars = panel.bar_positions(stamps)
    until = model.informed_until
    assert until is not None
    assert (stamps > until).all()
    assert (panel.trading_dates[bars] < table["month"].to_numpy("M8[M]")).all()
    axis = np.unique(bars)
    scores = model.scores(panel, catalog.load("features"), axis)
    symbols = panel.symbol_positions(table["symbol"].to_numpy(object))
    wanted = scores[np.searchsorted(axis, bars), symbols]
    np.testing.assert_array_equal(table["score"], wanted.astype(np.float32))


def _documents_fit_their_schema(catalog: DataCatalog, outcomes: pd.DataFrame) -> None:
    schema = json.loads(SCHEMA.read_text("utf-8"))
    documents = catalog.load("portfolio_selection")
    done = outcomes[outcomes["status"] == "done"]["month"].tolist()
    assert [one["metadata"]["month"] for one in documents] == done
    files = catalog.load("prediction_files")
    for document in documents:
        jsonschema.validate(document, schema)
        assert document["metadata"]["model_version"].startswith("ridge")
        month = document["metadata"]["month"].replace("-", "_")
        assert json.loads(files["all", f"{month}_predictions.json"]) == document
