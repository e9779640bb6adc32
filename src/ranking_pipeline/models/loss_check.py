"""Loss check: whether a network's loss exists, told without importing torch."""

from __future__ import annotations

import difflib
from typing import Any

from ranking_pipeline.learning.loss_names import LOSS_ALIASES

# They see the level of a score; a test holds both lists against the losses themselves.
OF_LEVEL = frozenset({"pointwise", "huber"})
ONLY_RANK = frozenset(
    {
        "pairwise",
        "pairwise_hinge",
        "listwise",
        "listmle",
        "ic",
        "spearman",
        "lambdarank",
        "approx_ndcg",
        "neural_ndcg",
    }
)
_MIXTURE = "mixture"


def loss_fault(name: Any) -> str:
    """Say what is wrong with ``regression_loss``, or "" where nothing is known to be.

    A loss of the user's own, ``package.module:function``, is looked at by its family.
    """
    if name is None or (isinstance(name, str) and ":" in name):
        return ""
    known = {*OF_LEVEL, *ONLY_RANK, _MIXTURE, *LOSS_ALIASES}
    if name in known:
        return ""
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{name!r} is no loss of scores.{hint} Use one of {', '.join(sorted(known))}"


def only_ranks(name: str) -> bool:
    """Whether a loss needs two names in a bar: it compares them and nothing else."""
    return LOSS_ALIASES.get(name, name) in ONLY_RANK
