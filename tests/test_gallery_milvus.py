"""A gallery in Milvus, opened by its address: the same gallery to whoever uses it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from milvus_server import MilvusServer
from toys import write_pictures
from vizinho.errors import FingerprintMismatch, GalleryExists, GalleryNotFound, KeyNotFound
from vizinho.gallery import Gallery, NewImage
from vizinho.place import as_place

pytestmark = pytest.mark.milvus


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIZINHO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def place(milvus: MilvusServer) -> str:
    return f"{milvus.uri}/cars"


@pytest.fixture
def gallery(place: str, cache: Path, toy_bundle: Path) -> Iterator[Gallery]:
    """An empty gallery, made anew: making one takes seconds, so it is emptied where it can be."""
    with Gallery.create(place, model=toy_bundle, overwrite=True) as made:
        yield made


def test_a_gallery_s_life(
    gallery: Gallery, place: str, cache: Path, pictures: Path, tmp_path: Path
) -> None:
    report = gallery.sync_folder(pictures, labels=True)
    assert (report.added, gallery.count) == (12, 12)
    assert gallery.sync_folder(pictures, labels=True).unchanged == 12
    query = pictures / "cat" / "0003.png"
    first, second, *_ = gallery.search(query, k=3, filter={"label": "cat"})
    assert (first.key, first.distance, second.label) == ("cat/0003.png", 0.0, "cat")
    assert gallery.image_bytes("cat/0003.png") == (query.read_bytes(), "image/png")

    # Another machine knows the address, and nothing else.
    shutil.rmtree(cache)
    with Gallery.open(place) as there:
        assert (there.count, there.model_info.name) == (12, "toy")
        assert there.search(query, k=1)[0].key == "cat/0003.png"
        assert there.mirrored == str(pictures)
        assert there.image_bytes("cat/0003.png")[0] == query.read_bytes()
        assert there.info["name"] == "cars"
        write_pictures(tmp_path / "new", 2, seed=9)
        new = sorted((tmp_path / "new").iterdir())
        added = there.add([NewImage(path, label="new") for path in new])
        assert added.added == 2
    new_key = new[0].name
    # Seen by the gallery that was open all the while; its bytes are kept where both find them.
    assert gallery.search(new[0], k=1)[0].key == new_key
    expected = new[0].read_bytes()
    shutil.rmtree(tmp_path / "new")
    assert gallery.image_bytes(new_key) == (expected, "image/png")
    assert gallery.engine.labels() == {"cat": 7, "dog": 5, "new": 2}
    assert gallery.remove([new_key, "nobody"]) == 1
    with pytest.raises(KeyNotFound):
        gallery.image_bytes(new_key)
