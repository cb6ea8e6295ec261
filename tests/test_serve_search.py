"""Searching: the thesis's route and ``/v1/search``, over a real gallery; in process."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from serving import COUNT, LABELS, LIMIT, as_base64, key_of, make_gallery, picture, problem, upload
from toys import encode, noise, plain
from vizinho.contract import search as contract
from vizinho.contract.fields import json_fields
from vizinho.contract.pictures import decode_base64
from vizinho.serve import body
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


# The thesis's route


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_thesis_contract(client: TestClient, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    response = client.post("/", content=as_base64(picture(3)), headers=headers)
    assert response.status_code == 200
    body = response.json()
    assert list(body) == ["results"]
    urls, distances = list(body["results"]), list(body["results"].values())
    assert len(urls) == 10
    assert distances == sorted(distances)
    assert distances[0] == 0.0
    assert distances[1] > 0.0
    assert urls[0] == "http://pictures.example/images/test/00003.png"
    for url in urls:
        fetched = client.get(url)
        assert fetched.status_code == 200
        assert fetched.headers["content-type"] == "image/png"


def test_thesis_takes_data_urls_and_line_ends(client: TestClient) -> None:
    plainly = client.post("/", content=as_base64(picture(5))).json()
    lines = base64.encodebytes(picture(5)).decode().replace("\n", "\r\n")
    assert client.post("/", content=f"data:image/png;base64,{lines}").json() == plainly


def test_thesis_addresses_are_whole_behind_a_proxy(gallery: Path) -> None:
    app = create_app(gallery, ServeOptions(public_url="https://vizinho.example/search/"))
    with TestClient(app) as client:
        urls = list(client.post("/", content=as_base64(picture(0))).json()["results"])
    assert urls[0] == "https://vizinho.example/search/images/f%C3%A9rias%201/00000.png"


def test_thesis_errors(client: TestClient) -> None:
    problem(client.post("/", content=b""), 400, "empty_body")
    problem(client.post("/", content=picture(1)), 400, "not_base64")
    problem(client.post("/", content=as_base64(b"just words")), 415, "not_an_image")
    problem(client.post("/", content=as_base64(picture(1)[:200])), 400, "unreadable_image")


# /v1/search


def test_search_by_upload(client: TestClient) -> None:
    body = client.post("/v1/search", **upload(picture(7)), data={"k": "5"}).json()
    found = body["results"]
    assert (body["k"], body["offset"], body["model"]) == (5, 0, "toy")
    assert len(found) == 5
    assert found[0]["key"] == key_of(7)
    assert found[0]["url"] == "/images/test/00007.png"
    assert found[0]["label"] == LABELS[7 % 4]
    assert found[0]["metadata"] == {"number": 7}
    assert found[0]["distance"] == 0.0
    distances = [each["distance"] for each in found]
    assert distances == sorted(distances)


@pytest.mark.parametrize("number", range(0, COUNT, 7))
def test_every_way_of_asking_gives_the_same(client: TestClient, number: int) -> None:
    data = picture(number)
    by_file = client.post("/v1/search", **upload(data)).json()["results"]
    by_text = client.post("/v1/search", json={"image_base64": as_base64(data)}).json()["results"]
    by_key = client.post("/v1/search", json={"key": key_of(number)}).json()["results"]
    assert by_file == by_text == by_key
    assert by_file[0]["key"] == key_of(number)


def test_offset_goes_on_where_k_ended(client: TestClient) -> None:
    def keys(**fields: Any) -> list[str]:
        body = client.post("/v1/search", json={"key": key_of(1), **fields}).json()
        return [each["key"] for each in body["results"]]

    assert keys(k=4) + keys(k=6, offset=4) == keys(k=10)
    assert keys(k=10, offset=COUNT - 3) == keys(k=COUNT)[-3:]
    assert keys(k=10, offset=COUNT) == []


def test_filter_by_label(client: TestClient) -> None:
    body = {"key": key_of(1), "k": COUNT, "filter": {"label": LABELS[2]}}
    found = client.post("/v1/search", json=body).json()["results"]
    assert {each["key"] for each in found} == {key_of(n) for n in range(2, COUNT, 4)}
    form = {"k": str(COUNT), "filter": json.dumps({"label": LABELS[2]})}
    assert client.post("/v1/search", **upload(picture(1)), data=form).json()["results"] == found


def test_crop_searches_with_a_part(client: TestClient) -> None:
    canvas = plain((0, 0, 0), (64, 64))
    canvas.paste(noise(9), (32, 0))
    crop = {"top": 0, "left": 0.5, "right": 1, "bottom": 0.5}
    form = {"crop": json.dumps(crop)}
    found = client.post("/v1/search", **upload(encode(canvas)), data=form).json()["results"]
    assert (found[0]["key"], found[0]["distance"]) == (key_of(9), 0.0)
    whole = client.post("/v1/search", **upload(encode(canvas))).json()["results"]
    assert whole[0]["distance"] > 0


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"k": 0}, "k"),
        ({"k": 101}, "k"),
        ({"k": "many"}, "k"),
        ({"offset": -1}, "offset"),
        ({"filter": "cat"}, "filter"),
        ({"filter": {"label": ["cat"]}}, "filter"),
        ({"filter": {"label": 3}}, "filter"),
        ({"filter": {"number": 10**400}}, "filter"),
        ({"crop": {"top": 0.6, "bottom": 0.4}}, "crop"),
        ({"crop": {"top": -0.1}}, "crop.top"),
        ({"crop": {"middle": 1}}, "crop.middle"),
        ({"colour": "red"}, "colour"),
        ({"image_base64": "AAAA"}, "exactly one"),
        ({"key": None}, "exactly one"),
    ],
)
def test_bad_fields_are_named(client: TestClient, fields: dict[str, Any], named: str) -> None:
    response = client.post("/v1/search", json={"key": key_of(1), **fields})
    assert named in problem(response, 422, "bad_field")["message"]


def test_bad_forms(client: TestClient) -> None:
    def post(**given: Any) -> Any:
        return client.post("/v1/search", **given)

    file = upload(picture(1))
    assert "crop" in problem(post(**file, data={"crop": "left"}), 422, "bad_field")["message"]
    assert "k" in problem(post(**file, data={"k": "-3"}), 422, "bad_field")["message"]
    missing = post(files={"picture": ("a.png", picture(1))})
    assert "picture" in problem(missing, 422, "bad_field")["message"]
    not_file = post(files={"other": (None, "x")}, data={"image": "text"})
    problem(not_file, 422, "bad_field")
    broken = post(content=b"--x\r\nnonsense", headers={"Content-Type": "multipart/form-data"})
    problem(broken, 400, "bad_form")
    json_type = {"Content-Type": "application/json"}
    problem(post(content=b"{", headers=json_type), 400, "not_json")
    problem(post(content=b"[" * 100_000, headers=json_type), 400, "not_json")
    problem(post(content=b"[1]", headers=json_type), 422, "bad_field")
    problem(
        post(content=b"x", headers={"Content-Type": "image/png"}), 415, "unsupported_media_type"
    )


def test_bad_pictures(client: TestClient) -> None:
    def post(data: bytes) -> Any:
        return client.post("/v1/search", **upload(data, "x.jpg"))

    problem(post(b""), 400, "unreadable_image")
    problem(post(b"<svg onload=alert(1)>"), 415, "not_an_image")
    problem(post(picture(1)[:100]), 400, "unreadable_image")
    bomb = encode(Image.new("1", (12_000, 6_000)))
    assert len(bomb) < LIMIT
    problem(post(bomb), 413, "image_too_large")
    assert "0.3 MB" in problem(post(bytes(LIMIT + 1)), 413, "too_large")["message"]
    problem(post(bytes(3 * LIMIT)), 413, "too_large")


def test_web_addresses_are_off_and_unknown_keys_are_404(client: TestClient) -> None:
    body = {"image_url": "http://127.0.0.1/a.png"}
    problem(client.post("/v1/search", json=body), 403, "image_url_off")
    problem(client.post("/v1/search", json={"key": "nobody.png"}), 404, "key_not_found")
    problem(client.post("/v1/search", json={"key": "a\0b"}), 404, "key_not_found")


def test_megabytes_of_text_do_not_hold_up_the_loop(
    gallery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading base64 and JSON is work like decoding: it runs in a worker's thread."""
    threads: list[str] = []

    def noting(call: Any) -> Any:
        def noted(*given: Any) -> Any:
            threads.append(threading.current_thread().name)
            return call(*given)

        return noted

    monkeypatch.setattr(contract, "decode_base64", noting(decode_base64))
    monkeypatch.setattr(body, "json_fields", noting(json_fields))
    with TestClient(create_app(gallery)) as client:
        assert client.post("/", content=as_base64(picture(1))).status_code == 200
        asked = {"image_base64": as_base64(picture(1))}
        assert client.post("/v1/search", json=asked).status_code == 200
    assert [name.rpartition("_")[0] for name in threads] == [
        *("vizinho-search", "vizinho-files", "vizinho-search")
    ]
