"""Duplicates of a gallery: found, explained, drawn, and removed only when told."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from toy_scenes import CHANGES, scene
from toys import encode, noise
from vizinho.cli import build_app
from vizinho.errors import SourceError
from vizinho.gallery import Gallery, NewImage
from vizinho.gallery.dedupe import find_duplicates, remove_duplicates
from vizinho.gallery.doctor import examine
from vizinho.gallery.looks import LOOKS, Looks

COPIES = {"turned by 90 degrees", "mirrored", "half the size", "JPEG, quality 50"}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 12 scenes with copies of the first ones, each changed in another way."""
    folder = tmp_path_factory.mktemp("planted") / "photos"
    (folder / "copies").mkdir(parents=True)
    for i in range(12):
        scene(i, (240, 180)).save(folder / f"{i:02}.jpg", quality=95)
    for i, name in enumerate(sorted(COPIES)):
        with Image.open(folder / f"{i:02}.jpg") as image:
            CHANGES[name](image.convert("RGB")).save(folder / "copies" / f"{i:02}.png")
    shutil.copy(folder / "08.jpg", folder / "copies" / "same.jpg")
    with Image.open(folder / "09.jpg") as image:
        image.save(folder / "copies" / "pixels.png")
    for file in folder.rglob("*.*"):
        os.utime(file, (2_000_000_000, 2_000_000_000))
    os.utime(folder / "copies" / "same.jpg", (1_000_000_000, 1_000_000_000))
    return folder


@pytest.fixture
def gallery(tmp_path: Path, toy_bundle: Path, planted: Path) -> Iterator[Gallery]:
    folder = tmp_path / "photos"
    shutil.copytree(planted, folder)
    with Gallery.create(tmp_path / "photos.vizinho", model=toy_bundle) as made:
        made.sync_folder(folder)
        yield made


def names(groups: Any) -> set[tuple[str, ...]]:
    return {tuple(sorted(member.key for member in group.members)) for group in groups}


PAIRS = {(f"{i:02}.jpg", f"copies/{i:02}.png") for i in range(len(COPIES))}
SAME = {("08.jpg", "copies/same.jpg"), ("09.jpg", "copies/pixels.png")}


def test_groups_are_found_with_the_one_to_keep(gallery: Gallery) -> None:
    before = gallery.walk()
    found = find_duplicates(gallery)
    assert names(group for group in found.groups if group.kind == "identical") == SAME
    assert names(group for group in found.groups if group.kind == "near") == PAIRS
    assert (found.pictures, found.skipped) == (17, [])
    by_keys = {group.members[0].key: group for group in found.groups}
    same = by_keys["copies/same.jpg"] if "copies/same.jpg" in by_keys else by_keys["08.jpg"]
    assert (same.why, same.members[1].how) == ("the oldest file", "the same file")
    half = sorted(COPIES).index("half the size")
    kept = by_keys[f"{half:02}.jpg"]
    assert (kept.why, kept.members[1].how) == ("the largest", "50 % of the size")
    assert gallery.walk() == before


def test_only_what_is_new_is_looked_at(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    first = find_duplicates(gallery)
    looked: list[str] = []
    from vizinho.gallery import copies

    look = copies._look

    def counted(reader: Any, row: Any) -> Any:
        looked.append(row.key)
        return look(reader, row)

    monkeypatch.setattr(copies, "_look", counted)
    assert names(find_duplicates(gallery).groups) == names(first.groups)
    assert looked == []
    gallery.add([NewImage(encode(scene(5, (240, 180))), key="new.png")])
    gallery.remove(["11.jpg"])
    again = find_duplicates(gallery)
    assert looked == ["new.png"]
    assert ("05.jpg", "new.png") in names(again.groups)
    looks = Looks(gallery.path)
    assert sum(len(numbers) for numbers, _ in looks.blocks()) == 17
    looks.close()


@pytest.mark.parametrize("how", ["deleted", "damaged"])
def test_the_hashes_may_go_at_any_time(gallery: Gallery, how: str) -> None:
    first = names(find_duplicates(gallery).groups)
    file = gallery.path / LOOKS
    if how == "deleted":
        file.unlink()
    else:
        file.write_bytes(b"no database at all" * 500)
    assert names(find_duplicates(gallery).groups) == first


def test_rows_go_and_files_only_when_told(gallery: Gallery) -> None:
    folder = gallery.folder
    assert folder is not None
    files = sorted(folder.rglob("*.*"))
    groups = find_duplicates(gallery).groups
    rows, deleted = remove_duplicates(gallery, groups)
    assert (rows, deleted) == (5 + ("08.jpg" in {g.members[1].key for g in groups}), 0)
    assert sorted(folder.rglob("*.*")) == files
    gallery.sync_folder(folder)
    groups = find_duplicates(gallery).groups
    rows, deleted = remove_duplicates(gallery, groups, delete_files=True)
    assert deleted == 6
    gallery.sync_folder(folder)
    assert find_duplicates(gallery).groups == []
    assert gallery.count == 12
    assert len([file for file in folder.rglob("*.*") if file.is_file()]) == 12


def test_a_file_that_changed_is_not_deleted(gallery: Gallery) -> None:
    groups = find_duplicates(gallery).groups
    assert gallery.folder is not None
    spare = gallery.folder / groups[-1].spare[0].key
    spare.write_bytes(encode(scene(77)))
    remove_duplicates(gallery, groups, delete_files=True)
    assert spare.exists()


def test_a_picture_that_took_a_spare_ones_place_stays(gallery: Gallery) -> None:
    """Found, then exchanged and indexed again before anybody said yes."""
    groups = find_duplicates(gallery).groups
    assert gallery.folder is not None
    key = groups[-1].spare[0].key
    (gallery.folder / key).write_bytes(encode(scene(77)))
    gallery.sync_folder(gallery.folder)
    remove_duplicates(gallery, groups, delete_files=True)
    assert (gallery.folder / key).exists()
    assert gallery.get(key)


def test_spare_ones_stay_when_the_one_to_keep_has_gone(gallery: Gallery) -> None:
    groups = find_duplicates(gallery).groups
    assert gallery.folder is not None
    (gallery.folder / groups[-1].members[0].key).unlink()
    remove_duplicates(gallery, groups, delete_files=True)
    for member in groups[-1].spare:
        assert (gallery.folder / member.key).exists()


@pytest.mark.parametrize("link", ["00-link.jpg", "zz-link.jpg"])
def test_a_link_never_costs_the_file_it_leads_to(gallery: Gallery, link: str) -> None:
    folder = gallery.folder
    assert folder is not None
    (folder / link).symlink_to("11.jpg")
    data = (folder / "11.jpg").read_bytes()
    gallery.sync_folder(folder)
    groups = find_duplicates(gallery).groups
    assert ("11.jpg", link) in names(groups) or (link, "11.jpg") in names(groups)
    remove_duplicates(gallery, groups, delete_files=True)
    assert (folder / "11.jpg").read_bytes() == data


def test_similar_pictures_are_shown_and_never_removed(gallery: Gallery) -> None:
    found = find_duplicates(gallery, ["similar"], distance=10.0)
    assert {group.kind for group in found.groups} == {"similar"}
    assert sum(len(group.members) for group in found.groups) == 17
    assert remove_duplicates(gallery, found.groups) == (0, 0)
    assert gallery.count == 17
    measured = find_duplicates(gallery, ["similar"])
    assert measured.distance is not None
    assert 0 < measured.distance < 0.5


def test_a_picture_that_cannot_be_read_is_passed_over(gallery: Gallery) -> None:
    assert gallery.folder is not None
    (gallery.folder / "10.jpg").write_bytes(b"")
    found = find_duplicates(gallery)
    assert [each.name for each in found.skipped] == ["10.jpg"]
    assert names(found.groups) == PAIRS | SAME


def test_the_command_line(gallery: Gallery, tmp_path: Path) -> None:
    runner, app, path = CliRunner(), build_app(), str(gallery.path)
    sheets = tmp_path / "sheets"
    done = runner.invoke(app, ["dedupe", "-g", path, "--sheets", str(sheets)])
    assert done.exit_code == 0, done.output
    assert "2 identical, 4 near-identical groups among 17 pictures" in done.output
    page = (sheets / "index.html").read_text()
    for number in range(1, 7):
        assert f'src="group-{number:04}.png"' in page
        with Image.open(sheets / f"group-{number:04}.png") as sheet:
            assert sheet.width > 300
            assert len(sheet.convert("RGB").resize((40, 40)).getcolors(2000) or ()) > 20
    refused = runner.invoke(app, ["dedupe", "-g", path, "--remove", "--json"])
    assert refused.exit_code == 1
    assert gallery.count == 17
    assert runner.invoke(app, ["dedupe", "-g", path, "--delete-files"]).exit_code == 2
    only = ["dedupe", "-g", path, "--only", "identical", "--remove", "--yes", "--json"]
    done = runner.invoke(app, only)
    answer = json.loads(done.stdout)
    assert [group["kind"] for group in answer["groups"]] == ["identical"] * 2
    assert "Kept is" in answer["rule"]
    assert answer["files_deleted"] == 0
    assert gallery.count == 17 - answer["removed"]


def test_a_bucket_that_is_away_is_asked_once(
    toy_gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer would take as long as the network's patience."""
    asked = []

    def away(url: str) -> bytes:
        asked.append(url)
        raise SourceError("s3://photos can't be reached.")

    pictures = [
        NewImage(
            encode(noise(700 + i)), key=f"far/{i}.png", url=f"s3://photos/{i}.png", store=False
        )
        for i in range(12)
    ]
    toy_gallery.add(pictures)
    monkeypatch.setattr("vizinho.sources.read_url", away)
    found = find_duplicates(toy_gallery)
    assert len(found.skipped) == 12
    assert 1 <= len(asked) <= 2  # one for each of the threads
    toy_gallery.close()
    asked.clear()
    examine(toy_gallery.path)
    assert len(asked) == 1
