"""The 26 classes of defects: one row each, with its default and its other outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.ingest import ingest
from ranking_pipeline.bars.raw import FrameBars, RawBars, open_bars
from ranking_pipeline.bars.reading import Reading
from ranking_pipeline.errors import UserError

from . import damage
from .checked import Checked, account, check, table
from .damage import N_ROWS, ODD, PRICES

Frame = Callable[..., pd.DataFrame]
Make = Callable[..., ChecksConfig]
Source = pd.DataFrame | Path
Rules = dict[tuple[str, str], int]
NOW = pd.Timestamp("2024-06-01", tz="UTC")
# With this limit nothing stops the run but the defect itself.
OPEN = {"max_quarantined_share": 1.0, "max_quarantined_share_of_symbol": 1.0}


@dataclass(frozen=True)
class Outcome:
    """What must come out: an error, or lines of the quality table and more."""

    error: str | None = None
    rules: Rules = field(default_factory=dict)
    rows_in: int = N_ROWS
    also: Callable[[Checked], bool] = lambda checked: True


@dataclass(frozen=True)
class Defect:
    """One class: how bars are damaged, and what becomes of them.

    ``option`` changes the parameters; None where there is no other choice. Where the
    other outcome needs other damage, ``other_damage`` makes it.
    """

    name: str
    damage: Callable[[pd.DataFrame, Path], Source]
    default: Outcome
    option: dict[str, Any] | None = None
    otherwise: Outcome | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    other_damage: Callable[[pd.DataFrame, Path], Source] | None = None


def _tradable(checked: Checked, symbol: str) -> np.ndarray:
    return checked.panel.tradable[checked.panel.symbols.index(symbol)]


def _flat_and_untraded(
    checked: Checked, bars: list[int], close_of: int, volume: float
) -> bool:
    """Whether bars of AAA repeat an earlier close, without trading, not tradable."""
    values = checked.panel.values[0]
    flat = (values[bars, :4] == values[close_of, 3]).all()
    nothing = np.array_equal(values[bars, 4], [volume] * len(bars), equal_nan=True)
    return bool(flat and nothing and not checked.panel.tradable[0, bars].any())


SPLITS = "splits.csv"
DEFECTS = [
    Defect(
        "missing required column",
        damage.no_close,
        Outcome(error=r"no column close\. Found: .*Last.* Wanted: .*data\.column_map"),
        {"column_map": {"close": "Last"}},
        Outcome(),
    ),
    Defect(
        "unknown extra column",
        damage.extra_column,
        Outcome(also=lambda c: c.summary["columns_ignored"] == ["mood"]),
        {"unknown_columns": "error"},
        Outcome(error=r"none of ours: mood\. .*unknown_columns=keep_aside"),
    ),
    Defect(
        "wrong type",
        damage.text_prices,
        Outcome(
            rules={
                ("unreadable_number", "quarantined"): 1,
                ("number_stored_as_text", "kept"): 39,
            }
        ),
        {"text_numbers": "error"},
        Outcome(error=r"column close holds text, as 'twelve'.*text_numbers=cast"),
    ),
    Defect(
        "text that is not UTF-8",
        damage.latin,
        Outcome(error=r"bars\.csv is not utf-8: byte \d+ .*data\.encoding"),
        {"encoding": "latin-1"},
        Outcome(also=lambda c: c.panel.symbols == ("BBB", "\xc9AA")),
    ),
    Defect(
        "damaged file",
        damage.torn_file,
        Outcome(
            rules={("unreadable_file", "quarantined"): 0},
            also=lambda c: c.summary["unreadable_files"] == ["CCC.parquet"],
        ),
        {"unreadable_files": "error"},
        Outcome(error=r"1 file cannot be read: CCC\.parquet \(.*unreadable_files"),
    ),
    Defect(
        "missing or infinite price",
        damage.missing_prices,
        Outcome(rules={("missing_price", "quarantined"): 2}),
        {"missing_prices": "forward_fill"},
        Outcome(
            rules={("missing_price", "repaired"): 2},
            also=lambda c: (
                _flat_and_untraded(c, [5], 4, np.nan)
                and c.summary["rows_repaired"] == 2
            ),
        ),
    ),
    Defect(
        "price not above zero, volume below",
        damage.senseless,
        Outcome(
            rules={
                ("non_positive_price", "quarantined"): 2,
                ("invalid_volume", "quarantined"): 1,
            }
        ),
    ),
    Defect(
        "zero volume",
        damage.no_volume,
        Outcome(
            rules={("zero_volume", "flagged"): 2},
            also=lambda c: np.flatnonzero(~_tradable(c, "AAA")).tolist() == [3, 4],
        ),
        {"zero_volume": "quarantine"},
        Outcome(rules={("zero_volume", "quarantined"): 2}),
    ),
    Defect(
        "open or close outside low and high",
        damage.crossed,
        Outcome(rules={("price_outside_range", "quarantined"): 1}),
        {"price_range": "repair"},
        Outcome(
            rules={("price_outside_range", "repaired"): 1},
            also=lambda c: bool(
                c.panel.field("high")[0, 6] >= c.panel.field("low")[0, 6]
            ),
        ),
    ),
    Defect(
        "equal rows",
        damage.twice,
        Outcome(
            rules={("exact_duplicate", "quarantined"): 1},
            rows_in=41,
            also=lambda c: c.summary["duplicates_merged"] == 1,
        ),
    ),
    Defect(
        "rows that contradict each other",
        damage.twice_otherwise,
        Outcome(rules={("conflicting_duplicate", "quarantined"): 2}, rows_in=41),
        {"conflicts": "keep_last"},
        Outcome(
            # The last row stands at the end of the source, out of the order of time.
            rules={
                ("conflicting_duplicate", "quarantined"): 1,
                ("unsorted", "kept"): 1,
            },
            rows_in=41,
            also=lambda c: float(c.panel.field("volume")[0, 5]) == 9.0,
        ),
    ),
    Defect(
        "unsorted rows",
        damage.unsorted,
        Outcome(rules={("unsorted", "kept"): 1}),
        {"unsorted_rows": "error"},
        Outcome(error=r"1 rows lie before .* AAA 2024-01-08.*unsorted_rows=sort"),
    ),
    Defect(
        "stamps without a zone",
        damage.naive,
        Outcome(error=r"carry no time zone .*data\.timezone=America/New_York"),
        {"timezone": "Asia/Tokyo"},
        Outcome(also=lambda c: c.summary["first"] == "2024-01-08T15:00:00+00:00"),
        settings={"timezone": None},
    ),
    Defect(
        "stamps of several zones",
        damage.many_zones,
        Outcome(
            also=lambda c: c.panel.timestamps[0] == np.datetime64("2024-01-08T16:00")
        ),
        {},
        Outcome(error="some timestamps carry a time zone .* and some do not"),
        settings={"timezone": None, "interval": "1h"},
        other_damage=damage.some_zones,
    ),
    Defect(
        "stamps that name the other end of the bar",
        damage.end_stamps,
        # Without a calendar nothing contradicts what was declared.
        Outcome(rules={("off_grid_timestamp", "flagged"): 36}),
        {"calendar": "XNYS"},
        Outcome(error=r"of 3 sessions of XNYS 0 .*Set data\.bar_stamp=end"),
        settings={"interval": "1h"},
    ),
    Defect(
        "gaps",
        damage.gaps,
        Outcome(
            rows_in=35,
            also=lambda c: (
                c.gaps["n_bars"].tolist() == [4, 1] and c.summary["missing_bars"] == 5
            ),
        ),
        {"gaps": "forward_fill"},
        Outcome(
            rules={("gap", "filled"): 4},
            rows_in=35,
            also=lambda c: (
                _flat_and_untraded(c, [3, 4, 5], 2, 0.0)
                and bool(np.isnan(c.panel.values[0, 6]).all())
                and c.summary["rows_filled"] == 4
                and c.summary["missing_bars"] == 1
                and c.gaps["n_bars"].tolist() == [4, 1]
            ),
        ),
    ),
    Defect(
        "listed late, delisted early",
        damage.left_early,
        # Labels over the end are the labels' matter: no bar is invented here.
        Outcome(
            rows_in=35,
            also=lambda c: (
                not c.panel.present[0, :2].any()
                and not c.panel.present[1, 17:].any()
                and c.gaps.empty
            ),
        ),
        {"gaps": "forward_fill"},
        Outcome(rows_in=35, also=lambda c: not c.panel.present[1, 17:].any()),
    ),
    Defect(
        "survivors only",
        damage.as_it_is,
        Outcome(
            also=lambda c: (
                "2 of 2 symbols (100.0%)" in c.summary["survivorship"]["warning"]
            )
        ),
        {"survivorship": "error"},
        Outcome(error=r"2 of 2 symbols .*survivorship=warn"),
    ),
    Defect(
        "stale run",
        damage.stale,
        Outcome(
            rules={("stale_run", "flagged"): 5},
            also=lambda c: (
                np.flatnonzero(~_tradable(c, "AAA")).tolist() == [9, 10, 11, 12, 13]
            ),
        ),
        {"stale_runs": "keep"},
        Outcome(
            rules={("stale_run", "flagged"): 5},
            also=lambda c: bool(c.panel.tradable.all()),
        ),
        settings={"outlier_sigmas": 1e9},
    ),
    Defect(
        "one symbol only",
        damage.one_symbol,
        Outcome(
            rules={("one_symbol", "flagged"): 0},
            rows_in=20,
            also=lambda c: c.summary["single_symbol"] is True,
        ),
    ),
    Defect(
        "split that prices were not adjusted for",
        damage.split,
        Outcome(rules={("likely_split", "flagged"): 1}),
        {"max_split_share": 0.1},
        Outcome(error=r"1 of 2 symbols .* AAA 2024-01-22.*data\.defects\.split_table"),
    ),
    Defect(
        "outlier that is undone at once",
        damage.spike,
        Outcome(
            rules={("reverting_outlier", "flagged"): 1},
            also=lambda c: bool(c.panel.tradable.all()),
        ),
        {"outliers": "quarantine"},
        Outcome(
            rules={("reverting_outlier", "quarantined"): 1},
            also=lambda c: (
                c.quarantine["source_row"].tolist() == [10]
                and not c.panel.present[0, 10]
                and not c.panel.tradable[0, 10]
            ),
        ),
    ),
    Defect(
        "empty file",
        damage.empty_file,
        Outcome(
            rules={("empty_file", "skipped"): 0},
            also=lambda c: c.summary["empty_files"] == ["CCC.parquet"],
        ),
        {"empty_files": "error"},
        Outcome(error=r"1 file without rows: CCC\.parquet.*empty_files=skip"),
    ),
    Defect(
        "odd symbols",
        damage.odd_symbols,
        Outcome(
            rules={("symbols_differ_by_case", "flagged"): 0},
            also=lambda c: c.panel.symbols == tuple(sorted(ODD)),
        ),
    ),
    Defect(
        "bars of the future and of weekends",
        damage.wrong_days,
        Outcome(
            rules={
                ("future_timestamp", "quarantined"): 1,
                ("weekend_bar", "quarantined"): 1,
            }
        ),
        {"future_bars": "keep", "weekends": "keep"},
        Outcome(also=lambda c: c.panel.n_bars == 22),
    ),
    Defect(
        "numbers too fine or too large for their type",
        damage.too_fine,
        Outcome(
            rules={
                ("unreadable_number", "quarantined"): 1,
                ("precision_loss", "flagged"): 39,
                ("stale_run", "flagged"): 29,
            }
        ),
        {"precision_loss": "error"},
        Outcome(error=r"volume holds 9007199254740993.*precision_loss=flag"),
    ),
]


def _open(source: Source, config: ChecksConfig) -> RawBars:
    if isinstance(source, Path):
        return open_bars(source, config)
    return FrameBars(source, Reading("frame"))


def _judge(source: Source, config: ChecksConfig, wanted: Outcome) -> None:
    if wanted.error:
        with pytest.raises(UserError, match=wanted.error):
            ingest(_open(source, config), config, now=NOW)
        return
    checked = table(ingest(_open(source, config), config, now=NOW))
    account(checked, wanted.rows_in)
    quality = checked.quality
    keys = zip(quality["rule"], quality["action"], strict=True)
    assert dict(zip(keys, quality["rows"], strict=True)) == wanted.rules
    assert wanted.also(checked)


def test_there_are_26_classes() -> None:
    assert len(DEFECTS) == 26
    assert len({defect.name for defect in DEFECTS}) == 26
    assert all((d.option is None) == (d.otherwise is None) for d in DEFECTS)


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda d: d.name.replace(" ", "_"))
def test_the_default(good: Frame, checks: Make, tmp_path: Path, defect: Defect) -> None:
    source = defect.damage(good(), tmp_path)
    _judge(source, checks(**OPEN, **defect.settings), defect.default)


@pytest.mark.parametrize(
    "defect",
    [defect for defect in DEFECTS if defect.otherwise],
    ids=lambda d: d.name.replace(" ", "_"),
)
def test_the_option(good: Frame, checks: Make, tmp_path: Path, defect: Defect) -> None:
    assert defect.otherwise is not None
    assert defect.option is not None
    source = (defect.other_damage or defect.damage)(good(), tmp_path)
    _judge(source, checks(**(OPEN | defect.settings | defect.option)), defect.otherwise)


def test_a_damaged_file_of_a_required_symbol_is_an_error(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    folder = damage.torn_file(good(), tmp_path)
    raw = open_bars(folder, checks())
    config = checks(symbols=["AAA", "CCC"])
    with pytest.raises(
        UserError, match=r"no bars for CCC.*CCC\.parquet cannot be read"
    ):
        ingest(raw, config, now=None)


def test_splits_are_adjusted_by_their_table(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    whole = check(good(), checks()).panel
    path = damage.split(good(), tmp_path)
    config = checks(split_table=str(tmp_path / SPLITS))
    done = table(ingest(open_bars(path, config), config, now=None))
    account(done, 40)
    line = done.quality.iloc[0]
    assert (line["rule"], line["action"], line["rows"]) == (
        "split_table",
        "adjusted",
        10,
    )
    assert len(done.quality) == 1
    # All bars of AAA are now in shares of today, a quarter of those of then.
    expected = whole.values.copy()
    expected[0, :, :4] /= 4
    expected[0, :, 4] *= 4
    np.testing.assert_allclose(done.panel.values, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"splits\.csv does not exist"),
        ("symbol,date\nAAA,2024-01-22\n", "no column ratio"),
        ("symbol,date,ratio\nAAA,22.01.2024,2\n", r"line 2: AAA, 22\.01\.2024, 2"),
        ("symbol,date,ratio\nAAA,2024-01-22,2\nAAA,2024-01-23,0\n", "line 3"),
        ("symbol,date,ratio\nAAA,2024-01-22,inf\n", "positive numbers"),
    ],
)
def test_wrong_split_tables_are_explained(
    good: Frame, checks: Make, tmp_path: Path, text: str | None, message: str
) -> None:
    path = tmp_path / SPLITS
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=message):
        check(good(), checks(split_table=str(path)))


def test_splits_are_not_adjusted_twice(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    raw = good()
    damage.split(raw, tmp_path)
    raw = raw.assign(adj_close=1.0)
    changes = {"split_table": str(tmp_path / SPLITS)}
    with pytest.raises(UserError, match="adj_close already adjusts for splits"):
        check(raw, checks(**changes))
    done = check(raw, checks(**changes, adjust_by_adj_close=False))
    assert done.quality["rule"].tolist() == ["split_table"]


def test_a_filled_price_reaches_no_further_than_allowed(
    good: Frame, checks: Make
) -> None:
    raw = good()
    raw.loc[[0, 5, 6, 7, 8], "close"] = np.nan
    raw.loc[25, "close"] = np.nan
    twin = raw.iloc[[25]].assign(close=100.0, high=200.0, low=1.0)
    raw = pd.concat([raw, twin], ignore_index=True)
    changes = {"missing_prices": "forward_fill", "max_fill_bars": 2}
    done = check(raw, checks(**changes, outlier_sigmas=1e9, **OPEN))
    account(done, 41)
    # Bar 0 has nothing before it, 7 and 8 are too far from bar 4, and the faulty twin
    # of a good row is not needed.
    assert done.quarantine["source_row"].tolist() == [0, 7, 8, 25]
    assert done.summary["rows_repaired"] == 2
    assert _flat_and_untraded(done, [5, 6], 4, np.nan)
    assert float(done.panel.field("close")[1, 5]) == 100.0


def test_a_gap_is_filled_from_its_start_only(good: Frame, checks: Make) -> None:
    raw = good().drop(index=[3, 4, 5, 6, 19])
    before = check(raw, checks()).panel
    done = check(raw, checks(gaps="forward_fill", max_fill_bars=1))
    account(done, 35)
    added = done.panel.present & ~before.present
    assert np.argwhere(added).tolist() == [[0, 3]]
    np.testing.assert_array_equal(
        done.panel.values[before.present], before.values[before.present]
    )
    np.testing.assert_array_equal(done.panel.tradable, before.tradable)


def test_a_range_in_single_precision_is_not_lost(good: Frame, checks: Make) -> None:
    raw = good()
    for name in PRICES:
        raw[name] = raw[name].astype("float32")
    done = check(raw, checks(precision_loss="error", text_numbers="error"))
    assert done.quality.empty
    whole = good()
    for name in PRICES:
        whole[name] = (whole[name] * 100).round().astype("int64")
    assert check(whole, checks(precision_loss="error")).quality.empty
    fine = good().assign(open=2e7, high=2e7 + 1, low=2e7, close=2e7)
    with pytest.raises(UserError, match=r"40 bars have a high and a low .* AAA 2024"):
        check(fine, checks(precision_loss="error"))
