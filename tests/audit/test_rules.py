"""The rules for raw bars under audit: clean as they are, and every fault is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaml
from tests.running import PROJECT

from ranking_pipeline.audit import rules_check
from ranking_pipeline.audit.check import NOT_COVERED
from ranking_pipeline.audit.ingest_check import different_cells
from ranking_pipeline.audit.raw_market import raw_market
from ranking_pipeline.audit.rules_check import rules_checks
from ranking_pipeline.bars import fill, flags, gaps, prepare, resampling
from ranking_pipeline.bars.config import DataConfig
from ranking_pipeline.panel import Panel

Patch = pytest.MonkeyPatch
FILLED = {"gaps": "forward_fill", "missing_prices": "forward_fill", "max_fill_bars": 3}
INTRADAY = {"interval": "30m", "source_interval": "5m"}


def config_of(**changes: Any) -> DataConfig:
    path = PROJECT / "conf" / "base" / "parameters_data_preparation.yml"
    given = yaml.safe_load(path.read_text("utf-8"))["data"]
    fields = {name: given[name] for name in DataConfig.model_fields}
    defects = changes.pop("defects", {})
    base = DataConfig.model_validate(fields)
    rules = base.defects.model_copy(update=defects)
    return base.model_copy(update={**changes, "defects": rules})


CONFIGS = {
    "as delivered": config_of(),
    "filled": config_of(defects=FILLED),
    "resampled": config_of(**INTRADAY),
    "filled and resampled": config_of(**INTRADAY, defects=FILLED),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_rules_are_clean(name: str) -> None:
    (check,) = rules_checks(CONFIGS[name], 0)
    assert check.good, check.worst
    assert check.compared > check.known > 10_000


def test_the_raw_market_holds_its_events() -> None:
    market = raw_market(config_of(), 0)
    counts = market.rows.groupby("symbol").size()
    n_bars = len(market.stamps)
    assert counts["RAW0"] == n_bars - 4
    assert counts["RAW1"] == n_bars - n_bars // 3
    assert counts["RAW7"] == n_bars + 1
    equal = market.rows[market.rows["symbol"] == "RAW3"]["close"].diff().eq(0).sum()
    assert equal == config_of().defects.stale_run_bars + 3


def test_a_rule_that_looks_ahead_by_its_own_word_is_named(monkeypatch: Patch) -> None:
    monkeypatch.setattr(rules_check, "WAYS_AT_A_CUT", 1)
    found = rules_checks(config_of(defects={"outliers": "quarantine"}), 0)
    assert [check.verdict for check in found] == ["clean", NOT_COVERED]
    assert "needs the next bar" in found[1].worst


def tradable_if_the_next_bar_is(patch: Patch) -> None:
    honest = flags.flag_bars

    def ahead(values: np.ndarray, config: Any) -> Any:
        found = honest(values, config)
        there = ~np.isnan(values[:, :, 3])
        follows = np.concatenate([there[:, 1:], there[:, -1:]], axis=1)
        return replace(found, tradable=found.tradable & follows)

    patch.setattr("ranking_pipeline.bars.ingest.flag_bars", ahead)


def stale_from_its_first_bar(patch: Patch) -> None:
    honest = flags.stale_bars

    def ahead(bars: Any, fresh: np.ndarray, run_bars: int) -> np.ndarray:
        late = honest(bars, fresh, run_bars)
        early = late.copy()
        for step in range(1, run_bars + 1):
            early[:-step] |= late[step:]
        return early

    patch.setattr(flags, "stale_bars", ahead)


def gaps_filled_backwards(patch: Patch) -> None:
    def backwards(values: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
        symbol, first, last = gaps._gaps(~np.isnan(values[:, :, 3]))
        count = np.minimum(last - first + 1, limit)
        for row, start, n, stop in zip(symbol, first, count, last, strict=True):
            values[row, start : start + n, :4] = values[row, stop + 1, 3]
        return np.repeat(symbol, count), np.repeat(first, count)

    patch.setattr("ranking_pipeline.bars.ingest.fill_gaps", backwards)


def prices_in_units_of_the_last_one(patch: Patch) -> None:
    honest = fill.fill_values

    def scaled(*arguments: Any) -> Any:
        found = honest(*arguments)
        last = np.nanmax(found.values[:, -1:, 3], initial=1.0)
        return replace(found, values=found.values / np.float32(last))

    patch.setattr("ranking_pipeline.bars.ingest.fill_values", scaled)


def members_of_the_last_day(patch: Patch) -> None:
    honest = prepare.apply_universe
    patch.setattr(
        prepare,
        "apply_universe",
        lambda panel, member: honest(
            panel, np.broadcast_to(member[:, -1:], member.shape)
        ),
    )


def sectors_of_the_last_day(patch: Patch) -> None:
    honest = prepare.with_sectors

    def last(panel: Panel, table: Any) -> Panel:
        found = honest(panel, table)
        codes = np.repeat(found.sectors[:, -1:], panel.n_bars, axis=1)
        return replace(found, sectors=codes)

    patch.setattr(prepare, "with_sectors", last)


def coarse_bars_that_end_too_early(patch: Patch) -> None:
    honest = resampling.bucket_of

    def early(*arguments: Any) -> tuple[np.ndarray, np.ndarray]:
        bucket, ends = honest(*arguments)
        return bucket, ends - np.timedelta64(10, "m")

    patch.setattr(resampling, "bucket_of", early)


FAULTS: tuple[tuple[Callable[[Patch], None], str], ...] = (
    (tradable_if_the_next_bar_is, "as delivered"),
    (stale_from_its_first_bar, "as delivered"),
    (gaps_filled_backwards, "filled"),
    (prices_in_units_of_the_last_one, "as delivered"),
    (members_of_the_last_day, "as delivered"),
    (sectors_of_the_last_day, "as delivered"),
    (coarse_bars_that_end_too_early, "resampled"),
)


@pytest.mark.parametrize(
    ("fault", "name"), FAULTS, ids=lambda v: getattr(v, "__name__", v)
)
def test_every_fault_is_found(fault: Callable[[Patch], None], name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        fault(patch)
        patch.setattr(rules_check, "WAYS_AT_A_CUT", 1)  # enough to show each
        (check,) = rules_checks(CONFIGS[name], 0)
    assert not check.good
    assert check.worst


def test_only_an_idle_repetition_may_come_and_go() -> None:
    """A filled bar may be missing where the gap is not over; another price may not."""
    values = np.ones((2, 4, 5), dtype=np.float32)
    values[0, 2:3, 4] = 0.0
    stamps = np.arange(4).astype("M8[D]").astype("M8[ns]") + np.timedelta64(1, "h")
    tradable = values[:, :, 4] > 0
    fields = ("open", "high", "low", "close", "volume")
    panel = Panel(("A", "B"), stamps, fields, values, tradable)
    shorter = panel.cut(slice(3))
    missing = replace(shorter, values=shorter.values.copy())
    missing.values[0, 2] = np.nan
    wrong, known = different_cells(panel, missing, 3)
    assert wrong.sum() == 0
    assert known == 6 * 5 + 6
    panel.values[0, 2, :4] = 2.0
    assert different_cells(panel, missing, 3)[0].sum() == 5
