"""Tasks: what a model can learn, and the classes of those that have some."""

from __future__ import annotations

from collections.abc import Mapping

CLASSES: Mapping[str, tuple[int, ...]] = {"binary": (0, 1), "three_class": (-1, 0, 1)}
TASKS = frozenset({"regression", *CLASSES})
