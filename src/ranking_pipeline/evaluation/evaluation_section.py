"""Evaluation section: the leaderboard, the comparison and the figures of the test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ranking_pipeline.evaluation import figures
from ranking_pipeline.evaluation.class_tables import class_tables
from ranking_pipeline.evaluation.formats import percent
from ranking_pipeline.evaluation.leaderboard import Evaluation
from ranking_pipeline.evaluation.section import Figure, Section, Table, table_of
from ranking_pipeline.wording import counted

# Name, family and route of a row are one word; every column must fit on a laptop.
BOARD_COLUMNS = [
    ("model_id", "row", "text"),
    ("validation_ic validation_t", "validation IC (t)", "ic_t"),
    ("rank_ic ic_t", "test IC (t)", "ic_t"),
    ("icir", "ICIR", "number"), ("share_of_oracle", "of oracle", "percent"),
    ("auc_skill", "AUC skill", "ic"), ("accuracy", "accuracy", "percent"),
    ("class_prior_accuracy", "majority", "percent"),
    ("decile_spread_bps", "spread, bps", "bps"), ("turnover", "turnover", "number"),
    ("gross_bps_per_bar", "gross, bps/bar", "bps"),
    ("net_bps_per_bar", "net, bps/bar", "bps"), ("net_sharpe", "net Sharpe", "number"),
    ("coverage", "scored", "percent"), ("n_bars", "bars", "int"),
]  # fmt: skip


def evaluation_section(result: Evaluation) -> Section:
    """Compose the leaderboard, the comparison and the figures of the test split.

    Parameters
    ----------
    result : Evaluation

    Returns
    -------
    Section
        The leaderboard is its first table.
    """
    facts, board = result.summary, result.leaderboard
    tables = [
        leaderboard_table(result),
        _paired_table(result.paired),
        _lag_table(result.baseline_lags),
        *(
            leaderboard_table(result, str(other))
            for other in board["target"].unique()
            if other != facts["target"]
        ),
        *class_tables(result.metrics),
    ]
    kept = tuple(table for table in tables if table.rows)
    families = dict(zip(board["model_id"], board["family"], strict=True))
    target, lag = str(facts["target"]), int(facts["random"]["entry_lag_bars"])
    names = _drawn(result)
    drawn = _rows(result.ic_by_bar, target, names)
    own = _rows(result.decile_returns, target, names)
    measured = drawn[drawn["split"] == "test"]
    ordered = measured.set_index("model_id").loc[names].reset_index()
    cost = float(facts["cost_bps_per_side"])
    plots = (
        Figure(
            f"Rank IC over the test bars, {target}",
            figures.ic_over_time(ordered, families, lag),
            "Sum from the first test bar on: the slope is the mean rank IC.",
        ),
        Figure(
            "Return of the book",
            figures.cumulative_spread(result.books, families, cost),
            f"Here {_book(facts)}; returns are summed, not compounded, and solid lines "
            "are net of costs.",
        ),
        Figure(
            f"Payoff by score decile, {target}",
            figures.decile_bars(own, families, "holding period"),
            "A monotone staircase means that the whole ranking is informative.",
        ),
    )
    return Section("evaluation", "Leaderboard", _lead(facts), kept, plots)


def leaderboard_table(result: Evaluation, target: str = "") -> Table:
    """Build the leaderboard of a target; of the shown one where none is named.

    Left out are columns that are missing throughout, and the number of bars where it
    is the same in every row: the caption tells it.
    """
    shown = str(result.summary["target"])
    board = result.leaderboard
    board = board[board["target"] == (target or shown)]
    kept = [c for c in BOARD_COLUMNS if not board[c[0].split()].isna().all(axis=None)]
    bars = board["n_bars"].unique()
    if len(bars) == 1:
        kept = [column for column in kept if column[0] != "n_bars"]
    emphasis = [
        "chosen" if chosen else {"model": ""}.get(kind, kind)
        for chosen, kind in zip(board["chosen"], board["kind"], strict=True)
    ]
    caption = f"{int(bars[0]):,} test bars. " if len(bars) == 1 else ""
    caption += "" if target else _board_caption(result)
    title = f"Leaderboard, {target or shown}"
    return table_of(board, title, kept, caption=caption.strip(), emphasis=emphasis)


def _board_caption(result: Evaluation) -> str:
    facts = result.summary
    lags = sorted(result.leaderboard["entry_lag_bars"].unique())
    return (
        "A row is family:target:route; without a route it is the pooled model. Sorted "
        "and chosen by the rank IC on validation; all else is measured on the test "
        f"split. Trades enter {', '.join(map(str, lags))} bar(s) after the decision. "
        f"{_measures(facts)} t comes from block means of max(10, 2(lag + H)) bars, H "
        "being the horizon. Spread is per holding period; a horizon of H bars is held "
        "as H staggered books; turnover is per rebalance (0 to 4); costs are "
        f"{facts['cost_bps_per_side']:g} bps per side, entry included. "
        f"Sharpe uses {facts['periods_per_year']:g} periods a year. A cell that a row "
        "does not score counts as the row’s median."
    )


def _measures(facts: Mapping[str, Any]) -> str:
    """What the IC compares and what the book holds."""
    if facts["over_time"]:
        return (
            "IC is Spearman’s correlation over time of score and raw forward return, "
            f"averaged over the symbols; {_book(facts)}."
        )
    return (
        "IC is Spearman’s correlation per bar with the raw forward return of the same "
        f"horizon; {_book(facts)}. Bars of fewer than {facts['min_symbols']} symbols "
        "are left out."
    )


def _book(facts: Mapping[str, Any]) -> str:
    if facts["over_time"]:
        return (
            "the book holds each symbol between −1/S and +1/S of S symbols, by the place "
            "of its score among its own past scores"
        )
    share = percent(facts["tail_share"])
    return f"the book holds +1 and −1 on the top and bottom {share}"


def _paired_table(paired: pd.DataFrame) -> Table:
    columns = [
        ("payoff", "payoff", "text"), ("model_id", "chosen row", "text"),
        ("baseline", "best baseline", "text"), ("model_ic", "its IC", "ic"),
        ("baseline_ic", "baseline IC", "ic"),
        ("difference t", "difference (t)", "ic_t"), ("ci_low", "95 % from", "ic"),
        ("ci_high", "to", "ic"), ("bootstrap_low", "bootstrap from", "ic"),
        ("bootstrap_high", "to", "ic"),
        ("minimum_detectable_effect", "detectable", "ic"),
        ("n_bars", "bars", "int"), ("n_blocks", "blocks", "int"),
    ]  # fmt: skip
    caption = (
        "Difference of the two rank ICs bar by bar on the test split; both rows were "
        "picked on validation. “Detectable” is the smallest true difference that "
        "this many bars show with 80 % power at the 5 % level."
    )
    title = "Chosen row against the best baseline"
    return table_of(paired, title, columns, caption=caption)


def _lag_table(baseline_lags: pd.DataFrame) -> Table:
    """One row per reference, the two lags side by side, on the test split."""
    rows = baseline_lags[baseline_lags["split"] == "test"]
    wide = rows.drop(columns="split").pivot(index="model_id", columns="entry_lag_bars")
    wide.columns = pd.Index(["{}_{}".format(*pair) for pair in wide.columns.tolist()])
    wide = wide.reset_index().sort_values("rank_ic_1", ascending=False, kind="stable")
    columns = [("model_id", "row", "text")]
    for name, label, form in (
        ("rank_ic_{0} ic_t_{0}", "test IC (t)", "ic_t"),
        ("decile_spread_bps_{0}", "spread, bps", "bps"),
        ("net_bps_per_bar_{0}", "net, bps/bar", "bps"),
        ("n_bars_{0}", "bars", "int"),
    ):
        columns += [(name.format(lag), f"{label}, lag {lag}", form) for lag in (0, 1)]
    caption = (
        "Return of one bar, entered at the close of the decision itself (lag 0, which "
        "cannot be traded) and one bar later."
    )
    styles = ["oracle" if kind == "oracle" else "" for kind in wide["kind_1"]]
    return table_of(
        wide, "Baselines at lags 0 and 1", columns, caption=caption, emphasis=styles
    )


def _lead(facts: Mapping[str, Any]) -> str:
    bars = int(facts["random"]["n_bars"])
    rows, targets = int(facts["n_models"]), int(facts["n_targets"])
    measured = f"the same rows of the locked test split ({bars} bars for"
    if not rows:
        return f"No model; six baselines on {measured} {facts['target']})."
    return (
        f"{counted(rows, 'model row')} on {counted(targets, 'target')} beside six "
        f"baselines, all measured on {measured} {facts['target']})."
    )


def _drawn(result: Evaluation) -> list[str]:
    """Rows that the figures draw: as in the table of deciles, for the shown target."""
    own = result.decile_returns[
        result.decile_returns["target"] == result.summary["target"]
    ]
    return [str(name) for name in own["model_id"].unique()]


def _rows(frame: pd.DataFrame, target: str, names: list[str]) -> pd.DataFrame:
    return frame[(frame["target"] == target) & frame["model_id"].isin(names)]
