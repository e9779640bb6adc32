"""Month text: how parameters name a month, as 2018-06."""

from __future__ import annotations

import re

_MONTH = re.compile(r"(19|20)[0-9]{2}-(0[1-9]|1[0-2])")


def month_text(value: object) -> str | None:
    """Check the text of a month.

    Parameters
    ----------
    value : object
        Of a parameter. None, where no month is named, is given back.

    Returns
    -------
    str or None

    Raises
    ------
    ValueError
        It is a date, a number or another text.
    """
    if value is None or (isinstance(value, str) and _MONTH.fullmatch(value)):
        return value
    raise ValueError(
        f"{value} is no month: write year, dash and two digits, as 2018-06"
    )
