"""Names by hand are checked before any stage runs, and the choice that is none is told."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node

from ranking_pipeline.hooks.named_by_hand import manual_faults

DATA = SimpleNamespace(
    features=SimpleNamespace(
        factors=["ret_5", "vol_20", "ret_1"], exclude=[], max_lookback_bars=250
    ),
    labels=SimpleNamespace(targets=["fwd_ret_1d", "fwd_ret_5d"]),
    interval="1d",
    bars_per_session=None,
)
TABLES = {
    "feature_manifest": pd.DataFrame({"name": ["own_1", "own_2"]}),
    "target_manifest": pd.DataFrame(
        {"target": ["label_h5", "fwd_ret_5d"], "is_target": [True, False]}
    ),
}


def faults(ranking: Any, selection: Any, *, made: bool) -> list[str]:
    """``made``: whether the tables are on disk, or the pipeline makes them."""
    given: dict[str, Any] = {
        "params:target_ranking": SimpleNamespace(**ranking),
        "params:feature_selection": SimpleNamespace(**selection),
        **(TABLES if made else {"params:data": DATA}),
    }
    catalog = DataCatalog(
        {
            name: MemoryDataset(value, copy_mode="assign")
            for name, value in given.items()
        }
    )
    whole = Pipeline([node(lambda *inputs: None, [*given], None, name="all")])
    return manual_faults(whole, catalog)


AUTO = {"auto": True, "manual_targets": (), "manual_features": (), "top_m_features": 1}


def by_hand(*names: str) -> dict[str, Any]:
    return {**AUTO, "auto": False, "manual_targets": names, "manual_features": names}


@pytest.mark.parametrize(
    ("made", "good", "wrong", "near"),
    [(True, "own_2", "own_3", "own_2"), (False, "vol_20", "vol_21", "vol_20")],
)
def test_a_misspelt_feature_is_told(
    made: bool, good: str, wrong: str, near: str
) -> None:
    assert faults(AUTO, by_hand(good), made=made) == []
    [told] = faults(AUTO, by_hand(good, wrong), made=made)
    assert told.startswith(
        f"feature_selection.manual_features: '{wrong}' does not exist"
    )
    assert f"as {near}" in told


def test_a_misspelt_target_is_told() -> None:
    assert faults(by_hand("fwd_ret_5d"), AUTO, made=False) == []
    [told] = faults(by_hand("fwd_ret_6d"), AUTO, made=False)
    assert told.startswith("target_ranking.manual_targets: 'fwd_ret_6d' does not exist")
    # a payoff that is only carried along is no target
    [told] = faults(by_hand("fwd_ret_5d"), AUTO, made=True)
    assert "there are 1, as label_h5" in told


def test_empty_lists_are_told() -> None:
    told = faults(by_hand(), by_hand(), made=False)
    assert [line.split(" is false and ")[0] for line in told] == [
        "target_ranking.auto", "feature_selection.auto",
    ]  # fmt: skip


def test_a_limit_that_chooses_nothing_away_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        assert faults(AUTO, {**AUTO, "top_m_features": 2}, made=False) == []
        assert "none away" not in caplog.text
        assert faults(AUTO, {**AUTO, "top_m_features": 3}, made=False) == []
    [record] = caplog.records
    assert "top_m_features is 3 and there are 3 features" in record.getMessage()
