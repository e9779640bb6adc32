"""Parameters of the neural families."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.losses import canonical_loss, make_loss
from ranking_pipeline.models.standardise import ClippedConfig

_OF_CLASSES = "cross_entropy"
_WindowScale = Literal[
    "log_returns", "log_anchored", "returns", "zscore", "minmax", "none"
]
# Those under which a bar's channels do not depend on the other bars of its window.
_BAR_BY_BAR = ("scaled_levels", "log_returns", "none")


class EpochsConfig(Config):
    """Parameters of whatever is trained in epochs with early stopping."""

    hidden: int = Field(gt=0, description="units of a hidden layer or recurrent state")
    layers: int = Field(gt=0, description="hidden layers")
    epochs: int = Field(gt=0, description="passes over the training bars at most")
    patience: int = Field(
        gt=0, description="epochs without a better validation loss before stopping"
    )
    min_delta: float = Field(ge=0, description="fall of the loss that counts as better")
    device: Literal["cpu", "cuda", "auto"] = Field(description="where to train")


class AdamConfig(EpochsConfig):
    """Parameters of whatever is trained by Adam on batches of bars."""

    timestamps_per_batch: int = Field(gt=0, description="bars whose rows make one step")
    learning_rate: float = Field(gt=0, description="step size of Adam")
    weight_decay: float = Field(ge=0, description="decoupled weight decay of Adam")
    gradient_clip: float = Field(gt=0, description="largest norm of a gradient")


class NeuralConfig(AdamConfig):
    """Parameters that all neural families share."""

    dropout: float = Field(ge=0, lt=1, description="share of hidden units dropped")
    regression_loss: str = Field(
        description="loss of a regression, on a target of mean 0 and deviation 1: huber "
        "or mse, or for cross-sectional jobs a ranking loss such as pairwise, listwise "
        "or ic"
    )
    loss_parameters: dict[str, Any] = Field(
        description="what regression_loss takes, such as {temperature: 0.5} of "
        "listwise; {} = its own defaults"
    )

    @field_validator("regression_loss")
    @classmethod
    def _is_a_loss(cls, name: str) -> str:
        try:
            known = canonical_loss(name)
        except UserError as error:
            raise ValueError(str(error)) from None
        if known == _OF_CLASSES:
            raise ValueError(
                f"{name} is the loss of classes, which classes get by themselves; use "
                "one of scores, such as huber or pairwise"
            )
        return name

    @field_validator("loss_parameters")
    @classmethod
    def _fit_the_loss(
        cls, parameters: dict[str, Any], info: ValidationInfo
    ) -> dict[str, Any]:
        if "regression_loss" in info.data:
            try:
                make_loss(info.data["regression_loss"], **parameters)
            except (UserError, TypeError) as error:
                raise ValueError(str(error)) from None
        return parameters


def _divide_hidden(heads: int, info: ValidationInfo) -> int:
    hidden = info.data.get("hidden", heads)
    if hidden % heads:
        raise ValueError(f"hidden is {hidden}, which {heads} heads do not divide")
    return heads


Heads = Annotated[int, AfterValidator(_divide_hidden)]


class MlpConfig(ClippedConfig, NeuralConfig):
    """Parameters of the mlp family."""


class TabTransformerConfig(MlpConfig):
    """Parameters of the tab_transformer family."""

    heads: Heads = Field(gt=0, description="attention heads; they divide hidden")


class SequenceConfig(NeuralConfig):
    """Parameters of the families that read windows of bars."""

    sequence_length: int = Field(gt=1, description="bars in a window")
    normalization: Literal[_WindowScale, "scaled_levels"] = Field(
        description="how the bars of a window are made comparable; scaled_levels: the "
        "25 factors of the set daily25, of the bars that a symbol has"
    )


class ConvolutionConfig(SequenceConfig):
    """Parameters of the families of convolutions."""

    kernel_size: int = Field(
        ge=3, description="bars that one convolution reads (tcn: at most; cnn1d: odd)"
    )


class AttentionConfig(SequenceConfig):
    """Parameters of the families with attention."""

    heads: Heads = Field(gt=0, description="attention heads; they divide hidden")


class StockTransformerConfig(AttentionConfig):
    """Parameters of the stock_transformer family."""

    prediction_layers: int | None = Field(
        gt=0,
        description="layers of prediction attention, after `layers` of feature "
        "attention; null = as many",
    )
    max_missing_share: float = Field(
        ge=0,
        lt=1,
        description="share of a window's bars that may be missing and are then masked; "
        "never the last",
    )
    symbols_per_timestamp: int | None = Field(
        gt=1, description="symbols drawn from each bar in each epoch; null = all"
    )
    timestamps_per_epoch: int | None = Field(
        gt=0, description="bars drawn in each epoch; null = all"
    )
    max_validation_rows: int | None = Field(
        gt=0,
        description="beyond this many rows, early stopping looks at whole bars that are "
        "evenly spread; null = all",
    )

    @field_validator("max_missing_share")
    @classmethod
    def _has_bars_of_their_own(cls, share: float, info: ValidationInfo) -> float:
        known = info.data.get("normalization", _BAR_BY_BAR[0])
        if share > 0 and known not in _BAR_BY_BAR:
            raise ValueError(
                f"normalization {known} needs whole windows; use 0, or one of "
                + ", ".join(_BAR_BY_BAR)
            )
        return share


class PatchConfig(AttentionConfig):
    """Parameters of the patchtst family."""

    patch_length: int = Field(
        gt=0, description="bars of a patch, sequence_length at most"
    )
    patch_stride: int = Field(gt=0, description="bars from one patch to the next")

    @field_validator("patch_length")
    @classmethod
    def _fits_the_window(cls, length: int, info: ValidationInfo) -> int:
        window = info.data.get("sequence_length", length)
        if length > window:
            raise ValueError(f"a window has {window} bars, sequence_length")
        return length


class InterpolationConfig(SequenceConfig):
    """Parameters of the nhits family."""

    pooling: tuple[Annotated[int, Field(gt=0)], ...] = Field(
        min_length=1,
        description="one block each: bars that a place of its pooled window stands for",
    )
    horizon: int = Field(gt=0, description="bars of the forecast that the score reads")


class CrossStockConfig(AttentionConfig):
    """Parameters of the cross_stock family."""

    market_tokens: int = Field(
        gt=0, description="learned summaries through which names see each other"
    )


class TimesFmConfig(SequenceConfig):
    """Parameters of the timesfm family; hidden and layers are those of its head."""

    normalization: _WindowScale = Field(
        description="how the bars of a window are made comparable"
    )
    weights: str = Field(
        min_length=1,
        description="folder with a TimesFM checkpoint of the transformers package: "
        "config.json and safetensors files",
    )
