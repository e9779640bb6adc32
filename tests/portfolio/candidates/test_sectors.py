"""Sectors by name, and the parameters that name them."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from ranking_pipeline.bars.market import SECTOR_NAMES
from ranking_pipeline.errors import UserError
from ranking_pipeline.portfolio.candidates.config import CandidateSelectionConfig
from ranking_pipeline.portfolio.candidates.sectors import (
    GICS,
    Sector,
    chosen_sectors,
    find_sector,
    known_sectors,
    sector_of,
)

SHORT = [sector.short for sector in GICS]


def section(base: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**base["candidate_selection"], **changes}


def test_the_eleven_sectors_of_gics() -> None:
    assert len(GICS) == 11
    assert [int(s.gics_code) for s in GICS] == list(range(10, 61, 5))
    assert sorted(sector.name for sector in GICS) == list(SECTOR_NAMES)


@pytest.mark.parametrize(
    "text", ["it", "IT", "45", "Information Technology", "information technology "]
)
def test_a_sector_has_a_short_name_a_full_name_and_a_code(text: str) -> None:
    assert sector_of(text) == Sector("it", "Information Technology", "45")


def test_a_former_name_is_known() -> None:
    assert sector_of("Telecommunication Services").short == "telecoms"


def test_an_unknown_sector_is_told_with_all_that_are_known() -> None:
    with pytest.raises(UserError, match="'tech' is no known sector") as problem:
        find_sector("tech", known_sectors([*SHORT, "Space"]), "sector", "Use one.")
    assert all(short in str(problem.value) for short in [*SHORT, "Space"])
    assert str(problem.value).startswith("sector: ")
    assert str(problem.value).endswith(" Use one.")


def test_all_takes_every_configured_sector_in_the_order_of_the_codes() -> None:
    chosen = chosen_sectors(["all"], ["Space", "it", "energy"])
    assert [sector.name for sector in chosen] == [
        "Energy", "Information Technology", "Space",
    ]  # fmt: skip
    assert chosen[-1].gics_code == ""


def test_the_shipped_windows_are_those_of_the_definition(
    base_parameters: dict[str, Any],
) -> None:
    config = CandidateSelectionConfig.model_validate(section(base_parameters))
    windows = {
        sector.short: (own.moving_average_bars, own.momentum_bars)
        for sector, own in config.windows().items()
    }
    assert windows == {
        "utilities": (60, 120), "cons_staples": (60, 120), "telecoms": (55, 110),
        "industrials": (50, 100), "re": (50, 100), "energy": (45, 90),
        "materials": (45, 90), "cons_discretionary": (40, 80), "healthcare": (35, 70),
        "financials": (30, 60), "it": (25, 50),
    }  # fmt: skip
    assert config.chosen() == GICS
    assert config.history_bars() == 121
    short = {name: {"moving_average_bars": 60, "momentum_bars": 20} for name in windows}
    slow = config.model_validate(section(base_parameters) | {"sector_windows": short})
    assert slow.history_bars() == 60 + config.slope_bars
    weights = config.weights
    assert (weights.momentum, weights.moving_average, weights.volatility) == (
        0.5, 0.3, 0.2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sectors": "it;tech"}, "'tech' is no known sector"),
        ({"sectors": ["Space"]}, "sector_windows"),
        ({"weights": {"momentum": 0.5, "moving_average": 0.3, "volatility": 0.3}}, "1.1"),
        ({"first_month": "2019-13"}, "2019-13 is no month: write year, dash and two"),
        ({"last_month": 201901}, "201901 is no month"),
        ({"last_month": date(2019, 1, 31)}, "2019-01-31 is no month"),
        ({"sectors": [True]}, "put names in quotes"),
        ({"sectors": 36}, "'36' is no known sector"),
        ({"first_month": "2019-05", "last_month": "2019-04"}, "lies before"),
        ({"top_k_ratio": 0.6}, "0.5"),
        ({"sector_window": {}}, "sector_window"),
    ],
)  # fmt: skip
def test_wrong_parameters_are_refused(
    base_parameters: dict[str, Any], changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValidationError, match=told):
        CandidateSelectionConfig.model_validate(section(base_parameters, **changes))


def test_codes_may_be_numbers_and_names_may_hold_quotes(
    base_parameters: dict[str, Any],
) -> None:
    own = 'Women\'s "wear"'
    windows = {"moving_average_bars": 20, "momentum_bars": 30}
    changes = {
        "sectors": [45, own],
        "sector_windows": {"it": windows, own: windows},
    }
    config = CandidateSelectionConfig.model_validate(
        section(base_parameters, **changes)
    )
    assert [one.short for one in config.chosen()] == ["it", own]
    alone = CandidateSelectionConfig.model_validate(
        section(base_parameters, **changes | {"sectors": 45})
    )
    assert [one.short for one in alone.chosen()] == ["it"]


def test_two_names_of_one_sector_are_refused(base_parameters: dict[str, Any]) -> None:
    windows = {"moving_average_bars": 20, "momentum_bars": 30}
    both = {"energy": windows, "Energy": windows}
    with pytest.raises(ValidationError, match="same sector"):
        CandidateSelectionConfig.model_validate(
            section(base_parameters, sector_windows=both)
        )
