"""Slices: the part of a panel that is audited, and so much of it that leaks show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ranking_pipeline.audit.config import AuditConfig
from ranking_pipeline.audit.cuts import Cut
from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import NO_SECTOR, Panel
from ranking_pipeline.splits import Splits, make_splits

TRAIN_SHARE, VALIDATION_SHARE = 0.6, 0.2
BARS_OF_A_SESSION = 10  # of the thinned panel
LEAST_TRADED = 0.2  # share of the bars on which a symbol of the slice trades
LEAST_SECTOR = 4  # names under which a sector has no tails worth comparing
N_SECTORS = 2
MADE_UP = ("first", "second")

Places = npt.NDArray[np.intp]


def audited_slice(
    panel: Panel, splits: Splits, config: AuditConfig
) -> tuple[Panel, Splits]:
    """Cut out the bars around the train end, and the symbols at which most happens.

    Returns
    -------
    Panel
        At most ``config.symbols`` symbols and ``config.bars`` bars: first the symbols
        with gaps, late listings and ends inside those bars, then others, evenly spread
        over the list.
    Splits
        Of the slice: its train span ends where that of ``splits`` does, where the panel
        is long enough.
    """
    part = _bars_around_the_train_end(panel, splits, config.bars)
    kept = eventful(part, config.symbols)
    if not len(kept):
        raise UserError(
            "audit: no symbol has bars around the end of the train span; raise "
            "audit.bars"
        )
    part = with_symbols(part, kept)
    embargo = min(splits.embargo_bars, part.n_bars // 10)
    shares = (TRAIN_SHARE, VALIDATION_SHARE)
    return part, make_splits(part.timestamps, *shares, embargo)


def sector_slice(
    panel: Panel, splits: Splits, config: AuditConfig
) -> tuple[Panel, bool]:
    """Cut out bars around the train end, with the names of the two largest sectors.

    Returns
    -------
    Panel
        At most ``config.symbols`` symbols and ``config.month_bars`` bars, chosen as
        those of :func:`audited_slice`.
    bool
        Whether the sectors are the panel's own. Where its largest has fewer than four
        names, two are made up, so that there always are tails to compare.
    """
    part = _bars_around_the_train_end(panel, splits, config.month_bars)
    codes = part.sectors[:, part.n_bars // 2]
    own, counts = np.unique(
        codes[_traded(part) & (codes != NO_SECTOR)], return_counts=True
    )
    large = own[np.argsort(-counts, kind="stable")]
    large = large[np.sort(-counts) <= -LEAST_SECTOR][:N_SECTORS]
    if not len(large):
        part = with_symbols(part, eventful(part, config.symbols))
        pairs = np.arange(part.n_symbols) % len(MADE_UP)
        made_up = np.repeat(pairs[:, None], part.n_bars, axis=1).astype(np.int16)
        return replace(part, sectors=made_up, sector_names=MADE_UP), False
    each = max(LEAST_SECTOR, config.symbols // len(large))
    kept = [eventful(part, each, np.flatnonzero(codes == code)) for code in large]
    return with_symbols(part, np.sort(np.concatenate(kept))), True


def _bars_around_the_train_end(panel: Panel, splits: Splits, bars: int) -> Panel:
    n_bars = min(bars, panel.n_bars)
    wanted = splits.train.last_bar + 1 - round(n_bars * TRAIN_SHARE)
    first = int(np.clip(wanted, 0, panel.n_bars - n_bars))
    return panel.cut(slice(first, first + n_bars))


def eventful(panel: Panel, count: int, among: Places | None = None) -> Places:
    """Take symbols: those with gaps and short lives first, then others, rising.

    Names that hardly trade, as those outside the universe, are left out: they have no
    feature, label or score to compare.
    """
    share = panel.present.mean(axis=1)
    inside = np.zeros(len(share), dtype=np.bool_)
    inside[slice(None) if among is None else among] = True
    inside &= _traded(panel)
    special_ones = np.flatnonzero(inside & (share < 1))
    whole = np.flatnonzero(inside & (share == 1))
    # Half of the places at most: most of the slice should hold values to compare.
    special = spread(special_ones, min(len(special_ones), -(-count // 2)))
    others = spread(whole, count - len(special))
    spare = np.setdiff1d(special_ones, special)
    missing = count - len(special) - len(others)
    return np.sort(np.concatenate([special, others, spread(spare, missing)]))


def _traded(panel: Panel) -> npt.NDArray[np.bool_]:
    """Whether each symbol trades on enough of the bars to be worth a place."""
    traded = panel.tradable & panel.present
    return np.asarray(traded.mean(axis=1) > LEAST_TRADED)


def thinned(panel: Panel, part: Panel, n_bars: int) -> Panel:
    """Keep about ten bars of each session, and so many sessions more.

    Parameters
    ----------
    panel, part : Panel
        The whole, and the slice whose symbols and last bar are kept.
    n_bars : int
        Bars wanted.

    Returns
    -------
    Panel
        ``part`` itself where sessions have no more bars than that.
    """
    last = int(np.searchsorted(panel.timestamps, part.timestamps[-1]))
    session = panel.session[: last + 1]
    starts = np.flatnonzero(np.append(True, np.diff(session) > 0))
    lengths = np.diff(np.append(starts, last + 1))
    if int(np.median(lengths)) <= BARS_OF_A_SESSION:
        return part
    many = max(n_bars // BARS_OF_A_SESSION, 1)
    pairs = list(zip(starts, lengths, strict=True))[-many:]
    kept = [
        np.unique(np.linspace(first, first + count - 1, BARS_OF_A_SESSION).astype(int))
        for first, count in pairs
    ]
    bars = np.concatenate(kept)
    names = np.array(part.symbols, dtype=object)
    whole = with_symbols(panel, panel.symbol_positions(names))
    return replace(
        whole,
        timestamps=whole.timestamps[bars],
        values=whole.values[:, bars],
        tradable=whole.tradable[:, bars],
        trading_dates=whole.trading_dates[bars],
        session_minutes=whole.session_minutes[bars],
        sectors=whole.sectors[:, bars],
    )


def with_symbols(panel: Panel, kept: Places) -> Panel:
    """Keep the symbols at some positions; copies."""
    return Panel(
        tuple(panel.symbols[position] for position in kept),
        panel.timestamps,
        panel.fields,
        panel.values[kept],
        panel.tradable[kept],
        panel.trading_dates,
        panel.session_minutes,
        panel.sectors[kept],
        panel.sector_names,
    )


def spread(items: Places, count: int) -> Places:
    """Take ``count`` of the items, evenly spread over them."""
    if count <= 0 or not len(items):
        return items[:0]
    places = (np.arange(min(count, len(items))) + 0.5) * len(items)
    return items[(places / min(count, len(items))).astype(np.intp)]


def evenly(chosen: Sequence[Cut], count: int) -> list[Cut]:
    """Take ``count`` of the cuts, evenly spread over them."""
    places = spread(np.arange(len(chosen)), count)
    return [chosen[place] for place in places]
