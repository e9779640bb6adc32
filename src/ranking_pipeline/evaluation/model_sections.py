"""Model sections: training and the ranking network in the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ranking_pipeline.evaluation import figures
from ranking_pipeline.evaluation.section import Figure, Section, Table, table_of

SHOWN_FAILURES = 20


def training_section(
    outcomes: pd.DataFrame,
    models: pd.DataFrame,
    history: pd.DataFrame | None = None,
    weights: pd.DataFrame | None = None,
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
    weights : DataFrame or None
        The table ``ensemble_weights``.

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
    tables = [_counts(models)]
    if weights is not None and len(weights):
        tables.append(_weights(weights))
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


def _counts(models: pd.DataFrame) -> Table:
    """One row per target and route, with the families that were trained for it."""
    grouped = models.groupby(["target", "route"], sort=True)
    counts = grouped.agg(
        models=("model_id", "size"),
        rows=("n_rows", "mean"),
        families=("family", lambda names: ", ".join(sorted(set(names)))),
    )
    columns = [
        ("target", "target", "text"), ("route", "route", "text"),
        ("models", "models", "int"), ("rows", "train rows of one, mean", "int"),
        ("families", "families", "text"),
    ]  # fmt: skip
    return table_of(counts.reset_index(), "Models", columns)


def _weights(weights: pd.DataFrame) -> Table:
    """What each member of an ensemble counts, and what it showed out of fold."""
    columns = [
        ("ensemble", "ensemble", "text"), ("model_id", "member", "text"),
        ("weight", "weight", "percent"),
        ("oof_rank_ic oof_t", "out-of-fold IC (t)", "ic_t"),
        ("status", "status", "text"), ("reason", "reason", "text"),
    ]  # fmt: skip
    caption = (
        "Weighted means of the members' ranks within the bar. Out of fold: inside the "
        "train block, by models of its other parts."
    )
    return table_of(weights, "Ensembles", columns, caption=caption)


def cs_ranking_section(
    history: pd.DataFrame, meta: Mapping[str, Any], reason: str = ""
) -> Section:
    """Show how the cross-sectional ranking network learned.

    Parameters
    ----------
    history : DataFrame
        The table ``cs_training_history``.
    meta : mapping
        The document ``cs_model_meta``: one model document per target.
    reason : str
        Why no network was trained, where none was.

    Returns
    -------
    Section
    """
    if history.empty:
        lead = f"No ranking network was trained{f': {reason}' if reason else ''}."
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
        ("epoch", "epoch", "int"), ("train_loss", "train loss", "ic"),
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


def _curves(history: pd.DataFrame | None) -> tuple[Figure, ...]:
    if history is None or history.empty:
        return ()
    note = "Dots mark the epochs kept."
    return (Figure("Learning curves", figures.learning_curves(history), note),)
