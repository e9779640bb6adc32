"""Markets of the ranking benchmark, real and simulated, and what a score does on one."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.harness import REAL_DATA, kedro_run, private_conf
from ranking_pipeline.evaluation import metrics
from ranking_pipeline.evaluation.baselines import (
    forward_returns,
    naive_utc,
    oracle_scores,
)
from ranking_pipeline.evaluation.inference import block_length, block_test
from ranking_pipeline.evaluation.measure import fill_with_median
from ranking_pipeline.evaluation.outcomes import neutral_payoff
from ranking_pipeline.panel import Panel
from ranking_pipeline.portfolio.backtest import BPS, backtest, banded_weights, hold
from ranking_pipeline.portfolio.returns import panel_returns
from ranking_pipeline.splits import Splits
from ranking_pipeline.storage import read_panel, read_table

Matrix = npt.NDArray[np.float64]
SP500 = REAL_DATA / "sp500_daily_2015_2020.parquet"
TAIL, BAND, COST_BPS = 0.1, 0.2, 5.0


def real_market() -> Market:
    """S&P 500 names, 2015 to 2019: train to 2017, validation 2018, test 2019."""
    if not SP500.exists():
        raise SystemExit("ranking_quality needs the S&P 500 bars in shared/data")
    return prepared(
        f"--params=data.source={SP500},data.timezone=America/New_York,"
        f"data.sectors={REAL_DATA / 'sp500_sectors_2020.csv'},"
        "data.splits.train_share=0.5950,data.splits.validation_share=0.1994"
    )


def simulated_market(seed: int) -> Market:
    """The default simulated market, drawn anew."""
    return prepared(f"--params=run.seed={seed}")


def prepared(parameters: str) -> Market:
    """Bars, factors, labels and splits by the project's own first stage."""
    with tempfile.TemporaryDirectory() as folder:
        conf = private_conf(Path(folder))
        kedro_run(conf, "--pipelines=data_preparation", parameters)
        return load(Path(folder) / "data")


def load(data: Path) -> Market:
    """Read what data preparation left below its data root."""
    panel = read_panel(data / "03_primary" / "panel.safetensors")
    splits = json.loads((data / "05_model_input" / "splits.json").read_text("utf-8"))
    truth = read_table(data / "02_intermediate" / "market_truth.parquet")
    return Market(
        panel,
        read_table(data / "04_feature" / "features.parquet"),
        read_table(data / "05_model_input" / "labels.parquet"),
        Splits.from_dict(splits).verify(panel.timestamps),
        panel_returns(panel),
        oracle_scores(panel, truth),
    )


@dataclass(frozen=True)
class Market:
    """Bars, what followed them, and the blocks.

    Attributes
    ----------
    panel : Panel
    features, labels : DataFrame
    splits : Splits
    returns : ndarray, shape (T, S)
        Of each bar.
    oracle : ndarray, shape (T, S), or None
        The planted score of a simulated market.
    """

    panel: Panel
    features: pd.DataFrame
    labels: pd.DataFrame
    splits: Splits
    returns: Matrix
    oracle: Matrix | None

    def label_cells(self, target: str, block: str) -> npt.NDArray[np.bool_]:
        """Cells (T, S) of a block whose label ends inside it."""
        bars, symbols = self.panel.rows()
        stamps = naive_utc(self.labels[f"{target}__end"])
        known = ~np.isnat(stamps)
        ends = np.full(len(bars), -1)
        ends[known] = self.panel.bar_positions(stamps[known])
        cells = np.zeros(self.panel.tradable.T.shape, dtype=np.bool_)
        cells[bars, symbols] = self.splits.mask(block, bars, ends)
        return cells

    def payoff(self, lag: int, horizon: int, block: str) -> tuple[slice, Matrix]:
        """Bars of a block, and the returns (bars, S) that end inside it."""
        limits = self.splits.block(block)
        bars = slice(limits.first_bar, limits.last_bar + 1)
        payoff = forward_returns(self.panel, lag, horizon)
        payoff[limits.last_bar + 1 - lag - horizon :] = np.nan
        return bars, np.where(self.panel.tradable.T, payoff, np.nan)[bars]

    @property
    def min_symbols(self) -> int:
        """Fewest names with which a bar is learned from or measured."""
        return 20


def rank_ic(
    market: Market, score: Matrix, lag: int, horizon: int, block: str
) -> Matrix:
    """Rank IC of each bar of a block; a cell without a score counts as the median."""
    bars, payoff = market.payoff(lag, horizon, block)
    cells = market.panel.tradable.T[bars]
    filled = fill_with_median(np.where(cells, score[bars], np.nan), cells)
    return metrics.rank_ic(filled, payoff, market.min_symbols)


def neutral_ic(market: Market, score: Matrix, lag: int, horizon: int) -> Matrix:
    """The same on returns over volatility, less their sector's mean; test block."""
    bars, payoff = market.payoff(lag, horizon, "test")
    whole = np.full(score.shape, np.nan)
    whole[bars] = payoff
    neutral = neutral_payoff(whole, market.returns, market.panel, 60)[bars]
    return metrics.rank_ic(score[bars], neutral, market.min_symbols)


def money(market: Market, score: Matrix, lag: int, horizon: int) -> dict[str, float]:
    """Spread, turnover and returns of the test book, without and with a band."""
    bars, payoff = market.payoff(lag, horizon, "test")
    cells = market.panel.tradable.T[bars]
    filled = fill_with_median(np.where(cells, score[bars], np.nan), cells)
    returns = market.returns[bars]
    plain = backtest(
        filled,
        returns,
        horizon_bars=horizon,
        lag_bars=lag,
        tail_share=TAIL,
        cost_bps_per_side=COST_BPS,
        min_symbols=market.min_symbols,
    )
    weights = banded_weights(filled, TAIL, BAND, horizon_bars=horizon)
    banded = hold(weights, returns, horizon, lag, COST_BPS)
    spread = metrics.tail_spread(filled, payoff, TAIL, market.min_symbols)
    return {
        "spread_bps": float(np.nanmean(spread)) / BPS,
        "turnover": float(np.nanmean(plain.turnover)),
        "gross_bps": float(np.nanmean(plain.gross)) / BPS,
        "net_bps": float(np.nanmean(plain.net)) / BPS,
        "net_t": block_test(plain.net, block_length(lag, horizon)).t,
        "band_turnover": float(np.nanmean(banded.turnover)),
        "band_net_bps": float(np.nanmean(banded.net)) / BPS,
    }
