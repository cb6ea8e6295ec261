"""A gallery in Milvus, opened by its address: the same gallery to whoever uses it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from buckets import bucket, fill
from milvus_server import MilvusServer
from toys import encode, make_toy_bundle, noise, write_pictures
from vizinho.aws.function import Function
from vizinho.bundle import update_metrics
from vizinho.errors import (
    FingerprintMismatch,
    GalleryDamaged,
    GalleryExists,
    GalleryNotFound,
    KeyNotFound,
)
from vizinho.gallery import Gallery, NewImage
from vizinho.gallery.pack import pack
from vizinho.gallery.remote import Remote
from vizinho.images import load_image
from vizinho.preprocess import PreprocessSpec
from vizinho.settings import FunctionSettings

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


def test_what_a_gallery_is_guarded_against(
    gallery: Gallery, place: str, cache: Path, toy_bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(GalleryExists, match="cars"):
        Gallery.create(place, model=toy_bundle)
    with pytest.raises(GalleryNotFound, match="nobody"):
        Gallery.open(place.replace("cars", "nobody"))
    assert (Gallery.exists(place), Gallery.exists(place + "_2")) == (True, False)
    other = make_toy_bundle(tmp_path, "other", spec=PreprocessSpec(size=16))
    with pytest.raises(FingerprintMismatch, match="other"):
        Gallery.open(place, model=other)

    # A spoilt copy of the model is fetched anew; one that is spoilt in Milvus is told.
    network = gallery.model_folder / "model.onnx"
    whole = network.read_bytes()
    network.write_bytes(whole[:-1])
    Gallery.open(place).close()
    assert network.read_bytes() == whole
    remote = Remote(place)
    remote.about_parts.put("model/model.onnx", b"something else")
    Gallery.open(place).close()
    network.unlink()
    with pytest.raises(GalleryDamaged, match=r"model\.onnx"):
        Gallery.open(place)
    remote.about_parts.put("model/model.onnx", whole)
    remote.close()
    Gallery.open(place).close()

    # What is learned about the model on one machine is known on the next.
    update_metrics(gallery.model_folder, {"told": 7})
    gallery.save_model()
    shutil.rmtree(cache)
    with Gallery.open(place) as elsewhere:
        assert elsewhere.model_info.metrics == {"told": 7}
        assert elsewhere.about == gallery.about


def test_a_gallery_in_milvus_is_packed_like_another(
    gallery: Gallery, pictures: Path, tmp_path: Path
) -> None:
    gallery.sync_folder(pictures)
    assert pack(gallery, tmp_path / "packed", lambda row: f"s3://x/{row.key}").images == 12
    with Gallery.open(tmp_path / "packed") as packed:
        assert packed.items() == [replace(row, url=f"s3://x/{row.key}") for row in gallery.items()]


def test_a_large_picture_that_is_added_is_kept_small(gallery: Gallery) -> None:
    photo = encode(noise(3, (1600, 1200)), "JPEG")
    gallery.add([NewImage(photo, key="large.jpg")])
    data, kind = gallery.image_bytes("large.jpg")
    assert (len(data) < 48_000 < len(photo), kind) == (True, "image/jpeg")
    assert load_image(data).size == (384, 288)
    assert gallery.get("large.jpg").hash
    assert gallery.add([NewImage(photo, key="large.jpg")]).unchanged == 1
    gallery.remove(["large.jpg"])
    assert not list(gallery._blobs.keys())


def test_a_gallery_without_pictures_that_could_be_added_is_no_litter(
    milvus: MilvusServer, cache: Path, toy_bundle: Path
) -> None:
    place = f"{milvus.uri}/litter"
    Gallery.create(place, model=toy_bundle).discard_if_empty()
    assert not Gallery.exists(place)


def test_the_function_on_aws_opens_an_address(gallery: Gallery, place: str) -> None:
    picture = encode(noise(4))
    gallery.add([NewImage(picture, key="one.png", label="noise")])
    function = Function(lambda: FunctionSettings(gallery=place))
    function.start()
    event = {
        "version": "2.0",
        "rawPath": "/v1/search",
        "headers": {"content-type": "application/json"},
        "body": json.dumps({"key": "one.png", "k": 1}),
        "requestContext": {"http": {"method": "POST"}},
    }
    answer = function.handle(event, "1")
    assert answer["statusCode"] == 200, answer
    assert json.loads(answer["body"])["results"][0]["distance"] == 0.0


def test_a_bucket_s_pictures_stay_there_and_are_seen_from_anywhere(
    gallery: Gallery, place: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bucket(monkeypatch) as client:
        made = fill(client, [f"cats/{number}.png" for number in range(6)])
        assert gallery.sync("s3://photos/cats").added == 6
        assert gallery.sync("s3://photos/cats").unchanged == 6
        shutil.rmtree(cache)
        with Gallery.open(place) as elsewhere:
            assert elsewhere.mirrored == "s3://photos/cats"
            for key, data in made.items():
                name = key.removeprefix("cats/")
                assert elsewhere.search(data, k=1)[0].key == name
                assert elsewhere.image_bytes(name) == (data, "image/png")
        assert not list(gallery._blobs.keys())
