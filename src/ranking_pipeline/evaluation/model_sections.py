"""Model sections: training, ranking network and evaluation in the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ranking_pipeline.evaluation import figures
from ranking_pipeline.evaluation.formats import percent
from ranking_pipeline.evaluation.leaderboard import Evaluation
from ranking_pipeline.evaluation.section import Figure, Section, Table, table_of

SHOWN_FAILURES = 20
BOARD_COLUMNS = [
    ("target", "target", "text"), ("model_id", "row", "text"),
    ("family", "family", "text"), ("route", "route", "text"),
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


def training_section(
    outcomes: pd.DataFrame, models: pd.DataFrame, history: pd.DataFrame | None = None
) -> Section:
    """Count what was trained and list what failed.

    Parameters
    ----------
    outcomes : DataFrame
        The table ``training_outcomes``.
    models : DataFrame
        The table ``models``.
    history : DataFrame or None
        Learning curves, as ``cs_training_history``.

    Returns
    -------
    Section
    """
    if outcomes.empty:
        lead = "No model was trained: the training plan has no job."
        return Section("training", "Model training", lead)
    failed = outcomes[outcomes["status"] != "done"]
    n_skipped = int((outcomes["status"] == "skipped").sum())
    n_failed = len(failed) - n_skipped
    lead = f"{len(outcomes) - len(failed)} of {len(outcomes)} training jobs finished"
    lead += f"; {n_skipped} had too few rows and were skipped" if n_skipped else ""
    lead += f"; {n_failed} failed." if n_failed else "."
    grouped = models.groupby(["target", "family", "route"], sort=True)
    counts = grouped.agg(models=("model_id", "size"), rows=("n_rows", "sum"))
    columns = [
        ("target", "target", "text"), ("family", "family", "text"),
        ("route", "route", "text"), ("models", "models", "int"),
        ("rows", "train rows in all", "int"),
    ]  # fmt: skip
    tables = [table_of(counts.reset_index(), "Models", columns)]
    if len(failed):
        reasons = [
            ("job_id", "job", "text"), ("target", "target", "text"),
            ("family", "family", "text"), ("symbol", "symbol", "text"),
            ("error", "error", "text"),
        ]  # fmt: skip
        title = f"Failures (first {SHOWN_FAILURES})"
        tables.append(table_of(failed.head(SHOWN_FAILURES), title, reasons))
    kept = tuple(table for table in tables if table.rows)
    return Section("training", "Model training", lead, kept, _curves(history))


def cs_ranking_section(history: pd.DataFrame, meta: Mapping[str, Any]) -> Section:
    """Show how the cross-sectional ranking network learned.

    Parameters
    ----------
    history : DataFrame
        The table ``cs_training_history``.
    meta : mapping
        The document ``cs_model_meta``: one model document per target.

    Returns
    -------
    Section
    """
    if history.empty:
        lead = "No ranking network was trained."
        return Section("cs_ranking", "Cross-sectional ranking", lead)
    best = history[history["best"].astype(bool)].groupby(["target", "seed"]).tail(1)
    networks = {
        f"{document['family']} on {document['sequence_length']} bars with the "
        f"{document['cross_sectional_ranking']['loss_type']} loss"
        for document in meta.values()
    }
    lead = (
        f"A ranking network ({'; '.join(sorted(networks))}) learned from whole "
        f"cross-sections: {_counted(meta)}. Of each seed the epoch with the best "
        "validation is kept."
    )
    columns = [
        ("target", "target", "text"), ("seed", "seed", "int"),
        ("epoch", "epoch", "int"), ("train_loss", "train loss", "number"),
        ("train_ic", "train IC", "ic"), ("validation_ic", "validation IC", "ic"),
        ("spread_bps", "validation spread, bps", "bps"),
    ]  # fmt: skip
    best = best.assign(spread_bps=1e4 * best["validation_spread"])
    tables = (_ranker_table(meta), table_of(best, "Epochs kept", columns))
    name = "Cross-sectional ranking"
    return Section("cs_ranking", name, lead, tables, _curves(history))


def _counted(meta: Mapping[str, Any]) -> str:
    """How much there was to learn from, and what was too small."""
    total = pd.DataFrame([document["data"] for document in meta.values()]).sum()
    dropped = int(total["train_bars_dropped"])
    left_out = f"; {dropped:,} bars with too few names were left out" if dropped else ""
    return (
        f"{int(total['train_windows']):,} windows on {int(total['train_bars']):,} "
        f"training bars{left_out}"
    )


def _ranker_table(meta: Mapping[str, Any]) -> Table:
    """What validation says of the averaged score, and how much single seeds differ."""
    rows = pd.DataFrame(
        {"target": target} | document["cross_sectional_ranking"]["training_metrics"]
        for target, document in meta.items()
    )
    rows["net_bps"] = 1e4 * rows["net_spread"].astype(float)
    rows["spread_bps"] = 1e4 * rows["best_spread"].astype(float)
    columns = [
        ("target", "target", "text"), ("best_ic ic_t", "IC (t)", "ic_t"),
        ("ic_ir", "ICIR", "number"), ("ic_hit_rate", "hit rate", "percent"),
        ("spread_bps", "spread, bps", "bps"), ("turnover", "turnover", "number"),
        ("net_bps", "net spread, bps", "bps"),
        ("precision_top", "top precision", "percent"),
        ("precision_bottom", "bottom precision", "percent"),
        ("seed_ic_mean", "one seed’s IC", "ic"), ("seed_ic_std", "± over seeds", "ic"),
        ("n_bars", "bars", "int"),
    ]  # fmt: skip
    caption = (
        "The mean rank over seeds, measured against the raw forward return on the "
        "validation split, which also chose the epochs: an upper bound of what to "
        "expect. Precision is the share of a tail by score that is in that tail by "
        "return."
    )
    title = "Averaged over seeds, validation"
    return table_of(rows, title, columns, caption=caption)


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
        leaderboard_table(result, others=True),
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
            "Money",
            figures.cumulative_spread(result.books, families, cost),
            "A book of +1 and −1 on the top and bottom "
            f"{percent(facts['tail_share'])}; solid lines are net of costs.",
        ),
        Figure(
            f"Payoff by score decile, {target}",
            figures.decile_bars(own, families, "holding period"),
            "A monotone staircase means that the whole ranking is informative.",
        ),
    )
    return Section("evaluation", "Leaderboard", _lead(facts), kept, plots)


def leaderboard_table(result: Evaluation, *, others: bool = False) -> Table:
    """Build the leaderboard of the shown target, or that of the other targets.

    Columns that are missing throughout are left out.
    """
    facts, board = result.summary, result.leaderboard
    own = board["target"] == facts["target"]
    board = board[~own if others else own]
    kept = [c for c in BOARD_COLUMNS if not board[c[0].split()].isna().all(axis=None)]
    kept = kept if others else kept[1:]
    emphasis = [
        "chosen" if chosen else {"model": ""}.get(kind, kind)
        for chosen, kind in zip(board["chosen"], board["kind"], strict=True)
    ]
    title = "Other targets" if others else f"Leaderboard, {facts['target']}"
    caption = "" if others else _board_caption(result)
    return table_of(board, title, kept, caption=caption, emphasis=emphasis)


def _board_caption(result: Evaluation) -> str:
    facts = result.summary
    lags = sorted(result.leaderboard["entry_lag_bars"].unique())
    return (
        "Sorted and chosen by the rank IC on validation; all else is measured on the "
        f"test split. Trades enter {', '.join(map(str, lags))} bar(s) after the "
        "decision. IC is Spearman’s correlation per bar with the raw forward return of "
        "the same horizon H; t comes from block means of max(10, 2(lag + H)) bars. "
        "Spread is per holding period; books hold +1 and −1 on the top and bottom "
        f"{percent(facts['tail_share'])}, a horizon of H bars as H staggered books; "
        "turnover is per rebalance (0 to 4); costs are "
        f"{facts['cost_bps_per_side']:g} bps per side, entry included. "
        f"Sharpe uses {facts['periods_per_year']:g} periods a "
        "year. A cell that a row does not score counts as the row’s median."
    )


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
    return (
        f"{rows} model rows on {targets} target{'s' if targets > 1 else ''} beside six "
        f"baselines, all measured on the same rows of the locked test split "
        f"({bars} bars for {facts['target']})."
    )


def _drawn(result: Evaluation) -> list[str]:
    """Rows that the figures draw: as in the table of deciles, for the shown target."""
    own = result.decile_returns[
        result.decile_returns["target"] == result.summary["target"]
    ]
    return [str(name) for name in own["model_id"].unique()]


def _rows(frame: pd.DataFrame, target: str, names: list[str]) -> pd.DataFrame:
    return frame[(frame["target"] == target) & frame["model_id"].isin(names)]


def _curves(history: pd.DataFrame | None) -> tuple[Figure, ...]:
    if history is None or history.empty:
        return ()
    note = "Dots mark the epochs kept."
    return (Figure("Learning curves", figures.learning_curves(history), note),)
