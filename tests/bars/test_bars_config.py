"""Parameters of the bars: what YAML mangles is refused with the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from pydantic import ValidationError

from ranking_pipeline.bars.config import ChecksConfig, DataConfig, MarketConfig
from ranking_pipeline.bars.defect_rules import DefectRules

from .conftest import CHECKS, MARKET

SOURCE: dict[str, Any] = {"source_interval": None, "sectors": None, "universe": None}


def _load(text: str) -> Any:
    return OmegaConf.to_container(OmegaConf.create(text))


@pytest.mark.parametrize("text", ["ON", "NO", "TRUE", "NULL", "1E5", "0123"])
def test_symbols_that_yaml_mangles_are_refused(text: str) -> None:
    changes = {"symbols": _load(f"[{text}]")}
    with pytest.raises(ValidationError, match="Quote it"):
        ChecksConfig(**(CHECKS | changes))
    quoted = {"symbols": _load(f'["{text}"]')}
    assert ChecksConfig(**(CHECKS | quoted)).symbols == [text]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"interval": "5 minutes"}, "as 5m, 30m, 1h"),
        ({"interval": "0m"}, "as 5m, 30m, 1h"),
        ({"interval": "24h"}, "as 5m, 30m, 1h"),
        ({"timezone": "Amerika/Nowhere"}, "America/New_York"),
        ({"timezone": "../etc/passwd"}, "America/New_York"),
        ({"column_map": {"price": "Last"}}, "unknown column 'price'"),
        ({"first_date": "2020-01-02", "last_date": "2020-01-01"}, "is after last_date"),
        ({"max_quarantined_share": 1.5}, "less than or equal to 1"),
        ({"colour": 1}, "Extra inputs"),
    ],
)
def test_wrong_values_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ChecksConfig(**(CHECKS | changes))


def test_roles_must_fit_into_the_market() -> None:
    with pytest.raises(ValidationError, match="exceed n_symbols = 20"):
        MarketConfig(**(MARKET | {"n_symbols": 20}))


def test_one_interval_for_bars_and_market() -> None:
    section = {**CHECKS, **SOURCE, "market": MARKET, "interval": "5m"}
    with pytest.raises(ValidationError, match="set both alike"):
        DataConfig(source="simulated", **section)
    assert DataConfig(source="bars.parquet", **section).bar_length.seconds == 300


def test_nothing_has_a_default() -> None:
    for model in (ChecksConfig, DataConfig, DefectRules, MarketConfig):
        assert all(field.is_required() for field in model.model_fields.values())
        assert all(
            field.description or name in {"market", "signal_weights"}
            for name, field in model.model_fields.items()
        )


def test_paths_are_text() -> None:
    with pytest.raises(ValidationError):
        DataConfig(**CHECKS, **SOURCE, market=MarketConfig(**MARKET), source=Path("x"))
