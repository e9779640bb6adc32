"""CatBoost: gradient boosting with symmetric trees (Prokhorenkova et al., 2018)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError
from ranking_pipeline.models.base import PredictionOutput
from ranking_pipeline.models.boosting import BoostedTrees, HistogramConfig
from ranking_pipeline.models.classes import (
    class_output,
    label,
    normalised,
    present_classes,
)
from ranking_pipeline.models.registry import register
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.tasks import CLASSES, TASKS

if TYPE_CHECKING:
    import catboost

_FILE = "model.cbm"
_LOSS = {"regression": "RMSE", "binary": "Logloss", "three_class": "MultiClass"}
# What the library notes about a run; equal models are to have equal files.
_OF_THE_RUN = ("training", "train_finish_time", "model_guid")


class CatBoostConfig(HistogramConfig):
    """Parameters of the CatBoost family."""

    max_depth: int = Field(gt=0, le=16, description="depth of each tree")
    row_share: float = Field(gt=0, le=1, description="share of rows per tree")


@register
class CatBoostModel(BoostedTrees):
    """Symmetric trees: all nodes of a level ask the same question.

    A tree of depth d has d questions instead of 2^d, which is a strong regularisation of
    its own; leaves have no smallest size. NaN is below every value. Plain boosting: the
    ordered one is for categories, of which factors have none.
    """

    family: ClassVar[str] = "catboost"
    description: ClassVar[str] = "gradient boosting, symmetric trees (CatBoost)"
    extra: ClassVar[str] = "catboost"
    tasks: ClassVar[frozenset[str]] = TASKS
    config_type: ClassVar[type[Config]] = CatBoostConfig

    _booster: catboost.CatBoost

    def fit(self, train: Samples, validation: Samples | None) -> None:
        """Boost on ``train``; stop early on ``validation`` when it has rows.

        Raises
        ------
        UserError
            Also where CatBoost refuses the rows, as when no feature varies.
        """
        import catboost

        self.check(train)
        if train.task != "regression":
            present_classes(train, self.family)
        stops = validation is not None and len(validation) > 0
        booster = catboost.CatBoost(self._parameters(train.task, stops))
        held_out = _pool(validation) if validation is not None and stops else None
        try:
            booster.fit(_pool(train), eval_set=held_out)
        except catboost.CatBoostError as error:
            raise UserError(f"catboost cannot be fitted: {error}") from None
        self._curve = booster.get_evals_result()
        notes = booster.get_metadata()
        for name in _OF_THE_RUN:
            del notes[name]
        self._booster = booster

    def predict(self, rows: Samples) -> PredictionOutput:
        """Score rows with the rounds up to the best one."""
        raw = self._margin(rows)
        if raw.ndim > 1:
            return class_output(raw)
        return PredictionOutput(raw.astype(np.float32))

    def save(self, folder: Path) -> None:
        """Write CatBoost's own binary format."""
        self._booster.save_model(str(folder / _FILE))

    @classmethod
    def load(cls, folder: Path, config: Config, *, seed: int, threads: int) -> Self:
        """Read what :meth:`save` wrote; the caller has checked the files' hashes."""
        import catboost

        model = cls(config, seed=seed, threads=threads)
        model._booster = catboost.CatBoost()
        model._booster.load_model(str(folder / _FILE))
        return model

    def importance(self) -> npt.NDArray[np.float64]:
        """Share of each feature in how much predictions change with it."""
        return normalised(np.asarray(self._booster.get_feature_importance()))

    def _parameters(self, task: str, stops: bool) -> dict[str, Any]:
        config = self.config
        rounds = config.patience_rounds
        return {
            "loss_function": _LOSS[task],
            **({"classes_count": len(CLASSES[task])} if task == "three_class" else {}),
            "iterations": config.n_rounds,
            "learning_rate": config.learning_rate,
            "depth": config.max_depth,
            "bootstrap_type": "Bernoulli",
            "subsample": config.row_share,
            "rsm": config.feature_share,
            "l2_leaf_reg": config.l2,
            "border_count": config.max_bins - 1,
            "boosting_type": "Plain",
            "use_best_model": stops,
            **({"early_stopping_rounds": rounds} if stops else {}),
            "allow_const_label": True,
            "random_seed": self.seed,
            # The file tells the number of threads.
            "thread_count": 1,
            "allow_writing_files": False,
            "logging_level": "Silent",
        }

    def _margin(self, rows: Samples) -> npt.NDArray[Any]:
        classes = self._booster.get_param("loss_function") != _LOSS["regression"]
        kind = "Probability" if classes else "RawFormulaVal"
        found = self._booster.predict(
            _pool(rows, labelled=False), prediction_type=kind, thread_count=self.threads
        )
        return np.asarray(found)

    def _shares(self, rows: Samples) -> npt.NDArray[np.float32]:
        shares = self._booster.get_feature_importance(
            _pool(rows, labelled=False), type="ShapValues", thread_count=self.threads
        )
        return np.asarray(shares, dtype=np.float32)


def _pool(rows: Samples, *, labelled: bool = True) -> catboost.Pool:
    import catboost

    if not labelled:
        return catboost.Pool(rows.features)
    return catboost.Pool(rows.features, label(rows), weight=rows.weight)
