"""What `vizinho doctor` says of the indexed folder, and of the marks kept beside the catalogue."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from toys import encode, noise, write_pictures
from vizinho.datasets import Skipped
from vizinho.errors import GalleryError
from vizinho.gallery import Gallery
from vizinho.gallery.doctor import Finding, examine
from vizinho.gallery.feedback import FEEDBACK
from vizinho.sources import FolderTree

BROKEN = encode(noise(500))[:60]


@pytest.fixture
def path(toy_gallery: Gallery) -> Path:
    toy_gallery.close()
    return toy_gallery.path


def finding(path: Path, check: str, **how: bool) -> Finding | None:
    found = [each for each in examine(path, **how).findings if each.check == check]  # type: ignore[arg-type]
    assert len(found) < 2
    return found[0] if found else None


def figures(path: Path) -> tuple[int, ...]:
    found = examine(path).figures
    return tuple(found[f"files_{name}"] for name in ("new", "changed", "gone", "unreadable"))


def test_files_that_an_index_passes_over_are_not_said_to_be_brought_in(
    path: Path, pictures: Path
) -> None:
    (pictures / "cut.png").write_bytes(BROKEN)
    (pictures / "words.jpg").write_text("words")
    told = finding(path, "folder")
    assert told is not None
    assert told.status == "note"
    assert "12 files" in told.what
    assert "2 others can't be read" in told.what
    assert "brings" not in told.do
    assert [item.partition(":")[0] for item in told.items] == ["cut.png", "words.jpg"]
    assert figures(path) == (0, 0, 0, 2)
    # The index itself says the same.
    with Gallery.open(path) as gallery:
        report = gallery.sync_folder(pictures)
        assert (report.added, sorted(each.name for each in report.skipped)) == (
            0,
            ["cut.png", "words.jpg"],
        )


def test_new_changed_gone_and_unreadable_files_are_counted_apart(
    path: Path, pictures: Path
) -> None:
    (pictures / "cut.png").write_bytes(BROKEN)
    for number in range(3):
        (pictures / f"new{number}.png").write_bytes(encode(noise(600 + number)))
    assert figures(path) == (3, 0, 0, 1)
    told = finding(path, "folder")
    assert told is not None
    assert "3 new, 0 changed, 0 gone" in told.what
    assert (told.status, told.do) == ("note", "`vizinho index` brings in the new.")
    for number in (1, 2):
        (pictures / "dog" / f"000{number}.png").unlink()
    (pictures / "cat" / "0001.png").write_bytes(encode(noise(700)))
    assert figures(path) == (3, 1, 2, 1)
    told = finding(path, "folder")
    assert told is not None
    assert told.status == "wrong"
    assert "3 new, 1 changed, 2 gone since it was indexed; 1 can't be read" in told.what


def test_of_very_many_new_files_some_are_read(path: Path, pictures: Path) -> None:
    for number in range(4):
        (pictures / f"cut{number}.png").write_bytes(BROKEN)
    report = examine(path, sample=2)
    (told,) = (each for each in report.findings if each.check == "folder")
    assert "2 new, 0 changed, 0 gone since it was indexed; at least 2 can't be read" in told.what
    everything = finding(path, "folder", full=True)
    assert everything is not None
    assert "4 others can't be read" in everything.what


def test_marks_are_looked_at_where_there_are_any(path: Path) -> None:
    assert finding(path, "feedback") is None
    with Gallery.open(path) as gallery:
        gallery.feedback.mark("cat/0000.png", "cat/0001.png", "right")
    told = finding(path, "feedback")
    assert told is not None
    assert (told.status, told.what) == ("ok", "1 right and wrong marks.")


def read_all(gallery: Gallery) -> None:
    for mark in gallery.feedback.walk():
        gallery.feedback.picture(mark.query_hash)


@pytest.mark.parametrize(
    ("how", "said"),
    [("version", "has format 9"), ("pages", "is damaged"), ("no database", "is damaged")],
)
def test_marks_that_cannot_be_read_are_told(path: Path, how: str, said: str) -> None:
    with Gallery.open(path) as gallery:
        for number in range(1, 7):
            gallery.feedback.mark(encode(noise(number)), f"cat/000{number}.png", "right")
    file = path / FEEDBACK
    if how == "version":
        with closing(sqlite3.connect(file)) as db:
            db.execute("PRAGMA user_version = 9")
    else:
        data = bytearray(file.read_bytes())
        start = 4096 if how == "pages" else 0
        data[start : start + 8192] = b"\x5a" * 8192
        file.write_bytes(data)
    told = finding(path, "feedback")
    assert told is not None
    assert (told.status, said in told.what) == ("wrong", True), told.what
    assert told.do
    # Whoever asks for the marks is told the way out that the doctor tells.
    with Gallery.open(path) as gallery, pytest.raises(GalleryError, match=said) as caught:
        read_all(gallery)
    assert caught.value.hint == told.do
    assert "--fix" not in told.do
    before = file.read_bytes()
    assert finding(path, "feedback", fix=True) == told
    assert file.read_bytes() == before


@contextmanager
def shut(folder: Path) -> Iterator[None]:
    """A folder that this process can't look into, as a user to whom nothing is barred."""
    root = os.geteuid() == 0
    folder.chmod(0)
    try:
        if root:
            os.seteuid(65534)
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that another user may look into, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_a_folder_that_may_not_be_looked_into_is_told_and_its_pictures_stay(
    open_to_all: Path, toy_bundle: Path
) -> None:
    pictures = open_to_all / "photos"
    write_pictures(pictures / "cat", 2, seed=1)
    write_pictures(pictures / "shut" / "deep", 3, seed=2)
    with Gallery.create(open_to_all / "g.vizinho", model=toy_bundle) as gallery:
        gallery.sync_folder(pictures)
        (pictures / "cat" / "0001.png").unlink()
        # As that user the model's libraries might not be found.
        assert examine(gallery.path).figures["files_gone"] == 1
        with shut(pictures / "shut"):
            found = examine(gallery.path)
        (told,) = (each for each in found.findings if each.check == "folder")
        assert (found.figures["files_gone"], found.figures["files_unreadable"]) == (1, 1)
        assert [f"{pictures}/shut" in item and "denied" in item for item in told.items] == [True]
        for place in (open_to_all, *open_to_all.rglob("*")):
            os.chown(place, 65534 if os.geteuid() == 0 else -1, -1)
        with shut(pictures / "shut"):
            report = gallery.sync_folder(pictures)
        assert (report.removed, report.unchanged, len(report.skipped)) == (1, 4, 1)
        # What is really gone goes, once the folder may be looked into again.
        (pictures / "shut" / "deep" / "0002.png").unlink()
        assert gallery.sync_folder(pictures).removed == 1
        assert gallery.count == 3


def test_an_index_passes_over_a_folder_that_may_not_be_looked_into(open_to_all: Path) -> None:
    write_pictures(open_to_all / "cat", 2, seed=1)
    write_pictures(open_to_all / "shut", 2, seed=2)
    skipped: list[Skipped] = []
    with shut(open_to_all / "shut"):
        found = [key for key, _ in FolderTree(open_to_all).walk(skipped)]
    assert found == ["cat/0000.png", "cat/0001.png"]
    assert [each.reason for each in skipped] == ["It can't be opened: Permission denied."]
