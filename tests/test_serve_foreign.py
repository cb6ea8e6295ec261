"""Work of minutes is not begun for web pages of elsewhere; for all others it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from serving import make_gallery, problem
from vizinho.serve.app import create_app
from vizinho.serve.options import ServeOptions

PAGE = "https://page.example"
ROUTES = ("/v1/map", "/v1/duplicates")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("foreign"), 6)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_elsewhere_begins_nothing(path: Path, site: str) -> None:
    options = ServeOptions(writable=True, cors_origins=(PAGE,))
    app = create_app(path, options)
    with TestClient(app) as client:
        for route in ROUTES:
            for headers in ({}, {"Origin": "https://evil.example"}):
                asked = client.get(route, headers={"Sec-Fetch-Site": site, **headers})
                assert "--cors" in problem(asked, 403, "foreign_origin")["hint"]
        assert app.state.service.maps._work is None
        assert app.state.service.duplicates._work is None


IMAGE = {"Accept": "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"}
FRAME = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Referer": "http://evil.example/a.html"},
        {"Referer": "http://testserver.evil.example/"},
        {"Referer": "http://[evil"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://evil.example", "Referer": "http://testserver/"},
        IMAGE,
        FRAME,
        {"Accept": "text/css,*/*;q=0.1"},
    ],
)
def test_nor_does_it_over_plain_http_where_browsers_name_no_site(
    path: Path, headers: dict[str, str]
) -> None:
    app = create_app(path, ServeOptions(writable=True, cors_origins=(PAGE,)))
    with TestClient(app) as client:
        for route in ROUTES:
            problem(client.get(route, headers=headers), 403, "foreign_origin")
        assert app.state.service.maps._work is None
        assert app.state.service.duplicates._work is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Accept": "*/*"},
        {"Accept": "application/json"},
        {"Referer": "http://testserver/"},
        {"Referer": "http://testserver/", **FRAME},
        {"Sec-Fetch-Site": "none", **FRAME},
        {"Sec-Fetch-Site": "same-origin", **IMAGE},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": PAGE},
    ],
)
@pytest.mark.parametrize("route", ROUTES)
def test_programs_and_pages_that_are_let_in_are_answered(
    path: Path, route: str, headers: dict[str, str]
) -> None:
    options = ServeOptions(writable=True, cors_origins=(PAGE,))
    with TestClient(create_app(path, options)) as client:
        assert client.get(route, headers=headers).status_code in (200, 202)


def test_a_server_that_lets_every_page_in_lets_it_see_the_map(path: Path) -> None:
    with TestClient(create_app(path, ServeOptions(cors_origins=("*",)))) as client:
        for headers in ({"Sec-Fetch-Site": "cross-site", "Origin": PAGE}, {"Referer": PAGE}):
            assert client.get("/v1/map", headers=headers).status_code in (200, 202)


def test_so_does_one_that_lets_a_page_in_by_its_referrer(path: Path) -> None:
    with TestClient(create_app(path, ServeOptions(cors_origins=(PAGE,)))) as client:
        asked = client.get("/v1/map", headers={"Referer": f"{PAGE}/some/page"})
        assert asked.status_code in (200, 202)
