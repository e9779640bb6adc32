"""Setting: where a training plan will be carried out, and by which families."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ranking_pipeline.models import registry
from ranking_pipeline.panel import Panel
from ranking_pipeline.routing.estimates import Market
from ranking_pipeline.routing.walk_forward import PlannedWindow, TimeAxis
from ranking_pipeline.routing.window_rows import TradableBars
from ranking_pipeline.splits import Splits
from ranking_pipeline.training.config import PlannedTraining


@dataclass(frozen=True)
class Setting:
    """Where the plan will be carried out.

    Attributes
    ----------
    axis : TimeAxis
        Bars and splits, which the windows are cut from.
    market : Market
        Size of the stored tables.
    tasks : mapping of target to task
    training : PlannedTraining
        Families, their parameters, seeds and the walk-forward.
    tradable : TradableBars, optional
        Tells windows that cannot have enough rows; without it all are planned.
    """

    axis: TimeAxis
    market: Market
    tasks: Mapping[str, str]
    training: PlannedTraining
    tradable: TradableBars | None = None

    @classmethod
    def of(
        cls,
        panel: Panel,
        splits: Mapping[str, Any],
        target_manifest: pd.DataFrame,
        training: PlannedTraining,
    ) -> Setting:
        """Take it from what a pipeline has at hand."""
        axis = TimeAxis.of(panel, Splits.from_dict(splits))
        names, kinds = (target_manifest[name] for name in ("target", "task"))
        tasks = dict(zip(map(str, names), map(str, kinds), strict=True))
        classes = frozenset(name for name in tasks if tasks[name] == "three_class")
        market = Market(int(panel.tradable.sum()), classes)
        return cls(axis, market, tasks, training, TradableBars.of(panel))

    def most_rows(self, symbol: str | None, window: PlannedWindow) -> int | None:
        """Rows that a model can fit at most; None where that is not known."""
        if self.tradable is None or not window.number:
            return None
        share = self.training.walk_forward.validation_share
        embargo = self.axis.splits.embargo_bars
        return self.tradable.most_rows(window.bars, share, embargo, symbol)

    def families(self, target: str, own: bool) -> tuple[str, ...]:
        """Families for a target: those enabled that can learn its task; may be empty."""
        task = self.tasks[target]
        return tuple(
            name for name in self._enabled(own) if task in registry.listing(name).tasks
        )

    def unable(self, target: str, own: bool) -> tuple[str, ...]:
        """Enabled families that cannot learn the task of a target."""
        able = self.families(target, own)
        return tuple(name for name in self._enabled(own) if name not in able)

    def _enabled(self, own: bool) -> dict[str, None]:
        names = self.training.symbol_families if own else self.training.families
        return dict.fromkeys(registry.canonical(name) for name in names)
