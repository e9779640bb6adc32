"""Every section of the parameters and its typed model."""

from __future__ import annotations

from ranking_pipeline.cache.config import CacheConfig
from ranking_pipeline.config import Config, RunConfig
from ranking_pipeline.data_config import DataPreparationConfig
from ranking_pipeline.evaluation.backtest.config import BacktestConfig
from ranking_pipeline.evaluation.config import EvaluationConfig
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.pipelines.audit.config import LookaheadConfig
from ranking_pipeline.pipelines.cs_ranking.config import CsRankingConfig
from ranking_pipeline.pipelines.promotion.config import PromotionConfig
from ranking_pipeline.portfolio.candidates.config import CandidateSelectionConfig
from ranking_pipeline.portfolio.prediction_config import PredictionConfig
from ranking_pipeline.routing.config import RoutingConfig
from ranking_pipeline.selection.config import (
    FeatureSelectionConfig,
    TargetRankingConfig,
)
from ranking_pipeline.training.config import ModelTrainingConfig
from ranking_pipeline.tuning.config import TuningConfig

SECTIONS: dict[str, type[Config]] = {
    "audit": LookaheadConfig,
    "run": RunConfig,
    "jobs": JobsConfig,
    "cache": CacheConfig,
    "data": DataPreparationConfig,
    "target_ranking": TargetRankingConfig,
    "feature_selection": FeatureSelectionConfig,
    "routing": RoutingConfig,
    "model_training": ModelTrainingConfig,
    "cs_ranking": CsRankingConfig,
    "raw_sequence": CsRankingConfig,
    "evaluation": EvaluationConfig,
    "backtest": BacktestConfig,
    "promotion": PromotionConfig,
    "candidate_selection": CandidateSelectionConfig,
    "prediction": PredictionConfig,
    "tuning": TuningConfig,
}
