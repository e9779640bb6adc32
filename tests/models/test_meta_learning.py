"""The meta_learning family: Reptile's steps by hand, and no look at what comes later."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from neural_world import samples, skill, split
from torch import nn

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.past_rows import PastRows
from ranking_pipeline.models.registry import create, family_type
from ranking_pipeline.models.reptile import (
    InnerLoop,
    Tasks,
    move_towards,
    padded,
    places,
    start_of,
)
from ranking_pipeline.models.samples import Samples

PARAMETERS: dict[str, Any] = {
    "hidden": 8,
    "layers": 1,
    "tasks_per_step": 3,
    "inner_steps": 4,
    "inner_rate": 0.1,
    "outer_rate": 0.5,
    "past_rows": 40,
    "epochs": 12,
    "patience": 5,
    "min_delta": 0.0,
    "device": "cpu",
    "clip_sigma": 3.0,
}


def fitted(train: Samples, validation: Samples | None, **changes: Any) -> Any:
    model = create("meta_learning", PARAMETERS | changes, seed=1, threads=1)
    model.fit(train, validation)
    return model


class _Line(nn.Module):
    """y = w x, on inputs (M, 1, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.5]))

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        return windows.flatten(1) * self.w


def test_inner_and_outer_steps_by_hand() -> None:
    # Errors stay below 1, where Huber's loss is half the square.
    tasks = Tasks(
        torch.tensor([[[1.0], [0.5]], [[2.0], [0.0]]]),
        torch.tensor([[1.0, 0.0], [0.2, 0.0]]),
        torch.tensor([[1.0, 1.0], [1.0, 0.0]]),
    )
    line = _Line()
    own, loss = InnerLoop(line, steps=2, rate=0.1).adapt(start_of(line), tasks)
    # First task: w = .5 + .1 (1 - .5) = .55, then .55 - .1 * .5 * (.55 * .5) = .53625.
    # Second: w = .5 - .1 * 2 * (1 - .2) = .34, then a step on no row.
    np.testing.assert_allclose(own["w"][:, 0], [0.53625, 0.34], rtol=1e-6)
    seen = [0.5 * 0.5**2, 0.5 * 0.275**2, 0.5 * 0.8**2, 0.0]
    assert float(loss) == pytest.approx(np.mean(seen))
    assert float(line.w.detach()) == 0.5
    move_towards(line, own, rate=0.25)
    mean = (0.53625 + 0.34) / 2
    assert float(line.w.detach()) == pytest.approx(0.5 + 0.25 * (mean - 0.5))


def test_rows_are_laid_out_by_task() -> None:
    task = np.array([1, 0, 1, 3])
    np.testing.assert_array_equal(places(task), [0, 0, 1, 0])
    values = np.array([5.0, 6.0, 7.0, 8.0], dtype=np.float32)
    expected = [[6, 0], [5, 7], [0, 0], [8, 0]]
    np.testing.assert_array_equal(padded(values, task, 4), expected)


def test_past_rows_are_those_known_by_then_as_a_plain_search_finds_them() -> None:
    rows = samples("regression")
    rng = np.random.default_rng(1)
    ends = np.minimum(rows.bars + rng.integers(1, 9, len(rows)), rows.panel.n_bars - 1)
    rows = replace(rows, label_end=ends)
    train, _, _ = split(rows)
    train = train.take(train.symbols != 5)
    past = PastRows.latest(train, train.features, train.target, 12)
    first, stop = past.stops(rows)
    stamps = rows.panel.timestamps.astype(np.int64)
    for k in range(0, len(rows), 37):
        mine = train.symbols == rows.symbols[k]
        latest = np.sort(stamps[train.label_end[mine]])[-12:]
        known = latest[latest <= stamps[rows.bars[k]]]
        np.testing.assert_array_equal(past.known_at[first[k] : stop[k]], known)
        ordered = np.lexsort((train.bars, train.label_end))
        own = [place for place in ordered if mine[place]][-12:]
        np.testing.assert_array_equal(
            past.targets[first[k] : stop[k]], train.target[own][: len(known)]
        )
    assert (first == stop)[rows.symbols == 5].all()


@pytest.mark.parametrize("task", ["regression", "binary", "three_class"])
def test_every_task_is_learned_and_survives_the_disk(task: str, tmp_path: Path) -> None:
    train, validation, test = split(samples(task))
    model = fitted(train, validation)
    output = model.predict(test)
    assert skill(output.score, test.target) > 0.6
    model.save(tmp_path)
    again = type(model).load(tmp_path, model.config, seed=1, threads=1).predict(test)
    np.testing.assert_array_equal(again.score, output.score)
    if task != "regression":
        assert output.probabilities is not None
        np.testing.assert_allclose(output.probabilities.sum(axis=1), 1, atol=1e-5)
        np.testing.assert_array_equal(again.probabilities, output.probabilities)


def test_symbols_of_opposite_sign_are_told_apart_by_their_past() -> None:
    rows = samples("regression")
    signs = np.where(rows.symbols % 2, -1.0, 1.0)
    rows = replace(rows, target=(signs * rows.target).astype(np.float32))
    train, validation, test = split(rows)
    model = fitted(train, validation, epochs=25, patience=25, inner_rate=0.3)
    assert skill(model.predict(test).score, test.target) > 0.6
    # Without a past, one network for all symbols has nothing to learn.
    names = tuple(f"new{k}" for k in range(8))
    strangers = replace(test, panel=replace(rows.panel, symbols=names))
    assert abs(skill(model.predict(strangers).score, test.target)) < 0.3


def _changed_after(
    rows: Samples, bar: int, values: npt.NDArray[np.floating]
) -> Samples:
    """Take other targets where the label is known only after a bar."""
    target = np.where(rows.label_end > bar, values, rows.target)
    return replace(rows, target=target.astype(np.float32))


def test_labels_known_after_a_bar_change_no_prediction_up_to_it() -> None:
    """With start weights that learn nothing, from the fit to the prediction."""
    rows = samples("regression")
    # Ones that balance: mean 0 and deviation 1 to the last bit, in any order.
    train, _, _ = split(rows)
    train = replace(train, label_end=train.bars + 3)
    coin = np.where(np.arange(len(train)) % 2, 1.0, -1.0).astype(np.float32)
    train = replace(train, target=coin).take(np.arange(len(train) // 2 * 2))
    scored = rows.take(rows.bars >= 40)
    bar = 75
    later = train.label_end > bar
    flipped = train.target.copy()
    flipped[later] = np.random.default_rng(2).permutation(flipped[later])
    told = []
    for values in (train.target, flipped):
        changed = _changed_after(train, bar, values)
        model = fitted(changed, None, outer_rate=0.0, epochs=1)
        told.append(model.predict(scored).score)
    before = scored.bars <= bar
    np.testing.assert_array_equal(told[0][before], told[1][before])
    # The first bar that may know a changed label is the one at which it ends.
    assert (told[0] != told[1])[scored.bars == bar + 1].any()


def test_the_own_past_of_a_trained_model_does_not_look_ahead() -> None:
    train, validation, _ = split(samples("regression"))
    model = fitted(train, validation, epochs=3)
    scored = samples("regression").take(samples("regression").bars >= 40)
    expected = model.predict(scored).score
    stamps = train.panel.timestamps.astype(np.int64)
    bar, past = 70, model._past
    later = past.known_at > stamps[bar]
    model._past = replace(past, targets=np.where(later, 9.0, past.targets))
    changed = model.predict(scored).score
    before = scored.bars <= bar
    np.testing.assert_array_equal(changed[before], expected[before])
    assert (changed != expected)[scored.bars == bar + 1].any()


def test_targets_of_predicted_rows_are_not_looked_at() -> None:
    train, validation, test = split(samples("regression"))
    model = fitted(train, validation, epochs=3)
    blind = replace(test, target=np.full_like(test.target, np.nan))
    np.testing.assert_array_equal(model.predict(blind).score, model.predict(test).score)


def test_scores_do_not_depend_on_which_rows_are_asked_for() -> None:
    train, validation, test = split(samples("regression"))
    model = fitted(train, validation, epochs=3)
    some = np.isin(test.symbols, [1, 5]) & (test.bars % 2 > 0)
    np.testing.assert_allclose(
        model.predict(test.take(some)).score, model.predict(test).score[some], atol=1e-6
    )


def test_the_seed_fixes_every_bit_and_threads_change_none() -> None:
    train, validation, test = split(samples("regression"))
    told = []
    for seed, threads in ((1, 1), (1, 2), (2, 1)):
        changed = PARAMETERS | {"epochs": 3}
        model = create("meta_learning", changed, seed=seed, threads=threads)
        model.fit(train, validation)
        told.append(model.predict(test).score.tobytes())
    assert told[0] == told[1] != told[2]


def test_rows_without_weight_are_not_learned() -> None:
    train, validation, test = split(samples("regression"))
    wrong = np.arange(len(train)) % 3 > 0
    target = np.where(wrong, -5 * train.target, train.target)
    weight = np.where(wrong, 0.0, 3.0).astype(np.float32)
    weighted = replace(train, target=target.astype(np.float32), weight=weight)
    model = fitted(weighted, validation)
    assert skill(model.predict(test).score, test.target) > 0.6


def test_one_symbol_is_one_task() -> None:
    rows = samples("regression")
    train, validation, test = split(rows.take(rows.symbols == 2))
    model = fitted(train, validation, epochs=30, patience=30)
    assert skill(model.predict(test).score, test.target) > 0.5
    assert len(model._past.targets) == 40


def test_impossible_parameters_are_refused_together() -> None:
    assert family_type("meta_learning").experimental
    wrong = PARAMETERS | {"outer_rate": 2.0, "inner_steps": 0}
    with pytest.raises(UserError, match=r"(?s)inner_steps.*outer_rate"):
        create("meta_learning", wrong, seed=1, threads=1)
