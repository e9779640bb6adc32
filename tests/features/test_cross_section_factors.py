"""Comparisons of symbols: plain references, dated sectors, order of the symbols."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ranking_pipeline.features import compute_features
from ranking_pipeline.features.factors import FACTORS
from ranking_pipeline.features.factors import cross_section as section
from ranking_pipeline.panel import Panel

N_SYMBOLS, N_BARS = 20, 90
BASES = ("ret_1", "vol_20", "traded_value_20")
NAMES = [name for name, f in FACTORS.items() if f.group == "cross-section"]
KINDS = [
    f"{kind}{base}"
    for base in BASES
    for kind in ("rank_", "zscore_", "sector_rank_", "sector_zscore_")
]


@pytest.fixture(scope="module")
def panel(panel_builder: Callable[..., Panel]) -> Panel:
    """Sectors that change: half of sector 0 moves to 1 at bar 50; some are unknown."""
    walk = panel_builder(31, N_SYMBOLS, N_BARS)
    sectors = np.repeat(np.arange(N_SYMBOLS) % 4 - 1, N_BARS).reshape(-1, N_BARS)
    sectors[[1, 5, 9], 50:] = 1
    return dataclasses.replace(
        walk, sectors=sectors.astype(np.int16), sector_names=("a", "b", "c")
    )


@pytest.fixture(scope="module")
def whole(panel: Panel) -> np.ndarray:
    return compute_features(panel, NAMES)


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()


def _reference(values: pd.Series, groups: pd.Series, kind: str, least: int) -> list:
    """One bar: values by symbol, NaN where not in the cross-section."""
    result = pd.Series(np.nan, index=values.index)
    for _, own in values.dropna().groupby(groups):
        if len(own) < least:
            continue
        if kind == "rank":
            result[own.index] = own.rank() / (len(own) + 1)
        else:
            result[own.index] = (own - own.mean()) / own.std(ddof=0)
    return result.to_list()


@pytest.mark.parametrize("name", KINDS)
def test_equals_plain_pandas(name: str, panel: Panel) -> None:
    base = next(base for base in BASES if name.endswith(base))
    kind = "rank" if "rank_" in name else "zscore"
    by_sector = name.startswith("sector_")
    values, actual = np.moveaxis(compute_features(panel, [base, name]), -1, 0)
    values = np.where(panel.tradable, values, np.nan).astype(float)
    for bar in range(panel.n_bars):
        groups = panel.sectors[:, bar] if by_sector else np.zeros(N_SYMBOLS)
        least = section.MIN_RANKED_SECTOR_SYMBOLS if by_sector else section.MIN_SYMBOLS
        expected = _reference(pd.Series(values[:, bar]), pd.Series(groups), kind, least)
        np.testing.assert_allclose(actual[:, bar], expected, rtol=2e-5, atol=1e-6)
    assert np.isfinite(actual).sum() > 500


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(N_SYMBOLS)))
def test_another_order_of_the_symbols_reorders_the_bits(
    order: list[int], panel: Panel, whole: np.ndarray
) -> None:
    shuffled = dataclasses.replace(
        panel,
        values=panel.values[order],
        tradable=panel.tradable[order],
        sectors=panel.sectors[order],
    )
    assert _same_bits(compute_features(shuffled, NAMES), whole[order])


def test_symbols_without_a_value_change_no_bit(panel: Panel, whole: np.ndarray) -> None:
    out = np.arange(N_SYMBOLS) % 5 == 2
    tradable = panel.tradable & ~out[:, None]
    masked = compute_features(dataclasses.replace(panel, tradable=tradable), NAMES)
    kept = dataclasses.replace(
        panel,
        symbols=tuple(np.array(panel.symbols)[~out]),
        values=panel.values[~out],
        tradable=panel.tradable[~out],
        sectors=panel.sectors[~out],
    )
    assert _same_bits(compute_features(kept, NAMES), masked[~out])
    assert not _same_bits(masked[~out], whole[~out])


def test_a_bar_does_not_depend_on_the_other_bars(panel: Panel) -> None:
    values = np.where(panel.tradable, panel.field("close"), np.nan).astype(float)
    for function in (section.z_score, section.sector_z_score, section.sector_rank):
        together = function(panel.sectors, values)
        alone = function(panel.sectors[:, 7:8], values[:, 7:8])
        assert _same_bits(alone, together[:, 7:8])


def test_a_sector_counts_as_it_was_that_day(panel: Panel, whole: np.ndarray) -> None:
    late = dataclasses.replace(panel, sectors=np.repeat(panel.sectors[:, -1:], 90, 1))
    altered = compute_features(late, NAMES)
    dated = [i for i, name in enumerate(NAMES) if name.startswith("sector_")]
    assert _same_bits(altered[:, 50:], whole[:, 50:])
    for i in dated:
        if np.isfinite(whole[:, 30:50, i]).any():
            assert not _same_bits(altered[:, :50, i], whole[:, :50, i])


@settings(max_examples=60, deadline=None)
@given(
    values=arrays(
        float,
        (9, 4),
        elements=st.one_of(st.just(np.nan), st.integers(-3, 3).map(float)),
    ),
    sectors=arrays(np.int16, (9, 4), elements=st.integers(-1, 2)),
)
def test_ties_share_a_rank_and_flat_groups_have_no_score(
    values: np.ndarray, sectors: np.ndarray
) -> None:
    ranks = section.sector_rank(sectors, values)
    scores = section.sector_z_score(sectors, values)
    for bar in range(4):
        for code in range(-1, 3):
            own = np.isfinite(values[:, bar]) & (sectors[:, bar] == code)
            group = pd.Series(values[own, bar])
            if own.sum() < section.MIN_RANKED_SECTOR_SYMBOLS:
                assert np.isnan(ranks[own, bar]).all()
                assert np.isnan(scores[own, bar]).all()
                continue
            np.testing.assert_allclose(ranks[own, bar], group.rank() / (len(group) + 1))
            if group.nunique() == 1:
                assert np.isnan(scores[own, bar]).all()
            else:
                expected = (group - group.mean()) / group.std(ddof=0)
                np.testing.assert_allclose(scores[own, bar], expected, atol=1e-12)
    assert np.isnan(ranks[np.isnan(values)]).all()


def test_a_flat_group_is_unknown_although_its_mean_is_rounded() -> None:
    values = np.full((7, 1), 0.1)
    assert np.isnan(section.z_score(np.zeros((7, 1), np.int16), values)).all()
