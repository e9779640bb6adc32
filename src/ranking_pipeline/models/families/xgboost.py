"""XGBoost: regularised gradient boosting (Chen and Guestrin, 2016)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ranking_pipeline.config import Config
from ranking_pipeline.models.boosting import (
    BoostedTrees,
    BoostingConfig,
    LossNames,
    PointwiseTrees,
    RegressionLoss,
)
from ranking_pipeline.models.classes import label, leaf_size, normalised
from ranking_pipeline.models.registry import register
from ranking_pipeline.models.samples import Samples

if TYPE_CHECKING:
    import xgboost

_FILE = "model.ubj"
_LOSSES = LossNames(
    {
        "l2": "reg:squarederror",
        "huber": "reg:pseudohubererror",  # its smooth version
        "quantile": "reg:quantileerror",
        "binary": "binary:logistic",
        "three_class": "multi:softprob",
    },
    huber="huber_slope",
    quantile="quantile_alpha",
)


class XGBoostTreesConfig(BoostingConfig):
    """Parameters of trees by XGBoost, whatever the objective."""

    max_depth: int = Field(gt=0, description="depth of each tree")


class XGBoostConfig(XGBoostTreesConfig, RegressionLoss):
    """Parameters of the XGBoost family."""


class XGBoostTrees(BoostedTrees):
    """Boosted trees by XGBoost; NaN features go to the better side of a split."""

    _booster: xgboost.Booster

    def save(self, folder: Path) -> None:
        """Write XGBoost's own binary JSON."""
        self._booster.save_model(folder / _FILE)
        self._save_scale(folder)

    @classmethod
    def load(cls, folder: Path, config: Config, *, seed: int, threads: int) -> Self:
        """Read what :meth:`save` wrote; the caller has checked the files' hashes."""
        import xgboost

        model = cls(config, seed=seed, threads=threads)
        model._booster = xgboost.Booster(model_file=folder / _FILE)
        model._load_scale(folder)
        return model

    def importance(self) -> npt.NDArray[np.float64]:
        """Share of each feature in the total gain."""
        gains: dict[str, Any] = self._booster.get_score(importance_type="total_gain")
        total = np.zeros(self._booster.num_features())
        for name, gain in gains.items():
            total[int(name.removeprefix("f"))] = gain
        return normalised(total)

    def _boost(
        self,
        data: xgboost.DMatrix,
        held_out: xgboost.DMatrix | None,
        parameters: dict[str, Any],
        metric: Callable[..., tuple[str, float]] | None = None,
    ) -> None:
        """Boost on ``data``; stop early on ``held_out``, by ``metric`` if given.

        A metric of one's own is maximised, a loss of the library is minimised.
        """
        import xgboost

        curve: dict[str, dict[str, list[float]]] = {}
        # save_best drops the rounds after the best one.
        stop = xgboost.callback.EarlyStopping(
            rounds=self.config.patience_rounds,
            maximize=metric is not None,
            save_best=True,
        )
        self._booster = xgboost.train(
            parameters,
            data,
            num_boost_round=self.config.n_rounds,
            evals=[] if held_out is None else [(held_out, "validation")],
            evals_result=curve,
            custom_metric=metric,
            verbose_eval=False,
            callbacks=[] if held_out is None else [stop],
        )
        self._curve = curve
        # The file holds what was learned on the train rows, not the validation metric.
        self._booster.set_attr(best_score=None, best_iteration=None)

    def _tree_parameters(self) -> dict[str, Any]:
        config = self.config
        return {
            "learning_rate": config.learning_rate,
            "max_depth": config.max_depth,
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

    def _margin(self, rows: Samples) -> npt.NDArray[Any]:
        return np.asarray(self._predict(rows))

    def _shares(self, rows: Samples) -> npt.NDArray[np.float32]:
        return np.asarray(self._predict(rows, pred_contribs=True), dtype=np.float32)

    def _predict(self, rows: Samples, **options: Any) -> Any:
        import xgboost

        self._booster.set_param({"nthread": self.threads})
        matrix = xgboost.DMatrix(rows.features, nthread=self.threads)
        return self._booster.predict(matrix, **options)


@register
class XGBoostModel(PointwiseTrees, XGBoostTrees):
    """XGBoost on the learning target, or on classes."""

    family: ClassVar[str] = "xgboost"
    description: ClassVar[str] = "gradient boosting, depth-wise trees (XGBoost)"
    losses: ClassVar[LossNames] = _LOSSES
    config_type: ClassVar[type[Config]] = XGBoostConfig

    def fit(self, train: Samples, validation: Samples | None) -> None:
        """Boost on ``train``; stop early on ``validation`` when it has rows."""
        import xgboost

        self.check(train)
        data = xgboost.QuantileDMatrix(
            train.features,
            label(train),
            weight=train.weight,
            max_bin=self.config.max_bins,
            nthread=1,
        )
        held_out = None
        if validation is not None and len(validation):
            held_out = xgboost.DMatrix(
                validation.features,
                label(validation),
                weight=validation.weight,
                nthread=self.threads,
            )
        self._boost(data, held_out, self._parameters(train))

    def _objective(self) -> str:
        learner = json.loads(self._booster.save_config())["learner"]
        return str(learner["objective"]["name"])

    def _parameters(self, train: Samples) -> dict[str, Any]:
        # The Hessian of a row is 1 for squared error, below 1/4 for class losses.
        weight = 1.0 if train.task == "regression" else 0.2
        least = leaf_size(self.config.min_rows_per_leaf, len(train))
        return {
            **self._loss(train),
            **self._tree_parameters(),
            "min_child_weight": weight * least,
        }
