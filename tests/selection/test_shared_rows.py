"""Work that is done once: shared rows, fitted folds, columns that cannot be clocks."""

import numpy as np
import pandas as pd
import pytest
from planted_world import (
    empty_world,
    leakage_config,
    ranking_config,
    selection_config,
    signal_world,
)

from ranking_pipeline.selection import importance, shared_rows
from ranking_pipeline.selection.importance import importance_table, measure_importances
from ranking_pipeline.selection.importance_rows import sample_folds
from ranking_pipeline.selection.leakage_clocks import clocks
from ranking_pipeline.selection.out_of_fold import FoldModels
from ranking_pipeline.selection.sentinels import confirm_leaks
from ranking_pipeline.selection.shared_rows import SharedRows


def test_shared_rows_are_those_of_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_rows, "_CELLS_AT_ONCE", 12)  # three rows at once
    table = np.arange(40, dtype=np.float32).reshape(10, 4)
    some = SharedRows(table, np.array([1, 2, 4, 5, 7, 8, 9]))
    expected = table[[1, 2, 4, 5, 7, 8, 9]][:, [3, 0]]
    for found in (some.columns([3, 0]), SharedRows(expected).columns([0, 1])):
        np.testing.assert_array_equal(found, expected)
        assert found.flags.f_contiguous
    fewer = some.take(np.array([0, 6])).columns([1])
    np.testing.assert_array_equal(fewer, [[5.0], [37.0]])
    whole = SharedRows(table).take(np.array([3])).columns([2])
    np.testing.assert_array_equal(whole, [[14.0]])


def test_models_of_the_leak_check_are_not_fitted_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = selection_config(max_train_rows=3000)
    data = signal_world(0.1).data()
    problem = data.problem("fwd_ret_1d", config)
    names = problem.samples.feature_names
    report = pd.DataFrame({"feature": names, "status": "SAFE"})
    known: FoldModels = {}
    confirm_leaks(problem, report, config, known)
    assert set(known) == {("lightgbm", names, fold) for fold in (0, 1)}
    sampled, folds = sample_folds(problem, names, config)
    anew = importance_table("x", measure_importances(sampled, folds, config))
    fitted = []
    fit = importance.fit_family
    monkeypatch.setattr(
        importance,
        "fit_family",
        lambda rows, family, config: fitted.append(family) or fit(rows, family, config),
    )
    found = measure_importances(sampled, folds, config, known)
    pd.testing.assert_frame_equal(importance_table("x", found), anew, check_exact=True)
    assert fitted == ["random_forest"] * 2


def test_a_clock_that_one_symbol_does_not_follow_is_found() -> None:
    world = empty_world(300, 20, 1, seed=2)
    time = np.arange(300.0)[:, None] * np.ones(20)
    order = np.random.default_rng(3).permutation(300)
    for name, share in (("mostly", 0.5), ("hardly", 1.0)):
        column = time.copy()
        mixed = np.sort(order[: int(300 * share)])
        column[mixed, 0] = np.random.default_rng(4).permutation(column[mixed, 0])
        world = world.with_feature(name, column)
    noise = np.random.default_rng(5).normal(size=(300, 20))
    world = world.with_target("fwd_ret_1d", noise, 1, "regression", "forward_return")
    problem = world.data().problem("fwd_ret_1d", ranking_config())
    # 19 symbols follow time; what is left to the first is 1 - 20 (1 - limit)
    size = {name: _mean_spearman(problem, name) for name in ("mostly", "hardly")}
    for limit in (0.94, 0.955, 0.97, 0.99):
        config = leakage_config(max_time_correlation=limit)
        expected = {name for name in size if size[name] > limit}
        assert set(clocks(problem, config)) == expected
    assert 0.955 < size["mostly"] < 0.99
    assert 0.94 < size["hardly"] < 0.97


def _mean_spearman(problem: object, name: str) -> float:
    samples = problem.samples  # type: ignore[attr-defined]
    values = samples.features[:, samples.feature_names.index(name)]
    frame = pd.DataFrame({"s": samples.symbols, "t": samples.bars, "x": values})
    each = [
        abs(rows["t"].corr(rows["x"], method="spearman"))
        for _, rows in frame.groupby("s")
    ]
    return float(np.mean(each))
