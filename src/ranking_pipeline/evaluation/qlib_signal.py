"""Predictions as a signal that the backtest of qlib reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from ranking_pipeline.bars.interval import interval_minutes
from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.model_scores import members
from ranking_pipeline.panel import Panel
from ranking_pipeline.wording import shortened

_SHOWN = 10


def qlib_signal(
    predictions: pd.DataFrame,
    model_id: str,
    target: str,
    panel: Panel,
    *,
    interval: str,
    timezone: str | None,
    bar_stamp: Literal["start", "end"],
) -> pd.DataFrame:
    """Give the scores of one model the keys under which qlib knows their bars.

    qlib's strategies trade on the bar after the label of a signal, so the score that is
    known at the end of bar t is labelled t.

    Parameters
    ----------
    predictions
        timestamp (END of the bar, UTC), symbol, target, model_id, score.
    model_id, target
        Which rows.
    panel
        The bars that were predicted on; tells the trading dates of daily bars.
    interval
        Length of a bar, as 1d or 5m.
    timezone
        Zone of the clock of qlib's calendar; needed for intraday bars only.
    bar_stamp
        Whether qlib's intraday calendar names the start of a bar (its own way) or the
        end; as ``data.bar_stamp`` where the bars were read from a qlib folder. Daily
        bars are labelled by their trading date in either case.

    Returns
    -------
    DataFrame
        One float32 column ``score``, indexed by (datetime, instrument) and sorted;
        datetime is datetime64[ns] without a zone, instrument the symbol as it is. Read
        back with ``pandas.read_parquet``, it is an argument ``signal=`` of qlib.

    Raises
    ------
    UserError
        There are no such predictions, a bar is not in the panel, ``interval`` is no
        bar length, intraday bars have no time zone, or two of them have the same
        local time.
    """
    chosen = _chosen(predictions, model_id, target)
    labels = _labels(chosen["timestamp"], panel, interval, timezone, bar_stamp)
    index = pd.MultiIndex.from_arrays(
        [labels, chosen["symbol"].astype("str")], names=["datetime", "instrument"]
    )
    if index.has_duplicates:
        when, symbol = index[index.duplicated()][0]
        raise UserError(
            f"Two bars of {symbol} have the local time {when} (a clock was set back, or "
            "a prediction occurs twice), and qlib's labels carry no zone. Keep qlib's "
            "calendar in UTC and pass timezone=UTC."
        )
    scores = chosen["score"].to_numpy(np.float32)
    return pd.DataFrame({"score": scores}, index=index).sort_index()


def chosen_signal(
    leaderboard: pd.DataFrame,
    models: Sequence[pd.DataFrame],
    predictions: Sequence[pd.DataFrame],
    panel: Panel,
    *,
    interval: str,
    timezone: str,
    bar_stamp: Literal["start", "end"],
) -> pd.DataFrame:
    """Give the signal of the row that was chosen on validation; no rows without one.

    Parameters
    ----------
    leaderboard
        With the columns model_id, target and chosen.
    models, predictions
        Tables of the stages that ran. A row that several models of single symbols form
        has the scores of all of them.
    panel, interval, timezone, bar_stamp
        As for :func:`qlib_signal`.
    """
    chosen = leaderboard[leaderboard["chosen"]]
    if chosen.empty:
        none = pd.MultiIndex.from_arrays(
            [pd.DatetimeIndex([]).as_unit("ns"), pd.Index([], dtype="str")],
            names=["datetime", "instrument"],
        )
        return pd.DataFrame({"score": np.empty(0, np.float32)}, index=none)
    model_id, target = chosen.iloc[0][["model_id", "target"]]
    names = members(models, model_id, target)
    own = [table[table["model_id"].isin(names)] for table in predictions]
    scores = pd.concat([table for table in own if len(table)])
    return qlib_signal(
        scores.assign(model_id=model_id),
        model_id,
        target,
        panel,
        interval=interval,
        timezone=timezone,
        bar_stamp=bar_stamp,
    )


def _chosen(predictions: pd.DataFrame, model_id: str, target: str) -> pd.DataFrame:
    same = (predictions["model_id"] == model_id) & (predictions["target"] == target)
    if not same.any():
        pairs = predictions[["model_id", "target"]].astype(str).drop_duplicates()
        known = [" of ".join(pair) for pair in pairs.itertuples(index=False)]
        raise UserError(
            f"There are no predictions of {model_id} for {target}. There are: "
            f"{shortened(known, _SHOWN) or 'none'}."
        )
    return predictions[same.to_numpy(bool)]


def _labels(
    timestamps: pd.Series,
    panel: Panel,
    interval: str,
    timezone: str | None,
    bar_stamp: Literal["start", "end"],
) -> pd.DatetimeIndex:
    ends = pd.DatetimeIndex(timestamps).tz_convert("UTC").as_unit("ns")
    try:
        bars = panel.bar_positions(ends.tz_localize(None).to_numpy())
    except KeyError as error:
        raise UserError(
            f"The predictions are of other bars than the panel: {error.args[0]}. Export "
            "with the panel of the same run."
        ) from None
    if interval == "1d":
        return pd.DatetimeIndex(panel.trading_dates[bars].astype("M8[ns]"))
    if timezone is None:
        raise UserError(
            "Labels of intraday bars are local times, and data.timezone is null. Name "
            "the zone of qlib's calendar, as America/New_York."
        )
    if bar_stamp == "start":
        ends = ends - pd.Timedelta(minutes=interval_minutes(interval))
    return ends.tz_convert(timezone).tz_localize(None)
