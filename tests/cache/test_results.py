"""The eight cases of a cache: hit, miss, expired, changed, forced, disabled, damaged."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.cache import results
from ranking_pipeline.cache.codec import ARRAYS, VALUE, Codec
from ranking_pipeline.cache.config import CacheConfig
from ranking_pipeline.cache.entries import MANIFEST
from ranking_pipeline.cache.results import ResultCache
from ranking_pipeline.storage import sha256_json

ORIGIN = {"evidence": "rank", "target": "fwd", "data": "1f", "config": {"seed": 1}}
VALUE_KEPT = {"table": pd.DataFrame({"x": [1.0, np.nan]}), "score": 0.25}


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., ResultCache]:
    def make(**changes: Any) -> ResultCache:
        values = {
            "enabled": True,
            "ttl_days": 7.0,
            "force_refresh": False,
            "store": str(tmp_path / "cache"),
        }
        return ResultCache(CacheConfig.model_validate({**values, **changes}), Codec())

    return make


Open = Callable[..., ResultCache]


def _folder(cache: ResultCache) -> Path:
    return cache.store.folder(sha256_json(ORIGIN))


def test_a_hit_gives_the_value_and_the_seconds_it_took(opened: Open) -> None:
    assert opened().find(ORIGIN).status == "miss"
    assert opened().keep(ORIGIN, VALUE_KEPT, 12.5) == ""
    found = opened().find(ORIGIN)
    assert (found.status, found.seconds, found.value["score"]) == ("hit", 12.5, 0.25)
    pd.testing.assert_frame_equal(found.value["table"], VALUE_KEPT["table"])


@pytest.mark.parametrize(
    "change",
    [{"data": "2e"}, {"config": {"seed": 2}}, {"target": "mfe"}, {"code": "1"}],
)
def test_other_data_or_configuration_is_a_miss(
    opened: Open, change: dict[str, Any]
) -> None:
    opened().keep(ORIGIN, 1, 1.0)
    assert opened().find({**ORIGIN, **change}).status == "miss"
    assert opened().find(dict(reversed(ORIGIN.items()))).status == "hit"


@pytest.mark.parametrize(
    ("age_days", "ttl_days", "status"),
    [(6.9, 7.0, "hit"), (7.1, 7.0, "expired"), (400.0, None, "hit"),
     (-0.5, 7.0, "hit"), (-2.0, 7.0, "expired"), (-2.0, None, "expired")],
)  # fmt: skip
def test_an_entry_is_believed_for_its_days(
    opened: Open,
    monkeypatch: pytest.MonkeyPatch,
    age_days: float,
    ttl_days: float | None,
    status: str,
) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(UTC) - timedelta(days=age_days)

    with monkeypatch.context() as patched:
        patched.setattr(results, "datetime", Clock)
        opened().keep(ORIGIN, 1, 1.0)
    assert opened(ttl_days=ttl_days).find(ORIGIN).status == status
    if status == "expired":  # what replaces it is young again
        opened().keep(ORIGIN, 2, 1.0)
        assert opened(ttl_days=ttl_days).find(ORIGIN).value == 2


def test_a_forced_refresh_looks_at_nothing_and_replaces(opened: Open) -> None:
    opened().keep(ORIGIN, "old", 1.0)
    forced = opened(force_refresh=True)
    assert forced.find(ORIGIN).status == "forced"
    forced.keep(ORIGIN, "new", 2.0)
    found = opened().find(ORIGIN)
    assert (found.value, found.seconds) == ("new", 2.0)


def test_a_disabled_cache_reads_and_writes_nothing(opened: Open) -> None:
    disabled = opened(enabled=False)
    assert disabled.keep(ORIGIN, 1, 1.0) == ""
    assert disabled.sweep() == 0
    assert not disabled.store.root.exists()
    opened().keep(ORIGIN, 1, 1.0)
    assert disabled.find(ORIGIN).status == "disabled"


def _truncate(folder: Path) -> None:
    path = folder / VALUE
    path.write_bytes(path.read_bytes()[:-3])


def _flip(name: str, part: float) -> Callable[[Path], None]:
    def flip(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[int(part * len(content))] ^= 4
        (folder / name).write_bytes(content)

    return flip


def _edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text())
        change(manifest)
        (folder / MANIFEST).write_text(json.dumps(manifest))

    return edit


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated file": _truncate,
    "flipped byte of the value": _flip(VALUE, 0.5),
    "flipped byte of the arrays": _flip(ARRAYS, 0.5),
    "missing file": lambda folder: (folder / ARRAYS).unlink(),
    "file that is a folder": lambda f: ((f / VALUE).unlink(), (f / VALUE).mkdir()),
    "missing manifest": lambda folder: (folder / MANIFEST).unlink(),
    "truncated manifest": lambda f: (f / MANIFEST).write_text('{"files": {'),
    "manifest of another kind": lambda f: (f / MANIFEST).write_text("[1]"),
    "no text": lambda folder: (folder / MANIFEST).write_bytes(b"\xff\xfe\x00"),
    "other seconds": _edit(lambda m: m["facts"].update(seconds=1e9)),
    "other creation time": _edit(lambda m: m["facts"].update(created="2999-01-01")),
    "other origin": _edit(lambda m: m["facts"]["made_from"].update(data="2e")),
    "no files": _edit(lambda m: m["files"].clear()),
    "file of another folder": _edit(
        lambda m: m["files"].update({"../../secret": "0" * 64})
    ),
    "empty folder": lambda f: [path.unlink() for path in f.iterdir()],
    "a file in its place": lambda f: (shutil.rmtree(f), f.write_text("x")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_a_warning_that_names_the_entry_and_is_repaired(
    opened: Open, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    opened().keep(ORIGIN, VALUE_KEPT, 1.0)
    folder = _folder(opened())
    DAMAGES[damage](folder)
    with caplog.at_level(logging.WARNING):
        assert opened().find(ORIGIN).status == "damaged"
    (record,) = caplog.records
    assert folder.name in record.getMessage()
    assert "Computed again" in record.getMessage()
    assert opened().keep(ORIGIN, VALUE_KEPT, 1.0) == ""
    assert opened().find(ORIGIN).status == "hit"


@pytest.mark.parametrize("part", [k / 40 for k in range(40)])
def test_a_flipped_bit_of_the_manifest_is_never_a_wrong_value(
    opened: Open, part: float
) -> None:
    opened().keep(ORIGIN, 0.25, 1.0)
    _flip(MANIFEST, part)(_folder(opened()))
    found = opened().find(ORIGIN)
    # Space between the words of the manifest means nothing.
    assert (found.status, found.value) in {("damaged", None), ("hit", 0.25)}
    assert found.seconds in {0.0, 1.0}


def test_an_entry_under_the_name_of_another_key_is_not_believed(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    cache, other = opened(), {**ORIGIN, "data": "2e"}
    cache.keep(ORIGIN, 1, 1.0)
    place = cache.store.folder(sha256_json(other))
    place.parent.mkdir(exist_ok=True)
    shutil.copytree(_folder(cache), place)
    assert cache.find(other).status == "damaged"
    assert "the entry of another key" in caplog.text


def test_what_cannot_be_stored_is_said_and_undoes_nothing(
    opened: Open, tmp_path: Path
) -> None:
    assert "object cannot be stored" in opened().keep(ORIGIN, object(), 1.0)
    (tmp_path / "file").write_text("")
    blocked = opened(store=str(tmp_path / "file" / "cache"))
    assert "NotADirectoryError" in blocked.keep(ORIGIN, 1, 1.0)
    assert opened().find(ORIGIN).status == "miss"


def test_an_entry_tells_people_what_it_was_made_from(opened: Open) -> None:
    opened().keep(ORIGIN, 1, 1.0)
    facts = json.loads((_folder(opened()) / MANIFEST).read_text())["facts"]
    assert facts["made_from"] == ORIGIN
    assert facts["seconds"] == 1.0
    age = datetime.now(UTC) - datetime.fromisoformat(facts["created"])
    assert timedelta(0) <= age < timedelta(minutes=5)


def test_the_nearest_origin_shares_the_named_parts(opened: Open) -> None:
    cache = opened()
    assert cache.nearest(ORIGIN, ("evidence", "target")) is None
    older, newer = {**ORIGIN, "data": "2e"}, {**ORIGIN, "data": "3d"}
    for made_from in (older, newer, {**ORIGIN, "target": "mfe"}):
        cache.keep(made_from, 1, 1.0)
    assert cache.nearest(ORIGIN, ("evidence", "target")) == newer


def test_a_sweep_follows_the_time_to_live(opened: Open) -> None:
    opened().keep(ORIGIN, 1, 1.0)
    assert opened().sweep() == 0
    assert opened(ttl_days=None).sweep() == 0
    assert opened(ttl_days=1e-9).sweep() == 1
    assert opened().find(ORIGIN).status == "miss"
