"""Checks of the prediction: the portfolio of a month knows the bars before it alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.audit.check import Check, check_of
from ranking_pipeline.audit.cuts import Cut
from ranking_pipeline.audit.learned import World, fitted_on_train, model_scores
from ranking_pipeline.audit.lookahead import audit_function
from ranking_pipeline.audit.month_world import MonthWorld, Values, coded
from ranking_pipeline.errors import UserError
from ranking_pipeline.models.base import BaseModel
from ranking_pipeline.panel import IntArray, Panel
from ranking_pipeline.portfolio import predicted_months
from ranking_pipeline.portfolio.predicted_months import Predicted, predict_months
from ranking_pipeline.portfolio.prediction_config import PredictionConfig
from ranking_pipeline.portfolio.prediction_tables import batch_table
from ranking_pipeline.portfolio.selection import Scorer
from ranking_pipeline.portfolio.served_model import ServedModel
from ranking_pipeline.storage import TableHandle

CHECK = "portfolios ignore the future"
METHODS = ("volatility_scaled", "score_softmax")
COVERAGE_BARS, ESTIMATION_BARS, TOP_N = 20, 20, 3
HELD = ("weight", "rank", "score", "composite score")
COLUMNS = tuple(f"{name}, {how}" for how in METHODS for name in (*HELD, "why not"))


@dataclass(frozen=True)
class TrainedModel:
    """A model of the audit in the place of a promoted one.

    It claims to be informed of nothing, so that no month is refused: what a refusal
    rests on is a date, and what is compared here is the way from bars to weights.
    """

    world: World
    family: str
    alias: str = "audit"
    version: str = ""

    @property
    def record(self) -> Mapping[str, Any]:
        """What a promotion writes down."""
        return {}

    @property
    def label(self) -> str:
        """Its family."""
        return self.family

    @property
    def target(self) -> str:
        """What its scores rank."""
        return self.world.spec.name

    @property
    def informed_until(self) -> np.datetime64 | None:
        """The bar before the slice."""
        before: np.datetime64 = self.world.panel.timestamps[0] - np.timedelta64(1, "D")
        return before

    @cached_property
    def fitted(self) -> BaseModel:
        """The model, fitted on the train rows of the panel as it is."""
        return fitted_on_train(self.world, self.family)

    def scores(
        self,
        panel: Panel,
        features: TableHandle | None,
        bars: IntArray,
        threads: int = 1,
    ) -> npt.NDArray[np.float64]:
        """Scores (n, S) at some bars, from factors of the whole panel given."""
        every = model_scores(self.world, {self.family: self.fitted}, panel)
        return np.asarray(every[:, bars, 0].T, dtype=np.float64)


def prediction_config(method: str, months: Sequence[str]) -> PredictionConfig:
    """Both legs of every month, weighed by a method."""
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
            "estimation_bars": ESTIMATION_BARS,
            "sector_neutral": False,
            "max_weight": None,
        },
        "live": {"tail_share": 0.25, "min_universe": 2},
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
    """

    months: MonthWorld
    model: ServedModel | None

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
        COLUMNS,
        seed=seed,
        modes_at_a_cut=modes_at_a_cut,
    )
    table = world.table(panel, METHODS[0])
    scorer = world.model.label if world.model else "the composite score"
    what = (
        f"prediction with {scorer}: {table['month'].nunique()} months, "
        f"{len(table)} holdings, {len(METHODS)} weightings"
    )
    return [check_of(CHECK, what, result)]


def portfolio_cells(world: PortfolioWorld, panel: Panel) -> Values:
    """Holdings, and why names are not among them, as cells (S, T, columns)."""
    chosen = world.months.selected(panel).candidates
    parts = []
    for method in METHODS:
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
