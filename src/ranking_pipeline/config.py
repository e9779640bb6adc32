"""The base of every typed parameter model: frozen, and closed to unknown keys."""

from pydantic import BaseModel, ConfigDict, Field


class Config(BaseModel):
    """One section of the parameters.

    Subclasses declare no defaults: defaults live in ``conf/base`` alone, so that there is
    one place to look. Units are part of the field's name (``horizon_bars``, ``cost_bps``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


class RunConfig(Config):
    """What all stages share."""

    seed: int = Field(ge=0, description="fixes every random choice of a run")
