"""Search space: the values that each tuned parameter of a family may take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Scalar = bool | int | float | str | None


class FloatRange(Config):
    """Numbers between two ends, both included."""

    kind: Literal["float"]
    low: float = Field(description="smallest value")
    high: float = Field(description="largest value")
    log: bool = Field(False, description="equal ratios are equally likely")
    step: float | None = Field(
        None, gt=0, description="distance of the values; absent = any value"
    )

    @model_validator(mode="after")
    def _ends(self) -> Self:
        _check_ends(self.low, self.high, self.log)
        if self.step is not None:
            if self.log:
                raise ValueError("step and log exclude each other; take one out")
            _check_steps(self.low, self.high, self.step)
        return self

    def holds(self, value: Any) -> bool:
        """Tell whether the space has a value."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        inside = self.low <= value <= self.high
        return inside and (self.step is None or _on_grid(value - self.low, self.step))

    def ends(self) -> tuple[Scalar, ...]:
        """Give the values that a family must accept for it to accept them all."""
        return self.low, self.high

    def distribution(self) -> BaseDistribution:
        """Give it as Optuna knows it."""
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)


class IntRange(Config):
    """Whole numbers between two ends, both included."""

    kind: Literal["int"]
    low: int = Field(description="smallest value")
    high: int = Field(description="largest value")
    log: bool = Field(False, description="equal ratios are equally likely")
    step: int = Field(1, gt=0, description="distance of the values; 1 with log")

    @model_validator(mode="after")
    def _ends(self) -> Self:
        _check_ends(self.low, self.high, self.log)
        if self.log and self.step != 1:
            raise ValueError("step and log exclude each other; take one out")
        _check_steps(self.low, self.high, self.step)
        return self

    def holds(self, value: Any) -> bool:
        """Tell whether the space has a value."""
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        return self.low <= value <= self.high and (value - self.low) % self.step == 0

    def ends(self) -> tuple[Scalar, ...]:
        """Give the values that a family must accept for it to accept them all."""
        return self.low, self.high

    def distribution(self) -> BaseDistribution:
        """Give it as Optuna knows it."""
        from optuna.distributions import IntDistribution

        return IntDistribution(self.low, self.high, log=self.log, step=self.step)


class Choice(Config):
    """One of a few values without an order."""

    kind: Literal["categorical"]
    choices: tuple[Scalar, ...] = Field(min_length=2, description="the values")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(map(repr, self.choices))) < len(self.choices):
            raise ValueError(f"choices {list(self.choices)} name a value twice")
        return self

    def holds(self, value: Any) -> bool:
        """Tell whether the space has a value."""
        return value in self.choices

    def ends(self) -> tuple[Scalar, ...]:
        """Give the values that a family must accept for it to accept them all."""
        return self.choices

    def distribution(self) -> BaseDistribution:
        """Give it as Optuna knows it."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.choices)


Dimension = Annotated[FloatRange | IntRange | Choice, Field(discriminator="kind")]
Space = Mapping[str, Dimension]


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Give a space as Optuna knows it, in the order of the names."""
    return {name: space[name].distribution() for name in sorted(space)}


def check_space(family: str, space: Space, block: Mapping[str, Any]) -> None:
    """Refuse a space that does not fit its family, naming all faults at once.

    Parameters
    ----------
    family : str
    space : mapping of parameter to dimension
    block : mapping
        The family's parameter block; its values are the first trial, so that the space
        must have them.

    Raises
    ------
    UserError
        When a parameter is none of the family's, the block's value is not in the space,
        or the family refuses an end of a range or a choice.
    """
    known = registry.family_type(family).config_type.model_fields
    faults = [] if space else ["it is empty"]
    for name, dimension in sorted(space.items()):
        if name not in known or name not in block:
            faults.append(f"{name} is no parameter; there are {', '.join(known)}")
            continue
        if not dimension.holds(block[name]):
            faults.append(
                f"{name} does not hold {block[name]!r}, the value of "
                f"model_training.parameters.{family}.{name}, which is tried first; "
                "widen it"
            )
        faults += _refused(family, block, name, dimension)
    if faults:
        where = f"tuning.spaces.{family}"
        raise UserError("\n".join(f"{where}: {fault}" for fault in faults))


def _refused(
    family: str, block: Mapping[str, Any], name: str, dimension: Dimension
) -> list[str]:
    faults = []
    for value in dimension.ends():
        try:
            registry.validate(family, {**block, name: value})
        except UserError as error:
            told = str(error).partition("\n")[2].partition("\nValid keys")[0]
            faults.append(f"{name} = {value!r} is refused: {told.strip()}")
    return faults


def _check_ends(low: float, high: float, log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"low {low} and high {high} must be finite")
    if low >= high:
        raise ValueError(f"low {low} must be below high {high}")
    if log and low <= 0:
        raise ValueError(f"low {low} must be above 0 with log")


def _check_steps(low: float, high: float, step: float) -> None:
    if not _on_grid(high - low, step):
        raise ValueError(
            f"high {high} is no whole number of steps of {step} above low {low}"
        )


def _on_grid(distance: float, step: float) -> bool:
    # 0.3 / 0.1 is 2.9999999999999996 in floating point
    return math.isclose(distance / step, round(distance / step), abs_tol=1e-9)
