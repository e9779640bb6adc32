"""Served scores are those of the leaderboard, for every kind of row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.serving.conftest import Trained, row

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.promoted import Promoted
from ranking_pipeline.panel import Panel
from ranking_pipeline.storage import TableHandle, sha256_file, write_table
from ranking_pipeline.training.config import WalkForwardConfig
from ranking_pipeline.training.window import Window

Run = Callable[..., Trained]
FIRST = 72  # bar at which validation begins
GRU: dict[str, Any] = {"family": "gru", "stage": "gpu", "features": ()}


def _compare(made: Trained, first: int = FIRST) -> list[str]:
    """Every row of the leaderboard against what its version serves; their names."""
    bars = np.arange(first, made.panel.n_bars)
    names = []
    for found, expected in made.rows():
        version = made.promote(found)
        got = version.scores(made.panel, made.features, bars)
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, expected[bars], rtol=0, atol=1e-6)
        some = version.scores(made.panel, made.features, bars[[9, 2, 9]])
        np.testing.assert_array_equal(some, got[[9, 2, 9]], str(found["model_id"]))
        names.append(str(found["model_id"]))
    return names


@pytest.fixture
def every_join(planned: Any, training: Any, trained: Run) -> Trained:
    """Pooled models, models of symbols, and all that is made of them."""
    config = training(("rank_average", "ic_weighted", "stacking"))
    plan = [
        row("fwd_ret_2d", None, "lightgbm", "ridge"),
        row("up", None, "ridge"),
        row("fwd_ret_2d", "S01", "ridge"),
        row("fwd_ret_2d", "S02", "ridge"),
        row("fwd_ret_2d", "S04", "ridge"),
    ]
    return trained(planned(config, plan), config)


def test_all_that_is_made_of_single_tasks(every_join: Trained) -> None:
    assert _compare(every_join) == [
        "ic_weighted:fwd_ret_2d",
        "lightgbm+ridge:fwd_ret_2d:routed",
        "lightgbm:fwd_ret_2d",
        "lightgbm:fwd_ret_2d:partial_pooling",
        "rank_average:fwd_ret_2d",
        "ridge per symbol",
        "ridge+ridge:fwd_ret_2d:routed",
        "ridge:fwd_ret_2d",
        "ridge:fwd_ret_2d:partial_pooling",
        "stacking:fwd_ret_2d",
        "ridge:up",
    ]


@pytest.mark.parametrize("scale", ["rank", "raw"])
def test_a_cascade_gets_the_scores_of_its_earlier_models(
    planned: Any, training: Any, trained: Run, scale: str
) -> None:
    config = training(strategy="cascade", feature_scale=scale, families=("ridge",))
    plan = [row(target, None, "ridge") for target in ("fwd_ret_2d", "fwd_ret_5d")]
    made = trained(planned(config, plan), config)
    names = _compare(made)
    assert "ridge:fwd_ret_5d:cascade" in names
    version = made.promoted("ridge:fwd_ret_5d:cascade")
    assert set(version.parts) == {
        "ridge:fwd_ret_2d:cascade",
        "ridge:fwd_ret_5d:cascade",
    }


def test_each_head_of_a_network_of_several_targets(
    planned: Any, training: Any, trained: Run
) -> None:
    config = training(strategy="multi_task")
    names = _compare(trained(planned(config), config))
    assert {"multi_task:fwd_ret_2d", "multi_task:fwd_ret_5d"} <= set(names)


def _stamp(bar: int) -> str:
    day = pd.Timestamp("2020-01-01", tz="UTC") + pd.Timedelta(days=bar)
    return day.isoformat()


def test_the_newest_refit_scores(planned: Any, training: Any, trained: Run) -> None:
    config = training(
        families=("ridge",),
        walk_forward=WalkForwardConfig(
            refit_months=1, train_months=None, validation_share=0.2, min_train_rows=50
        ),
    )
    spans = [(FIRST, 90), (91, 119)]
    plan = [
        {
            **row("fwd_ret_2d", symbol, "ridge"),
            "job_id": f"{symbol}_{number}",
            "window": number,
            "train_start": _stamp(0),
            "train_end": _stamp(first - 1),
            "predict_start": _stamp(first),
            "predict_end": _stamp(last),
        }
        for symbol in (None, "S01", "S02")
        for number, (first, last) in enumerate(spans, start=1)
    ]
    jobs = planned(config, plan)
    assert all(isinstance(one.window, Window) for one in jobs)
    made = trained(jobs, config)
    names = _compare(made, first=91)
    assert "ridge+ridge:fwd_ret_2d:routed" in names
    version = made.promoted("ridge:fwd_ret_2d")
    assert version.meta()["window"]["train_end"] == _stamp(90)


@pytest.fixture(params=["log_returns", "scaled_levels"])
def gru(
    job: Any, quick_parameters: Any, training: Any, trained: Run, request: Any
) -> Trained:
    """A network on windows of bars, with a short history or with the whole one."""
    block = quick_parameters["gru"] | {"normalization": request.param}
    made = job(**GRU, parameters=block, model_id="gru:fwd_ret_2d")
    return trained([made], training())


def test_a_network_on_windows_needs_no_table_of_features(gru: Trained) -> None:
    assert _compare(gru) == ["gru:fwd_ret_2d", "gru:fwd_ret_2d:partial_pooling"]
    version = gru.promoted("gru:fwd_ret_2d")
    bars = np.array([80, 119])
    bare = version.scores(gru.panel, None, bars)
    np.testing.assert_array_equal(bare, version.scores(gru.panel, gru.features, bars))
    assert np.isfinite(bare).any()
    # of sequence_length and the volatility, or of the longest mean of the levels
    assert version.window_bars in {8 + 60, 8 + 29}


def _spoilt(made: Trained, bar: int, folder: Path) -> tuple[Panel, TableHandle]:
    """Panel and features in which all after a bar is another."""
    random = np.random.default_rng(5)
    values, tradable = made.panel.values.copy(), made.panel.tradable.copy()
    shape = values[:, bar + 1 :].shape
    values[:, bar + 1 :] = random.random(shape) * 90 + 1
    tradable[:, bar + 1 :] = random.random(shape[:2]) > 0.2
    values[~tradable] = np.nan
    spoilt = replace(made.panel, values=values, tradable=tradable)
    table = made.features.read()
    after = np.datetime64(made.panel.timestamps[bar])
    late = (table["timestamp"].dt.tz_localize(None) > after).to_numpy()
    names = [n for n in table if n not in ("timestamp", "symbol")]
    noise = random.normal(3, 9, (int(late.sum()), len(names)))
    table.loc[late, names] = noise.astype(np.float32)
    path = folder / "spoilt.parquet"
    write_table(table, path)
    return spoilt, TableHandle(str(path), sha256_file(path))


def _stays(made: Trained, folder: Path) -> None:
    """Scores up to a bar, bit for bit, whatever comes after it; and no others."""
    bar = 100
    spoilt, features = _spoilt(made, bar, folder)
    bars = np.arange(bar - 6, bar + 4)
    for found, _ in made.rows():
        version = made.promote(found)
        true = version.scores(made.panel, made.features, bars)
        got = version.scores(spoilt, features, bars)
        np.testing.assert_array_equal(got[:7], true[:7], str(found["model_id"]))
        assert not np.array_equal(got[7:], true[7:], equal_nan=True)


def test_nothing_after_a_bar_moves_its_scores(
    every_join: Trained, tmp_path: Path
) -> None:
    _stays(every_join, tmp_path)


def test_nothing_after_a_bar_moves_those_of_a_window(
    gru: Trained, tmp_path: Path
) -> None:
    _stays(gru, tmp_path)


def _live(made: Trained, folder: Path) -> tuple[Panel, TableHandle]:
    """The universe later on: ten more bars, a new symbol, and one that is gone."""
    random = np.random.default_rng(6)
    panel = made.panel
    kept = [k for k, name in enumerate(panel.symbols) if name != "S02"]
    more = np.timedelta64(1, "D") * np.arange(1, 11)
    n = panel.n_bars + len(more)
    names = [panel.symbols[k] for k in kept]
    order = np.argsort([*names, "NEW"])
    values = random.random((len(kept) + 1, n, 5)).astype(np.float32) + 1
    tradable = np.ones(values.shape[:2], dtype=bool)
    values[:-1, : panel.n_bars] = panel.values[kept]
    tradable[:-1, : panel.n_bars] = panel.tradable[kept]
    tradable[-1, :100] = False
    values[~tradable] = np.nan
    live = Panel(
        symbols=tuple(np.array([*names, "NEW"])[order].tolist()),
        timestamps=np.append(panel.timestamps, panel.timestamps[-1] + more),
        fields=panel.fields,
        values=values[order],
        tradable=tradable[order],
    )
    return live, _live_features(made, live, folder)


def _live_features(made: Trained, live: Panel, folder: Path) -> TableHandle:
    random = np.random.default_rng(7)
    bars, symbols = live.rows()
    keys = pd.DataFrame(
        {
            "timestamp": pd.DatetimeIndex(live.timestamps[bars]).tz_localize("UTC"),
            "symbol": np.array(live.symbols)[symbols],
        }
    )
    table = keys.merge(made.features.read(), on=["timestamp", "symbol"], how="left")
    new = (bars >= made.panel.n_bars) | (keys["symbol"] == "NEW").to_numpy()
    for name in ("alpha", "beta", "noise", "constant"):
        drawn = random.standard_normal(int(new.sum())).astype(np.float32)
        table.loc[new, name] = drawn
    path = folder / "live.parquet"
    write_table(table, path)
    return TableHandle(str(path), sha256_file(path))


def test_a_later_panel_with_other_symbols_is_scored(
    every_join: Trained, tmp_path: Path
) -> None:
    live, features = _live(every_join, tmp_path)
    bars = np.array([90, live.n_bars - 1])
    for found, _ in every_join.rows():
        version = every_join.promote(found)
        got = version.scores(live, features, bars)
        assert got.shape == (2, 20)
        known = live.tradable.T[bars]
        if found["model_id"] == "ridge per symbol":
            alone = np.isin(live.symbols, ["S01", "S04"])
            np.testing.assert_array_equal(np.isfinite(got), known & alone)
        else:
            np.testing.assert_array_equal(np.isfinite(got), known)
    sloped = every_join.promoted("ridge:fwd_ret_2d:partial_pooling")
    plain = every_join.promoted("ridge:fwd_ret_2d")
    new = live.symbols.index("NEW")
    ranked = plain.scores(live, features, bars)[1]
    place = (ranked < ranked[new]).sum()
    from scipy.special import ndtri

    expected = 0.5 * ndtri((place + 0.5) / 20)  # the mean slope, for it was never seen
    assert sloped.scores(live, features, bars)[1, new] == pytest.approx(expected)


def test_what_cannot_be_scored_is_told(every_join: Trained, tmp_path: Path) -> None:
    version = every_join.promoted("ridge:fwd_ret_2d")
    panel, features = every_join.panel, every_join.features
    bars = np.array([90])
    with pytest.raises(UserError, match="needs the 2 factors alpha, beta"):
        version.scores(panel, None, bars)
    with pytest.raises(UserError, match="bar 120 is not on the panel"):
        version.scores(panel, features, np.array([90, 120]))
    table = features.read()
    path = tmp_path / "less.parquet"
    write_table(table.drop(columns="beta"), path)
    less = TableHandle(str(path), sha256_file(path))
    with pytest.raises(UserError, match=r"less\.parquet has no column beta"):
        version.scores(panel, less, bars)
    early = table["timestamp"] < pd.Timestamp("2020-03-31", tz="UTC")  # bar 90
    write_table(table[early], path)
    old = TableHandle(str(path), sha256_file(path))
    with pytest.raises(UserError, match=r"no row of 2020-03-31.*1 bars in all"):
        version.scores(panel, old, np.array([89, 90]))
    assert version.scores(panel, features, np.array([], dtype=int)).shape == (0, 20)


def test_altered_files_are_not_scored_with(every_join: Trained) -> None:
    version = every_join.promoted("lightgbm+ridge:fwd_ret_2d:routed")
    path = sorted(version.folder.rglob("model.safetensors"))[0]
    path.chmod(0o644)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match="was altered"):
        version.scores(every_join.panel, every_join.features, np.array([90]))


def test_a_version_says_what_it_is(every_join: Trained) -> None:
    named = {
        "ridge:fwd_ret_2d": "ridge v. ",
        "lightgbm+ridge:fwd_ret_2d:routed": "lightgbm+ridge routed v. ",
        "ridge:fwd_ret_2d:partial_pooling": "ridge partial pooling v. ",
        "stacking:fwd_ret_2d": "stacking v. ",
        "ridge per symbol": "ridge per symbol v. ",
    }
    for model_id, label in named.items():
        version = every_join.promoted(model_id)
        assert version.label == label + version.version[:8]
        assert (version.target, version.window_bars) == ("fwd_ret_2d", 1)
        assert version.informed_until is None
        with pytest.raises(UserError, match=r"until when .* promote\s+the model again"):
            version.require_informed_until()
    told = replace(version, record={**version.record, "informed_until": _stamp(95)})
    assert isinstance(told, Promoted)
    expected = np.datetime64("2020-04-05T00:00:00", "ns")
    assert told.informed_until == told.require_informed_until() == expected


def test_a_network_of_a_graphics_card_scores_without_one(gru: Trained) -> None:
    here = gru.promoted("gru:fwd_ret_2d")
    entry = gru.store.verified(here.record["parts"][0]["key"])
    block = {**entry.facts["parameters"], "device": "cuda"}
    key = "ab" * 32

    def fill(folder: Path) -> None:
        for name in entry.files:
            (folder / name).write_bytes((entry.folder / name).read_bytes())

    gru.store.write(key, fill, {**entry.facts, "parameters": block})
    models = gru.models.assign(path=f"ab/{key}")
    there = replace(gru, models=models).promoted("gru:fwd_ret_2d")
    assert there.meta()["parameters"]["device"] == "cuda"
    bars = np.array([100, 110])
    got = there.scores(gru.panel, None, bars)
    np.testing.assert_allclose(got, here.scores(gru.panel, None, bars), atol=1e-6)
