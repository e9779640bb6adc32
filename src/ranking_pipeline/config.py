"""The base of every typed parameter model: frozen, and closed to unknown keys."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, Self, get_origin

from pydantic import BaseModel, ConfigDict, Field, model_validator


def split_list(value: Any) -> Any:
    """Read ``'A;B'``, a list as the command line writes it; all else stays as it is.

    A single number is a list of one: the command line has no other way to write it.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [value]
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(";") if part.strip()]


class Config(BaseModel):
    """One section of the parameters.

    Subclasses declare no defaults: defaults live in ``conf/base`` alone, so that there is
    one place to look. Units are part of the field's name (``horizon_bars``, ``cost_bps``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _read_lists(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        lists = {
            name
            for name, field in cls.model_fields.items()
            if get_origin(field.annotation) in (list, tuple)
        }
        return {
            name: split_list(value) if name in lists else value
            for name, value in values.items()
        }

    @model_validator(mode="after")
    def _list_once(self) -> Self:
        """Refuse a name that a list holds twice: nothing is done twice for it."""
        for field in type(self).model_fields:
            value = getattr(self, field)
            if isinstance(value, list | tuple):
                counts = Counter(name for name in value if isinstance(name, str))
                twice = [name for name, count in counts.items() if count > 1]
                if twice:
                    told = ", ".join(map(repr, twice))
                    raise ValueError(f"{field}: {told} is listed twice")
        return self


class RunConfig(Config):
    """What all stages share."""

    seed: int = Field(ge=0, description="fixes every random choice of a run")
    input_mode: Literal["features", "raw_sequence"] = Field(
        description="raw_sequence refuses pipelines that rank targets or select factors: "
        "only windows of bars are learned from"
    )


def is_cs_ranking_enabled(parameters: Mapping[str, Any]) -> bool:
    """Whether merged parameters train the cross-sectional ranking network."""
    return bool(parameters["cs_ranking"]["enabled"])
