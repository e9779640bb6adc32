"""Selection bias: choosing among noise lifts a score inside train and not outside."""

import numpy as np
import pandas as pd
import pytest
from benchmarks.noise_market import noise_market, with_return, with_shuffled
from benchmarks.selection_bias import (
    Sizes,
    bias_rows,
    gate_rows,
    interval_row,
    one_market,
    planted_found,
    share_row,
)


def test_shuffled_labels_keep_their_structure_and_no_symbol_keeps_its_own() -> None:
    market = with_shuffled(noise_market(200, 12, 3), (5,), 4, 3)
    own = with_return(market, 5).targets["fwd_ret_5d"][0]
    for label, horizon in market.targets.values():
        assert horizon == 5
        np.testing.assert_allclose(np.sort(label, axis=1), np.sort(own, axis=1))
        known = ~np.isnan(own[:, 0])
        assert known.sum() == 200 - 6
        assert (label[known] != own[known]).all()


def test_forward_return_by_hand() -> None:
    market = with_return(noise_market(40, 3, 1), 2)
    label, _ = market.targets["fwd_ret_2d"]
    expected = market.returns[12] + market.returns[13]  # entered a bar after bar 10
    np.testing.assert_allclose(label[10], expected)
    assert np.isnan(label[37:]).all()
    assert not np.isnan(label[36]).any()


def test_intervals_by_hand() -> None:
    row = interval_row("", "", np.array([1.0, 2.0, 3.0]))
    # t(2) at 97.5 % is 4.3027, the standard error 1 / sqrt(3)
    assert row["low"] == pytest.approx(2 - 4.3027 / np.sqrt(3), abs=1e-4)
    share = share_row("", np.array([True] * 5 + [False] * 95))
    assert (share["low"], share["high"]) == (0.0215, 0.1118)


@pytest.mark.slow
def test_nested_check() -> None:
    """Chosen on train: no score outside. Chosen on all bars: more than that.

    Eight markets show the direction; forty give the size (``docs/choosing.md``).
    """
    found = pd.concat([one_market(seed, Sizes()) for seed in range(8)])
    rows = {row["case"]: row for row in [*bias_rows(found), *gate_rows(found)]}
    inside = rows["best of noise chosen on train: in the selection"]
    outside = rows["best of noise chosen on train: outside"]
    assert inside["low"] > 0.0
    assert outside["low"] < 0.0 < outside["high"]
    assert inside["ours"] > 2 * abs(outside["ours"])
    peeking = rows["best of noise chosen on all: outside"]
    assert peeking["ours"] > outside["ours"]
    everywhere = rows["best of noise chosen on all: in the selection"]
    assert everywhere["low"] > 0.0
    false = rows["markets with a false selection"]
    assert false["low"] <= false["nominal"]
    assert planted_found(0, Sizes())
