"""History: the bars behind a score, and each cross-section cut off with its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.models import registry
from ranking_pipeline.models.samples import Samples


def window_bars(facts: Mapping[str, Any]) -> int:
    """Bars that a symbol needs for a score of a model, that of the decision included.

    Parameters
    ----------
    facts : mapping
        What the model's document tells. A family of factors needs the one bar, a
        network on windows its window and what the window's first bar is scaled by.
    """
    if not registry.listing(facts["family"]).sequence:
        return 1
    from ranking_pipeline.learning.channels import channel_lookback

    parameters = facts["parameters"]
    length, normalization = parameters["sequence_length"], parameters["normalization"]
    if _since_the_first_bar(facts):
        from ranking_pipeline.models.scaled_levels import longest_lookback

        return int(length) + longest_lookback()
    return int(length) + channel_lookback(normalization)


def history_bars(facts: Mapping[str, Any]) -> int | None:
    """Bars before the decision bar on which a score depends; None: all there are."""
    return None if _since_the_first_bar(facts) else window_bars(facts) - 1


def bar_by_bar(
    rows: Samples, history: int
) -> Iterator[tuple[npt.NDArray[np.intp], Samples]]:
    """Cut rows into cross-sections, each with no bar but its own and its history.

    Numbers of a network differ in their last bits with the rows that are worked on
    together. Alone, a bar has the same score whatever else is asked for, and whatever
    comes after it.

    Yields
    ------
    tuple of ndarray and Samples
        Places in ``rows``, and the rows of one bar.
    """
    edges = np.flatnonzero(np.diff(rows.bars)) + 1
    for places in np.split(np.arange(len(rows)), edges):
        if not len(places):
            continue
        own, bar = rows.take(places), int(rows.bars[places[0]])
        first = max(0, bar - history)
        panel = rows.panel.cut(slice(first, bar + 1))
        yield places, replace(own, panel=panel, bars=own.bars - first)


def _since_the_first_bar(facts: Mapping[str, Any]) -> bool:
    """Whether channels are scaled by all bars since the panel's first."""
    if not registry.listing(facts["family"]).sequence:
        return False
    from ranking_pipeline.models.scaled_levels import SCALED_LEVELS

    return bool(facts["parameters"]["normalization"] == SCALED_LEVELS)
