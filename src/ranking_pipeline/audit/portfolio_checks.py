"""Checks of the prediction: the portfolio of a month knows the bars before it alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.audit.check import Check, check_of
from ranking_pipeline.audit.cuts import Cut
from ranking_pipeline.audit.lookahead import audit_function
from ranking_pipeline.audit.month_world import MonthWorld, Values, coded
from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import Panel
from ranking_pipeline.portfolio import predicted_months
from ranking_pipeline.portfolio.predicted_months import Predicted, predict_months
from ranking_pipeline.portfolio.prediction_config import OPTIMISED, PredictionConfig
from ranking_pipeline.portfolio.prediction_tables import batch_table
from ranking_pipeline.portfolio.selection import Scorer
from ranking_pipeline.portfolio.served_model import ServedModel

CHECK = "portfolios ignore the future"
METHODS = ("volatility_scaled", "score_softmax")
COVERAGE_BARS, ESTIMATION_BARS, TOP_N = 20, 20, 3
OPTIMISER_BARS = 60  # an optimiser asks for thirty complete ones
HELD = ("weight", "rank", "score", "composite score")


def prediction_config(method: str, months: Sequence[str]) -> PredictionConfig:
    """Both legs of every month, weighed by a method."""
    bars = OPTIMISER_BARS if method in OPTIMISED else ESTIMATION_BARS
    values: dict[str, Any] = {
        "model_alias": "audit",
        "version": None,
        "sector": ("all",),
        "year": None,
        "month": None,
        "first_month": min(months),
        "last_month": max(months),
        "candidate_type": "both",
        "top_n": TOP_N,
        "min_valid_stocks": 1,
        "min_data_coverage": 0.9,
        "sequence_length": COVERAGE_BARS,
        "per_sector": False,
        "weighting": {
            "method": method,
            "temperature": 1.0,
            "risk_aversion": 5.0,
            "estimation_bars": bars,
            "sector_neutral": False,
            "max_weight": None,
        },
        "live": {"tail_share": 0.25, "min_universe": 2},
        "score_band": None,
        "fallback": "none",
        "threads": 1,
        "save": False,
    }
    return PredictionConfig.model_validate(values)


@dataclass(frozen=True)
class PortfolioWorld:
    """The months of a panel, and the model whose scores fill them.

    Attributes
    ----------
    months : MonthWorld
    model : ServedModel or None
        None: the composite score takes its place.
    methods : tuple of str
        Weightings that are compared.
    """

    months: MonthWorld
    model: ServedModel | None
    methods: tuple[str, ...] = METHODS

    @property
    def columns(self) -> tuple[str, ...]:
        """What is compared, by weighting."""
        told = (*HELD, "why not")
        return tuple(f"{name}, {how}" for how in self.methods for name in told)

    def predicted(self, panel: Panel, method: str) -> Predicted:
        """Predict every month of a panel or of another future of it."""
        chosen = self.months.selected(panel).candidates
        return self.of_candidates(chosen, panel, method)

    def of_candidates(
        self, candidates: pd.DataFrame, panel: Panel, method: str
    ) -> Predicted:
        """Predict the months of a table; nothing where no month can be predicted."""
        how = prediction_config(method, candidates["month"].astype(str).tolist())
        with _quietly():
            try:
                return predict_months(candidates, panel, None, self.model, how)
            except UserError:  # no month of this future has a portfolio
                return Predicted((), pd.DataFrame())

    def table(self, panel: Panel, method: str) -> pd.DataFrame:
        """The table ``batch_predictions``."""
        made = self.predicted(panel, method)
        return batch_table(made.selections, Scorer("algorithmic_only"))


@contextmanager
def _quietly() -> Iterator[None]:
    """Months that fail on a future that never was are nobody's concern."""
    log, before = predicted_months.log, predicted_months.log.disabled
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = before


def portfolio_checks(
    world: PortfolioWorld,
    cuts: Sequence[Cut],
    modes: Sequence[str],
    modes_at_a_cut: int,
    seed: int,
) -> list[Check]:
    """Check candidates, scores, coverage and weights of the months up to a cut."""
    panel = world.months.panel
    result = audit_function(
        partial(portfolio_cells, world),
        panel,
        cuts,
        modes,
        world.columns,
        seed=seed,
        modes_at_a_cut=modes_at_a_cut,
    )
    table = world.table(panel, world.methods[0])
    scorer = world.model.label if world.model else "the composite score"
    what = (
        f"prediction with {scorer}: {table['month'].nunique()} months, "
        f"{len(table)} holdings, weights by {', '.join(world.methods)}"
    )
    return [check_of(CHECK, what, result)]


def portfolio_cells(world: PortfolioWorld, panel: Panel) -> Values:
    """Holdings, and why names are not among them, as cells (S, T, columns)."""
    chosen = world.months.selected(panel).candidates
    parts = []
    for method in world.methods:
        made = world.of_candidates(chosen, panel, method)
        held = batch_table(made.selections, Scorer("algorithmic_only"))
        columns = dict(
            zip(
                HELD,
                held[["weight", "rank", "score", "composite_score"]]
                .to_numpy(dtype=np.float64)
                .T,
                strict=True,
            )
        )
        left_out = pd.DataFrame(
            [
                (one.month, name, f"{why.code}: {why.sentence}")
                for one in made.selections
                for name, why in one.excluded.items()
            ],
            columns=["month", "symbol", "why"],
        )
        reasons = {"why not": coded(left_out["why"])}
        parts += [
            world.months.cells(panel, held, columns),
            world.months.cells(panel, left_out, reasons),
        ]
    return np.concatenate(parts, axis=-1)
