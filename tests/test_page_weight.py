"""What a visit to every view of the page weighs, as the server sends it; pictures not counted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from serving import make_gallery
from vizinho.serve.app import create_app

PAGE = Path(__file__).resolve().parents[1] / "src" / "vizinho" / "page"
LIMIT = 100_000
"""Bytes that may be sent: packed as browsers take it, with each answer's head."""
# The API's documentation is another page, with Swagger UI in it.
ANOTHER_PAGE = {"docs.html", "docs.js"}
LANGUAGES = ("en", "pt")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with TestClient(create_app(make_gallery(tmp_path_factory.mktemp("weighed"), 3))) as client:
        yield client


def of_the_page() -> set[str]:
    return {path.name for path in PAGE.iterdir() if path.is_file()} - ANOTHER_PAGE


def sent(client: TestClient, name: str) -> tuple[int, int]:
    """Bytes of a file as a browser gets it, with the answer's head, and of the file itself."""
    path = "/" if name == "index.html" else f"/static/{name}"
    with client.stream("GET", path, headers={"Accept-Encoding": "gzip, deflate, br"}) as answer:
        assert answer.status_code == 200, path
        head = sum(len(key) + len(value) + 4 for key, value in answer.headers.raw)
        body = sum(len(part) for part in answer.iter_raw())
    return head + body, (PAGE / name).stat().st_size


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_view_together_weighs_less_than_100_kb(client: TestClient, language: str) -> None:
    in_another = re.compile(rf"words\.(.+\.)?(?!{language})\w\w\.js")
    others = {name for name in of_the_page() if in_another.fullmatch(name)}
    assert others
    sizes = {name: sent(client, name) for name in of_the_page() - others}
    print("\n    sent  written")
    for name, (packed, plain) in sorted(sizes.items(), key=lambda each: -each[1][0]):
        print(f"{packed:>8,} {plain:>8,}  {name}")
    total, written = (sum(each) for each in zip(*sizes.values(), strict=True))
    print(f"{total:>8,} {written:>8,}  in all; {LIMIT:,} bytes may be sent")
    assert total < LIMIT


def test_every_file_of_the_page_is_used_by_another() -> None:
    """A file that nothing names is weight for nobody, or a name that is misspelt."""
    names = of_the_page()
    texts = {name: (PAGE / name).read_text() for name in names}
    idle = {
        name
        for name in names
        if name != "index.html"
        and not any(name in text for other, text in texts.items() if other != name)
    }
    assert idle == set()


def test_every_file_that_is_named_is_there() -> None:
    pattern = re.compile(r"""["'](?:\./|static/)?([\w.-]+\.(?:js|css|svg))["']""")
    named = {
        (name, found)
        for name in of_the_page()
        if name.endswith((".js", ".html"))
        for found in pattern.findall((PAGE / name).read_text())
    }
    assert len(named) > 10
    assert {(name, found) for name, found in named if not (PAGE / found).exists()} == set()
