"""Nodes of the backtest."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from ranking_pipeline.evaluation.backtest.config import BacktestConfig
from ranking_pipeline.evaluation.config import EvaluationConfig
from ranking_pipeline.storage import PanelHandle, TableHandle
from ranking_pipeline.wording import counted

if TYPE_CHECKING:
    from ranking_pipeline.evaluation.backtest.setting import Found, Stored

Document = dict[str, Any]
_log = logging.getLogger(__name__)
Versions = Sequence[tuple[Mapping[str, str], pd.DataFrame]]


def check_predictions(
    panel: PanelHandle,
    splits: Document,
    target_manifest: pd.DataFrame,
    leaderboard: pd.DataFrame,
    metrics: pd.DataFrame,
    delistings: pd.DataFrame,
    config: BacktestConfig,
    evaluation: EvaluationConfig,
    *tables: Any,
) -> Document:
    """What is going to be held, once its inputs and rules are known to fit.

    What is refused here opens nothing and is no trial. ``tables`` are those of
    :func:`record_trials`; ``metrics`` are only loaded.
    """
    from ranking_pipeline.evaluation.backtest.predictions import plan_predictions

    models, stored = _measured(tables)
    plan = plan_predictions(
        _stored(panel, splits, {}, delistings),
        leaderboard,
        target_manifest,
        models,
        [table.read() for table in stored],
        config,
        evaluation,
    )
    held = None if plan.row is None else str(plan.row["model_id"])
    return {"model_id": held, "target": plan.target, "legs": plan.rules.legs}


def check_portfolio(
    panel: PanelHandle,
    splits: Document,
    target_manifest: pd.DataFrame,
    portfolio: pd.DataFrame,
    delistings: pd.DataFrame,
    config: BacktestConfig,
    evaluation: EvaluationConfig,
) -> Document:
    """Legs and months that are going to be held, as :func:`check_predictions`."""
    from ranking_pipeline.evaluation.backtest.portfolio import plan_portfolio

    stored, lag = _stored(panel, splits, {}, delistings), _lag_bars(target_manifest)
    plan = plan_portfolio(stored, portfolio, lag, config, evaluation)
    return {
        "legs": plan.rules.legs,
        "months": {k: [*v] for k, v in plan.months.items()},
    }


def open_test_split(panel: PanelHandle, checked: Document) -> str:
    """The key of this opening of the test split; it waits for what is ``checked``."""
    _log.info("this opens the test split; test_openings counts it")
    return panel.sha256


def record_trials(
    opening: Document,
    checked: Document,
    leaderboard: pd.DataFrame,
    tuned: Versions,
    config: BacktestConfig,
    evaluation: EvaluationConfig,
    *tables: Any,
) -> Document:
    """What was tried on the opened bars; ``tables`` are models and predictions in turn.

    It waits for what is ``checked``: a book that is refused is no trial. A pair is None
    where the leaderboard was not made from it.
    """
    from ranking_pipeline.evaluation.backtest import trials
    from ranking_pipeline.evaluation.backtest.books import held_row

    models, stored = _measured(tables)
    predictions = [table.read(trials.SCORE_COLUMNS) for table in stored]
    rows = trials.row_entries(leaderboard, models, predictions)
    held = trials.book_entries(
        rows, held_row(leaderboard, config), config, evaluation.tail_share
    )
    earlier = trials.tuning_entries(tuned, opening["key"])
    return {"key": opening["key"], "entries": [*rows, *held, *earlier]}


def record_portfolio(
    opening: Document,
    checked: Document,
    portfolio: pd.DataFrame,
    config: BacktestConfig,
    rows: Document | None = None,
    *after: Document,
) -> Document:
    """The monthly portfolio as a trial on the opened bars, once it is ``checked``.

    ``rows`` is the ledger after the rows of the same run, where there are some; the
    node waits for what stands ``after`` them.
    """
    from ranking_pipeline.evaluation.backtest.trials import portfolio_entry

    own = [] if rows is None else rows["newest"]
    entry = portfolio_entry(portfolio, config.legs)
    return {"key": opening["key"], "entries": [*own, entry]}


def backtest_predictions(
    panel: PanelHandle,
    splits: Document,
    target_manifest: pd.DataFrame,
    leaderboard: pd.DataFrame,
    metrics: pd.DataFrame,
    ledger: Document,
    delistings: pd.DataFrame,
    config: BacktestConfig,
    evaluation: EvaluationConfig,
    *tables: Any,
) -> tuple[Any, ...]:
    """Tables and section of the row that is held, beside baselines and market.

    ``tables`` are those of :func:`record_trials`.
    """
    from ranking_pipeline.evaluation.backtest.predictions import follow_predictions

    models, predictions = _measured(tables)
    found = follow_predictions(
        _stored(panel, splits, ledger, delistings),
        leaderboard,
        metrics,
        target_manifest,
        models,
        [table.read() for table in predictions],
        config,
        evaluation,
    )
    return _outputs(found)


def backtest_portfolio(
    panel: PanelHandle,
    splits: Document,
    target_manifest: pd.DataFrame,
    portfolio: pd.DataFrame,
    ledger: Document,
    delistings: pd.DataFrame,
    config: BacktestConfig,
    evaluation: EvaluationConfig,
    selections: Sequence[Document],
) -> tuple[Any, ...]:
    """Tables and section of the monthly portfolio, beside baselines and market.

    ``selections`` only tell what the model behind the portfolio foretells.
    """
    from ranking_pipeline.evaluation.backtest.portfolio import follow_portfolio
    from ranking_pipeline.evaluation.backtest.portfolio_months import forecast_of

    stored = _stored(panel, splits, ledger, delistings)
    lag = _lag_bars(target_manifest)
    found = follow_portfolio(stored, portfolio, lag, config, evaluation)
    forecast = forecast_of(selections, target_manifest, portfolio, stored.panel)
    return _outputs(replace(found, forecast=forecast))


def write_portfolio_report(
    data_summary: Document,
    openings: Document,
    config: EvaluationConfig,
    *sections: Document,
) -> str:
    """A page of its own: the book, the portfolios behind it, and their candidates."""
    from ranking_pipeline.evaluation.report import render_report
    from ranking_pipeline.evaluation.report_header import data_warnings, report_header
    from ranking_pipeline.evaluation.section import Section

    header = report_header(data_summary, {}, config) | {"title": "Portfolio report"}
    header["notes"] = data_warnings(data_summary)
    # the book may have costs of its own, and its model another target: its section tells
    for name in ("Primary target", "Costs"):
        header["facts"].pop(name)
    header["facts"]["Test split opened"] = counted(openings["count"], "time")
    return render_report(header, [Section.from_dict(section) for section in sections])


def draw_backtest(section: Document) -> tuple[Document, ...]:
    """The section's figures on their own, for kedro-viz and notebooks."""
    return tuple(figure["figure"] for figure in section["figures"])


def _measured(
    tables: Sequence[Any],
) -> tuple[list[pd.DataFrame], list[TableHandle]]:
    """Models and predictions of the stages that took part in the leaderboard."""
    pairs = zip(tables[::2], tables[1::2], strict=True)
    there = [(m, p) for m, p in pairs if m is not None and p is not None]
    return [models for models, _ in there], [predictions for _, predictions in there]


def _lag_bars(target_manifest: pd.DataFrame) -> int:
    """Bars from a decision to its trade; one lag holds for all targets."""
    return int(target_manifest["entry_lag_bars"].iloc[0])


def _stored(
    panel: PanelHandle, splits: Document, ledger: Document, delistings: pd.DataFrame
) -> Stored:
    from ranking_pipeline.evaluation.backtest.setting import Stored

    return Stored(panel.read(), splits, delistings, ledger)


def _outputs(found: Found) -> tuple[Any, ...]:
    from ranking_pipeline.evaluation.backtest.section import backtest_section

    tables, section = found.backtest, backtest_section(found)
    _log.info("%s", section.lead)
    return (
        tables.returns,
        tables.metrics,
        tables.exposure,
        tables.monthly,
        section.to_dict(),
    )
