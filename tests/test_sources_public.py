"""A public bucket: whoever signs is refused, and anybody may look."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from moto_account import point_to
from toys import encode, noise
from vizinho.errors import SourceError
from vizinho.sources import open_sources

PICTURE = encode(noise(3))
LISTING = f"""<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
<Name>open-to-all</Name><Prefix></Prefix><KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys>
<IsTruncated>false</IsTruncated><Contents><Key>tom.png</Key><Size>{len(PICTURE)}</Size>
<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents></ListBucketResult>"""
DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>No.</Message></Error>"


class _S3(BaseHTTPRequestHandler):
    """As much of S3 as listing and reading one public bucket takes."""

    def do_GET(self) -> None:
        if "Authorization" in self.headers or self.path.startswith("/closed"):
            self._answer(403, DENIED)
        elif "tom.png" in self.path:
            self._answer(200, PICTURE)
        else:
            self._answer(200, LISTING.encode())

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _S3)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    point_to(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    server.server_close()


def test_a_public_bucket_is_read_without_rights_of_ones_own() -> None:
    (item,) = open_sources(["s3://open-to-all"])
    assert (item.key, item.read()) == ("tom.png", PICTURE)


def test_a_closed_one_is_not() -> None:
    with pytest.raises(SourceError, match=r"Access to s3://closed-to-all is denied"):
        list(open_sources(["s3://closed-to-all"]))
