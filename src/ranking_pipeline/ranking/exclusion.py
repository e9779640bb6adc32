"""Exclusion: why a symbol is not ranked or not held."""

from __future__ import annotations

from typing import NamedTuple


class Exclusion(NamedTuple):
    """Why a symbol is left out: a code for programs and a sentence for people."""

    code: str
    sentence: str
