"""Data preparation's nodes: what they tell beside what they store."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from ranking_pipeline.bars import prepare
from ranking_pipeline.pipelines.data_preparation.nodes import ingest_bars


def test_missing_members_are_told_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = {
        "warning": "Of 5 members 3 are held.",
        "without_members": "None on 2 dates.",
    }
    found = MagicMock(summary={"survivorship": told})

    def prepared(*_: Any, **__: Any) -> MagicMock:
        return found

    monkeypatch.setattr(prepare, "prepare_bars", prepared)
    data: Any = SimpleNamespace(labels=SimpleNamespace(entry_lag_bars=1))
    run: Any = SimpleNamespace(seed=0)
    source: Any = None
    ingest_bars(source, data, run)
    logged = [(record.levelname, record.message) for record in caplog.records]
    assert logged == [("WARNING", sentence) for sentence in told.values()]
