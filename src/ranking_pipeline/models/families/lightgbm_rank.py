"""LightGBM with a ranking objective: one query per bar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError
from ranking_pipeline.models.families.lightgbm import LightGBMTrees, LightGBMTreesConfig
from ranking_pipeline.models.rank_boosting import RankingConfig, RankingTrees
from ranking_pipeline.models.rank_metric import MeanRankIC
from ranking_pipeline.models.rank_queries import Queries
from ranking_pipeline.models.registry import register

if TYPE_CHECKING:
    import lightgbm

_LARGEST_QUERY = 10_000  # LightGBM's own limit


class LightGBMRankConfig(RankingConfig, LightGBMTreesConfig):
    """Parameters of the lightgbm_rank family."""

    objective: Literal["lambdarank", "rank_xendcg"] = Field(
        description="lambdarank (all pairs, weighted by the change of NDCG) or "
        "rank_xendcg (cross-entropy of the list; faster, for few grades such as 2)"
    )


@register
class LightGBMRankModel(RankingTrees, LightGBMTrees):
    """LambdaMART (Burges, 2010), or XE-NDCG (Bruch, 2021), by LightGBM.

    Gains are linear in the grade: grades are equally spaced quantiles, of which the
    usual gain 2^grade - 1 (Burges et al., 2005) would see the highest alone. XE-NDCG
    knows powers of two only: its gains are the linear ones rounded down to them.
    The truncation level is the whole query, so that every pair of a bar is learned.
    Trees draw whole bars. LightGBM's own NDCG (``eval_at``) is not computed: rounds are
    chosen by the mean rank IC.
    """

    family: ClassVar[str] = "lightgbm_rank"
    description: ClassVar[str] = "ranking within bars, leaf-wise trees (LightGBM)"
    config_type: ClassVar[type[Config]] = LightGBMRankConfig

    def _learn(
        self, train: Queries, held_out: tuple[Queries, MeanRankIC] | None
    ) -> None:
        import lightgbm

        largest = int(train.sizes.max())
        if largest > _LARGEST_QUERY:
            raise UserError(
                f"a bar has {largest} names; lightgbm_rank takes at most "
                f"{_LARGEST_QUERY}. Use xgboost_rank, or fewer symbols."
            )
        data = lightgbm.Dataset(
            train.rows.features,
            self._relevance(train),
            group=train.sizes,
            weight=train.row_weight,
        )
        parameters = {
            **self._tree_parameters(len(train.rows)),
            "objective": self.config.objective,
            "label_gain": list(range(self.config.n_grades)),
            "lambdarank_truncation_level": largest,
            "bagging_by_query": True,
            "min_sum_hessian_in_leaf": 0.0,
            "metric": "None",
        }
        parameters["lambda_l2"] *= self._row_hessian(data, parameters)
        if held_out is None:
            return self._boost(data, None, parameters)
        queries, metric = held_out
        block = data.create_valid(
            queries.rows.features, self._relevance(queries), group=queries.sizes
        )

        def rank_ic(scores: Any, _: lightgbm.Dataset) -> tuple[str, float, bool]:
            return "rank_ic", metric(np.asarray(scores)), True

        return self._boost(data, block, parameters, rank_ic)

    def _relevance(self, queries: Queries) -> npt.NDArray[np.int32]:
        """Grades, or for XE-NDCG the exponents of their gains 1 + grade."""
        if self.config.objective == "lambdarank":
            return queries.grades
        return np.floor(np.log2(1 + queries.grades)).astype(np.int32)

    def _row_hessian(self, data: Any, parameters: Mapping[str, Any]) -> float:
        import lightgbm

        alone = {"num_leaves": 2, "bagging_fraction": 1.0, "lambda_l2": 0.0}
        stump = lightgbm.train({**parameters, **alone}, data, num_boost_round=1)
        root = stump.dump_model()["tree_info"][0]["tree_structure"]
        return float(root.get("internal_weight", 1.0)) / float(
            root.get("internal_count", 1.0)
        )
