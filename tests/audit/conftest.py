"""Panels and parameters that the audit's tests share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.audit import worlds

from ranking_pipeline.audit import AuditConfig
from ranking_pipeline.audit.example_market import example_market
from ranking_pipeline.labels import LabelsConfig
from ranking_pipeline.panel import Panel
from ranking_pipeline.splits import Splits


@pytest.fixture(scope="session")
def example() -> tuple[Panel, Splits]:
    return example_market(0)


@pytest.fixture(scope="session")
def market() -> Panel:
    """Daily bars of ten symbols, long enough for every look-back."""
    return worlds.daily_market(3, n_symbols=10, n_bars=330)


@pytest.fixture(scope="session")
def labels_config() -> LabelsConfig:
    return worlds.labels_config()


@pytest.fixture(scope="session")
def audit_config() -> Callable[..., AuditConfig]:
    return worlds.audit_config
