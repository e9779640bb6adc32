"""The section on candidates: its shares count the names that were measured."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from tests.portfolio.candidates.candidate_world import (
    config_of,
    plain_volatility,
    random_market,
)

from ranking_pipeline.evaluation.candidate_cautions import cautions
from ranking_pipeline.evaluation.candidate_section import (
    candidate_section,
)
from ranking_pipeline.evaluation.section import Section
from ranking_pipeline.portfolio.candidates.selection import select_candidates


def section_of(base: dict[str, Any], *, garch: bool, own: str = "Utilities") -> Section:
    """Of a market whose second sector is ``own``."""
    panel = replace(random_market(), sector_names=("Energy", own))
    made = select_candidates(panel, config_of(base), plain_volatility)
    indicators, outcomes = made.indicators, made.outcomes
    if garch:
        first = outcomes["month"] == outcomes["month"].min()
        outcomes = outcomes.assign(
            status=outcomes["status"].mask(first, "sector_too_small"),
            n_garch=outcomes["n_scored"].mask(first, 0),
        )
    return candidate_section(indicators, made.candidates, outcomes)


def column(section: Section, table: int, label: str) -> list[Any]:
    shown = section.tables[table]
    place = [one.label for one in shown.columns].index(label)
    return [row[place] for row in shown.rows]


def test_months_in_which_a_sector_was_too_small_do_not_dilute_its_coverage(
    base_parameters: dict[str, Any],
) -> None:
    section = section_of(base_parameters, garch=True)
    assert column(section, 1, "GARCH") == [1.0, 1.0]
    plain = section_of(base_parameters, garch=False)
    assert column(plain, 1, "GARCH") == [0.0, 0.0]
    json.dumps(section.to_dict(), allow_nan=False)


def test_a_sector_without_windows_is_named(base_parameters: dict[str, Any]) -> None:
    assert "sector_windows" not in section_of(base_parameters, garch=False).lead
    lead = section_of(base_parameters, garch=False, own="Space").lead
    assert "because candidate_selection.sector_windows lacks them: Space. " in lead


def test_sectors_without_a_change_are_told(base_parameters: dict[str, Any]) -> None:
    section = section_of(base_parameters, garch=False)
    told = "carries today's sector in the past"
    assert told in section.lead
    assert "EWMA for 100.0 %" in section.lead
    panel = random_market()
    panel.sectors[0, 150:] = 1  # as of a date, one name moves
    made = select_candidates(panel, config_of(base_parameters), plain_volatility)
    assert not cautions(made.indicators, made.outcomes)
    last = {"first_month": "2020-06", "last_month": "2020-06"}
    one = select_candidates(panel, config_of(base_parameters, **last), plain_volatility)
    assert not cautions(one.indicators, one.outcomes)


def test_a_month_that_is_decided_early_is_told(base_parameters: dict[str, Any]) -> None:
    panel = random_market()
    panel.sectors[0, 150:] = 1
    asked = config_of(base_parameters, last_month="2020-08")
    made = select_candidates(panel, asked, plain_volatility)
    outcomes = made.outcomes
    assert set(outcomes.loc[outcomes["early"], "month"]) == {"2020-08"}
    (told,) = cautions(made.indicators, outcomes)
    assert told.startswith("2020-08 is decided early, at the close of 2020-07-06")


def test_what_fell_back_is_told_by_its_reason(base_parameters: dict[str, Any]) -> None:
    made = select_candidates(
        random_market(), config_of(base_parameters), plain_volatility
    )
    of_first = made.indicators["symbol"] == "S000"
    reasons = pd.Series("few_returns", made.indicators.index).mask(of_first, "ties")
    section = candidate_section(
        made.indicators.assign(volatility_reason=reasons),
        made.candidates,
        made.outcomes,
    )
    assert column(section, 2, "why") == ["few_returns", "ties"]
    assert column(section, 2, "volatility") == ["EWMA instead"] * 2
    assert sum(column(section, 2, "share")) == pytest.approx(1.0)


def test_a_sector_that_never_has_candidates_is_told(
    base_parameters: dict[str, Any],
) -> None:
    windows = {
        "energy": {"moving_average_bars": 20, "momentum_bars": 5000},
        "utilities": {"moving_average_bars": 30, "momentum_bars": 40},
    }
    how = config_of(base_parameters, sector_windows=windows, first_month="2020-05")
    made = select_candidates(random_market(), how, plain_volatility)
    (told,) = [
        one for one in cautions(made.indicators, made.outcomes) if "any month" in one
    ]
    assert told.startswith(
        "No candidates in any month from Energy (at most 0 of 13 names could be scored, "
        "13 had too short a history)"
    )


def test_a_share_that_never_changes_is_no_figure(
    base_parameters: dict[str, Any],
) -> None:
    flat = section_of(base_parameters, garch=False)
    assert [one.title for one in flat.figures] == ["Candidates of each month"]
