"""The account of the rows: how many were set aside, whether too many, a summary."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.raw import pieces
from ranking_pipeline.bars.reading import Reading
from ranking_pipeline.bars.rows import Rows
from ranking_pipeline.bars.rules import (
    ROW_RULES,
    RULE_CODE,
    UNSELECTED,
    Mask,
    Verdict,
)
from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import Panel

# Merged duplicates lose nothing, and bars outside the session are left out because the
# parameters say so: neither tells that a source is bad.
_NO_FAULT = ("exact_duplicate", "outside_session")
# Markets that trade around the clock lie outside a session of New York for three
# quarters of their bars; beyond that the calendar is not that of the bars.
_MOST_OUTSIDE = 0.9


_HINTS = {
    "unreadable_timestamp": "Say how stamps are written: data.timestamp_format. ",
    "future_timestamp": "Say how stamps are written: data.timestamp_format. ",
    "weekend_bar": "Does data.bar_stamp or data.timezone fit the stamps? ",
    "not_a_session": "Do data.bar_stamp, data.timezone and data.calendar fit? ",
    "outside_session": "Do data.timezone, data.calendar and data.interval fit? ",
    "unreadable_number": "Write numbers as 1234.5, without signs between thousands. ",
    "conflicting_duplicate": "Is data.interval the length of the source's bars? ",
}


def refuse_too_many(rows: Rows, config: ChecksConfig, reading: Reading) -> None:
    """Stop the run when too many rows were set aside, in all or of one symbol.

    Merged duplicates and bars outside the regular session do not count.

    Raises
    ------
    UserError
        No row is left, hardly one lies inside the sessions, or a share exceeds its
        limit; the message counts every rule.
    """
    out = rows.verdict[rows.verdict > 0]
    if not len(out):
        return
    total = int((rows.verdict != UNSELECTED).sum())
    counts = np.bincount(out, minlength=len(ROW_RULES))
    share = int(_faulty(out).sum()) / total
    reasons = ", ".join(
        f"{rule} {counts[code]:,}"
        for code, rule in enumerate(ROW_RULES)
        if counts[code] and rule != "exact_duplicate"
    )
    hint = _HINTS.get(ROW_RULES[int(np.argmax(counts))], "")
    if len(out) == total:
        raise UserError(
            f"{reading.source}: no valid row is left ({reasons}). {hint}Mend the "
            "source, or correct the section data."
        )
    if share > config.max_quarantined_share:
        raise UserError(
            f"{reading.source}: {share:.2%} of {total:,} rows were set aside "
            f"({reasons}); data.max_quarantined_share allows "
            f"{config.max_quarantined_share:.2%}. {hint}Mend the source, or raise the "
            "limit."
        )
    outside = int(counts[RULE_CODE["outside_session"]]) / total
    if outside > _MOST_OUTSIDE:
        raise UserError(
            f"{reading.source}: {outside:.1%} of {total:,} rows lie outside the "
            f"sessions of {config.calendar}. Correct data.calendar or data.timezone; or "
            "keep these bars: data.session=all."
        )
    _refuse_symbol(rows, config, reading)


def _faulty(verdict: Verdict) -> Mask:
    faulty: Mask = verdict > 0
    for rule in _NO_FAULT:
        faulty &= verdict != RULE_CODE[rule]
    return faulty


def _refuse_symbol(rows: Rows, config: ChecksConfig, reading: Reading) -> None:
    known = (rows.symbol >= 0) & (rows.verdict != UNSELECTED)
    lost = known & _faulty(rows.verdict)
    if not lost.any():
        return
    n_symbols = len(rows.names)
    total = _count(rows, known, n_symbols)
    missing = _count(rows, lost, n_symbols)
    worst = int(np.argmax(missing / np.maximum(total, 1)))
    limit = config.max_quarantined_share_of_symbol
    if missing[worst] > limit * total[worst]:
        raise UserError(
            f"{reading.source}: {missing[worst]:,} of {total[worst]:,} rows of "
            f"{rows.names[worst]} were set aside; data.max_quarantined_share_of_symbol "
            f"allows {limit:.0%}. Mend the source, leave the symbol out of "
            "data.symbols, or raise the limit."
        )


def _count(rows: Rows, chosen: Mask, n_symbols: int) -> npt.NDArray[np.int64]:
    """Chosen rows of each symbol."""
    total = np.zeros(n_symbols, dtype=np.int64)
    for piece in pieces(len(chosen)):
        own = rows.symbol[piece][chosen[piece]]
        total += np.bincount(own, minlength=n_symbols)
    return total


def summarise(
    rows: Rows,
    panel: Panel,
    gaps: pd.DataFrame,
    *,
    repaired: int,
    filled: int,
    adjusted: bool,
    config: ChecksConfig,
    reading: Reading,
) -> dict[str, Any]:
    """Count the rows by their fate and describe the bars.

    Parameters
    ----------
    rows
        All raw rows with their verdicts.
    panel
        What was made of them.
    gaps
        The table of gaps before any was filled.
    repaired, filled
        How many rows a repair changed, and how many bars were added in gaps.
    adjusted
        Whether prices were scaled by adj_close / close.
    config, reading
        What was asked for, and what the reader saw.
    """
    verdict, present = rows.verdict, panel.present
    merged = int((verdict == RULE_CODE["exact_duplicate"]).sum())
    outside = int((verdict == RULE_CODE["outside_session"]).sum())
    first, last = pd.DatetimeIndex(panel.timestamps[[0, -1]]).tz_localize("UTC")
    return {
        "source": reading.source,
        "interval": config.interval,
        "timezone": rows.axis.zone,
        "calendar": config.calendar,
        "prices_adjusted": adjusted,
        "rows_in": int((verdict != UNSELECTED).sum()),
        "rows_kept": int((verdict == 0).sum()) - repaired,
        "rows_repaired": repaired,
        "rows_quarantined": int((verdict > 0).sum()),
        "rows_filled": filled,
        "rows_not_selected": int((verdict == UNSELECTED).sum()),
        "duplicates_merged": merged,
        "rows_outside_session": outside,
        "rows_not_tradable": int(present.sum() - panel.tradable.sum()),
        "n_symbols": panel.n_symbols,
        "single_symbol": panel.n_symbols == 1,
        "n_bars": panel.n_bars,
        "missing_bars": int(gaps["n_bars"].sum()) - filled,
        "n_gaps": len(gaps),
        "first": first.isoformat(),
        "last": last.isoformat(),
        "survivorship": survivorship(panel, config),
        "columns_ignored": list(reading.columns_ignored),
        "unreadable_files": [name for name, _ in reading.unreadable_files],
        "empty_files": list(reading.empty_files),
    }


def survivorship(panel: Panel, config: ChecksConfig) -> dict[str, Any]:
    """Share of symbols that trade on the last trading date.

    Brown, Goetzmann, Ibbotson and Ross (1992) show how survivors alone flatter results.
    """
    last_bar = panel.n_bars - 1 - np.argmax(panel.present[:, ::-1], axis=1)
    last = panel.trading_dates[last_bar]
    alive = int((last == last.max()).sum())
    share = alive / len(last)
    warning = ""
    if share >= config.defects.survivorship_share:
        warning = (
            f"{alive} of {len(last)} symbols ({share:.1%}) trade to the last day: "
            "names that left the market are probably missing, which flatters results."
        )
    return {"symbols_ending_on_last_bar": alive, "share": share, "warning": warning}


def check_account(
    summary: dict[str, Any], panel: Panel, quarantine: pd.DataFrame
) -> None:
    """Raise RuntimeError unless every row was kept, repaired or set aside.

    Bars that were added in gaps are no rows: they are counted on their own.
    """
    parts = ("rows_kept", "rows_repaired", "rows_quarantined")
    balanced = summary["rows_in"] == sum(summary[part] for part in parts)
    bars = summary["rows_kept"] + summary["rows_repaired"] + summary["rows_filled"]
    written = bars == int(panel.present.sum())
    if not (balanced and written and summary["rows_quarantined"] == len(quarantine)):
        raise RuntimeError(f"the account of rows does not balance: {summary}")
