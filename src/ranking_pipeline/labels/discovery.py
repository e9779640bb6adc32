"""Which targets have too little in them to be learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

MIN_ROWS = 100
MIN_SHARE = 0.01
MIN_SPREAD = 1e-6


def degenerate_reason(values: npt.NDArray[Any], task: str) -> str | None:
    """Say why a target cannot be learned, or None where it can.

    Parameters
    ----------
    values : ndarray of float, shape (n,)
        The label of every row of the panel, NaN where it is not known.
    task : str
        ``regression``, ``binary`` or ``three_class``.

    Returns
    -------
    str or None
        Fewer than 100 known labels or 1 % of the rows; fewer than two classes; a
        standard deviation below 1e-6 of a regression.
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    if len(known) < MIN_ROWS:
        return f"only {len(known)} labels are known, {MIN_ROWS} are needed"
    if len(known) < MIN_SHARE * len(values):
        share = len(known) / len(values)
        return f"only {share:.2%} of the labels are known, {MIN_SHARE:.0%} are needed"
    if task == "regression":
        spread = float(known.std())
        small = spread < MIN_SPREAD
        return f"the standard deviation is only {spread:.1e}" if small else None
    classes = np.unique(known)
    return f"only the class {classes[0]:g} occurs" if len(classes) == 1 else None
