"""Lengths of bars as text: 5m, 1h, 1d."""

from __future__ import annotations

import re

from ranking_pipeline.errors import UserError

MINUTES_OF_DAY = 1440
_UNIT_MINUTES = {"m": 1, "h": 60}


def interval_minutes(interval: str) -> int:
    """Minutes of a bar; a daily bar counts 1440, however long its session.

    Parameters
    ----------
    interval
        ``1d``, or a whole number of minutes or hours below a day, as ``5m`` or ``1h``.

    Raises
    ------
    UserError
        The text is no such length.
    """
    if interval == "1d":
        return MINUTES_OF_DAY
    found = re.fullmatch(r"([1-9]\d{0,3})([mh])", interval)
    minutes = int(found[1]) * _UNIT_MINUTES[found[2]] if found else MINUTES_OF_DAY
    if minutes >= MINUTES_OF_DAY:
        raise UserError(
            f"{interval!r} is not the length of a bar: use 1d, or minutes or hours "
            "below a day, as 5m, 30m, 1h."
        )
    return minutes
