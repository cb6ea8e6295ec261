"""Right and wrong over HTTP: given, replaced, taken back, listed, exported."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from serving import LABELS, as_base64, key_of, make_gallery, picture, problem
from toys import encode, noise
from vizinho.gallery import Gallery
from vizinho.gallery.pack import pack
from vizinho.images import content_hash
from vizinho.serve.app import create_app
from vizinho.serve.options import ServeOptions

MINE = encode(noise(900))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_gallery(tmp_path, 8)


@pytest.fixture
def client(path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(path, ServeOptions(writable=True))) as client:
        yield client


def give(client: TestClient, query: dict[str, Any], key: str, verdict: str | None) -> Any:
    answer = client.post("/v1/feedback", json={"query": query, "key": key, "verdict": verdict})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_mark_on_a_result_of_a_key(client: TestClient) -> None:
    assert "feedback" in client.get("/v1/model").json()["features"]
    found = client.post("/v1/search", json={"key": key_of(1)}).json()["results"][1]
    said = give(client, {"key": key_of(1)}, found["key"], "wrong")
    assert (said["verdict"], said["key"], said["label"]) == ("wrong", found["key"], found["label"])
    assert said["distance"] == pytest.approx(found["distance"], abs=1e-9)
    assert said["query"] == {
        "hash": content_hash(picture(1)),
        "key": key_of(1),
        "crop": None,
        "url": f"/images/{key_of(1)}",
    }
    assert client.get("/v1/feedback").json() == {
        "marks": [said],
        "right": 0,
        "wrong": 1,
        "offset": 0,
        "limit": 50,
        "next": None,
    }


def test_a_picture_that_was_sent_is_kept_and_can_be_named_by_its_hash(client: TestClient) -> None:
    said = give(client, {"image_base64": as_base64(MINE)}, key_of(2), "right")
    content = content_hash(MINE)
    assert (said["query"]["hash"], said["query"]["key"]) == (content, None)
    kept = client.get(said["query"]["url"])
    assert (kept.content, kept.headers["content-type"]) == (MINE, "image/png")
    assert "private" in kept.headers["cache-control"]
    again = give(client, {"hash": content}, key_of(3), "wrong")
    listed = client.get("/v1/feedback", params={"query": content, "limit": 1}).json()
    assert (listed["marks"], listed["next"]) == ([again], 1)
    gone = give(client, {"hash": content}, key_of(3), None)
    assert (gone["verdict"], gone["query"]["hash"], gone["time"]) == (None, content, None)
    give(client, {"image_base64": as_base64(MINE)}, key_of(2), None)
    assert client.get("/v1/feedback").json()["marks"] == []
    problem(client.get(f"/v1/feedback/pictures/{content}"), 404, "key_not_found")


def test_a_part_that_was_searched_with_is_kept_with_the_mark(client: TestClient) -> None:
    crop = {"top": 0, "left": 0.25, "right": 1, "bottom": 0.5}
    said = give(client, {"key": key_of(1), "crop": crop}, key_of(2), "right")
    assert said["query"]["crop"] == crop
    body = {"key": key_of(1), "crop": crop, "k": 8}
    found = client.post("/v1/search", json=body).json()["results"]
    far = next(each["distance"] for each in found if each["key"] == key_of(2))
    assert said["distance"] == pytest.approx(far, abs=1e-9)
    tiny = {"top": 0, "left": 0, "right": 0.00001, "bottom": 0.00001}
    give(client, {"key": key_of(1), "crop": tiny}, key_of(2), "right")
    assert client.get("/v1/feedback").json()["marks"][0]["query"]["crop"] == tiny


def test_marks_on_what_has_gone_stay_and_can_be_taken_back(client: TestClient) -> None:
    give(client, {"key": key_of(1)}, key_of(2), "right")
    client.post("/v1/images/remove", json={"keys": [key_of(1), key_of(2)]})
    (mark,) = client.get("/v1/feedback").json()["marks"]
    assert (mark["url"], mark["query"]["url"], mark["label"]) == (None, None, None)
    give(client, {"key": key_of(1)}, key_of(2), None)
    assert client.get("/v1/feedback").json()["marks"] == []


def test_the_export_is_a_data_set_in_a_zip(client: TestClient) -> None:
    give(client, {"image_base64": as_base64(MINE)}, key_of(2), "right")
    give(client, {"image_base64": as_base64(MINE)}, key_of(3), "wrong")
    answer = client.get("/v1/feedback/export")
    assert answer.headers["content-type"] == "application/zip"
    assert 'filename="feedback.zip"' in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        labels = packed.read("feedback/labels.csv").decode().split()
        assert labels[0] == "path,label"
        assert {line.split(",")[1] for line in labels[1:]} == {LABELS[2]}
        hashes = {
            content_hash(packed.read(f"feedback/{line.split(',')[0]}")) for line in labels[1:]
        }
        assert hashes == {content_hash(MINE), content_hash(picture(2))}
        assert len(packed.read("feedback/pairs.csv").decode().splitlines()) == 3


def test_an_export_leaves_nothing_behind(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare = tmp_path / "spare"
    spare.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spare))
    give(client, {"image_base64": as_base64(MINE)}, key_of(2), "right")
    for headers in ({}, {"Range": "bytes=0-9"}, {"Range": "nonsense"}):
        answer = client.get("/v1/feedback/export", headers=headers)
        assert answer.status_code == 200
        assert int(answer.headers["content-length"]) == len(answer.content)
        assert zipfile.ZipFile(io.BytesIO(answer.content)).testzip() is None
    assert list(spare.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "not_json"),
        (b"{}", 422, "bad_field"),
        (b'{"query": {"key": "a"}, "key": "b"}', 422, "bad_field"),
        (b'{"query": {"key": "a"}, "key": "b", "verdict": "maybe"}', 422, "bad_field"),
        (b'{"query": {"key": "a"}, "key": "b", "verdict": ["right"]}', 422, "bad_field"),
        (b'{"query": {}, "key": "b", "verdict": "right"}', 422, "bad_field"),
        (b'{"query": {"key": "a", "hash": "b"}, "key": "b", "verdict": "right"}', 422, "bad_field"),
        (b'{"query": {"key": 1}, "key": "b", "verdict": "right"}', 422, "bad_field"),
        (b'{"query": {"key": "a", "x": 1}, "key": "b", "verdict": "right"}', 422, "bad_field"),
        (b'{"query": {"key": "nobody"}, "key": "b", "verdict": "right"}', 404, "key_not_found"),
        (b'{"query": {"hash": "ab"}, "key": "b", "verdict": "right"}', 404, "key_not_found"),
        (b'{"query": {"image_base64": "?"}, "key": "b", "verdict": "right"}', 400, "not_base64"),
        (b'{"query": {"key": "a\\u0000"}, "key": "b", "verdict": null}', 404, "key_not_found"),
        (b'{"query": {"key": "\\ud800"}, "key": "b", "verdict": null}', 422, "bad_field"),
    ],
)
def test_a_mark_that_makes_no_sense_is_refused(
    client: TestClient, body: bytes, status: int, code: str
) -> None:
    problem(client.post("/v1/feedback", content=body), status, code)
    assert client.get("/v1/feedback").json()["marks"] == []


def test_what_is_no_picture_is_refused(client: TestClient) -> None:
    body = {"query": {"image_base64": as_base64(b"words")}, "key": key_of(1), "verdict": "right"}
    problem(client.post("/v1/feedback", json=body), 415, "not_an_image")


def test_a_packed_gallery_has_no_feedback_to_offer(path: Path, tmp_path: Path) -> None:
    with Gallery.open(path) as gallery:
        pack(gallery, tmp_path / "packed.vizinho", lambda row: f"https://there.example/{row.hash}")
    app = create_app(tmp_path / "packed.vizinho", ServeOptions(writable=True))
    with TestClient(app) as client:
        offered = client.get("/v1/model").json()["features"]
        assert "feedback" not in offered
        assert "duplicates" not in offered
        problem(client.get("/v1/feedback"), 409, "not_offered")
        problem(client.get("/v1/duplicates"), 409, "not_offered")


def test_a_packed_gallery_is_not_changed_though_the_server_would(
    path: Path, tmp_path: Path
) -> None:
    with Gallery.open(path) as gallery:
        pack(gallery, tmp_path / "packed.vizinho", lambda row: f"https://there.example/{row.hash}")
    app = create_app(tmp_path / "packed.vizinho", ServeOptions(writable=True))
    with TestClient(app) as client:
        about = client.get("/v1/model").json()
        assert ("write" in about["features"], about["writable"]) == (False, False)
        keys = [key_of(1)]
        for answer in (
            client.post("/v1/images", files={"image": picture(1)}),
            client.post("/v1/images/remove", json={"keys": keys}),
            client.post("/v1/images/label", json={"keys": keys, "label": "cat"}),
            client.patch(f"/v1/images/{key_of(1)}", json={"label": "cat"}),
            client.delete(f"/v1/images/{key_of(1)}"),
        ):
            assert "packed" in problem(answer, 403, "read_only")["hint"]
