"""Class tables: precision and recall of each class, and what positions in them earn."""

from __future__ import annotations

import pandas as pd

from ranking_pipeline.evaluation.class_metrics import CLASS_NAMES, CLASS_SCORES
from ranking_pipeline.evaluation.section import Table, table_of

CLASSES = [
    ("model_id", "row", "text"), ("class", "class", "text"), ("n", "rows", "int"),
    ("precision", "precision", "percent"), ("recall", "recall", "percent"),
    ("f1", "F1", "percent"),
]  # fmt: skip
POSITIONS = [
    ("model_id", "row", "text"), ("accuracy", "accuracy", "percent"),
    ("class_prior_accuracy", "majority", "percent"),
    ("position_share", "held", "percent"),
    ("position_win_rate", "positions won", "percent"),
    ("position_gross_bps_per_bar", "gross, bps/bar", "bps"),
    ("position_net_bps_per_bar", "net, bps/bar", "bps"),
    ("position_turnover", "turnover", "number"),
    ("position_sharpe", "net Sharpe", "number"),
    ("position_profit_factor", "profit factor", "number"),
    ("position_max_drawdown", "drawdown", "percent"),
]  # fmt: skip


def class_tables(metrics: pd.DataFrame) -> list[Table]:
    """Make the tables of the classifiers on the test split; none without classifiers.

    Parameters
    ----------
    metrics : DataFrame
        One row per model_id, target and split.
    """
    told = (metrics["split"] == "test") & metrics["accuracy"].notna()
    rows = metrics[told]
    if rows.empty:
        return []
    classes = pd.concat([_of_class(rows, name) for name in CLASS_NAMES.values()])
    classes = classes[classes["n"].notna()].sort_values("model_id", kind="stable")
    held = rows[rows["position_share"].notna()]
    tables = [
        table_of(
            classes,
            "Classes, test split",
            CLASSES,
            caption="Of the most probable class, on the test rows whose class is known. "
            "Of a target with two classes, long is the event and neutral its absence.",
        ),
        table_of(
            held,
            "Positions by predicted class, test split",
            POSITIONS,
            caption="Each symbol with a prediction has the same share of the capital and "
            "is held long, short or not at all, as its class says, in as many staggered "
            "books as the horizon has bars. A position wins where it earns over its "
            "horizon, before costs; profit factor and drawdown are of the net returns.",
        ),
    ]
    return [table for table in tables if table.rows]


def _of_class(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    parts = {score: rows[f"{score}_{name}"] for score in CLASS_SCORES}
    return pd.DataFrame({"model_id": rows["model_id"], "class": name} | parts)
