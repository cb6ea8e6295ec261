"""The map of a gallery: made, kept, found stale, made by children that may be killed."""

from __future__ import annotations

import io
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from PIL import Image

from milvus_server import MilvusServer
from toy_map import GROUPS, grouped, grouped_gallery, rows
from toys import encode, plain
from vizinho.errors import KeyNotFound, SourceError
from vizinho.evaluate import precision_at_1
from vizinho.gallery import Gallery, GalleryView, NewImage, mapping
from vizinho.gallery.atlas import COUNT, SIDE, tile, tiles_of
from vizinho.gallery.mapping import PARTS, folder_of, make_map, start_child, state_of
from vizinho.gallery.plane import LARGEST, along_curve, read_map

PATIENCE = 600.0


@pytest.fixture
def plain_plane(monkeypatch: pytest.MonkeyPatch) -> None:
    """Principal components, which take no time, where it matters little what makes the plane."""
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)


@pytest.fixture
def gallery(tmp_path: Path, toy_bundle: Path) -> Gallery:
    return grouped_gallery(tmp_path / "g.vizinho", toy_bundle, 300)


def places(keys: list[str], shown: object) -> np.ndarray:
    at = {key: i for i, key in enumerate(shown.keys)}  # type: ignore[attr-defined]
    order = [at[key] for key in keys]
    return np.stack([shown.x[order], shown.y[order]], axis=1).astype(int)  # type: ignore[attr-defined]


def test_every_picture_is_on_the_map_among_its_kin(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "choose_points", few_landmarks)
    told: list[tuple[int, int | None]] = []
    shown, made = make_map(gallery, progress=lambda done, of: told.append((done, of)))
    assert made
    assert sorted(shown.keys) == [row.key for row in rows(300)]
    assert [shown.labels[i] for i in shown.label] == [f"group {int(k[1:]) % 5}" for k in shown.keys]
    assert len(shown.landmarks.vectors) == 150
    at = np.stack([shown.x, shown.y], axis=1)
    assert precision_at_1(at.astype(float), shown.label.astype(np.int64)) > 0.98
    assert {int(at.min()), int(at.max())} == {0, LARGEST}
    assert told == sorted(told)
    assert told[-1] == (PARTS, PARTS)
    # Where a query with a picture's own embedding is put is where the picture is.
    assert np.abs(shown.place(gallery.vectors(shown.keys)) - at).max() <= 8


def few_landmarks(labels: np.ndarray, limit: int = 150) -> np.ndarray:
    from vizinho.projection.points import choose_points

    return choose_points(labels, limit)


def test_the_same_gallery_has_the_same_map_until_it_changes(gallery: Gallery) -> None:
    first, made = make_map(gallery)
    assert made
    again, made = make_map(gallery)
    assert (made, again.version) == (False, first.version)
    anew, made = make_map(gallery, again=True)
    assert (made, anew.version) == (True, first.version)
    states = [state_of(gallery)]
    assert states == [first.state]
    gallery.engine.remove(["k000003"])
    states.append(state_of(gallery))
    gallery.engine.add(rows(1, start=3), grouped(4)[3:])
    states.append(state_of(gallery))
    gallery.set_labels(iter([("k000003", "other")]))
    states.append(state_of(gallery))
    assert len(set(states)) == 4
    with GalleryView.open(gallery.path) as other:
        assert state_of(other) == states[-1]
    changed, made = make_map(gallery)
    assert (made, changed.state) == (True, states[-1])
    assert "other" in changed.labels


@pytest.mark.usefixtures("plain_plane")
def test_a_damaged_map_is_as_none(gallery: Gallery) -> None:
    make_map(gallery)
    file = gallery.path / "map" / "map.npz"
    whole = file.read_bytes()
    for data in (b"", whole[: len(whole) // 2], b"x" * 100, whole.replace(b'"format": 1', b"")):
        file.write_bytes(data)
        assert read_map(file.parent) is None
    assert make_map(gallery)[1]
    assert file.read_bytes() == whole


@pytest.mark.parametrize("count", [0, 1, 2, 11])
def test_small_galleries_have_a_map_too(tmp_path: Path, toy_bundle: Path, count: int) -> None:
    with grouped_gallery(tmp_path / "g.vizinho", toy_bundle, count) as gallery:
        shown, _ = make_map(gallery)
        assert (len(shown.keys), shown.total) == (count, count)
        assert tiles_of(shown) == (count > 0)
        if count == 1:
            assert (shown.x.tolist(), shown.y.tolist()) == ([32768], [32768])
        place = shown.place(np.ones((1, 12), np.float32))
        assert ((place >= 0) & (place <= LARGEST)).all()


@pytest.mark.usefixtures("plain_plane")
def test_of_a_large_gallery_a_part_is_shown_the_same_of_each_label(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "MOST", 100)
    shown, _ = make_map(gallery)
    assert (len(shown.keys), shown.total) == (100, 300)
    assert np.bincount(shown.label).tolist() == [100 // GROUPS] * GROUPS


@pytest.mark.usefixtures("plain_plane")
def test_what_goes_meanwhile_is_left_out(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = gallery.engine.vectors, []

    def vectors(keys: list[str]) -> np.ndarray:
        if not asked:
            asked.append(gallery.engine.remove(["k000005", "k000006"]))
        return real(keys)

    monkeypatch.setattr(gallery.engine, "vectors", vectors)
    shown, _ = make_map(gallery)
    assert len(shown.keys) == 298
    assert not {"k000005", "k000006"} & set(shown.keys)
    assert [shown.labels[i] for i in shown.label] == [f"group {int(k[1:]) % 5}" for k in shown.keys]
    with pytest.raises(KeyNotFound):
        gallery.get("k000005")


def test_neighbours_on_the_curve_are_neighbours_on_the_plane() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, LARGEST + 1, (2, 20_000))
    order = along_curve(x, y)
    assert sorted(order) == list(range(20_000))
    tiles = order[:19_968].reshape(-1, 256)
    width = np.median([np.ptp(x[each]) for each in tiles])
    assert width < LARGEST / 4  # a 78th of all, and not strips through the whole
    assert along_curve(np.array([1, 0, 1, 0]), np.array([1, 1, 0, 0])).tolist() == [3, 2, 1, 0]


@pytest.mark.usefixtures("plain_plane")
def test_tiles_hold_the_pictures_in_the_maps_order(tmp_path: Path, toy_bundle: Path) -> None:
    colours = {f"{n:03d}.png": (n % 256, 90 + 60 * (n // 256), 255 - n % 256) for n in range(300)}
    with Gallery.create(tmp_path / "g.vizinho", model=toy_bundle) as gallery:
        items = [NewImage(encode(plain(c, (70, 50))), key=k) for k, c in colours.items()]
        items[7] = NewImage(items[7].source, key="007.png", store=False, url="http://elsewhere/7")
        gallery.add(items)
        shown, _ = make_map(gallery)
        folder = folder_of(gallery.path, gallery.about)
        assert tiles_of(shown) == 2
        seen = {}
        for number in range(2):
            data, lasting = tile(gallery, shown, number, folder)
            assert lasting
            atlas = Image.open(io.BytesIO(data))
            assert atlas.size == (512, 512)
            for place, key in enumerate(shown.keys[number * COUNT : (number + 1) * COUNT]):
                at = (place % 16 * SIDE + 16, place // 16 * SIDE + 16)
                seen[key] = atlas.getpixel(at)
            assert (folder / "tiles" / shown.version / f"{number}.jpg").read_bytes() == data
        with pytest.raises(IndexError):
            tile(gallery, shown, 2, folder)
        assert seen.pop("007.png") == pytest.approx((128, 128, 128), abs=4)
        for key, colour in seen.items():
            assert colour == pytest.approx(colours[key], abs=8), key
        # Tiles of a map that was replaced go with it.
        gallery.remove(["008.png"])
        make_map(gallery)
        assert list((folder / "tiles").iterdir()) == []


@pytest.mark.usefixtures("plain_plane")
def test_what_is_out_of_reach_is_asked_once_and_is_not_grey_for_good(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, _ = make_map(gallery)
    asked = []

    def away(key: str) -> NoReturn:
        asked.append(key)
        raise SourceError("The bucket can't be reached.")

    folder = folder_of(gallery.path, gallery.about)
    with monkeypatch.context() as patched:
        patched.setattr(gallery, "image_bytes", away)
        _, lasting = tile(gallery, shown, 0, folder)
    assert (len(asked), lasting) == (1, False)
    assert not (folder / "tiles").exists()
    assert tile(gallery, shown, 0, folder)[1]
    assert (folder / "tiles" / shown.version / "0.jpg").is_file()


@pytest.mark.usefixtures("plain_plane")
def test_where_nothing_can_be_written_the_map_is_in_the_cache(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VIZINHO_CACHE", str(tmp_path / "cache"))
    before = sorted(gallery.path.rglob("*"))
    # Root, as which tests may run, can write anywhere.
    monkeypatch.setattr(os, "access", lambda *_: False)
    shown, made = make_map(gallery)
    folder = folder_of(gallery.path, gallery.about)
    assert made
    assert tmp_path / "cache" in folder.parents
    assert sorted(gallery.path.rglob("*")) == before
    found = read_map(folder)
    assert found is not None
    assert found.version == shown.version


@pytest.mark.usefixtures("plain_plane")
def test_of_two_that_make_it_one_does_and_the_other_finds_it(gallery: Gallery) -> None:
    made: list[tuple[str, bool]] = []

    def make() -> None:
        with GalleryView.open(gallery.path) as view:
            shown, new = make_map(view)
            made.append((shown.version, new))

    threads = [threading.Thread(target=make) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(new for _, new in made) == [False, False, True]
    assert len({version for version, _ in made}) == 1


def test_a_child_that_is_killed_leaves_the_map_that_there_was(gallery: Gallery) -> None:
    first, _ = make_map(gallery)
    gallery.engine.add(rows(50, start=300), grouped(350)[300:])
    file = gallery.path / "map" / "map.npz"
    with tempfile.TemporaryFile() as errors:
        for wait in (0.05, 0.6, 1.2):
            child = start_child(str(gallery.path), errors)
            time.sleep(wait)
            child.kill()
            child.wait()
            found = read_map(file.parent)
            assert found is not None
            assert found.version == first.version or found.state == state_of(gallery)
        child = start_child(str(gallery.path), errors)
        assert child.wait(PATIENCE) == 0
        errors.seek(0)
        assert errors.read() == b""
    found = read_map(file.parent)
    assert found is not None
    assert (found.state, len(found.keys)) == (state_of(gallery), 350)
    assert [each.name for each in file.parent.iterdir() if each.name.startswith(".")] == []


def test_a_child_says_why_there_is_no_map(tmp_path: Path) -> None:
    with tempfile.TemporaryFile() as errors:
        assert start_child(str(tmp_path / "none.vizinho"), errors).wait(PATIENCE) == 1
        errors.seek(0)
        assert b"does not exist" in errors.read()


@pytest.mark.milvus
def test_a_gallery_in_milvus_has_its_map_in_this_machines_cache(
    milvus: MilvusServer, toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIZINHO_CACHE", str(tmp_path / "cache"))
    place = f"{milvus.uri}/mapped"
    with Gallery.create(place, model=toy_bundle, overwrite=True) as gallery:
        items = [NewImage(encode(plain((9 * n, 0, 0))), key=f"{n:02d}.png") for n in range(24)]
        gallery.add(items)
        with tempfile.TemporaryFile() as errors:
            assert start_child(place, errors).wait(PATIENCE) == 0, errors.seek(0) or errors.read()
        folder = folder_of(gallery.path, gallery.about)
        assert tmp_path / "cache" in folder.parents
        shown = read_map(folder)
        assert shown is not None
        assert shown.state == state_of(gallery)
        assert sorted(shown.keys) == [f"{n:02d}.png" for n in range(24)]
        assert tile(gallery, shown, 0, folder)
