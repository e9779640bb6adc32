"""portfolio: what the month-by-month job earns on real bars, net of costs.

Sector candidates of the S&P 500 with the members and sectors of each date, scored by the
sector transformer, ten names a leg, for the months of 2018 and 2019. The model of a year
has seen no bar of it: it is fitted on labels that end before July of the year before, and
stops early on those of the half-year after. Nothing here was chosen on these two years.

Beside it, on the same months, with the same costs and as many names: the composite of the
candidate selection alone, the reversal of 5 days over all members, random draws among the
candidates, and equal weights in every sector.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml

from benchmarks.harness import PROJECT, REAL_DATA, Row, kedro_run, private_conf
from benchmarks.quality_market import COST_BPS, SP500, Market, load
from ranking_pipeline.evaluation.baselines import baseline_scores
from ranking_pipeline.evaluation.inference import paired_comparison
from ranking_pipeline.models import registry
from ranking_pipeline.models.assemble import assemble
from ranking_pipeline.models.samples import Samples, thin
from ranking_pipeline.panel import IntArray, Panel
from ranking_pipeline.portfolio.backtest import (
    BookPath,
    Rules,
    book_statistics,
    market_return,
    panel_settlement,
    run_book,
)
from ranking_pipeline.portfolio.predicted_months import predict_months
from ranking_pipeline.portfolio.prediction_config import PredictionConfig
from ranking_pipeline.portfolio.returns import holder_returns
from ranking_pipeline.row_ranks import percentile_ranks
from ranking_pipeline.storage import TableHandle, read_table

Matrix = npt.NDArray[np.float64]
FAMILY, TARGET, MAX_ROWS = "stock_transformer", "fwd_ret_20d", 100_000
YEARS = (2018, 2019)
MONTHS = ("2018-01", "2019-12")
MONTH_BARS, YEAR_BARS = 21, 252
LONG_AGO = np.datetime64("1970-01-01", "ns")
DRAWS = 200


def run(rounds: int | None) -> list[Row]:
    """Measure the job with the mean rank of ``rounds`` seeds (3 by default)."""
    if not SP500.exists():
        raise SystemExit("portfolio needs the S&P 500 bars in shared/data")
    with tempfile.TemporaryDirectory() as folder:
        conf = private_conf(Path(folder))
        kedro_run(conf, "--pipelines=data_preparation,candidate_selection", _bars())
        data = Path(folder) / "data"
        market = load(data)
        candidates = read_table(_newest(data, "sector_candidates.parquet"))
    scores = [_refitted(market, seed) for seed in range(rounds or 3)]
    study = _Study(market, candidates)
    rows = [*study.rows(scores)]
    shown = pd.DataFrame(rows).drop(columns="unit")
    with pd.option_context("display.width", 320, "display.max_rows", None):
        print(shown.to_string(index=False, float_format="%.3f"), flush=True)
    return rows


def _bars() -> str:
    return (
        f"--params=data.source={SP500},data.timezone=America/New_York,"
        f"data.sectors={REAL_DATA / 'sp500_sectors_2020.csv'},"
        f"data.universe={REAL_DATA / 'sp500_membership_spells.csv'},data.calendar=XNYS,"
        f"data.features.factors=ret_5,data.labels.targets=fwd_ret_1d;{TARGET},"
        f"candidate_selection.first_month={MONTHS[0]},"
        f"candidate_selection.last_month={MONTHS[1]}"
    )


def _newest(data: Path, name: str) -> Path:
    return max(path for path in data.rglob(name) if path.is_file())


# -- the model --


def _refitted(market: Market, seed: int) -> Matrix:
    """Scores (T, S): those of a year are from the model that ends before it."""
    rows = assemble(
        market.panel, market.features, market.labels, TARGET, "regression", ()
    )
    scores = np.full(market.panel.tradable.T.shape, np.nan)
    for year in YEARS:
        model = _fitted(market, rows, year, seed)
        bars = _asof_bars(market.panel, year)
        scored = rows.take(np.isin(rows.bars, bars))
        scores[scored.bars, scored.symbols] = model.predict(scored).score
    return scores


def _fitted(market: Market, rows: Samples, year: int, seed: int) -> Any:
    dates = market.panel.trading_dates
    stop = int(np.searchsorted(dates, np.datetime64(f"{year - 1}-07-01")))
    end = int(np.searchsorted(dates, np.datetime64(f"{year}-01-01")))
    train = rows.take((rows.label_end >= 0) & (rows.label_end < stop)).labelled()
    held = (rows.bars >= stop) & (rows.label_end >= 0) & (rows.label_end < end - 1)
    blocks = yaml.safe_load(
        (PROJECT / "conf/base/parameters_model_training.yml").read_text("utf-8")
    )["model_training"]["parameters"]
    model = registry.create(FAMILY, blocks[FAMILY], seed, 1)
    model.fit(thin(train, MAX_ROWS), rows.take(held).labelled())
    return model


def _asof_bars(panel: Panel, year: int) -> IntArray:
    """Last bar before each month of a year."""
    firsts = np.arange(f"{year}-01", f"{year + 1}-01", dtype="M8[M]").astype("M8[D]")
    return np.searchsorted(panel.trading_dates, firsts) - 1


@dataclass(frozen=True)
class _Given:
    """Scores that were made before, as the prediction asks a promoted model for them."""

    matrix: Matrix
    alias: str = "benchmark"
    version: str = ""
    label: str = FAMILY
    target: str = TARGET
    informed_until: np.datetime64 = LONG_AGO

    @property
    def record(self) -> Mapping[str, Any]:
        return {}

    def scores(
        self,
        panel: Panel,
        features: TableHandle | None,
        bars: IntArray,
        threads: int = 1,
    ) -> Matrix:
        return self.matrix[bars]


# -- the books --


class _Study:
    """Books of the same months, costs and sizes, side by side."""

    def __init__(self, market: Market, candidates: pd.DataFrame) -> None:
        self.panel, self.candidates = market.panel, candidates
        self.returns = holder_returns(market.panel)
        members = np.where(market.panel.tradable.T, self.returns, np.nan)
        self.market = market_return(members)
        self.ends = panel_settlement(market.panel, self.returns)
        self.first = int(_asof_bars(market.panel, YEARS[0])[0]) + 1
        year_end = np.datetime64(f"{YEARS[-1] + 1}-01-01")
        self.end = int(np.searchsorted(market.panel.trading_dates, year_end))

    def rows(self, scores: Sequence[Matrix]) -> Iterator[Row]:
        mean = _mean_ranks(self.panel, scores)
        composite = self._composite()
        reversal = baseline_scores(self.panel, seed=0)["reversal_5"]
        books = {
            "model on candidates": self._picked(mean),
            "composite alone": self._picked(composite),
            "reversal 5, all members": self._tails(reversal),
        }
        for number, one in enumerate(scores):
            books[f"model, seed {number}"] = self._picked(one)
        for legs in ("long", "both"):
            nets = {name: self._net(targets, legs) for name, targets in books.items()}
            rivals = [name for name in books if not name.startswith("model")]
            if legs == "long":
                nets["equal weight in every sector"] = self._net(self._sectors(), legs)
                rivals.append("equal weight in every sector")
            own = nets["model on candidates"]
            for name, path in nets.items():
                yield self._row(name, legs, path, own, name in rivals)
            yield self._luck(legs, own)

    def _net(self, targets: Matrix, legs: Any) -> BookPath:
        rules = Rules(
            horizon_bars=1,
            lag_bars=1,
            cost_bps_per_side=COST_BPS,
            borrow_bps_per_year=0.0,
            rebalance_bars=1,
            exit_at_end=True,
            capital_base="leg",
            legs=legs,
        )
        bars = slice(self.first - 1, self.end)
        return run_book(
            targets[bars],
            self.returns[bars],
            rules,
            last_bar=self.ends.last_bar - bars.start,
        )

    def _row(
        self, name: str, legs: str, path: BookPath, own: BookPath, rival: bool
    ) -> Row:
        bars = slice(self.first - 1, self.end)
        found = book_statistics(
            path,
            self.market[bars],
            periods_per_year=YEAR_BARS,
            block_bars=MONTH_BARS,
            n_trials=1,
        )
        row: Row = {
            "case": f"{legs}: {name}",
            "unit": "percent a year",
            "net": 100 * found.annual_return,
            "net_t": found.net_test.t,
            "gross": 100 * found.gross_per_bar * YEAR_BARS,
            "cost": 100 * found.cost_per_bar * YEAR_BARS,
            "turnover": found.turnover_per_year,
            "sharpe": found.sharpe,
            "drawdown": 100 * found.max_drawdown,
            "beta": found.market.beta,
        }
        if rival:
            against = paired_comparison(own.net, path.net, MONTH_BARS, seed=0)
            year = 100 * YEAR_BARS
            row |= {
                "model_minus_it": year * against.test.mean,
                "from": year * against.bootstrap_low,
                "to": year * against.bootstrap_high,
                "detectable": year * against.minimum_detectable_effect,
            }
        return row

    def _luck(self, legs: str, own: BookPath) -> Row:
        """Random draws of as many candidates: the share that earns less."""
        earned = np.array(
            [
                np.nanmean(self._net(self._picked(draw), legs).net)
                for draw in map(self._random, range(DRAWS))
            ]
        )
        return {
            "case": f"{legs}: {DRAWS} random draws among the candidates, median",
            "unit": "percent a year",
            "net": 100 * YEAR_BARS * float(np.median(earned)),
            "share_below_model": float((earned < np.nanmean(own.net)).mean()),
        }

    # -- targets (T, S): a row of NaN is no trade --

    def _picked(self, scores: Matrix) -> Matrix:
        """Ten names a leg among the candidates of all sectors."""
        found = predict_months(
            self.candidates, self.panel, None, _Given(scores), _how()
        )
        targets = np.full(scores.shape, np.nan)
        for one in found.selections:
            stamp = np.array([one.timestamp], "M8[ns]")
            row = targets[self.panel.bar_positions(stamp)[0]]
            row[:] = 0.0
            names = np.array([held.symbol for held in one.holdings], dtype=object)
            row[self.panel.symbol_positions(names)] = [h.weight for h in one.holdings]
        return targets

    def _tails(self, scores: Matrix) -> Matrix:
        """As many names a leg, of all members."""
        size, targets = _how().top_n, np.full(scores.shape, np.nan)
        for bar in self._decisions():
            known = np.where(self.panel.tradable[:, bar], scores[bar], np.nan)
            order = np.argsort(-known, kind="stable")[: np.isfinite(known).sum()]
            targets[bar] = 0.0
            targets[bar, order[:size]] = 1.0 / size
            targets[bar, order[-size:]] = -1.0 / size
        return targets

    def _sectors(self) -> Matrix:
        """All members, every sector with an equal share."""
        targets = np.full(self.returns.shape, np.nan)
        for bar in self._decisions():
            own = np.where(self.panel.tradable[:, bar], self.panel.sectors[:, bar], -1)
            known, sizes = np.unique(own[own >= 0], return_counts=True)
            size = np.zeros(len(self.panel.sector_names))
            size[known] = sizes * len(known)
            targets[bar] = np.where(own >= 0, 1.0 / np.maximum(size[own], 1), 0.0)
        return targets

    def _composite(self) -> Matrix:
        scores = np.full(self.returns.shape, np.nan)
        stamps = self.candidates["timestamp"].dt.tz_convert(None).to_numpy("M8[ns]")
        bars = self.panel.bar_positions(stamps)
        places = self.panel.symbol_positions(
            self.candidates["symbol"].to_numpy(dtype=object)
        )
        scores[bars, places] = self.candidates["composite_score"]
        return scores

    def _random(self, seed: int) -> Matrix:
        return np.random.default_rng(seed).random(self.returns.shape)

    def _decisions(self) -> IntArray:
        return np.concatenate([_asof_bars(self.panel, year) for year in YEARS])


def _mean_ranks(panel: Panel, scores: Sequence[Matrix]) -> Matrix:
    return np.asarray(np.mean([percentile_ranks(one) for one in scores], axis=0))


def _how() -> PredictionConfig:
    """The project's own parameters, over all sectors and both legs."""
    told = yaml.safe_load(
        (PROJECT / "conf/base/parameters_prediction.yml").read_text("utf-8")
    )["prediction"]
    asked = {"candidate_type": "both", "per_sector": False}
    months = {"first_month": MONTHS[0], "last_month": MONTHS[1]}
    return PredictionConfig(**(told | asked | months))
