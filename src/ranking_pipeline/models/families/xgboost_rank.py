"""XGBoost with a ranking objective: one query per bar."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ranking_pipeline.config import Config
from ranking_pipeline.models.classes import leaf_size
from ranking_pipeline.models.families.xgboost import XGBoostTrees, XGBoostTreesConfig
from ranking_pipeline.models.rank_boosting import RankingConfig, RankingTrees
from ranking_pipeline.models.rank_metric import MeanRankIC
from ranking_pipeline.models.rank_queries import Queries
from ranking_pipeline.models.registry import register

if TYPE_CHECKING:
    import xgboost


class XGBoostRankConfig(RankingConfig, XGBoostTreesConfig):
    """Parameters of the xgboost_rank family."""

    objective: Literal["pairwise", "ndcg"] = Field(
        description="pairwise (all pairs alike) or ndcg (pairs weighted by the change "
        "of NDCG)"
    )
    pairs_per_name: int | None = Field(
        gt=0,
        description="pairs drawn for each name of a bar in each round; null = all "
        "pairs, exactly",
    )


@register
class XGBoostRankModel(RankingTrees, XGBoostTrees):
    """Pairwise logistic trees (RankNet; Burges et al., 2005), or LambdaMART, by XGBoost.

    Gains of NDCG are linear in the grade. ``pairwise`` treats both ends of a bar alike,
    as a long-short book does; ``ndcg`` favours the top.
    """

    family: ClassVar[str] = "xgboost_rank"
    description: ClassVar[str] = "ranking within bars, depth-wise trees (XGBoost)"
    config_type: ClassVar[type[Config]] = XGBoostRankConfig

    def _learn(
        self, train: Queries, held_out: tuple[Queries, MeanRankIC] | None
    ) -> None:
        import xgboost

        data = xgboost.QuantileDMatrix(
            train.rows.features,
            train.grades,
            group=train.sizes,
            weight=train.weight,
            max_bin=self.config.max_bins,
            nthread=1,
        )
        parameters = self._parameters(data, train)
        if held_out is None:
            return self._boost(data, None, parameters)
        queries, metric = held_out
        block = xgboost.DMatrix(
            queries.rows.features,
            queries.grades,
            group=queries.sizes,
            nthread=self.threads,
        )

        def rank_ic(scores: Any, _: xgboost.DMatrix) -> tuple[str, float]:
            return "rank_ic", metric(np.asarray(scores))

        return self._boost(data, block, parameters, rank_ic)

    def _parameters(self, data: xgboost.DMatrix, train: Queries) -> dict[str, Any]:
        drawn = self.config.pairs_per_name
        parameters = {
            **self._tree_parameters(),
            "objective": f"rank:{self.config.objective}",
            "ndcg_exp_gain": False,
            # The first k names against all others: k = the largest bar gives all pairs.
            "lambdarank_pair_method": "topk" if drawn is None else "mean",
            "lambdarank_num_pair_per_sample": drawn or int(train.sizes.max()),
            "disable_default_eval_metric": True,
        }
        hessian = self._row_hessian(data, parameters)
        least = leaf_size(self.config.min_rows_per_leaf, len(train.rows))
        return {
            **parameters,
            "min_child_weight": hessian * least,
            "reg_lambda": hessian * self.config.l2,
        }

    def _row_hessian(self, data: Any, parameters: Mapping[str, Any]) -> float:
        import xgboost

        alone = {"max_depth": 1, "subsample": 1.0, "min_child_weight": 0.0}
        stump = xgboost.train({**parameters, **alone}, data, num_boost_round=1)
        tree = json.loads(stump.get_dump(dump_format="json", with_stats=True)[0])
        return float(tree["cover"]) / int(data.num_row())
