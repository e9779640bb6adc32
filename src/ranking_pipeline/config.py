"""The base of every typed parameter model: frozen, and closed to unknown keys."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def text_format(pattern: str, words: str) -> AfterValidator:
    """Make the check of a text by a pattern, which a message tells in words."""

    def check(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(f"must be {words}")
        return text

    return AfterValidator(check)


ALIAS_PATTERN = "[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
Alias = Annotated[
    str,
    text_format(
        ALIAS_PATTERN,
        "letters, digits, - and _, at most 64 and no - or _ first, such as prod-2019",
    ),
]


def split_list(value: Any) -> Any:
    """Read ``'A;B'``, a list as the command line writes it; all else stays as it is.

    A single number is a list of one: the command line has no other way to write it.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [value]
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(";") if part.strip()]


def _has_bool(value: Any) -> bool:
    parts = value if isinstance(value, list | tuple) else [value]
    return any(isinstance(part, bool) for part in parts)


def _takes_numbers(annotation: Any) -> bool:
    """Whether an annotation names a kind of number, and bool nowhere."""
    kinds = _kinds(annotation)
    return bool(kinds & {int, float}) and bool not in kinds


def _kinds(annotation: Any) -> set[Any]:
    """Types of which an annotation consists, those of its parts included."""
    parts = [] if get_origin(annotation) is Literal else get_args(annotation)
    return {annotation}.union(*map(_kinds, parts)) if parts else {annotation}


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

    @model_validator(mode="before")
    @classmethod
    def _no_number_from_a_bool(cls, values: Any) -> Any:
        """Refuse true and false where numbers are meant; pydantic takes them as 1, 0."""
        given = values if isinstance(values, Mapping) else {}
        faults = [
            f"{name}: {given[name]!r} given, but true and false are no numbers"
            for name, field in cls.model_fields.items()
            if _has_bool(given.get(name)) and _takes_numbers(field.annotation)
        ]
        if faults:
            raise ValueError("; ".join(faults))
        return values

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
