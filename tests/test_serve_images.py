"""The gallery's pictures over HTTP: listing, bytes, adding, removing; in process."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from serving import COUNT, LABELS, LIMIT, as_base64, key_of, make_gallery, picture, problem, upload
from toys import encode, make_toy_bundle, noise
from vizinho.gallery import Gallery, NewImage
from vizinho.images import content_hash
from vizinho.serve.app import create_app
from vizinho.serve.options import ServeOptions


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="module")
def client(gallery: Path) -> Iterator[TestClient]:
    app = create_app(gallery, ServeOptions(max_upload_bytes=LIMIT))
    with TestClient(app, base_url="http://pictures.example") as client:
        yield client


def test_listing_walks_the_whole_gallery(client: TestClient) -> None:
    keys: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = client.get("/v1/images", params={"offset": offset, "limit": 7}).json()
        assert page["total"] == COUNT
        keys += [each["key"] for each in page["images"]]
        offset = page["next"]
    assert sorted(keys) == sorted(key_of(number) for number in range(COUNT))
    labelled = client.get("/v1/images", params={"label": LABELS[1]}).json()
    assert {each["label"] for each in labelled["images"]} == {LABELS[1]}
    assert (len(labelled["images"]), labelled["total"]) == (COUNT // 4, None)
    problem(client.get("/v1/images", params={"limit": 0}), 422, "bad_field")
    problem(client.get("/v1/images", params={"offset": 10**30}), 422, "bad_field")


def test_one_record(client: TestClient) -> None:
    record = client.get("/v1/images/férias 1/00010.png").json()
    assert record["key"] == key_of(10)
    assert record["metadata"] == {"number": 10}
    assert client.get(record["url"]).content == picture(10)
    problem(client.get("/v1/images/nobody"), 404, "key_not_found")


def test_picture_bytes_and_their_headers(client: TestClient) -> None:
    response = client.get("/images/test/00001.png")
    assert response.content == picture(1)
    assert response.headers["content-type"] == "image/png"
    assert response.headers["etag"] == f'"{content_hash(picture(1))}"'
    assert response.headers["cache-control"].startswith("public, max-age=")
    assert response.headers["x-content-type-options"] == "nosniff"
    head = client.head("/images/test/00001.png")
    assert head.content == b""
    assert head.headers["content-length"] == str(len(picture(1)))
    assert head.headers["etag"] == response.headers["etag"]


def test_unchanged_pictures_answer_304(client: TestClient) -> None:
    tag = client.get("/images/test/00001.png").headers["etag"]
    for asked in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = client.get("/images/test/00001.png", headers={"If-None-Match": asked})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    other = client.get("/images/test/00001.png", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


def test_large_pictures_are_shrunk_on_request(tmp_path: Path) -> None:
    photo = encode(noise(1, (900, 600)), "JPEG")
    with Gallery.create(tmp_path / "g.vizinho", model=make_toy_bundle(tmp_path)) as made:
        made.add([NewImage(photo, key="photo.jpg"), NewImage(picture(1), key="small.png")])
    with TestClient(create_app(tmp_path / "g.vizinho")) as client:
        small = client.get("/images/photo.jpg", params={"size": 300})
        assert Image.open(io.BytesIO(small.content)).size == (300, 200)
        assert small.headers["content-type"] == "image/jpeg"
        whole = client.get("/images/photo.jpg")
        assert whole.content == photo
        assert whole.headers["etag"] != small.headers["etag"]
        asked = {"If-None-Match": small.headers["etag"]}
        assert client.get("/images/photo.jpg?size=300", headers=asked).status_code == 304
        assert client.get("/images/photo.jpg", headers=asked).status_code == 200
        assert client.get("/images/small.png?size=300").content == picture(1)
        problem(client.get("/images/photo.jpg?size=9999999"), 422, "bad_field")


def test_an_empty_gallery_answers_nothing(tmp_path: Path) -> None:
    Gallery.create(tmp_path / "g.vizinho", model=make_toy_bundle(tmp_path)).close()
    with TestClient(create_app(tmp_path / "g.vizinho")) as client:
        assert client.post("/", content=as_base64(picture(1))).json() == {"results": {}}
        assert client.post("/v1/search", **upload(picture(1))).json()["results"] == []
        assert client.get("/v1/images").json()["images"] == []
        assert client.get("/v1/model").json()["images"] == 0


def test_writing_is_off_by_default(client: TestClient) -> None:
    refused = problem(client.post("/v1/images", **upload(picture(1))), 403, "read_only")
    assert "--writable" in refused["hint"]
    problem(client.delete(f"/v1/images/{key_of(1)}"), 403, "read_only")


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[TestClient]:
    app = create_app(make_gallery(tmp_path, 12), ServeOptions(writable=True))
    with TestClient(app) as client:
        yield client


def test_add_find_remove(writer: TestClient) -> None:
    new = encode(noise(1000))
    form = {"label": "novo", "metadata": json.dumps({"from": "a test"})}
    added = writer.post("/v1/images", **upload(new), data=form)
    assert added.status_code == 201
    body = added.json()
    assert (body["added"], body["unchanged"], body["skipped"]) == (1, 0, [])
    (key,) = body["keys"]
    found = writer.post("/v1/search", **upload(new)).json()["results"][0]
    assert (found["key"], found["label"], found["distance"]) == (key, "novo", 0.0)
    assert found["metadata"] == {"from": "a test"}
    assert writer.get(found["url"]).content == new
    again = writer.post("/v1/images", **upload(new), data=form).json()
    assert (again["added"], again["unchanged"], again["keys"]) == (0, 1, [key])
    other = writer.post("/v1/images", **upload(new), data={"key": "other.png"}).json()
    assert (other["added"], other["duplicates"], other["keys"]) == (0, 1, [key])
    removed = writer.delete(f"/v1/images/{key}").json()
    assert removed == {"removed": 1, "mirrored": False}
    problem(writer.delete(f"/v1/images/{key}"), 404, "key_not_found")
    problem(writer.get(found["url"]), 404, "key_not_found")
    left = writer.post("/v1/search", **upload(new)).json()["results"]
    assert key not in {each["key"] for each in left}


def test_add_refuses_what_it_can_not_use(writer: TestClient) -> None:
    problem(writer.post("/v1/images", **upload(b"words")), 415, "not_an_image")
    problem(writer.post("/v1/images", **upload(picture(1)[:90])), 400, "unreadable_image")
    for key in ("../out.png", "/etc/cron.d/x", "a/../../b", "a\0b"):
        response = writer.post("/v1/images", **upload(encode(noise(2000))), data={"key": key})
        assert response.status_code == 422, (key, response.text)
    for metadata in ("[1]", '{"a": NaN}', '{"a": "\\ud800"}'):
        bad = writer.post("/v1/images", **upload(picture(1)), data={"metadata": metadata})
        assert "metadata" in problem(bad, 422, "bad_field")["message"]
    assert writer.get("/v1/model").json()["images"] == 12


def test_other_sites_can_not_write(writer: TestClient) -> None:
    evil = {"Origin": "https://evil.example"}
    problem(writer.post("/v1/images", **upload(picture(1)), headers=evil), 403, "foreign_origin")
    problem(writer.delete(f"/v1/images/{key_of(1)}", headers=evil), 403, "foreign_origin")
    # What is no address is nobody's own, either.
    broken = {"Origin": "http://["}
    problem(writer.delete(f"/v1/images/{key_of(1)}", headers=broken), 403, "foreign_origin")
    own = writer.delete(f"/v1/images/{key_of(1)}", headers={"Origin": "http://testserver"})
    assert own.status_code == 200
