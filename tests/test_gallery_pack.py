"""Packing a gallery: the same answers from a read-only folder, the same bytes every time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vizinho.engines import Row
from vizinho.errors import (
    GalleryBusy,
    GalleryDamaged,
    GalleryError,
    GalleryExists,
    SourceError,
)
from vizinho.gallery import Gallery, NewImage
from vizinho.gallery import pack as packing
from vizinho.gallery.pack import PackInfo, pack, packed_bytes
from vizinho.gallery.view import GalleryView


def in_bucket(row: Row) -> str:
    return f"s3://bucket/images/{row.hash[:2]}/{row.hash}.png"


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def packed(toy_gallery: Gallery, tmp_path: Path) -> Path:
    """`toy_gallery`, packed."""
    folder = tmp_path / "packed.vizinho"
    pack(toy_gallery, folder, in_bucket)
    return folder


def test_a_packed_gallery_answers_like_its_source(
    toy_gallery: Gallery, packed: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with GalleryView.open(packed) as view:
        assert view.count == toy_gallery.count == 12
        for picture in pictures.rglob("*.png"):
            expected = toy_gallery.search(picture, k=12, filter={"label": "cat"})
            found = view.search(picture, k=12, filter={"label": "cat"})
            assert [(m.key, m.distance, m.label) for m in found] == [
                (m.key, m.distance, m.label) for m in expected
            ]
            (first,) = view.search(picture, k=1)
            assert first.distance == 0.0
            assert first.url == in_bucket(view.get(first.key))
        key = view.items(3, 1)[0].key
        assert [m.key for m in view.search_key(key, 3)] == [
            m.key for m in toy_gallery.search_key(key, 3)
        ]
        assert view.info["engine"] == "packed"
        assert view.info["fingerprint"] == toy_gallery.info["fingerprint"]
        assert view.folder is None
        # Its pictures are in the bucket, and there is none here.
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        with pytest.raises(SourceError, match="s3://bucket"):
            view.image_bytes(key)


def test_its_files_are_what_was_agreed(packed: Path, toy_gallery: Gallery) -> None:
    found = contents(packed)
    assert set(found) == {
        "gallery.json",
        "catalogue.sqlite",
        "vectors.npy",
        "model/model.onnx",
        "model/bundle.json",
    }
    vectors = np.load(packed / "vectors.npy")
    keys = [row.key for row in toy_gallery.items(0, 100)]
    assert (vectors == toy_gallery.vectors(keys)).all()
    assert packed_bytes(packed) == sum(map(len, found.values()))


def test_equal_content_gives_equal_bytes(
    toy_gallery: Gallery, packed: Path, tmp_path: Path
) -> None:
    def again(gallery: GalleryView, name: str) -> PackInfo:
        return pack(gallery, tmp_path / name, in_bucket)

    first = again(toy_gallery, "again")
    assert first.images == 12
    assert first.bytes == packed_bytes(packed)
    assert contents(tmp_path / "again") == contents(packed)
    # The same rows written in another order are the same content.
    with (
        GalleryView.open(packed) as view,
        Gallery.create(tmp_path / "other.vizinho", model=toy_gallery.path / "model") as other,
    ):
        rows = view.items(0, 100)[::-1]
        other._engine.add(rows, view.vectors([row.key for row in rows]))
        assert again(other, "third").digest == first.digest
        assert contents(tmp_path / "third") == contents(packed)
        # A packed gallery can be packed again, as with other URLs.
        assert again(view, "fourth").digest == first.digest
        assert contents(tmp_path / "fourth") == contents(packed)
        assert pack(view, tmp_path / "fifth", lambda row: row.key).digest != first.digest
        row = rows[5]
        other._engine.add([Row(row.key, row.url, row.hash, "bird")], other.vectors([row.key]))
        assert again(other, "sixth").digest != first.digest
        other._engine.add([row], other.vectors([row.key]) + np.float32(1e-7))
        assert again(other, "seventh").digest != first.digest
        other._engine.add([row], view.vectors([row.key]))
        assert again(other, "seventh").digest == first.digest


def test_pages_and_progress(
    toy_gallery: Gallery, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_PAGE", 5)
    heard: list[tuple[int, int | None]] = []
    pack(
        toy_gallery,
        tmp_path / "paged",
        in_bucket,
        progress=lambda done, total: heard.append((done, total)),
    )
    assert heard == [(5, 12), (10, 12), (12, 12)]
    assert contents(tmp_path / "paged") == contents(packed)


def test_what_may_be_replaced(toy_gallery: Gallery, packed: Path, tmp_path: Path) -> None:
    before = contents(packed)
    pack(toy_gallery, packed, lambda row: row.key)
    assert contents(packed) != before
    with pytest.raises(GalleryExists, match="gallery of its own"):
        pack(toy_gallery, toy_gallery.path, in_bucket)
    with GalleryView.open(packed) as view, pytest.raises(GalleryError, match="into itself"):
        pack(view, packed, in_bucket)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine")
    with pytest.raises(GalleryError, match="not a gallery"):
        pack(toy_gallery, tmp_path / "mine", in_bucket)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "mine"


def test_a_failure_leaves_nothing_half(toy_gallery: Gallery, tmp_path: Path) -> None:
    def fails(row: Row) -> str:
        raise GalleryError("no url")

    before = set(tmp_path.iterdir())
    with pytest.raises(GalleryError, match="no url"):
        pack(toy_gallery, tmp_path / "never", fails)
    assert set(tmp_path.iterdir()) == before


def test_a_kill_leaves_nothing_that_opens(toy_gallery: Gallery, tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from vizinho.gallery.pack import pack\n"
        "from vizinho.gallery.view import GalleryView\n"
        "pack(GalleryView.open(sys.argv[1]), sys.argv[2], lambda row: os._exit(9))\n"
    )
    target = tmp_path / "packed"
    done = subprocess.run([sys.executable, "-c", code, toy_gallery.path, target], check=False)
    assert done.returncode == 9
    assert not target.exists()
    pack(toy_gallery, target, in_bucket)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".packed")] == []


def test_nobody_writes_meanwhile(toy_gallery: Gallery, tmp_path: Path) -> None:
    key = toy_gallery.items(0, 1)[0].key

    def meddles(row: Row) -> str:
        with pytest.raises(GalleryBusy):
            toy_gallery.remove([key])
        return row.key

    pack(toy_gallery, tmp_path / "packed", meddles)
    assert toy_gallery.remove([key]) == 1
    with toy_gallery._writing(), pytest.raises(GalleryBusy):
        pack(toy_gallery, tmp_path / "packed", in_bucket)


def test_writing_to_it_is_refused(packed: Path, pictures: Path) -> None:
    before = contents(packed)
    with Gallery.open(packed) as gallery:
        for attempt in (
            lambda: gallery.remove(["cat/0000.png"]),
            lambda: gallery.sync_folder(pictures),
            lambda: gallery.add([NewImage(next(pictures.rglob("*.png")))]),
        ):
            with pytest.raises(GalleryError, match="is packed: it can be searched, not changed"):
                attempt()
        assert gallery.search(next(pictures.rglob("*.png")), k=1)[0].distance == 0.0
    assert contents(packed) == before


def test_a_read_only_folder_is_enough(packed: Path, pictures: Path) -> None:
    for path in (*packed.rglob("*"), packed):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with GalleryView.open(packed) as view:
        assert view.search(next(pictures.rglob("*.png")), k=1)[0].distance == 0.0
    for path in (packed, packed / "model"):
        path.chmod(0o755)


@pytest.mark.parametrize(
    "name", ["catalogue.sqlite", "vectors.npy", "model/model.onnx", "model/bundle.json"]
)
def test_a_file_cut_short_or_gone_is_damage(packed: Path, name: str) -> None:
    os.truncate(packed / name, (packed / name).stat().st_size - 1)
    with pytest.raises((GalleryDamaged, GalleryError)):
        GalleryView.open(packed)
    (packed / name).unlink()
    with pytest.raises(Exception, match=r"missing|incomplete|bytes|no model bundle"):
        GalleryView.open(packed)


def test_another_engine_is_named(packed: Path) -> None:
    about = json.loads((packed / "gallery.json").read_text())
    (packed / "gallery.json").write_text(json.dumps({**about, "engine": "magic"}))
    with pytest.raises(GalleryError, match="'magic', which this Vizinho does not have"):
        GalleryView.open(packed)


def test_an_older_vizinho_reads_the_description_of_what_is_not_packed(toy_gallery: Gallery) -> None:
    about = json.loads((toy_gallery.path / "gallery.json").read_text())
    assert "digest" not in about
    assert "files" not in about
