"""Many months: each with its outcome, one call of the model, and no seen bars."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from tests.portfolio.prediction_world import (
    SECTORS,
    FakeModel,
    candidates,
    last_bar_before,
    market,
    moved_after,
    parameters,
)

from ranking_pipeline.datasets import CsvDataset
from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.prediction_section import prediction_section
from ranking_pipeline.evaluation.prediction_text import (
    selection_rows,
    selection_text,
    selections_markdown,
)
from ranking_pipeline.pipelines.prediction.nodes import (
    predict_portfolios,
    show_portfolios,
)
from ranking_pipeline.portfolio.month_outcomes import without_portfolio
from ranking_pipeline.portfolio.predicted_months import Predicted, predict_months
from ranking_pipeline.portfolio.prediction_tables import (
    batch_table,
    flat_results,
    month_files,
    outcome_table,
)
from ranking_pipeline.portfolio.score_band import training_bars
from ranking_pipeline.portfolio.selection import PortfolioSelection
from ranking_pipeline.portfolio.selection_schema import check_selections
from ranking_pipeline.portfolio.served_model import scorer_of, served_model
from ranking_pipeline.portfolio.trade_range import wanted_months, wanted_sectors
from ranking_pipeline.storage import PanelHandle, sha256_file, write_panel

MONTHS = ("2020-03", "2020-04", "2020-05", "2020-06")
RANGE = {"first_month": MONTHS[0], "last_month": MONTHS[-1]}


@pytest.fixture(scope="module")
def panel() -> Any:
    return market()


def predicted(panel: Any, table: Any, model: Any, **how: Any) -> Any:
    return predict_months(table, panel, None, model, parameters(**how))


def statuses(found: Any) -> list[tuple[str, str, str]]:
    return [(one.month, one.sector, one.status) for one in found.outcomes]


def test_every_month_and_sector_by_one_call_of_the_model(panel: Any) -> None:
    model = FakeModel()
    found = predicted(panel, candidates(panel, *MONTHS), model, **RANGE)
    assert statuses(found) == [(m, s, "done") for m in MONTHS for s in SECTORS]
    bars = [last_bar_before(panel, month) for month in MONTHS]
    assert model.asked == [[*bars, panel.n_bars - 1]]
    table = batch_table(found.selections, scorer_of(model, 1))
    assert list(table.columns) == [
        "month", "sector", "timestamp", "date", "symbol", "leg", "rank", "score",
        "composite_score", "weight", "source", "model_version",
    ]  # fmt: skip
    assert not table.duplicated(["month", "sector", "symbol"]).any()
    sums = table.groupby(["month", "sector", "leg"])["weight"].sum()
    np.testing.assert_allclose(sums, 1.0)
    close = panel.cross_sections("close").astype(float)
    for row in table.itertuples():
        bar = last_bar_before(panel, row.month)
        column = panel.symbols.index(row.symbol)
        assert row.timestamp == pd.Timestamp(panel.timestamps[bar], tz="UTC")
        wanted = close[bar, column] / close[bar - 10, column] - 1
        assert row.score == pytest.approx(wanted, rel=1e-5)


def test_the_latest_month_is_the_default(panel: Any) -> None:
    table = candidates(panel, *MONTHS)
    assert wanted_months(table, parameters()) == ["2020-06"]
    assert wanted_months(table, parameters(first_month="2020-05")) == [*MONTHS[2:]]
    assert wanted_months(table, parameters(year=2020, month=4)) == ["2020-04"]
    single = parameters(year=2020, month=4, first_month="2020-02")
    assert wanted_months(table, single) == ["2020-04"]
    months = wanted_months(
        table, parameters(first_month="2019-11", last_month="2020-02")
    )
    assert months == ["2019-11", "2019-12", "2020-01", "2020-02"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"year": 2020, "month": 13}, "less than or equal to 12"),
        ({"year": 2020, "month": 0}, "greater than or equal to 1"),
        ({"year": 20, "month": 1}, "greater than or equal to 1900"),
        ({"month": 6}, "year and month together"),
        ({"last_month": "2020-06"}, "last_month needs first_month"),
        ({"first_month": "2020-6"}, "2020-6 is no month: write year, dash"),
        ({"first_month": 202006}, "202006 is no month"),
        ({"first_month": date(2020, 6, 1)}, "2020-06-01 is no month"),
        ({"first_month": "2020-06\n"}, "is no month"),
        ({"first_month": "\u0662020-06"}, "is no month"),
        ({"sector": [True]}, "put names in quotes"),
        ({"sector": ""}, "at least 1 item"),
        ({"first_month": "2020-06", "last_month": "2020-05"}, "before first_month"),
        ({"sector": "all;energy"}, "all, or names"),
        ({"top_n": 0}, "greater than 0"),
        ({"candidate_type": "longs"}, "'long', 'short' or 'both'"),
    ],
)
def test_wrong_parameters_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        parameters(**changes)


def test_sectors_are_known_by_several_names(panel: Any) -> None:
    table = candidates(panel, "2020-06")
    for name in ("healthcare", "Health Care", "35", 35):
        assert wanted_sectors(table, parameters(sector=name)) == ["Health Care"]
    assert wanted_sectors(table, parameters(sector="35;energy")) == [*SECTORS]
    assert wanted_sectors(table, parameters()) == [*SECTORS]
    assert wanted_sectors(table, parameters(sector="utilities")) == ["Utilities"]
    named = 'my "own" | it\'s'
    own = table.replace({"sector": {"Energy": named}})
    assert wanted_sectors(own, parameters(sector=named)) == [named]
    with pytest.raises(
        UserError,
        match=r"prediction\.sector: 'health' is no known.*healthcare \(35, Health Care\)",
    ):
        wanted_sectors(table, parameters(sector="health"))


def test_failing_months_are_outcomes_and_stop_no_other(panel: Any) -> None:
    table = candidates(panel, *MONTHS)
    table = table[table["month"] != "2020-04"]  # never chosen
    of_march = (table["month"] == "2020-03") & (table["sector"] == "Energy")
    longs = table["candidate_type"] == "long"
    table = table[~(of_march & longs)]  # shorts only
    of_may = (table["month"] == "2020-05") & (table["sector"] == "Health Care")
    table = table[~(of_may & (table["rank"] > 4))]  # too few
    found = predicted(panel, table, FakeModel(), **RANGE)
    assert statuses(found) == [
        ("2020-03", "Energy", "no_candidates"),
        ("2020-03", "Health Care", "done"),
        ("2020-04", "Energy", "failed"),
        ("2020-04", "Health Care", "failed"),
        ("2020-05", "Energy", "done"),
        ("2020-05", "Health Care", "failed"),
        ("2020-06", "Energy", "done"),
        ("2020-06", "Health Care", "done"),
    ]
    reasons = [one.reason for one in found.outcomes]
    assert reasons[0] == "no long candidate in Energy"
    assert "run kedro run --pipelines=candidate_selection" in reasons[2]
    assert "4 of 4 long candidates are valid" in reasons[5]
    rows = outcome_table(found.outcomes, scorer_of(FakeModel(), 1))
    assert rows["n_selected"].tolist() == [0, 6, 0, 0, 6, 0, 6, 6]
    assert len(found.selections) == 5
    whole = predicted(panel, candidates(panel, *MONTHS), FakeModel(), **RANGE)
    assert found.outcomes[1] == whole.outcomes[1]
    assert found.outcomes[4] == whole.outcomes[4]


def test_a_run_in_which_all_failed_raises(panel: Any) -> None:
    table = candidates(panel, *MONTHS)
    long_ago = {"first_month": "2010-01", "last_month": "2017-12"}
    with pytest.raises(
        UserError,
        match=r"(?s)none of 192.*96 months.*\(2010-01 to 2017-12; Energy, Health Care\): "
        r"no candidates were chosen, .* for 2020-03 to 2020-06: .*candidate_selection",
    ) as problem:
        predicted(panel, table, FakeModel(), **long_ago)
    assert len(str(problem.value).splitlines()) == 2
    with pytest.raises(UserError, match="none of 8 portfolios"):
        predicted(panel, table, FakeModel(unscored=(0, 1, 12, 13, 14)), **RANGE)
    # an empty result would pass for the newest portfolios
    with pytest.raises(
        UserError, match=r"(?s)no long candidate in Utilities.*prediction\.sector"
    ):
        predicted(panel, table, FakeModel(), sector="utilities")


def test_a_reason_is_told_once(panel: Any, caplog: pytest.LogCaptureFixture) -> None:
    table = candidates(panel, *MONTHS)
    with pytest.raises(UserError, match="none of 8"):
        predicted(panel, table, FakeModel(unscored=(0, 1, 12, 13, 14)), **RANGE)
    assert not caplog.records  # the error has them
    # what fails beside others is told by the log
    found = predicted(panel, table, FakeModel(unscored=(12, 13, 14)), **RANGE)
    failed = [one for one in found.outcomes if one.status == "failed"]
    assert len(failed) == 4
    (missing,) = (one.message for one in caplog.records)
    assert missing.startswith("4 months without a portfolio (2020-03, ")
    assert failed[0].reason in missing


def test_months_without_a_portfolio_are_warned_of_once_for_each_reason(
    panel: Any, caplog: pytest.LogCaptureFixture
) -> None:
    table = candidates(panel, *MONTHS)
    model = FakeModel(until=panel.timestamps[last_bar_before(panel, "2020-04")])
    no_energy = (table["sector"] == "Energy") & (table["month"] > "2020-04")
    predicted(panel, table[~no_energy], model, **RANGE)
    assert [one.message for one in caplog.records] == [
        "2 months without a portfolio (2020-03, 2020-04): the model has seen these bars: "
        "fake v. 01234567 was informed until 2020-03-31, and the as-of bar is of "
        "2020-03-31",
        "2 months without a portfolio (2020-05, 2020-06): no long candidate in Energy",
    ]


def test_scores_unlike_those_of_the_training_are_warned_of(
    panel: Any, caplog: pytest.LogCaptureFixture
) -> None:
    table, bar = candidates(panel, "2020-06"), last_bar_before(panel, "2020-06")
    band = {"deviations": 6.0, "bars": 5}
    month = {"year": 2020, "month": 6, "score_band": band}
    model = FakeModel()
    predicted(panel, table, model, **month)
    assert not caplog.records
    informed = np.flatnonzero(panel.timestamps <= model.until)[-5:].tolist()
    assert model.asked == [[*informed, bar, panel.n_bars - 1]]
    values = panel.values.copy()
    values[3, bar] *= 40
    predicted(replace(panel, values=values), table, FakeModel(), **month)
    (told,) = [one.message for one in caplog.records]
    assert told.startswith("2020-06: 1 score (S03) outside -")
    # a model that does not tell what it has seen has no band
    assert len(training_bars(panel, None, parameters(score_band=band).score_band)) == 0


def test_months_that_the_model_has_seen_are_refused(panel: Any) -> None:
    bar = last_bar_before(panel, "2020-04")
    table = candidates(panel, *MONTHS)
    model = FakeModel(until=panel.timestamps[bar])
    found = predicted(panel, table, model, per_sector=False, **RANGE)
    assert [one.status for one in found.outcomes] == [
        "in_sample",
        "in_sample",
        "done",
        "done",
    ]
    assert (
        "the model has seen these bars: fake v. 01234567 was informed until 2020-03-31"
        in (found.outcomes[1].reason)
    )
    assert min(model.asked[0]) > bar
    before = FakeModel(until=panel.timestamps[bar - 1])
    found = predicted(panel, table, before, per_sector=False, **RANGE)
    assert [one.status for one in found.outcomes][:2] == ["in_sample", "done"]
    with pytest.raises(UserError, match="the model has seen these bars"):
        predicted(panel, table, FakeModel(until=panel.timestamps[-1]), **RANGE)
    with pytest.raises(UserError, match="does not tell until when it was informed"):
        predicted(panel, table, FakeModel(until=None), **RANGE)


def test_later_bars_change_no_earlier_selection(panel: Any) -> None:
    table = candidates(panel, *MONTHS)
    how = {"candidate_type": "both", "weighting": {"method": "score_softmax"}, **RANGE}
    found = predicted(panel, table, FakeModel(), **how)
    for month in (1, 2, 3):
        moved = moved_after(panel, last_bar_before(panel, MONTHS[month]))
        again = predict_months(table, moved, None, FakeModel(), parameters(**how))
        kept = [one for one in found.outcomes if one.month <= MONTHS[month]]
        assert [*again.outcomes[: len(kept)]] == kept
    # and the model would have told: a later bar does change a later selection
    assert again.live.to_dict() != found.live.to_dict()


def test_one_portfolio_over_all_sectors(panel: Any) -> None:
    found = predicted(
        panel, candidates(panel, "2020-06"), FakeModel(), per_sector=False, top_n=3,
        weighting={"sector_neutral": True},
    )  # fmt: skip
    (one,) = found.selections
    assert one.sector == "all"
    assert one.n_candidates == 12
    energy = predicted(panel, candidates(panel, "2020-06"), FakeModel(), sector="10")
    health = predicted(panel, candidates(panel, "2020-06"), FakeModel(), sector="35")
    apart = [*energy.selections[0].holdings, *health.selections[0].holdings]
    best = sorted(apart, key=lambda held: (-held.score, held.symbol))[:3]
    assert [held.symbol for held in one.holdings] == [held.symbol for held in best]


def test_a_portfolio_is_called_by_the_sectors_it_chooses_from(panel: Any) -> None:
    table = candidates(panel, "2020-06")
    names = {}
    for sector in ("all", "35", "35;energy"):
        for per_sector in (True, False):
            found = predicted(
                panel, table, FakeModel(), sector=sector, per_sector=per_sector
            )
            names[sector, per_sector] = [one.sector for one in found.selections]
    assert names == {
        ("all", True): ["Energy", "Health Care"],
        ("all", False): ["all"],
        ("35", True): ["Health Care"],
        ("35", False): ["Health Care"],
        ("35;energy", True): ["Energy", "Health Care"],
        ("35;energy", False): ["energy-healthcare"],
    }
    scorer = scorer_of(FakeModel(), 1)
    assert {sector for sector, _ in month_files(found.outcomes, scorer)} == {
        "energy-healthcare"
    }
    assert found.selections[0].n_candidates == 12


def test_a_choice_among_more_names_than_are_held_is_not_warned_of(panel: Any) -> None:
    table, scorer = candidates(panel, *MONTHS), scorer_of(FakeModel(), 1)
    found = predicted(panel, table, FakeModel(), top_n=5, **RANGE)
    outcomes = outcome_table(found.outcomes, scorer)
    assert prediction_section([], outcomes, found.live).lead == (
        "8 of 8 portfolios were made."
    )


def test_an_empty_table_of_candidates_names_the_remedy(panel: Any) -> None:
    none = candidates(panel, "2020-06")[:0]
    for how in ({}, {"year": 2020, "month": 6}, RANGE):
        with pytest.raises(UserError, match=r"empty: run kedro run .*candidate_sel"):
            predicted(panel, none, FakeModel(), **how)


def test_symbols_that_read_as_other_things_stay_names(
    panel: Any, tmp_path: Path
) -> None:
    odd = ["0700", "1E5", "NA", "NO", "NULL", "NaN", "ON", "TRUE", "nan", "null"]
    kept = [*odd, *panel.symbols[len(odd) :]]
    renamed = replace(panel, symbols=tuple(sorted(kept)))
    names = dict(zip(panel.symbols, renamed.symbols, strict=True))
    table = candidates(panel, "2020-06").replace({"symbol": names})
    found = predicted(renamed, table, FakeModel(), candidate_type="both")
    plain = predicted(panel, candidates(panel, "2020-06"), FakeModel(),
                      candidate_type="both")  # fmt: skip
    scorer = scorer_of(FakeModel(), 1)
    batch = batch_table(found.selections, scorer)
    wanted = batch_table(plain.selections, scorer)["symbol"].map(names).tolist()
    assert batch["symbol"].tolist() == wanted
    assert set(odd) <= set(wanted)
    documents = [
        json.loads(text) for text in month_files(found.outcomes, scorer).values()
    ]
    told = [symbol for one in documents for symbol in one["selected_stocks"]]
    assert told == wanted
    page = selections_markdown(documents, outcome_table(found.outcomes, scorer))
    assert all(f"| {symbol} |" in page for symbol in odd)
    results = CsvDataset(filepath=str(tmp_path / "results.csv"))
    results.save(flat_results(found.selections, scorer))
    assert results.load()["ticker"].tolist() == wanted


def test_the_composite_score_in_place_of_a_model_is_flagged(
    panel: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    how = parameters(fallback="algorithmic")
    model = served_model(tmp_path, how)
    assert model is None
    assert "algorithmic_only" in caplog.text
    with pytest.raises(UserError, match="no model is promoted as 'production'"):
        served_model(tmp_path, parameters())
    (tmp_path / "production.json").write_text("damaged")
    with pytest.raises(UserError, match="is no alias of a model"):
        served_model(tmp_path, how)
    found = predict_months(candidates(panel, "2020-06"), panel, None, None, how)
    scorer = scorer_of(None, 1)
    document = found.selections[0].to_document(scorer)
    assert document["source"] == "algorithmic_only"
    assert document["metadata"]["model_version"] is None
    assert document["selected_stocks"] == [f"S{i:02d}" for i in range(6)]
    scores = dict(
        zip(document["selected_stocks"], document["predicted_scores"], strict=True)
    )
    assert scores == document["composite_scores"]
    printed = selection_text(document)
    assert "algorithmic_only" in printed
    assert "ML score" not in printed.replace("composite for ML score", "")
    for table in (
        batch_table(found.selections, scorer),
        flat_results(found.selections, scorer),
        outcome_table(found.outcomes, scorer),
    ):
        assert set(table["source"]) == {"algorithmic_only"}
    assert set(found.live["excluded"]) == {"no_model"}
    outcomes = outcome_table(found.outcomes, scorer)
    assert (
        "no model took part"
        in prediction_section([document], outcomes, found.live).lead
    )


def test_tables_and_files_say_the_same(panel: Any) -> None:
    model = FakeModel()
    scorer = scorer_of(model, 1)
    assert scorer.seeds == (0, 1, 2)
    assert scorer.unit == "return"
    assert scorer_of(FakeModel(learning_target="cs_gauss"), 1).unit == "normal_score"
    assert scorer_of(FakeModel(is_ranking_network=True), 1).unit == "order"
    assert scorer_of(None, 1).unit == "composite"
    found = predicted(panel, candidates(panel, *MONTHS), model, top_n=2, **RANGE)
    flat = flat_results(found.selections, scorer)
    assert list(flat.columns) == [
        "sector", "year", "month", "date", "ticker", "ml_score", "leg", "weight", "source",
    ]  # fmt: skip
    batch = batch_table(found.selections, scorer)
    assert set(batch["model_version"]) == {"fake v. 01234567"}
    assert flat.iloc[0][["sector", "year", "month", "date"]].tolist() == [
        "energy", 2020, 3, "2020-03-01",
    ]  # fmt: skip
    files = month_files(found.outcomes, scorer)
    assert set(files) == {
        (sector, f"2020_0{month}_predictions.json")
        for sector in ("energy", "healthcare")
        for month in (3, 4, 5, 6)
    }
    document = json.loads(files["healthcare", "2020_06_predictions.json"])
    own = flat[(flat["sector"] == "healthcare") & (flat["month"] == 6)]
    assert document["selected_stocks"] == own["ticker"].tolist()
    documents = [one.to_document(scorer) for one in found.selections]
    check_selections(documents)
    page = selections_markdown(documents, outcome_table(found.outcomes, scorer))
    assert page.count("| rank | ticker | leg | ML score | algo score | weight |") == 8
    first, heads, best = selection_text(documents[-1]).splitlines()[:3]
    assert first == (
        "healthcare, 2020-06, decided at the close of 2020-05-29; 6 of 6 candidates "
        "valid; fake v. 01234567"
    )
    assert heads.split() == "rank ticker leg ML score algo score weight".split()
    assert best.split()[:3] == ["1", documents[-1]["selected_stocks"][0], "long"]


def test_no_selection_gives_empty_tables_of_the_same_types(panel: Any) -> None:
    outcome = without_portfolio("2020-06", "Utilities", "no_candidates", "none there")
    found = Predicted((outcome,), pd.DataFrame())
    scorer = scorer_of(FakeModel(), 1)
    full = predicted(panel, candidates(panel, "2020-06"), FakeModel())
    for make in (batch_table, flat_results):
        empty = make(found.selections, scorer)
        assert len(empty) == 0
        assert empty.dtypes.to_dict() == make(full.selections, scorer).dtypes.to_dict()
    document = found.selections[0].to_document(scorer)
    assert document["status"] == "no_candidates"
    assert document["selected_stocks"] == []
    assert selection_text(document) == "utilities, 2020-06: no candidates"
    # a file of an earlier run must not pass for this one
    files = month_files(found.outcomes, scorer)
    assert files == {("utilities", "2020_06_predictions.json"): None}


def test_the_section_holds_plain_values(panel: Any) -> None:
    table = candidates(panel, *MONTHS)
    found = predicted(
        panel, table, FakeModel(), first_month="2020-02", last_month="2020-06"
    )
    scorer = scorer_of(FakeModel(), 1)
    section = prediction_section(
        [one.to_document(scorer) for one in found.selections],
        outcome_table(found.outcomes, scorer),
        found.live,
    )
    json.dumps(section.to_dict(), allow_nan=False)
    assert section.lead.startswith(
        "8 of 10 portfolios were made; 2 failed. In 8 of them"
    )
    assert "the scores chose no name" in section.lead
    assert [one.title.split(", dec")[0] for one in section.tables[:2]] == [
        "energy, 2020-06",
        "healthcare, 2020-06",
    ]


def test_no_save_gives_no_files_and_all_tables(panel: Any, tmp_path: Path) -> None:
    path = tmp_path / "panel.safetensors"
    write_panel(panel, path)
    handle: Any = PanelHandle(str(path), sha256_file(path))
    features: Any = None
    table = candidates(panel, "2020-06")
    made = {}
    for save in (True, False):
        how = parameters(fallback="algorithmic", save=save)
        made[save] = predict_portfolios(table, handle, features, how, str(tmp_path), 2)
    assert [*made[True][5]] == [
        ("energy", "2020_06_predictions.json"),
        ("healthcare", "2020_06_predictions.json"),
    ]
    assert made[False][5] == {}
    assert made[False][0] == made[True][0]
    assert made[True][0][0]["metadata"]["entry_lag_bars"] == 2
    for one, other in zip(made[True][1:5], made[False][1:5], strict=True):
        pd.testing.assert_frame_equal(one, other)
    section, page = show_portfolios(*(made[True][place] for place in (0, 3, 4)))
    assert section["name"] == "prediction"
    assert page.startswith("# Portfolio selection")


def test_the_printed_table_has_one_minus_sign() -> None:
    short = {
        "selected_stocks": ["AA"], "predicted_scores": [-0.00002],
        "legs": {"AA": "short"}, "portfolio_weights": {"AA": -0.995},
        "composite_scores": {"AA": -0.25},
    }  # fmt: skip
    (row,) = selection_rows(short)
    assert row == ["1", "AA", "short", "−2e−05", "−0.2500", "−99.5 %"]


def test_recent_joiners_and_names_left_out_are_told(
    panel: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A name that joined the universe lately keeps its returns from before."""
    tradable = panel.tradable.copy()
    tradable[5, : last_bar_before(panel, "2020-05")] = False
    joined = replace(panel, tradable=tradable)
    table = candidates(panel, "2020-05", "2020-06")
    how = {
        "weighting": {"method": "volatility_scaled", "estimation_bars": 60},
        "first_month": "2020-05", "min_valid_stocks": 4,
    }  # fmt: skip
    found = predicted(joined, table, FakeModel(), **how)
    assert not caplog.records
    assert "S05" in {one.symbol for one in found.selections[0].holdings}
    found = predicted(joined, table, FakeModel(unscored=(4,)), **how)
    assert [one.message for one in caplog.records] == [
        "1 candidate left out as score_not_finite, 2 times (S04); in 2020-06 S04: the "
        "model gave it no score"
    ]
    scorer = scorer_of(FakeModel(), 1)
    section = prediction_section(
        [one.to_document(scorer) for one in found.selections],
        outcome_table(found.outcomes, scorer),
        found.live,
    )
    tables = {one.title: one for one in section.tables}
    assert tables["Candidates left out"].rows[0][:3] == ("score_not_finite", 2, "S04")
    # two months that fared alike are one row
    assert tables["Outcomes"].rows[0][:4] == (
        "2020-05 to 2020-06", "Energy", "done", 2,
    )  # fmt: skip
    last = str(panel.trading_dates[-1])
    assert f"Live ranking at the close of {last}, both ends" in tables


def test_a_cap_that_bends_sector_neutrality_is_told(
    panel: Any, caplog: pytest.LogCaptureFixture
) -> None:
    table = candidates(panel, "2020-06")
    one_of_energy = (table["sector"] == "Energy") & (table["rank"] > 1)
    how = {"per_sector": False, "top_n": 7, "min_valid_stocks": 1}
    neutral = {"sector_neutral": True, "max_weight": None}
    predicted(panel, table[~one_of_energy], FakeModel(), weighting=neutral, **how)
    assert not caplog.records
    capped = neutral | {"max_weight": 0.2}
    predicted(panel, table[~one_of_energy], FakeModel(), weighting=capped, **how)
    (told,) = [one.message for one in caplog.records]
    assert told.startswith(
        "prediction.weighting.max_weight 0.2 keeps the sectors of 1 of 1 leg from equal "
        "shares: a sector of the long leg of 2020-06 gets 20 %, another 80 %"
    )


def test_every_output_tells_until_when_the_model_knows_the_bars() -> None:
    model = FakeModel(until=np.datetime64("2020-01-31T21:00:00", "ns"))
    document = PortfolioSelection("2020-02").to_document(scorer_of(model, 1))
    assert document["metadata"]["informed_until"] == "2020-01-31T21:00:00"
    document = PortfolioSelection("2020-02").to_document(scorer_of(None, 1))
    assert document["metadata"]["informed_until"] is None
