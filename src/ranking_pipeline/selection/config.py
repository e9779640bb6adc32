"""Parameters of target ranking and feature selection."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ranking_pipeline.config import Config

Method = Literal["native", "shap", "permutation"]


class LeakageConfig(Config):
    """When a feature counts as a copy of the future."""

    near_copy_correlation: float = Field(
        gt=0, le=1, description="|Pearson| with the label from which a copy is assumed"
    )
    min_pairs: int = Field(ge=3, description="fewest rows on which it is computed")
    max_partial_ic: float = Field(
        gt=0, lt=1, description="largest |partial rank IC| that an honest feature has"
    )
    confidence: float = Field(
        gt=0.5, lt=1, description="one-sided confidence that the partial IC is above it"
    )
    max_time_correlation: float = Field(
        gt=0, le=1, description="|Spearman| with time of a column equal for all symbols"
    )
    volatility_columns: tuple[str, ...] = Field(
        description="audited volatility factors; their mean rank is the reference score"
    )
    allow_suspect: bool = Field(description="whether SUSPECT features may be used")


class EstimationConfig(Config):
    """How models are fitted and measured inside the train span."""

    model_families: tuple[str, ...] = Field(min_length=1, description="families fitted")
    family_parameters: dict[str, dict[str, Any]] = Field(
        description="parameter block of every family in model_families"
    )
    learning_target: Literal["cs_gauss", "cs_demean", "raw"] = Field(
        description="scale on which models see returns"
    )
    cv_folds: int = Field(ge=1, description="purged expanding folds")
    max_samples_per_symbol: int = Field(
        gt=0, description="most recent train bars that are looked at"
    )
    max_train_rows: int = Field(
        gt=0, description="rows per fit; above it whole bars are thinned evenly"
    )
    min_symbols: int = Field(ge=2, description="fewest symbols that make a bar count")
    min_per_class: int = Field(
        ge=1, description="fewest symbols of each class that make a bar count"
    )
    seed: int = Field(ge=0, description="fixes every random choice")
    threads: int = Field(
        ge=1, description="threads per fit; results do not depend on it"
    )


class TargetRankingConfig(EstimationConfig):
    """Ranking of targets by out-of-fold predictability."""

    auto: bool = Field(description="false: take manual_targets whatever their scores")
    manual_targets: tuple[str, ...] = Field(description="targets used if auto is false")
    top_n_targets: int = Field(ge=1, description="most targets selected")
    min_predictability_score: float = Field(
        ge=0, lt=1, description="smallest skill, on the scale 0 (none) to 1"
    )
    false_discovery_rate: float = Field(
        gt=0, lt=1, description="Benjamini-Hochberg level over all evaluated targets"
    )
    leakage: LeakageConfig
    strict: bool = Field(description="true: a target that fails stops the run")


class FeatureSelectionConfig(EstimationConfig):
    """Consensus of importance over model families."""

    auto: bool = Field(description="false: take manual_features for every target")
    manual_features: tuple[str, ...] = Field(description="used if auto is false")
    top_m_features: int = Field(ge=1, description="most features per target")
    require_min_models: int = Field(
        ge=1, description="families that must have a feature in their own top M"
    )
    importance_methods: tuple[Method, ...] = Field(
        min_length=1, description="any of native, shap, permutation"
    )
    permutation_repeats: int = Field(ge=1, description="shuffles per feature")
    permutation_max_rows: int = Field(gt=0, description="held-out rows shuffled")
    shap_max_rows: int = Field(gt=0, description="held-out rows explained")
    max_redundancy: float = Field(
        gt=0, le=1, description="|rank correlation| above which one of two is dropped"
    )
    stability_top: int = Field(ge=1, description="size of the top lists compared")
    leakage: LeakageConfig
    allow_fallback: bool = Field(
        description="univariate choice when the consensus fails; false in production"
    )
