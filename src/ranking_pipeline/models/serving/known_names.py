"""Known names: which symbols a promoted version was trained on, and which it was not."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import Panel

if TYPE_CHECKING:
    from ranking_pipeline.models.promoted import Promoted

_SHOWN = 3
log = logging.getLogger(__name__)


def check_names(
    promoted: Promoted, panel: Panel, bars: npt.NDArray[np.signedinteger]
) -> None:
    """Warn of names that a version was not trained on; refuse where it knows none.

    A pooled model ranks any name by its factors. A model of a single symbol has nothing
    to say of another one. A version that was promoted before it told its symbols, and
    is pooled, is not checked.

    Parameters
    ----------
    promoted : Promoted
    panel : Panel
    bars : ndarray of int, shape (n,)
        Those that are scored; names that trade on none of them do not count.

    Raises
    ------
    UserError
        When all models are of single symbols, none of which trades on the bars.
    """
    single = _single_symbols(promoted)
    known = single or frozenset(promoted.record.get("symbols") or ())
    traded = np.flatnonzero(panel.tradable[:, bars].any(axis=1))
    names = [panel.symbols[place] for place in traded]
    strange = [name for name in names if name not in known]
    if not known or not strange:
        return
    told = f"{len(strange)} of {len(names)} names were not in training"
    if single and len(strange) == len(names):
        raise UserError(
            f"{promoted.alias} ({promoted.record['model_id']}) has models of single "
            f"symbols alone ({_shown(sorted(single))}), and {told}: nothing can be "
            "scored. Promote a pooled model (promotion.model_id), or name the bars that "
            "it was trained on in data.source."
        )
    what = "they have no model of their own" if single else "it ranks them all the same"
    log.warning("%s: %s; %s (%s)", promoted.label, told, what, _shown(strange))


def _single_symbols(promoted: Promoted) -> frozenset[str]:
    """Symbols of the parts of a version; none where one of them is of all symbols."""
    target = promoted.target
    own = [
        str(part.get("symbol") or "")
        for part in promoted.record["parts"]
        if part.get("target", target) == target
    ]
    return frozenset(own) if all(own) else frozenset()


def _shown(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if names[_SHOWN:] else "")
