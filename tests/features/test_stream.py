"""Blocks of the feature table equal the whole table, bit for bit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.errors import UserError
from ranking_pipeline.features import (
    compute_features,
    compute_table,
    factor_names,
    feature_blocks,
    feature_table,
)
from ranking_pipeline.features.registry import FACTORS, factor
from ranking_pipeline.panel import Panel


@pytest.fixture(scope="module")
def panel(intraday_panel: Panel) -> Panel:
    return intraday_panel


@pytest.fixture(scope="module")
def whole(panel: Panel) -> pd.DataFrame:
    return compute_table(panel)


def _joined(panel: Panel, names: list[str] | None, rows: int) -> pd.DataFrame:
    blocks = list(feature_blocks(panel, names, rows_per_block=rows))
    assert all(len(block) <= max(rows, panel.n_symbols) for block in blocks)
    assert len(blocks) >= panel.tradable.sum() / max(rows, panel.n_symbols)
    return pd.concat(blocks, ignore_index=True)


def _same(left: pd.DataFrame, right: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(left.iloc[:, :2], right.iloc[:, :2])
    assert list(left.columns) == list(right.columns)
    for name in left.columns[2:]:
        assert left[name].dtype == right[name].dtype == np.float32
        assert left[name].to_numpy().tobytes() == right[name].to_numpy().tobytes(), name


def test_a_table_holds_the_values_of_the_panel(
    panel: Panel, whole: pd.DataFrame
) -> None:
    _same(whole, feature_table(panel, compute_features(panel)))


@pytest.mark.parametrize("rows", [300, 1000, 10_000])
def test_blocks_of_all_factors(panel: Panel, whole: pd.DataFrame, rows: int) -> None:
    _same(_joined(panel, None, rows), whole)


@pytest.mark.parametrize("rows", [1, 20, 101])
@pytest.mark.parametrize("of", ["alpha158", "daily25", "session"])
def test_small_blocks_of_a_set(
    panel: Panel, whole: pd.DataFrame, of: str, rows: int
) -> None:
    names = factor_names(of)[::6]
    few = panel.cut(slice(0, 130))
    expected = whole.loc[: few.tradable.sum() - 1, ["timestamp", "symbol", *names]]
    _same(_joined(few, names, rows), expected)


@pytest.mark.parametrize("fine", ["ret_1", "momentum_250_20"])
def test_blocks_with_coarser_bars(panel: Panel, fine: str) -> None:
    """The finer or the coarser bars may reach further back."""
    names = [fine, "ret_5@1h", "vol_5@2h", "rank_ret_1@1h", "ret_1@1d", "ret_1@1h"]
    expected = compute_table(panel, names)
    assert expected[names].notna().any().all()
    for rows in (100, 700):
        _same(_joined(panel, names, rows), expected)


def test_accumulated_series_look_back_and_may_be_looked_back_on(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A maximum of returns, of sums and of counts, three bars late."""
    for name in ("late_high", "late_sum"):
        monkeypatch.setitem(FACTORS, name, None)
        del FACTORS[name]

    @factor(
        "late_high",
        group="own",
        formula="highest return up to t-3",
        lookback_bars=4,
        inputs=("close",),
        source="own",
        expanding=True,
    )
    def late_high(bars: object) -> np.ndarray:
        highest = bars.so_far("ret", np.fmax)  # type: ignore[attr-defined]
        for _ in range(3):
            highest = bars.before(highest)  # type: ignore[attr-defined]
        return highest  # type: ignore[no-any-return]

    @factor(
        "late_sum",
        group="own",
        formula="sum of all closes of a symbol without gaps",
        lookback_bars=0,
        inputs=("close",),
        source="own",
        expanding=True,
    )
    def late_sum(bars: object) -> np.ndarray:
        return bars.so_far("close", np.add)  # type: ignore[attr-defined,no-any-return]

    for names in (["late_high"], ["late_sum"], ["late_high", "late_sum"]):
        expected = compute_table(panel, names)
        assert expected[names].notna().any().all()
        for rows in (1, 30, 500):
            _same(_joined(panel, names, rows), expected)
    values = compute_features(panel, ["late_high"])[7, :, 0]
    returns = compute_features(panel, ["ret_1"])[7, :, 0]
    assert values[200] == np.nanmax(returns[:198])


def test_a_block_has_rows(panel: Panel) -> None:
    with pytest.raises(UserError, match="rows_per_block is 0"):
        next(feature_blocks(panel, rows_per_block=0))
    with pytest.raises(UserError, match="unknown factor"):
        next(feature_blocks(panel, ["rett"], rows_per_block=10))
