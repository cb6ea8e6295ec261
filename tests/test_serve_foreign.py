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


@pytest.mark.parametrize(
    "headers",
    [
        {},
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
        asked = client.get("/v1/map", headers={"Sec-Fetch-Site": "cross-site", "Origin": PAGE})
        assert asked.status_code in (200, 202)
