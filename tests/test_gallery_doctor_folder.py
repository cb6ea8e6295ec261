"""What `vizinho doctor` says of the indexed folder, and of the marks kept beside the catalogue."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from toys import encode, noise
from vizinho.gallery import Gallery
from vizinho.gallery.doctor import Finding, examine
from vizinho.gallery.feedback import FEEDBACK

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
    before = file.read_bytes()
    assert finding(path, "feedback", fix=True) == told
    assert file.read_bytes() == before
