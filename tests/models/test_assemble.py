"""Assembling: against a dictionary, and every mismatch refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.assemble import assemble, feature_ranks, normal_scores
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import Panel

Frames = tuple[pd.DataFrame, pd.DataFrame]
FEATURES = ("beta", "alpha")
TARGET = "fwd_ret_2d"


def _assemble(panel: Panel, features: pd.DataFrame, labels: pd.DataFrame) -> Samples:
    return assemble(panel, features, labels, TARGET, "regression", FEATURES, kind="raw")


def _slow(panel: Panel, features: pd.DataFrame, labels: pd.DataFrame) -> list[tuple]:
    stamps = [pd.Timestamp(t, tz="UTC") for t in panel.timestamps]
    known = {(r.timestamp, r.symbol): r for r in labels.itertuples(index=False)}
    have = {(r.timestamp, r.symbol): r for r in features.itertuples(index=False)}
    rows = []
    for bar, stamp in enumerate(stamps):
        for place, symbol in enumerate(panel.symbols):
            row = have.get((stamp, symbol))
            if row is None or not panel.tradable[place, bar]:
                continue
            label = known.get((stamp, symbol))
            value = np.nan if label is None else getattr(label, TARGET)
            end = None if label is None else getattr(label, f"{TARGET}__end")
            end_bar = -1 if end is None or pd.isna(end) else stamps.index(end)
            rows.append((bar, place, row.beta, row.alpha, value, end_bar))
    return rows


@pytest.mark.parametrize("text", ["str", "object", "category"])
@pytest.mark.parametrize("order", ["sorted", "shuffled", "holes"])
def test_alignment_against_a_dictionary(
    panel: Panel, frames: Frames, text: str, order: str
) -> None:
    features, labels = (f.astype({"symbol": text}) for f in frames)
    if order == "shuffled":
        features = features.sample(frac=1, random_state=1)
        labels = labels.sample(frac=1, random_state=2)
    if order == "holes":
        features, labels = features.iloc[5:-3:2], labels.drop(labels.index[10:90])
    got = _assemble(panel, features, labels)
    wanted = np.array(_slow(panel, features, labels), dtype=np.float64)
    np.testing.assert_array_equal(got.bars, wanted[:, 0])
    np.testing.assert_array_equal(got.symbols, wanted[:, 1])
    np.testing.assert_array_equal(got.features, wanted[:, 2:4].astype(np.float32))
    np.testing.assert_array_equal(got.target, wanted[:, 4].astype(np.float32))
    np.testing.assert_array_equal(got.label_end, wanted[:, 5])
    assert got.feature_names == FEATURES
    assert got.features.flags.c_contiguous
    assert got.features.dtype == got.target.dtype == np.float32


def test_cells_that_are_not_tradable_are_left_out(panel: Panel, frames: Frames) -> None:
    features, labels = frames
    place, bar = np.argwhere(~panel.tradable)[0]
    extra = features.iloc[[0]].assign(
        timestamp=pd.Timestamp(panel.timestamps[bar], tz="UTC"),
        symbol=panel.symbols[place],
    )
    got = _assemble(panel, pd.concat([features, extra]), labels)
    assert len(got) == len(features)
    np.testing.assert_array_equal(
        got.features[:, 0], frames[0]["beta"].to_numpy(dtype=np.float32)
    )


def test_the_learning_target_ranks_the_whole_cross_section(
    panel: Panel, frames: Frames
) -> None:
    got = assemble(panel, *frames, TARGET, "regression", FEATURES)
    known = np.isfinite(got.target)
    mean = np.bincount(got.bars[known], got.target[known])
    np.testing.assert_allclose(mean, 0, atol=1e-4)


def test_no_labels_at_all(panel: Panel, frames: Frames) -> None:
    got = _assemble(panel, frames[0], frames[1].iloc[:0])
    assert np.isnan(got.target).all()
    assert (got.label_end == -1).all()


def test_mismatches_are_refused(panel: Panel, frames: Frames) -> None:
    features, labels = frames
    with pytest.raises(UserError, match="features has no column beta; it has time"):
        _assemble(panel, features.drop(columns="beta"), labels)
    with pytest.raises(UserError, match="labels has no column fwd_ret_2d__end"):
        _assemble(panel, features, labels.drop(columns=f"{TARGET}__end"))
    with pytest.raises(UserError, match=r"features: .*occurs twice or more"):
        _assemble(panel, pd.concat([features, features.iloc[[7]]]), labels)
    with pytest.raises(UserError, match=r"labels: symbol 'ZZ' is not in the panel"):
        _assemble(panel, features, labels.assign(symbol="ZZ"))
    shifted = features["timestamp"] + pd.Timedelta(hours=1)
    with pytest.raises(UserError, match=r"features: timestamp .* is not in the panel"):
        _assemble(panel, features.assign(timestamp=shifted), labels)


def test_a_label_known_too_early_is_refused(panel: Panel, frames: Frames) -> None:
    features, labels = frames
    early = labels.assign(**{f"{TARGET}__end": labels["timestamp"]})
    with pytest.raises(UserError, match="not after"):
        _assemble(panel, features, early)
    never = labels.copy()
    never.loc[0, f"{TARGET}__end"] = pd.NaT
    with pytest.raises(UserError, match="missing"):
        _assemble(panel, features, never)


def test_feature_ranks_stay_within_the_bar_and_skip_the_unknown() -> None:
    nan = np.nan
    features = np.array([[3, 1], [1, nan], [2, 1], [9, 5], [8, 5]], dtype=np.float32)
    ranks = feature_ranks(features, np.array([0, 0, 0, 1, 1]))
    expected = [
        [3 / 4, 1 / 2],
        [1 / 4, nan],
        [2 / 4, 1 / 2],
        [2 / 3, 1 / 2],
        [1 / 3, 1 / 2],
    ]
    np.testing.assert_allclose(ranks, expected, rtol=1e-6)
    scores = normal_scores(ranks)
    assert scores[0, 0] == pytest.approx(0.6745, abs=1e-4)
    assert scores[0, 1] == 0
    assert np.isnan(scores[1, 1])
