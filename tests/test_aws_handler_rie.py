"""The handler in AWS's Runtime Interface Emulator, by the runtime client of Lambda's own image."""

from __future__ import annotations

import base64
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import rie
from lambda_events import MAKERS, function_url, json_of
from moto_account import moto_server
from rie import Function, require_rie
from serving import as_base64, key_of, make_gallery, picture
from vizinho.engines import Row
from vizinho.gallery import Gallery
from vizinho.gallery.pack import pack


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("rie"))


@pytest.fixture(scope="module")
def function(gallery: Path) -> Iterator[Function]:
    environment = {"VIZINHO_GALLERY": str(gallery), "VIZINHO_CORS": "https://page.example"}
    with Function(environment=environment) as function:
        yield function


@pytest.mark.parametrize("maker", MAKERS)
def test_a_search_through_every_kind_of_api(function: Function, maker: str) -> None:
    text = as_base64(picture(3)).encode()
    event = MAKERS[maker]("POST", "/", headers={"Content-Type": "text/plain"}, body=text)
    answer = function.invoke(event)
    assert answer["statusCode"] == 200, function.log
    results = json_of(answer)["results"]
    assert len(results) == 10
    assert list(results.values()) == sorted(results.values())
    first = next(iter(results))
    assert first.endswith("/images/test/00003.png")
    body = (
        b'--e\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n%s\r\n--e--\r\n'
    )
    form = {"Content-Type": "multipart/form-data; boundary=e", "Origin": "https://page.example"}
    event = MAKERS[maker]("POST", "/v1/search", headers=form, body=body % picture(10))
    answer = function.invoke(event)
    found = json_of(answer)["results"]
    assert (found[0]["key"], found[0]["distance"]) == (key_of(10), 0.0)
    assert answer["headers"]["Access-Control-Allow-Origin"] == "https://page.example"
    answer = function.invoke(MAKERS[maker]("GET", found[0]["url"]))
    assert base64.b64decode(answer["body"]) == picture(10)


def test_errors_come_as_answers(function: Function) -> None:
    answer = function.invoke(function_url("POST", "/", body=b"hello, world", binary=False))
    assert (answer["statusCode"], json_of(answer)["error"]["code"]) == (400, "not_base64")
    assert function.invoke({"key1": "value1"})["statusCode"] == 400
    assert function.invoke(function_url("PATCH", "/health"))["statusCode"] == 405


def test_the_log_has_a_line_for_each_request_and_no_body(function: Function) -> None:
    text = as_base64(picture(5))
    function.invoke(function_url("POST", "/", body=text.encode(), binary=False))
    started = [each for each in function.records if each["message"] == "started"]
    assert len(started) == 1
    answered = [each for each in function.records if each["message"] == "answered"]
    assert {"request", "method", "path", "status", "ms"} <= set(answered[-1])
    assert answered[-1]["status"] == 200
    assert text[:60] not in function.log


def test_a_gallery_that_is_not_there(tmp_path: Path) -> None:
    with Function(environment={"VIZINHO_GALLERY": str(tmp_path / "none.vizinho")}) as function:
        answer = function.invoke(function_url("GET", "/v1/model"))
        assert (answer["statusCode"], json_of(answer)["error"]["code"]) == (503, "not_started")
        assert any("none.vizinho" in each.get("error", "") for each in function.records)


def test_a_gallery_and_pictures_out_of_s3(gallery: Path, tmp_path: Path) -> None:
    """As deployed: the packed gallery comes from the bucket, and so do the pictures, by link."""
    import boto3

    def address(row: Row) -> str:
        return f"s3://demo/images/{row.hash[:2]}/{row.hash}.png"

    with moto_server() as endpoint:
        s3 = boto3.client(
            "s3", "us-east-1", endpoint_url=endpoint, aws_access_key_id="a",
            aws_secret_access_key="b",
        )  # fmt: skip
        s3.create_bucket(Bucket="demo")
        with Gallery.open(gallery) as opened:
            digest = pack(opened, tmp_path / "packed", address).digest
            for row in opened.items(0, 100):
                name = address(row).removeprefix("s3://demo/")
                s3.put_object(Bucket="demo", Key=name, Body=opened.image_bytes(row.key)[0])
        for file in (path for path in (tmp_path / "packed").rglob("*") if path.is_file()):
            inside = file.relative_to(tmp_path / "packed").as_posix()
            s3.upload_file(str(file), "demo", f"galleries/{digest}/{inside}")
        environment = {
            "VIZINHO_GALLERY": f"s3://demo/galleries/{digest}",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": "us-east-1",
            "TMPDIR": str(tmp_path),
        }
        with Function(environment=environment) as function:
            ask = {"headers": {"Content-Type": "application/json"}}
            event = function_url("POST", "/v1/search", **ask, body=b'{"key": "test/00003.png"}')
            found = json_of(function.invoke(event))["results"]
            with urllib.request.urlopen(found[0]["url"], timeout=60) as answer:
                assert answer.read() == picture(3)
            body = b'{"key": "test/00003.png", "crop": {"right": 0.5}, "k": 1}'
            part = function.invoke(function_url("POST", "/v1/search", **ask, body=body))
            assert part["statusCode"] == 200, (part, function.log)


def test_nothing_is_left_running(gallery: Path) -> None:
    with Function(environment={"VIZINHO_GALLERY": str(gallery)}) as function:
        assert function.invoke(function_url("GET", "/health"))["statusCode"] == 200
        family = [function.process.pid, *rie._descendants(function.process.pid)]
        assert len(family) > 1
    end = time.monotonic() + 20
    while not all(map(_gone, family)) and time.monotonic() < end:
        time.sleep(0.02)
    assert all(map(_gone, family))


def test_a_folder_of_its_own_sees_no_library_of_ours(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import importlib.util as u\n"
        "def handler(event, context):\n"
        "    names = ('numpy', 'vizinho', 'awslambdaric')\n"
        "    return {name: u.find_spec(name) is not None for name in names}\n"
    )
    with Function(tmp_path, handler="app.handler", isolated=True) as function:
        seen = function.invoke({})
    assert seen == {"numpy": False, "vizinho": False, "awslambdaric": True}


def test_the_emulator_is_where_it_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    found = require_rie()
    monkeypatch.setenv("VIZINHO_TEST_RIE", str(found))
    assert rie.find_rie() == found
    monkeypatch.setenv("VIZINHO_TEST_RIE", "/nowhere")
    assert rie.find_rie() is None


def _gone(pid: int) -> bool:
    """Whether there is no such process any more, or only what is left of one."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
