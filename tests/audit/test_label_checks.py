"""Labels under audit: their own window and declared history, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from tests.audit import worlds

from ranking_pipeline.audit.check import Check
from ranking_pipeline.audit.cuts import Cut, cuts
from ranking_pipeline.audit.futures import MODES
from ranking_pipeline.audit.label_checks import AFTER_CHECK, label_checks, label_values
from ranking_pipeline.labels import LabelsConfig, parse_targets
from ranking_pipeline.panel import Panel

EVERY_KIND = [
    "fwd_ret_1d",
    "fwd_ret_5d",
    "y_will_peak_5d_0.8",
    "y_will_valley_5d_0.8",
    "y_first_touch_10d_0.3",
    "y_will_peak_mfe_5d_0.03",
    "y_will_valley_mdd_5d_0.03",
    "y_will_swing_high_12d_0.8",
    "y_will_swing_low_7d_0.6",
    "fwd_mfe_5d",
    "fwd_mdd_3b",
    "label_h5",
]


@pytest.fixture(scope="module")
def panel() -> Panel:
    return worlds.daily_market(4, n_symbols=7, n_bars=120)


def checks_of(panel: Panel, names: list[str], config: LabelsConfig) -> list[Check]:
    chosen = cuts(panel, None, 2, 0, at_most=4)
    return label_checks(panel, parse_targets(names, "1d"), config, chosen, MODES, 4, 0)


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_every_kind_of_label_keeps_to_its_window(panel: Panel, lag: int) -> None:
    config = worlds.labels_config(targets=EVERY_KIND, entry_lag_bars=lag)
    found = checks_of(panel, EVERY_KIND, config)
    # The entry is a claim of its own where it is later than the decision.
    assert [check.verdict for check in found] == ["clean"] * (6 if lag else 5), found
    assert all(check.compared > 100 for check in found)


def test_values_and_ends_lie_where_the_table_says() -> None:
    values = np.ones((2, 8, 5), dtype=np.float32)
    values[0, :, 3] = [1, 2, 4, 8, 16, 32, 64, 128]
    values[1, 2] = np.nan
    panel = worlds.panel_of(values)
    specs = parse_targets(["fwd_ret_2d"], "1d")
    found = label_values(panel, specs, worlds.labels_config(targets=["fwd_ret_2d"]))
    assert found.shape == (2, 8, 2)
    assert found[0, :5, 0].tolist() == [3.0] * 5
    assert found[0, :5, 1].tolist() == [3.0] * 5  # known three bars after t
    assert np.isnan(found[0, 5:]).all()
    # Symbol 1 has no bar 2: no decision there, no entry from 1, no end for others.
    assert np.isfinite(found[1, :, 0]).tolist() == [
        True, False, False, True, True, False, False, False,
    ]  # fmt: skip


def test_labels_inside_sessions() -> None:
    panel = worlds.intraday_market(2, n_symbols=6, n_days=8, per_day=8)
    names = ["fwd_ret_1h", "fwd_ret_2h"]
    config = worlds.labels_config(targets=names, cross_sessions=False)
    chosen = [Cut(bar, "middle") for bar in (20, 27, 40)]
    specs = parse_targets(names, "30m", 8)
    found = label_checks(panel, specs, config, chosen, MODES, 10, 0)
    assert [check.verdict for check in found] == ["clean"] * 6, found


@pytest.mark.parametrize("stretch", [1, 4])
def test_a_label_that_reaches_further_than_it_says(
    panel: Panel, stretch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ranking_pipeline.labels import compute

    lead = compute.lead
    monkeypatch.setattr(compute, "lead", lambda v, bars: lead(v, bars + stretch))
    after, *_ = checks_of(panel, ["fwd_ret_5d"], worlds.labels_config())
    assert (after.check, after.verdict) == (AFTER_CHECK, "looks ahead")
    assert "fwd_ret_5d of S" in after.worst
