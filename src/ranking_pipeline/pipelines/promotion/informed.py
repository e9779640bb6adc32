"""Informed until: the latest bar of which a row's fit and choice could have known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.panel import Panel
from ranking_pipeline.storage import TableHandle


def informed_until(
    splits: Mapping[str, Any],
    labels: TableHandle,
    targets: Iterable[str],
    train_ends: Iterable[str],
) -> str:
    """Find the end of validation with its labels, or of the last refit's training.

    Rows of validation are those whose labels end inside it. They are compared with the
    other rows of their bar, one of which may have a label that ends later (a gap in
    the bars of its symbol): that end counts.

    Parameters
    ----------
    splits : mapping
        See :meth:`ranking_pipeline.splits.Splits.to_dict`.
    labels : TableHandle
    targets : iterable of str
        What the parts of the row learned.
    train_ends : iterable of str
        ISO 8601; the bars by which every label was known that a refit learned.

    Returns
    -------
    str
        ISO 8601, UTC.
    """
    last = pd.Timestamp(splits["validation"]["last"])
    ends = [_latest_label(labels, target, last) for target in dict.fromkeys(targets)]
    refits = [pd.Timestamp(text).tz_convert("UTC") for text in train_ends]
    return str(max([last, *ends, *refits]).isoformat())


def trained_symbols(
    panel: Panel, splits: Mapping[str, Any], train_ends: Iterable[str]
) -> list[str]:
    """Names that traded up to the end of the training, or of the last refit's.

    Parameters
    ----------
    panel : Panel
    splits : mapping
    train_ends : iterable of str
        ISO 8601.
    """
    ends = [pd.Timestamp(text) for text in (splits["train"]["last"], *train_ends)]
    last = np.datetime64(max(ends).tz_convert("UTC").tz_localize(None), "ns")
    traded = panel.tradable[:, panel.timestamps <= last].any(axis=1)
    return [panel.symbols[place] for place in np.flatnonzero(traded)]


def _latest_label(labels: TableHandle, target: str, last: pd.Timestamp) -> pd.Timestamp:
    """Latest end of a label of the bars that have one which ends by ``last``."""
    table = labels.read(["timestamp", f"{target}__end"])
    bar, end = table["timestamp"], table[f"{target}__end"]
    used = bar[end <= last]
    if used.empty:
        return last
    latest: pd.Timestamp = end[bar <= used.max()].max()
    return max(last, latest)
