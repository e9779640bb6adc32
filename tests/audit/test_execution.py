"""Returns and books under audit."""

from __future__ import annotations

import pytest
from tests.audit import worlds

from ranking_pipeline.audit.cuts import cuts
from ranking_pipeline.audit.execution import execution_checks
from ranking_pipeline.audit.futures import MODES


@pytest.mark.parametrize("lag", [0, 1, 2])
def test_a_score_earns_nothing_before_it_can_be_traded(lag: int) -> None:
    panel = worlds.daily_market(8, n_symbols=8, n_bars=90)
    chosen = cuts(panel, None, 4, 0, at_most=8)
    held, book, traded = execution_checks(panel, chosen, MODES, lag, 0)
    found = (held, book, traded)
    assert [check.verdict for check in found] == ["clean"] * 3, found
    assert traded.check == f"a score earns nothing before the close of t + {lag}"
    # Gross returns are compared one bar further than costs, both beyond the cut.
    beyond = sum(
        2 * (cut.bar + 1) + 2 * lag + 1 for cut in chosen if cut.bar + lag < 88
    )
    assert traded.compared >= 2 * beyond  # ways, and a book counts once
