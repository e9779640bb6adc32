"""Wording: counts and faults of parameters as sentences for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_NUMBER, _WHOLE = "a number", "a whole number"
_YES_NO = "true or false"
_KEYS = "keys with values"
_WANTED = {
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "finite_number": "finite",
    "literal_error": "{expected}",
    "union_tag_invalid": "{expected_tags}",
    "string_type": "text",
    "string_too_short": "text of at least {min_length} letters",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "bool_type": _YES_NO,
    "bool_parsing": _YES_NO,
    "list_type": "a list",
    "tuple_type": "a list",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "dict_type": _KEYS,
    "mapping_type": _KEYS,
    "model_type": _KEYS,
    "none_required": "null",
}


def counted(number: int, noun: str) -> str:
    """Number and noun, as ``1 job`` and ``2,000 jobs``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def shortened(names: Sequence[str], most: int) -> str:
    """First names of a list, as ``A, B and 3 more``; empty for none."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def fault_key(fault: Mapping[str, Any]) -> str:
    """Dotted key of a value, without the branches of a choice between kinds."""
    parts = (str(part) for part in fault["loc"])
    return ".".join(part for part in parts if "[" not in part)


def fault_text(fault: Mapping[str, Any]) -> str:
    """What is wrong with one value, and what it must be.

    Parameters
    ----------
    fault : mapping
        One of the ``errors()`` of pydantic's ValidationError.
    """
    kind, value = fault["type"], fault["input"]
    if kind == "extra_forbidden":
        return "unknown key"
    if kind == "missing":
        return "missing"
    wanted = _WANTED.get(kind)
    if wanted is None:
        message = str(fault["msg"]).removeprefix("Value error, ")
        told = isinstance(value, Mapping) or message.startswith(str(value))
        return message if told else f"{value!r}: {message}"
    return f"{value!r} given, must be {wanted.format(**fault.get('ctx', {}))}"
