"""Training job: what one model is made from, and the key of its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ranking_pipeline.cache.origin import library_versions, sources_reached
from ranking_pipeline.cache.user_sources import function_sources
from ranking_pipeline.models import registry
from ranking_pipeline.models.extras import PACKAGES
from ranking_pipeline.models.family_list import describe
from ranking_pipeline.models.store import content_key
from ranking_pipeline.models.timesfm_files import FAMILY as PRETRAINED
from ranking_pipeline.models.timesfm_files import weight_files
from ranking_pipeline.storage import PanelHandle, TableHandle
from ranking_pipeline.training.earlier_scores import Source, score_column
from ranking_pipeline.training.out_of_fold import Fold
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
    sample_weights
        ``none``, or ``uniqueness``: rows count by the share of their label that no other
        label overlaps.
    entry_lag_bars
        Of the target, which uniqueness needs: bars from a decision to its entry.
    window
        One refit of a walk-forward; None: trained on the train block, stopped early on
        the validation block, predicting all bars from validation on.
    fold
        Part of the train block that is scored instead, by a model of the other parts;
        None: it learns from the whole block.
    helpers
        Further regressions that the model learns at once with its target, one head each.
    purged_by
        Targets whose labels purge rows besides those of the target and the helpers: a
        row is known when the latest of them is.
    sources
        Models of other targets whose scores are factors too.
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
    sample_weights: str = "none"
    entry_lag_bars: int = 0
    fold: Fold | None = None
    helpers: tuple[str, ...] = ()
    purged_by: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()

    @property
    def heads(self) -> dict[str, str]:
        """Ids of the models that the job makes, by target: one, or one per head."""
        suffix = self.model_id.removeprefix(f"{self.family}:{self.target}")
        others = {name: f"{self.family}:{name}{suffix}" for name in self.helpers}
        return {self.target: self.model_id, **others}

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of all factors that the model gets, in order."""
        added = (score_column(source.target) for source in self.sources)
        return (*self.features, *added)

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
            | self._own_weights
            | ({} if self.window is None else {"window": self.window.content()})
            | self._own_part
        )

    @property
    def _own_part(self) -> dict[str, Any]:
        """Its part in a strategy or an ensemble; nothing where it has none."""
        found: dict[str, Any] = {}
        if self.fold is not None:
            found["fold"] = self.fold.content()
        if self.helpers:
            found["helpers"] = self.helpers
        if self.purged_by:
            found["purged_by"] = self.purged_by
        if self.sources:
            found["sources"] = [vars(source) for source in self.sources]
        return found

    @property
    def _own_weights(self) -> dict[str, Any]:
        """How rows are weighed; nothing where they are not."""
        if self.sample_weights == "none":
            return {}
        return {
            "sample_weights": self.sample_weights,
            "entry_lag_bars": self.entry_lag_bars,
        }

    @property
    def _own_sources(self) -> dict[str, Any]:
        """What the key follows besides our code and the libraries of every family.

        Sources of a loss and of a family of the user's own, the versions of the
        optional packages of a family that needs them, and the files of a pretrained
        encoder: its folder may be filled anew.
        """
        loss = str(self.parameters.get("regression_loss", ""))
        module = registry.listing(self.family).module
        found: dict[str, Any] = {}
        if ":" in loss:
            found["loss_source"] = function_sources(loss)
        if not module.startswith("ranking_pipeline."):
            found["family_source"] = sources_reached(module)
        packages = PACKAGES.get(describe(registry.canonical(self.family)).extra, ())
        if packages:
            found["packages"] = library_versions(packages)
        if registry.canonical(self.family) == PRETRAINED:
            found["weight_files"] = weight_files(
                str(self.parameters.get("weights", ""))
            )
        return found
