"""Sections and the report: plain data, escaped, the same bytes every time."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tests.evaluation.conftest import config as evaluation_config

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation import figure_style, figures, stage_sections
from ranking_pipeline.evaluation.console import leaderboard_text
from ranking_pipeline.evaluation.costs_section import costs_section
from ranking_pipeline.evaluation.evaluation_section import (
    evaluation_section,
    leaderboard_table,
)
from ranking_pipeline.evaluation.formats import clear_sign, format_cell
from ranking_pipeline.evaluation.leaderboard import evaluate
from ranking_pipeline.evaluation.model_sections import (
    cs_ranking_section,
    training_section,
)
from ranking_pipeline.evaluation.report import render_report
from ranking_pipeline.evaluation.report_header import data_warnings, report_header
from ranking_pipeline.evaluation.section import (
    Column,
    Figure,
    Section,
    Table,
    json_safe,
)
from ranking_pipeline.evaluation.verdict import headline, verdict
from ranking_pipeline.pipelines.backtest.nodes import write_portfolio_report
from ranking_pipeline.routing.states import RULES

# the last bar ends on the day after, in UTC
DATES = {"first_date": "2015-01-12", "last_date": "2020-01-10"}
DATES |= {"first": "2015-01-13T05:00:00+00:00", "last": "2020-01-11T05:00:00+00:00"}
HOSTILE = "</script><script>alert('x')</script>&\"<b>"


@pytest.fixture(scope="module")
def result(world):
    noise = np.random.default_rng(0).normal(size=world.signal.shape)
    full = world.score("model", world.signal + noise)
    return evaluate(**full.inputs(market_truth=full.truth()))


def page(sections, **header) -> str:
    return render_report({"title": "Report"} | header, sections)


def test_sections_survive_json(result) -> None:
    section = evaluation_section(result)
    text = json.dumps(section.to_dict(), allow_nan=False)
    again = Section.from_dict(json.loads(text))
    assert json.dumps(again.to_dict()) == text
    assert page([section]) == page([again])


def test_missing_numbers_become_null() -> None:
    values = {"a": np.nan, "b": [np.float32("inf"), np.int64(3)], "c": pd.NaT}
    assert json_safe(values) == {"a": None, "b": [None, 3], "c": None}
    assert json_safe(np.array([[1.5, np.nan]])) == [[1.5, None]]


def test_report_is_whole_and_repeatable(result) -> None:
    sections = [Section("data", "Data", "Bars."), evaluation_section(result)]
    html = page(sections, summary=json_safe(result.summary))
    assert html == page(sections, summary=json_safe(result.summary))
    assert html.count("Plotly.newPlot(source") == 1
    assert html.index('id="evaluation"') < html.index('id="data"')
    own = html.split("plotly.js", 1)[0] + html.rsplit("newPlot", 1)[1]
    assert not re.search(r"(src|href)=[\"']?(https?:|/)", own)
    for identity in re.findall(r'data-figure="([^"]+)"', html):
        assert html.count(f'id="{identity}"') == 1


def test_no_missing_number_is_spelled_out(world) -> None:
    """A table full of NaN, and a run without models, show dashes and words."""
    empty = evaluate(**world.inputs())
    section = evaluation_section(empty)
    html = page([section], summary=json_safe(empty.summary))
    html = html.split("<style>")[0] + html.split("</style>")[1]
    html = html.split("<script>")[0]
    words = re.findall(r"\b(nan|NaN|None|inf|null)\b", re.sub(r"<script.*", "", html))
    assert words == []
    assert "Nothing predictable" in html


def test_hostile_text_is_escaped() -> None:
    figure = {
        "data": [{"type": "bar", "x": [1], "y": [HOSTILE], HOSTILE: 1}],
        "layout": {},
    }
    section = Section(
        HOSTILE,
        HOSTILE,
        HOSTILE,
        (Table(HOSTILE, (Column("a", HOSTILE),), ((HOSTILE,),), HOSTILE),),
        (Figure(HOSTILE, figure, HOSTILE),),
    )
    html = page([section], subtitle=HOSTILE, facts={HOSTILE: HOSTILE})
    body = html.split("<main>")[1].split("</main>")[0]
    assert "<script>alert" not in html
    assert "<b>" not in body.replace("<li><b>", "")
    embedded = re.findall(r'data-figure="[^"]+">(.*?)</script>', html, flags=re.S)
    assert len(embedded) == 1
    label = json.loads(embedded[0])["data"][0]["y"][0]
    assert "<" not in label


def test_chosen_row_and_baselines_are_marked(result) -> None:
    html = page([evaluation_section(result)])
    assert html.count('<tr class="chosen">') == 1
    assert html.count('<tr class="baseline">') == 6
    assert '<tr class="oracle">' in html


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (0.0812, "ic", "0.081"), ([0.0812, 9.13], "ic_t", "0.081 (9.1)"),
        ([0.05, None], "ic_t", "0.050"), ([None, None], "ic_t", "–"),
        (-0.0004, "ic", "0.000"), (-1.25, "bps", "−1.2"), (12345, "int", "12,345"),
        (0.476, "percent", "47.6 %"), (1e-5, "p", "<0.001"), (None, "int", "–"),
        (float("nan"), "bps", "–"), (True, "flag", "✓"), (False, "flag", ""),
        ("x", "int", "x"),
    ],
)  # fmt: skip
def test_number_formats(value, kind: str, text: str) -> None:
    assert format_cell(value, kind) == text


def test_only_a_clear_t_is_coloured() -> None:
    assert clear_sign([0.1, 2.1], "ic_t") == "positive"
    assert clear_sign(-2.1, "t") == "negative"
    assert clear_sign([0.1, 1.9], "ic_t") == ""
    assert clear_sign(9.0, "bps") == ""
    assert clear_sign([0.1, None], "ic_t") == ""


def test_verdict_states_the_findings(result) -> None:
    text = verdict(result.summary)
    own = result.summary["chosen"]
    assert f"model, test IC {own['rank_ic']:.3f} (t {own['ic_t']:.1f}) at lag 1" in text
    assert "of the planted signal" in text
    assert "after 5 bps a side" in text
    assert verdict(json_safe(result.summary)) == text


@pytest.mark.parametrize(
    ("ic_t", "paired_t", "net", "words"),
    [
        (9.0, 4.0, 3.0, "pays for its costs"),
        (9.0, 4.0, -3.0, "costs more"),
        (9.0, 0.5, 3.0, "no clear advantage"),
        (0.5, 0.2, 3.0, "No skill"),
        (None, None, None, "Too few"),
    ],
)
def test_headlines(ic_t, paired_t, net, words: str) -> None:
    chosen = {"ic_t": ic_t, "net_bps_per_bar": net}
    assert words in headline({"chosen": chosen, "paired": {"t": paired_t}})


def test_console_text(result) -> None:
    text = leaderboard_text(result.leaderboard)
    lines = text.splitlines()
    assert sum(line.startswith("*") for line in lines[:-1]) == 1
    assert sum(line.startswith("·") for line in lines) == 6
    assert "nan" not in text
    assert leaderboard_text(result.leaderboard.iloc[:0]) == "No row to show."


def test_empty_stages_say_so() -> None:
    none = pd.DataFrame()
    rankings = stage_sections.target_ranking_section(
        none, none, {"status": "nothing_predictable", "targets": [], "reason": "q."}
    )
    assert rankings.lead == "Nothing predictable was found among 0 targets. Q."
    routing = stage_sections.routing_section(none, {"targets": {}}, {"jobs": []})
    assert "no job to run" in routing.lead
    assert "No model was trained" in training_section(none, none).lead
    assert "No ranking network" in cs_ranking_section(none, {}).lead
    features = stage_sections.feature_selection_section(
        none, none, {}, none, none, none, none
    )
    assert "No features were selected" in features.lead
    assert stage_sections.data_section(DATES, none, none).tables == ()
    page([rankings, routing, features])


def test_figures_round_and_hide_what_is_missing() -> None:
    assert figure_style.significant([1 / 3, np.nan, 123456789.0]) == [
        0.333333, None, 123457000.0
    ]  # fmt: skip
    frame = pd.DataFrame(
        {"model_id": ["a"] * 3, "ic": [0.1, np.nan, 0.2], "timestamp": range(3)}
    )
    figure = figures.ic_over_time(frame, {}, 1)
    assert figure["data"][0]["y"] == [0.1, pytest.approx(0.3)]
    json.dumps(figure, allow_nan=False)


def test_rows_of_a_figure_differ_in_colour() -> None:
    families = {"reversal_1": "baseline", "random": "baseline", "oracle": "oracle"}
    names = ["a", "b", "a", "c", "reversal_1", "random", "oracle"]
    colours = figure_style.row_colours(names, families)
    assert list(colours) == ["a", "b", "c", "reversal_1", "random", "oracle"]
    assert len(set(colours.values())) == 6
    assert colours["a"] == figure_style.ROW_COLOURS[0]
    assert colours["reversal_1"] == figure_style.REFERENCE_COLOURS["baseline"]
    assert figure_style.row_colours(["x", "b"], {})["x"] == colours["a"]


def test_the_leaderboard_fits_and_keeps_the_sharpe(result) -> None:
    """One table per target; what is constant or missing takes no column."""
    tables = evaluation_section(result).tables
    boards = [table for table in tables if table.title.startswith("Leaderboard")]
    targets = result.leaderboard["target"].unique()
    assert [board.title for board in boards] == [f"Leaderboard, {t}" for t in targets]
    for board in boards:
        names = [column.name for column in board.columns]
        assert names[0] == "model_id"
        assert {"net_bps_per_bar", "net_sharpe", "coverage"} <= set(names)
        assert not {"target", "family", "route", "n_bars"} & set(names)
        assert "test bars." in board.caption


def test_captions_follow_the_view(result) -> None:
    facts = result.summary
    within = leaderboard_table(result).caption
    alone = replace(result, summary=facts | {"over_time": True})
    over_time = leaderboard_table(alone).caption
    assert "correlation per bar" in within
    assert "+1 and −1 on the top" in within
    assert "correlation over time" in over_time
    assert "own past scores" in over_time


def test_the_verdict_names_a_primary_target_without_a_model(result) -> None:
    assert "No model was trained on" not in verdict(result.summary)
    other = result.summary | {"primary_target": "fwd_ret_20d"}
    assert "No model was trained on the primary target, fwd_ret_20d" in verdict(other)


def test_rows_are_ruled_off_only_between_groups() -> None:
    def rules(*targets: str) -> int:
        column = Column("target", "target")
        table = Table("t", (column,), tuple((name,) for name in targets))
        return page([Section("s", "S", "", (table,))]).count('class="rule"')

    assert rules("a", "a", "b", "b", "c") == 2
    assert rules("a", "b", "c") == 0
    assert rules("a", "b", "a") == 0


def test_routes_are_told_in_the_words_of_the_plan() -> None:
    """A hopeful symbol that the pooled model predicts well enough gets no model."""
    symbols = {
        "UP": {"route": "SYMBOL_SPECIFIC", "state": "OK"},
        "HOPE": {"route": "CROSS_SECTIONAL", "state": "EXPERIMENTAL"},
        "TRIAL": {"route": "EXPERIMENTAL", "state": "EXPERIMENTAL"},
        "REST": {"route": "EXPERIMENTAL", "state": "DISALLOWED"},
    }
    decision = "1 more would be hopeful, but the pooled model is good enough."
    entry = {"route": "BOTH", "reason": "x", "decision": decision, "symbols": symbols}
    rules = ["proven", "unsure", "unsure", "not_better"]
    candidates = pd.DataFrame(
        {"mode": "symbol_specific", "target": "y", "symbol": list(symbols)}
        | {"metric": "rank_ic", "score": 0.1, "t": 2.0, "delta": 0.1}
        | {"delta_t": [4.0, 3.0, 2.0, 1.0], "q": 0.1, "n_rows": 500, "rule": rules}
    )
    routing = stage_sections.routing_section(
        candidates, {"targets": {"y": entry}}, {"jobs": [{}]}
    )
    assert routing.lead == "1 target routed; the training plan has 1 job."
    routes, strongest = routing.tables
    assert routes.rows == (("y", "BOTH", 2, decision),)
    takes = ["its own model", "the pooled model", "on trial", "on trial"]
    assert [row[-2] for row in strongest.rows] == takes
    assert strongest.rows[1][-1] == RULES["unsure"]


def test_models_are_counted_by_route() -> None:
    models = pd.DataFrame(
        {"model_id": ["a", "b", "c"], "target": "y", "route": ["routed", "own", "own"]}
        | {"family": ["ridge", "ridge", "mlp"], "n_rows": [10, 20, 40]}
    )
    outcomes = pd.DataFrame({"status": ["done"] * 3})
    (table,) = training_section(outcomes, models).tables
    assert table.rows == (
        ("y", "own", 2, 30.0, "mlp, ridge"),
        ("y", "routed", 1, 10.0, "ridge"),
    )


def test_the_costs_say_that_they_alone_differ() -> None:
    cost = {"label": "targets ranked", "n_jobs": 2, "n_cached": 0, "seconds": 3.0}
    cost |= {"saved_seconds": 0.0, "peak_megabytes": 100.0}
    section = costs_section([cost])
    assert "none came from the cache" in section.lead
    assert "Only this section" in section.tables[0].caption
    cached = costs_section([cost | {"n_cached": 1, "saved_seconds": 5.0}])
    assert "1 were answered from the cache, which saved 5 seconds" in cached.lead


def test_the_data_section_says_who_is_missing() -> None:
    dates = [{"date": "2015-06-30", "members": 500, "held": 416, "with_bar": 406}]
    dates[0]["share"] = 0.832
    dates.append(dict.fromkeys(("members", "held", "with_bar"), 0))
    dates[1] |= {"date": "2015-12-31", "share": None}
    summary = DATES | {
        "rows_in": 10,
        "rows_filled": 3,
        "survivorship": {
            "warning": "Of 500 members the bars hold 416.",
            "without_members": "data.universe has no member on 2 of 9 trading dates.",
            "dates": dates,
        },
    }
    missing = pd.DataFrame({"2024-01-02": [0.25]}, index=["energy"])
    quality = pd.DataFrame({"rule": ["gap"], "rows": [0]})
    section = stage_sections.data_section(summary, quality, pd.DataFrame(), missing)
    assert "hold 416. data.universe has no member on 2 of 9" in section.lead
    assert "2015-01-12 to 2020-01-10" in section.lead
    html = page([section])
    for words in ("Members", "2015-06-30", "83.2", "bars filled in gaps", "energy"):
        assert words in html, words


def test_the_head_shows_trading_dates_and_what_the_bars_lack() -> None:
    counts = ("n_symbols", "n_bars", "rows_in", "rows_repaired", "rows_quarantined")
    data = DATES | dict.fromkeys(counts, 7) | {"source": "bars", "interval": "1d"}
    data |= {"survivorship": {"warning": "Of 5 members <3> are held."}}
    html = write_portfolio_report(data, {"count": 1}, evaluation_config())
    assert "bars, 2015-01-12 to 2020-01-10" in html
    assert "<p>Of 5 members &lt;3&gt; are held.</p>" in html
    assert data_warnings(data | {"source": "simulated"}) == []
    with pytest.raises(UserError, match="kedro run --pipelines=data_preparation"):
        report_header({"source": "bars"}, {}, evaluation_config())
