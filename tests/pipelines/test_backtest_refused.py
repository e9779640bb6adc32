"""A backtest that is refused: nothing is opened, and nothing is a trial."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from tests.evaluation.backtest.world import (
    backtest_config,
    leaderboard,
    manifest,
    measuring,
    metrics,
    panel,
    scores,
    stored,
)

from ranking_pipeline.datasets import CounterDataset, LedgerDataset
from ranking_pipeline.errors import UserError
from ranking_pipeline.pipelines.backtest import create_pipeline

SCORES = {"AA": 4.0, "BB": 3.0, "CC": 2.0, "DD": 1.0}
EMPTY = pd.DataFrame(
    columns=["month", "sector", "timestamp", "symbol", "leg", "weight", "source"]
)


def counts(folder: Path) -> tuple[bytes, ...]:
    """Both files that outlive runs, byte by byte."""
    return tuple(path.read_bytes() for path in sorted(folder.glob("*.json")))


def held(folder: Path, source: Any = "predictions", **changes: Any) -> None:
    """Run a backtest alone up to its ledger, on inputs in memory."""
    bars = panel()
    models, predictions = scores(bars, SCORES)
    given = {
        "panel": SimpleNamespace(read=lambda: bars, sha256="bars"),
        "splits": stored(bars).splits,
        "delistings": stored(bars).delistings,
        "target_manifest": manifest(),
        "leaderboard": leaderboard("ridge", chosen="ridge"),
        "metrics": metrics(1.0),
        "tuning_trials_so_far": [],
        "models": models,
        "predictions": SimpleNamespace(
            read=lambda names=None: predictions[list(names or predictions)]
        ),
        "batch_predictions": EMPTY,
        "params:backtest": backtest_config(**changes),
        "params:evaluation": measuring(),
    }
    catalog = DataCatalog({k: MemoryDataset(v, "assign") for k, v in given.items()})
    ledger = LedgerDataset(filepath=str(folder / "trial_ledger.json"))
    catalog["trial_ledger"] = catalog["portfolio_trial_ledger"] = ledger
    counter = CounterDataset(filepath=str(folder / "test_openings.json"))
    catalog["test_openings"] = counter
    whole = create_pipeline(("model_training",), source=source)
    name = "trial_ledger" if source == "predictions" else "portfolio_trial_ledger"
    SequentialRunner().run(whole.to_outputs(name), catalog)


@pytest.mark.parametrize(
    ("source", "changes", "message"),
    [
        ("predictions", {"band_share": 0.05}, "band_share 0.05 is narrower"),
        ("predictions", {"model_id": "nosuch"}, "'nosuch' is not on the leaderboard"),
        ("portfolio", {}, "batch_predictions holds no portfolio"),
        ("portfolio", {"rebalance_bars": 5}, r"backtest\.rebalance_bars 5 is for"),
    ],
)
def test_a_refused_backtest_counts_nothing(
    tmp_path: Path, source: str, changes: dict[str, Any], message: str
) -> None:
    held(tmp_path)
    before = counts(tmp_path)
    assert len(before) == 2
    with pytest.raises(UserError, match=message):
        held(tmp_path, source, **changes)
    assert counts(tmp_path) == before
    held(tmp_path, legs="long")
    assert counts(tmp_path) != before
