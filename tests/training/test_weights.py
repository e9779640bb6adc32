"""Sample weights: by hand, and without knowledge of what is not fitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.models.samples import Samples
from ranking_pipeline.storage import TableHandle, sha256_file, write_table
from ranking_pipeline.training.job import TrainingJob
from ranking_pipeline.training.rows import training_rows
from ranking_pipeline.training.window import Window

Make = Callable[..., TrainingJob]
Frames = tuple[pd.DataFrame, pd.DataFrame]
UNIQUE = {"sample_weights": "uniqueness", "entry_lag_bars": 1}


def test_without_weights_rows_have_none(job: Make) -> None:
    rows = training_rows(job())
    assert rows.fit.weight is None
    assert rows.held_out.weight is None


def plain_weights(rows: Samples, lag: int) -> np.ndarray:
    """Mean of 1 / (labels that span a return) over the returns of each label, slowly."""
    spans = [
        (symbol, range(bar + lag + 1, end + 1))
        for symbol, bar, end in zip(
            rows.symbols, rows.bars, rows.label_end, strict=True
        )
    ]
    counts: dict[tuple[int, int], int] = {}
    for symbol, span in spans:
        for bar in span:
            counts[symbol, bar] = counts.get((symbol, bar), 0) + 1
    own = np.array([np.mean([1 / counts[s, t] for t in span]) for s, span in spans])
    return own / own.mean()


def test_weights_are_those_of_a_plain_loop(job: Make) -> None:
    rows = training_rows(job(**UNIQUE))
    for part in (rows.fit, rows.held_out):
        assert part.weight is not None
        assert part.weight.dtype == np.float32
        assert part.weight.mean() == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(part.weight, plain_weights(part, 1), rtol=1e-5)
    assert rows.scored.weight is None


def test_weights_by_hand(job: Make, tmp_path: Path, frames: Frames) -> None:
    """One symbol, three labels of two returns, decided at bars 10, 11 and 20.

    The first two share one return: 1/1 and 1/2 give 3/4 each, and the third is alone.
    The mean of 3/4, 3/4 and 1 is 5/6, so that the weights are 0.9, 0.9 and 1.2.
    """
    labels = frames[1].copy()
    days = [
        pd.Timestamp("2020-01-01", tz="UTC") + pd.Timedelta(days=d) for d in range(99)
    ]
    symbol = "S01"
    kept = (labels["symbol"] == symbol) & labels["timestamp"].isin(
        [days[10], days[11], days[20]]
    )
    assert kept.sum() == 3
    known = kept | (labels["timestamp"] > days[72])
    labels.loc[~known, "fwd_ret_2d"] = np.nan
    write_table(labels, tmp_path / "few.parquet")
    handle = TableHandle(
        str(tmp_path / "few.parquet"), sha256_file(tmp_path / "few.parquet")
    )
    made = job(labels_table=handle, learning_target="raw", symbol=symbol, **UNIQUE)
    fit = training_rows(made).fit
    assert fit.bars.tolist() == [10, 11, 20]
    assert fit.weight is not None
    np.testing.assert_allclose(fit.weight, [0.9, 0.9, 1.2], rtol=1e-6)


@pytest.mark.parametrize("windowed", [False, True])
def test_weights_know_nothing_beyond_the_fit(
    job: Make, tmp_path: Path, frames: Frames, windowed: bool
) -> None:
    """Later labels vanish, or come in any number: those fitted weigh the same."""
    made = job(**UNIQUE)
    last = made.splits["train"]["last"]
    if windowed:
        stamps = [f"2020-0{m}-01T00:00:00+00:00" for m in (1, 3)]
        window = Window(1, *stamps, "2020-03-02T00:00:00+00:00",
                        "2020-03-20T00:00:00+00:00", 0.2, 10)  # fmt: skip
        made, last = replace(made, window=window), stamps[1]
    first = training_rows(made).fit
    features, labels = frames
    del features
    gone = labels.copy()
    gone.loc[gone["timestamp"] > pd.Timestamp(last), "fwd_ret_2d"] = np.nan
    write_table(gone, tmp_path / "gone.parquet")
    handle = TableHandle(
        str(tmp_path / "gone.parquet"), sha256_file(tmp_path / "gone.parquet")
    )
    again = training_rows(replace(made, labels_table=handle)).fit
    assert len(first) > 500
    assert first.bars.tolist() == again.bars.tolist()
    assert first.weight is not None
    np.testing.assert_array_equal(first.weight, again.weight)
    # the last label fitted has no later one beside it: it counts for more
    late = first.bars == first.bars.max()
    assert first.weight[late].mean() > 1.2


def test_thinned_rows_are_weighed_among_themselves(job: Make) -> None:
    rows = training_rows(job(max_train_rows=300, **UNIQUE)).fit
    assert len(rows) <= 320
    assert rows.weight is not None
    np.testing.assert_allclose(rows.weight, plain_weights(rows, 1), rtol=1e-5)
