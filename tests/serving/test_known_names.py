"""Known names: what is said of symbols that a promoted version was not trained on."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.promoted import Promoted
from ranking_pipeline.models.serving.known_names import check_names
from ranking_pipeline.panel import OHLCV, Panel
from ranking_pipeline.pipelines.promotion.informed import trained_symbols

NAMES = ("AA", "BB", "CC", "DD")
BARS = np.array([1, 2])


def _panel() -> Panel:
    stamps = np.datetime64("2024-01-02", "ns") + np.arange(3) * np.timedelta64(1, "D")
    tradable = np.ones((4, 3), dtype=np.bool_)
    tradable[3, 1:] = False  # DD trades on the first bar alone
    return Panel(NAMES, stamps, OHLCV, np.ones((4, 3, 5), np.float32), tradable)


def _version(*parts: str, symbols: tuple[str, ...] | None = NAMES[:2]) -> Promoted:
    record: dict[str, Any] = {
        "model_id": "ridge:r", "target": "r", "route": "",
        "parts": [{"model_id": f"p{i}", "symbol": one} for i, one in enumerate(parts)],
    }  # fmt: skip
    if symbols is not None:
        record["symbols"] = list(symbols)
    return Promoted("live", "0123456789", Path(), record)


@pytest.mark.parametrize(
    ("parts", "symbols", "told"),
    [
        (("",), NAMES[:2], "1 of 3 names were not in training; it ranks them all the"),
        (("",), ("ZZ",), "3 of 3 names were not in training"),
        (("",), NAMES, ""),
        (("",), None, ""),  # a version that does not tell its symbols
        (("AA", ""), NAMES[:1], "2 of 3 names were not in training; it ranks"),
        (
            ("AA", "BB"),
            NAMES,
            r"1 of 3 names .*; they have no model of their own \(CC\)",
        ),
    ],
)
def test_one_warning_has_the_counts(
    parts: tuple[str, ...],
    symbols: tuple[str, ...] | None,
    told: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        check_names(_version(*parts, symbols=symbols), _panel(), BARS)
    assert len(caplog.records) == bool(told)
    if told:
        assert re.search(told, caplog.text)


def test_models_of_other_symbols_alone_are_refused() -> None:
    message = r"3 of 3 names were not in training: nothing can be scored.*promotion\."
    with pytest.raises(UserError, match=message):
        check_names(_version("DD", "ZZ"), _panel(), BARS)


def test_a_promotion_tells_the_names_of_its_training() -> None:
    late = _panel()
    late.tradable[2, 0] = False  # CC lists after the training
    splits = {"train": {"last": "2024-01-02T00:00:00+00:00"}}
    assert trained_symbols(late, splits, []) == ["AA", "BB", "DD"]
    refit = ["2024-01-03T00:00:00Z"]
    assert trained_symbols(late, splits, refit) == list(NAMES)
