from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from toys import encode, noise, write_pictures
from vizinho.embedder import Embedder
from vizinho.errors import GalleryError, KeyNotFound
from vizinho.gallery import AddReport, Gallery, NewImage


def counts(report: AddReport) -> dict[str, int]:
    names = ("added", "changed", "removed", "renamed", "duplicates")
    return {name: value for name in names if (value := getattr(report, name))}


def check(gallery: Gallery, folder: Path) -> None:
    """Every row has the vector of its file, and every file's content has a row."""
    rows = gallery.items(limit=10_000)
    fresh = gallery.embedder.embed([folder / row.key for row in rows])
    np.testing.assert_allclose(gallery.vectors([row.key for row in rows]), fresh, atol=1e-6)
    contents = {path.read_bytes() for path in folder.rglob("*.png")}
    assert len(contents) == len(rows)


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each run of the network was for."""
    batches: list[int] = []
    embed = Embedder.embed_pixels

    def counted(self: Embedder, pixels: np.ndarray) -> np.ndarray:
        batches.append(len(pixels))
        return embed(self, pixels)

    monkeypatch.setattr(Embedder, "embed_pixels", counted)
    return batches


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were read."""
    from vizinho.sources import folder

    names: list[str] = []
    plain = folder.read_bytes

    def noted(path: Path) -> bytes:
        names.append(Path(path).name)
        return plain(path)

    monkeypatch.setattr(folder, "read_bytes", noted)
    return names


def test_keys_are_relative_paths_and_labels_folder_names(
    toy_gallery: Gallery, pictures: Path
) -> None:
    assert toy_gallery.count == 12
    row = toy_gallery.get("dog/0003.png")
    assert (row.label, row.url) == ("dog", "/images/dog/0003.png")
    (match,) = toy_gallery.search(pictures / "dog" / "0003.png", k=1)
    assert (match.key, match.distance) == ("dog/0003.png", 0)
    assert toy_gallery.folder == pictures
    assert toy_gallery.image_bytes("dog/0003.png") == (
        (pictures / "dog" / "0003.png").read_bytes(),
        "image/png",
    )
    assert not any((toy_gallery.path / "images").iterdir())


def test_nothing_changed_nothing_read(
    toy_gallery: Gallery, pictures: Path, read: list[str], embedded: list[int]
) -> None:
    report = toy_gallery.sync_folder(pictures, labels=True)
    assert (counts(report), report.unchanged) == ({}, 12)
    assert (read, embedded) == ([], [])


def test_only_what_changed_is_done(
    toy_gallery: Gallery, pictures: Path, read: list[str], embedded: list[int]
) -> None:
    (pictures / "new.png").write_bytes(encode(noise(500)))
    (pictures / "cat" / "0001.png").write_bytes(encode(noise(501)))
    (pictures / "cat" / "0002.png").unlink()
    report = toy_gallery.sync_folder(pictures)
    assert counts(report) == {"added": 1, "changed": 1, "removed": 1}
    assert report.unchanged == 10
    assert set(read) <= {"new.png", "0001.png"}
    assert sum(embedded) == 2
    assert toy_gallery.get("new.png").label is None
    assert toy_gallery.get("cat/0001.png").label == "cat"
    check(toy_gallery, pictures)


def test_a_renamed_file_keeps_its_vector(
    toy_gallery: Gallery, pictures: Path, embedded: list[int]
) -> None:
    (pictures / "cat" / "0000.png").rename(pictures / "dog" / "moved.png")
    report = toy_gallery.sync_folder(pictures, labels=True)
    assert (counts(report), report.unchanged, embedded) == ({"renamed": 1}, 12, [])
    row = toy_gallery.get("dog/moved.png")
    assert (row.label, row.url) == ("dog", "/images/dog/moved.png")
    with pytest.raises(KeyNotFound):
        toy_gallery.get("cat/0000.png")
    check(toy_gallery, pictures)


def test_two_files_that_swap_names(
    toy_gallery: Gallery, pictures: Path, embedded: list[int]
) -> None:
    first, second = pictures / "cat" / "0000.png", pictures / "cat" / "0001.png"
    first.rename(pictures / "aside")
    second.rename(first)
    (pictures / "aside").rename(second)
    os.utime(first, ns=(1, 1))
    os.utime(second, ns=(2, 2))
    report = toy_gallery.sync_folder(pictures)
    assert (counts(report), embedded) == ({"renamed": 2}, [])
    check(toy_gallery, pictures)
    assert counts(toy_gallery.sync_folder(pictures)) == {}


def test_a_touched_file_is_read_but_not_embedded(
    toy_gallery: Gallery, pictures: Path, read: list[str], embedded: list[int]
) -> None:
    os.utime(pictures / "cat" / "0000.png", ns=(1, 1))
    report = toy_gallery.sync_folder(pictures)
    assert (counts(report), report.unchanged) == ({}, 12)
    assert (set(read), embedded) == ({"0000.png"}, [])
    read.clear()
    toy_gallery.sync_folder(pictures)
    assert read == []


def test_a_copy_is_one_image_and_outlives_the_first(
    toy_gallery: Gallery, pictures: Path, read: list[str], embedded: list[int]
) -> None:
    shutil.copy(pictures / "cat" / "0000.png", pictures / "dog" / "copy.png")
    assert counts(toy_gallery.sync_folder(pictures)) == {"duplicates": 1}
    assert toy_gallery.count == 12
    read.clear()
    assert counts(toy_gallery.sync_folder(pictures)) == {"duplicates": 1}
    assert read == []
    (pictures / "cat" / "0000.png").unlink()
    assert counts(toy_gallery.sync_folder(pictures)) == {"renamed": 1}
    assert (read, embedded) == ([], [])
    check(toy_gallery, pictures)


def test_a_changed_file_whose_old_bytes_live_on_elsewhere(
    toy_gallery: Gallery, pictures: Path
) -> None:
    shutil.copy(pictures / "cat" / "0000.png", pictures / "dog" / "backup.png")
    (pictures / "cat" / "0000.png").write_bytes(encode(noise(600)))
    toy_gallery.sync_folder(pictures)
    assert toy_gallery.count == 13
    check(toy_gallery, pictures)


def test_a_file_that_became_the_double_of_another(toy_gallery: Gallery, pictures: Path) -> None:
    shutil.copy(pictures / "cat" / "0000.png", pictures / "cat" / "0001.png")
    report = toy_gallery.sync_folder(pictures)
    assert (report.duplicates, report.removed, toy_gallery.count) == (1, 1, 11)
    check(toy_gallery, pictures)


def test_broken_files_are_skipped_and_the_run_goes_on(toy_gallery: Gallery, pictures: Path) -> None:
    (pictures / "empty.jpg").touch()
    (pictures / "text.png").write_text("a letter")
    (pictures / "cut.png").write_bytes(encode(noise(1, (99, 99)))[:300])
    (pictures / "notes.txt").write_text("no picture and none claimed")
    (pictures / "cat" / "0003.png").write_text("overwritten by accident")
    (pictures / "z.jpg").write_bytes(encode(noise(700), "JPEG"))
    report = toy_gallery.sync_folder(pictures)
    reasons = {item.name: item.reason for item in report.skipped}
    assert set(reasons) == {"empty.jpg", "text.png", "cut.png", "cat/0003.png"}
    assert "0 bytes" in reasons["empty.jpg"]
    assert "holds text" in reasons["text.png"]
    assert counts(report) == {"added": 1, "removed": 1}
    (pictures / "cat" / "0003.png").write_bytes(encode(noise(701)))
    again = toy_gallery.sync_folder(pictures)
    assert {item.name for item in again.skipped} == {"empty.jpg", "text.png", "cut.png"}
    assert counts(again) == {"added": 1}


def test_links_that_leave_hidden_files_and_galleries_are_not_indexed(
    toy_gallery: Gallery, pictures: Path, tmp_path: Path, toy_bundle: Path
) -> None:
    outside = write_pictures(tmp_path / "outside", 1, seed=9)[0]
    (pictures / "out.png").symlink_to(outside)
    (pictures / "outdir").symlink_to(outside.parent)
    (pictures / "nothing.png").symlink_to("nowhere.png")
    (pictures / ".hidden.png").write_bytes(encode(noise(801)))
    write_pictures(pictures / ".cache", 2, seed=8)
    os.mkfifo(pictures / "pipe.png")
    with Gallery.create(pictures / "nested.vizinho", model=toy_bundle) as nested:
        nested.add([NewImage(outside)])
        report = toy_gallery.sync_folder(pictures)
        assert counts(report) == {}
        assert {item.name for item in report.skipped} == {"out.png", "nothing.png", "pipe.png"}
        assert counts(nested.sync_folder(pictures)) == {"added": 12}


def test_a_served_file_that_became_a_link_to_outside_is_refused(
    toy_gallery: Gallery, pictures: Path, tmp_path: Path
) -> None:
    outside = write_pictures(tmp_path / "outside", 1, seed=9)[0]
    (pictures / "cat" / "0000.png").unlink()
    (pictures / "cat" / "0000.png").symlink_to(outside)
    with pytest.raises(KeyNotFound):
        toy_gallery.image_bytes("cat/0000.png")
    (pictures / "cat" / "0001.png").unlink()
    with pytest.raises(KeyNotFound):
        toy_gallery.image_bytes("cat/0001.png")


def test_pictures_added_by_hand_stay(toy_gallery: Gallery, pictures: Path) -> None:
    toy_gallery.add([NewImage(encode(noise(900)), key="cat/by-hand.png")])
    report = toy_gallery.sync_folder(pictures)
    assert (counts(report), toy_gallery.count) == ({}, 13)
    assert toy_gallery.image_bytes("cat/by-hand.png")[0] == encode(noise(900))


def test_a_picture_removed_by_hand_comes_back_with_its_file(
    toy_gallery: Gallery, pictures: Path
) -> None:
    toy_gallery.remove(["cat/0000.png"])
    assert counts(toy_gallery.sync_folder(pictures)) == {"added": 1}


def test_labels_asked_for_later_are_set_without_embedding(
    tmp_path: Path, toy_bundle: Path, pictures: Path, embedded: list[int]
) -> None:
    with Gallery.create(tmp_path / "g.vizinho", model=toy_bundle) as gallery:
        gallery.sync_folder(pictures)
        embedded.clear()
        assert gallery.get("cat/0000.png").label is None
        report = gallery.sync_folder(pictures, labels=True)
        assert (counts(report), report.unchanged, embedded) == ({"changed": 12}, 0, [])
        assert gallery.get("cat/0000.png").label == "cat"
        assert counts(gallery.sync_folder(pictures)) == {}
        assert gallery.get("cat/0000.png").label == "cat"


def test_folders_that_can_not_be_mirrored(toy_gallery: Gallery, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with pytest.raises(GalleryError, match="does not exist"):
        toy_gallery.sync_folder(other)
    other.mkdir()
    with pytest.raises(GalleryError, match=r"mirrors .*photos"):
        toy_gallery.sync_folder(other)
    write_pictures(other, 1)
    with pytest.raises(GalleryError, match=r"mirrors .*photos"):
        toy_gallery.sync_folder(other)
    assert toy_gallery.count == 12


def test_an_emptied_folder_does_not_empty_the_gallery(toy_gallery: Gallery, pictures: Path) -> None:
    """A disk that is not mounted looks like a folder without pictures."""
    for path in pictures.rglob("*.png"):
        path.unlink()
    with pytest.raises(GalleryError, match="no picture in"):
        toy_gallery.sync_folder(pictures)
    assert toy_gallery.count == 12


def test_folder_and_gallery_moved_together(toy_gallery: Gallery, tmp_path: Path) -> None:
    toy_gallery.close()
    (tmp_path / "new").mkdir()
    for name in ("photos", "photos.vizinho"):
        (tmp_path / name).rename(tmp_path / "new" / name)
    with Gallery.open(tmp_path / "new" / "photos.vizinho") as gallery:
        assert gallery.folder == tmp_path / "new" / "photos"
        assert gallery.image_bytes("cat/0000.png")[1] == "image/png"
        assert counts(gallery.sync_folder(tmp_path / "new" / "photos")) == {}
