"""The call for a factor of one's own, in all its forms."""

from __future__ import annotations

import doctest

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.audit import audit_factor
from ranking_pipeline.audit import factor as module
from ranking_pipeline.audit.factor import bar_frame
from ranking_pipeline.errors import UserError
from ranking_pipeline.features.series import Bars
from ranking_pipeline.panel import Panel
from ranking_pipeline.splits import Splits


@pytest.fixture(scope="module")
def panel(example: tuple[Panel, Splits]) -> Panel:
    return example[0]


def test_the_docstring_tells_the_truth() -> None:
    result = doctest.testmod(module)
    assert (result.failed, result.attempted > 4) == (0, True)


def test_a_registered_factor_by_its_name(panel: Panel) -> None:
    result = audit_factor("ret_5", panel)
    assert result.clean
    assert result.names == ("ret_5",)
    with pytest.raises(UserError, match="unknown factor 'ret_five'"):
        audit_factor("ret_five", panel)


def reversal(bars: Bars) -> np.ndarray:
    return -bars.ret


def tomorrow(bars: Bars) -> np.ndarray:
    return np.roll(bars.ret, -1, axis=1)


def test_functions_of_bars(panel: Panel) -> None:
    assert audit_factor(reversal, panel).clean
    found = audit_factor(tomorrow, panel, every=True)
    assert found.flagged == ("tomorrow",)
    assert str(found.worst).startswith("tomorrow of EX")


def test_a_function_of_the_panel(panel: Panel) -> None:
    assert audit_factor(lambda p: p.tradable, panel, taking="panel").clean
    last = audit_factor(
        lambda p: p.tradable & p.tradable[:, -1:], panel, taking="panel"
    )
    assert not last.clean


def test_the_table_holds_the_bars_that_exist(panel: Panel) -> None:
    table = bar_frame(panel)
    assert len(table) == panel.present.sum()
    assert table.index.is_monotonic_increasing
    stamp = pd.Timestamp(panel.timestamps[30]).tz_localize("UTC")
    row = table.loc[(stamp, "EX3")]
    assert row.tolist() == panel.values[3, 30].astype(float).tolist()


def test_functions_of_a_table(panel: Panel) -> None:
    def rank(table: pd.DataFrame) -> pd.Series:
        return table["close"].groupby(level="timestamp").rank()

    def share_of_the_peak(table: pd.DataFrame) -> pd.Series:
        return table["close"] / table["close"].groupby(level="symbol").transform("max")

    assert audit_factor(rank, panel, taking="table").clean
    assert not audit_factor(share_of_the_peak, panel, taking="table").clean


def test_what_is_no_factor_is_refused(panel: Panel) -> None:
    with pytest.raises(UserError, match="gave DataFrame; it must give a Series"):
        audit_factor(lambda table: table, panel, taking="table")
    with pytest.raises(UserError, match="gave a key twice"):
        audit_factor(
            lambda table: pd.concat([table["close"]] * 2), panel, taking="table"
        )
    with pytest.raises(UserError, match="taking is 'rows'"):
        audit_factor(reversal, panel, taking="rows")  # type: ignore[arg-type]
