"""Networks: a row of the ranking network as a part with files of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from ranking_pipeline.storage import sha256_json

if TYPE_CHECKING:
    from ranking_pipeline.models.promotion import NetworkFiles


def is_network(row: Mapping[str, Any], cs_models: pd.DataFrame | None) -> bool:
    """Whether a row of the leaderboard is one of the table of ranking networks."""
    return cs_models is not None and row["model_id"] in set(cs_models["model_id"])


def network_files(
    target: str, weights: Mapping[str, Any], metas: Mapping[str, Any]
) -> NetworkFiles:
    """Take the network of one target out of ``cs_model`` and ``cs_model_meta``.

    Raises
    ------
    UserError
        When there is none, or the two datasets do not belong together.
    """
    from ranking_pipeline.models.promotion import NetworkFiles
    from ranking_pipeline.ranking.store import weights_file, weights_of

    own = weights_of(weights, metas, target)
    return NetworkFiles(weights_file(own), metas[target])


def network_part(row: Mapping[str, Any], files: NetworkFiles) -> dict[str, Any]:
    """Part of the record: what the network is, with its hash as its key."""
    return {
        "model_id": row["model_id"],
        "key": sha256_json(files.meta),
        "target": row["target"],
        "family": row["family"],
        "route": row["route"],
        "symbol": "",
        "seed": str(row["seed"]),
        "window": 0,
    }
