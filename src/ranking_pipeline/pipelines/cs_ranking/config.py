"""Typed parameters of the cross-sectional ranking network."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ranking_pipeline.config import Config
from ranking_pipeline.learning.loss_names import LOSS_ALIASES

if TYPE_CHECKING:
    from ranking_pipeline.ranking.ranker import RankerSpec
    from ranking_pipeline.ranking.targets import TargetSpec

_PAIRS = ("top_pct", "bottom_pct", "margin", "max_pairs", "pairs", "weighting")
# Keys that each loss reads; learning/losses is not imported here, since it needs torch.
LOSS_KEYS: dict[str, tuple[str, ...]] = {
    "pairwise": _PAIRS,
    "pairwise_hinge": _PAIRS,
    "listwise": ("temperature",),
    "listmle": (),
    "pointwise": (),
    "huber": ("delta",),
    "ic": (),
    "spearman": ("temperature",),
    "lambdarank": ("top_pct", "bottom_pct"),
    "approx_ndcg": ("temperature",),
    "neural_ndcg": ("temperature",),
}
_USER_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_RECURRENT = {"lstm", "gru", "alstm", "tft", "cross_stock"}
_ATTENTIVE = {
    "transformer", "stock_transformer", "cross_stock", "tft", "patchtst",
    "tab_transformer",
}  # fmt: skip
Share = Annotated[float, Field(gt=0, le=0.5)]


def _residual(value: Any) -> Any:
    return {True: "mean", False: "none"}[value] if isinstance(value, bool) else value


def _loss_name(value: Any) -> Any:
    return LOSS_ALIASES.get(value, value) if isinstance(value, str) else value


def _known_loss(name: str) -> str:
    if name not in {*LOSS_KEYS, "mixture"} and not _USER_FUNCTION.fullmatch(name):
        raise ValueError(
            f"use one of {', '.join(sorted([*LOSS_KEYS, 'mixture']))}, or a function "
            "package.module:name"
        )
    return name


def _known_term(name: str) -> str:
    return _known_loss(str(_loss_name(name)))


def _named_once(terms: Any) -> Any:
    if isinstance(terms, dict):
        names = [_loss_name(name) for name in terms]
        if len(set(names)) < len(names):
            raise ValueError(f"terms {terms} name a loss twice; give one weight each")
    return terms


def _own_streams(seeds: list[int]) -> list[int]:
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise ValueError(
            f"seeds {seeds} are not different numbers from 0: one network each"
        )
    return seeds


def _normalization(value: Any) -> Any:
    return "log_returns" if value == "log_return" else value


class CsInputConfig(Config):
    """What a network sees of a symbol."""

    sequence_length: int = Field(gt=1, description="bars in a window")
    normalization: Annotated[
        Literal["log_returns", "log_anchored", "returns", "zscore", "minmax", "none"],
        BeforeValidator(_normalization),
    ] = Field(description="how the bars of a window are made comparable")
    device_budget_mb: float | None = Field(
        gt=0,
        description="megabytes that the bars may take on the device; a larger panel is "
        "streamed through it; null = no limit",
    )


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

    type: Annotated[str, BeforeValidator(_loss_name), AfterValidator(_known_loss)] = (
        Field(description="loss over a whole cross-section; or package.module:function")
    )
    terms: Annotated[
        dict[Annotated[str, AfterValidator(_known_term)], float] | None,
        BeforeValidator(_named_once),
    ] = Field(
        description="mixture only: weight of each loss, which is divided by its value "
        "for equal scores"
    )
    pairs: Literal["tails", "all"] = Field(
        description="pairwise types: winners against losers, or every two names"
    )
    weighting: Literal["none", "difference"] = Field(
        description="pairwise types: weight of a pair; difference = of its targets"
    )
    top_pct: Share = Field(description="share of a bar's names that are winners")
    bottom_pct: Share = Field(description="share of a bar's names that are losers")
    max_pairs_per_timestamp: int | None = Field(
        gt=0, description="winner-loser pairs drawn per bar; null = all, exactly"
    )
    margin: float | None = Field(
        ge=0,
        description="pairwise types: score difference that a pair must exceed; null = 0 "
        "for pairwise, 1 for pairwise_hinge",
    )
    temperature: float | None = Field(
        gt=0,
        description="sharpness of listwise, spearman, approx_ndcg and neural_ndcg; lower "
        "is sharper; null = the loss's own (3, 0.5, 1 and 0.1)",
    )
    delta: float = Field(
        gt=0, description="huber: error at which the loss turns linear"
    )

    @model_validator(mode="after")
    def _terms_where_they_belong(self) -> Self:
        if (self.type == "mixture") != bool(self.terms):
            raise ValueError(
                f"type is {self.type} and terms is {self.terms}; a mixture, and nothing "
                "else, has terms such as {pairwise: 0.8, pointwise: 0.2}"
            )
        if self.terms and ("mixture" in self.terms or min(self.terms.values()) <= 0):
            raise ValueError(f"terms {self.terms}: weights are above 0, losses simple")
        return self

    def parameters(self) -> dict[str, Any]:
        """Collect the keyword arguments of the loss."""
        values = self.model_dump() | {"max_pairs": self.max_pairs_per_timestamp}
        if self.type != "mixture":
            return {name: values[name] for name in LOSS_KEYS.get(self.type, ())}
        terms = {_known_term(name): weight for name, weight in values["terms"].items()}
        keys = {key for term in terms for key in LOSS_KEYS.get(term, ())}
        return {"terms": terms} | {name: values[name] for name in sorted(keys)}


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
    bars_per_block: int | None = Field(
        gt=0,
        description="a step takes this many consecutive bars, which a tcn scores in one "
        "pass; null = timestamps_per_batch bars at random",
    )
    max_windows_per_pass: int | None = Field(
        gt=0,
        description="windows that go through the network at once; a larger step is cut "
        "into passes with the same gradient, in less memory; null = no limit",
    )


class CsNetworkConfig(Config):
    """The network that scores one window."""

    name: Literal[
        "linear", "mlp", "lstm", "gru", "alstm", "tcn", "transformer", "mixer",
        "stock_transformer", "cross_stock", "cnn1d", "nhits", "tft", "patchtst",
        "tab_transformer",
    ] = Field(description="kind of network")  # fmt: skip
    hidden: int = Field(gt=0, description="units of a hidden layer or recurrent state")
    layers: int = Field(gt=0, description="hidden layers")
    dropout: float = Field(ge=0, lt=1, description="share of hidden units dropped")
    heads: int = Field(gt=0, description="attention heads; they divide hidden")
    kernel_size: int = Field(
        gt=1, description="tcn, cnn1d: bars that one convolution sees"
    )
    market_tokens: int = Field(
        gt=0, description="cross_stock: summaries through which names see each other"
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.name in _RECURRENT and self.hidden > 128:
            raise ValueError(
                f"hidden is {self.hidden}; a {self.name} takes at most 128"
            )
        if self.name == "tcn" and self.kernel_size < 3:
            raise ValueError(
                f"kernel_size is {self.kernel_size}; a tcn needs 3 or more"
            )
        if self.name == "cnn1d" and self.kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size is {self.kernel_size}; a cnn1d needs an odd one"
            )
        if self.name in _ATTENTIVE and self.hidden % self.heads:
            raise ValueError(
                f"hidden is {self.hidden}; {self.name} needs a multiple of heads "
                f"({self.heads})"
            )
        return self


class CsTrainingConfig(Config):
    """How long and where to train."""

    epochs: int = Field(gt=0, description="passes over the training bars at most")
    learning_rate: float = Field(gt=0, description="step size of Adam")
    schedule: Literal["constant", "cosine", "plateau"] = Field(
        description="course of the step size: constant, a half cosine down to a tenth, "
        "or halved when validation stops improving"
    )
    warmup_share: float = Field(
        ge=0, lt=1, description="share of all steps over which the step size rises"
    )
    weight_decay: float = Field(ge=0, description="decoupled weight decay of Adam")
    patience: int = Field(
        gt=0, description="epochs without a better validation IC before stopping"
    )
    min_delta: float = Field(ge=0, description="rise of the IC that counts as better")
    gradient_clip: float = Field(gt=0, description="largest norm of a gradient")
    seeds: Annotated[list[int], AfterValidator(_own_streams)] = Field(
        min_length=1,
        description="one network each; scores are averaged as ranks within the bar",
    )
    device: Literal["cpu", "cuda", "auto"] = Field(description="where to train")
    threads: int = Field(
        gt=0, description="CPU threads; bits repeat for one number of threads only"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        description="arithmetic of the network; scores, loss and metrics are float32"
    )
    compile: bool = Field(
        description="torch.compile of the network; recurrent ones refuse it"
    )
    cuda_graph: bool = Field(
        description="record the whole step as one CUDA graph (GPU only)"
    )
    processes: int = Field(
        gt=0,
        description="processes that share each step's bars: one per GPU; 1 = this one",
    )


class CsMetricsConfig(Config):
    """What training reports of the validation block."""

    primary: Literal["spearman_ic"] = Field(description="metric that chooses the epoch")
    top_pct: Share = Field(description="share of names in the long tail of the spread")
    bottom_pct: Share = Field(description="share of names in the short tail")
    cost_bps_per_side: float = Field(
        ge=0, description="basis points of the traded notional, in the net spread"
    )


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

    @model_validator(mode="after")
    def _drawn_names_have_tails(self) -> Self:
        drawn = self.batching.symbols_per_timestamp
        needed = 2 / min(self.loss.top_pct, self.loss.bottom_pct)
        paired = self.loss.type in {"pairwise", "pairwise_hinge"}
        if drawn and paired and self.loss.pairs == "tails" and drawn < needed:
            raise ValueError(
                f"batching.symbols_per_timestamp is {drawn}: two winners and two losers "
                f"of a bar take {needed:.0f} names at these shares; draw more, raise "
                "loss.top_pct and bottom_pct, or use loss.pairs: all"
            )
        return self

    @model_validator(mode="after")
    def _options_go_together(self) -> Self:
        training, network = self.training, self.network.name
        if training.compile and network in _RECURRENT:
            raise ValueError(
                f"training.compile is true, and a {network} is recurrent: use compile: "
                "false, and cuda_graph: true where there is a GPU"
            )
        if not training.cuda_graph:
            return self
        clashes = {
            "compile: true, and one of them is enough": training.compile,
            f"device: {training.device}": training.device == "cpu",
            f"processes: {training.processes}": training.processes > 1,
            "batching.max_windows_per_pass": self.batching.max_windows_per_pass,
        }
        for option, is_set in clashes.items():
            if is_set:
                raise ValueError(f"training.cuda_graph does not go with {option}")
        return self

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
            device_budget_mb=self.input.device_budget_mb,
            processes=training.processes,
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
                schedule=training.schedule,
                warmup_share=training.warmup_share,
                precision=training.precision,
                compile=training.compile,
                cuda_graph=training.cuda_graph,
                max_windows_per_pass=batching.max_windows_per_pass,
                bars_per_block=batching.bars_per_block,
            ),
            seeds=tuple(training.seeds),
            min_symbols=batching.min_symbols_per_timestamp,
            top_pct=self.metrics.top_pct,
            bottom_pct=self.metrics.bottom_pct,
            cost_bps_per_side=self.metrics.cost_bps_per_side,
        )
