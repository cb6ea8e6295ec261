from __future__ import annotations

from pathlib import Path

import pytest

from vizinho.blobs import LocalBlobs
from vizinho.errors import GalleryError, KeyNotFound


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    (tmp_path / "secret.txt").write_text("not for visitors")
    root = tmp_path / "images"
    root.mkdir()
    return LocalBlobs(root)


def test_bytes_go_in_and_come_out(blobs: LocalBlobs) -> None:
    blobs.put("a/b/ü c.png", b"one")
    blobs.put("a/b/ü c.png", b"two")
    assert blobs.read("a/b/ü c.png") == b"two"
    assert blobs.has("a/b/ü c.png")
    assert list(blobs.keys()) == ["a/b/ü c.png"]
    assert blobs.url("a/b/ü c.png") == "/images/a/b/%C3%BC%20c.png"
    blobs.delete("a/b/ü c.png")
    blobs.delete("a/b/ü c.png")
    assert not blobs.has("a/b/ü c.png")
    with pytest.raises(KeyNotFound, match="no picture 'a/b/ü"):
        blobs.read("a/b/ü c.png")


@pytest.mark.parametrize(
    "key",
    ["", ".", "..", "../secret.txt", "a/../../secret.txt", "/etc/passwd", "a\0b", "x" * 5000],
)
def test_no_key_leads_out(blobs: LocalBlobs, key: str) -> None:
    for action in (blobs.read, blobs.path if "x" not in key else blobs.read):
        with pytest.raises(KeyNotFound):
            action(key)


def test_links_that_leave_the_folder_are_refused(blobs: LocalBlobs) -> None:
    blobs.put("real.png", b"inside")
    (blobs.root / "inside.png").symlink_to("real.png")
    (blobs.root / "out.png").symlink_to("../secret.txt")
    (blobs.root / "up").symlink_to("..")
    (blobs.root / "loop").symlink_to("loop")
    assert blobs.read("inside.png") == b"inside"
    for key in ("out.png", "up/secret.txt", "loop"):
        with pytest.raises(KeyNotFound):
            blobs.read(key)


def test_folders_and_pipes_are_not_read(blobs: LocalBlobs) -> None:
    import os

    (blobs.root / "folder").mkdir()
    os.mkfifo(blobs.root / "pipe")
    for key in ("folder", "pipe"):
        with pytest.raises(KeyNotFound):
            blobs.read(key)


def test_what_a_kill_left_half_written_is_swept(blobs: LocalBlobs) -> None:
    blobs.put("a.png", b"whole")
    (blobs.root / ".b.png.4711.partial").write_bytes(b"ha")
    assert list(blobs.keys()) == ["a.png"]
    assert [path.name for path in blobs.root.iterdir()] == ["a.png"]


def test_a_failed_write_keeps_the_old_bytes_and_leaves_nothing(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs.put("a.png", b"old")

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(GalleryError, match="disk is full"):
        blobs.put("a.png", b"new bytes")
    assert blobs.read("a.png") == b"old"
    assert [path.name for path in blobs.root.iterdir()] == ["a.png"]


def test_a_folder_in_the_way_is_explained(blobs: LocalBlobs) -> None:
    blobs.put("a", b"file")
    with pytest.raises(GalleryError, match="images/a"):
        blobs.put("a/b", b"below a file")
