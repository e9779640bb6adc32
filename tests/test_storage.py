"""Storage: a file is complete and verified, or it does not exist."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ranking_pipeline import storage
from ranking_pipeline.errors import UserError, mendable
from ranking_pipeline.panel import Panel


def test_a_failing_writer_leaves_the_old_file_and_no_orphan(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    storage.write_text(path, "old")

    def write_half() -> None:
        with storage.atomic_write(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write_half()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_manifest_names_the_bytes_and_the_ancestors(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    written = storage.write_artefact(
        path, lambda p: p.write_text("abc"), producer="node", ancestors={"bars": "1"}
    )
    assert storage.read_manifest(path) == written == storage.verify_artefact(path)
    # SHA-256 of "abc", from the FIPS 180-2 examples.
    assert written.sha256.startswith("ba7816bf8f01cfea414140de5dae2223")
    assert (written.bytes, dict(written.ancestors)) == (3, {"bars": "1"})


@pytest.mark.parametrize("damage", ["truncate", "flip", "no manifest", "torn manifest"])
def test_damage_is_refused_before_parsing(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.txt"
    storage.write_artefact(path, lambda p: p.write_text("abcdef"))
    manifest = storage.manifest_path(path)
    if damage == "truncate":
        path.write_text("abc")
    elif damage == "flip":
        path.write_text("abcdeF")
    elif damage == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text(manifest.read_text()[:20])
    with pytest.raises(UserError, match=r"a\.txt"):
        storage.verify_artefact(path)


def test_a_failing_rewrite_leaves_the_old_artefact_valid(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.txt"
    storage.write_artefact(path, lambda p: p.write_text("old"))

    def fail(_: Path) -> None:
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        storage.write_artefact(path, fail)
    storage.verify_artefact(path)
    assert path.read_text() == "old"


def test_new_bytes_without_their_manifest_do_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    storage.write_artefact(path, lambda p: p.write_text("old"))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(storage, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        storage.write_artefact(path, lambda p: p.write_text("new"))
    assert path.read_text() == "new"
    assert storage.read_manifest(path) is None


WRITER = """
import sys
from pathlib import Path
from ranking_pipeline import storage
path = Path(sys.argv[1])
for i in range(10_000):
    text = str(i) * 200_000
    storage.write_artefact(path, lambda p: p.write_text(text))
    print(i, flush=True)
"""


def test_sigkill_never_leaves_a_half_file_that_verifies(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    rng = np.random.default_rng(3)
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        for _ in range(int(rng.integers(1, 8))):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        if storage.read_manifest(path) is not None:
            storage.verify_artefact(path)
            text = path.read_text()
            assert set(text) <= set("0123456789")
            assert text == text[: len(text) // 200_000] * 200_000
    storage.sweep_temporaries(tmp_path)
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".tmp-")]


def test_a_flipped_bit_in_a_parquet_page_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    rng = np.random.default_rng(0)
    storage.write_table(pd.DataFrame({"x": rng.normal(size=5000)}), path)
    raw = bytearray(path.read_bytes())
    raw[1000] ^= 1
    path.write_bytes(bytes(raw))
    with pytest.raises((OSError, pa.ArrowException)):
        storage.read_table(path)


def test_a_handle_refuses_changed_content(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    storage.write_table(pd.DataFrame({"x": [1.0], "y": ["a"]}), path)
    handle = storage.TableHandle(str(path), storage.sha256_file(path))
    assert list(handle.read(["y"]).columns) == ["y"]
    storage.write_table(pd.DataFrame({"x": [2.0], "y": ["a"]}), path)
    with pytest.raises(UserError, match="has changed"):
        handle.read()


def test_the_same_table_has_the_same_bytes(tmp_path: Path) -> None:
    frame = pd.DataFrame({"symbol": ["NA", "TRUE"], "x": [1.0, np.nan]})
    for name in ("a", "b"):
        storage.write_table(frame, tmp_path / name)
    assert storage.sha256_file(tmp_path / "a") == storage.sha256_file(tmp_path / "b")
    assert storage.read_table(tmp_path / "a")["symbol"].tolist() == ["NA", "TRUE"]


def test_a_panel_survives_storage(tmp_path: Path, random_walk_panel: Panel) -> None:
    path = tmp_path / "panel.safetensors"
    storage.write_panel(random_walk_panel, path)
    read = storage.read_panel(path)
    assert (read.symbols, read.fields) == (
        random_walk_panel.symbols,
        random_walk_panel.fields,
    )
    np.testing.assert_array_equal(read.timestamps, random_walk_panel.timestamps)
    np.testing.assert_array_equal(read.values, random_walk_panel.values)
    np.testing.assert_array_equal(read.tradable, random_walk_panel.tradable)


def test_the_same_panel_has_the_same_bytes(
    tmp_path: Path, random_walk_panel: Panel
) -> None:
    digests = set()
    for number in range(8):
        path = tmp_path / str(number)
        storage.write_panel(random_walk_panel, path)
        digests.add(storage.sha256_file(path))
    assert len(digests) == 1


def test_json_digest_ignores_the_order_of_keys() -> None:
    assert storage.sha256_json({"a": 1, "b": 2}) == storage.sha256_json(
        {"b": 2, "a": 1}
    )
    assert storage.sha256_json({"a": 1}) != storage.sha256_json({"a": 2})


def test_a_sweep_takes_what_killed_writers_left(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".tmp-1.parquet").write_text("half")
    (tmp_path / "a" / "whole.parquet").write_text("whole")
    assert storage.sweep_temporaries(tmp_path) == 1
    assert os.listdir(tmp_path / "a") == ["whole.parquet"]


def test_a_sweep_takes_folders_of_killed_writers_too(tmp_path: Path) -> None:
    (tmp_path / "a" / ".tmp-1" / "fresh" / ".tmp-2").mkdir(parents=True)
    (tmp_path / "a" / ".tmp-1" / "fresh" / "report.txt").write_text("half")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_text("kept")
    (tmp_path / "a" / ".tmp-3").symlink_to(tmp_path / "outside")
    storage.sweep_temporaries(tmp_path)
    assert os.listdir(tmp_path / "a") == []
    assert os.listdir(tmp_path / "outside") == ["kept"]


@pytest.mark.parametrize(
    "refused",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_names_the_file_and_keeps_the_old_one(
    tmp_path: Path, refused: Exception
) -> None:
    path = tmp_path / "a.txt"
    storage.write_text(path, "old")

    def fill() -> None:
        with storage.atomic_write(path) as temporary:
            temporary.write_text("half")
            raise refused

    with pytest.raises(OSError, match="No space left") as caught:
        fill()
    told = mendable(caught.value)
    assert told is not None
    assert told.startswith(f"{path}: No space left on device. Make room")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "figures").touch()
    path = tmp_path / "figures" / "equity.json"
    assert storage.read_manifest(path) is None
    with pytest.raises(OSError, match=r"equity|figures") as caught:
        storage.write_text(path, "x")
    assert "stands where a folder belongs" in str(mendable(caught.value))


def test_only_what_a_user_can_mend_loses_its_traceback() -> None:
    assert mendable(TypeError("x")) is None
    assert mendable(FileNotFoundError(errno.ENOENT, "gone", "a")) is None
    wrapped = ValueError("told by Kedro")
    wrapped.__cause__ = UserError("a.txt is damaged")
    assert mendable(wrapped) == "a.txt is damaged"


@pytest.mark.parametrize(
    "text", [b"\xff\xfe{", b"[1]", b'{"sha256": "", "bytes": 3, "ancestors": [1]}']
)
def test_a_manifest_that_is_none_means_no_artefact(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "a.txt"
    path.write_text("abc")
    storage.manifest_path(path).write_bytes(text)
    assert storage.read_manifest(path) is None


@pytest.mark.parametrize("kind", [storage.TableHandle, storage.PanelHandle])
def test_names_are_not_read_from_a_damaged_file(
    tmp_path: Path, kind: type[storage.TableHandle | storage.PanelHandle]
) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(b"no table")
    handle = kind(str(path), "another digest")
    read = getattr(handle, "read_columns", None) or handle.read_symbols
    with pytest.raises(UserError, match="has changed"):
        read()
