"""Bar returns over halts, and periods per year."""

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.portfolio.returns import bar_returns, periods_per_year


def test_return_after_a_halt_covers_it() -> None:
    close = np.array([[np.nan, 10.0], [100, 11], [110, 99], [121, 22]])
    tradable = np.array([[False, True], [True, True], [False, False], [True, True]])
    got = bar_returns(close, tradable)
    expected = [[np.nan, np.nan], [np.nan, 0.1], [np.nan, np.nan], [0.21, 1.0]]
    np.testing.assert_allclose(got, expected)


@pytest.mark.parametrize(
    ("freq", "expected"), [("B", 252), ("W", 52), ("MS", 12), ("D", 252)]
)
def test_periods_of_calendars(freq: str, expected: float) -> None:
    stamps = pd.date_range("2020-01-01", periods=40, freq=freq).to_numpy()
    assert periods_per_year(stamps) == expected


def test_periods_of_five_minute_sessions() -> None:
    days = pd.date_range("2024-01-01", periods=6, freq="B")
    stamps = np.concatenate(
        [
            pd.date_range(d + pd.Timedelta("14h35min"), periods=78, freq="5min")
            for d in days
        ]
    )
    assert periods_per_year(stamps) == 252 * 78
    assert np.isnan(periods_per_year(stamps[:1]))
