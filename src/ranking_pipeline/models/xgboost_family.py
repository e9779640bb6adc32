"""XGBoost: regularised gradient boosting (Chen and Guestrin, 2016)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ranking_pipeline.config import Config
from ranking_pipeline.models.base import BaseModel, PredictionOutput
from ranking_pipeline.models.boosting import BoostingConfig
from ranking_pipeline.models.classes import (
    CLASSES,
    class_output,
    label,
    leaf_size,
    loss_history,
    normalised,
)
from ranking_pipeline.models.registry import register
from ranking_pipeline.models.samples import Samples

if TYPE_CHECKING:
    import xgboost

_FILE = "model.ubj"
_OBJECTIVE = {
    "regression": "reg:squarederror",
    "binary": "binary:logistic",
    "three_class": "multi:softprob",
}


class XGBoostConfig(BoostingConfig):
    """Parameters of the XGBoost family."""

    max_depth: int = Field(gt=0, description="depth of each tree")


@register
class XGBoostModel(BaseModel):
    """Boosted trees by XGBoost; NaN features go to the better side of a split."""

    family: ClassVar[str] = "xgboost"
    description: ClassVar[str] = "gradient boosting, depth-wise trees (XGBoost)"
    device: ClassVar[str] = "cpu"
    tasks: ClassVar[frozenset[str]] = frozenset(_OBJECTIVE)
    config_type: ClassVar[type[Config]] = XGBoostConfig

    _booster: xgboost.Booster

    def fit(self, train: Samples, validation: Samples | None) -> None:
        """Boost on ``train``; stop early on ``validation`` when it has rows."""
        import xgboost

        self.check(train)
        config = self.config
        data = xgboost.QuantileDMatrix(
            train.features, label(train), max_bin=config.max_bins, nthread=1
        )
        held_out = []
        callbacks = []
        if validation is not None and len(validation):
            held_out = [(self._matrix(validation, label(validation)), "validation")]
            # save_best drops the rounds after the best one.
            stop = xgboost.callback.EarlyStopping(
                rounds=config.patience_rounds, save_best=True
            )
            callbacks.append(stop)
        self._curve: dict[str, dict[str, list[float]]] = {}
        self._booster = xgboost.train(
            self._parameters(train),
            data,
            num_boost_round=config.n_rounds,
            evals=held_out,
            evals_result=self._curve,
            verbose_eval=False,
            callbacks=callbacks,
        )
        # The file holds what was learned on the train rows, not the validation loss.
        self._booster.set_attr(best_score=None, best_iteration=None)

    def predict(self, rows: Samples) -> PredictionOutput:
        """Score rows with the rounds up to the best one."""
        self._booster.set_param({"nthread": self.threads})
        raw = self._booster.predict(self._matrix(rows))
        if raw.ndim > 1:
            return class_output(raw)
        if self._objective() == _OBJECTIVE["binary"]:
            return class_output(np.column_stack([1 - raw, raw]))
        return PredictionOutput(raw.astype(np.float32))

    def save(self, folder: Path) -> None:
        """Write XGBoost's own binary JSON."""
        self._booster.save_model(folder / _FILE)

    @classmethod
    def load(cls, folder: Path, config: Config, *, seed: int, threads: int) -> Self:
        """Read what :meth:`save` wrote; the caller has checked the file's hash."""
        import xgboost

        model = cls(config, seed=seed, threads=threads)
        model._booster = xgboost.Booster(model_file=folder / _FILE)
        return model

    def importance(self) -> npt.NDArray[np.float64]:
        """Share of each feature in the total gain."""
        gains: dict[str, Any] = self._booster.get_score(importance_type="total_gain")
        total = np.zeros(self._booster.num_features())
        for name, gain in gains.items():
            total[int(name.removeprefix("f"))] = gain
        return normalised(total)

    def contributions(self, rows: Samples) -> npt.NDArray[np.float32]:
        """TreeSHAP values (Lundberg et al., 2020), shape (n, F)."""
        shares = self._booster.predict(self._matrix(rows), pred_contribs=True)
        per_class = shares.reshape(len(rows), -1, rows.features.shape[1] + 1)
        total = per_class[:, -1] - (per_class[:, 0] if per_class.shape[1] > 1 else 0)
        return np.asarray(total[:, :-1])

    def history(self) -> list[dict[str, float]]:
        """Give the validation loss per round."""
        return loss_history(getattr(self, "_curve", {}))

    def _matrix(
        self, rows: Samples, target: npt.NDArray[Any] | None = None
    ) -> xgboost.DMatrix:
        import xgboost

        return xgboost.DMatrix(rows.features, target, nthread=self.threads)

    def _objective(self) -> str:
        learner = json.loads(self._booster.save_config())["learner"]
        return str(learner["objective"]["name"])

    def _parameters(self, train: Samples) -> dict[str, Any]:
        config, multiclass = self.config, train.task == "three_class"
        # The Hessian of a row is 1 for squared error, below 1/4 for class losses.
        weight = 1.0 if train.task == "regression" else 0.2
        return {
            "objective": _OBJECTIVE[train.task],
            **({"num_class": len(CLASSES[train.task])} if multiclass else {}),
            "learning_rate": config.learning_rate,
            "max_depth": config.max_depth,
            "min_child_weight": weight
            * leaf_size(config.min_rows_per_leaf, len(train)),
            "subsample": config.row_share,
            "colsample_bytree": config.feature_share,
            "reg_lambda": config.l2,
            "max_bin": config.max_bins,
            "tree_method": "hist",
            "device": "cpu",
            "seed": self.seed,
            # The sums of a histogram depend on how many threads share it.
            "nthread": 1,
            "verbosity": 0,
        }
