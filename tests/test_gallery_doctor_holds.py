"""What doctor --fix must leave to a person: what is whole, and what may come back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from vizinho.gallery import Gallery
from vizinho.gallery.doctor import examine


@pytest.fixture
def path(toy_gallery: Gallery) -> Path:
    """A closed gallery."""
    toy_gallery.close()
    return toy_gallery.path


def test_a_catalogue_of_a_later_vizinho(path: Path) -> None:
    catalogue = path / "catalogue.sqlite"
    with closing(sqlite3.connect(catalogue)) as db:
        db.execute("PRAGMA user_version = 7")
    there = sorted(path.iterdir())
    found = examine(path, fix=True)
    assert {each.check for each in found.findings if each.status == "wrong"} == {"catalogue"}
    assert found.mended == []
    assert sorted(path.iterdir()) == there
    with closing(sqlite3.connect(catalogue)) as db:
        db.execute("PRAGMA user_version = 2")
    assert examine(path).healthy


def test_a_catalogue_that_another_process_holds(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vizinho.engines.sqlite._PATIENCE_SECONDS", 0.05)
    with closing(sqlite3.connect(path / "catalogue.sqlite", isolation_level=None)) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("UPDATE about SET value = value WHERE name = 'count'")
        there = sorted(path.iterdir())
        found = examine(path, fix=True)
        assert {each.check for each in found.findings if each.status == "wrong"} == {"catalogue"}
        assert "held by another" in str(found.to_dict()) or "locked" in str(found.to_dict())
        assert found.mended == []
        assert sorted(path.iterdir()) == there
    assert examine(path).healthy


def test_most_files_gone_are_for_a_person_to_judge(path: Path, pictures: Path) -> None:
    """A folder of twelve, of which a disk with seven is not mounted."""
    (pictures / "cat").rename(pictures.with_name("elsewhere"))
    found = examine(path, fix=True)
    assert [each.check for each in found.findings if each.status == "wrong"][-1] == "folder"
    (pictures.with_name("elsewhere")).rename(pictures / "cat")
    assert examine(path).healthy
    with Gallery.open(path) as gallery:
        assert gallery.count == 12


@pytest.mark.parametrize("how", ["cut", "noise", "inside"])
def test_a_damaged_memory_of_the_folder(path: Path, pictures: Path, how: str) -> None:
    file = path / "folder.sqlite"
    whole = file.read_bytes()
    data = bytearray(whole)
    if how == "inside":
        data[4096:] = b"\xff" * (len(data) - 4096)
    file.write_bytes({"cut": whole[:5000], "noise": b"noise" * 1000, "inside": bytes(data)}[how])
    found = examine(path)
    assert [each.check for each in found.findings if each.status == "wrong"] == ["folder"]
    assert file.read_bytes() != whole
    mended = examine(path, fix=True).mended
    assert [each.partition(":")[0] for each in mended] == ["folder"]
    with Gallery.open(path) as gallery:
        assert gallery.count == 12
        assert gallery.sync_folder(pictures).unchanged == 12
    assert examine(path).healthy


def test_a_catalogue_and_the_memory_of_the_folder_damaged_at_once(
    path: Path, pictures: Path
) -> None:
    for name in ("catalogue.sqlite", "folder.sqlite"):
        file = path / name
        file.write_bytes(file.read_bytes()[:5000])
    mended = examine(path, fix=True).mended
    assert {each.partition(":")[0] for each in mended} >= {"catalogue", "folder"}
    with Gallery.open(path) as gallery:
        gallery.sync_folder(pictures)
        assert gallery.count == 12
