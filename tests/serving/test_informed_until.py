"""Until when a row was informed: the end of validation, with the labels of its bars."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ranking_pipeline.pipelines.promotion.informed import informed_until
from ranking_pipeline.storage import TableHandle, sha256_file, write_table

LAST = "2020-01-10T00:00:00+00:00"
SPLITS = {"validation": {"last": LAST}}


def _labels(folder: Path, ends: dict[tuple[int, str], int | None]) -> TableHandle:
    """Labels by (day, symbol) → day on which they are known."""
    day = pd.Timestamp("2020-01-01", tz="UTC")
    table = pd.DataFrame(
        {
            "timestamp": [day + pd.Timedelta(days=d - 1) for d, _ in ends],
            "symbol": [name for _, name in ends],
            "ret": 0.0,
            "ret__end": [
                pd.NaT if end is None else day + pd.Timedelta(days=end - 1)
                for end in ends.values()
            ],
        }
    )
    table["ret__end"] = pd.to_datetime(table["ret__end"], utc=True)
    path = folder / "labels.parquet"
    write_table(table, path)
    return TableHandle(str(path), sha256_file(path))


@pytest.mark.parametrize(
    ("ends", "refits", "expected"),
    [
        # every label of a used bar ends by the tenth
        ({(7, "A"): 9, (8, "A"): 10, (9, "A"): 11, (7, "B"): 9}, [], "2020-01-10"),
        # B has a gap: on the eighth it is compared with A, and ends on the fifteenth
        ({(8, "A"): 10, (8, "B"): 15, (9, "A"): 11, (9, "B"): 16}, [], "2020-01-15"),
        # no label of the ninth is used, so none of its ends counts
        ({(8, "A"): 9, (9, "A"): 11, (9, "B"): 30}, [], "2020-01-10"),
        ({(8, "A"): None}, [], "2020-01-10"),
        # a refit of the months after validation
        ({(8, "A"): 10}, ["2020-02-03T00:00:00Z"], "2020-02-03"),
        ({(8, "A"): 10}, ["2020-01-05T00:00:00Z"], "2020-01-10"),
    ],
)
def test_by_hand(
    ends: dict[tuple[int, str], int | None],
    refits: list[str],
    expected: str,
    tmp_path: Path,
) -> None:
    labels = _labels(tmp_path, ends)
    found = informed_until(SPLITS, labels, ["ret", "ret"], refits)
    assert found == f"{expected}T00:00:00+00:00"
