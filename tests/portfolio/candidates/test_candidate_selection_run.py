"""Candidate selection as Kedro runs it: tables, previews, figures and the cache."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog
from tests.running import Place

MARKET = {
    "n_symbols": 24, "n_sectors": 2, "n_bars": 200, "late_listings": 2,
    "delistings": 2, "reversed_symbols": 2,
}  # fmt: skip
WINDOWS = {
    "telecoms": {"moving_average_bars": 20, "momentum_bars": 30},
    "cons_discretionary": {"moving_average_bars": 30, "momentum_bars": 40},
}
DATA = {
    "data": {"market": MARKET, "labels": {"targets": ["fwd_ret_1d"]}},
}
CHOICE = {
    "candidate_selection": {
        "sectors": "telecoms;cons_discretionary",
        "sector_windows": WINDOWS,
        "volatility": {"window_returns": 120, "min_returns": 120},
    },
    "jobs": {"engine": "serial"},
}
ONLY = "candidate_selection"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A small market of two sectors, with its candidates."""
    made = Place.make(tmp_path_factory.mktemp("candidates"))
    made.run("data_preparation", ONLY, params={**DATA, **CHOICE})
    return made


@pytest.fixture(scope="module")
def catalog(place: Place) -> DataCatalog:
    """The catalog after the first run: to open it anew for each table takes seconds."""
    return place.catalog()


def test_the_candidates_follow_from_the_panel(catalog: DataCatalog) -> None:
    candidates = catalog.load("sector_candidates")
    indicators = catalog.load("sector_indicators")
    outcomes = catalog.load("candidate_outcomes")
    assert set(candidates["sector"]) == {
        "Communication Services", "Consumer Discretionary",
    }  # fmt: skip
    assert set(candidates["gics_code"]) == {"50", "25"}
    assert (candidates["asof_date"].str[:7] < candidates["month"]).all()
    chosen = candidates.merge(indicators, on=["month", "symbol"], how="left")
    assert (chosen["status"] == "ok").all()
    np.testing.assert_array_equal(
        chosen["composite_score_x"], chosen["composite_score_y"]
    )
    panel = catalog.load("panel").read()
    bars = panel.bar_positions(
        candidates["timestamp"].dt.tz_localize(None).to_numpy("M8[ns]")
    )
    symbols = panel.symbol_positions(candidates["symbol"].to_numpy(object))
    assert panel.tradable[symbols, bars].all()
    assert outcomes["n_long"].sum() == (candidates["candidate_type"] == "long").sum()
    garch = indicators["volatility_source"] == "garch"
    assert garch.any()
    assert (indicators.loc[garch, "n_returns"] == 120).all()


def test_the_report_shows_them(catalog: DataCatalog) -> None:
    section = catalog.load("candidate_section")
    titles = [table["title"] for table in section["tables"]]
    latest = catalog.load("sector_candidates")["month"].max()
    assert titles[0].startswith(f"Candidates of {latest}")
    assert titles[1:] == ["Sectors", "Volatility"]
    assert "GARCH" in section["lead"]
    drawn = catalog.load("candidate_coverage_figure")["data"]
    assert [line["name"] for line in drawn] == ["GARCH(1,1)", "EWMA instead"]
    shares = np.array([line["y"] for line in drawn], dtype=float)
    assert (shares.sum(axis=0) <= 1.0 + 1e-5).all()
    assert len(catalog.load("candidate_count_figure")["data"]) == 2


def test_everything_shows_in_kedro_viz(catalog: DataCatalog) -> None:
    for name in (
        "sector_indicators", "sector_candidates", "candidate_outcomes",
        "candidate_costs", "candidate_section", "candidate_coverage_figure",
        "candidate_count_figure",
    ):  # fmt: skip
        assert json.dumps(catalog.get(name).preview(), default=str) != "{}", name


def test_a_second_run_fits_nothing_and_gives_the_same(
    place: Place, catalog: DataCatalog, caplog: pytest.LogCaptureFixture
) -> None:
    before = catalog.load("sector_indicators")
    place.run(ONLY, params=CHOICE)
    told = [one.message for one in caplog.records if one.levelname == "WARNING"]
    assert sum("sectors are undated or never change" in text for text in told) == 1
    again = place.catalog()
    pd.testing.assert_frame_equal(before, again.load("sector_indicators"))
    costs = again.load("candidate_costs")[0]
    assert costs["n_cached"] == costs["n_jobs"] > 0


@pytest.mark.slow
def test_workers_and_cache_change_nothing(place: Place, catalog: DataCatalog) -> None:
    before = catalog.load("sector_indicators")
    other = {"engine": "loky", "workers": 2}
    place.run(ONLY, params={**CHOICE, "jobs": other, "cache": {"enabled": False}})
    again = place.catalog()
    pd.testing.assert_frame_equal(before, again.load("sector_indicators"))
    assert again.load("candidate_costs")[0]["n_cached"] == 0


def test_too_few_names_name_the_remedy(place: Place) -> None:
    few = {"candidate_selection": {**CHOICE["candidate_selection"],
           "min_sector_size": 13}}  # fmt: skip
    with pytest.raises(
        Exception, match=r"min_sector_size asks for 13.*--env=portfolio"
    ):
        place.run(ONLY, params={**CHOICE, **few})


@pytest.mark.slow
@pytest.mark.realdata
def test_real_bars_with_dated_sectors_and_membership(
    tmp_path: Path, real_data: Path
) -> None:
    """V moves from one sector to another in the middle; AMD joins the index late."""
    sectors = pd.read_csv(real_data / "sp500_sectors_2020.csv", keep_default_na=False)
    own = sectors.assign(valid_from="")
    moved = own[own["symbol"] == "V"].assign(
        sector="Financials", valid_from="2018-03-01"
    )
    path = tmp_path / "sectors.csv"
    pd.concat([own, moved]).to_csv(path, index=False)
    place = Place.make(tmp_path, "base")
    data = {
        "source": str(real_data / "sp500_daily_2015_2020.parquet"),
        "timezone": "America/New_York",
        "calendar": "XNYS",
        "sectors": str(path),
        "universe": str(real_data / "sp500_membership_spells.csv"),
        "features": {"factors": ["ret_1"]},
        "labels": {"targets": ["fwd_ret_1d"]},
    }
    choice = {
        "sectors": "it;financials", "first_month": "2016-10", "last_month": "2018-04",
        "volatility": {"min_returns": 750},
    }  # fmt: skip
    place.run("data_preparation", ONLY, params={"data": data, ONLY: choice})
    rows = place.load("sector_indicators").set_index(["month", "symbol"])
    assert rows.loc[("2018-03", "V"), "sector"] == "Information Technology"
    assert rows.loc[("2018-04", "V"), "sector"] == "Financials"
    scored = rows[rows["status"] == "ok"].reset_index()
    assert scored.loc[scored["symbol"] == "AMD", "month"].min() == "2017-04"
    counts = scored.groupby(["month", "sector"]).size()
    assert counts.between(50, 72).all()
    candidates = place.load("sector_candidates")
    sizes = candidates.groupby(["month", "sector", "candidate_type"]).size()
    expected = np.floor(0.15 * counts).astype(int)
    for leg in ("long", "short"):
        pd.testing.assert_series_equal(
            sizes.xs(leg, level="candidate_type"), expected, check_names=False
        )
