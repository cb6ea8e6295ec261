"""The map over HTTP: 202 until it is there, stale while a new one is made, tiles, places."""

from __future__ import annotations

import gzip
import io
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from serving import (
    COUNT,
    LABELS,
    Server,
    as_base64,
    key_of,
    make_gallery,
    picture,
    problem,
    running,
    upload,
)
from toys import encode, noise
from vizinho.gallery import Gallery, NewImage
from vizinho.gallery.mapping import make_map
from vizinho.gallery.pack import pack
from vizinho.gallery.plane import LARGEST, read_map

PATIENCE = 600.0


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("map"))


@pytest.fixture(scope="module")
def server(gallery: Path) -> Iterator[Server]:
    with running(gallery) as server:
        yield server


@pytest.fixture(scope="module")
def shown(server: Server) -> dict[str, Any]:
    return wait_for(server)


def wait_for(server: Server, version: str = "") -> dict[str, Any]:
    """The map, when it is there (and of another version, if given); what 202 says on the way."""
    until = time.monotonic() + PATIENCE
    while True:
        answer = server.client.get("/v1/map")
        body: dict[str, Any] = answer.json()
        if answer.status_code == 200 and body["version"] != version and not body["stale"]:
            return body
        if answer.status_code == 202:
            assert set(body) == {"status", "done", "of"}
            assert body["status"] == "building"
            assert 0 <= body["done"] <= body["of"] == 100
            assert answer.headers["retry-after"] == "1"
        else:
            assert answer.status_code == 200
        assert time.monotonic() < until, "nobody made the map"
        time.sleep(0.2)


def test_before_there_is_a_map_it_is_being_made(tmp_path: Path) -> None:
    with running(make_gallery(tmp_path, 12)) as server:
        tile = server.client.get("/v1/map/tiles/0", params={"version": "a"})
        problem(tile, 404, "map_building")
        placed = server.client.post("/v1/map/place", json={"key": key_of(1)})
        assert placed.headers["retry-after"] == "1"
        problem(placed, 503, "map_building")
        assert server.client.get("/v1/map").status_code == 202
        assert sorted(wait_for(server)["keys"]) == sorted(key_of(n) for n in range(12))
        assert "map" in server.client.get("/v1/model").json()["features"]


def test_the_map_has_all_pictures_in_columns(shown: dict[str, Any], gallery: Path) -> None:
    assert sorted(shown["keys"]) == sorted(key_of(n) for n in range(COUNT))
    assert (shown["count"], shown["total"]) == (COUNT, COUNT)
    assert sorted(shown["labels"]) == sorted(LABELS)
    with Gallery.open(gallery) as opened:
        for key, label in zip(shown["keys"], shown["label"], strict=True):
            assert shown["labels"][label] == opened.get(key).label
    for column in (shown["x"], shown["y"]):
        assert len(column) == COUNT
        assert all(0 <= place <= LARGEST for place in column)
    assert len({*zip(shown["x"], shown["y"], strict=True)}) > COUNT / 2
    assert shown["tile"] == {"side": 32, "columns": 16, "count": 256, "tiles": 1}
    assert shown["method"].startswith("t-SNE")


def test_it_is_sent_small_and_once(server: Server, shown: dict[str, Any]) -> None:
    with httpx.Client(base_url=server.url) as client:
        plain = client.get("/v1/map", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        refused = client.get("/v1/map", headers={"Accept-Encoding": "gzip;q=0, br"})
        assert "content-encoding" not in refused.headers
        with client.stream("GET", "/v1/map", headers={"Accept-Encoding": "br, gzip"}) as packed:
            assert packed.headers["content-encoding"] == "gzip"
            raw = b"".join(packed.iter_raw())
        assert json.loads(gzip.decompress(raw)) == plain.json() == refused.json() == shown
        assert len(raw) < len(plain.content) / 2
        for answer in (plain, packed):
            assert answer.headers["vary"] == "Accept-Encoding"
            assert answer.headers["cache-control"] == "no-cache"
        tag = plain.headers["etag"]
        assert client.get("/v1/map", headers={"If-None-Match": tag}).status_code == 304
        assert client.get("/v1/map", headers={"If-None-Match": '"other"'}).status_code == 200


def test_tiles_hold_its_thumbnails(server: Server, shown: dict[str, Any]) -> None:
    params = {"version": shown["version"]}
    answer = server.client.get("/v1/map/tiles/0", params=params)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    # Whoever removes a picture can't reach into other people's caches.
    assert answer.headers["cache-control"] == "private, max-age=3600"
    atlas = Image.open(io.BytesIO(answer.content))
    assert atlas.size == (512, 512)
    for place in (0, 7, 39):
        number = next(n for n in range(COUNT) if key_of(n) == shown["keys"][place])
        corner = (place % 16 * 32 + 8, place // 16 * 32 + 8)
        assert atlas.getpixel(corner) == pytest.approx(noise(number).getpixel((8, 8)), abs=40)
    assert server.client.get("/v1/map/tiles/0", params=params).content == answer.content
    problem(server.client.get("/v1/map/tiles/1", params=params), 404, "tile_not_found")
    problem(server.client.get("/v1/map/tiles/0", params={"version": "x"}), 409, "map_changed")
    problem(server.client.get("/v1/map/tiles/-1", params=params), 422, "bad_field")
    problem(server.client.get("/v1/map/tiles/0"), 422, "bad_field")


def test_tiles_of_a_gallery_that_never_changes_may_be_kept_by_all(
    gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIZINHO_CACHE", str(tmp_path / "cache"))
    with Gallery.open(gallery) as opened:
        pack(opened, tmp_path / "packed.vizinho", lambda row: row.url)
    with running(tmp_path / "packed.vizinho") as server:
        params = {"version": wait_for(server)["version"]}
        kept = server.client.get("/v1/map/tiles/0", params=params).headers["cache-control"]
        assert kept == "public, max-age=604800, immutable"


def test_a_query_is_placed_where_its_like_are(server: Server, shown: dict[str, Any]) -> None:
    at = dict(zip(shown["keys"], zip(shown["x"], shown["y"], strict=True), strict=True))
    ways = [
        {"json": {"key": key_of(3)}},
        {"json": {"image_base64": as_base64(picture(3)), "k": 5}},
        upload(picture(3)),
        {"json": {"examples": [{"key": key_of(3)}]}},
    ]
    for way in ways:
        answer = server.client.post("/v1/map/place", **way)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert set(body) == {"version", "x", "y"}
        assert body["version"] == shown["version"]
        assert (body["x"], body["y"]) == pytest.approx(at[key_of(3)], abs=8)
    several = {"examples": [{"key": key_of(3)}, {"key": key_of(4), "weight": -0.5}]}
    other = server.client.post("/v1/map/place", json=several).json()
    assert (other["x"], other["y"]) != at[key_of(3)]
    assert 0 <= other["x"] <= LARGEST
    problem(server.client.post("/v1/map/place", json={"key": "none"}), 404, "key_not_found")
    problem(server.client.post("/v1/map/place", **upload(b"no")), 415, "not_an_image")
    problem(server.client.post("/v1/map/place", content=b"x"), 415, "unsupported_media_type")


def test_a_changed_gallery_keeps_its_map_until_a_new_one_is_there(tmp_path: Path) -> None:
    path = make_gallery(tmp_path, 30)
    with Gallery.open(path) as gallery:
        make_map(gallery)
    with running(path, writable=True) as server:
        first = server.client.get("/v1/map")
        assert (first.status_code, first.json()["stale"]) == (200, False)
        with Gallery.open(path) as gallery:
            gallery.add([NewImage(encode(noise(900)), key="new.png", label="novo")])
        time.sleep(1)  # so long a server may count on what it saw
        second = server.client.get("/v1/map")
        assert second.json() == {**first.json(), "stale": True}
        assert second.headers["etag"] != first.headers["etag"]
        third = wait_for(server, first.json()["version"])
        assert "new.png" in third["keys"]
        assert "novo" in third["labels"]
        assert third["count"] == 31


def test_two_servers_have_one_map(tmp_path: Path) -> None:
    path = make_gallery(tmp_path, 60)
    with running(path) as one, running(path) as other:
        assert one.client.get("/v1/map").status_code == 202
        assert other.client.get("/v1/map").status_code == 202
        first = wait_for(one)
        assert wait_for(other) == first
        # Whoever waited for the other has found it made.
        found = read_map(path / "map")
        assert found is not None
        assert found.version == first["version"]


def test_stopping_ends_the_making(tmp_path: Path) -> None:
    path = make_gallery(tmp_path, 60)
    with running(path) as server:
        assert server.client.get("/v1/map").status_code == 202
        assert server.stop(signal.SIGTERM) in (0, -signal.SIGTERM)
    with Gallery.open(path) as gallery:
        assert len(make_map(gallery)[0].keys) == 60


def test_an_empty_gallery_has_an_empty_map(tmp_path: Path) -> None:
    with running(make_gallery(tmp_path, 0)) as server:
        shown = wait_for(server)
        assert (shown["keys"], shown["x"], shown["labels"], shown["count"]) == ([], [], [], 0)
        params = {"version": shown["version"]}
        problem(server.client.get("/v1/map/tiles/0", params=params), 404, "tile_not_found")
        placed = server.client.post("/v1/map/place", **upload(picture(3)))
        assert placed.status_code == 200
