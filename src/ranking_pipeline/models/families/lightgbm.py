"""LightGBM: gradient boosting with leaf-wise trees (Ke et al., 2017)."""

from __future__ import annotations

import re
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
from ranking_pipeline.models.lightgbm_text import check_whole
from ranking_pipeline.models.registry import register
from ranking_pipeline.models.samples import Samples

if TYPE_CHECKING:
    import lightgbm

_FILE = "model.txt"
_LOSSES = LossNames(
    {
        "l2": "l2",
        "huber": "huber",
        "quantile": "quantile",
        "binary": "binary",
        "three_class": "multiclass",
    },
    huber="alpha",
    quantile="alpha",
)


class LightGBMTreesConfig(BoostingConfig):
    """Parameters of trees by LightGBM, whatever the objective."""

    max_leaves: int = Field(gt=1, description="leaves per tree")
    max_depth: int | None = Field(gt=0, description="depth of each tree; null = any")
    l1: float = Field(ge=0, description="penalty on absolute leaf values")


class LightGBMConfig(LightGBMTreesConfig, RegressionLoss):
    """Parameters of the LightGBM family."""


class LightGBMTrees(BoostedTrees):
    """Boosted trees by LightGBM; NaN features go to the better side of a split."""

    _booster: lightgbm.Booster

    def save(self, folder: Path) -> None:
        """Write LightGBM's own text format, up to the best round."""
        text = self._booster.model_to_string()
        # The one line that differs between equal models fitted on unlike machines.
        text = re.sub(r"\[num_threads: \d+\]", "[num_threads: 0]", text)
        (folder / _FILE).write_text(text, encoding="utf-8", newline="\n")
        self._save_scale(folder)

    @classmethod
    def load(cls, folder: Path, config: Config, *, seed: int, threads: int) -> Self:
        """Read what :meth:`save` wrote; a text that is not whole is refused."""
        import lightgbm

        check_whole(folder / _FILE)
        model = cls(config, seed=seed, threads=threads)
        model._booster = lightgbm.Booster(model_file=folder / _FILE)
        model._load_scale(folder)
        return model

    def importance(self) -> npt.NDArray[np.float64]:
        """Share of each feature in the total gain."""
        return normalised(self._booster.feature_importance("gain"))

    def _boost(
        self,
        data: lightgbm.Dataset,
        held_out: lightgbm.Dataset | None,
        parameters: dict[str, Any],
        metric: Callable[..., tuple[str, float, bool]] | None = None,
    ) -> None:
        """Boost on ``data``; stop early on ``held_out``, by ``metric`` if given."""
        import lightgbm

        curve: dict[str, dict[str, list[float]]] = {}
        callbacks: list[Any] = [lightgbm.record_evaluation(curve)]
        if held_out is not None:
            patience = self.config.patience_rounds
            callbacks.append(lightgbm.early_stopping(patience, verbose=False))
        self._booster = lightgbm.train(
            parameters,
            data,
            num_boost_round=self.config.n_rounds,
            valid_sets=[] if held_out is None else [held_out],
            valid_names=[] if held_out is None else ["validation"],
            feval=metric,
            callbacks=callbacks,
        )
        self._curve = curve

    def _tree_parameters(self, n_rows: int) -> dict[str, Any]:
        config = self.config
        return {
            "learning_rate": config.learning_rate,
            "num_leaves": config.max_leaves,
            "max_depth": -1 if config.max_depth is None else config.max_depth,
            "min_data_in_leaf": leaf_size(config.min_rows_per_leaf, n_rows),
            "bagging_fraction": config.row_share,
            "bagging_freq": 1,
            "feature_fraction": config.feature_share,
            "lambda_l1": config.l1,
            "lambda_l2": config.l2,
            "max_bin": config.max_bins,
            "seed": self.seed,
            "num_threads": self.threads,
            # Without these two the result depends on the number of threads; row-wise
            # counting gives the same trees, and took 40 % longer at 255 bins.
            "deterministic": True,
            "force_col_wise": True,
            "verbosity": -1,
        }

    def _margin(self, rows: Samples) -> npt.NDArray[Any]:
        return np.asarray(self._predict(rows))

    def _shares(self, rows: Samples) -> npt.NDArray[np.float32]:
        return np.asarray(self._predict(rows, pred_contrib=True), dtype=np.float32)

    def _predict(self, rows: Samples, **options: Any) -> Any:
        return self._booster.predict(rows.features, num_threads=self.threads, **options)


@register
class LightGBMModel(PointwiseTrees, LightGBMTrees):
    """LightGBM on the learning target, or on classes."""

    family: ClassVar[str] = "lightgbm"
    description: ClassVar[str] = "gradient boosting, leaf-wise trees (LightGBM)"
    losses: ClassVar[LossNames] = _LOSSES
    config_type: ClassVar[type[Config]] = LightGBMConfig

    def fit(self, train: Samples, validation: Samples | None) -> None:
        """Boost on ``train``; stop early on ``validation`` when it has rows."""
        import lightgbm

        self.check(train)
        data = lightgbm.Dataset(train.features, label(train), weight=train.weight)
        held_out = None
        if validation is not None and len(validation):
            held_out = data.create_valid(
                validation.features, label(validation), weight=validation.weight
            )
        parameters = {**self._loss(train), **self._tree_parameters(len(train))}
        self._boost(data, held_out, parameters)

    def _objective(self) -> str:
        return str(self._booster.dump_model(num_iteration=1)["objective"]).split()[0]
