"""Another model for a gallery in Milvus: as in a folder, without a lock to rely on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from milvus_server import MilvusServer
from toys import TOY_SPEC, encode, make_toy_bundle, noise
from vizinho.bundle import read_bundle
from vizinho.engines import milvus_link
from vizinho.errors import GalleryError
from vizinho.gallery import Gallery, NewImage
from vizinho.gallery import migrate_remote as module
from vizinho.gallery.doctor import examine
from vizinho.gallery.migrate import migrate
from vizinho.gallery.remote import Remote

pytestmark = pytest.mark.milvus
NAME = "moved"


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that gives other vectors than the toy one, for the same pictures."""
    folder = tmp_path_factory.mktemp("models")
    return make_toy_bundle(folder, "other", spec=replace(TOY_SPEC, size=64))


@pytest.fixture
def place(milvus: MilvusServer) -> str:
    return f"{milvus.uri}/{NAME}"


@pytest.fixture
def gallery(
    place: str,
    toy_bundle: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Gallery]:
    """Twelve pictures of a folder and one that is nowhere else."""
    monkeypatch.setenv("VIZINHO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "_GRACE_SECONDS", 0.0)
    with Gallery.create(place, model=toy_bundle, overwrite=True) as made:
        made.sync_folder(pictures, labels=True)
        made.add([NewImage(encode(noise(5)), key="mine.png", metadata={"n": 1}, url="/there")])
        yield made


def collections(place: str) -> list[str]:
    """What this gallery has in the server."""
    link = milvus_link.MilvusLink(Remote(place).address)
    try:
        found = link.call(lambda client, left: client.list_collections(timeout=left))
        return sorted(name for name in found if name.startswith(NAME))
    finally:
        link.close()


def side(bundle: Path) -> str:
    return f"{NAME}_by_{bundle.name}_{read_bundle(bundle).fingerprint[:12]}"


def check(place: str, bundle: Path, expected: list[Any]) -> None:
    """The gallery has these rows, and each the vector that this model gives its picture."""
    with Gallery.open(place, model=bundle) as gallery:
        assert gallery.about.fingerprint == gallery.embedder.fingerprint
        assert gallery.walk() == expected
        keys = [row.key for row in expected]
        fresh = gallery.embedder.embed([gallery.image_bytes(key)[0] for key in keys])
        assert np.array_equal(gallery.vectors(keys), fresh)


def test_rows_stay_and_answers_are_the_new_models(
    gallery: Gallery, place: str, toy_bundle: Path, other: Path, pictures: Path, tmp_path: Path
) -> None:
    before = gallery.walk()
    assert collections(place) == [NAME, f"{NAME}_about", f"{NAME}_images"]
    done = migrate(place, other)
    assert (done.embedded, done.pictures, done.resumed, done.skipped) == (13, 13, 0, [])
    check(place, other, before)
    assert collections(place) == sorted([side(other), f"{NAME}_about", f"{NAME}_images"])
    with Gallery.create(tmp_path / "fresh.vizinho", model=other) as fresh:
        fresh.sync_folder(pictures, labels=True)
        fresh.add([NewImage(encode(noise(5)), key="mine.png")])
        for number in (3, 5, 99):
            expected = [(hit.key, hit.distance) for hit in fresh.search(noise(number), k=13)]
            with Gallery.open(place) as there:
                found = [(hit.key, hit.distance) for hit in there.search(noise(number), k=13)]
            assert found == expected
    # What was opened before reads and writes on, now under the new model.
    assert gallery.walk() == before
    first = gallery.search(pictures / "cat" / "0003.png", k=1)[0]
    assert (first.key, first.distance) == ("cat/0003.png", 0.0)
    assert gallery.add([NewImage(encode(noise(9)), key="late.png")]).added == 1
    assert gallery.sync_folder(pictures, labels=True).unchanged == 12
    assert gallery.about.model == "other"
    check(place, other, gallery.walk())
    shutil.rmtree(tmp_path / "cache")
    check(place, other, gallery.walk())
    assert not migrate(place, other).changed
    # And on to a third, and gone without a trace.
    migrate(place, toy_bundle)
    check(place, toy_bundle, gallery.walk())
    found = examine(place)
    assert [each.what for each in found.findings if each.check == "leftovers"] == [
        "Nothing was left lying about."
    ]
    Gallery.create(place, model=other, overwrite=True).close()
    assert collections(place) == [NAME, f"{NAME}_about"]
    with pytest.raises(GalleryError, match="replaced"):
        gallery.remove(["late.png"])
    migrate(place, toy_bundle)
    Gallery.open(place).discard_if_empty()
    assert collections(place) == []
