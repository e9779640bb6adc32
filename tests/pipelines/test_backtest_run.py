"""The backtest as a pipeline: alone, beside the evaluation, and of a portfolio."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from tests.running import Place

from ranking_pipeline.evaluation.section import Section
from ranking_pipeline.pipeline_registry import register_pipelines
from ranking_pipeline.portfolio.selection import PortfolioSelection, Scorer

TABLES = (
    "backtest_returns",
    "backtest_metrics",
    "backtest_exposure",
    "monthly_returns",
)


@pytest.mark.parametrize("name", ["__default__", "train", "cs_full", "evaluation"])
def test_an_evaluation_and_its_backtest_open_the_test_split_once(name: str) -> None:
    pipeline = register_pipelines()[name]
    makers = [node for node in pipeline.nodes if "test_openings" in node.outputs]
    assert [node.short_name for node in makers] == ["evaluate"]
    assert "backtest_section" in pipeline.datasets() - pipeline.inputs()
    report = next(node for node in pipeline.nodes if "report" in node.outputs)
    assert "backtest_section" in report.inputs


@pytest.mark.parametrize("name", ["backtest", "portfolio_backtest"])
def test_a_backtest_alone_counts_its_opening_before_it_looks(name: str) -> None:
    nodes = register_pipelines()[name].nodes
    order = [node.short_name for node in nodes]
    assert order[:2] == ["check_backtest", "open_test_split"]
    assert "test_openings" in nodes[2].inputs


@pytest.mark.parametrize("name", ["backtest", "portfolio_backtest"])
def test_names_are_settled_by_the_table_behind_the_labels(name: str) -> None:
    """A parameter that is given to one run alone would part the two."""
    inputs = register_pipelines()[name].inputs()
    assert "delistings" in inputs
    assert not any("delistings" in x for x in inputs if x.startswith("params:"))
    makers = register_pipelines()["data_preparation"].only_nodes_with_outputs
    assert "delistings" in makers("labels").inputs()


def test_the_working_day_counts_rows_and_portfolio_in_one_run() -> None:
    """Both ledgers are one file, so the portfolio waits for what reads the rows'."""
    pipeline = register_pipelines()["sector_portfolio"]
    order = [node.short_name for node in pipeline.nodes]
    recorded = order.index("record_portfolio")
    assert order.index("record_trials") < order.index("backtest_predictions") < recorded
    assert {"trial_ledger", "backtest_section"} <= set(pipeline.nodes[recorded].inputs)
    assert order.count("open_test_split") == 0
    page = next(n for n in pipeline.nodes if n.short_name == "write_portfolio_report")
    assert "portfolio_backtest_section" in page.inputs


def test_the_backtest_of_a_run_agrees_with_its_leaderboard(finished: Place) -> None:
    """Without an exit the books are those of the leaderboard."""
    board, table = finished.load("leaderboard"), finished.load("backtest_metrics")
    chosen = board[board["chosen"]].iloc[0]
    held = table[(table["kind"] == "chosen") & (table["split"] == "test")].iloc[0]
    assert held["book"] == chosen["model_id"]
    for name in ("gross_bps_per_bar", "net_bps_per_bar"):
        # the exit costs once; what is bought on the last bar of the other does not earn
        assert held[name] == pytest.approx(chosen[name], abs=0.3)
    assert held["n_trials"] >= (board["kind"] == "model").sum()
    baselines = table[(table["kind"] == "baseline") & (table["split"] == "test")]
    assert set(baselines["book"]) <= set(board["model_id"])
    assert ">Backtest</h2>" in finished.load("report")


def test_a_backtest_alone_gives_the_same_again_and_counts(copied: Place) -> None:
    before = copied.digests()
    openings = copied.load("test_openings")["count"]
    ledger = copied.load("trial_ledger")
    copied.run("backtest")
    now = copied.digests()
    assert {name: now[name] for name in TABLES} == {n: before[n] for n in TABLES}
    assert copied.load("test_openings")["count"] == openings + 1
    assert copied.load("trial_ledger") == ledger
    copied.run("backtest", params={"backtest": {"legs": "long"}})
    assert len(copied.load("trial_ledger")["entries"]) == len(ledger["entries"]) + 1
    metrics = copied.load("backtest_metrics")
    assert (metrics["legs"] == "long").all()


def test_a_monthly_portfolio_is_backtested_from_its_table(copied: Place) -> None:
    panel = copied.load("panel").read()
    months = panel.trading_dates.astype("M8[M]")
    ends = np.flatnonzero(months[1:] != months[:-1])[-5:-1]
    rows = []
    for bar in ends:
        names = np.flatnonzero(panel.tradable[:, bar])[:4]
        for weight, symbol in zip((0.5, 0.5, -0.5, -0.5), names, strict=True):
            rows.append(
                {
                    "month": str(months[bar] + 1),
                    "sector": "all",
                    "timestamp": pd.Timestamp(panel.timestamps[bar], tz="UTC"),
                    "symbol": panel.symbols[symbol],
                    "leg": "long" if weight > 0 else "short",
                    "weight": weight,
                    "source": "model",
                    "model_version": "ridge v. 01234567",
                }
            )
    catalog = copied.catalog()
    catalog.save("batch_predictions", pd.DataFrame(rows))
    scorer = Scorer("model", target="fwd_ret_1d", unit="return")
    made = PortfolioSelection(rows[0]["month"]).to_document(scorer)
    catalog.save("portfolio_selection", [made])
    for name in ("prediction_section", "candidate_section"):
        catalog.save(name, Section(name, f"The {name}", "", (), ()).to_dict())
    copied.run("portfolio_backtest")
    table = copied.load("portfolio_backtest_metrics")
    assert {"portfolio", "random", "equal_weight"} <= set(table["book"])
    held = table[(table["book"] == "portfolio") & (table["split"] == "test")].iloc[0]
    assert held["n_trade_bars"] >= 3
    section = copied.load("portfolio_backtest_section")
    figure = copied.load("portfolio_equity_figure")
    assert section["figures"][0]["figure"] == figure
    assert json.loads(str(copied.catalog()["trial_ledger"].preview()))["key"]
    page = copied.load("portfolio_report")
    titles = (
        "Backtest of the monthly portfolio",
        "The prediction_section",
        "The candidate_section",
    )
    places = [page.index(f"{title}</h2>") for title in titles]
    assert places == sorted(places)
    assert "Primary target" not in page
