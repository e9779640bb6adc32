"""Wide tables: any spelling of field and symbol gives the bars of the long table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.readers import inspect_source, read_bars
from ranking_pipeline.bars.timestamps import parse_stamps
from ranking_pipeline.bars.wide_names import find_wide
from ranking_pipeline.errors import UserError

Frame = Callable[..., pd.DataFrame]
Make = Callable[..., ChecksConfig]

# LOW and OPEN are tickers too: only all columns together tell field and symbol apart.
TICKERS = (
    *("ON", "NO", "TRUE", "NA", "NULL", "NAN", "0700", "1E5", "BRK.B", "BF-B"),
    *("BRK", "BF_B", "LOW", "OPEN", "ADJ"),
)
FIELDS = ["open", "high", "low", "close", "volume"]
COLUMNS = ["symbol", "timestamp", *FIELDS]


def _pivot(bars: pd.DataFrame, fields: list[str] | None = None) -> pd.DataFrame:
    """Columns (field, symbol), index the stamps."""
    wide = bars.pivot(index="timestamp", columns="symbol", values=fields or FIELDS)
    return wide.rename_axis(index="date", columns=["Price", "Ticker"])


def _named(wide: pd.DataFrame, name: Callable[[str, str], str]) -> pd.DataFrame:
    return wide.set_axis([name(*pair) for pair in wide.columns], axis=1).reset_index()


def _write(frame: pd.DataFrame, path: Path, *, index: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        frame.to_csv(path, index=index)
    else:
        frame.to_parquet(path, index=index)
    return path


def _plain(raw: pd.DataFrame, config: ChecksConfig) -> pd.DataFrame:
    plain = raw[COLUMNS].astype({"symbol": str, **dict.fromkeys(FIELDS, float)})
    plain["timestamp"] = parse_stamps(plain["timestamp"], config, "test")
    return plain.sort_values(["symbol", "timestamp"]).reset_index(drop=True)


def _agree(source: Path, config: ChecksConfig, bars: pd.DataFrame) -> pd.DataFrame:
    inspect_source(source, config)
    raw, reading = read_bars(source, config)
    assert reading.layout == "wide"
    pd.testing.assert_frame_equal(
        _plain(raw, config), _plain(bars, config), check_exact=True
    )
    return raw


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    "name",
    [
        lambda field, symbol: f"{symbol}_{field}",
        lambda field, symbol: f"{field}_{symbol}",
        lambda field, symbol: f"{field}/{symbol}",
        lambda field, symbol: f"{symbol}:{field.title()}",
        lambda field, symbol: f"{field.upper()}.{symbol}",
        lambda field, symbol: f"{symbol}-{field}",
        lambda field, symbol: f"{symbol} {field}",
        lambda field, symbol: str((field, symbol)),
        lambda field, symbol: str((symbol, field)),
    ],
)
def test_every_spelling_and_ticker(
    good: Frame,
    checks: Make,
    tmp_path: Path,
    suffix: str,
    name: Callable[[str, str], str],
) -> None:
    bars = good(4, TICKERS)[COLUMNS]
    path = _write(_named(_pivot(bars), name), tmp_path / f"bars{suffix}")
    raw = _agree(path, checks(), bars)
    assert list(raw.columns) == [*COLUMNS, "source_file", "source_row"]
    assert raw["source_file"].unique().tolist() == [f"bars{suffix}"]
    assert raw["source_row"].tolist() == [0, 1, 2, 3] * len(TICKERS)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("index_name", [None, "Date", "level_1"])
@pytest.mark.parametrize("levels", [(None, None), ("Price", "Ticker")])
@pytest.mark.parametrize("symbol_first", [False, True])
def test_the_two_levels_of_pandas(
    good: Frame,
    checks: Make,
    tmp_path: Path,
    suffix: str,
    index_name: str | None,
    levels: tuple[Any, Any],
    symbol_first: bool,
) -> None:
    if index_name == "level_1":
        config = checks(column_map={"timestamp": "level_1"})
    else:
        config = checks()
    bars = good(4, TICKERS)[COLUMNS]
    wide = _pivot(bars).swaplevel(axis=1) if symbol_first else _pivot(bars)
    wide = wide.rename_axis(index=index_name).rename_axis(columns=levels)
    path = _write(wide, tmp_path / f"bars{suffix}", index=True)
    raw = _agree(path, config, bars)
    assert raw["source_row"].tolist() == [0, 1, 2, 3] * len(TICKERS)


def test_a_name_may_be_the_start_of_another(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(4, ("BRK", "BRK.B"))[COLUMNS]
    wide = _named(_pivot(bars), lambda field, symbol: f"{field}.{symbol}")
    path = _write(wide, tmp_path / "bars.parquet")
    own = bars[bars["symbol"] == "BRK"]
    _agree(path, checks(symbols=["BRK"]), own)


def test_two_header_lines_without_an_index(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(4)[COLUMNS]
    wide = _pivot(bars).rename_axis(columns=[None, None]).reset_index()
    _agree(_write(wide, tmp_path / "bars.csv"), checks(), bars)


def test_a_folder_of_wide_files_with_one_symbol_each(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(4, TICKERS)[COLUMNS]
    for symbol, part in bars.groupby("symbol"):
        wide = _pivot(part).rename(columns=str.title, level=0)
        _write(wide, tmp_path / "bars" / f"{symbol}.csv", index=True)
    _agree(tmp_path / "bars", checks(), bars)
    raw, _ = read_bars(tmp_path / "bars", checks(symbols=["NA"]))
    assert raw["source_file"].unique().tolist() == ["NA.csv"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_one_file_per_field(
    good: Frame, checks: Make, tmp_path: Path, suffix: str
) -> None:
    bars = good(4, TICKERS)[COLUMNS]
    wide = _pivot(bars)
    for field in FIELDS:
        table = wide[field].rename_axis(columns=None)
        _write(table, tmp_path / f"{field.title()}{suffix}", index=True)
    _write(table, tmp_path / f"vwap{suffix}", index=True)
    raw = _agree(tmp_path, checks(), bars)
    assert raw["source_file"].unique().tolist() == [f"Close{suffix}"]
    raw, reading = read_bars(tmp_path, checks(symbols=["NA", "BRK"]))
    assert set(raw["symbol"]) == {"NA", "BRK"}
    assert reading.columns_ignored == ("vwap",)


def test_fields_with_different_rows_are_joined_by_their_stamps(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(4)[COLUMNS]
    wide = _pivot(bars)
    for field in FIELDS:
        _write(wide[field], tmp_path / f"{field}.csv", index=True)
    _write(wide["low"].iloc[::-1], tmp_path / "low.csv", index=True)
    _write(wide["volume"].iloc[1:], tmp_path / "volume.csv", index=True)
    bars.loc[bars["timestamp"] == bars["timestamp"].min(), "volume"] = np.nan
    _agree(tmp_path, checks(), bars)
    _write(wide["low"].iloc[[0, 0, 1]], tmp_path / "low.csv", index=True)
    with pytest.raises(
        UserError, match=r"low\.csv has stamps of its own.*'2024-01-08'"
    ):
        read_bars(tmp_path, checks())


def test_fields_of_which_one_carries_a_zone(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    wide = _pivot(good(4)[COLUMNS])
    for field in FIELDS:
        _write(wide[field], tmp_path / f"{field}.parquet", index=True)
    _write(wide["low"].tz_localize("UTC"), tmp_path / "low.parquet", index=True)
    with pytest.raises(UserError, match=r"low\.parquet carry a time zone and those of"):
        read_bars(tmp_path, checks())


def test_a_torn_field_makes_the_folder_unreadable(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    wide = _pivot(good(4)[COLUMNS])
    for field in FIELDS:
        _write(wide[field], tmp_path / f"{field}.parquet", index=True)
    path = tmp_path / "high.parquet"
    path.write_bytes(path.read_bytes()[:-30])
    for work in (inspect_source, read_bars):
        with pytest.raises(
            UserError, match=r"its one file cannot be read.*high\.parquet"
        ):
            work(tmp_path, checks())


def test_a_field_without_a_file_and_one_with_two(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    wide = _pivot(good(4)[COLUMNS])
    for field in FIELDS[:4]:
        _write(wide[field], tmp_path / f"{field}.csv", index=True)
    with pytest.raises(UserError, match=r"one file per field.*none named volume"):
        inspect_source(tmp_path, checks())
    _write(wide["volume"], tmp_path / "turnover.csv", index=True)
    assert read_bars(tmp_path, checks(column_map={"volume": "turnover"}))
    _write(wide["close"], tmp_path / "Close.parquet", index=True)
    with pytest.raises(UserError, match=r"Close\.parquet and close\.csv could both be"):
        inspect_source(tmp_path, checks(column_map={"volume": "turnover"}))


def test_files_of_the_tickers_open_and_low_are_no_fields(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(4, ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME"))[COLUMNS]
    for symbol, part in bars.groupby("symbol"):
        _write(part.drop(columns="symbol"), tmp_path / f"{symbol}.parquet")
    raw, reading = read_bars(tmp_path, checks())
    assert reading.layout == "long"
    assert set(raw["symbol"]) == {"OPEN", "HIGH", "LOW", "CLOSE", "VOLUME"}


def test_absent_cells_are_absent_bars(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(5)[COLUMNS].drop(index=[0, 5, 6])
    bars.loc[3, "high"] = np.nan
    # A volume without prices is a bar with a defect; without volume it is none.
    bars.loc[4, FIELDS[:4]] = np.nan
    bars.loc[8, FIELDS] = [np.nan, np.nan, np.nan, np.nan, 0]
    wide = _named(_pivot(bars), lambda field, symbol: f"{symbol}_{field}")
    raw = _agree(_write(wide, tmp_path / "bars.csv"), checks(), bars.drop(index=8))
    # No bar is left of the first day, so that the table starts with the second.
    assert raw["source_row"].tolist() == [0, 1, 2, 3, 1, 3]
    assert raw["high"].isna().tolist() == [False, False, True, True, False, False]


def test_cells_are_read_as_they_are(checks: Make, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "date,A_open,A_high,A_low,A_close,A_volume,B_open,B_high,B_low,B_close,B_volume\n"
        "2024-01-08,0.1,0.30000000000000004,0.1,x,,1,1,1,1,NULL\n"
        "NULL,1,1,1,1,1,,,,,0\n"
    )
    raw, _ = read_bars(path, checks())
    assert raw["symbol"].tolist() == ["A", "A", "B"]
    assert raw["timestamp"].tolist() == ["2024-01-08", "NULL", "2024-01-08"]
    assert raw["close"].tolist()[0] == "x"
    assert raw["high"].tolist()[0] == 0.30000000000000004
    assert raw["volume"].isna().tolist() == [True, False, True]


def test_symbols_with_a_missing_column_are_named(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(4)[COLUMNS]
    wide = _named(_pivot(bars), lambda field, symbol: f"{field}_{symbol}")
    wide = wide.drop(columns=["low_BBB", "volume_BBB"])
    wide = wide.assign(vwap_AAA=1.0, vwap_BBB=1.0, note="x")
    path = _write(wide, tmp_path / "bars.parquet")
    raw, reading = read_bars(path, checks())
    assert set(raw["symbol"]) == {"AAA"}
    assert reading.columns_ignored == ("note", "vwap")
    reason = "the table has no column low, volume of this symbol"
    assert reading.unreadable_files == (("bars.parquet: BBB", reason),)
    with pytest.raises(UserError, match=r"holds none of BBB"):
        read_bars(path, checks(symbols=["BBB"]))


def test_adjusted_prices_for_all_symbols_or_none(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(4)[COLUMNS].assign(adj_close=2.0)
    wide = _pivot(bars, [*FIELDS, "adj_close"])
    named = _named(wide, lambda field, symbol: f"{symbol}_{field}")
    raw, _ = read_bars(_write(named, tmp_path / "a.csv"), checks())
    assert raw["adj_close"].eq(2).all()
    lacking = named.drop(columns="BBB_adj_close")
    path = _write(lacking, tmp_path / "b.csv")
    with pytest.raises(UserError, match="AAA has a column adj_close and BBB has none"):
        read_bars(path, checks())
    raw, _ = read_bars(path, checks(symbols=["AAA"]))
    assert raw["adj_close"].eq(2).all()


def test_words_from_the_column_map(good: Frame, checks: Make, tmp_path: Path) -> None:
    bars = good(4)[COLUMNS]
    wide = _named(_pivot(bars), lambda f, s: f"{s}_{'px_last' if f == 'close' else f}")
    path = _write(wide.rename(columns={"date": "Handelstag"}), tmp_path / "a.csv")
    with pytest.raises(UserError, match=r"no symbol all of open.*there is no close"):
        inspect_source(path, checks())
    with pytest.raises(UserError, match="none with the timestamps"):
        inspect_source(path, checks(column_map={"close": "px_last"}))
    words = {"close": "px_last", "timestamp": "Handelstag"}
    _agree(path, checks(column_map=words), bars)


def test_a_file_that_fits_both_layouts_needs_a_word(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    bars = good(4, ("AAA",))[COLUMNS]
    both = bars.assign(**{f"{field}_raw": bars[field] for field in FIELDS})
    folder = tmp_path / "folder"
    _write(both.drop(columns="symbol"), folder / "AAA.csv")
    with pytest.raises(
        UserError, match=r"AAA\.csv can be read with one row.*data\.lay"
    ):
        inspect_source(folder, checks())
    raw, reading = read_bars(folder, checks(layout="long"))
    assert (set(raw["symbol"]), reading.layout) == ({"AAA"}, "long")
    raw, reading = read_bars(folder, checks(layout="wide"))
    assert (set(raw["symbol"]), reading.layout) == ({"raw"}, "wide")
    # A column of symbols decides: no wide table has one.
    _, reading = read_bars(_write(both, tmp_path / "long.csv"), checks())
    assert reading.layout == "long"


def test_wide_is_refused_where_the_table_is_not(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    path = _write(good(4)[COLUMNS], tmp_path / "a.csv")
    with pytest.raises(UserError, match=r"data\.layout is wide, but a\.csv has no sym"):
        inspect_source(path, checks(layout="wide"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            [
                f"{a}_{b}"
                for a in ("open", "high", "low", "close", "volume")
                for b in ("open", "high", "low", "close", "volume")
            ],
            "with the field first and with the symbol first",
        ),
        (
            [
                f"A_{field}"
                for field in ("open", "high", "low", "close", "Close", "vol")
            ],
            "A_close and A_Close could both be close of A",
        ),
        ([f"('{field}', 700)" for field in FIELDS], "something that is not text"),
        ([f"('{field}', True)" for field in FIELDS], "something that is not text"),
    ],
)
def test_unclear_names_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_wide(["date", *names], {}, "a.csv")


@given(
    symbols=st.lists(
        st.text("ABOPENLW01._-/: ", min_size=1, max_size=8).filter(str.strip),
        min_size=1,
        max_size=4,
        unique=True,
    ),
    separator=st.sampled_from("_/.:| -"),
    field_first=st.booleans(),
)
def test_any_symbol_comes_back_from_its_names(
    symbols: list[str], separator: str, field_first: bool
) -> None:
    def name(field: str, symbol: str) -> str:
        pair = (field, symbol) if field_first else (symbol, field)
        return separator.join(pair)

    names = ["date", *(name(field, s) for s in symbols for field in FIELDS)]
    assume(len(set(names)) == len(names))
    try:
        found = find_wide(names, {}, "a")
    except UserError:
        return  # two readings are possible, and none was guessed
    assert found is not None
    if set(found.symbols) == set(symbols):
        for (field, symbol), position in found.cells.items():
            assert names[position] == name(field, symbol)
    else:
        raise AssertionError((found.symbols, symbols))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("fields", [False, True])
def test_a_wide_source_without_rows(
    good: Frame, checks: Make, tmp_path: Path, suffix: str, fields: bool
) -> None:
    wide = _pivot(good(4)[COLUMNS]).iloc[:0]
    if fields:
        for field in FIELDS:
            _write(wide[field], tmp_path / f"{field}{suffix}", index=True)
    else:
        named = _named(wide, lambda field, symbol: f"{symbol}_{field}")
        _write(named, tmp_path / f"bars{suffix}")
    for work in (inspect_source, read_bars):
        with pytest.raises(UserError, match="zero rows"):
            work(tmp_path, checks())


def test_damaged_wide_files(good: Frame, checks: Make, tmp_path: Path) -> None:
    wide = _named(_pivot(good(4)[COLUMNS]), lambda field, symbol: f"{symbol}_{field}")
    path = _write(wide, tmp_path / "a.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"its one file cannot be read.*a\.parquet"):
        inspect_source(path, checks())
    path = _write(wide.rename(columns={"AAA_open": "ÉÉ_open"}), tmp_path / "a.csv")
    path.write_bytes(path.read_text("utf-8").encode("latin-1"))
    with pytest.raises(
        UserError, match=r"a\.csv is not utf-8: byte 5 .*data\.encoding"
    ):
        inspect_source(path, checks())
    with pytest.raises(UserError, match="data\\.encoding: 'klingon' is unknown"):
        inspect_source(path, checks(encoding="klingon"))
    with pytest.raises(UserError, match=r"--params=data\.timezone"):
        inspect_source(path, checks(encoding="latin-1", timezone=None))
