"""Parameters of target ranking and feature selection."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ranking_pipeline.config import Config

Method = Literal["native", "shap", "permutation"]
Sentinel = Literal["time_shuffle", "symbol_holdout"]


class LeakageConfig(Config):
    """When a feature counts as a copy of the future."""

    near_copy_correlation: float = Field(
        gt=0, le=1, description="|Pearson| with the label from which a copy is assumed"
    )
    min_pairs: int = Field(ge=3, description="fewest rows on which it is computed")
    max_partial_ic: float = Field(
        gt=0, lt=1, description="largest |partial rank IC| that an honest feature has"
    )
    max_partial_size_ic: float = Field(
        gt=0, lt=1, description="the same with the label's size, which is known better"
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
    label_name_parts: tuple[str, ...] = Field(
        description="words of a name that announce a label or its by-product"
    )
    dominance_share: float = Field(
        gt=0, le=1, description="importance of the first feature that raises a doubt"
    )
    dominance_ratio: float = Field(
        gt=1, description="how far it must exceed the next one to do so"
    )
    dominance_alone: float = Field(
        gt=0, le=1, description="importance that raises a doubt whatever the next has"
    )
    min_drop: float = Field(
        gt=0, lt=1, description="loss of score without a suspect that confirms it"
    )
    min_relative_drop: float = Field(
        gt=0, le=1, description="the same as a share of the score"
    )
    min_confirm_rows: int = Field(
        ge=1, description="fewest out-of-fold rows on which a model is questioned"
    )
    min_confirm_symbols: int = Field(
        ge=1, description="fewest symbols on which a model is questioned"
    )
    sentinels: tuple[Sentinel, ...] = Field(
        description="any of time_shuffle, symbol_holdout: controls fitted per target"
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


class FeatureFilterConfig(Config):
    """What a feature must show by itself before models see it; null = not asked."""

    min_coverage: float | None = Field(
        gt=0, le=1, description="smallest share of rows on which it is known"
    )
    min_rank_variance: float | None = Field(
        gt=0,
        le=1,
        description="smallest variance of its ranks; 1 = a column without ties",
    )
    min_abs_ic_t: float | None = Field(
        gt=0, description="smallest |t| of its rank correlation with the target"
    )
    min_mutual_information: float | None = Field(
        gt=0, description="smallest mutual information with the target, nats"
    )


class SymbolImportanceConfig(Config):
    """Importance within single symbols, to set against the pooled one."""

    max_symbols: int = Field(
        ge=0, description="symbols fitted, evenly spread; 0 = none"
    )
    min_rows: int = Field(ge=1, description="fewest rows of a symbol that is fitted")
    relative_threshold: float = Field(
        gt=0, lt=1, description="share of the leader's importance that counts as used"
    )


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
    cluster_linkage: Literal["average", "complete"] = Field(
        description="how correlation clusters are joined"
    )
    filters: FeatureFilterConfig
    stability_top: int = Field(ge=1, description="size of the top lists compared")
    stability_seeds: int = Field(
        ge=1, description="seeds compared on the last fold; 1 = not compared"
    )
    stability_null: bool = Field(
        description="also measure the stability that shuffled labels reach"
    )
    symbol_importance: SymbolImportanceConfig
    leakage: LeakageConfig
    allow_fallback: bool = Field(
        description="univariate choice when the consensus fails; false in production"
    )
    strict: bool = Field(description="true: a target that fails stops the run")

    @model_validator(mode="after")
    def _families_can_agree(self) -> Self:
        if self.require_min_models > len(self.model_families):
            raise ValueError(
                f"require_min_models {self.require_min_models} is more than the "
                f"{len(self.model_families)} model_families "
                f"{list(self.model_families)}: no feature could be chosen"
            )
        return self
