"""The pipeline of the promotion on finished runs: of every stage, and of one alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pytest
from tests.running import Place

from ranking_pipeline.evaluation.model_scores import model_scores
from ranking_pipeline.models.promoted import Promoted
from ranking_pipeline.models.promotion import resolve

pytestmark = pytest.mark.slow


def _promote(place: Place, **named: Any) -> Promoted:
    place.run("promotion", params={"promotion": named})
    registry = place.data / "06_models" / "production"
    return resolve(registry, named.get("alias", "production"))


def _board(place: Place) -> Mapping[tuple[str, str], np.ndarray]:
    """Scores (T, S) of the rows of the leaderboard, by model and target."""
    tasks = dict(place.load("target_manifest")[["target", "task"]].to_numpy())
    tables = [("models", "predictions"), ("cs_models", "cs_predictions")]
    catalog = place.catalog()
    there = [pair for pair in tables if catalog[pair[0]].exists()]
    found = model_scores(
        [place.load(predictions).read() for _, predictions in there],
        [place.load(models) for models, _ in there],
        place.load("panel").read(),
        tasks,
    )
    return {(one.model_id, one.target): one.score for one in found}


def test_every_route_of_a_finished_run_is_served_as_it_was_measured(
    copied: Place, caplog: pytest.LogCaptureFixture
) -> None:
    scores, board = _board(copied), copied.load("leaderboard")
    panel, features = copied.load("panel").read(), copied.load("features")
    first = pd.Timestamp(copied.load("splits")["validation"]["first"])
    start = int(np.searchsorted(panel.timestamps, first.to_datetime64()))
    bars = np.arange(start, panel.n_bars, 7)
    rows = board[board["kind"] == "model"].drop_duplicates("route")
    assert {"routed", "cross_sectional", "cs_ranking"} <= set(rows["route"])
    for row in rows.itertuples():
        named = {"model_id": row.model_id, "target": row.target, "alias": "live"}
        version = _promote(copied, **named)
        version.verify()
        got = version.scores(panel, features, bars)
        expected = scores[str(row.model_id), str(row.target)][bars]
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)
        last = pd.Timestamp(copied.load("splits")["validation"]["last"])
        until = pd.Timestamp(version.require_informed_until()).tz_localize("UTC")
        assert last <= until < last + pd.Timedelta(days=30)
        assert version.record["provenance"]["run_id"]
    caplog.clear()
    with caplog.at_level(logging.INFO):
        again = _promote(copied, **named)
    assert again.version == version.version
    assert "live was already" in caplog.text
    assert "live is now" not in caplog.text


def test_the_row_that_validation_chose_is_the_default(copied: Place) -> None:
    version, board = _promote(copied), copied.load("leaderboard")
    chosen = board.loc[board["chosen"], "model_id"].iloc[0]
    assert version.record["model_id"] == chosen
    assert version.record["provenance"]["chosen_by"] == "validation"
    assert copied.load("promoted_model")["version"] == version.version
    with pytest.raises(click.ClickException, match="'momentum_20' is a baseline of"):
        _promote(copied, model_id="momentum_20")
    with pytest.raises(click.ClickException, match="is the planted truth of a sim"):
        _promote(copied, model_id="oracle")


def test_a_leaderboard_older_than_its_models_is_told(copied: Place) -> None:
    copied.run("model_training", params={"model_training": {"seeds": [3]}})
    with pytest.raises(
        click.ClickException, match=r"leaderboard is older than .*models"
    ):
        _promote(copied)


def test_a_run_of_the_ranking_network_alone_is_promoted_from(tmp_path: Path) -> None:
    place = Place.make(tmp_path)
    place.run("cs_full")
    version = _promote(place)
    assert version.is_ranking_network
    panel = place.load("panel").read()
    bars = np.array([panel.n_bars - 1, panel.n_bars - 40])
    ((_, scores),) = _board(place).items()
    got = version.scores(panel, None, bars)
    np.testing.assert_allclose(got, scores[bars], rtol=0, atol=1e-6)


def test_a_run_without_a_ranking_network_is_promoted_from(copied: Place) -> None:
    for path in (copied.data / "06_models").glob("cs_model*"):
        path.rename(path.with_name(f"gone_{path.name}"))
    copied.run("train", "promotion")
    version = resolve(copied.data / "06_models" / "production", "production")
    assert not version.is_ranking_network
    assert _promote(copied).version == version.version
