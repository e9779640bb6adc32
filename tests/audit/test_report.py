"""The whole audit, its report, and the stop that follows a finding."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from tests.audit import worlds

from ranking_pipeline.audit import (
    AuditConfig,
    LookaheadReport,
    audit_panel,
    lookahead_section,
    require_clean,
)
from ranking_pipeline.audit.check import LOOKS_AHEAD, NOT_COVERED, Check, counted
from ranking_pipeline.audit.panel_audit import audited_slice
from ranking_pipeline.audit.report import COLUMNS
from ranking_pipeline.audit.slices import sector_slice
from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.section import Section
from ranking_pipeline.features import compute
from ranking_pipeline.labels import parse_targets
from ranking_pipeline.panel import Panel
from ranking_pipeline.splits import Splits, make_splits

TARGETS = ["fwd_ret_1d", "label_h5", "fwd_ret_60d"]


def audited(panel: Panel, **changes: object) -> LookaheadReport:
    config = worlds.labels_config(targets=TARGETS)
    splits = make_splits(panel.timestamps, 0.7, 0.15, 0)
    return audit_panel(
        panel,
        worlds.FACTORS,
        parse_targets(TARGETS, "1d"),
        config,
        splits,
        worlds.audit_config(**changes),
    )


@pytest.fixture(scope="module")
def report(market: Panel) -> LookaheadReport:
    families = {"ridge": worlds.FAMILIES["ridge"]}
    return audited(market, planted=True, families=families)


def test_the_library_is_clean_on_a_market(report: LookaheadReport) -> None:
    assert report.clean, report.findings
    require_clean(report)
    claims = {check.check for check in report.claims}
    assert len(claims) == 14
    uncovered = [check.what for check in report.checks if check.verdict == NOT_COVERED]
    assert uncovered == ["fwd_ret_60d"]


def test_the_summary_is_made_of_the_rows(report: LookaheadReport) -> None:
    table = report.table()
    assert tuple(table.columns) == COLUMNS
    claims = table[~table["check"].str.contains("planted|honest")]
    of_cells = claims[claims["unit"] == "cells"]
    cells, known = of_cells["compared"].sum(), of_cells["known"].sum()
    assert 0 < known < cells
    pairs = claims.loc[claims["unit"] == "pairs", "compared"].sum()
    assert report.summary() == (
        f"{cells:,} cells ({known:,} with a value) compared at 8 cuts in 10 ways, "
        f"0 differ; {pairs:,} pairs, 0 wrong; "
        "6 artefacts, 0 wrong; 22 of 22 planted look-aheads caught; 0 of 15 "
        "honest look-alikes flagged"
    )


def test_the_section_goes_through_json(report: LookaheadReport) -> None:
    section = lookahead_section(report)
    plain = json.loads(json.dumps(section.to_dict()))
    assert Section.from_dict(plain).to_dict() == section.to_dict()
    assert report.summary() in section.lead
    titles = [table.title for table in section.tables]
    assert titles == ["Claims", "Not covered"]
    (figure,) = section.figures
    trace = figure.figure["data"][0]
    assert (len(trace["y"]), len(trace["x"])) == (37, 10)


def test_a_finding_stops_and_names_the_offender(
    market: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = compute.compute_columns

    def shifted(panel: Panel, *rest: object, **named: object) -> object:
        columns = honest(panel, *rest, **named)  # type: ignore[arg-type]
        columns[1, :, :-1] = columns[1, :, 1:].copy()
        return columns

    monkeypatch.setattr(compute, "compute_columns", shifted)
    report = audited(market)
    assert not report.clean
    first = report.findings[0]
    assert first.check == "features ignore the future"
    assert first.worst.startswith("ret_5 of S")
    with pytest.raises(UserError) as refused:
        require_clean(report)
    assert "ret_5 of S" in str(refused.value)
    assert "audit.strict" in str(refused.value)
    titles = [table.title for table in lookahead_section(report).tables]
    assert titles == ["Claims", "Findings", "Not covered"]


def test_without_planted_ones_it_says_so(market: Panel) -> None:
    report = audited(market)
    assert report.summary().endswith("no look-ahead was planted")
    assert lookahead_section(report).figures == ()


def test_other_checks_can_be_added(report: LookaheadReport) -> None:
    wrong = counted(
        "decisions ignore later bars", "plan", "artefacts", 9, 1, "plan changed"
    )
    longer = report.extended([wrong])
    assert longer.findings == (wrong,)
    assert "15 artefacts, 1 wrong" in longer.summary()
    with pytest.raises(UserError, match="plan changed"):
        require_clean(longer)


def test_nothing_compared_is_not_called_clean() -> None:
    assert counted("claim", "what", "pairs", 0, 0).verdict == NOT_COVERED
    assert counted("claim", "what", "pairs", 5, 1).verdict == LOOKS_AHEAD
    missed = Check("claim", "what", "cells", 5, 0, verdict="missed")
    assert not LookaheadReport((missed,), pd.DataFrame(), "").clean


def test_the_slice_holds_the_symbols_at_which_most_happens(market: Panel) -> None:
    splits = make_splits(market.timestamps, 0.7, 0.15, 0)
    config = worlds.audit_config(symbols=6, bars=160)
    part, own = audited_slice(market, splits, config)
    assert (part.n_symbols, part.n_bars, own.n_bars) == (6, 160, 160)
    holes = (~part.present).any(axis=1)
    assert holes.sum() == 3  # half of the places
    edge = part.timestamps[own.train.last_bar]
    assert edge == market.timestamps[splits.train.last_bar]


def test_a_slice_is_never_more_than_the_panel(example: tuple[Panel, Splits]) -> None:
    panel, splits = example
    part, own = audited_slice(panel, splits, worlds.audit_config(symbols=50, bars=500))
    assert part.symbols == panel.symbols
    assert part.values.tobytes() == panel.values.tobytes()
    assert own == splits


def test_one_symbol_is_audited_and_none_is_refused(
    example: tuple[Panel, Splits],
) -> None:
    panel, splits = example
    alone = panel.cut(slice(None), slice(7, 8))
    part, _ = audited_slice(alone, splits, worlds.audit_config())
    assert part.symbols == alone.symbols
    absent = replace(alone, values=np.full_like(alone.values, np.nan))
    with pytest.raises(UserError, match="no symbol has bars"):
        audited_slice(absent, splits, worlds.audit_config())


def test_what_is_not_covered_says_why() -> None:
    bare = Check("a", "b", "cells", 5, 0, verdict=NOT_COVERED)
    told = Check("c", "d", "cells", 0, 0, worst="too few bars", verdict=NOT_COVERED)
    section = lookahead_section(LookaheadReport((bare, told), pd.DataFrame(), "."))
    rows = {table.title: table.rows for table in section.tables}["Not covered"]
    why = "no compared cell holds a value"
    assert rows == (("a", "b", why), ("c", "d", "too few bars"))


def test_ways_are_checked_when_the_parameters_are_read() -> None:
    with pytest.raises(ValidationError, match="twice"):
        worlds.audit_config(modes=["missing", "missing"])
    with pytest.raises(ValidationError, match="modes"):
        worlds.audit_config(modes=["sideways"])
    assert not [n for n, f in AuditConfig.model_fields.items() if not f.description]
    assert all(field.is_required() for field in AuditConfig.model_fields.values())


def test_a_market_without_returns_to_learn_is_audited_all_the_same(
    market: Panel,
) -> None:
    short = worlds.audit_config(families={"ridge": worlds.FAMILIES["ridge"]})
    specs = parse_targets(["label_h5"], "1d")
    splits = make_splits(market.timestamps, 0.7, 0.15, 0)
    config = worlds.labels_config(targets=["label_h5"])
    report = audit_panel(market, worlds.FACTORS, specs, config, splits, short)
    assert report.clean
    assert not [check for check in report.checks if check.unit == "artefacts"]


def test_factors_of_many_sessions_are_seen_on_thinned_ones() -> None:
    """A slice of four sessions shows nothing of a factor that needs five."""
    whole = worlds.intraday_market(5, n_symbols=6, n_days=40, per_day=40)
    names = ["session_return", "session_share"]

    def run(panel: Panel) -> list[Check]:
        found = audit_panel(
            panel,
            names,
            parse_targets(["fwd_ret_1h"], "30m", 40),
            worlds.labels_config(targets=["fwd_ret_1h"]),
            make_splits(panel.timestamps, 0.6, 0.2, 0),
            worlds.audit_config(),
        ).checks
        return [check for check in found if check.check == "features ignore the future"]

    first, second = run(whole)
    assert (first.verdict, second.verdict) == ("clean", "clean")
    assert second.what == "1 factors of many sessions, each thinned out"
    assert second.known > 1000
    (_, short) = run(whole.cut(slice(5 * 40)))
    assert (short.verdict, short.what) == (NOT_COVERED, "session_share")


def test_the_slice_holds_names_of_the_universe(market: Panel) -> None:
    """Bars of names that are no members have nothing to compare."""
    members = np.isin(np.arange(market.n_symbols), [1, 4, 6, 9])
    part = replace(market, tradable=market.tradable & members[:, None])
    splits = make_splits(market.timestamps, 0.7, 0.15, 0)
    config = worlds.audit_config(symbols=6, month_bars=160)
    wanted = tuple(market.symbols[place] for place in np.flatnonzero(members))
    assert audited_slice(part, splits, config)[0].symbols == wanted
    same = replace(part, sectors=np.zeros_like(part.sectors))
    found, own = sector_slice(same, splits, config)
    assert (found.symbols, own) == (wanted, True)
