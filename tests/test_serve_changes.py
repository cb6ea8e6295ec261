"""Changes over HTTP beside other writers, and what is said of a picture; in process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from serving import key_of, make_gallery, picture, problem, upload
from toys import encode, noise
from vizinho.gallery import Gallery
from vizinho.serve.app import create_app
from vizinho.serve.options import ServeOptions

COUNT = 6
ONE = f"/v1/images/{key_of(1)}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_gallery(tmp_path, COUNT)


@pytest.fixture
def client(path: Path) -> Iterator[TestClient]:
    app = create_app(path, ServeOptions(writable=True, wait_seconds=0.1))
    with TestClient(app) as client:
        yield client


def test_label_and_metadata_can_be_changed_alone(client: TestClient) -> None:
    before = client.get(ONE).json()
    labelled = client.patch(ONE, json={"label": "novo"})
    assert (labelled.status_code, labelled.json()) == (200, {**before, "label": "novo"})
    told = client.patch(ONE, json={"metadata": {"a": [1, {"b": None}]}}).json()
    assert told == {**before, "label": "novo", "metadata": {"a": [1, {"b": None}]}}
    assert client.patch(ONE, json={"label": None}).json()["label"] is None
    assert client.get(ONE).json() == {**told, "label": None}
    found = client.post("/v1/search", **upload(picture(1))).json()["results"][0]
    assert (found["key"], found["distance"]) == (key_of(1), 0)
    assert (found["label"], found["metadata"]) == (None, told["metadata"])


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{}", "body"),
        (b"[1]", "body"),
        (b'{"label": 7}', "label"),
        (b'{"metadata": [1]}', "metadata"),
        (b'{"metadata": null}', "metadata"),
        (b'{"metadata": {"a": NaN}}', "body"),
        (b'{"label": "\\ud800"}', "body"),
        (b'{"hash": "0"}', "hash"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(
    client: TestClient, body: bytes, named: str
) -> None:
    before = client.get(ONE).json()
    assert named in problem(client.patch(ONE, content=body), 422, "bad_field")["message"]
    assert client.get(ONE).json() == before


def test_who_may_change_what(client: TestClient, path: Path) -> None:
    problem(client.patch("/v1/images/nobody", json={"label": "x"}), 404, "key_not_found")
    problem(client.patch(ONE, content=b"{"), 400, "not_json")
    evil = {"Origin": "https://evil.example"}
    problem(client.patch(ONE, json={"label": "x"}, headers=evil), 403, "foreign_origin")
    with TestClient(create_app(path)) as reader:
        problem(reader.patch(ONE, json={"label": "x"}), 403, "read_only")


def test_the_description_has_the_change(client: TestClient) -> None:
    told = client.get("/openapi.json").json()["paths"]["/v1/images/{key}"]["patch"]
    schema = told["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == {"label", "metadata"}
    assert set(told["responses"]) >= {"200", "403", "404", "503"}


def test_a_change_beside_another_writer_is_told_who_it_is_and_searches_go_on(
    client: TestClient, path: Path
) -> None:
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.write(lock, b"4711 vizinho import\n")
    changes = (
        lambda: client.patch(ONE, json={"label": "x"}),
        lambda: client.post("/v1/images", **upload(encode(noise(500)))),
        lambda: client.delete(ONE),
    )
    for change in changes:
        refused = change()
        told = problem(refused, 503, "gallery_busy")["message"]
        assert "pid 4711, vizinho import" in told
        assert "0.1 s" in told
        assert int(refused.headers["retry-after"]) > 0
        assert client.post("/v1/search", **upload(picture(2))).status_code == 200
    os.truncate(path / "lock", 0)
    os.close(lock)
    assert [change().status_code for change in changes] == [200, 201, 200]


def test_an_upload_of_several_is_one_change(
    client: TestClient, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vizinho.gallery.intake._COMMIT_IMAGES", 1)
    commits = []
    engine = type(Gallery.open(path).engine)
    add = engine.add

    def counted(self: object, *given: object, **more: object) -> None:
        commits.append(len(given[0]))  # type: ignore[arg-type]
        add(self, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "add", counted)
    files = [("image", (f"{n}.png", encode(noise(600 + n)))) for n in range(40)]
    files.append(("image", ("0.png", picture(1))))
    answer = client.post("/v1/images", files=files).json()
    assert (answer["added"], answer["duplicates"], commits) == (40, 1, [40])
    assert answer["keys"][-1] == key_of(1)
