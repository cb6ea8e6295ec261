"""The function on AWS in this process: events, bodies, CORS, links in answers, failures."""

from __future__ import annotations

import base64
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambda_events import HTTP_HOST, MAKERS, REST_HOST, URL_HOST, function_url, json_of, rest_api
from serving import COUNT, LIMIT, as_base64, key_of, make_gallery, picture
from vizinho.aws import function as module
from vizinho.aws.events import Request, parse_event
from vizinho.aws.function import Function
from vizinho.contract import pictures
from vizinho.contract.errors import ApiError
from vizinho.errors import GalleryNotFound
from vizinho.gallery import Gallery
from vizinho.gallery.pack import pack
from vizinho.settings import FunctionSettings

BUCKET = "vizinho-demo-123456789012-eu-west-1"
LINKED = f"https://{BUCKET}.s3.eu-west-1.amazonaws.com/images/"


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("aws"))


@pytest.fixture(scope="module")
def packed(gallery: Path) -> Path:
    folder = gallery.with_name("packed.vizinho")
    with Gallery.open(gallery) as opened:
        pack(opened, folder, lambda row: f"s3://{BUCKET}/images/{row.hash[:2]}/{row.hash}.png")
    return folder


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


Start = Callable[..., Function]


@pytest.fixture
def start(packed: Path) -> Start:
    def start(**given: Any) -> Function:
        options = {"gallery": str(packed), "region": "eu-west-1", "max_upload_bytes": LIMIT}
        settings = FunctionSettings(**{**options, **given})
        function = Function(lambda: settings)
        function.start()
        return function

    return start


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("way", ["text", "text in base64", "bytes in base64"])
def test_the_thesis_contract(start: Start, maker: str, way: str) -> None:
    """Gateways hand a body on as text or as base64 of it; both and the bare picture are taken."""
    body, kind = as_base64(picture(3)).encode(), "application/x-www-form-urlencoded"
    if way == "bytes in base64":
        body, kind = picture(3), "image/png"
    event = MAKERS[maker](
        "POST", "/", headers={"Content-Type": kind}, body=body, binary=way != "text"
    )
    assert event["isBase64Encoded"] == (way != "text")
    answer = start(links="public").handle(event, "1")
    assert answer["statusCode"] == 200, answer
    results = json_of(answer)["results"]
    assert len(results) == 10
    distances = list(results.values())
    assert distances == sorted(distances)
    assert (distances[0], distances[1] > 0) == (0.0, True)
    for url in results:
        assert url.startswith(LINKED)
        assert "?" not in url


def test_links_are_signed_unless_all_is_public(start: Start) -> None:
    ask = {"headers": {"Content-Type": "application/json"}, "body": b'{"key": "test/00003.png"}'}
    found = json_of(start().handle(function_url("POST", "/v1/search", **ask), "1"))["results"]
    assert all("X-Amz-Signature=" in each["url"] for each in found)
    assert all(each["url"].startswith(LINKED) for each in found)
    answer = start().handle(function_url("GET", "/images/test/00003.png"), "1")
    assert (answer["statusCode"], answer["body"]) == (302, "")
    assert answer["headers"]["Location"].startswith(LINKED)
    assert answer["headers"]["Cache-Control"] == "private, max-age=300"
    short = start(link_seconds=60).handle(function_url("HEAD", "/images/test/00003.png"), "1")
    assert short["headers"]["Cache-Control"] == "private, max-age=30"
    record = json_of(start().handle(function_url("GET", "/v1/images/test/00003.png"), "1"))
    assert record["url"] == answer["headers"]["Location"]


def test_no_keys_to_sign_with(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    answer = start().handle(function_url("GET", "/v1/images"), "1")
    assert (answer["statusCode"], json_of(answer)["error"]["code"]) == (500, "gallery_error")
    assert "no AWS keys" in json_of(answer)["error"]["message"]


def test_the_model_as_the_page_reads_it(start: Start) -> None:
    told = json_of(start().handle(rest_api("GET", "/v1/model"), "1"))
    assert (told["writable"], told["image_url"]) == (False, False)
    assert (told["images"], told["max_upload_bytes"]) == (COUNT, LIMIT)


def test_keys_decoded_or_not(gallery: Path, tmp_path: Path) -> None:
    """Some gateways decode a path, some do not; a key may hold a percent sign of its own."""
    function = Function(lambda: FunctionSettings(gallery=str(gallery)))
    function.start()
    for path in ("/v1/images/f%C3%A9rias%201/00010.png", "/v1/images/férias 1/00010.png"):
        answer = function.handle(function_url("GET", path), "1")
        assert json_of(answer)["key"] == key_of(10)
        assert json_of(answer)["url"] == "/images/f%C3%A9rias%201/00010.png"


@pytest.mark.parametrize("encoded", [False, True])
def test_nothing_is_decoded_past_the_limit(
    start: Start, monkeypatch: pytest.MonkeyPatch, encoded: bool
) -> None:
    def never(*_: object, **__: object) -> bytes:
        raise AssertionError("decoded")

    function = start(max_upload_bytes=1000)
    event = function_url("POST", "/", body=b"A" * 70_000, binary=False)
    event["isBase64Encoded"] = encoded
    event["body"] *= 2 if encoded else 1
    monkeypatch.setattr(pictures.base64, "b64decode", never)
    answer = function.handle(event, "1")
    assert (answer["statusCode"], json_of(answer)["error"]["code"]) == (413, "too_large")
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    event |= {"rawPath": "/v1/search", "headers": {**event["headers"], **form}}
    assert function.handle(event, "1")["statusCode"] == 413


def test_bodies_that_lie(start: Start) -> None:
    event = function_url("POST", "/", body=b"not base64!", binary=False)
    event["isBase64Encoded"] = True
    assert start().handle(event, "1")["statusCode"] == 400
    event |= {"body": "\ud800", "isBase64Encoded": False}
    assert start().handle(event, "1")["statusCode"] == 400
    large = function_url("POST", "/", body=picture(1) + bytes(LIMIT), binary=True)
    assert start().handle(large, "1")["statusCode"] == 413


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ((), "https://page.example", None),
        (("https://page.example",), "https://page.example", "https://page.example"),
        (("https://page.example",), "https://evil.example", None),
        (("*",), "https://page.example", "*"),
        (("*",), None, None),
    ],
)
def test_cors(
    start: Start, origins: tuple[str, ...], origin: str | None, allowed: str | None
) -> None:
    function = start(cors_origins=origins)
    asked = {"Origin": origin} if origin else {}
    for maker in MAKERS.values():
        for method, url in (("GET", "/health"), ("GET", "/nothing"), ("OPTIONS", "/v1/search")):
            answer = function.handle(maker(method, url, headers=asked), "1")
            headers = answer["headers"]
            assert headers.get("Access-Control-Allow-Origin") == allowed
            assert ("Vary" in headers) == (origins == ("https://page.example",))
    assert answer["statusCode"] == 204
    assert ("Access-Control-Allow-Methods" in headers) == (bool(origins) and origin is not None)
    assert "DELETE" not in headers.get("Access-Control-Allow-Methods", "")


def test_every_answer_has_the_security_headers(start: Start) -> None:
    function = start()
    for event in (function_url("GET", "/v1/model"), rest_api("GET", "/x"), {"key1": "value1"}):
        headers = function.handle(event, "1")["headers"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    found = function.handle(rest_api("PUT", "/v1/search"), "1")
    assert (found["statusCode"], found["headers"]["Allow"]) == (405, "POST, OPTIONS")
    # Removing is refused, so it is not offered.
    found = function.handle(rest_api("PUT", "/v1/images/a.png"), "1")
    assert (found["statusCode"], found["headers"]["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert "/docs" not in found["body"]
    assert function.handle(rest_api("HEAD", "/v1/model"), "1")["body"] == ""


@pytest.mark.parametrize(
    "event",
    [None, [], {}, {"key1": "value1"}, {"httpMethod": "GET"}, {"requestContext": {"http": 3}},
     {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}],
)  # fmt: skip
def test_events_of_another_kind(start: Start, event: object) -> None:
    answer = start().handle(event, "1")
    assert (answer["statusCode"], json_of(answer)["error"]["code"]) == (400, "not_http")


def test_an_event_that_is_damaged_is_an_answer_too(start: Start) -> None:
    event = {**function_url("GET", "/health"), "headers": [3]}
    answer = start().handle(event, "1")
    assert (answer["statusCode"], json_of(answer)["error"]["code"]) == (500, "internal_error")


def one(event: dict[str, Any]) -> Request:
    return parse_event(event)


def test_stages_and_base_paths() -> None:
    assert one(rest_api("GET", "/v1/model")).paths == ("/v1/model",)
    assert one(rest_api("GET", "/v1/model", stage="v1")).paths[-1] == "/v1/model"
    assert one(rest_api("GET", "/v1/model")).base == f"https://{REST_HOST}/prod"
    staged = MAKERS["http-api-stage"]("GET", "/v1/model")
    assert one(staged).paths[0] == "/v1/model"
    assert one(staged).base == f"https://{HTTP_HOST}/dev"
    assert one(function_url("GET", "/")).base == f"https://{URL_HOST}"
    mapped = rest_api("GET", "/v1/model")
    mapped["path"] = mapped["requestContext"]["path"] = "/api/v1/model"
    assert "/v1/model" in one(mapped).paths
    bare = {"httpMethod": "get", "path": "/health", "multiValueHeaders": {"Host": ["a", "b"]}}
    assert (one(bare).method, one(bare).base) == ("GET", "https://b")
    with pytest.raises(ApiError):
        parse_event("GET /")


def test_a_stage_named_as_a_route(start: Start) -> None:
    for stage in ("v1", "images", "health"):
        answer = start().handle(rest_api("GET", "/v1/model", stage=stage), "1")
        assert answer["statusCode"] == 200, stage
        staged = MAKERS["http-api"]("GET", "/v1/model", stage=stage)
        assert start().handle(staged, "1")["statusCode"] == 200, stage


def test_a_start_that_fails_says_why_and_is_tried_again(
    packed: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = True

    def load() -> FunctionSettings:
        if broken:
            raise GalleryNotFound("s3://nowhere does not exist.")
        return FunctionSettings(gallery=str(packed))

    function = Function(load)
    with caplog.at_level(logging.INFO, "vizinho.aws"):
        function.start()
        answer = function.handle(function_url("GET", "/health"), "1")
    assert (answer["statusCode"], json_of(answer)["error"]["code"]) == (503, "not_started")
    assert "nowhere" not in answer["body"]
    assert answer["headers"]["Retry-After"] == "5"
    fields = [record.fields for record in caplog.records]  # type: ignore[attr-defined]
    assert "s3://nowhere does not exist." in fields[0]["error"]
    assert len([each for each in fields if "error" in each]) == 1
    broken = False
    assert function.handle(function_url("GET", "/health"), "2")["statusCode"] == 503
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0)
    assert function.handle(function_url("GET", "/health"), "3")["statusCode"] == 200


def test_the_handler_loads_only_what_it_needs(packed: Path) -> None:
    heavy = {"fastapi", "starlette", "pydantic", "typer", "rich", "pyarrow", "matplotlib"}
    heavy |= {"torch", "boto3", "botocore", "faiss", "uvicorn", "python_multipart", "ssl"}
    event = function_url("POST", "/", body=as_base64(picture(1)).encode(), binary=False)
    code = (
        "import json, sys; from vizinho.aws.handler import handler; "
        "answer = handler(json.load(sys.stdin), None); assert answer['statusCode'] == 200, answer; "
        f"print(sorted(set(sys.modules) & {heavy!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(event),
        capture_output=True,
        text=True,
        env={"VIZINHO_GALLERY": str(packed), "PYTHONPATH": str(Path(module.__file__).parents[2]),
             "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"},
    )  # fmt: skip
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["[]"]), done.stderr
    started, answered = (json.loads(line) for line in done.stdout.splitlines()[:2])
    assert (started["message"], started["images"]) == ("started", COUNT)
    assert (answered["method"], answered["path"], answered["status"]) == ("POST", "/", 200)
    assert base64.b64encode(picture(1)).decode()[:40] not in done.stdout
