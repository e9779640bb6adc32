"""Nodes of the backtest."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from ranking_pipeline.evaluation.backtest.config import BacktestConfig
from ranking_pipeline.evaluation.config import EvaluationConfig
from ranking_pipeline.storage import PanelHandle, TableHandle

if TYPE_CHECKING:
    from ranking_pipeline.evaluation.backtest.setting import Found, Stored

Document = dict[str, Any]
_log = logging.getLogger(__name__)
Versions = Sequence[tuple[Mapping[str, str], pd.DataFrame]]


def open_test_split(panel: PanelHandle) -> str:
    """The key of this opening of the test split."""
    _log.info("this opens the test split; test_openings counts it")
    return panel.sha256


def record_trials(
    opening: Document,
    leaderboard: pd.DataFrame,
    tuned: Versions,
    config: BacktestConfig,
    evaluation: EvaluationConfig,
    *tables: Any,
) -> Document:
    """What was tried on the opened bars; ``tables`` are models and predictions in turn.

    A pair is None where the leaderboard was not made from it.
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
    portfolio: pd.DataFrame,
    config: BacktestConfig,
    rows: Document | None = None,
    *after: Document,
) -> Document:
    """The monthly portfolio as a trial on the opened bars.

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
) -> tuple[Any, ...]:
    """Tables and section of the monthly portfolio, beside baselines and market."""
    from ranking_pipeline.evaluation.backtest.portfolio import follow_portfolio

    stored = _stored(panel, splits, ledger, delistings)
    # one lag holds for all targets
    lag = int(target_manifest["entry_lag_bars"].iloc[0])
    return _outputs(follow_portfolio(stored, portfolio, lag, config, evaluation))


def write_portfolio_report(
    data_summary: Document, config: EvaluationConfig, *sections: Document
) -> str:
    """A page of its own: the book, the portfolios behind it, and their candidates."""
    from ranking_pipeline.evaluation.report import render_report
    from ranking_pipeline.evaluation.report_header import report_header
    from ranking_pipeline.evaluation.section import Section

    header = report_header(data_summary, {}, config) | {"title": "Portfolio report"}
    # the book may have costs of its own, and its model another target: its section tells
    for name in ("Primary target", "Costs"):
        header["facts"].pop(name)
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
