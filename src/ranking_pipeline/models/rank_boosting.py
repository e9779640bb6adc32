"""Boosted ranking trees: one query per bar, stopped by the mean rank IC."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError
from ranking_pipeline.models.base import PredictionOutput
from ranking_pipeline.models.boosting import BoostedTrees
from ranking_pipeline.models.classes import loss_history
from ranking_pipeline.models.rank_metric import MeanRankIC
from ranking_pipeline.models.rank_queries import Queries
from ranking_pipeline.models.rank_scale import ScoreScale
from ranking_pipeline.models.samples import Samples


class RankingConfig(Config):
    """Parameters that ranking objectives of any library share."""

    n_grades: int = Field(
        gt=1, le=1000, description="grades of relevance: quantile bins within the bar"
    )
    patience_rounds: int = Field(
        gt=0,
        description="rounds without a better mean rank IC on the validation rows "
        "before stopping",
    )
    l2: float = Field(
        ge=0, description="penalty on squared leaf values, in rows of no opinion"
    )


class RankingTrees(BoostedTrees):
    """Trees that learn the order of the names of each bar, and nothing across bars.

    A bar's targets become grades; a bar with a single name is left out. With weights a
    bar counts by the mean of its names'. Scores are put on the scale of the learning
    target by an increasing line, see
    :class:`ranking_pipeline.models.rank_scale.ScoreScale`.
    """

    tasks: ClassVar[frozenset[str]] = frozenset({"regression"})
    ranks: ClassVar[bool] = True

    def fit(self, train: Samples, validation: Samples | None) -> None:
        """Boost on ``train``; ``validation`` stops by its mean rank IC.

        Raises
        ------
        UserError
            Also where no bar has two names, as in a job of one symbol.
        """
        self.check(train)
        queries = Queries.build(train, self.config.n_grades)
        if not len(queries):
            raise UserError(
                f"{self.family} ranks the names of a bar, and no bar of the training "
                "rows has two: use it for cross-sectional jobs "
                "(model_training.families) and another family for single symbols."
            )
        self._learn(queries, self._held_out(validation))
        rows = queries.rows
        self._scale = ScoreScale.fit(self._margin(rows), rows.target, rows.bars)

    def predict(self, rows: Samples) -> PredictionOutput:
        """Score rows with the rounds up to the best one; bars are not comparable."""
        if self._scale is None:
            raise UserError(f"{self.family} is not fitted; call fit or load first.")
        return PredictionOutput(
            self._scale.apply(self._margin(rows)).astype(np.float32)
        )

    def history(self) -> list[dict[str, float]]:
        """Give the mean rank IC of the validation rows per round."""
        return loss_history(self._curve, "validation_rank_ic")

    @abstractmethod
    def _learn(
        self, train: Queries, held_out: tuple[Queries, MeanRankIC] | None
    ) -> None:
        """Boost on the queries; stop early by the metric of those held out."""

    @abstractmethod
    def _row_hessian(self, data: Any, parameters: Mapping[str, Any]) -> float:
        """Mean second derivative of a row before the first tree, from a stump.

        It is 1 for squared error. Ranking objectives divide by sums over the query, so
        that theirs depends on the size of the bars; with it a penalty and a smallest
        leaf mean the same number of rows everywhere.
        """

    def _held_out(
        self, validation: Samples | None
    ) -> tuple[Queries, MeanRankIC] | None:
        if validation is None or not len(validation):
            return None
        queries = Queries.build(validation, self.config.n_grades)
        rows = queries.rows
        metric = MeanRankIC(rows.target, rows.bars, rows.weight)
        return (queries, metric) if metric.n_bars else None
