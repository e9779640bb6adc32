"""Typed parameters of the cross-sectional ranking network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from ranking_pipeline.config import Config

if TYPE_CHECKING:
    from ranking_pipeline.ranking.ranker import RankerSpec
    from ranking_pipeline.ranking.targets import TargetSpec

_LOSS_ALIASES = {
    "pairwise_logistic": "pairwise",
    "listwise_softmax": "listwise",
    "mse": "pointwise",
}
_LOSS_PARAMETERS = {
    "pairwise": ("top_pct", "bottom_pct", "margin", "max_pairs"),
    "pairwise_hinge": ("top_pct", "bottom_pct", "margin", "max_pairs"),
    "listwise": ("temperature",),
}
Share = Annotated[float, Field(gt=0, le=0.5)]


def _residual(value: Any) -> Any:
    return {True: "mean", False: "none"}[value] if isinstance(value, bool) else value


def _loss_name(value: Any) -> Any:
    return _LOSS_ALIASES.get(value, value) if isinstance(value, str) else value


def _normalization(value: Any) -> Any:
    return "log_returns" if value == "log_return" else value


class CsInputConfig(Config):
    """What a network sees of a symbol."""

    sequence_length: int = Field(gt=1, description="bars in a window")
    normalization: Annotated[
        Literal["log_returns", "returns", "zscore", "none"],
        BeforeValidator(_normalization),
    ] = Field(description="how the bars of a window are made comparable")


class CsTargetConfig(Config):
    """How the payoffs of a bar become targets."""

    type: Literal["cs_percentile", "cs_zscore", "vol_scaled"] = Field(
        description="percentile, robust z-score, or payoff over volatility"
    )
    residualize: Annotated[
        Literal["none", "mean", "sector", "beta"], BeforeValidator(_residual)
    ] = Field(
        description="what is subtracted within the bar: the mean (which changes neither "
        "percentiles nor the robust z-score), the sector's mean, or beta times the mean; "
        "true = mean, false = none"
    )
    beta_lookback_bars: int = Field(
        ge=10, description="past returns from which residualize: beta takes each beta"
    )
    winsorize: tuple[float, float] | None = Field(
        description="quantiles within the bar at which payoffs are clipped; bounds of "
        "the label itself for cs_percentile; null = no clipping"
    )
    vol_lookback_bars: int = Field(gt=1, description="bars of vol_scaled's volatility")
    vol_method: Literal["realized"] = Field(
        description="volatility of vol_scaled: deviation of one-bar log returns"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.winsorize is not None:
            low, high = self.winsorize
            if not 0 <= low < high <= 1:
                raise ValueError(
                    f"winsorize {self.winsorize} is no pair 0 <= low < high <= 1"
                )
        return self


class CsLossConfig(Config):
    """The ranking loss; each type reads its own keys."""

    type: Annotated[
        Literal["pairwise", "pairwise_hinge", "listwise", "pointwise", "huber", "ic"],
        BeforeValidator(_loss_name),
    ] = Field(description="loss over a whole cross-section")
    top_pct: Share = Field(description="share of a bar's names that are winners")
    bottom_pct: Share = Field(description="share of a bar's names that are losers")
    max_pairs_per_timestamp: int | None = Field(
        gt=0, description="winner-loser pairs drawn per bar; null = all, exactly"
    )
    margin: float = Field(
        ge=0, description="score difference that a pair must exceed (pairwise types)"
    )
    temperature: float = Field(
        gt=0, description="of listwise, on normal scores; lower favours the best names"
    )

    def parameters(self) -> dict[str, Any]:
        """Collect the keyword arguments of the loss."""
        values = self.model_dump() | {"max_pairs": self.max_pairs_per_timestamp}
        return {name: values[name] for name in _LOSS_PARAMETERS.get(self.type, ())}


class CsBatchingConfig(Config):
    """How bars become steps of training; a cross-section is never split."""

    timestamps_per_batch: int = Field(gt=0, description="bars that make one step")
    symbols_per_timestamp: int | None = Field(
        gt=1, description="names drawn from each bar in each epoch; null = all"
    )
    min_symbols_per_timestamp: int = Field(
        gt=1, description="names below which a bar is neither trained on nor measured"
    )
    shuffle_timestamps: bool = Field(description="new seeded order of bars each epoch")
    timestamps_per_epoch: int | None = Field(
        gt=0, description="bars visited in an epoch; null = all"
    )


class CsNetworkConfig(Config):
    """The network that scores one window."""

    name: Literal["linear", "mlp", "lstm", "gru"] = Field(description="kind of network")
    hidden: int = Field(gt=0, description="units of a hidden layer or recurrent state")
    layers: int = Field(gt=0, description="hidden layers")
    dropout: float = Field(ge=0, lt=1, description="share of hidden units dropped")

    @model_validator(mode="after")
    def _recurrent_state_fits(self) -> Self:
        if self.name in {"lstm", "gru"} and self.hidden > 128:
            raise ValueError(
                f"hidden is {self.hidden}; a {self.name} takes at most 128"
            )
        return self


class CsTrainingConfig(Config):
    """How long and where to train."""

    epochs: int = Field(gt=0, description="passes over the training bars at most")
    learning_rate: float = Field(gt=0, description="step size of Adam")
    weight_decay: float = Field(ge=0, description="decoupled weight decay of Adam")
    patience: int = Field(
        gt=0, description="epochs without a better validation IC before stopping"
    )
    min_delta: float = Field(ge=0, description="rise of the IC that counts as better")
    gradient_clip: float = Field(gt=0, description="largest norm of a gradient")
    seeds: list[int] = Field(
        min_length=1,
        description="one network each; scores are averaged as ranks within the bar",
    )
    device: Literal["cpu", "cuda", "auto"] = Field(description="where to train")
    threads: int = Field(
        gt=0, description="CPU threads; bits repeat for one number of threads only"
    )


class CsMetricsConfig(Config):
    """What training reports of the validation block."""

    primary: Literal["spearman_ic"] = Field(description="metric that chooses the epoch")
    top_pct: Share = Field(description="share of names in the long tail of the spread")
    bottom_pct: Share = Field(description="share of names in the short tail")


class CsRankingConfig(Config):
    """The section ``cs_ranking`` (and ``raw_sequence``)."""

    enabled: bool = Field(description="whether the ranking network is part of a run")
    targets: list[str] = Field(
        min_length=1, description="forward returns to rank, one model each"
    )
    input: CsInputConfig
    target: CsTargetConfig
    loss: CsLossConfig
    batching: CsBatchingConfig
    network: CsNetworkConfig
    training: CsTrainingConfig
    metrics: CsMetricsConfig

    @property
    def ranked_targets(self) -> list[str]:
        """The targets of this run: none where the network is switched off."""
        return self.targets if self.enabled else []

    def target_spec(self) -> TargetSpec:
        """Give the same as plain arguments of the target."""
        from ranking_pipeline.ranking.targets import TargetSpec

        return TargetSpec(
            type=self.target.type,
            residualize=self.target.residualize,
            winsorize=self.target.winsorize,
            min_symbols=self.batching.min_symbols_per_timestamp,
            volatility_lookback=self.target.vol_lookback_bars,
            beta_lookback=self.target.beta_lookback_bars,
        )

    def ranker_spec(self) -> RankerSpec:
        """Give the same as plain arguments of the ranker; imports torch."""
        from ranking_pipeline.learning.loop import LoopConfig
        from ranking_pipeline.learning.networks import NetworkSpec
        from ranking_pipeline.ranking.ranker import RankerSpec

        batching, training = self.batching, self.training
        return RankerSpec(
            sequence_length=self.input.sequence_length,
            normalization=self.input.normalization,
            network=NetworkSpec(**self.network.model_dump()),
            loss=self.loss.type,
            loss_parameters=self.loss.parameters(),
            loop=LoopConfig(
                epochs=training.epochs,
                timestamps_per_batch=batching.timestamps_per_batch,
                symbols_per_timestamp=batching.symbols_per_timestamp,
                timestamps_per_epoch=batching.timestamps_per_epoch,
                shuffle_timestamps=batching.shuffle_timestamps,
                learning_rate=training.learning_rate,
                weight_decay=training.weight_decay,
                gradient_clip=training.gradient_clip,
                patience=training.patience,
                min_delta=training.min_delta,
            ),
            seeds=tuple(training.seeds),
            min_symbols=batching.min_symbols_per_timestamp,
            top_pct=self.metrics.top_pct,
            bottom_pct=self.metrics.bottom_pct,
        )
