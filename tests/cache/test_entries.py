"""Entries: all of an entry is there or nothing, whoever is killed and whoever races."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from ranking_pipeline.cache import entries
from ranking_pipeline.cache.entries import MANIFEST, EntryStore
from ranking_pipeline.errors import UserError

KEY = "cd" + "0" * 62
OTHER = "ef" + "0" * 62


def _fill(folder: Path) -> None:
    (folder / "one").write_text("1")


def _names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_an_entry_is_replaced_as_a_whole(tmp_path: Path) -> None:
    store = EntryStore(tmp_path)
    store.write(KEY, lambda f: (f / "old").write_text("old") and None, {"n": 1})
    store.write(KEY, _fill, {"n": 2})
    found = store.verified(KEY)
    assert (dict(found.facts), _names(found.folder)) == ({"n": 2}, [MANIFEST, "one"])
    assert _names(tmp_path) == ["cd"]


@pytest.mark.parametrize("squatter", ["file", "empty folder", "folder"])
def test_what_stands_in_the_place_of_an_entry_gives_way(
    tmp_path: Path, squatter: str
) -> None:
    store, place = EntryStore(tmp_path), tmp_path / "cd" / KEY
    place.parent.mkdir()
    if squatter == "file":
        place.write_text("no folder")
    else:
        place.mkdir()
    if squatter == "folder":
        (place / "junk").mkdir()
    store.write(KEY, _fill, {})
    assert _names(store.verified(KEY).folder) == [MANIFEST, "one"]


def test_a_place_taken_again_and_again_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EntryStore(tmp_path)
    store.write(KEY, _fill, {})
    monkeypatch.setattr(EntryStore, "_remove", lambda *_: True)
    with pytest.raises(UserError, match="again and again"):
        store.write(KEY, _fill, {})
    assert _names(tmp_path) == ["cd"]


def test_entries_are_listed_without_the_unfinished(tmp_path: Path) -> None:
    store = EntryStore(tmp_path)
    store.write(KEY, _fill, {})
    store.write(OTHER, _fill, {})
    (tmp_path / "ef" / OTHER / MANIFEST).write_text("{")
    (tmp_path / "ef" / "no-key").mkdir()
    assert [entry.key for entry in store.entries()] == [KEY]


def test_a_sweep_leaves_a_living_writer_alone(tmp_path: Path) -> None:
    store = EntryStore(tmp_path)
    begun, go_on = threading.Event(), threading.Event()

    def slow(folder: Path) -> None:
        _fill(folder)
        begun.set()
        assert go_on.wait(20)

    writer = threading.Thread(target=lambda: store.write(KEY, slow, {}))
    writer.start()
    assert begun.wait(20)
    assert EntryStore(tmp_path).sweep(0.0) == 0
    go_on.set()
    writer.join()
    assert store.find(KEY) is not None
    assert _names(tmp_path) == ["cd"]


def test_a_sweep_between_the_making_and_the_locking_of_a_folder_is_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, calls = entries._lock, []

    def swept_first(folder: Path) -> AbstractContextManager[None]:
        calls.append(folder)
        if len(calls) == 1:  # the writer's; the sweep itself locks too
            assert EntryStore(tmp_path).sweep() == 1
        return lock(folder)

    monkeypatch.setattr(entries, "_lock", swept_first)
    store = EntryStore(tmp_path)
    store.write(KEY, _fill, {})
    assert store.find(KEY) is not None
    assert _names(tmp_path) == ["cd"]


def test_a_sweep_that_looks_at_a_folder_does_not_fail_its_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, looks = entries._lock, ExitStack()

    def looked_at(folder: Path) -> AbstractContextManager[None]:
        monkeypatch.setattr(entries, "_lock", lock)
        looks.enter_context(lock(folder))
        return lock(folder)

    monkeypatch.setattr(entries, "_lock", looked_at)
    store = EntryStore(tmp_path)
    store.write(KEY, _fill, {})
    looks.close()
    store.sweep()
    assert store.find(KEY) is not None
    assert _names(tmp_path) == ["cd"]


def test_a_sweep_takes_old_entries_and_keeps_young_ones(tmp_path: Path) -> None:
    store = EntryStore(tmp_path)
    old, _ = store.write(KEY, _fill, {}), store.write(OTHER, _fill, {})
    hour_ago = time.time() - 3600
    os.utime(old.folder / MANIFEST, (hour_ago, hour_ago))
    assert store.sweep(7200) == 0
    assert store.sweep(None) == 0
    assert store.sweep(1800) == 1
    assert (store.find(KEY), store.find(OTHER) is None) == (None, False)


WRITER = """
import sys
from pathlib import Path
from ranking_pipeline.cache.entries import EntryStore
store, key, mark = EntryStore(Path(sys.argv[1])), sys.argv[2], sys.argv[3]
def fill(folder):
    for name in ("a", "b", "c"):
        (folder / name).write_text(mark * 100_000)
for number in range(int(sys.argv[4])):
    store.write(key, fill, {"mark": mark})
    print(number, flush=True)
"""


def _writer(root: Path, mark: str, rounds: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WRITER, str(root), KEY, mark, str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def _is_whole(store: EntryStore) -> bool:
    """Check that a believed entry holds one writer's files alone."""
    entry = store.verified(KEY)
    texts = {(entry.folder / name).read_text() for name in entry.files}
    return texts == {str(entry.facts["mark"]) * 100_000} and len(entry.files) == 3


def test_sigkill_in_the_middle_of_a_write_leaves_no_entry_that_is_believed(
    tmp_path: Path,
) -> None:
    store = EntryStore(tmp_path)
    for delay in (0.0, 0.002, 0.004, 0.007, 0.011, 0.016):
        writer = _writer(tmp_path, "k", 100_000)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        if (store.folder(KEY)).exists():
            assert _is_whole(store)
    store.sweep()
    assert set(_names(tmp_path)) <= {"cd"}


def test_two_processes_that_write_one_key_leave_the_entry_of_one(
    tmp_path: Path,
) -> None:
    store = EntryStore(tmp_path)
    writers = [_writer(tmp_path, mark, 40) for mark in "xy"]
    seen = 0
    while any(writer.poll() is None for writer in writers):
        entry = store.find(KEY)
        seen += entry is not None
    for writer in writers:
        assert writer.wait() == 0
        assert writer.stdout is not None
        writer.stdout.close()
    assert seen
    assert _is_whole(store)
    assert _names(tmp_path) == ["cd"]


def test_a_writer_that_dies_before_the_name_is_given_leaves_only_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EntryStore(tmp_path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(entries, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        store.write(KEY, _fill, {})
    assert store.find(KEY) is None
    assert _names(tmp_path) == []
