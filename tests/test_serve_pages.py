"""The page's files over HTTP: packed for who can unpack them, and sent once."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from serving import make_gallery
from vizinho.serve.app import create_app
from vizinho.serve.routes.pages import PAGE

PLAIN = {"Accept-Encoding": "identity"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with TestClient(create_app(make_gallery(tmp_path_factory.mktemp("pages")))) as client:
        yield client


@pytest.mark.parametrize(
    ("address", "file"), [("/", "index.html"), ("/static/app.js", "app.js"), ("/docs", "docs.html")]
)
def test_a_file_is_packed_for_who_can_unpack_it(
    client: TestClient, address: str, file: str
) -> None:
    written = (PAGE / file).read_bytes()
    plain = client.get(address, headers=PLAIN)
    assert plain.content == written
    assert "content-encoding" not in plain.headers
    with client.stream("GET", address, headers={"Accept-Encoding": "br, gzip;q=0.5"}) as answer:
        sent = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert int(answer.headers["content-length"]) == len(sent)
    assert gzip.decompress(sent) == written
    assert answer.headers["content-type"] == plain.headers["content-type"]


@pytest.mark.parametrize("accepted", ["gzip;q=0", "br", "gzip; q=0.0"])
def test_who_refuses_gzip_gets_none(client: TestClient, accepted: str) -> None:
    answer = client.get("/static/app.js", headers={"Accept-Encoding": accepted})
    assert "content-encoding" not in answer.headers
    assert answer.content == (PAGE / "app.js").read_bytes()


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
def test_what_a_client_has_is_not_sent_again(client: TestClient, accepted: str) -> None:
    headers = {"Accept-Encoding": accepted}
    first = client.get("/static/base.css", headers=headers)
    assert first.headers["cache-control"] == "no-cache"
    again = client.get(
        "/static/base.css", headers=headers | {"If-None-Match": f'"x", {first.headers["etag"]}'}
    )
    assert (again.status_code, again.content) == (304, b"")
    other = {"gzip": "identity", "identity": "gzip"}[accepted]
    changed = client.get(
        "/static/base.css",
        headers={"Accept-Encoding": other, "If-None-Match": first.headers["etag"]},
    )
    assert changed.status_code == 200
