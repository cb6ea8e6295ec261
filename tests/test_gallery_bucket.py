"""A gallery that mirrors a bucket: only what changed is read, and pictures come from there."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from buckets import bucket, fill
from milvus_server import MilvusServer
from serving import running
from toys import encode, noise
from vizinho.cli import build_app
from vizinho.errors import GalleryError, KeyNotFound, SourceError
from vizinho.gallery import AddReport, Gallery
from vizinho.sources import BucketTree

KEYS = ["cat/a b+ü.png", "cat/tom%20.png", "dog/rex?.png", "dog/waldi#1.png"]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with bucket(monkeypatch) as made:
        yield made


@pytest.fixture
def gallery(tmp_path: Path, toy_bundle: Path) -> Iterator[Gallery]:
    with Gallery.create(tmp_path / "pets.vizinho", model=toy_bundle) as made:
        yield made


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the objects that were read."""
    keys: list[str] = []
    plain = BucketTree.read

    def noted(self: BucketTree, key: str) -> bytes:
        keys.append(key)
        return plain(self, key)

    monkeypatch.setattr(BucketTree, "read", noted)
    return keys


def counts(report: AddReport) -> dict[str, int]:
    names = ("added", "changed", "removed", "renamed", "duplicates", "unchanged")
    return {name: value for name in names if (value := getattr(report, name))}


def put(client: Any, key: str, data: bytes) -> None:
    client.put_object(Bucket="photos", Key=f"pets/{key}", Body=data)


def drop(client: Any, key: str) -> None:
    client.delete_object(Bucket="photos", Key=f"pets/{key}")


def test_a_prefix_becomes_a_gallery(client: Any, gallery: Gallery, read: list[str]) -> None:
    made = fill(client, [f"pets/{key}" for key in KEYS])
    assert counts(gallery.sync("s3://photos/pets/", labels=True)) == {"added": 4}
    assert gallery.mirrored == gallery.info["mirrored"] == "s3://photos/pets"
    assert gallery.folder is None
    for row in gallery.items():
        data = made[f"pets/{row.key}"]
        assert row.url == f"s3://photos/pets/{row.key}"
        assert row.label == row.key.partition("/")[0]
        assert gallery.image_bytes(row.key) == (data, "image/png")
        (match,) = gallery.search(data, k=1)
        assert (match.key, match.distance) == (row.key, 0)
    assert not any((gallery.path / "images").iterdir())
    read.clear()
    assert counts(gallery.sync("s3://photos/pets", labels=True)) == {"unchanged": 4}
    assert read == []


def test_only_what_changed_is_read(client: Any, gallery: Gallery, read: list[str]) -> None:
    made = fill(client, [f"pets/{key}" for key in KEYS])
    gallery.sync("s3://photos/pets")
    vector = gallery.vectors([KEYS[0]])
    time.sleep(1.1)  # a bucket's times are of whole seconds
    put(client, KEYS[1], encode(noise(900)))
    put(client, "new.png", encode(noise(901)))
    put(client, "broken.png", b"\x89PNG\r\n\x1a\nbroken")
    put(client, "cat/renamed.png", made[f"pets/{KEYS[0]}"])
    drop(client, KEYS[0])
    drop(client, KEYS[3])
    read.clear()
    report = gallery.sync("s3://photos/pets")
    expected = {"added": 1, "changed": 1, "removed": 1, "renamed": 1, "unchanged": 2}
    assert counts(report) == expected
    assert [each.name for each in report.skipped] == ["broken.png"]
    assert KEYS[2] not in read
    keys = [row.key for row in gallery.items()]
    assert keys == sorted(["cat/renamed.png", KEYS[1], KEYS[2], "new.png"])
    assert np.array_equal(gallery.vectors(["cat/renamed.png"]), vector)
    assert gallery.get("cat/renamed.png").url == "s3://photos/pets/cat/renamed.png"


def test_an_outage_takes_nothing_away(
    client: Any, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(client, [f"pets/{key}" for key in KEYS])
    gallery.sync("s3://photos/pets")
    rows = gallery.items()
    time.sleep(1.1)
    fill(client, [f"pets/{key}" for key in KEYS], seed=5)
    with monkeypatch.context() as patch:
        cut = SourceError("The network is cut.")

        def broken(self: BucketTree, key: str) -> bytes:
            raise cut

        patch.setattr(BucketTree, "read", broken)
        with pytest.raises(SourceError, match="cut"):
            gallery.sync("s3://photos/pets")
    assert gallery.items() == rows
    for key in KEYS:
        drop(client, key)
    with pytest.raises(SourceError, match="nothing at s3://photos/pets"):
        gallery.sync("s3://photos/pets")
    assert gallery.items() == rows
    with pytest.raises(KeyNotFound, match="not there any more"):
        gallery.image_bytes(KEYS[0])


def test_a_gallery_mirrors_one_thing(client: Any, gallery: Gallery, tmp_path: Path) -> None:
    fill(client, ["pets/a.png"])
    gallery.sync("s3://photos/pets")
    with pytest.raises(GalleryError, match=r"mirrors s3://photos/pets, not s3://photos"):
        gallery.sync("s3://photos")
    with pytest.raises(GalleryError, match="mirrors s3://photos/pets"):
        gallery.sync_folder(tmp_path)


def test_served_from_the_bucket(
    client: Any, tmp_path: Path, toy_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = fill(client, [f"pets/{key}" for key in KEYS])
    line = ["index", "s3://photos/pets", "-m", str(toy_bundle), "--json"]
    done = CliRunner().invoke(build_app(), line)
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert (answer["gallery"], answer["added"]) == ("pets.vizinho", 4)
    with running(tmp_path / "pets.vizinho") as server:
        browser = server.client
        data = made[f"pets/{KEYS[0]}"]
        found = browser.post("/v1/search", files={"image": data}, data={"k": "4"}).json()
        assert {each["key"] for each in found["results"]} == set(KEYS)
        for each in found["results"]:
            assert not each["url"].startswith("s3:")
            picture = browser.get(each["url"])
            assert picture.status_code == 200, (each, picture.text)
            assert picture.content == made[f"pets/{each['key']}"]
        drop(client, KEYS[0])
        first = next(each["url"] for each in found["results"] if each["key"] == KEYS[0])
        assert browser.get(first).status_code == 404


def test_errors_at_the_edge(
    client: Any, tmp_path: Path, toy_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = ["index", "s3://no-such-bucket-here", "-m", str(toy_bundle)]
    done = CliRunner().invoke(build_app(), line)
    assert done.exit_code == 1
    assert "There is no bucket 'no-such-bucket-here'" in done.stderr
    assert not list(tmp_path.glob("*.vizinho"))


@pytest.mark.milvus
def test_a_bucket_in_milvus(
    client: Any,
    milvus: MilvusServer,
    tmp_path: Path,
    toy_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = fill(client, [f"pets/{key}" for key in KEYS])
    place = f"{milvus.uri}/pets_of_a_bucket"
    line = ["index", "s3://photos/pets", "--engine", place, "-m", str(toy_bundle), "--json"]
    # The second run is from another machine, which knows only the address.
    for machine, expected in (("here", {"added": 4}), ("there", {"unchanged": 4, "added": 0})):
        monkeypatch.setenv("VIZINHO_CACHE", str(tmp_path / machine))
        done = CliRunner().invoke(build_app(), line)
        assert done.exit_code == 0, done.output
        answer = json.loads(done.stdout)
        assert {name: answer[name] for name in expected} == expected
    with Gallery.open(place) as gallery:
        assert gallery.mirrored == "s3://photos/pets"
        (match,) = gallery.search(made[f"pets/{KEYS[2]}"], k=1)
        assert (match.key, match.distance) == (KEYS[2], 0)
        assert gallery.image_bytes(KEYS[2])[0] == made[f"pets/{KEYS[2]}"]
        drop(client, KEYS[2])
        assert counts(gallery.sync("s3://photos/pets")) == {"removed": 1, "unchanged": 3}
