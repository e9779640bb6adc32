"""Progress: a moving bar on a terminal, a few lines in a log."""

from __future__ import annotations

import sys
from typing import Any

_IN_A_LOG = 5


def bar_options(total: int) -> dict[str, Any]:
    """Options of tqdm for a bar with ``total`` steps.

    Returns
    -------
    dict
        Where nobody watches (standard error is no terminal): one line for each fifth.
    """
    if sys.stderr.isatty():
        return {"total": total}
    return {"total": total, "miniters": -(-total // _IN_A_LOG), "mininterval": 0}
