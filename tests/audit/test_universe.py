"""Universe and metadata: who lists or dies later, and what they are called."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.audit import worlds

from ranking_pipeline.audit.lookahead import differs
from ranking_pipeline.features import compute_features, factor_names
from ranking_pipeline.features.selection import find_factors
from ranking_pipeline.panel import Panel

N_BARS = 280


@pytest.fixture(scope="module")
def panel() -> Panel:
    return worlds.daily_market(9, n_symbols=9, n_bars=N_BARS)


@pytest.fixture(scope="module")
def values(panel: Panel) -> np.ndarray:
    return compute_features(panel)


def joined(panel: Panel, bar: int) -> Panel:
    """The panel with three symbols that list after ``bar``, spread over the names."""
    random = np.random.default_rng(4)
    new = worlds.walk(random, (3, panel.n_bars))
    new[:, : bar + 1] = np.nan
    names = [*panel.symbols, "A", "S0045", "Z"]
    order = np.argsort(names)
    present = ~np.isnan(new[:, :, 3])
    sectors = np.zeros((3, panel.n_bars), dtype=np.int16)
    return replace(
        panel,
        symbols=tuple(names[place] for place in order),
        values=np.concatenate([panel.values, new])[order],
        tradable=np.concatenate([panel.tradable, present])[order],
        sectors=np.concatenate([panel.sectors, sectors])[order],
    )


@pytest.mark.parametrize("bar", [200, 265])
def test_symbols_that_list_later_change_nothing(
    bar: int, panel: Panel, values: np.ndarray
) -> None:
    more = joined(panel, bar)
    kept = np.isin(more.symbols, panel.symbols)
    found = compute_features(more)[kept]
    assert not differs(found[:, : bar + 1], values[:, : bar + 1]).any()
    later = differs(found[:, bar + 1 :], values[:, bar + 1 :])
    compared = [factor.bases != () for factor in find_factors(None)]
    assert later[:, :, compared].any()  # they do count once they are listed
    assert not later[:, :, ~np.array(compared)].any()


@pytest.mark.parametrize("bar", [200, 265])
def test_symbols_that_die_later_change_nothing(
    bar: int, panel: Panel, values: np.ndarray
) -> None:
    bars, tradable = panel.values.copy(), panel.tradable.copy()
    bars[5:8, bar + 1 :], tradable[5:8, bar + 1 :] = np.nan, False
    found = compute_features(replace(panel, values=bars, tradable=tradable))
    assert not differs(found[:, : bar + 1], values[:, : bar + 1]).any()


def test_membership_counts_on_its_own_day(panel: Panel, values: np.ndarray) -> None:
    """Leaving the universe at one bar changes the cross-section of that bar alone."""
    tradable = panel.tradable.copy()
    tradable[6, 240] = False
    found = compute_features(replace(panel, tradable=tradable))
    changed = differs(found, values).any(axis=(0, 2))
    assert np.flatnonzero(changed).tolist() == [240]


def test_the_names_of_symbols_say_nothing(panel: Panel, values: np.ndarray) -> None:
    """Symbols renamed, hence in another order: the same values under other names.

    Own factors to the bit; a mean over symbols may round differently.
    """
    order = np.random.default_rng(1).permutation(panel.n_symbols)
    renamed = replace(
        panel,
        values=panel.values[order],
        tradable=panel.tradable[order],
        sectors=panel.sectors[order],
    )
    found = compute_features(renamed)
    own = np.array([not factor.bases for factor in find_factors(None)])
    assert not differs(found[:, :, own], values[order][:, :, own]).any()
    assert np.array_equal(np.isnan(found), np.isnan(values[order]))
    worst = np.nan_to_num(np.abs(found - values[order])).max(axis=(0, 1))
    assert (worst < 1e-4).all(), np.array(factor_names())[worst >= 1e-4]


def test_sectors_are_labels_only(panel: Panel, values: np.ndarray) -> None:
    """The codes of the sectors exchanged: the same groups, the same values."""
    other = np.array([2, 0, 1], dtype=np.int16)
    found = compute_features(replace(panel, sectors=other[panel.sectors]))
    assert np.array_equal(np.isnan(found), np.isnan(values))
    assert np.nan_to_num(np.abs(found - values)).max() < 1e-4


def test_a_sector_counts_from_the_day_it_is_known(
    panel: Panel, values: np.ndarray
) -> None:
    sectors = panel.sectors.copy()
    sectors[7, 250:] = (sectors[7, 250:] + 1) % 3
    found = compute_features(replace(panel, sectors=sectors))
    changed = np.flatnonzero(differs(found, values).any(axis=(0, 2)))
    assert changed.min() == 250
