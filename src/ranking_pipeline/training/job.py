"""Training job: what one model is made from, and the key of its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ranking_pipeline.cache.origin import sources_reached
from ranking_pipeline.models import registry
from ranking_pipeline.models.store import content_key
from ranking_pipeline.storage import PanelHandle, TableHandle, module_digest
from ranking_pipeline.training.window import Window


@dataclass(frozen=True)
class TrainingJob:
    """One model to be trained; small, picklable, idempotent.

    Attributes
    ----------
    job_id, model_id
        Of the run's tables; neither changes the result.
    route
        ``cross_sectional`` (all symbols pooled) or ``symbol_specific``.
    symbol
        The one symbol whose rows are used; None for all.
    features
        Factors in the order in which the model gets them.
    parameters
        Whole parameter block of the family.
    threads
        Of the numeric libraries; the result does not depend on it.
    stage
        ``cpu`` or ``gpu``.
    splits
        The splits as JSON; see ``Splits.from_dict``.
    learning_target
        Scale of a regression's target; computed over whole cross-sections, also for a
        job of one symbol.
    feature_scale
        ``rank`` (normal scores within the bar, over whole cross-sections) or ``raw``.
    window
        One refit of a walk-forward; None: trained on the train block, stopped early on
        the validation block, predicting all bars from validation on.
    """

    job_id: str
    model_id: str
    target: str
    task: str
    family: str
    route: str
    symbol: str | None
    features: tuple[str, ...]
    parameters: Mapping[str, Any] = field(hash=False)
    seed: int
    threads: int
    stage: str
    panel: PanelHandle
    features_table: TableHandle
    labels_table: TableHandle
    splits: Mapping[str, Any] = field(hash=False)
    store_root: str
    learning_target: str
    feature_scale: str
    max_train_rows: int
    window: Window | None = None

    @property
    def key(self) -> str:
        """Key of the result in the model store: all that the result depends on."""
        return content_key(self.made_from)

    @property
    def made_from(self) -> dict[str, Any]:
        """What the key is made of, besides our code and the libraries."""
        return (
            {
                "panel": self.panel.sha256,
                "features_table": self.features_table.sha256,
                "labels_table": self.labels_table.sha256,
                "splits": self.splits,
                "target": self.target,
                "task": self.task,
                "family": self.family,
                "symbol": self.symbol,
                "features": self.features,
                "parameters": self.parameters,
                "seed": self.seed,
                "learning_target": self.learning_target,
                "feature_scale": self.feature_scale,
                "max_train_rows": self.max_train_rows,
            }
            | self._own_sources
            | ({} if self.window is None else {"window": self.window.content()})
        )

    @property
    def _own_sources(self) -> dict[str, str]:
        """Sources of a loss and of a family of the user's own: the key follows them."""
        loss = str(self.parameters.get("regression_loss", ""))
        module = registry.listing(self.family).module
        found = {"loss_source": module_digest(loss)} if ":" in loss else {}
        if not module.startswith("ranking_pipeline."):
            found["family_source"] = sources_reached(module)
        return found
