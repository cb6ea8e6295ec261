"""Base64, forms, the work queue and fetching: the parts under the routes."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from vizinho.contract.errors import ApiError
from vizinho.contract.pictures import decode_base64
from vizinho.errors import SettingsError
from vizinho.serve.fetch import fetch_image
from vizinho.serve.options import ServeOptions
from vizinho.serve.work import WorkQueue

DATA = bytes(range(256)) * 3 + b"\xff\xfe"
TEXT = base64.b64encode(DATA)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        base64.encodebytes(DATA),
        b"  \r\n" + base64.encodebytes(DATA).replace(b"\n", b"\r\n") + b"\t",
        b"data:image/png;base64," + TEXT,
        b"\n data:;base64,\n" + TEXT,
        base64.urlsafe_b64encode(DATA),
        TEXT.rstrip(b"="),
    ],
    ids=["plain", "lines", "crlf", "data-url", "bare-data-url", "url-safe", "no-padding"],
)
def test_base64_as_people_send_it(text: bytes) -> None:
    assert decode_base64(text, 10_000) == DATA


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", "empty_body"),
        (b" \n ", "empty_body"),
        (b"data:image/png;base64,", "empty_body"),
        (b"\x89PNG\r\n\x1a\n", "not_base64"),
        (b"hello, world", "not_base64"),
        (b"abcde", "not_base64"),
        (TEXT + b"*", "not_base64"),
    ],
)
def test_what_is_no_base64(text: bytes, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        decode_base64(text, 10_000)
    assert (caught.value.status, caught.value.code) == (400, code)


def test_base64_limit_is_of_the_picture_not_the_text() -> None:
    assert decode_base64(TEXT, len(DATA)) == DATA
    with pytest.raises(ApiError) as caught:
        decode_base64(TEXT, len(DATA) - 1)
    assert caught.value.status == 413


def test_queue_runs_waits_and_refuses() -> None:
    async def main() -> None:
        queue = WorkQueue("test", workers=1, waiting=1)
        gate = threading.Event()
        first = asyncio.create_task(queue.run(gate.wait, 10))
        second = asyncio.create_task(queue.run(lambda: 7))
        await asyncio.sleep(0.05)
        assert queue.inside == 2
        with pytest.raises(ApiError) as caught:
            await queue.run(lambda: 8)
        assert caught.value.status == 503
        assert caught.value.headers["Retry-After"] == "1"
        gate.set()
        assert await asyncio.gather(first, second) == [True, 7]
        assert await queue.run(lambda: 9) == 9
        assert queue.inside == 0
        queue.close()

    asyncio.run(main())


def test_a_cancelled_call_keeps_its_place_until_its_thread_is_done() -> None:
    async def main() -> None:
        queue = WorkQueue("test", workers=1, waiting=0)
        gate = threading.Event()
        task = asyncio.create_task(queue.run(gate.wait, 10))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ApiError):
            await queue.run(lambda: 1)
        gate.set()
        for _ in range(200):
            if queue.inside == 0:
                break
            await asyncio.sleep(0.01)
        assert await queue.run(lambda: 2) == 2
        queue.close()

    asyncio.run(main())


def test_an_error_in_a_worker_comes_back_and_frees_the_place() -> None:
    async def main() -> None:
        queue = WorkQueue("test", workers=1, waiting=0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await queue.run(lambda: 1 // 0)
        queue.close()

    asyncio.run(main())


class _Web(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/picture")
            self.end_headers()
            return
        body = DATA if self.path == "/picture" else bytes(2_000_000)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Web)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_fetch_from_an_allowed_host(web: str) -> None:
    assert fetch_image(f"{web}/picture", hosts=("127.0.0.1",), limit=10_000) == DATA


@pytest.mark.parametrize(
    ("path", "status"), [("/moved", 422), ("/large", 413)], ids=["redirect", "too large"]
)
def test_fetch_stops(web: str, path: str, status: int) -> None:
    with pytest.raises(ApiError) as caught:
        fetch_image(web + path, hosts=("127.0.0.1",), limit=10_000)
    assert caught.value.status == status


def test_fetch_of_private_addresses_is_refused_under_any_public_host(web: str) -> None:
    port = web.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.0.0.1", "2130706433"):
        with pytest.raises(ApiError) as caught:
            fetch_image(f"http://{host}:{port}/picture", hosts=("*",), limit=10_000)
        assert caught.value.status == 403, host


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://127.0.0.1/a", "gopher://x", "/etc/passwd", "http://",
            "http://a:99999/", "http://user:pw@127.0.0.1/", "http://[::1", ""]
)  # fmt: skip
def test_fetch_of_what_is_no_web_address(url: str) -> None:
    with pytest.raises(ApiError) as caught:
        fetch_image(url, hosts=("127.0.0.1", "*"), limit=10_000)
    assert caught.value.status == 422


@pytest.mark.parametrize(
    "wrong",
    [{"workers": 0}, {"queue": -1}, {"max_upload_bytes": 0}, {"public_url": "example.org"}],
)
def test_options_that_make_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        ServeOptions(**wrong)  # type: ignore[arg-type]
