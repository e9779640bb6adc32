"""Trials: what counts, what counts once, and a ledger that outlives its writers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.io import DatasetError
from tests.evaluation.backtest.world import (
    backtest_config,
    leaderboard,
    panel,
    scores,
)

from ranking_pipeline import storage
from ranking_pipeline.datasets import HistoryDataset, LedgerDataset, TableDataset
from ranking_pipeline.datasets.artefact import Lineage
from ranking_pipeline.evaluation.backtest.trials import (
    TrialCount,
    book_entries,
    count_trials,
    portfolio_entry,
    row_entries,
    tuning_entries,
)
from ranking_pipeline.pipelines.backtest.nodes import record_portfolio

Values = dict[str, float]
FIRST: Values = {"AA": 1.0, "BB": 2.0}
SECOND: Values = {"AA": 1.0, "BB": 2.5}


def entries(values: Values, model_id: str = "ridge") -> list[str]:
    models, table = scores(panel(), values, model_id)
    return row_entries(leaderboard(model_id), [models], [table])


def counted(path: Path, *saves: list[str], key: str = "bars") -> TrialCount:
    for names in saves:
        LedgerDataset(filepath=str(path)).save({"key": key, "entries": names})
    return count_trials(LedgerDataset(filepath=str(path)).load())


def test_a_repeated_run_does_not_count_twice(tmp_path: Path) -> None:
    found = counted(tmp_path / "ledger.json", entries(FIRST), entries(FIRST))
    assert found == TrialCount(rows=1, earlier_rows=0, tuning=0, books=0)
    assert found.total == 1


def test_two_seeds_and_two_sets_of_parameters_count(tmp_path: Path) -> None:
    other_seed = entries(FIRST, "ridge:seed 1")
    other_parameters = entries(SECOND)
    saves = (entries(FIRST), other_seed, other_parameters)
    found = counted(tmp_path / "ledger.json", *saves)
    assert (found.rows, found.earlier_rows, found.total) == (1, 2, 3)


def test_other_bars_have_a_count_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    assert counted(path, entries(FIRST), key="bars").total == 1
    assert counted(path, entries(SECOND), key="other bars").total == 1
    # and back: nothing was lost
    assert counted(path, entries(SECOND), key="bars").total == 2


def test_the_scores_of_all_models_behind_a_row_make_its_digest() -> None:
    bars = panel()
    tables, models = [], []
    for symbol, score in (("AA", 1.0), ("BB", 2.0)):
        row, table = scores(bars, {symbol: score}, f"ridge:{symbol}")
        tables.append(table)
        models.append(row.assign(symbol=symbol))
    board = leaderboard("ridge per symbol")
    before = row_entries(board, models, tables)
    tables[1] = tables[1].assign(score=np.float32(3.0))
    after = row_entries(board, models, tables)
    assert before != after
    assert before[0].startswith("row|ridge per symbol|fwd_ret_1d|")


def test_a_write_that_is_killed_leaves_the_ledger_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.json"
    before = counted(path, entries(FIRST))

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            counted(path, entries(SECOND))
    assert counted(path) == before
    assert [file.name for file in tmp_path.iterdir()] == ["ledger.json"]
    assert json.loads(str(LedgerDataset(filepath=str(path)).preview()))["entries"]


def test_other_rules_for_a_row_are_a_trial_but_other_costs_are_none() -> None:
    rows = entries(FIRST)
    held = {"model_id": "ridge", "target": "fwd_ret_1d"}

    def made(**changes: Any) -> list[str]:
        return book_entries(rows, held, backtest_config(**changes), 0.1)

    assert made() == made(cost_bps_per_side=9.0) == made(tail_share=0.1) == []
    assert made(exit_at_end=False, capital_base="gross", rebalance_bars=1) == []
    assert len({*made(legs="long"), *made(band_share=0.2), *made(tail_share=0.2)}) == 3
    assert book_entries([], None, backtest_config(legs="long"), 0.1) == []


def test_other_weights_make_another_portfolio() -> None:
    stamp = pd.Timestamp("2020-01-31 21:00", tz="UTC")
    table = pd.DataFrame({"timestamp": [stamp], "symbol": ["AA"], "weight": [1.0]})
    own = portfolio_entry(table, "both")
    assert own == portfolio_entry(table.copy(), "both")
    others = portfolio_entry(table.assign(weight=0.5), "both")
    assert own != others
    # its only leg is all of it; a leg of two is another book
    assert own == portfolio_entry(table, "long")
    short = table.assign(symbol="BB", weight=-1.0)
    both = pd.concat([table, short], ignore_index=True)
    assert portfolio_entry(both, "both") != portfolio_entry(both, "long")


def test_rows_of_the_same_run_stay_its_own_beside_a_portfolio(tmp_path: Path) -> None:
    """Two datasets are one file: rows of this run are not those of earlier ones."""
    ledger = LedgerDataset(filepath=str(tmp_path / "ledger.json"))
    ledger.save({"key": "bars", "entries": entries(SECOND)})
    ledger.save({"key": "bars", "entries": entries(FIRST)})
    stamp = pd.Timestamp("2020-01-31 21:00", tz="UTC")
    table = pd.DataFrame({"timestamp": [stamp], "symbol": ["AA"], "weight": [1.0]})
    opening, config = {"key": "bars"}, backtest_config()
    together = record_portfolio(opening, {}, table, config, ledger.load(), {})
    alone = record_portfolio(opening, {}, table, config)
    ledger.save(together)
    assert count_trials(ledger.load()) == TrialCount(1, 1, 0, 1)
    ledger.save(alone)
    assert count_trials(ledger.load()) == TrialCount(0, 2, 0, 1)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"key": "a", "newest": [], "ledgers": {}}']
)
def test_a_damaged_ledger_is_told_by_its_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ledger.json"
    path.write_text(text, encoding="utf-8")
    ledger = LedgerDataset(filepath=str(path))
    with pytest.raises(DatasetError, match=r"ledger\.json is damaged: no ledger"):
        ledger.load()
    with pytest.raises(DatasetError, match="Restore it from a copy"):
        ledger.save({"key": "bars", "entries": []})
    assert path.read_text("utf-8") == text


def test_trials_of_tuning_count_on_their_own_bars_and_once(tmp_path: Path) -> None:
    versions = []
    for name, bars, states in (
        ("1", "bars", ["complete", "pruned", "failed"]),
        ("2", "bars", ["complete", "pruned", "failed", "complete"]),
        ("3", "other", ["complete"]),
    ):
        table = pd.DataFrame({"state": states})
        table = table.assign(study="one", trial=range(len(states)))
        path = tmp_path / "trials.parquet" / name / "trials.parquet"
        dataset = TableDataset(filepath=str(path))
        dataset.lineage = Lineage("tune", {"panel": bars})
        dataset.save(table)
        versions.append(path)
    # a version whose writer died is none
    storage.manifest_path(versions[2]).unlink()
    history = HistoryDataset(path=str(tmp_path / "trials.parquet")).load()
    assert [dict(ancestors) for ancestors, _ in history] == [{"panel": "bars"}] * 2
    assert len(tuning_entries(history, "bars")) == 3
    assert tuning_entries(history, "other") == []


def test_nothing_tuned_is_no_trial(tmp_path: Path) -> None:
    missing = HistoryDataset(path=str(tmp_path / "trials.parquet"))
    assert missing.exists()
    assert missing.load() == []
