"""The ranker: learns, repeats, survives the disk, and scores live as in training."""

from __future__ import annotations

import importlib
import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jsonschema import ValidationError as SchemaError
from jsonschema import validate
from ranking_world import BARS, SYMBOLS, World, fit, make_spec, make_world
from scipy import stats

from ranking_pipeline.cache.origin import reached
from ranking_pipeline.errors import UserError
from ranking_pipeline.ranking import ranker_checkpoints
from ranking_pipeline.ranking.predictor import UniverseRanking, rank_universe
from ranking_pipeline.ranking.ranker import (
    Checkpoints,
    Ranker,
    Watcher,
    score_panel,
    train_ranker,
)
from ranking_pipeline.ranking.ranker_checkpoints import training_key
from ranking_pipeline.ranking.store import (
    Provenance,
    from_tensors,
    load_ranker,
    model_meta,
    ranker_of,
    save_ranker,
    to_tensors,
    weights_file,
)

PROVENANCE = Provenance("fwd_ret_1d", "cs_percentile", 1440)
NAMES = [f"S{i:02d}" for i in range(SYMBOLS)]


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


@pytest.fixture(scope="module")
def ranker(world: World) -> Ranker:
    torch.set_num_threads(1)
    return fit(world)


def test_it_finds_the_planted_reversal_out_of_sample(
    world: World, ranker: Ranker
) -> None:
    scores = score_panel(ranker, world.ohlcv)
    ics = [
        stats.spearmanr(scores[bar], world.payoff[bar], nan_policy="omit")[0]
        for bar in range(228, BARS - 1)
    ]
    assert np.mean(ics) > 0.25
    assert ranker.metrics["best_ic"] > 0.25
    assert ranker.metrics["best_spread"] > 0.001


def test_scores_are_ranks_averaged_over_seeds(world: World, ranker: Ranker) -> None:
    both = score_panel(ranker, world.ohlcv)
    parts = [
        score_panel(replace(ranker, states=(state,)), world.ohlcv)
        for state in ranker.states
    ]
    np.testing.assert_allclose(both, np.mean(parts, axis=0), atol=1e-7)
    row = parts[0][200]
    np.testing.assert_allclose(np.sort(row), np.arange(1, 17) / 17, atol=1e-6)


def test_a_cell_without_a_complete_window_has_no_score(
    world: World, ranker: Ranker
) -> None:
    scores = score_panel(ranker, world.ohlcv)
    assert np.isnan(scores[:25]).all()  # 20 returns, then 6 bars
    gap = np.isnan(scores[:, 3])
    # Two bars missing, then the return over the gap, then six bars of window.
    assert np.flatnonzero(gap[26:]).tolist() == list(range(124, 124 + 2 + 6))


def test_only_the_wanted_cells_are_scored_and_ranked(
    world: World, ranker: Ranker
) -> None:
    wanted = np.zeros((BARS, SYMBOLS), dtype=bool)
    wanted[200, :5] = True
    scores = score_panel(ranker, world.ohlcv, wanted)
    assert np.isfinite(scores).sum() == 5
    assert (np.isfinite(scores) == wanted).all()
    assert scores[200, :5].max() <= 5 / 6 + 1e-6


def test_training_repeats_to_the_bit(world: World, ranker: Ranker) -> None:
    again = fit(world)
    assert again.history == ranker.history
    np.testing.assert_equal(again.metrics, ranker.metrics)
    assert weights_file(to_tensors(again)) == weights_file(to_tensors(ranker))


def test_nothing_after_the_blocks_reaches_training(
    world: World, ranker: Ranker
) -> None:
    changed = world.ohlcv.copy()
    changed[:, 226:] *= 3
    again = train_ranker(replace(world.data, ohlcv=changed), make_spec())
    assert weights_file(to_tensors(again)) == weights_file(to_tensors(ranker))


def test_scores_know_nothing_later(world: World, ranker: Ranker) -> None:
    whole = score_panel(ranker, world.ohlcv)
    changed = world.ohlcv.copy()
    changed[:, 201:] *= 3
    np.testing.assert_array_equal(score_panel(ranker, changed)[:201], whole[:201])


@pytest.mark.parametrize(
    "normalization", ["log_anchored", "returns", "zscore", "minmax", "none"]
)
@pytest.mark.parametrize("name", ["linear", "gru"])
def test_other_networks_and_normalisations_run(
    world: World, normalization: str, name: str
) -> None:
    spec = make_spec()
    fitted = fit(
        world,
        normalization=normalization,
        network=replace(spec.network, name=name),
        loop=replace(spec.loop, epochs=1),
        seeds=(3,),
    )
    scores = score_panel(fitted, world.ohlcv)
    assert np.isfinite(scores[10]).sum() == SYMBOLS
    assert [row["seed"] for row in fitted.history] == [3.0]


def test_the_target_scale_does_not_matter_to_a_pointwise_loss(world: World) -> None:
    spec = make_spec(loss="pointwise", seeds=(0,))
    first, second = (
        train_ranker(replace(world.data, target=scale * world.target + 7), spec)
        for scale in (1.0, 100.0)
    )
    assert first.metrics["best_ic"] > 0.2
    np.testing.assert_allclose(
        score_panel(first, world.ohlcv), score_panel(second, world.ohlcv), atol=0.13
    )


def test_without_validation_metrics_are_unknown(world: World) -> None:
    nothing = np.zeros_like(world.cells[1])
    fitted = train_ranker(
        replace(world.data, validation=nothing), make_spec(seeds=(0,))
    )
    assert math.isnan(fitted.metrics["best_ic"])
    assert fitted.metrics["epochs_trained"] == 6


def schema() -> dict[str, Any]:
    path = files("ranking_pipeline.ranking") / "model_meta.schema.json"
    read: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return read


@pytest.mark.parametrize("normalization", ["log_returns", "zscore"])
def test_the_meta_document_keeps_its_contract(
    world: World, normalization: str, tmp_path: Path
) -> None:
    fitted = fit(world, normalization=normalization, seeds=(0,))
    save_ranker(fitted, tmp_path, PROVENANCE)
    meta = json.loads((tmp_path / "model_meta.json").read_text("utf-8"))
    validate(meta, schema())
    assert meta["metrics"]["mean_RankIC"] == fitted.metrics["best_ic"]
    assert meta["metrics"]["mean_IC"] == fitted.metrics["pearson_ic"]
    assert meta["data"]["train_windows"] > meta["data"]["train_bars"] > 100


@pytest.mark.parametrize(
    "broken",
    [
        {"model_checksum": "abc"},
        {"sequence_length": 0},
        {"metrics": {"mean_IC": 0.1}},
        {"input_mode": "features"},
        {"unknown": 1},
        {"channel_scale": {"mean": [0.0] * 5, "deviation": [1.0, 1.0, 0.0, 1.0, 1.0]}},
    ],
)
def test_a_document_that_breaks_the_contract_is_found(
    ranker: Ranker, tmp_path: Path, broken: dict[str, Any]
) -> None:
    save_ranker(ranker, tmp_path, PROVENANCE)
    meta = json.loads((tmp_path / "model_meta.json").read_text("utf-8"))
    validate(meta, schema())
    with pytest.raises(SchemaError):
        validate(meta | broken, schema())


def test_one_ranker_is_taken_out_of_what_a_run_stored(
    world: World, ranker: Ranker
) -> None:
    tensors = to_tensors(ranker)
    checksum = sha256(weights_file(tensors)).hexdigest()
    metas = {"fwd_ret_1d": model_meta(ranker, PROVENANCE, checksum)}
    stored = {f"fwd_ret_1d/{k}": v.numpy() for k, v in tensors.items()}
    taken = ranker_of(stored, metas, "fwd_ret_1d")
    np.testing.assert_array_equal(
        score_panel(taken, world.ohlcv), score_panel(ranker, world.ohlcv)
    )
    with pytest.raises(UserError, match="fwd_ret_5d"):
        ranker_of(stored, metas, "fwd_ret_5d")
    name = next(iter(stored))
    stored[name] = stored[name] + 1
    with pytest.raises(UserError, match="vouches"):
        ranker_of(stored, metas, "fwd_ret_1d")


def test_a_stored_ranker_scores_the_same(
    world: World, ranker: Ranker, tmp_path: Path
) -> None:
    meta = save_ranker(ranker, tmp_path, PROVENANCE)
    loaded = load_ranker(tmp_path)
    assert loaded.spec == ranker.spec
    assert loaded.scale == ranker.scale
    np.testing.assert_equal(loaded.metrics, ranker.metrics)
    np.testing.assert_array_equal(
        score_panel(loaded, world.ohlcv), score_panel(ranker, world.ohlcv)
    )
    assert json.loads((tmp_path / "model_meta.json").read_text()) == json.loads(
        json.dumps(meta)
    )


def test_the_meta_file_keeps_its_contract(ranker: Ranker, tmp_path: Path) -> None:
    meta = save_ranker(ranker, tmp_path, PROVENANCE)
    assert meta["family"] == "mlp"
    assert meta["target"] == "fwd_ret_1d"
    assert meta["feature_list"] == []
    assert meta["interval_minutes"] == 1440
    assert meta["input_mode"] == "raw_sequence"
    assert meta["sequence_length"] == 6
    assert meta["bars_required"] == 66
    assert meta["sequence_channels"] == ["open", "high", "low", "close", "volume"]
    block = meta["cross_sectional_ranking"]
    assert block["enabled"] is True
    assert block["loss_type"] == "pairwise"
    assert block["normalization"] == meta["sequence_normalization"] == "log_returns"
    assert {"best_ic", "best_spread", "epochs_trained"} <= set(
        block["training_metrics"]
    )
    other = tmp_path / "other"
    other.mkdir()
    assert save_ranker(ranker, other, PROVENANCE) == meta


def test_numpy_writes_the_same_weights_file(ranker: Ranker) -> None:
    from safetensors.numpy import load, save

    content = weights_file(to_tensors(ranker))
    arrays = load(content)
    assert save(arrays) == content
    meta = json.loads(json.dumps(_meta(ranker)))
    again = from_tensors(arrays, meta)
    assert weights_file(to_tensors(again)) == content


def _meta(ranker: Ranker) -> dict[str, object]:
    from ranking_pipeline.ranking.store import model_meta

    return model_meta(ranker, PROVENANCE, "0" * 64)


def test_a_tampered_model_is_refused(ranker: Ranker, tmp_path: Path) -> None:
    save_ranker(ranker, tmp_path, PROVENANCE)
    weights = tmp_path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(UserError, match="SHA-256"):
        load_ranker(tmp_path)
    weights.unlink()
    with pytest.raises(UserError, match="missing"):
        load_ranker(tmp_path)
    meta = tmp_path / "model_meta.json"
    meta.write_text("{}")
    with pytest.raises(UserError, match="lacks model_checksum"):
        load_ranker(tmp_path)
    meta.write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        load_ranker(tmp_path)
    meta.unlink()
    with pytest.raises(UserError, match="train the model again"):
        load_ranker(tmp_path)


def live(world: World, ranker: Ranker, bar: int = 240) -> dict[str, np.ndarray]:
    first = bar + 1 - ranker.spec.bars_required
    return {name: world.ohlcv[i, first : bar + 1] for i, name in enumerate(NAMES)}


def test_live_scores_equal_those_of_the_panel(world: World, ranker: Ranker) -> None:
    ranking = rank_universe(ranker, live(world, ranker))
    expected = score_panel(ranker, world.ohlcv)[240]
    got = [ranking.scores[name] for name in NAMES]
    np.testing.assert_allclose(got, expected, atol=1e-7)
    assert ranking.rankings == sorted(NAMES, key=lambda n: (-ranking.scores[n], n))
    assert ranking.long_symbols == ranking.rankings[:1]
    assert ranking.short_symbols == ranking.rankings[-1:]
    assert sum(ranking.signals.values()) == pytest.approx(0, abs=1e-9)
    assert ranking.signals[ranking.rankings[0]] > 1


def test_the_order_of_the_mapping_does_not_matter(world: World, ranker: Ranker) -> None:
    windows = live(world, ranker)
    turned = dict(reversed(windows.items()))
    assert rank_universe(ranker, turned) == rank_universe(ranker, windows)


def test_a_bad_symbol_is_named_and_the_others_are_ranked(
    world: World, ranker: Ranker
) -> None:
    windows: dict[str, np.ndarray | None] = dict(live(world, ranker))
    windows["S00"] = windows["S00"][1:]  # type: ignore[index]
    windows["S01"] = None
    hole = windows["S02"].copy()  # type: ignore[union-attr]
    hole[-3, 1] = np.nan
    windows["S02"] = hole
    ranking = rank_universe(ranker, windows)
    assert set(ranking.excluded) == {"S00", "S01", "S02"}
    assert "(65, 5)" in ranking.excluded["S00"]
    assert ranking.excluded["S01"] == "no bars"
    assert "missing" in ranking.excluded["S02"]
    rest = {name: live(world, ranker)[name] for name in NAMES[3:]}
    assert rank_universe(ranker, rest).scores == ranking.scores


def test_a_young_listing_is_ranked_from_what_it_has(
    world: World, ranker: Ranker
) -> None:
    windows = live(world, ranker)
    windows["S05"] = windows["S05"].copy()
    windows["S05"][:30] = np.nan
    assert "S05" in rank_universe(ranker, windows).scores


def test_stale_bars_are_left_out(world: World, ranker: Ranker) -> None:
    now = np.datetime64("2024-03-01")
    last = dict.fromkeys(NAMES, now)
    last["S07"] = now - 1
    del last["S08"]
    ranking = rank_universe(ranker, live(world, ranker), last_bars=last, as_of=now)
    assert set(ranking.excluded) == {"S07", "S08"}
    assert "2024-02-29" in ranking.excluded["S07"]


def test_an_empty_universe_gives_an_empty_ranking(ranker: Ranker) -> None:
    assert rank_universe(ranker, {}) == UniverseRanking(
        reason="no symbol can be ranked"
    )


@pytest.mark.parametrize("names", [1, 2, 3, 5, 16])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 1.0])
def test_tails_never_share_a_symbol(
    world: World, ranker: Ranker, names: int, share: float
) -> None:
    windows = dict(list(live(world, ranker).items())[:names])
    ranking = rank_universe(
        ranker, windows, top_pct=share, bottom_pct=share, min_universe=2
    )
    assert not set(ranking.long_symbols) & set(ranking.short_symbols)
    size = 0 if names < 2 else min(max(1, int(names * share)), names // 2)
    assert len(ranking.long_symbols) == len(ranking.short_symbols) == size
    assert bool(ranking.reason) == (names < 2)


BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"pandas", "pydantic", "kedro", "scipy", "sklearn"}:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
import importlib, pathlib, ranking_pipeline
root = pathlib.Path(ranking_pipeline.__file__).parent
for room in ("learning", "ranking"):
    for path in sorted((root / room).rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        importlib.import_module(".".join(p for p in parts if p != "__init__"))
print("imported")
"""


def test_the_torch_rooms_need_torch_and_numpy_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "imported", done.stderr


class Stop(Exception):
    """A training is killed."""


class StopAt(Watcher):
    """Kills the training after some steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self, windows: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise Stop


@pytest.mark.parametrize("steps", [3, 40, 95])
def test_a_killed_training_goes_on_to_the_same_bits(
    world: World, ranker: Ranker, tmp_path: Path, steps: int
) -> None:
    """Steps 3 and 40 lie in the first seed, 95 in the second."""
    kept = Checkpoints(tmp_path, every_seconds=0)
    with pytest.raises(Stop):
        train_ranker(world.data, make_spec(), checkpoints=kept, watcher=StopAt(steps))
    again = train_ranker(world.data, make_spec(), checkpoints=kept)
    assert again.history == ranker.history
    assert weights_file(to_tensors(again)) == weights_file(to_tensors(ranker))


def test_a_checkpoint_of_other_data_is_not_used(world: World, tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, every_seconds=0)
    train_ranker(world.data, make_spec(seeds=(0,)), checkpoints=kept)
    other = replace(world.data, target=-world.target)
    first = train_ranker(other, make_spec(seeds=(0,)), checkpoints=kept)
    fresh = train_ranker(other, make_spec(seeds=(0,)))
    assert weights_file(to_tensors(first)) == weights_file(to_tensors(fresh))


def test_a_loss_of_ones_own_that_was_edited_is_trained_anew(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even after the training was done: the name of the function is the same."""
    source = "def loss(s, t, m): return ((s - {} * t).square() * m).sum(1)\n"
    monkeypatch.syspath_prepend(str(tmp_path))
    kept = Checkpoints(tmp_path / "kept", every_seconds=0)
    spec, found = make_spec(seeds=(0,), loss="edited_loss:loss"), []
    for factor in (1, -1):
        (tmp_path / "edited_loss.py").write_text(source.format(factor))
        sys.modules.pop("edited_loss", None)
        importlib.invalidate_caches()
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        found.append(train_ranker(world.data, spec, checkpoints=kept))
    assert weights_file(to_tensors(found[0])) != weights_file(to_tensors(found[1]))


def test_the_key_follows_what_a_loss_of_ones_own_imports(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_scorer.py").write_text("from own_weights import scale\n")
    weights = tmp_path / "own_weights.py"
    weights.write_text("scale = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    specs = [
        make_spec(loss="own_scorer:loss"),
        make_spec(loss="mixture", loss_parameters={"terms": {"own_scorer:loss": 1.0}}),
        make_spec(),
    ]
    keys = [training_key(world.data, spec, "cpu", 1) for spec in specs]
    weights.write_text("scale = 2\n")
    again = [training_key(world.data, spec, "cpu", 1) for spec in specs]
    changed = [old != new for old, new in zip(keys, again, strict=True)]
    assert changed == [True, True, False]


def test_every_source_of_the_training_is_in_the_key() -> None:
    found = reached("ranking_pipeline.ranking.ranker")
    for name in (
        "learning.loop", "learning.steps", "learning.graph", "learning.ranks",
        "learning.losses.pairwise", "learning.losses.listmle", "learning.streaming",
        "learning.networks.recurrent", "learning.networks.convolutional",
        "learning.networks.transformer", "learning.checkpoints",
        "ranking.ranker_processes", "ranking.ranker_validation", "ranking.metrics",
        "ranking.tails",
    ):  # fmt: skip
        assert f"ranking_pipeline.{name}" in found


def test_a_checkpoint_of_other_sources_is_not_used(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = training_key(world.data, make_spec(), "cpu", 1)
    assert training_key(world.data, make_spec(), "cpu", 1) == key
    monkeypatch.setattr(ranker_checkpoints, "code_of", lambda module: "other")
    assert training_key(world.data, make_spec(), "cpu", 1) != key


def test_a_training_that_is_done_outlives_what_does_not_concern_it(
    world: World, tmp_path: Path
) -> None:
    """One more seed, or another cost of trading: only what is new is trained."""
    kept, heard = Checkpoints(tmp_path, every_seconds=0), Counting()
    first = train_ranker(world.data, make_spec(seeds=(0,)), checkpoints=kept)
    spec = make_spec(seeds=(0, 1), cost_bps_per_side=7.0)
    both = train_ranker(world.data, spec, checkpoints=kept, watcher=heard)
    assert {row["seed"] for row in heard.rows} == {1.0}
    assert all(torch.equal(v, both.states[0][k]) for k, v in first.states[0].items())


@pytest.mark.parametrize("validated", [True, False])
def test_training_bars_with_too_few_names_are_refused(
    world: World, validated: bool
) -> None:
    few, data = world.data.train.copy(), world.data
    few[:, 5:] = False
    validation = data.validation & validated
    with pytest.raises(UserError, match="min_symbols_per_timestamp"):
        train_ranker(replace(data, train=few, validation=validation), make_spec())


def test_payoffs_that_are_no_returns_are_refused_before_any_step(world: World) -> None:
    heard = Counting()
    data = replace(world.data, payoff=world.target)
    with pytest.raises(UserError, match="percentiles"):
        train_ranker(data, make_spec(), watcher=heard)
    assert heard.seen == 0


class Counting(Watcher):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.expected, self.seen, self.rows = 0, 0, list[dict[str, float]]()

    def start(self, windows: int) -> None:
        self.expected = windows

    def step(self, windows: int) -> None:
        self.seen += windows

    def epoch(self, row: dict[str, float]) -> None:
        self.rows.append(row)


def test_a_watcher_hears_every_window_and_epoch(world: World) -> None:
    heard = Counting()
    spec = make_spec(loop=replace(make_spec().loop, patience=99))
    fitted = train_ranker(world.data, spec, watcher=heard)
    assert heard.seen == heard.expected > 0
    assert len(heard.rows) == len(fitted.history) == 12
    assert all(row["windows_per_second"] > 0 for row in heard.rows)
    assert "windows_per_second" not in fitted.history[0]


def test_metrics_tell_how_much_seeds_differ(ranker: Ranker) -> None:
    best = [
        max(row["validation_ic"] for row in ranker.history if row["seed"] == seed)
        for seed in (0.0, 1.0)
    ]
    # min_delta may keep an epoch that is a hair below the best
    assert ranker.metrics["seed_ic_mean"] == pytest.approx(np.mean(best), abs=2e-4)
    assert ranker.metrics["seed_ic_std"] == pytest.approx(
        np.std(best, ddof=1), abs=2e-4
    )
    assert ranker.metrics["net_spread"] < ranker.metrics["best_spread"] + 1e-12


def test_a_streamed_panel_gives_the_same_network(world: World) -> None:
    """The order of bars differs, so that only the scores of one network agree."""
    spec = make_spec(loop=replace(make_spec().loop, shuffle_timestamps=False))
    whole = train_ranker(world.data, spec)
    budget = world.ohlcv.nbytes * 0.75 / 1e6
    streamed = train_ranker(world.data, replace(spec, device_budget_mb=budget))
    np.testing.assert_allclose(
        streamed.metrics["best_ic"], whole.metrics["best_ic"], atol=0.05
    )
    same = replace(whole, spec=streamed.spec)
    np.testing.assert_array_equal(
        score_panel(same, world.ohlcv), score_panel(whole, world.ohlcv)
    )


def test_a_network_of_stocks_that_see_each_other_ranks(world: World) -> None:
    network = replace(make_spec().network, name="cross_stock", heads=2)
    fitted = fit(world, network=network, seeds=(0,))
    assert fitted.metrics["best_ic"] > 0.2


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(world: World, tmp_path: Path) -> None:
    spec = make_spec(network=replace(make_spec().network, dropout=0.0), seeds=(0,))
    heard = Counting()
    kept = Checkpoints(tmp_path, every_seconds=0)
    alone = train_ranker(world.data, spec)
    together = train_ranker(
        world.data, replace(spec, processes=2), checkpoints=kept, watcher=heard
    )
    assert len(heard.rows) == len(together.history) == len(alone.history)
    for one, two in zip(alone.history, together.history, strict=True):
        assert one["train_loss"] == pytest.approx(two["train_loss"], rel=1e-5)
        assert one["validation_ic"] == pytest.approx(two["validation_ic"], abs=1e-4)
    assert together.scale == alone.scale
