"""Blocks: no label of an earlier one reaches into a later one."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ranking_pipeline.data_config import SplitsConfig
from ranking_pipeline.errors import UserError
from ranking_pipeline.splits import NAMES, TRADING_DATES, Splits, make_splits


def _axis(n_bars: int) -> np.ndarray:
    return np.datetime64("2020-01-01", "ns") + np.arange(n_bars) * np.timedelta64(
        1, "D"
    )


def _rows(seed: int, n_bars: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of some symbols, missing here and there, with label ends of any length."""
    rng = np.random.default_rng(seed)
    bars = np.repeat(np.arange(n_bars), 4)[rng.random(4 * n_bars) < 0.8]
    ends = bars + rng.integers(1, longest + 1, len(bars))
    return bars, np.where((ends >= n_bars) | (rng.random(len(bars)) < 0.05), -1, ends)


def test_blocks_cover_all_bars() -> None:
    splits = make_splits(_axis(100), 0.6, 0.2, 0)
    edges = [(splits.block(n).first_bar, splits.block(n).last_bar) for n in NAMES]
    assert edges == [(0, 59), (60, 79), (80, 99)]
    assert splits.validation.first == "2020-03-01T00:00:00+00:00"
    assert splits.test.last == "2020-04-09T00:00:00+00:00"
    inside = [splits.inside(name, np.arange(100)) for name in NAMES]
    assert (np.sum(inside, axis=0) == 1).all()


def test_a_row_belongs_where_its_label_ends() -> None:
    splits = make_splits(_axis(100), 0.6, 0.2, 2)
    bars = np.array([50, 50, 50, 59, 60, 79, 99, 99, 40])
    ends = np.array([57, 58, 59, 60, 77, 80, 99, 100, -1])
    assert splits.mask("train", bars, ends).tolist() == [True] + [False] * 8
    assert np.flatnonzero(splits.mask("validation", bars, ends)).tolist() == [4]
    assert np.flatnonzero(splits.mask("test", bars, ends)).tolist() == [6]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n_bars=st.integers(30, 120),
    embargo=st.integers(0, 4),
    longest=st.integers(1, 12),
)
def test_no_label_reaches_into_a_later_block(
    seed: int, n_bars: int, embargo: int, longest: int
) -> None:
    splits = make_splits(_axis(n_bars), 0.5, 0.25, embargo)
    bars, ends = _rows(seed, n_bars, longest)
    masks = {name: splits.mask(name, bars, ends) for name in NAMES}
    for early, late in (NAMES[:2], NAMES[1:], NAMES[::2]):
        for i in np.flatnonzero(masks[early]):
            for j in np.flatnonzero(masks[late]):
                assert ends[i] + embargo < bars[j]


def test_nothing_more_than_needed_is_purged() -> None:
    splits = make_splits(_axis(200), 0.5, 0.25, 3)
    bars = np.arange(200)
    ends = np.where(bars + 6 < 200, bars + 6, -1)
    assert splits.mask("train", bars, ends).sum() == 100 - 6 - 3
    assert splits.mask("validation", bars, ends).sum() == 50 - 6 - 3
    assert splits.mask("test", bars, ends).sum() == 50 - 6


def test_stored_splits_show_trading_dates_that_nothing_reads() -> None:
    splits = make_splits(_axis(50), 0.6, 0.2, 1)
    days = np.datetime64("2015-01-12") + np.arange(50)
    shown = splits.trading_dates(days)
    assert shown["train"]["first"] == "2015-01-12"
    assert shown["test"] == {"first": str(days[40]), "last": str(days[49])}
    assert Splits.from_dict(splits.to_dict() | {TRADING_DATES: shown}) == splits


def test_splits_survive_json() -> None:
    splits = make_splits(_axis(50), 0.6, 0.2, 1)
    stored = json.loads(json.dumps(splits.to_dict()))
    assert Splits.from_dict(stored) == splits
    assert set(stored) == {*NAMES, "n_bars", "embargo_bars", "timestamps_sha256"}
    del stored["test"]["first"]
    with pytest.raises(UserError, match="run data_preparation again"):
        Splits.from_dict(stored)


def test_blocks_with_a_gap_are_refused() -> None:
    stored = make_splits(_axis(50), 0.6, 0.2, 1).to_dict()
    stored["validation"]["first_bar"] += 1
    with pytest.raises(UserError, match="without a gap"):
        Splits.from_dict(stored)
    with pytest.raises(UserError, match="not a table of splits"):
        Splits.from_dict({"train": 1})


def test_another_time_axis_is_refused() -> None:
    splits = make_splits(_axis(50), 0.6, 0.2, 1)
    splits.check(_axis(50))
    splits.check(_axis(50).astype("datetime64[us]"))
    with pytest.raises(UserError, match="another time axis"):
        splits.check(_axis(50) + np.timedelta64(1, "ns"))


@pytest.mark.parametrize(
    ("n_bars", "train", "validation", "embargo", "message"),
    [
        (100, 0.8, 0.2, 0, "leave a part for the test"),
        (100, 0.0, 0.2, 0, "must be above 0"),
        (100, 0.6, float("nan"), 0, "must be above 0"),
        (100, 0.6, 0.2, -1, "is negative"),
        (5, 0.6, 0.2, 0, "leave a block of 1"),
        (50, 0.6, 0.2, 9, "each needs 11"),
        (0, 0.6, 0.2, 0, "0 bars"),
    ],
)
def test_impossible_splits(
    n_bars: int, train: float, validation: float, embargo: int, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        make_splits(_axis(n_bars), train, validation, embargo)


def test_shares_without_a_test_are_refused_before_any_work() -> None:
    with pytest.raises(ValidationError, match="leave a part for the test"):
        SplitsConfig(train_share=0.8, validation_share=0.3, embargo_bars=0)
    kept = SplitsConfig(train_share=0.8, validation_share=0.1, embargo_bars=0)
    assert make_splits(_axis(50), **kept.model_dump()).test.first_bar == 45


def test_unknown_blocks_are_refused() -> None:
    with pytest.raises(UserError, match="no block 'holdout'"):
        make_splits(_axis(50), 0.6, 0.2, 1).block("holdout")


def test_verify_accepts_what_the_masks_select() -> None:
    splits = make_splits(_axis(90), 0.6, 0.2, 2)
    bars, ends = _rows(1, 90, 6)
    masks = {name: splits.mask(name, bars, ends) for name in NAMES}
    rows = {name: (bars[mask], ends[mask]) for name, mask in masks.items()}
    assert splits.verify(_axis(90), rows) is splits
    assert splits.verify(_axis(90)) is splits
    assert all(mask.any() for mask in masks.values())


@pytest.mark.parametrize(
    ("name", "bar", "end", "embargo"),
    [
        ("train", 57, 60, 0),  # known inside validation
        ("train", 20, 85, 0),  # known inside the test
        ("train", 55, 58, 2),  # inside the embargo
        ("train", 60, 61, 0),  # decided outside
        ("train", 20, -1, 0),  # never known
        ("validation", 78, 80, 0),
        ("validation", 59, 62, 0),
        ("test", 98, 100, 0),
    ],
)
def test_verify_refuses_a_row_of_another_block(
    name: str, bar: int, end: int, embargo: int
) -> None:
    splits = make_splits(_axis(100), 0.6, 0.2, embargo)
    rows = (np.array([splits.block(name).first_bar, bar]), np.array([62, end]))
    rows[1][0] = rows[0][0] + 1
    with pytest.raises(
        UserError, match=f"1 of 2 rows do not belong to {name}"
    ) as raised:
        splits.verify(_axis(100), {name: rows})
    assert f"decided at bar {bar}" in str(raised.value)


def test_verify_refuses_splits_that_were_tampered_with() -> None:
    axis = _axis(50)
    splits = make_splits(axis, 0.6, 0.2, 1)
    with pytest.raises(UserError, match="another time axis"):
        splits.verify(axis + np.timedelta64(1, "D"))
    train = dataclasses.replace(splits.train, last="2020-02-01T00:00:00+00:00")
    with pytest.raises(UserError, match="train is said to span"):
        dataclasses.replace(splits, train=train).verify(axis)
    train = dataclasses.replace(splits.train, last_bar=splits.train.last_bar + 1)
    with pytest.raises(UserError, match="without a gap"):
        dataclasses.replace(splits, train=train).verify(axis)
    with pytest.raises(UserError, match="embargo negative"):
        dataclasses.replace(splits, embargo_bars=-1).verify(axis)
    for last_bar in (47, 52):  # bars of no block, and bars that are not there
        last = axis[min(last_bar, 49)].astype("datetime64[s]").item().isoformat()
        test = dataclasses.replace(splits.test, last_bar=last_bar, last=f"{last}+00:00")
        other = dataclasses.replace(splits, test=test, n_bars=last_bar + 1)
        with pytest.raises(UserError, match="another time axis"):
            other.verify(axis)
    stored = splits.to_dict()
    stored["train"]["last_bar"] = "29"
    with pytest.raises(UserError, match="not a table of splits"):
        Splits.from_dict(stored)
