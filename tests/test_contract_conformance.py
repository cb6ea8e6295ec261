"""One contract, two speakers: the same request to the server and to the function on AWS.

Each request goes to the FastAPI app and, as the event of every kind of API, to the handler: status
and JSON must be the same.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from starlette.testclient import TestClient

from lambda_events import MAKERS, json_of
from serving import LABELS, LIMIT, as_base64, key_of, make_gallery, picture
from toys import encode
from vizinho.aws.function import Function
from vizinho.aws.routes import DESCRIBED
from vizinho.contract.errors import DOCS
from vizinho.contract.features import SHARED
from vizinho.serve.app import create_app
from vizinho.serve.options import ServeOptions
from vizinho.settings import FunctionSettings

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=edge"}


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("both"))


@pytest.fixture(scope="module")
def client(gallery: Path) -> Iterator[TestClient]:
    app = create_app(gallery, ServeOptions(max_upload_bytes=LIMIT))
    with TestClient(app, base_url="https://here", follow_redirects=False) as client:
        yield client


@pytest.fixture(scope="module")
def function(gallery: Path) -> Function:
    settings = FunctionSettings(gallery=str(gallery), max_upload_bytes=LIMIT)
    function = Function(lambda: settings)
    function.start()
    return function


def search(**fields: Any) -> tuple[str, str, dict[str, str], bytes]:
    return "POST", "/v1/search", JSON, json.dumps(fields).encode()


def form(*parts: tuple[str, bytes], edge: str = "edge") -> tuple[str, str, dict[str, str], bytes]:
    """A multipart search, byte for byte: each part is its disposition and its content."""
    body = b"".join(
        b"--%s\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n"
        % (edge.encode(), disposition.encode(), data)
        for disposition, data in parts
    )
    return "POST", "/v1/search", FORM, body + b"--%s--\r\n" % edge.encode()


FILE = 'name="image"; filename="férias.png"'
IMAGE = (FILE, picture(3))
KEY = key_of(1)
MIXED = json.dumps(
    [{"image": 1, "crop": {"right": 0.5}}, {"key": KEY, "weight": 0.5}, {"image": 0, "weight": -1}]
).encode()
REQUESTS: dict[str, tuple[str, str, dict[str, str], bytes]] = {
    "upload": form(IMAGE),
    "upload with fields": form(
        IMAGE,
        ('name="k"', b"4"),
        ('name="offset"', b"2"),
        ('name="filter"', json.dumps({"label": LABELS[2]}).encode()),
        ('name="crop"', b'{"top": 0.25, "right": 0.5}'),
    ),
    "two files": form(IMAGE, (FILE, picture(4))),
    "base64": search(image_base64=as_base64(picture(5)), k=3),
    "data url": search(image_base64="data:image/png;base64," + as_base64(picture(5)), k=3),
    "key": search(key=key_of(10), k=100),
    "key, cropped": search(key=KEY, crop={"left": 0.5}),
    "filter": search(key=KEY, filter={"number": 7}),
    "past the end": search(key=KEY, offset=1000),
    "no such key": search(key="nobody.png"),
    "control letters in a key": search(key="a\0b"),
    "web address": search(image_url="http://127.0.0.1/a.png"),
    "other model": search(key=KEY, fingerprint="0" * 64),
    "k 0": search(key=KEY, k=0),
    "k text": search(key=KEY, k="many"),
    "k fraction": search(key=KEY, k=1.5),
    "k null": search(key=KEY, k=None),
    "offset": search(key=KEY, offset=-1),
    "filter text": search(key=KEY, filter="cat"),
    "filter list": search(key=KEY, filter={"label": ["cat"]}),
    "filter number": search(key=KEY, filter={"number": 10**400}),
    "crop empty": search(key=KEY, crop={"top": 0.6, "bottom": 0.4}),
    "crop outside": search(key=KEY, crop={"top": -0.1}),
    "crop unknown": search(key=KEY, crop={"middle": 1}),
    "unknown field": search(key=KEY, colour="red"),
    "half a letter": search(key=KEY, colour="\ud800"),
    "half a key": search(key="\ud800"),
    "two pictures": search(key=KEY, image_base64="AAAA"),
    "no picture": search(k=3),
    "json words": search(image_base64=as_base64(b"just words")),
    "json not base64": search(image_base64="!"),
    "json too large": search(image_base64=as_base64(bytes(LIMIT + 3))),
    "examples": search(examples=[{"key": KEY}, {"key": key_of(2), "weight": -0.5}], k=5),
    "one example": search(examples=[{"image_base64": as_base64(picture(5))}], kinds=True),
    "one example unlike": search(examples=[{"key": KEY, "weight": -1}]),
    "no examples": search(examples=[]),
    "nine examples": search(examples=[{"key": KEY}] * 9),
    "examples text": search(examples="[]"),
    "example text": search(examples=["a"]),
    "example weight": search(examples=[{"key": KEY}, {"key": KEY, "weight": 0}]),
    "example weight true": search(examples=[{"key": KEY, "weight": 1.01}]),
    "example crop": search(examples=[{"key": KEY, "crop": {"top": 2}}]),
    "example file": search(examples=[{"image": 0}]),
    "example of two": search(examples=[{"key": KEY, "image_url": "http://a"}]),
    "example of none": search(examples=[{"weight": 1}]),
    "example unknown": search(examples=[{"key": "nobody"}, {"key": KEY}]),
    "example web address": search(examples=[{"key": KEY}, {"image_url": "http://127.0.0.1/a"}]),
    "example words": search(examples=[{"key": KEY}, {"image_base64": as_base64(b"just words")}]),
    "example and key": search(key=KEY, examples=[{"key": KEY}]),
    "examples and crop": search(examples=[{"key": KEY}], crop={"top": 0.5}),
    "kinds": search(key=KEY, kinds=True, k=40),
    "kinds text": search(key=KEY, kinds="often"),
    "form examples": form(
        IMAGE, (FILE, picture(4)), ('name="examples"', MIXED), ('name="kinds"', b"true")
    ),
    "form examples of keys": form(('name="examples"', b'[{"key": "test/00001.png"}]')),
    "form examples short of a file": form(IMAGE, ('name="examples"', MIXED)),
    "form with a spare file": form(
        IMAGE, (FILE, picture(4)), ('name="examples"', b'[{"image": 1}]')
    ),
    "form examples empty file": form((FILE, b""), (FILE, picture(4)), ('name="examples"', MIXED)),
    "form examples and text": form(IMAGE, ('name="image"', b"x"), ('name="examples"', MIXED)),
    "form examples not json": form(IMAGE, ('name="examples"', b"[")),
    "form example number": form(IMAGE, ('name="examples"', b'[{"image": -1}]')),
    "not json": ("POST", "/v1/search", JSON, b"{"),
    "json list": ("POST", "/v1/search", JSON, b"[1]"),
    "empty json": ("POST", "/v1/search", JSON, b""),
    "other type": ("POST", "/v1/search", {"Content-Type": "image/png"}, picture(1)),
    "no file": form(('name="k"', b"3")),
    "file elsewhere": form(('name="picture"; filename="a"', b"x")),
    "text for a file": form(('name="image"', b"text")),
    "empty file": form((FILE, b"")),
    "svg": form((FILE, b"<svg onload=alert(1)>")),
    "cut short": form((FILE, picture(1)[:100])),
    "too many pixels": form((FILE, encode(Image.new("1", (12_000, 6_000))))),
    "too large": form((FILE, bytes(LIMIT + 1))),
    "much too large": form((FILE, bytes(3 * LIMIT))),
    "form k": form(IMAGE, ('name="k"', b"-3")),
    "form crop": form(IMAGE, ('name="crop"', b"left")),
    "form NaN": form(IMAGE, ('name="filter"', b'{"a": NaN}')),
    "form without name": form(("nothing", b"x")),
    "form without boundary": (*form(IMAGE)[:2], {"Content-Type": "multipart/form-data"}, b"x"),
    "form of nonsense": ("POST", "/v1/search", FORM, b"--edge\r\nnonsense"),
    "form of other parts": form(IMAGE, edge="other"),
    "form of many fields": form(*[(f'name="f{n}"', b"x") for n in range(33)]),
    "form of many files": form(*[(f'name="f{n}"; filename="x"', b"x") for n in range(65)]),
    "thesis": ("POST", "/", {"Content-Type": "text/plain"}, as_base64(picture(3)).encode()),
    "thesis, lines": ("POST", "/", {}, base64.encodebytes(picture(5))),
    "thesis, empty": ("POST", "/", {}, b""),
    "thesis, spaces": ("POST", "/", {"Content-Type": "text/plain"}, b" \n"),
    "thesis, words": ("POST", "/", {}, as_base64(b"just words").encode()),
    "thesis, not base64": ("POST", "/", {}, b"hello, world"),
    "thesis, cut short": ("POST", "/", {}, as_base64(picture(1)[:200]).encode()),
    "thesis, too large": ("POST", "/", {}, as_base64(bytes(LIMIT + 3)).encode()),
    "model": ("GET", "/v1/model", {}, b""),
    "list": ("GET", "/v1/images", {}, b""),
    "page of a list": ("GET", "/v1/images?offset=7&limit=5&limit=6", {}, b""),
    "last page": ("GET", "/v1/images?offset=35", {}, b""),
    "list of a label": ("GET", "/v1/images?label=cal%C3%A7ada&x=1", {}, b""),
    "list of an empty label": ("GET", "/v1/images?label=", {}, b""),
    "labels": ("GET", "/v1/labels", {}, b""),
    "one label": ("GET", "/v1/labels?limit=1", {}, b""),
    "labels 0": ("GET", "/v1/labels?limit=0", {}, b""),
    "limit 0": ("GET", "/v1/images?limit=0", {}, b""),
    "limit text": ("GET", "/v1/images?limit=a", {}, b""),
    "limit empty": ("GET", "/v1/images?limit=", {}, b""),
    "offset 1e30": ("GET", f"/v1/images?offset={10**30}", {}, b""),
    "record": ("GET", "/v1/images/f%C3%A9rias%201/00010.png", {}, b""),
    "no record": ("GET", "/v1/images/nobody", {}, b""),
    "no picture bytes": ("GET", "/images/nobody", {}, b""),
    "size": ("GET", f"/images/{KEY}?size=9999999", {}, b""),
    "no key": ("GET", "/images/", {}, b""),
    "nothing here": ("GET", "/nothing", {}, b""),
    "nothing there": ("GET", "/v1/search/more", {}, b""),
    "wrong method": ("PUT", "/v1/search", {}, b""),
    "delete a search": ("DELETE", "/v1/search", {}, b""),
    "add": ("POST", "/v1/images", FORM, form(IMAGE)[3]),
    "remove": ("DELETE", f"/v1/images/{KEY}", {}, b""),
}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("name", REQUESTS)
def test_server_and_function_answer_alike(
    client: TestClient, function: Function, name: str, maker: str
) -> None:
    method, url, headers, body = REQUESTS[name]
    expected = client.request(method, url, headers=headers, content=body)
    event = MAKERS[maker](method, url, headers=headers, body=body)
    answer = function.handle(event, "1")
    assert answer["statusCode"] == expected.status_code, (answer, expected.text)
    assert alike(json_of(answer), event) == alike(expected.json(), None)
    allow = answer["headers"].get("Allow", "").split(", ")
    assert set(httpx_allow(expected)) <= set(allow)


def test_every_status_of_the_documentation_is_among_them(client: TestClient) -> None:
    # 503 needs a full queue, which a function does not have.
    seen = {
        client.request(m, u, headers=h, content=b).status_code for m, u, h, b in REQUESTS.values()
    }
    assert seen == {200, 400, 403, 404, 405, 409, 413, 415, 422}


def test_bytes_and_their_head(client: TestClient, function: Function) -> None:
    url = "/images/f%C3%A9rias%201/00010.png"
    for maker in MAKERS.values():
        for method in ("GET", "HEAD"):
            expected = client.request(method, url)
            answer = function.handle(maker(method, url), "1")
            assert answer["statusCode"] == expected.status_code == 200
            assert base64.b64decode(answer["body"]) == expected.content
            for name in ("Content-Type", "ETag", "Cache-Control", "Content-Security-Policy"):
                assert answer["headers"][name] == expected.headers[name]


def test_health_has_the_same_fields(client: TestClient, function: Function) -> None:
    answer = json_of(function.handle(MAKERS["function-url"]("GET", "/health"), "1"))
    assert set(answer) == set(client.get("/health").json())
    assert answer["status"] == "ok"


def test_each_lists_what_it_has(client: TestClient, function: Function) -> None:
    there = json_of(function.handle(MAKERS["function-url"]("GET", "/v1/model"), "1"))["features"]
    here = client.get("/v1/model").json()["features"]
    assert there == list(SHARED)
    assert [name for name in here if name in SHARED] == there
    assert not {"write", "image_url"} & set(here)


def httpx_allow(response: httpx.Response) -> list[str]:
    return [each for each in response.headers.get("allow", "").split(", ") if each] or [""]


def alike(body: dict[str, Any], event: dict[str, Any] | None) -> dict[str, Any]:
    """An answer without what may differ: a clock, the address it was asked at, one hint, and where
    the hints say that the API is described."""
    body.pop("took_ms", None)
    # Each says what it has of its own.
    body.pop("features", None)
    if body.get("error", {}).get("code") == "read_only":
        body["error"].pop("hint")
    elif "error" in body:
        hint = body["error"]["hint"]
        here, there = ("at /docs", DESCRIBED) if event is None else (DESCRIBED, "at /docs")
        assert there not in hint
        assert DOCS not in hint
        body["error"]["hint"] = hint.replace(here, DOCS)
    if "results" in body and isinstance(body["results"], dict):
        here = "https://here" if event is None else base_of(event)
        assert all(url.startswith(f"{here}/images/") for url in body["results"])
        body["results"] = [[url.removeprefix(here), d] for url, d in body["results"].items()]
    return body


def base_of(event: dict[str, Any]) -> str:
    context = event["requestContext"]
    stage = "" if context["stage"] == "$default" else f"/{context['stage']}"
    return f"https://{context['domainName']}{stage}"
