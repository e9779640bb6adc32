"""Delistings: returns over the end of a name, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.errors import UserError
from ranking_pipeline.labels.compute import compute_labels
from ranking_pipeline.labels.delisting import closes_with_payouts, read_delistings
from ranking_pipeline.labels.grammar import parse_targets
from ranking_pipeline.panel import OHLCV, Panel

CLOSES = np.array([[10, 11, 12, 13, 14, 15], [20, 22, 24, np.nan, np.nan, np.nan]])


@pytest.fixture
def panel() -> Panel:
    whole = np.repeat(CLOSES[:, :, None], len(OHLCV), axis=2).astype(np.float32)
    stamps = np.datetime64("2024-01-03", "ns") + np.arange(6) * np.timedelta64(1, "D")
    return Panel(("ALIVE", "GONE"), stamps, OHLCV, whole, np.isfinite(CLOSES))


def _table(folder: Path, *lines: str) -> Path:
    path = folder / "delistings.csv"
    path.write_text("\n".join(["symbol,date,return", *lines]), encoding="utf-8")
    return path


def test_a_return_over_the_end_is_what_holders_got(
    panel: Panel, tmp_path: Path, label_config
) -> None:
    table = read_delistings(
        _table(tmp_path, "GONE,2024-01-04,-0.5", "ELSE,2024-01-02,0")
    )
    specs = parse_targets(["fwd_ret_1d", "fwd_ret_2d", "y_will_peak_2d_0.8"], "1d")
    labels, _ = compute_labels(panel, specs, label_config(), table)
    gone = labels[labels["symbol"] == "GONE"]
    # Entered at 22 and 24; the holders of the last share got 24 * 0.5.
    np.testing.assert_allclose(gone["fwd_ret_1d"], [24 / 22 - 1, -0.5, np.nan])
    np.testing.assert_allclose(gone["fwd_ret_2d"], [12 / 22 - 1, -0.5, np.nan])
    assert gone["fwd_ret_1d__end"].iloc[1] == pd.Timestamp("2024-01-06", tz="UTC")
    assert gone["y_will_peak_2d_0.8"].isna().all()
    plain, _ = compute_labels(panel, specs, label_config())
    alive = labels["symbol"] == "ALIVE"
    pd.testing.assert_frame_equal(labels[alive], plain[alive])
    assert plain.loc[~alive, "fwd_ret_1d"].isna().sum() == 2


def test_a_payout_depends_on_earlier_bars_alone(panel: Panel, tmp_path: Path) -> None:
    table = read_delistings(_table(tmp_path, "GONE,2024-01-04,0.1"))
    whole = closes_with_payouts(panel, table)
    for stop in range(1, panel.n_bars + 1):
        part = closes_with_payouts(panel.cut(slice(stop)), table)
        np.testing.assert_array_equal(part, whole[:, :stop])


def test_a_name_that_trades_on_is_refused(panel: Panel, tmp_path: Path) -> None:
    table = read_delistings(_table(tmp_path, "ALIVE,2024-01-04,0"))
    with pytest.raises(UserError, match="ALIVE has bars after its delisting"):
        closes_with_payouts(panel, table)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("GONE,04/01/2024,0", "line 2"),
        ("GONE,2024-01-04,-1.5", "numbers from -1"),
        ("GONE,2024-01-04,", "line 2"),
        ("GONE,2024-01-04,0\nGONE,2024-01-05,0", "line 3"),
    ],
)
def test_an_unreadable_table_names_the_line(
    tmp_path: Path, line: str, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        read_delistings(_table(tmp_path, line))
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(UserError, match="no CSV in UTF-8"):
        read_delistings(tmp_path / "empty.csv")
    with pytest.raises(UserError, match="does not exist"):
        read_delistings(tmp_path / "not_there.csv")
