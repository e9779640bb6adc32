"""The account of the rows: how many were set aside, whether too many, a summary."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.readers import Reading
from ranking_pipeline.bars.rows import Mask, Rows
from ranking_pipeline.bars.rules import ROW_RULES, RULE_CODE
from ranking_pipeline.errors import UserError


def refuse_too_many(
    rows: Rows, verdict: npt.NDArray[np.int8], config: ChecksConfig, reading: Reading
) -> None:
    """Stop the run when too many rows were set aside, in all or of one symbol.

    Merged duplicates lose nothing, so they do not count.

    Raises
    ------
    UserError
        No row is left, or a share exceeds its limit; the message counts every rule.
    """
    bad = (verdict != 0) & (verdict != RULE_CODE["exact_duplicate"])
    share = float(bad.mean())
    counts = np.bincount(verdict, minlength=len(ROW_RULES))
    reasons = ", ".join(
        f"{rule} {counts[code]:,}"
        for code, rule in enumerate(ROW_RULES)
        if code and counts[code] and rule != "exact_duplicate"
    )
    if (verdict != 0).all():
        raise UserError(f"{reading.source}: no valid row is left ({reasons}).")
    if share > config.max_quarantined_share:
        raise UserError(
            f"{reading.source}: {share:.2%} of {len(verdict):,} rows were set aside "
            f"({reasons}); data.max_quarantined_share allows "
            f"{config.max_quarantined_share:.2%}. Mend the source, or raise the limit."
        )
    known = rows.codes >= 0
    total = np.bincount(rows.codes[known], minlength=len(rows.names))
    lost = np.bincount(rows.codes[known & bad], minlength=len(rows.names))
    worst = int(np.argmax(lost / np.maximum(total, 1)))
    limit = config.max_quarantined_share_of_symbol
    if lost[worst] > limit * total[worst]:
        raise UserError(
            f"{reading.source}: {lost[worst]:,} of {total[worst]:,} rows of "
            f"{rows.names[worst]} were set aside; data.max_quarantined_share_of_symbol "
            f"allows {limit:.0%}. Mend the source, leave the symbol out of "
            "data.symbols, or raise the limit."
        )


def summarise(
    rows: Rows,
    verdict: npt.NDArray[np.int8],
    bars: pd.DataFrame,
    *,
    repaired: int,
    config: ChecksConfig,
    reading: Reading,
) -> dict[str, Any]:
    """Count the rows by their fate and describe the bars.

    Parameters
    ----------
    rows
        All rows that were judged.
    verdict : ndarray of int8, shape (n,)
        Position in ``ROW_RULES``.
    bars
        The bars that came out, sorted by time.
    repaired
        How many of them a repair changed.
    config, reading
        What was asked for, and what the reader saw.
    """
    merged = int((verdict == RULE_CODE["exact_duplicate"]).sum())
    sound = verdict == 0
    adjusted = config.adjust_by_adj_close and "adj_close" in rows.numbers.values
    return {
        "source": reading.source,
        "interval": config.interval,
        "timezone": rows.times.zone,
        "prices_adjusted": adjusted,
        "rows_in": len(verdict),
        "rows_kept": len(bars) - repaired,
        "rows_repaired": repaired,
        "rows_quarantined": int((~sound).sum()),
        "duplicates_merged": merged,
        "rows_not_tradable": int((~bars["tradable"]).sum()),
        "n_symbols": len(bars["symbol"].cat.categories),
        "n_bars": int(bars["timestamp"].nunique()),
        "missing_bars": _missing_bars(bars),
        "first": bars["timestamp"].iloc[0].isoformat(),
        "last": bars["timestamp"].iloc[-1].isoformat(),
        "survivorship": _survivorship(rows, sound, config),
        "columns_ignored": list(reading.columns_ignored),
        "unreadable_files": [name for name, _ in reading.unreadable_files],
    }


def _missing_bars(bars: pd.DataFrame) -> int:
    """Bars of the common axis that symbols lack between their first and last one."""
    ends = bars["timestamp"].to_numpy("datetime64[ns]")
    # The bars are sorted by time, so that each step opens a new position.
    position = np.cumsum(np.append(False, ends[1:] != ends[:-1]))
    codes = bars["symbol"].cat.codes.to_numpy()
    n = int(codes.max()) + 1
    first = np.full(n, len(bars))
    last = np.full(n, -1)
    np.minimum.at(first, codes, position)
    np.maximum.at(last, codes, position)
    return int((last - first + 1).sum() - len(bars))


def _survivorship(rows: Rows, sound: Mask, config: ChecksConfig) -> dict[str, Any]:
    """Share of symbols that trade on the last trading date.

    Brown, Goetzmann, Ibbotson and Ross (1992) show how survivors alone flatter results.
    """
    dates = rows.times.trading_date[sound].view("i8")
    last = np.full(len(rows.names), np.iinfo(np.int64).min)
    np.maximum.at(last, rows.codes[sound], dates)
    last = last[last > np.iinfo(np.int64).min]
    alive = int((last == last.max()).sum())
    share = alive / len(last)
    warning = ""
    if share >= config.survivorship_warning_share:
        warning = (
            f"{alive} of {len(last)} symbols ({share:.1%}) trade to the last day: "
            "names that left the market are probably missing, which flatters results."
        )
    return {"symbols_ending_on_last_bar": alive, "share": share, "warning": warning}


def check_account(
    summary: dict[str, Any], bars: pd.DataFrame, quarantine: pd.DataFrame
) -> None:
    """Raise RuntimeError unless every row was kept, repaired or set aside."""
    parts = ("rows_kept", "rows_repaired", "rows_quarantined")
    balanced = summary["rows_in"] == sum(summary[part] for part in parts)
    written = summary["rows_kept"] + summary["rows_repaired"] == len(bars)
    if not (balanced and written and summary["rows_quarantined"] == len(quarantine)):
        raise RuntimeError(f"the account of rows does not balance: {summary}")
