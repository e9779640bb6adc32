"""Parameters of the neural families."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.losses import canonical_loss, make_loss

_OF_CLASSES = "cross_entropy"


class NeuralConfig(Config):
    """Parameters that all neural families share."""

    hidden: int = Field(gt=0, description="units of a hidden layer or recurrent state")
    layers: int = Field(gt=0, description="hidden layers")
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
    epochs: int = Field(gt=0, description="passes over the training bars at most")
    timestamps_per_batch: int = Field(gt=0, description="bars whose rows make one step")
    learning_rate: float = Field(gt=0, description="step size of Adam")
    weight_decay: float = Field(ge=0, description="decoupled weight decay of Adam")
    gradient_clip: float = Field(gt=0, description="largest norm of a gradient")
    patience: int = Field(
        gt=0, description="epochs without a better validation loss before stopping"
    )
    min_delta: float = Field(ge=0, description="fall of the loss that counts as better")
    device: Literal["cpu", "cuda", "auto"] = Field(description="where to train")

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


class MlpConfig(NeuralConfig):
    """Parameters of the mlp family."""

    clip_sigma: float = Field(
        gt=0, description="standardised factors are clipped at this many deviations"
    )


class SequenceConfig(NeuralConfig):
    """Parameters of the families that read windows of bars."""

    sequence_length: int = Field(gt=1, description="bars in a window")
    normalization: Literal[
        "log_returns", "log_anchored", "returns", "zscore", "minmax", "none"
    ] = Field(description="how the bars of a window are made comparable")


class ConvolutionConfig(SequenceConfig):
    """Parameters of the tcn family."""

    kernel_size: int = Field(
        ge=3, description="bars that one convolution reads at most"
    )


class AttentionConfig(SequenceConfig):
    """Parameters of the families with attention."""

    heads: int = Field(gt=0, description="attention heads; they divide hidden")

    @field_validator("heads")
    @classmethod
    def _divide_hidden(cls, heads: int, info: ValidationInfo) -> int:
        hidden = info.data.get("hidden", heads)
        if hidden % heads:
            raise ValueError(f"hidden is {hidden}, which {heads} heads do not divide")
        return heads


class CrossStockConfig(AttentionConfig):
    """Parameters of the cross_stock family."""

    market_tokens: int = Field(
        gt=0, description="learned summaries through which names see each other"
    )
