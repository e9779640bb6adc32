"""Checks of candidate selection: a month knows the bars before it, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from ranking_pipeline.audit.check import Check, check_of, counted
from ranking_pipeline.audit.cuts import Cut
from ranking_pipeline.audit.lookahead import audit_function
from ranking_pipeline.audit.month_world import MonthWorld, Values, coded
from ranking_pipeline.panel import Panel

CHECK = "candidates ignore the future"
GARCH_CHECK = "volatility forecasts ignore the future"
ASOF_CHECK = "candidates are decided before their month"

MEASURED = (
    "ma_slope",
    "momentum",
    "volatility",
    "n_returns",
    "persistence",
    "at_bound",
    "momentum_percentile",
    "ma_slope_percentile",
    "volatility_percentile",
    "composite_score",
)
TOLD = ("sector", "gics_code", "volatility_source", "volatility_reason", "status")
CHOSEN = ("rank", "as-of bar")
COLUMNS = (*MEASURED, *TOLD, *CHOSEN)
RISK = ("volatility", "n_returns", "persistence", "at_bound", "volatility_source")


def candidate_checks(
    world: MonthWorld,
    cuts: Sequence[Cut],
    modes: Sequence[str],
    modes_at_a_cut: int,
    seed: int,
) -> list[Check]:
    """Check every indicator, candidate and rank of the months decided up to a cut.

    The last bar before a month is worked out by the audit itself. What stands in the
    tables of that month may not change when bars after it are altered, and no row may
    name a bar of its own month as the one at which it was decided.
    """
    found = world.selected(world.panel)
    rows = found.candidates
    result = audit_function(
        partial(candidate_cells, world),
        world.panel,
        cuts,
        modes,
        COLUMNS,
        seed=seed,
        modes_at_a_cut=modes_at_a_cut,
    )
    what = (
        f"candidate selection by {world.scoring}: {rows['month'].nunique()} months, "
        f"{rows['sector'].nunique()} sectors, {len(rows)} candidates"
    )
    months = rows["month"].to_numpy(dtype=str).astype("M8[M]")
    late = rows["asof_date"].to_numpy(dtype=str).astype("M8[D]") >= months
    worst = str(rows[late].iloc[0].to_dict()) if late.any() else ""
    return [
        check_of(CHECK, what, result),
        counted(ASOF_CHECK, what, "pairs", len(rows), int(late.sum()), worst),
    ]


def candidate_cells(world: MonthWorld, panel: Panel) -> Values:
    """Both tables of the selection as cells, (S, T, columns)."""
    found = world.selected(panel)
    table = found.indicators
    columns = {name: table[name].to_numpy(dtype=np.float64) for name in MEASURED}
    columns |= {name: coded(table[name]) for name in TOLD}
    chosen = found.candidates
    sign = np.where(chosen["candidate_type"] == "long", 1.0, -1.0)
    ranks = {"rank": sign * chosen["rank"].to_numpy(dtype=np.float64)}
    ranks["as-of bar"] = _bars(panel, chosen["timestamp"])
    cells = world.cells(panel, table, columns), world.cells(panel, chosen, ranks)
    return np.concatenate(cells, axis=-1)


def garch_checks(
    world: MonthWorld,
    cuts: Sequence[Cut],
    modes: Sequence[str],
    modes_at_a_cut: int,
    seed: int,
) -> list[Check]:
    """Check the GARCH forecasts; each fit is shown the returns after its end, too."""
    result = audit_function(
        partial(_risk_cells, world),
        world.panel,
        cuts,
        modes,
        RISK,
        seed=seed,
        modes_at_a_cut=modes_at_a_cut,
    )
    table = world.selected(world.panel).indicators
    fitted = int((table["volatility_source"] == "garch").sum())
    what = f"GARCH of {world.panel.n_symbols} names, {fitted} fits"
    return [check_of(GARCH_CHECK, what, result)]


def _risk_cells(world: MonthWorld, panel: Panel) -> Values:
    table = world.selected(panel).indicators
    columns = {name: table[name].to_numpy(dtype=np.float64) for name in RISK[:-1]}
    columns[RISK[-1]] = coded(table[RISK[-1]])
    return world.cells(panel, table, columns)


def _bars(panel: Panel, stamps: object) -> Values:
    import pandas as pd

    index = pd.DatetimeIndex(stamps).tz_convert(None)  # type: ignore[arg-type]
    return panel.bar_positions(index.to_numpy("datetime64[ns]")).astype(np.float64)
