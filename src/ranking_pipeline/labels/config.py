"""Parameters of the targets."""

from typing import Self

from pydantic import Field, model_validator

from ranking_pipeline.config import Config


class LabelsConfig(Config):
    """Which targets are computed, and how."""

    targets: list[str] = Field(
        min_length=1,
        description="names in the target grammar, such as fwd_ret_5d or label_h5",
    )
    entry_lag_bars: int = Field(
        ge=0,
        description="bars between the decision at t and the entry at close[t + lag]",
    )
    cross_sessions: bool = Field(
        description="whether a label's window may run over the close of a session into "
        "the next one; false: such labels are missing"
    )
    delistings: str | None = Field(
        description="CSV file symbol, date, return: what holders of names that ended "
        "got, for forward returns over the end; null = such labels are missing"
    )
    path_volatility_bars: int = Field(
        gt=1,
        description="bars of the standard deviation that scales path barriers and "
        "swings",
    )
    barrier_volatility_span_bars: int = Field(
        gt=1,
        description="span, and window length in bars, of the exponentially weighted "
        "volatility that scales the triple barriers",
    )
    barrier_volatility_min_bars: int = Field(
        gt=1,
        description="valid returns that this volatility needs; fewer give no label",
    )
    barrier_multiple: float = Field(
        gt=0,
        description="distance of the triple barriers in units of "
        "volatility x sqrt(horizon in bars)",
    )

    @model_validator(mode="after")
    def _window_can_be_filled(self) -> Self:
        least, span = (
            self.barrier_volatility_min_bars,
            self.barrier_volatility_span_bars,
        )
        if least > span:
            raise ValueError(
                f"barrier_volatility_min_bars {least} exceeds "
                f"barrier_volatility_span_bars {span}: no label could be computed"
            )
        return self
