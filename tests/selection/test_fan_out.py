"""Fan-out: the cache changes the time a stage takes, and never what it gives."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import counted_evidence as counted
import pandas as pd
import pytest
from counted_evidence import CountingConfig, StoredData, cache_config, jobs_config
from planted_world import LENIENT, World, ranking_config, selection_config

from ranking_pipeline.cache import origin
from ranking_pipeline.errors import UserError
from ranking_pipeline.selection import fan_out, stored_data
from ranking_pipeline.selection.fan_out import LazyData, OverWorkers, over_workers
from ranking_pipeline.selection.feature_choice import select_features
from ranking_pipeline.selection.predictability import rank_targets
from ranking_pipeline.storage import PanelHandle, TableHandle

TARGETS = ("fwd_ret_1d", "fwd_ret_2d")


@pytest.fixture(scope="module")
def world() -> World:
    return counted.two_target_world()


@pytest.fixture(scope="module")
def stored(world: World, tmp_path_factory: pytest.TempPathFactory) -> StoredData:
    return counted.store(world, tmp_path_factory.mktemp("tables"))


def _config(folder: Path, **changes: Any) -> CountingConfig:
    values = {"folder": str(folder), "seed": 1, "threads": 1, **changes}
    return CountingConfig.model_validate(values)


def _each(stored: StoredData, folder: Path, **changes: Any) -> OverWorkers:
    how = jobs_config(folder, changes.pop("engine", "serial"))
    return over_workers(stored, how, "tests", cache_config(folder, **changes))


def test_the_second_run_works_on_nothing_and_gives_the_same(
    stored: StoredData, tmp_path: Path
) -> None:
    each, config = _each(stored, tmp_path), _config(tmp_path)
    first = each(counted.score, TARGETS, config)
    assert counted.calls(tmp_path) == list(TARGETS)
    assert dict(each.counts) == {"miss": 2}
    assert (each.costs.n_jobs, each.costs.n_cached) == (2, 0)
    again = each(counted.score, TARGETS, config)
    assert counted.calls(tmp_path) == []
    assert dict(each.counts) == {"hit": 2}
    assert (each.costs.n_jobs, each.costs.n_cached) == (2, 2)
    assert each.costs.saved_seconds > 0
    for one, other in zip(first, again, strict=True):
        assert (one.target, one.mean) == (other.target, other.mean)
        assert other.missing != other.missing
        pd.testing.assert_frame_equal(one.table, other.table, check_exact=True)


def test_a_full_hit_reads_no_table(
    stored: StoredData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ranking_config()
    first = rank_targets(LazyData(stored), config, _each(stored, tmp_path))

    def read(*_: Any) -> None:
        raise AssertionError("a table was read")

    for kind in (TableHandle, PanelHandle):
        monkeypatch.setattr(kind, "read", read)
    stored_data._loaded.clear()
    again = rank_targets(LazyData(stored), config, _each(stored, tmp_path))
    pd.testing.assert_frame_equal(first.rankings, again.rankings, check_exact=True)


def _ranked(stored: StoredData, each: Any, targets: Sequence[str]) -> dict[str, Any]:
    config = ranking_config(auto=False, manual_targets=tuple(targets))
    made = rank_targets(stored.load(), config, each)
    return {"rankings": made.rankings, "family_scores": made.family_scores}


def _selected(stored: StoredData, each: Any, targets: Sequence[str]) -> dict[str, Any]:
    config = selection_config(model_families=("lightgbm",), require_min_models=1)
    made = select_features(stored.load(), targets, config, each)
    return {**vars(made)}


def _routed(stored: StoredData, each: Any, targets: Sequence[str]) -> dict[str, Any]:
    sys.path.insert(0, str(Path(__file__).parents[1] / "routing"))
    from routing_examples import routing_config

    from ranking_pipeline.routing.candidates import collect_candidates

    features = {target: ["signal", "noise_00", "vol_20"] for target in targets}
    report = pd.DataFrame({"target": [], "feature": [], "status": []})
    stability = pd.DataFrame({"target": [], "state": []})
    config = routing_config()
    made = collect_candidates(
        stored.load(), targets, features, report, stability, config, each
    )
    return {"candidates": made}


STAGES = {"ranking": _ranked, "selection": _selected, "routing": _routed}


@pytest.mark.parametrize(
    "stage", ["ranking", pytest.param("selection", marks=pytest.mark.slow), "routing"]
)
def test_without_cache_cold_half_and_warm_give_the_same_tables(
    stored: StoredData, tmp_path: Path, stage: str
) -> None:
    run = STAGES[stage]
    plain = run(stored, None, TARGETS)
    run(stored, _each(stored, tmp_path / "half"), TARGETS[1:])
    half = _each(stored, tmp_path / "half")
    cold, warm = _each(stored, tmp_path / "full"), _each(stored, tmp_path / "full")
    made = [run(stored, each, TARGETS) for each in (half, cold, warm)]
    for tables in made:
        for name, table in plain.items():
            if isinstance(table, pd.DataFrame):
                pd.testing.assert_frame_equal(tables[name], table, check_exact=True)
            else:
                assert tables[name] == table
    assert warm.costs.n_cached == len(TARGETS)
    if stage != "ranking":  # manual_targets is part of the ranking's configuration
        assert half.costs.n_cached == 1


def test_another_target_keeps_the_hits_and_the_evidence_of_the_others(
    world: World, stored: StoredData, tmp_path: Path
) -> None:
    config = ranking_config(leakage=LENIENT)
    _each(stored, tmp_path)(rank_evidence, TARGETS, config)
    larger = counted.store(
        counted.with_noise_target(world, "fwd_ret_3d", seed=9), tmp_path / "larger"
    )
    assert larger.labels.sha256 != stored.labels.sha256
    each, fresh = _each(larger, tmp_path), _each(larger, tmp_path / "fresh")
    found = each(rank_evidence, (*TARGETS, "fwd_ret_3d"), config)
    assert dict(each.counts) == {"hit": 2, "miss": 1}
    # What the hits gave is what the larger tables give.
    computed = fresh(rank_evidence, (*TARGETS, "fwd_ret_3d"), config)
    assert repr(found) == repr(computed)


def rank_evidence(data: Any, target: str, config: Any) -> counted.Score:
    from ranking_pipeline.selection.predictability import evaluate_or_record

    made = evaluate_or_record(data, target, config)
    assert made.test is not None
    rows = pd.DataFrame(made.family_rows)
    return counted.Score(target, made.test.mean, made.test.t, rows)


def _relabelled(world: World, target: str) -> World:
    labels = world.labels.copy()
    labels.loc[labels.index[3], target] += 1
    return replace(world, labels=labels)


CHANGES: dict[str, tuple[Callable[[World], World], list[str]]] = {
    "label of one": (lambda w: _relabelled(w, TARGETS[0]), [TARGETS[0]]),
    "manifest of one": (
        lambda w: replace(
            w,
            target_manifest=w.target_manifest.assign(
                horizon_bars=[7, *w.target_manifest["horizon_bars"][1:]]
            ),
        ),
        [TARGETS[0]],
    ),
    "features": (
        lambda w: replace(w, features=w.features.assign(signal=1.0)),
        list(TARGETS),
    ),
    "feature manifest": (
        lambda w: replace(w, feature_manifest=w.feature_manifest.assign(group="x")),
        list(TARGETS),
    ),
    "order of the labels": (
        lambda w: replace(w, labels=w.labels.iloc[::-1].reset_index(drop=True)),
        list(TARGETS),
    ),
    "split": (
        lambda w: replace(w, splits=replace(w.splits, embargo_bars=1)),
        list(TARGETS),
    ),
    "panel": (
        lambda w: replace(w, panel=replace(w.panel, values=w.panel.values * 2)),
        list(TARGETS),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_data_are_worked_on_again_where_they_count(
    world: World, stored: StoredData, tmp_path: Path, change: str
) -> None:
    config = _config(tmp_path)
    _each(stored, tmp_path)(counted.score, TARGETS, config)
    counted.calls(tmp_path)
    alter, affected = CHANGES[change]
    each = _each(counted.store(alter(world), tmp_path / "altered"), tmp_path)
    each(counted.score, TARGETS, config)
    assert counted.calls(tmp_path) == affected


def test_a_feature_with_the_name_of_a_label_is_another_origin(
    world: World, stored: StoredData, tmp_path: Path
) -> None:
    config = _config(tmp_path)
    _each(stored, tmp_path)(counted.score, TARGETS, config)
    named = world.labels.assign(noise_00=0.0)
    other = counted.store(replace(world, labels=named), tmp_path / "named")
    each = _each(other, tmp_path)
    each(counted.score, TARGETS, config)
    assert dict(each.counts) == {"miss": 2}


def test_threads_workers_and_engine_keep_the_hits_and_the_seed_does_not(
    stored: StoredData, tmp_path: Path
) -> None:
    _each(stored, tmp_path)(counted.score, TARGETS, _config(tmp_path))
    each = _each(stored, tmp_path, engine="loky")
    each(counted.score, TARGETS, _config(tmp_path, threads=8))
    assert dict(each.counts) == {"hit": 2}
    each = _each(stored, tmp_path)
    each(counted.score, TARGETS, _config(tmp_path, seed=2))
    assert dict(each.counts) == {"miss": 2}


@pytest.mark.parametrize("part", ["library", "source"])
def test_another_library_or_source_is_another_origin(
    stored: StoredData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    _each(stored, tmp_path)(counted.score, TARGETS, _config(tmp_path))
    if part == "library":
        monkeypatch.setattr(origin, "version", lambda name: "0.0")
    else:
        monkeypatch.setattr(origin, "sources_reached", lambda module: "edited")
    origin.code_of.cache_clear()
    try:
        each = _each(stored, tmp_path)
        each(counted.score, TARGETS, _config(tmp_path))
        assert dict(each.counts) == {"miss": 2}
    finally:
        origin.code_of.cache_clear()


def test_expired_forced_and_disabled_are_worked_on_again(
    stored: StoredData, tmp_path: Path
) -> None:
    config = _config(tmp_path)
    _each(stored, tmp_path)(counted.score, TARGETS, config)
    for changes, status in (
        ({"ttl_days": 1e-9}, "expired"),
        ({"force_refresh": True}, "forced"),
        ({"enabled": False}, "disabled"),
    ):
        counted.calls(tmp_path)
        each = _each(stored, tmp_path, **changes)
        each(counted.score, TARGETS, config)
        assert counted.calls(tmp_path) == list(TARGETS)
        assert dict(each.counts) == {status: 2}
    unheard = over_workers(stored, jobs_config(tmp_path), "tests")
    unheard(counted.score, TARGETS, config)
    assert dict(unheard.counts) == {"disabled": 2}


def test_a_damaged_entry_is_one_warning_and_one_recomputation(
    stored: StoredData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    each, config = _each(stored, tmp_path), _config(tmp_path)
    first = each(counted.score, TARGETS, config)
    for manifest in (tmp_path / "cache").rglob("manifest.json"):
        made_from = json.loads(manifest.read_text())["facts"]["made_from"]
        if made_from.get("target") == TARGETS[0]:
            manifest.with_name("value.json").write_bytes(b"{}")
    counted.calls(tmp_path)
    again = each(counted.score, TARGETS, config)
    assert counted.calls(tmp_path) == [TARGETS[0]]
    assert dict(each.counts) == {"damaged": 1, "hit": 1}
    assert [r.levelname for r in caplog.records if "is damaged" in r.message] == [
        "WARNING"
    ]
    assert repr(first) == repr(again)
    each(counted.score, TARGETS, config)
    assert dict(each.counts) == {"hit": 2}


def test_what_others_found_survives_a_failure(
    stored: StoredData, tmp_path: Path
) -> None:
    each, config = _each(stored, tmp_path), _config(tmp_path)
    with pytest.raises(UserError, match=r"fwd_ret_2d: ValueError: broken"):
        each(counted.failing, TARGETS, config)
    (tmp_path / "repaired").write_text("")
    each(counted.failing, TARGETS, config)
    assert dict(each.counts) == {"hit": 1, "miss": 1}


def test_a_recorded_failure_is_not_kept(
    stored: StoredData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    each, config = _each(stored, tmp_path), _config(tmp_path)
    for _ in range(2):
        each(counted.recording, TARGETS, config)
        assert dict(each.counts) == {"miss": 2, "not_kept": 2}
    assert "it holds a failure" in caplog.text


def test_what_cannot_be_stored_is_given_and_said(
    stored: StoredData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    each = _each(stored, tmp_path)
    made = each(counted.unstorable, TARGETS, _config(tmp_path))
    assert made == [{target} for target in TARGETS]
    assert each.counts["not_kept"] == 2
    assert "set cannot be stored" in caplog.text


def test_a_worker_with_other_code_keeps_nothing(
    stored: StoredData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fan_out, "code_of", lambda module: {"sources": "another"})
    each = _each(stored, tmp_path)
    each(counted.score, TARGETS, _config(tmp_path))
    assert each.counts["not_kept"] == 2
    each(counted.score, TARGETS, _config(tmp_path))
    assert each.counts["miss"] == 2


def test_keywords_are_part_of_the_key_and_cut_down_to_the_target(
    stored: StoredData, tmp_path: Path
) -> None:
    each, config = _each(stored, tmp_path), _config(tmp_path)
    features = {TARGETS[0]: ["a"], TARGETS[1]: ["b", "c"]}
    made = each(partial(counted.listed, features=features), TARGETS, config)
    assert [[row["name"] for row in rows] for rows in made] == [["a"], ["b", "c"]]
    changed = {**features, TARGETS[1]: ["b"]}
    each(partial(counted.listed, features=changed), TARGETS, config)
    assert dict(each.counts) == {"hit": 1, "miss": 1}
    each(partial(counted.listed, features=changed, share=0.6), TARGETS, config)
    assert dict(each.counts) == {"miss": 2}


def test_evidence_without_a_name_cannot_be_cached(
    stored: StoredData, tmp_path: Path
) -> None:
    with pytest.raises(TypeError, match="must be a function of a module"):
        _each(stored, tmp_path)(lambda *_: 1, TARGETS, _config(tmp_path))


def test_a_miss_says_what_has_changed(
    stored: StoredData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        _each(stored, tmp_path)(counted.score, TARGETS, _config(tmp_path))
        _each(stored, tmp_path)(counted.score, TARGETS, _config(tmp_path, seed=2))
    told = [r.getMessage() for r in caplog.records if "tests, cache" in r.getMessage()]
    assert told == [
        "tests, cache: 2 miss",
        "tests, cache: 2 miss; fwd_ret_1d: config.seed: 1 -> 2",
    ]


def test_facts_about_stored_data_cost_no_table(
    world: World, stored: StoredData, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = world.data()
    monkeypatch.setattr(TableHandle, "read", None)
    monkeypatch.setattr(PanelHandle, "read", None)
    lazy = LazyData(stored)
    assert lazy.candidate_targets == data.candidate_targets == TARGETS
    assert lazy.n_symbols == data.n_symbols == 16
    assert lazy.describe(TARGETS[1]).equals(data.describe(TARGETS[1]))
    with pytest.raises(UserError, match="'unknown' is not in target_manifest"):
        lazy.describe("unknown")


def test_in_turn_loads_only_when_there_is_work(
    stored: StoredData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = fan_out.in_turn(LazyData(stored))
    (one,) = each(counted.score, TARGETS[:1], _config(tmp_path))
    assert one.target == TARGETS[0]
    monkeypatch.setattr(StoredData, "load", None)
    assert fan_out.in_turn(LazyData(stored))(counted.score, (), _config(tmp_path)) == []


PARENT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import counted_evidence as counted
from ranking_pipeline.selection.fan_out import over_workers
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    stored = counted.store(counted.two_target_world(), folder / "tables")
    config = counted.CountingConfig(folder=str(folder), seed=1, threads=1)
    each = over_workers(
        stored, counted.jobs_config(folder), "tests", counted.cache_config(folder)
    )
    each(counted.suicidal, ("fwd_ret_1d", "fwd_ret_2d"), config)
    print(sorted(each.counts.items()))
"""


def test_a_killed_parent_loses_only_what_was_in_work(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    command = [sys.executable, str(script), str(tmp_path), str(Path(__file__).parent)]
    assert subprocess.run(command, check=False).returncode == -9
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    assert ended.stdout.strip() == "[('hit', 1), ('miss', 1)]"
    assert counted.calls(tmp_path) == list(TARGETS)


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(stored: StoredData, tmp_path: Path) -> None:
    each = _each(stored, tmp_path, engine="loky")
    made = each(counted.suicidal, TARGETS, _config(tmp_path))
    assert [one.target for one in made] == list(TARGETS)
    each(counted.suicidal, TARGETS, _config(tmp_path))
    assert dict(each.counts) == {"hit": 2}
