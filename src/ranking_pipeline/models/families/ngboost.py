"""NGBoost: natural-gradient boosting of a normal distribution (Duan et al., 2020)."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ranking_pipeline.config import Config
from ranking_pipeline.models.array_model import ArrayModel
from ranking_pipeline.models.base import PredictionOutput
from ranking_pipeline.models.boosting import Boosting, RoundsConfig
from ranking_pipeline.models.classes import leaf_size, normalised
from ranking_pipeline.models.registry import register
from ranking_pipeline.models.samples import Samples, thin
from ranking_pipeline.models.tree_arrays import Tree, TreeArrays


class NGBoostConfig(RoundsConfig):
    """Parameters of the ngboost family."""

    max_depth: int = Field(gt=0, description="depth of each tree")
    min_rows_per_leaf: int = Field(
        gt=0, description="rows per leaf; at most a twentieth of a tree's rows"
    )
    row_share: float = Field(gt=0, le=1, description="share of rows per round")
    max_rows: int = Field(
        gt=1,
        description="beyond this many training rows whole bars are dropped, evenly over "
        "time: trees are exact, two a round, and slow",
    )


@register
class NGBoostModel(Boosting, ArrayModel):
    """Trees for the mean and for the logarithm of the deviation of the target.

    The score is the mean; :meth:`distribution` gives both. Rounds are chosen by the
    validation rows' likelihood; the loss of a round is minus its mean logarithm. NaN
    features go to the better side of a split.
    """

    family: ClassVar[str] = "ngboost"
    description: ClassVar[str] = "boosting of mean and deviation (NGBoost)"
    extra: ClassVar[str] = "ngboost"
    tasks: ClassVar[frozenset[str]] = frozenset({"regression"})
    config_type: ClassVar[type[Config]] = NGBoostConfig

    def fit(self, train: Samples, validation: Samples | None) -> None:
        """Boost on ``train``; stop early on ``validation`` when it has rows."""
        self.check(train)
        train = thin(train, self.config.max_rows)
        stops = validation is not None and len(validation) > 0
        held_out = _held_out(validation, train) if validation and stops else {}
        boosting = _boosting(self.config, self.seed, len(train), train.weight)
        # The library says on standard output that it was given validation rows.
        with redirect_stdout(StringIO()):
            boosting.fit(
                train.features,
                train.target.astype(np.float64),
                sample_weight=_weights(train),
                early_stopping_rounds=self.config.patience_rounds if stops else None,
                **held_out,
            )
        losses = boosting.evals_result.get("val", {}).get("LOGSCORE", [])
        self._curve = {"validation": {"loss": [float(loss) for loss in losses]}}
        n_rounds = 1 + int(np.argmin(losses)) if stops else len(boosting.base_models)
        self._state = _arrays(boosting, n_rounds, train.features.shape[1]).arrays()

    def predict(self, rows: Samples) -> PredictionOutput:
        """Give the mean of each row's target, by the rounds up to the best one."""
        return PredictionOutput(self.distribution(rows)[0].astype(np.float32))

    def distribution(
        self, rows: Samples
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Mean and deviation of each row's target, both of shape (n,)."""
        outputs = TreeArrays.from_arrays(self._state).outputs(rows.features)
        return outputs[:, 0], np.exp(outputs[:, 1])

    def importance(self) -> npt.NDArray[np.float64]:
        """Share of each feature in the decrease of impurity by the trees of the mean."""
        return TreeArrays.from_arrays(self._state).importance


def _boosting(
    config: NGBoostConfig,
    seed: int,
    n_rows: int,
    weight: npt.NDArray[np.float32] | None,
) -> Any:
    from ngboost import NGBRegressor
    from ngboost.distns import Normal
    from sklearn.tree import DecisionTreeRegressor

    class Weighted(NGBRegressor):  # type: ignore[misc]
        """Starts from the weighted mean and deviation; the library's own ignores them."""

        def fit_init_params_to_marginal(self, Y: Any, *_: Any, **__: Any) -> None:
            mean = np.average(Y, weights=weight)
            spread = np.sqrt(np.average((Y - mean) ** 2, weights=weight))
            self.init_params = np.array([mean, np.log(max(spread, 1e-12))])

    drawn = max(1, int(config.row_share * n_rows))
    base = DecisionTreeRegressor(
        max_depth=config.max_depth,
        min_samples_leaf=leaf_size(config.min_rows_per_leaf, drawn),
        random_state=seed,
    )
    return Weighted(
        Dist=Normal,
        Base=base,
        n_estimators=config.n_rounds,
        learning_rate=config.learning_rate,
        minibatch_frac=config.row_share,
        col_sample=config.feature_share,
        verbose=False,
        random_state=seed,
    )


def _weights(rows: Samples) -> npt.NDArray[np.float64] | None:
    return None if rows.weight is None else rows.weight.astype(np.float64)


def _held_out(validation: Samples, train: Samples) -> dict[str, Any]:
    """Validation rows as the library wants them: with weights where training has them."""
    weight = _weights(validation)
    if train.weight is not None and weight is None:
        weight = np.ones(len(validation))
    return {
        "X_val": validation.features,
        "Y_val": validation.target.astype(np.float64),
        "val_sample_weight": weight if train.weight is not None else None,
    }


def _arrays(boosting: Any, n_rounds: int, n_features: int) -> TreeArrays:
    gain, trees = np.zeros(n_features), []
    rounds = zip(
        boosting.base_models, boosting.scalings, boosting.col_idxs, strict=True
    )
    for (mean, deviation), scale, columns in list(rounds)[:n_rounds]:
        step = -boosting.learning_rate * scale
        trees += [_tree(each.tree_, columns, step) for each in (mean, deviation)]
        gain[columns] += mean.tree_.compute_feature_importances(normalize=False) * scale
    return TreeArrays.join(trees, boosting.init_params, normalised(gain))


def _tree(tree: Any, columns: npt.NDArray[np.integer], step: float) -> Tree:
    leaf, own = tree.children_left < 0, np.arange(tree.node_count)
    return Tree(
        np.where(leaf, 0, columns[np.where(leaf, 0, tree.feature)]),
        np.where(leaf, 0.0, tree.threshold),
        tree.missing_go_to_left.astype(bool),
        np.where(leaf, own, tree.children_left),
        np.where(leaf, own, tree.children_right),
        step * tree.value[:, 0, 0],
        int(tree.max_depth),
    )
