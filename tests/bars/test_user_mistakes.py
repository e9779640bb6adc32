"""Sources as users bring them: odd names and spellings, and mistakes with a remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from ranking_pipeline.bars.calendar import sessions_between
from ranking_pipeline.bars.config import ChecksConfig, DataConfig
from ranking_pipeline.bars.files import list_files
from ranking_pipeline.bars.prepare import prepare_bars
from ranking_pipeline.bars.raw import ParquetBars, open_bars
from ranking_pipeline.bars.readers import inspect_source, read_bars
from ranking_pipeline.bars.sectors import read_sectors, with_sectors
from ranking_pipeline.bars.source import BarSource
from ranking_pipeline.bars.spells import read_table
from ranking_pipeline.bars.split_table import read_splits
from ranking_pipeline.errors import UserError

from .checked import check

Frame = Callable[..., pd.DataFrame]
Make = Callable[..., ChecksConfig]
COLUMNS = ["symbol", "timestamp", "open", "high", "low", "close", "volume"]
NEW_YORK = sessions_between(
    "XNYS", np.datetime64("2024-01-08"), np.datetime64("2024-02-09")
)


def _starts(extended: bool) -> pd.DatetimeIndex:
    """UTC starts of five-minute bars from 09:30 to 15:55, or from 04:00 to 17:55."""
    first, last = ("09:00", "22:55") if extended else ("14:30", "20:55")
    days = [
        pd.date_range(f"{date} {first}", f"{date} {last}", freq="5min")
        for date in NEW_YORK.dates
    ]
    return days[0].append(days[1:])


def _extended(good: Frame) -> pd.DataFrame:
    """Ten names in the session; outside of it one, and three for an hour behind it."""
    starts = _starts(extended=True)
    clock = starts.hour * 60 + starts.minute
    names = np.full(len(starts), 1)
    names[(clock >= 14 * 60 + 30) & (clock < 21 * 60)] = 10
    names[(clock >= 21 * 60) & (clock < 22 * 60)] = 3
    parts = [
        good(int((names > rank).sum()), (f"S{rank}",)).assign(
            timestamp=starts[names > rank]
        )
        for rank in range(10)
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(
    ("declared", "zone", "shift_minutes"),
    [
        ("start", "America/New_York", 0),
        ("start", "Asia/Kolkata", 0),
        ("end", "America/New_York", 5),
        ("start", "UTC", 5),
        ("start", "UTC", -300),
    ],
)
def test_a_wrong_zone_is_refused_though_bars_lie_around_the_session(
    good: Frame, checks: Make, declared: str, zone: str, shift_minutes: int
) -> None:
    config = checks(interval="5m", timezone=zone, bar_stamp=declared)
    raw = _extended(good)
    wrong = raw.assign(timestamp=raw["timestamp"] + pd.Timedelta(minutes=shift_minutes))
    with pytest.raises(UserError, match=r"data\.timezone"):
        check(wrong, config, calendar=NEW_YORK)


@pytest.mark.parametrize("declared", ["start", "end"])
def test_the_right_zone_passes_with_bars_around_the_session(
    good: Frame, checks: Make, declared: str
) -> None:
    raw = _extended(good)
    if declared == "end":
        raw["timestamp"] += pd.Timedelta(minutes=5)
    config = checks(interval="5m", timezone="UTC", bar_stamp=declared)
    done = check(raw, config, calendar=NEW_YORK)
    assert done.panel.n_bars == 78 * len(NEW_YORK.dates)
    assert set(done.quarantine["rule"]) == {"outside_session"}


def test_few_rows_do_not_tell_a_zone(good: Frame, checks: Make) -> None:
    ends = pd.to_datetime(["2024-01-08 21:00", "2024-01-08 21:05"])
    raw = good(2, ("AAA",)).assign(timestamp=ends)
    config = checks(interval="5m", timezone="UTC", bar_stamp="end")
    done = check(raw, config, calendar=NEW_YORK)
    assert done.panel.n_bars == 1


def test_bars_without_any_volume_are_refused(good: Frame, checks: Make) -> None:
    with pytest.raises(
        UserError, match="none of 40 bars is tradable: 40 lack a volume"
    ):
        check(good().assign(volume=np.nan), checks())
    with pytest.raises(UserError, match="40 have a volume of zero"):
        check(good().assign(volume=0.0), checks())


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"timestamp": "01/08/2024"}, r"data\.timestamp_format"),
        ({"volume": "1,234"}, "without signs between thousands"),
        ({"timestamp": pd.Timestamp("2024-01-13")}, r"data\.bar_stamp"),
    ],
)
def test_no_valid_row_names_a_remedy(
    good: Frame, checks: Make, change: dict[str, Any], hint: str
) -> None:
    with pytest.raises(UserError, match=f"no valid row is left.*{hint}"):
        check(good().assign(**change), checks())


def test_finer_bars_than_declared_name_the_interval(good: Frame, checks: Make) -> None:
    hours = pd.date_range("2024-01-08 10:00", periods=6, freq="h")
    raw = good(6, ("AAA",)).assign(timestamp=hours)
    with pytest.raises(UserError, match=r"no valid row is left.*data\.interval"):
        check(raw, checks())


def test_two_columns_of_one_name_are_refused(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    frame = good()[COLUMNS]
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(
        table.append_column("close", table["open"]), tmp_path / "two.parquet"
    )
    text = frame.assign(other=frame["open"]).to_csv(index=False)
    (tmp_path / "two.csv").write_text(text.replace("other", "close", 1), "utf-8")
    for name in ("two.parquet", "two.csv"):
        for read in (inspect_source, read_bars):
            with pytest.raises(UserError, match=f"{name} has 2 columns named 'close'"):
                read(tmp_path / name, checks())


def test_a_repeated_column_that_is_not_ours_is_left_aside(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    text = good()[COLUMNS].assign(note=1, other=2).to_csv(index=False)
    (tmp_path / "note.csv").write_text(text.replace("other", "note", 1), "utf-8")
    rows, _ = read_bars(tmp_path / "note.csv", checks())
    assert len(rows) == 40


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_another_separator_is_named(
    good: Frame, checks: Make, tmp_path: Path, separator: str
) -> None:
    path = tmp_path / "bars.csv"
    good()[COLUMNS].to_csv(path, index=False, sep=separator)
    with pytest.raises(UserError, match="write them with commas") as caught:
        inspect_source(path, checks())
    assert repr(separator) in str(caught.value)


def test_a_thousands_separator_is_not_read_as_two_cells(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    path = tmp_path / "bars.csv"
    good()[COLUMNS].to_csv(path, index=False)
    assert len(read_bars(path, checks())[0]) == 40
    lines = path.read_text().splitlines()
    cells = lines[7].split(",")
    lines[7] = ",".join([*cells[:-1], "1,234"])
    path.write_text("\n".join(lines))
    with pytest.raises(UserError, match="line 8 has 8 cells under 7 columns"):
        read_bars(path, checks())
    lines[7] = ",".join([*cells[:-1], '"1,234"'])
    path.write_text("\n".join(lines))
    assert len(read_bars(path, checks())[0]) == 40


def test_suffixes_in_capitals_are_read(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    for name, rows in good()[COLUMNS].groupby("symbol"):
        rows.to_csv(tmp_path / f"{name}.CSV", index=False)
    assert [file.kind for file in list_files(tmp_path, checks())] == ["csv", "csv"]
    assert len(read_bars(tmp_path, checks())[0]) == 40
    source = BarSource(str(tmp_path))
    assert len(source.files()) == 2
    path = tmp_path / "long.PARQUET"
    good()[COLUMNS].to_parquet(path)
    assert isinstance(open_bars(path, checks()), ParquetBars)


def test_a_path_below_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "sectors.csv").write_text("symbol,sector\nAAA,Energy\n", "utf-8")
    assert BarSource("~/bars.csv").location == str(tmp_path / "bars.csv")
    assert BarSource("simulated").simulated
    assert len(read_table(Path("~/sectors.csv"), "data.sectors", "symbol")) == 1


def test_symbols_as_views_of_text(good: Frame, checks: Make, tmp_path: Path) -> None:
    table = pa.Table.from_pandas(good()[COLUMNS], preserve_index=False)
    views = table["symbol"].cast(pa.string_view())
    pq.write_table(table.set_column(0, "symbol", views), tmp_path / "bars.parquet")
    raw = open_bars(tmp_path / "bars.parquet", checks())
    assert sorted(raw.keys("symbol").values) == ["AAA", "BBB"]
    rows, _ = read_bars(tmp_path / "bars.parquet", checks())
    assert sorted(rows["symbol"].unique()) == ["AAA", "BBB"]


@pytest.mark.parametrize("mangled", [True, 448, 1e5])
def test_one_ticker_that_yaml_took_for_another_thing(
    checks: Make, mangled: object
) -> None:
    with pytest.raises(ValueError, match="YAML reads tickers such as ON"):
        checks(symbols=mangled)


def test_sectors_of_other_symbols_are_refused(
    good: Frame, checks: Make, tmp_path: Path
) -> None:
    path = tmp_path / "sectors.csv"
    path.write_text("symbol,sector\naaa,Energy\n", "utf-8")
    panel = check(good(), checks()).panel
    with pytest.raises(UserError, match=r"data\.sectors: .* none is of a symbol"):
        with_sectors(panel, read_sectors(path))


def test_bars_of_another_exchange_are_refused(good: Frame, checks: Make) -> None:
    # One bar at the opening in Tokyo (00:00 UTC), a hundred after its close.
    late = pd.date_range("2024-01-09 06:30", periods=100, freq="5min")
    starts = late.insert(0, pd.Timestamp("2024-01-09"))
    config = checks(interval="5m", timezone="UTC", calendar="XTKS")
    raw = good(len(starts), ("AAA",)).assign(timestamp=starts)
    with pytest.raises(UserError, match=r"99\.0% of 101 rows .* sessions of XTKS"):
        check(raw, config)
    assert check(raw, config.model_copy(update={"session": "all"})).panel.n_bars == 101


def test_the_summary_tells_the_bars_that_were_made(tmp_path: Path) -> None:
    starts = pd.date_range("2024-01-08 14:30", "2024-01-08 20:59", freq="1min")
    raw = pd.DataFrame({"symbol": "AAA", "timestamp": starts})
    raw = raw.assign(open=10.0, high=11.0, low=9.0, close=10.0, volume=1.0)
    raw["close"] += np.arange(len(raw)) % 7 / 10
    raw.to_parquet(tmp_path / "bars.parquet")
    base = Path(__file__).resolve().parents[2] / "conf" / "base"
    text = (base / "parameters_data_preparation.yml").read_text("utf-8")
    changes = {
        "source": str(tmp_path / "bars.parquet"),
        "source_interval": "1m",
        "calendar": "XNYS",
        "timezone": "UTC",
    }
    values = yaml.safe_load(text)["data"]
    config = DataConfig(
        **{k: values[k] for k in DataConfig.model_fields if k in values} | changes
    )
    source = BarSource(config.source)
    found = prepare_bars(source, config, seed=0, entry_lag_bars=1, now=None)
    assert found.panel.n_bars == 1
    assert found.summary["n_source_bars"] == 390
    assert (
        found.summary["first"] == found.summary["last"] == "2024-01-08T21:00:00+00:00"
    )


@pytest.mark.parametrize(
    "content", [b"", "symbol,date,ratio\n\u00c9,,2".encode("latin-1")]
)
def test_a_split_table_that_is_no_text_names_its_key(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "splits.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"data\.defects\.split_table: .*no CSV"):
        read_splits(str(path))
