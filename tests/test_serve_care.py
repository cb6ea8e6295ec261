"""Many at once over HTTP: uploads that say what was skipped and why, removals, labels."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from serving import key_of, make_gallery, picture, problem
from toys import encode, noise
from vizinho.gallery import Gallery
from vizinho.images import content_hash
from vizinho.serve.app import create_app
from vizinho.serve.options import ServeOptions

COUNT = 6
EVIL = {"Origin": "https://evil.example"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_gallery(tmp_path, COUNT)


@pytest.fixture
def client(path: Path) -> Iterator[TestClient]:
    options = ServeOptions(writable=True, wait_seconds=0.1, max_upload_bytes=50_000)
    with TestClient(create_app(path, options)) as client:
        yield client


def send(client: TestClient, *files: tuple[str, bytes], **fields: str) -> dict[str, object]:
    answer = client.post("/v1/images", files=[("image", file) for file in files], data=fields)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_of_several_files_the_bad_ones_are_named_and_the_others_go_in(client: TestClient) -> None:
    new = encode(noise(700))
    answer = send(
        client,
        ("good.png", new),
        ("notes.txt", b"words"),
        ("cut.png", new[:60]),
        ("empty.png", b""),
        ("vast.png", new + bytes(60_000)),
        ("old.png", picture(2)),
    )
    assert (answer["added"], answer["duplicates"]) == (1, 1)
    assert answer["keys"] == [content_hash(new)[:32] + ".png", key_of(2)]
    assert answer["there"] == [{"name": "old.png", "key": key_of(2)}]
    skipped = {each["name"]: each["code"] for each in answer["skipped"]}  # type: ignore[attr-defined]
    assert skipped == {
        "notes.txt": "not_an_image",
        "cut.png": "unreadable_image",
        "empty.png": "unreadable_image",
        "vast.png": "too_large",
    }
    assert all(each["reason"] for each in answer["skipped"])  # type: ignore[attr-defined]
    assert client.get("/v1/model").json()["images"] == COUNT + 1


def test_several_files_none_of_which_is_a_picture_change_nothing(client: TestClient) -> None:
    answer = send(client, ("a.txt", b"words"), ("b.txt", b"more words"))
    assert (answer["added"], answer["keys"]) == (0, [])
    assert [each["name"] for each in answer["skipped"]] == ["a.txt", "b.txt"]  # type: ignore[attr-defined]


def test_pictures_keep_their_files_names_if_asked(client: TestClient) -> None:
    one, two, three = (encode(noise(710 + i)) for i in range(3))
    answer = send(client, ("férias/mar.png", one), ("../../etc/x.png", two), keep_names="true")
    assert answer["keys"] == ["férias/mar.png", "etc/x.png"]
    # Another picture of that name leaves the first alone.
    answer = send(client, ("férias/mar.png", three), keep_names="true", label="mar")
    assert answer["keys"] == [f"férias/mar-{content_hash(three)[:8]}.png"]
    assert client.get("/images/f%C3%A9rias/mar.png").content == one
    again = send(client, ("férias/mar.png", one), ("other.png", two), keep_names="true")
    assert (again["added"], again["there"]) == (
        0,
        [
            {"name": "férias/mar.png", "key": "férias/mar.png"},
            {"name": "other.png", "key": "etc/x.png"},
        ],
    )


def test_many_are_removed_in_one_step(client: TestClient, path: Path) -> None:
    keys = [key_of(0), key_of(3), "nobody"]
    answer = client.post("/v1/images/remove", json={"keys": keys})
    assert (answer.status_code, answer.json()) == (200, {"removed": 2, "mirrored": False})
    with Gallery.open(path) as gallery:
        assert [row.key for row in gallery.items()] == sorted(key_of(i) for i in (1, 2, 4, 5))
        assert not list((path / "images").rglob(content_hash(picture(3))))


def test_many_are_labelled_in_one_step(client: TestClient) -> None:
    body = {"keys": [key_of(1), key_of(2), "nobody"], "label": "férias"}
    answer = client.post("/v1/images/label", json=body)
    assert answer.json() == {"changed": 2, "unchanged": 0, "unknown": ["nobody"]}
    assert client.get(f"/v1/images/{key_of(2)}").json()["label"] == "férias"
    client.post("/v1/images/label", json={"keys": [key_of(2)], "label": None})
    assert client.get(f"/v1/images/{key_of(2)}").json()["label"] is None


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{}", "keys"),
        (b'{"keys": []}', "keys"),
        (b'{"keys": "a"}', "keys"),
        (b'{"keys": [1]}', "keys"),
        (b'{"keys": ["\\ud800"]}', "body"),
        (b'{"keys": ["a"], "other": 1}', "other"),
    ],
)
def test_a_removal_that_makes_no_sense_is_refused(
    client: TestClient, body: bytes, named: str
) -> None:
    answer = client.post("/v1/images/remove", content=body)
    assert problem(answer, 422, "bad_field")["message"].startswith(f"{named}:")
    many = client.post("/v1/images/remove", json={"keys": ["a"] * 1001})
    problem(many, 422, "bad_field")


@pytest.mark.parametrize("route", ["/v1/images/remove", "/v1/images/label", "/v1/feedback"])
def test_changes_are_for_a_writable_server_and_its_own_page(
    client: TestClient, path: Path, route: str
) -> None:
    body = {"keys": [key_of(1)], "label": "x"}
    problem(client.post(route, json=body, headers=EVIL), 403, "foreign_origin")
    with TestClient(create_app(path)) as reader:
        problem(reader.post(route, json=body), 403, "read_only")
        assert set(reader.get("/v1/model").json()["features"]).isdisjoint(
            ("write", "feedback", "duplicates")
        )


def test_a_gallery_of_a_folder_says_that_files_stay(
    toy_gallery: Gallery,
) -> None:
    with TestClient(create_app(toy_gallery.path, ServeOptions(writable=True))) as client:
        answer = client.delete("/v1/images/cat/0000.png")
        assert answer.json() == {"removed": 1, "mirrored": True}


def test_a_picture_of_too_many_pixels_is_refused_alike_wherever_it_is_sent(
    client: TestClient,
) -> None:
    vast = encode(Image.new("1", (20_000, 10_000)))
    assert len(vast) < 50_000
    told = [
        problem(client.post(route, files={"image": ("a.png", vast)}), 413, "image_too_large")
        for route in ("/v1/search", "/v1/images")
    ]
    assert told[0] == told[1]
    assert "20000 x 10000 pixels are 200 megapixels, and at most 50" in told[0]["message"]
    assert told[0]["hint"] == "Shrink it and try again."
    answer = send(client, ("a.png", vast), ("b.png", encode(noise(701))))
    ((refused,), added) = (answer["skipped"], answer["added"])  # type: ignore[misc]
    assert (refused["code"], added) == ("image_too_large", 1)
    assert "200 megapixels, and at most 50 megapixels are decoded. Shrink it" in refused["reason"]


def test_what_is_sent_is_hashed_away_from_the_loop_that_answers_searches(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []

    def noted(data: bytes) -> str:
        hashed.append(threading.current_thread().name)
        return content_hash(data)

    monkeypatch.setattr("vizinho.serve.routes.changes.content_hash", noted)
    new = [(f"{number}.png", encode(noise(720 + number))) for number in range(2)]
    assert send(client, *new)["added"] == 2
    assert hashed
    assert all(name.startswith("vizinho-") for name in hashed), hashed
