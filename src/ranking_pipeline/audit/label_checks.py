"""Checks of the labels: their own window, their declared history, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.audit.check import Check, check_of, counted
from ranking_pipeline.audit.cuts import Cut
from ranking_pipeline.audit.feature_checks import WARM_UP_MODES
from ranking_pipeline.audit.futures import SAME_CELLS, alter_future
from ranking_pipeline.audit.lookahead import audit_function, audit_past, differs
from ranking_pipeline.labels import LabelsConfig, TargetSpec, compute_labels
from ranking_pipeline.panel import Panel

Values = npt.NDArray[np.float64]

AFTER_CHECK = "labels ignore what follows their window"
MOVE = np.float32(10.0)  # a move beyond any barrier
# Scaling all bars of a window by one number leaves a swing inside it as it was.
KINDS_WITHOUT_LEVEL = frozenset({"swing"})
_UNSCALED = frozenset({"forward_return", "excursion", "threshold"})


def label_checks(
    panel: Panel,
    specs: Sequence[TargetSpec],
    config: LabelsConfig,
    cuts: Sequence[Cut],
    modes: Sequence[str],
    modes_at_a_cut: int,
    seed: int,
) -> list[Check]:
    """Check each label against its window t+lag+1 ... t+lag+H.

    Bars after the window change neither the label nor its end; bars before t change
    nothing, except those of the declared volatility; no price before the entry counts
    where there is none; bars inside change it; a label is known at the end that it
    states; and one whose window is not over is missing.
    """
    longest = max(_window(spec, config) for spec in specs)
    first = longest + int(np.bincount(panel.session).max())
    usable = [cut for cut in cuts if cut.bar >= first]
    names = [f"{spec.name}{end}" for spec in specs for end in ("", "__end")]
    windows = np.repeat([_window(spec, config) for spec in specs], 2)
    history = np.repeat([_history(spec, config) for spec in specs], 2)

    def labels(altered: Panel) -> Values:
        return label_values(altered, specs, config)

    after = audit_function(
        labels,
        panel,
        usable,
        modes,
        names,
        seed=seed,
        modes_at_a_cut=modes_at_a_cut,
        reach=windows.tolist(),
    )
    before = audit_past(
        labels, panel, usable, WARM_UP_MODES, names, history.tolist(), seed=seed
    )
    what = f"{len(specs)} targets"
    return [
        check_of(AFTER_CHECK, what, after),
        check_of("labels ignore what precedes their history", what, before),
        *_entry(panel, specs, config, usable, seed),
        _known_at_their_end(panel, specs, config, usable, seed),
        _unfinished(panel, specs, config, usable),
        _inside(panel, specs, config, usable),
    ]


def label_values(
    panel: Panel, specs: Sequence[TargetSpec], config: LabelsConfig
) -> Values:
    """Labels, and the bars after which they are known, shape (S, T, 2K); NaN for none."""
    table, _ = compute_labels(panel, specs, config)
    bars, symbols = panel.rows()
    values = np.full((panel.n_symbols, panel.n_bars, 2 * len(specs)), np.nan)
    axis = panel.timestamps.view("i8")
    for number, spec in enumerate(specs):
        values[symbols, bars, 2 * number] = table[spec.name]
        ends = _nanoseconds(table[f"{spec.name}__end"])
        later = np.searchsorted(axis, ends) - bars
        known = table[f"{spec.name}__end"].notna().to_numpy()
        values[symbols, bars, 2 * number + 1] = np.where(known, later, np.nan)
    return values


def _nanoseconds(stamps: pd.Series) -> npt.NDArray[np.int64]:
    naive = stamps.dt.tz_convert(None)
    return np.asarray(naive.to_numpy(dtype="datetime64[ns]").view("i8"))


def _window(spec: TargetSpec, config: LabelsConfig) -> int:
    return config.entry_lag_bars + spec.horizon_bars


def _history(spec: TargetSpec, config: LabelsConfig) -> int:
    """Bars before t that may matter: those of the volatility that scales a barrier."""
    if spec.kind in _UNSCALED:
        return 0
    return max(config.path_volatility_bars, config.barrier_volatility_span_bars)


def _entry(
    panel: Panel,
    specs: Sequence[TargetSpec],
    config: LabelsConfig,
    cuts: Sequence[Cut],
    seed: int,
) -> list[Check]:
    """Labels that need no volatility begin at the entry: prices before it are nothing."""
    kept = [spec for spec in specs if spec.kind in _UNSCALED]
    if not kept or not config.entry_lag_bars:
        return []
    result = audit_past(
        lambda altered: label_values(altered, kept, config)[:, :, ::2],
        panel,
        cuts,
        SAME_CELLS[:1],
        [spec.name for spec in kept],
        [-config.entry_lag_bars] * len(kept),
        seed=seed,
    )
    check = f"labels begin at the close of t + {config.entry_lag_bars}"
    return [check_of(check, f"{len(kept)} targets", result)]


def _known_at_their_end(
    panel: Panel,
    specs: Sequence[TargetSpec],
    config: LabelsConfig,
    cuts: Sequence[Cut],
    seed: int,
) -> Check:
    """Compare the labels whose stated end is not after the cut; each has an end."""
    full = label_values(panel, specs, config)
    values, ends = full[:, :, ::2], full[:, :, 1::2]
    known_at = ends + np.arange(panel.n_bars)[:, None]
    compared, wrong = 0, int((np.isfinite(values) != np.isfinite(ends)).sum())
    worst = "a label without an end, or an end without a label" if wrong else ""
    for cut in cuts:
        for mode in SAME_CELLS:
            other = alter_future(panel, cut.bar, mode, seed)
            changed = differs(values, label_values(other, specs, config)[:, :, ::2])
            stated = known_at <= cut.bar
            compared, early = compared + int(stated.sum()), changed & stated
            wrong += int(early.sum())
            if early.any() and not worst:
                name = specs[int(np.argwhere(early)[0, 2])].name
                worst = f"{name} states an end before its window is over"
    check = "labels are known at the end that they state"
    what = f"{len(specs)} targets"
    row = counted(check, what, "cells", compared, wrong, worst, known=compared)
    return replace(row, cuts=len(cuts), ways=len(SAME_CELLS))


def _unfinished(
    panel: Panel, specs: Sequence[TargetSpec], config: LabelsConfig, cuts: Sequence[Cut]
) -> Check:
    """Where the panel ends inside a window there is no label."""
    compared = wrong = 0
    worst = ""
    for cut in cuts:
        values = label_values(panel.cut(slice(cut.bar + 1)), specs, config)
        for number, spec in enumerate(specs):
            tail = values[:, -_window(spec, config) :, 2 * number : 2 * number + 2]
            filled = int(np.isfinite(tail).sum())
            compared, wrong = compared + tail.size, wrong + filled
            if filled and not worst:
                worst = f"{spec.name} has a value before its window is over"
    check = "labels whose window is not over are missing"
    row = counted(check, f"{len(specs)} targets", "cells", compared, wrong, worst)
    return replace(row, cuts=len(cuts))


def _inside(
    panel: Panel, specs: Sequence[TargetSpec], config: LabelsConfig, cuts: Sequence[Cut]
) -> Check:
    """A tenfold rise and a tenfold fall after the entry give different labels."""
    kept = [spec for spec in specs if spec.kind not in KINDS_WITHOUT_LEVEL]
    known = changed = 0
    worst = ""
    for cut in cuts if kept else ():
        after = slice(cut.bar + config.entry_lag_bars + 1, None)
        up = label_values(_scaled(panel, after, MOVE), kept, config)
        down = label_values(_scaled(panel, after, 1 / MOVE), kept, config)
        first, second = up[:, cut.bar, ::2], down[:, cut.bar, ::2]
        both = np.isfinite(first) & np.isfinite(second)
        moved = both & (first != second)
        known, changed = known + int(both.sum()), changed + int(moved.sum())
        if (both & ~moved).any() and not worst:
            name = kept[int(np.argwhere(both & ~moved)[0, 1])].name
            worst = f"{name} does not answer to the bars of its window"
    row = counted(
        "labels follow the bars of their window",
        f"{len(kept)} targets",
        "cells",
        known,
        known - changed,
        worst,
        known=known,
    )
    return replace(row, cuts=len(cuts))


def _scaled(panel: Panel, bars: slice, by: np.float32 | float) -> Panel:
    values = panel.values.copy()
    values[:, bars, :4] *= by
    return replace(panel, values=values)
