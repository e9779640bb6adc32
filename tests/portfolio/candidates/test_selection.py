"""Candidates from end to end: who is chosen, when, and what they cannot know."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.portfolio.candidates.candidate_world import (
    config_of,
    panel_of,
    plain_volatility,
    random_market,
)

from ranking_pipeline.datasets.candidate_schemas import (
    SectorCandidates,
    SectorIndicators,
)
from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import Panel
from ranking_pipeline.portfolio.candidates.selection import (
    SelectedCandidates,
    select_candidates,
)

Base = dict[str, Any]


def choose(panel: Panel, base: Base, **changes: Any) -> SelectedCandidates:
    return select_candidates(panel, config_of(base, **changes), plain_volatility)


def status_of(made: SelectedCandidates, month: str, symbol: str) -> str:
    rows = made.indicators.set_index(["month", "symbol"])
    return str(rows.loc[(month, symbol), "status"])


def test_the_tables_keep_their_promises(base_parameters: Base) -> None:
    made = choose(random_market(), base_parameters)
    SectorIndicators.validate(made.indicators)
    SectorCandidates.validate(made.candidates)
    months = made.candidates["month"].unique().tolist()
    assert months[0] == "2019-12"  # 41 bars after 1 October
    assert months == made.outcomes["month"].unique().tolist()
    assert made.candidates["asof_date"].unique()[0] == "2019-11-29"
    stamps = made.candidates["timestamp"].dt.strftime("%Y-%m")
    assert (stamps <= made.candidates["month"]).all()
    counts = made.candidates.groupby(["month", "sector", "candidate_type"]).size()
    assert (counts == 1).all()  # 15 % of 13 names


def test_the_best_and_the_worst_of_a_sector_are_chosen(base_parameters: Base) -> None:
    rates = np.linspace(-0.003, 0.003, 26)
    made = choose(
        panel_of(np.exp(np.outer(rates, np.arange(120))), np.arange(26) % 2),
        base_parameters,
        top_k_ratio=0.2,
    )
    last = made.candidates[made.candidates["month"] == "2020-03"]
    chosen = {
        leg: rows.sort_values("rank")["symbol"].tolist()
        for leg, rows in last[last["sector"] == "Utilities"].groupby("candidate_type")
    }
    assert chosen == {"long": ["S025", "S023"], "short": ["S001"]}
    assert (last["gics_code"] == last["sector"].map({"Energy": "10", "Utilities": "55"})
            ).all()  # fmt: skip


@pytest.mark.parametrize("what", ["prices", "volume", "sectors", "members"])
@settings(max_examples=6, deadline=None)
@given(month=st.integers(0, 5), seed=st.integers(0, 99))
def test_what_comes_after_an_as_of_bar_changes_no_earlier_month(
    base_parameters: Base, what: str, month: int, seed: int
) -> None:
    panel = random_market()
    before = choose(panel, base_parameters)
    stamp = np.sort(before.outcomes["timestamp"].unique())[month]
    bar = int(np.searchsorted(panel.timestamps, np.datetime64(stamp.tz_localize(None))))
    later = choose(_moved(panel, bar + 1, what, seed), base_parameters)
    for name in ("indicators", "candidates", "outcomes"):
        old, new = getattr(before, name), getattr(later, name)
        pd.testing.assert_frame_equal(
            old[old["timestamp"] <= stamp], new[new["timestamp"] <= stamp],
            check_exact=True,
        )  # fmt: skip
    if month < 5:
        assert not before.indicators.equals(later.indicators)


def _moved(panel: Panel, first: int, what: str, seed: int) -> Panel:
    """Change everything of one kind from bar ``first`` on."""
    rng = np.random.default_rng(seed)
    shape = (panel.n_symbols, panel.n_bars - first)
    values, sectors = panel.values.copy(), panel.sectors.copy()
    tradable = panel.tradable.copy()
    if what == "prices":
        values[:, first:, :4] *= np.exp(rng.normal(0, 0.5, shape))[:, :, None]
    elif what == "volume":
        values[:, first:, 4] *= rng.integers(0, 2, shape)
    elif what == "sectors":
        sectors[:, first:] = rng.integers(-1, 2, shape)
    else:
        tradable[:, first:] &= rng.random(shape) < 0.9
    return replace(panel, values=values, sectors=sectors, tradable=tradable)


def test_bars_that_are_cut_off_change_nothing_before_them(
    base_parameters: Base,
) -> None:
    panel = random_market()
    whole = choose(panel, base_parameters)
    half = choose(panel.cut(slice(0, 130)), base_parameters)
    last = half.candidates["month"].max()
    old = whole.candidates[whole.candidates["month"] <= last]
    assert last < whole.candidates["month"].max()
    pd.testing.assert_frame_equal(old, half.candidates, check_exact=True)


def test_a_name_competes_in_the_sector_of_the_as_of_date(base_parameters: Base) -> None:
    panel = random_market()
    sectors = panel.sectors.copy()
    moved = int(np.searchsorted(panel.trading_dates, np.datetime64("2020-02-10")))
    sectors[0, moved:] = 1
    sectors[2, moved:] = -1
    made = choose(replace(panel, sectors=sectors), base_parameters)
    rows = made.indicators.set_index(["month", "symbol"])
    assert rows.loc[("2020-02", "S000"), ["sector", "gics_code"]].tolist() == [
        "Energy", "10",
    ]  # fmt: skip
    assert rows.loc[("2020-03", "S000"), "sector"] == "Utilities"
    assert status_of(made, "2020-03", "S002") == "no_sector"
    assert rows.loc[("2020-03", "S002"), "sector"] == ""
    named = made.candidates.merge(made.indicators, on=["month", "symbol"])
    assert (named["sector_x"] == named["sector_y"]).all()


def test_halted_late_and_departed_names_are_told_apart(base_parameters: Base) -> None:
    panel = random_market()
    values, tradable = panel.values.copy(), panel.tradable.copy()
    asof = int(np.searchsorted(panel.trading_dates, np.datetime64("2020-03-31")))
    tradable[0, asof] = False  # halted on the as-of bar
    values[0, asof, 4] = 0.0
    tradable[4, asof] = False  # traded, and no member of the universe any more
    values[1, :100] = np.nan  # listed in February
    tradable[1, :100] = False
    values[2, 90:] = np.nan  # gone since February
    tradable[2, 90:] = False
    tradable[3, : asof - 1] = False  # a member of the universe since yesterday
    made = choose(
        replace(panel, values=values, tradable=tradable),
        base_parameters,
        min_sector_size=5,
    )
    assert status_of(made, "2020-04", "S000") == "not_tradable"
    assert status_of(made, "2020-04", "S004") == "not_member"
    assert status_of(made, "2020-04", "S001") == "short_history"
    assert status_of(made, "2020-04", "S003") == "ok"  # its past prices were known
    months = made.indicators.set_index("symbol").loc["S002", "month"]
    assert months.max() == "2020-03"
    chosen = made.candidates[made.candidates["month"] == "2020-04"]["symbol"]
    assert not {"S000", "S001", "S002", "S004"} & set(chosen)
    april = made.outcomes[made.outcomes["month"] == "2020-04"].set_index("sector")
    counts = ["n_names", "n_scored", "n_not_tradable", "n_not_member"]
    assert april.loc["Energy", counts].tolist() == [12, 10, 1, 1]
    assert april.loc["Utilities", "n_short_history"] == 1


def test_a_small_sector_is_skipped_with_its_reason(base_parameters: Base) -> None:
    panel = random_market()
    sectors = np.where(np.arange(26)[:, None] < 6, 0, 1) * np.ones_like(panel.sectors)
    made = choose(
        replace(panel, sectors=sectors.astype(np.int16)),
        base_parameters,
        min_sector_size=7,
    )
    by_sector = made.outcomes.groupby("sector")
    assert by_sector["status"].unique().map(list).to_dict() == {
        "Energy": ["sector_too_small"], "Utilities": ["ok"],
    }  # fmt: skip
    assert made.candidates["sector"].unique().tolist() == ["Utilities"]
    energy = made.indicators[made.indicators["sector"] == "Energy"]
    assert (energy["status"] == "sector_too_small").all()
    assert energy["composite_score"].isna().all()
    assert energy["momentum"].notna().all()


def test_only_the_sectors_asked_for_appear(base_parameters: Base) -> None:
    both = choose(random_market(), base_parameters)
    one = choose(random_market(), base_parameters, sectors="utilities")
    assert one.indicators["sector"].unique().tolist() == ["Utilities"]
    own = both.candidates[both.candidates["sector"] == "Utilities"]
    pd.testing.assert_frame_equal(own.reset_index(drop=True), one.candidates)


def test_a_sector_of_the_users_own_needs_its_windows(base_parameters: Base) -> None:
    panel = replace(random_market(), sector_names=("Energy", "Space"))
    made = choose(panel, base_parameters)
    space = made.indicators[made.indicators["sector"] == "Space"]
    assert (space["status"] == "no_windows").all()
    windows = {
        "energy": {"moving_average_bars": 20, "momentum_bars": 30},
        "Space": {"moving_average_bars": 10, "momentum_bars": 20},
    }
    made = choose(panel, base_parameters, sector_windows=windows)
    assert set(made.candidates["sector"]) == {"Energy", "Space"}
    assert set(made.candidates["gics_code"]) == {"10", ""}


def test_no_candidates_at_all_names_the_remedy(base_parameters: Base) -> None:
    with pytest.raises(UserError, match="--env=portfolio") as problem:
        choose(random_market(), base_parameters, min_sector_size=20)
    assert "the largest has 13 names" in str(problem.value)
    assert "min_sector_size" in str(problem.value)


def test_equal_composites_are_ties_that_go_by_symbol(base_parameters: Base) -> None:
    """Of 3 x 13 places many sums are equal, and differ only by how they are rounded."""
    made = choose(random_market(), base_parameters, top_k_ratio=0.5, bottom_k_ratio=0.5)
    ties = 0
    for _, rows in made.candidates.groupby(["month", "sector"]):
        order = rows.sort_values(["composite_score", "symbol"], ascending=[False, True])
        longs = order[order["candidate_type"] == "long"]
        shorts = order[order["candidate_type"] == "short"]
        assert longs["rank"].tolist() == list(range(1, len(longs) + 1))
        assert shorts["rank"].tolist() == list(range(len(shorts), 0, -1))
        ties += int(order["composite_score"].duplicated().sum())
    assert ties > 5


def test_one_sector_alone_is_enough(base_parameters: Base) -> None:
    panel = replace(
        random_market(),
        sectors=np.zeros((26, 200), dtype=np.int16),
        sector_names=("Energy",),
    )
    made = choose(panel, base_parameters)
    assert set(made.candidates["sector"]) == {"Energy"}
    counts = made.candidates.groupby(["month", "candidate_type"]).size()
    assert (counts == 3).all()  # 15 % of 26 names
    empty = made.outcomes[made.outcomes["sector"] == "Utilities"]
    assert set(empty["status"]) == {"no_names"}


def test_the_cap_counts_over_all_sectors(base_parameters: Base) -> None:
    made = choose(random_market(), base_parameters, max_candidates=1)
    counts = made.candidates.groupby(["month", "candidate_type"]).size()
    assert (counts == 1).all()
    with_all = choose(random_market(), base_parameters)
    for _month, rows in with_all.candidates.groupby("month"):
        longs = rows[rows["candidate_type"] == "long"]
        best = longs.loc[longs["composite_score"].idxmax(), "symbol"]
        kept = made.candidates.query("month == @_month and candidate_type == 'long'")
        assert kept["symbol"].tolist() == [best]
