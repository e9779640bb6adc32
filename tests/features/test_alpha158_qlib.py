"""Alpha158 as qlib computes it, column by column, where its window is full.

qlib runs in this interpreter or in the one that QLIB_PYTHON names. Differences that are
meant, and how they are kept out of the comparison:

* VWAP0: qlib reads a field ``vwap``; ours is the typical price, which the helper writes
  into that field.
* Missing bars: qlib computes from a single value on, we ask for a share of the window.
  Only windows without a missing bar are compared.
* Ranges and sums of 0: qlib adds 1e-12 to the divisor and gets 0 or a huge number, ours
  are unknown. The bars compared have neither flat ranges nor zero volume.
* Ties of the highest high or lowest low: qlib takes the oldest bar, we the latest. Prices
  drawn from a continuous law have no ties within these windows.
* qlib stores results as float32 and its regressions in running sums: values near 0 are
  compared against the usual size of their column.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.features import compute_features
from ranking_pipeline.features.sets import ALPHA158
from ranking_pipeline.panel import Panel

HELPER = Path(__file__).with_name("qlib_alpha158.py")
RELATIVE = 1e-4


def _interpreter() -> str | None:
    if importlib.util.find_spec("qlib"):
        return sys.executable
    return os.environ.get("QLIB_PYTHON")


pytestmark = pytest.mark.skipif(
    _interpreter() is None, reason="no qlib here, and QLIB_PYTHON names none"
)


@pytest.fixture(scope="module")
def panel(panel_builder: Callable[..., Panel]) -> Panel:
    """Three symbols, 260 days; one listed late, one with two missing bars."""
    whole = panel_builder(8, 3, 260, holes=False)
    values = whole.values.copy()
    values[1, :70] = np.nan
    values[2, 120:122] = np.nan
    return dataclasses.replace(whole, values=values, tradable=~np.isnan(values[..., 3]))


@pytest.fixture(scope="module")
def theirs(panel: Panel, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("qlib")
    symbols, bars = np.nonzero(panel.present)
    rows = pd.DataFrame(panel.values[symbols, bars], columns=list(panel.fields))
    rows.insert(0, "date", panel.timestamps[bars])
    rows.insert(0, "symbol", np.array(panel.symbols)[symbols])
    rows.to_parquet(folder / "bars.parquet")
    command = [_interpreter(), HELPER, folder / "bars.parquet", folder / "out.parquet"]
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return pd.read_parquet(folder / "out.parquet")


@pytest.fixture(scope="module")
def ours(panel: Panel) -> dict[str, np.ndarray]:
    values = compute_features(panel, list(ALPHA158.values()))
    return {column: values[:, :, i] for i, column in enumerate(ALPHA158)}


def _matrix(theirs: pd.DataFrame, column: str, panel: Panel) -> np.ndarray:
    wide = theirs.pivot(index="symbol", columns="date", values=column)
    wide = wide.reindex(index=list(panel.symbols), columns=panel.timestamps)
    return wide.to_numpy(np.float64)


def _full(panel: Panel, column: str) -> np.ndarray:
    """Where the window of the column, and the bar before it, have no missing bar."""
    width = int(re.search(r"(\d*)$", column).group() or 0) + 2
    present = pd.DataFrame(panel.present.T.astype(float))
    return (present.rolling(width).sum() == width).to_numpy().T


def test_the_set_has_the_columns_of_qlib_in_its_order(theirs: pd.DataFrame) -> None:
    assert list(ALPHA158) == list(theirs.columns[2:])
    assert len(ALPHA158) == 158


@pytest.mark.parametrize("column", ALPHA158)
def test_a_column_equals_that_of_qlib(
    column: str, panel: Panel, theirs: pd.DataFrame, ours: dict[str, np.ndarray]
) -> None:
    where = _full(panel, column)
    expected, actual = _matrix(theirs, column, panel)[where], ours[column][where]
    assert len(expected) > 300
    assert np.isfinite(expected).all()
    usual = np.median(np.abs(expected))
    np.testing.assert_allclose(actual, expected, rtol=RELATIVE, atol=RELATIVE * usual)


def test_a_difference_of_one_in_a_thousand_would_be_seen(
    panel: Panel, theirs: pd.DataFrame, ours: dict[str, np.ndarray]
) -> None:
    where = _full(panel, "STD20")
    expected = _matrix(theirs, "STD20", panel)[where]
    assert not np.allclose(1.001 * ours["STD20"][where], expected, rtol=RELATIVE)
