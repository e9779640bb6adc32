"""Promoted model of the audit: fitted, promoted, and served from its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.audit.learned import World, fitted_on_train
from ranking_pipeline.features import compute_features, feature_table
from ranking_pipeline.models.promoted import Promoted
from ranking_pipeline.models.promotion import Candidate, promote
from ranking_pipeline.models.store import ModelStore
from ranking_pipeline.panel import Panel
from ranking_pipeline.storage import TableHandle, sha256_file, sha256_json, write_table

ALIAS = "audit"
TABLE = "features.parquet"


@dataclass(frozen=True)
class AuditedVersion(Promoted):
    """A promoted version that is given the factors of each panel that it scores.

    Attributes
    ----------
    world : World
        What it was fitted on.
    tables : Path
        Folder in which the table of factors is written, again for each panel.
    """

    world: World
    tables: Path

    def scores(
        self,
        panel: Panel,
        features: TableHandle | None,
        bars: npt.NDArray[np.signedinteger],
        threads: int = 1,
    ) -> npt.NDArray[np.float64]:
        """Scores (n, S) at some bars, from factors of the whole panel given."""
        values = compute_features(panel, self.world.factors)
        path = self.tables / TABLE
        write_table(feature_table(panel, values, self.world.factors), path)
        made = TableHandle(str(path), sha256_file(path))
        return super().scores(panel, made, bars, threads)


def promoted_version(world: World, family: str, folder: Path) -> AuditedVersion:
    """Fit a family on the train rows, store it, promote it, and open the promoted copy.

    It claims to be informed of nothing, so that no month is refused: what a refusal
    rests on is a date, and what is compared is the way from bars to weights.

    Parameters
    ----------
    world : World
    family : str
        One of factors.
    folder : Path
        Empty; the model store, the production registry and the factors are below it.
    """
    store = ModelStore(folder / "store")
    model, key = fitted_on_train(world, family), sha256_json([family, world.seed])
    store.write(key, model.save, _facts(world, family))
    before = world.panel.timestamps[0] - np.timedelta64(1, "D")
    candidate = Candidate(
        model_id=family,
        target=world.spec.name,
        route="cross_sectional",
        parts=[{"model_id": family, "key": key, "route": "cross_sectional"}],
        routing_plan=None,
        validation={},
        provenance={},
        informed_until=pd.Timestamp(before, tz="UTC").isoformat(),
    )
    found = promote(candidate, store, folder / "registry", ALIAS)
    return AuditedVersion(**vars(found), world=world, tables=folder)


def _facts(world: World, family: str) -> dict[str, object]:
    """What the document of the model tells, as that of a training job."""
    return {
        "family": family,
        "parameters": dict(world.families[family]),
        "seed": world.seed,
        "target": world.spec.name,
        "task": world.spec.task,
        "features": list(world.factors),
        "learning_target": "cs_gauss",
        "feature_scale": "rank",
    }
