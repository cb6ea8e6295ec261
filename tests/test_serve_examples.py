"""``/v1/search`` with several pictures, and with kinds; in process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from calibrated import make_labelled_gallery, shade
from serving import COUNT, LIMIT, as_base64, key_of, make_gallery, picture, problem, upload
from toys import encode, noise, plain
from vizinho.gallery import GalleryView
from vizinho.gallery import kinds as kinds_module
from vizinho.gallery.examples import Example
from vizinho.images import Crop
from vizinho.serve.app import create_app
from vizinho.serve.options import ServeOptions


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="module")
def client(gallery: Path) -> Iterator[TestClient]:
    with TestClient(create_app(gallery, ServeOptions(max_upload_bytes=LIMIT))) as client:
        yield client


def found(response: Any) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    body = response.json()
    body.pop("took_ms")
    return dict(body)


def by_form(client: TestClient, examples: Any, *files: bytes, **fields: Any) -> Any:
    data = {"examples": json.dumps(examples), **{name: str(each) for name, each in fields.items()}}
    # A part without a file name keeps the body a form where no file is sent.
    parts: list[Any] = [("image", (f"{n}.png", file)) for n, file in enumerate(files)]
    parts += [(name, (None, text)) for name, text in data.items()]
    return client.post("/v1/search", files=parts)


def test_one_example_answers_bit_for_bit_as_the_single_form(tmp_path: Path) -> None:
    data, crop = shade("moss", 999), {"top": 0.25, "right": 0.5}
    with TestClient(create_app(make_labelled_gallery(tmp_path))) as client:

        def ask(**body: Any) -> dict[str, Any]:
            return found(client.post("/v1/search", json={"k": 12, **body}))

        single = ask(image_base64=as_base64(data))
        assert single["known"] is True
        assert single["results"][0]["probability"] is not None
        assert ask(examples=[{"image_base64": as_base64(data)}]) == single
        assert ask(examples=[{"image_base64": as_base64(data), "weight": 1}]) == single
        assert found(by_form(client, [{"image": 0}], data, k=12)) == single
        key = "clay/7.png"
        assert ask(examples=[{"key": key}]) == ask(key=key)
        assert ask(examples=[{"key": key, "crop": crop}]) == ask(key=key, crop=crop)
        several = ask(examples=[{"key": key}, {"image_base64": as_base64(data)}])
        assert several["known"] is None
        assert {each["probability"] for each in several["results"]} == {None}


def test_files_and_keys_with_weights_and_crops(gallery: Path, client: TestClient) -> None:
    canvas = plain((0, 0, 0), (64, 32))
    canvas.paste(noise(9), (32, 0))
    files = encode(canvas), encode(noise(1000))
    examples = [
        {"image": 0, "crop": {"left": 0.5}},
        {"key": key_of(4), "weight": 0.5},
        {"image": 1, "weight": -0.25},
    ]
    body = found(by_form(client, examples, *files, k=COUNT))
    with GalleryView.open(gallery) as view:
        expected = view.search_examples(
            [
                Example(files[0], crop=Crop(top=0, left=0.5, bottom=1, right=1)),
                Example(key=key_of(4), weight=0.5),
                Example(files[1], weight=-0.25),
            ],
            COUNT,
        )
    assert [each["key"] for each in body["results"]] == [match.key for match in expected]
    assert [each["distance"] for each in body["results"]] == [each.distance for each in expected]
    in_json = [
        {"image_base64": as_base64(files[0]), "crop": {"left": 0.5}},
        {"key": key_of(4), "weight": 0.5},
        {"image_base64": as_base64(files[1]), "weight": -0.25},
    ]
    again = client.post("/v1/search", json={"examples": in_json, "k": COUNT})
    assert found(again)["results"] == body["results"]
    alone = found(client.post("/v1/search", json={"key": key_of(9), "k": COUNT}))
    assert body["results"] != alone["results"]


def test_a_form_of_keys_alone_needs_no_file(client: TestClient) -> None:
    examples = [{"key": key_of(1)}, {"key": key_of(2)}]
    in_json = client.post("/v1/search", json={"examples": examples})
    assert found(by_form(client, examples)) == found(in_json)


KEY = {"key": key_of(1)}


@pytest.mark.parametrize(
    ("examples", "named"),
    [
        ([], "examples: give 1 to 8"),
        ([KEY] * 9, "examples: give 1 to 8"),
        ("x", "examples: "),
        ([KEY, "x"], "examples[1]: "),
        ([{**KEY, "weight": -1}], "examples: at least one weight"),
        ([KEY, {**KEY, "weight": 0}], "examples[1].weight: "),
        ([KEY, {**KEY, "weight": 1.5}], "examples[1].weight: "),
        ([KEY, {**KEY, "weight": "much"}], "examples[1].weight: "),
        ([{**KEY, "crop": 1}], "examples[0].crop: "),
        ([{**KEY, "crop": {"top": 2}}], "examples[0].crop.top: "),
        ([{**KEY, "crop": {"middle": 0}}], "examples[0].crop.middle: "),
        ([{**KEY, "crop": {"top": 0.5, "bottom": 0.5}}], "examples[0].crop: "),
        ([{**KEY, "colour": 1}], "examples[0].colour: "),
        ([{**KEY, "image": 0}], "examples[0].image: "),
        ([{"key": 1}], "examples[0].key: "),
        ([KEY, {"weight": 1}], "examples[1]: give exactly one of image_base64"),
        ([KEY, {**KEY, "image_base64": "AA"}], "examples[1]: give exactly one"),
    ],
)
def test_a_bad_example_is_named(client: TestClient, examples: Any, named: str) -> None:
    error = problem(client.post("/v1/search", json={"examples": examples}), 422, "bad_field")
    assert error["message"].startswith(named)


def test_bad_pictures_are_named(client: TestClient) -> None:
    def post(*others: dict[str, Any]) -> Any:
        return client.post("/v1/search", json={"examples": [KEY, *others]})

    words = {"image_base64": as_base64(b"just words")}
    assert "Example 2" in problem(post(words), 415, "not_an_image")["message"]
    error = problem(post({"image_base64": "!"}), 400, "not_base64")
    assert error["message"].startswith("examples[1]: ")
    error = problem(post(KEY, {"image_url": "http://127.0.0.1/a"}), 403, "image_url_off")
    assert error["message"].startswith("examples[2]: ")
    assert "nobody" in problem(post({"key": "nobody"}), 404, "key_not_found")["message"]
    large = as_base64(bytes(LIMIT + 3))
    problem(post({"image_base64": large}), 413, "too_large")
    message = problem(by_form(client, [{"image": 1}], picture(1)), 422, "bad_field")["message"]
    assert "file 0" in message
    error = problem(by_form(client, [KEY, {"image": 0}]), 422, "bad_field")
    assert error["message"].startswith("examples[1].image: ")


@pytest.mark.parametrize(
    ("file", "status", "code"),
    [(b"", 400, "unreadable_image"), (bytes(LIMIT + 1), 413, "too_large")],
)
def test_a_file_that_is_no_upload_is_named_by_its_example(
    client: TestClient, file: bytes, status: int, code: str
) -> None:
    answer = by_form(client, [{"image": 1}, KEY, {"image": 0}], file, picture(1))
    message = problem(answer, status, code)["message"]
    assert message.startswith("examples[2]: The ")
    # Of a single picture there is nothing to tell apart.
    alone = client.post("/v1/search", **upload(file))
    assert problem(alone, status, code)["message"] == message.removeprefix("examples[2]: ")
    problem(by_form(client, [{"image": 0}], b""), 400, "unreadable_image")
    outer = client.post("/v1/search", json={"examples": [KEY], "crop": {"top": 0.5}})
    assert problem(outer, 422, "bad_field")["message"].startswith("crop: ")


def test_kinds(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def kinds(response: Any) -> dict[str, str | None]:
        return {each["key"]: each["kind"] for each in found(response)["results"]}

    same = kinds(client.post("/v1/search", json={"key": key_of(3), "kinds": True, "k": COUNT}))
    assert same == {key_of(n): "identical" if n == 3 else "similar" for n in range(COUNT)}
    with Image.open(BytesIO(picture(3))) as image:
        buffer = BytesIO()
        turned = image.convert("RGB").transpose(Image.Transpose.ROTATE_90)
        turned.resize((64, 64)).save(buffer, "JPEG", quality=80)
    form = {"kinds": "true", "k": str(COUNT)}
    copy = kinds(client.post("/v1/search", **upload(buffer.getvalue()), data=form))
    assert copy == {key_of(n): "near-duplicate" if n == 3 else "similar" for n in range(COUNT)}
    both = kinds(
        by_form(client, [{"image": 0}, {"key": key_of(5)}], buffer.getvalue(), kinds=1, k=COUNT)
    )
    assert (both[key_of(3)], both[key_of(5)]) == ("near-duplicate", "identical")
    # Who does not ask pays nothing.
    monkeypatch.setattr(kinds_module, "typed", None)
    assert set(kinds(client.post("/v1/search", json=KEY)).values()) == {None}
    assert set(kinds(client.post("/v1/search", json={**KEY, "kinds": False})).values()) == {None}
