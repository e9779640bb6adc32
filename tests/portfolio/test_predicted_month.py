"""One month: the coverage rule, the legs, the weights, and no look ahead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
from tests.portfolio.prediction_world import (
    candidates,
    last_bar_before,
    market,
    moved_after,
    parameters,
    without_bars,
)

from ranking_pipeline.errors import UserError
from ranking_pipeline.portfolio import selection as selection_module
from ranking_pipeline.portfolio.predicted_month import predict_candidates
from ranking_pipeline.portfolio.selection import Holding, PortfolioSelection, Scorer
from ranking_pipeline.portfolio.selection_schema import (
    SelectionDocument,
    SelectionMetadata,
    check_selections,
)

MONTH = "2020-06"
SCHEMA = Path(selection_module.__file__).with_name("portfolio_selection.schema.json")


@pytest.fixture(scope="module")
def panel() -> Any:
    return market()


def energy(panel: Any, month: str = MONTH) -> pd.DataFrame:
    table = candidates(panel, month)
    return table[table["sector"] == "Energy"]


def scores(panel: Any) -> Any:
    """S00 scores 0.00, S01 scores 0.01, and so on."""
    return 0.01 * np.arange(panel.n_symbols)


def names(found: PortfolioSelection, leg: str = "long") -> list[str]:
    return [one.symbol for one in found.holdings if one.leg == leg]


def test_a_month_by_hand(panel: Any) -> None:
    found = predict_candidates(energy(panel), panel, scores(panel), parameters(top_n=4))
    # long candidates of Energy are S00 to S05; the best predicted come first
    assert names(found) == ["S05", "S04", "S03", "S02"]
    assert [one.score for one in found.holdings] == pytest.approx(
        [0.05, 0.04, 0.03, 0.02]
    )
    assert [one.weight for one in found.holdings] == [0.25] * 4
    assert [one.rank for one in found.holdings] == [1, 2, 3, 4]
    assert found.holdings[0].composite_score == pytest.approx(1 - 5 / 12)
    assert (found.month, found.sector, found.status) == (MONTH, "Energy", "done")
    assert (found.n_candidates, found.n_valid, found.excluded) == (6, 6, {})
    assert (found.asof_date, found.first_trading_date) == ("2020-05-29", "2020-06-01")
    assert found.timestamp == np.datetime64("2020-05-30")


def test_each_leg_is_ranked_on_its_own(panel: Any) -> None:
    how = parameters(candidate_type="both", top_n=3, weighting={"method": "rank"})
    found = predict_candidates(energy(panel), panel, scores(panel), how)
    assert names(found, "long") == ["S05", "S04", "S03"]
    # short candidates are S06 to S11; the worst predicted come first
    assert names(found, "short") == ["S06", "S07", "S08"]
    weights = {one.symbol: one.weight for one in found.holdings}
    assert weights == pytest.approx(
        {
            "S05": 3 / 6,
            "S04": 2 / 6,
            "S03": 1 / 6,
            "S06": -3 / 6,
            "S07": -2 / 6,
            "S08": -1 / 6,
        }
    )
    assert found.n_candidates == 12
    alone = predict_candidates(
        energy(panel), panel, scores(panel),
        parameters(candidate_type="short", top_n=3, weighting={"method": "rank"}),
    )  # fmt: skip
    assert alone.holdings == found.holdings[3:]


def test_ties_go_by_symbol_in_both_legs(panel: Any) -> None:
    how = parameters(candidate_type="both", top_n=2)
    shuffled = energy(panel).sample(frac=1, random_state=1)
    found = predict_candidates(shuffled, panel, np.zeros(panel.n_symbols), how)
    assert names(found, "long") == ["S00", "S01"]
    assert names(found, "short") == ["S06", "S07"]


def test_the_coverage_rule(panel: Any) -> None:
    bar = last_bar_before(panel, MONTH)
    # of 32 days 29 are enough for 90 %, and 28 are not
    thin = without_bars(panel, 1, slice(bar - 3, bar))
    thin = without_bars(thin, 2, slice(bar - 4, bar))
    thin = without_bars(thin, 3, slice(bar, bar + 1))
    # what is before the window does not count
    thin = without_bars(thin, 4, slice(0, bar - 31))
    thin = without_bars(thin, 5, slice(0, bar - 30 + 3))
    halted = thin.tradable.copy()
    halted[:2, bar] = False
    thin.values[0, bar, -1] = 0  # without volume; the other is no member any more
    object.__setattr__(thin, "tradable", halted)
    values = scores(panel)
    how = parameters(min_valid_stocks=1)
    found = predict_candidates(energy(panel), thin, values, how)
    assert {name: why.code for name, why in found.excluded.items()} == {
        "S00": "not_tradable",
        "S01": "not_member",
        "S02": "low_coverage",
        "S03": "missing_bar",
        "S05": "low_coverage",
    }
    assert found.excluded["S02"].sentence == "28 of the last 32 bars, fewer than 90 %"
    assert names(found) == ["S04"]
    assert (found.n_candidates, found.n_valid) == (6, 1)


def test_days_before_the_bars_begin_are_missing(panel: Any) -> None:
    early = panel.cut(slice(last_bar_before(panel, MONTH) - 27, panel.n_bars))
    with pytest.raises(UserError, match="0 of 6 long candidates are valid"):
        predict_candidates(energy(panel), early, scores(panel), parameters())


def test_a_name_without_a_score_is_excluded(panel: Any) -> None:
    values = scores(panel)
    values[5] = np.nan
    found = predict_candidates(energy(panel), panel, values, parameters())
    assert found.excluded["S05"].code == "score_not_finite"
    assert names(found)[0] == "S04"


def test_too_few_valid_names_fail_the_month(panel: Any) -> None:
    values = scores(panel)
    values[:2] = np.nan
    with pytest.raises(
        UserError, match=r"4 of 6 long candidates are valid \(S00: the model gave it no"
    ):
        predict_candidates(energy(panel), panel, values, parameters())
    found = predict_candidates(
        energy(panel), panel, values, parameters(min_valid_stocks=4)
    )
    assert found.n_valid == 4
    only_longs = energy(panel).query("candidate_type == 'long'")
    with pytest.raises(UserError, match="0 of 0 short candidates"):
        predict_candidates(
            only_longs, panel, scores(panel), parameters(candidate_type="both")
        )


def test_no_candidates_are_a_typed_result(panel: Any) -> None:
    found = predict_candidates(energy(panel)[:0], panel, scores(panel), parameters())
    assert (found.status, found.holdings, found.n_candidates) == (
        "no_candidates",
        (),
        0,
    )


def test_a_symbol_that_is_named_twice_counts_once(panel: Any) -> None:
    table = pd.concat([energy(panel), energy(panel)])
    found = predict_candidates(table, panel, scores(panel), parameters())
    assert found == predict_candidates(
        energy(panel), panel, scores(panel), parameters()
    )


def test_what_cannot_be_is_refused(panel: Any) -> None:
    table = energy(panel)
    how, values = parameters(), scores(panel)
    with pytest.raises(UserError, match="lacks the column symbol"):
        predict_candidates(table.drop(columns="symbol"), panel, values, how)
    with pytest.raises(
        UserError, match=r"'XYZ', which is not in the panel.*candidate_sel"
    ):
        predict_candidates(
            table.replace({"symbol": {"S03": "XYZ"}}), panel, values, how
        )
    later = table["timestamp"] + pd.Timedelta(days=3)
    with pytest.raises(
        UserError, match="is not before 2020-06, the month that it serves"
    ):
        predict_candidates(table.assign(timestamp=later), panel, values, how)
    never = table["timestamp"] + pd.Timedelta(hours=1)
    with pytest.raises(UserError, match="is not in the panel"):
        predict_candidates(table.assign(timestamp=never), panel, values, how)
    both = pd.concat([table, energy(panel, "2020-05")])
    with pytest.raises(UserError, match="2 months"):
        predict_candidates(both, panel, values, how)


@pytest.mark.parametrize(
    "method", ["equal", "volatility_scaled", "score_softmax", "risk_parity"]
)
def test_nothing_after_the_asof_bar_moves_a_selection(panel: Any, method: str) -> None:
    if method == "risk_parity":
        pytest.importorskip("skfolio")
    how = parameters(
        candidate_type="both", weighting={"method": method, "estimation_bars": 60}
    )
    bar = last_bar_before(panel, MONTH)
    found = predict_candidates(energy(panel), panel, scores(panel), how)
    moved = moved_after(panel, bar)
    assert predict_candidates(energy(panel), moved, scores(panel), how) == found
    weights = np.array([one.weight for one in found.holdings])
    assert weights[weights > 0].sum() == pytest.approx(1)
    assert weights[weights < 0].sum() == pytest.approx(-1)


def test_volatility_is_that_of_the_bars_before(panel: Any) -> None:
    how = parameters(weighting={"method": "volatility_scaled", "estimation_bars": 50})
    found = predict_candidates(energy(panel), panel, scores(panel), how)
    bar = last_bar_before(panel, MONTH)
    close = panel.field("close").astype(float)
    inverse = {}
    for one in found.holdings:
        path = close[panel.symbols.index(one.symbol), bar - 50 : bar + 1]
        inverse[one.symbol] = 1 / np.std(path[1:] / path[:-1] - 1, ddof=1)
    total = sum(inverse.values())
    for one in found.holdings:
        assert one.weight == pytest.approx(inverse[one.symbol] / total)


def test_an_estimated_weight_needs_history(panel: Any) -> None:
    bar = last_bar_before(panel, MONTH)
    young = without_bars(panel, 4, slice(0, bar - 40))
    still = young.values.copy()
    still[3] = 10.0
    object.__setattr__(young, "values", still)
    how = parameters(
        min_valid_stocks=4,
        weighting={"method": "volatility_scaled", "estimation_bars": 60},
    )
    found = predict_candidates(energy(panel), young, scores(panel), how)
    assert {name: why.code for name, why in found.excluded.items()} == {
        "S03": "no_variation",
        "S04": "short_history",
    }
    assert found.excluded["S04"].sentence.startswith("40 of the last 60 returns")
    # what a member did before it joined the universe is history too
    joined = panel.cut(slice(None))
    tradable = panel.tradable.copy()
    tradable[4, : bar - 40] = False
    object.__setattr__(joined, "tradable", tradable)
    whole = predict_candidates(energy(panel), panel, scores(panel), how)
    assert predict_candidates(energy(panel), joined, scores(panel), how) == whole
    # equal weights ask for no history
    free = predict_candidates(energy(panel), young, scores(panel), parameters())
    assert free.excluded == {}


def test_the_document_fits_its_schema(panel: Any) -> None:
    values = scores(panel)
    values[5] = np.nan
    scorer = Scorer(
        "model", "ridge v. 1a2b", "production", "1a2b", "ridge:x", "fwd_ret_5d"
    )
    both = parameters(candidate_type="both")
    schema = json.loads(SCHEMA.read_text("utf-8"))
    found = predict_candidates(energy(panel), panel, values, both)
    for one, source in (
        (found, scorer),
        (PortfolioSelection(MONTH), Scorer("algorithmic_only")),
    ):
        text = json.dumps(one.to_document(source), allow_nan=False)
        jsonschema.validate(json.loads(text), schema)
        check_selections([json.loads(text)])
    document = found.to_document(scorer)
    assert document["selected_stocks"][0] == "S04"
    assert document["portfolio_weights"]["S04"] == pytest.approx(0.2)
    meta = document["metadata"]
    assert meta["excluded_stocks"] == ["S05"]
    assert meta["exclusion_reasons"]["S05"]["code"] == "score_not_finite"
    assert (meta["sector"], meta["date"]) == ("energy", "2020-06-01")
    assert (meta["num_candidates"], meta["valid_stocks"]) == (12, 11)
    assert (meta["model_version"], meta["entry_lag_bars"]) == ("ridge v. 1a2b", 1)


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("predicted_scores", [0.1], "one score per symbol"),
        ("portfolio_weights", {"AA": 0.7, "BB": 0.2}, "long leg sums to 0.9"),
        ("legs", {"AA": "long"}, "legs is not of the selected_stocks"),
        ("source", "guess", "model"),
        ("comment", "", "Extra inputs"),
    ],
)
def test_a_document_that_breaks_its_contract_is_not_saved(
    name: str, value: Any, fault: str
) -> None:
    names = ["AA", "BB"]
    document = PortfolioSelection(
        MONTH,
        "all",
        holdings=tuple(Holding(n, "long", 1, 0.1, 0.5, 0.5) for n in names),
    ).to_document(Scorer("algorithmic_only"))
    check_selections([document])
    with pytest.raises(ValueError, match=fault):
        check_selections([document | {name: value}])


def test_both_schemas_name_the_same_keys() -> None:
    schema = json.loads(SCHEMA.read_text("utf-8"))
    assert set(SelectionDocument.model_fields) == set(schema["properties"])
    told = set(schema["properties"]["metadata"]["properties"])
    assert set(SelectionMetadata.model_fields) == told


def test_a_name_without_weight_is_not_held(panel: Any) -> None:
    how = parameters(top_n=6, weighting={"method": "score_proportional"})
    found = predict_candidates(energy(panel), panel, scores(panel), how)
    # S00 scores nothing
    assert names(found) == ["S05", "S04", "S03", "S02", "S01"]
    assert [one.rank for one in found.holdings] == [1, 2, 3, 4, 5]
    assert found.excluded["S00"].code == "weight_zero"
    check_selections([found.to_document(Scorer("algorithmic_only"))])
