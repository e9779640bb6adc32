"""Planted look-aheads: every one is caught, in each way that must catch it."""

from __future__ import annotations

import numpy as np
import pytest

from ranking_pipeline.audit import planted, planted_stages
from ranking_pipeline.audit.cuts import cuts
from ranking_pipeline.audit.futures import MODES, TRUNCATED
from ranking_pipeline.audit.lookahead import AuditResult, audit_function
from ranking_pipeline.audit.panel_audit import planted_checks
from ranking_pipeline.audit.probe import Probe, stacked
from ranking_pipeline.panel import Panel
from ranking_pipeline.splits import Splits

PLANTED = (*planted.PLANTED, *planted_stages.PLANTED_STAGES)
HONEST = (*planted.HONEST, *planted_stages.HONEST_STAGES)
PROBES = (*PLANTED, *HONEST)


@pytest.fixture(scope="module")
def every(example: tuple[Panel, Splits]) -> AuditResult:
    """All probes, all ways, a cut at every bar."""
    panel, splits = example
    names = [probe.name for probe in PROBES]
    chosen = cuts(panel, splits, 0, 0, every=True)
    reach = [probe.reach for probe in PROBES]
    return audit_function(stacked(PROBES), panel, chosen, MODES, names, reach=reach)


def of(result: AuditResult, probe: Probe) -> np.ndarray:
    return result.different[result.names.index(probe.name)]


@pytest.mark.parametrize("probe", PLANTED, ids=lambda probe: probe.name)
def test_a_look_ahead_is_caught_in_each_of_its_ways(
    probe: Probe, every: AuditResult
) -> None:
    found = of(every, probe)
    for mode in probe.caught_by:
        assert (found[:, MODES.index(mode)] > 0).any(), mode


@pytest.mark.parametrize("probe", HONEST, ids=lambda probe: probe.name)
def test_an_honest_look_alike_is_never_flagged(
    probe: Probe, every: AuditResult
) -> None:
    assert not (of(every, probe) > 0).any()
    assert every.failure == ""


def test_each_way_is_needed_by_none_or_known_by_some(every: AuditResult) -> None:
    used = {mode for probe in PLANTED for mode in probe.caught_by}
    assert used == set(MODES)


def test_a_leak_out_of_a_gap_shows_at_its_events_only(
    example: tuple[Panel, Splits], every: AuditResult
) -> None:
    """Cells before a listing, and of a gap up to its last missing bar."""
    panel, _ = example
    (probe,) = (probe for probe in PLANTED if probe.at == "gap")
    caught = np.flatnonzero(of(every, probe)[:, MODES.index("scaled")] > 0)
    missing = (
        ~panel.present
        & np.logical_or.accumulate(panel.present[:, ::-1], axis=1)[:, ::-1]
    )
    assert set(caught) == set(np.flatnonzero(missing.any(axis=0)))


def test_the_calendar_leak_keeps_its_shape_secret(every: AuditResult) -> None:
    """Other prices at the same times cannot show it: truncation and new times do."""
    (probe,) = (probe for probe in PLANTED if probe.name.startswith("last bar"))
    ways = {mode for k, mode in enumerate(MODES) if (of(every, probe)[:, k] > 0).any()}
    assert ways == {TRUNCATED, "calendar"}


@pytest.mark.parametrize("seed", range(5))
def test_few_cuts_at_events_catch_them_all(seed: int) -> None:
    checks, shares = planted_checks(seed)
    verdicts = [check.verdict for check in checks]
    assert verdicts == ["caught"] * len(PLANTED) + ["clean"] * len(HONEST)
    assert shares.shape == (len(PROBES), len(MODES))
    assert (shares.iloc[len(PLANTED) :] == 0).all(axis=None)
    assert (shares.iloc[: len(PLANTED)].max(axis=1) > 0).all()
