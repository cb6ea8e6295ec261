"""The server itself: model, counters, errors, page, CORS; in process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from serving import COUNT, LIMIT, key_of, make_gallery, picture, problem, upload
from toys import make_toy_bundle
from vizinho import errors
from vizinho.preprocess import PreprocessSpec
from vizinho.serve.app import create_app
from vizinho.serve.options import ServeOptions


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="module")
def client(gallery: Path) -> Iterator[TestClient]:
    app = create_app(gallery, ServeOptions(max_upload_bytes=LIMIT))
    with TestClient(app, base_url="http://pictures.example") as client:
        yield client


def test_model_health_metrics(client: TestClient) -> None:
    model = client.get("/v1/model").json()
    assert (model["name"], model["dimension"], model["images"]) == ("toy", 12, COUNT)
    assert len(model["fingerprint"]) == 64
    assert (model["writable"], model["image_url"]) == (False, False)
    assert model["max_upload_bytes"] == LIMIT
    assert client.get("/health").json()["status"] == "ok"
    client.post("/v1/search", **upload(picture(1)))
    client.get("/images/nobody")
    text = client.get("/metrics").text
    assert f"vizinho_images {COUNT}.0" in text
    assert 'route="/images/{key:path}",status="404"' in text
    assert "nobody" not in text
    searches = next(
        line for line in text.splitlines() if line.startswith("vizinho_search_seconds_count")
    )
    assert float(searches.split()[1]) >= 1


def test_unknown_addresses_and_methods(client: TestClient) -> None:
    problem(client.get("/nothing"), 404, "not_found")
    problem(client.get("/static/app.py"), 404, "not_found")
    problem(client.get("/static/../app.py"), 404, "not_found")
    problem(client.get("/docs/core.py"), 404, "not_found")
    response = client.put("/v1/search")
    problem(response, 405, "method_not_allowed")
    assert "POST" in response.headers["allow"]


def test_page_and_docs_come_from_here_alone(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "script-src 'self'" in policy
    for name in ("app.js", "style.css", "icon.svg"):
        assert client.get(f"/static/{name}").status_code == 200
    assert "https://" not in client.get("/docs").text
    assert client.get("/docs/swagger-ui-bundle.js").headers["content-type"].startswith("text/java")
    described = client.get("/openapi.json").json()
    assert {"/", "/v1/search", "/v1/images", "/v1/model", "/health"} <= set(described["paths"])
    bodies = described["paths"]["/v1/search"]["post"]["requestBody"]["content"]
    assert set(bodies) == {"multipart/form-data", "application/json"}


def test_cors_is_off_until_an_origin_is_named(client: TestClient, gallery: Path) -> None:
    asked = {"Origin": "https://friend.example"}
    assert "access-control-allow-origin" not in client.get("/v1/model", headers=asked).headers
    app = create_app(gallery, ServeOptions(cors_origins=("https://friend.example",)))
    with TestClient(app) as open_client:
        answer = open_client.get("/v1/model", headers=asked)
        assert answer.headers["access-control-allow-origin"] == "https://friend.example"
        stranger = open_client.get("/v1/model", headers={"Origin": "https://other.example"})
        assert "access-control-allow-origin" not in stranger.headers


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.NotAnImage, 415),
        (errors.UnreadableImage, 400),
        (errors.ImageTooLarge, 413),
        (errors.KeyNotFound, 404),
        (errors.FingerprintMismatch, 409),
        (errors.GalleryBusy, 503),
        (errors.GalleryDamaged, 500),
        (ZeroDivisionError, 500),
    ],
)
def test_every_error_has_the_one_shape(gallery: Path, error: type[Exception], status: int) -> None:
    app = create_app(gallery)

    @app.get("/broken")
    async def broken() -> None:
        raise error("what is wrong")

    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.get("/broken")
    told = problem(response, status, response.json()["error"]["code"])
    assert ("what is wrong" in told["message"]) == (error is not ZeroDivisionError)
    assert ("retry-after" in response.headers) == (status == 503)


def test_another_model_is_a_conflict(client: TestClient, gallery: Path, tmp_path: Path) -> None:
    fingerprint = client.get("/v1/model").json()["fingerprint"]
    body = {"key": key_of(1), "fingerprint": fingerprint}
    assert client.post("/v1/search", json=body).status_code == 200
    body["fingerprint"] = "0" * 64
    problem(client.post("/v1/search", json=body), 409, "fingerprint_mismatch")
    other = make_toy_bundle(tmp_path, "other", spec=PreprocessSpec(size=32))
    with pytest.raises(errors.FingerprintMismatch):
        create_app(gallery, ServeOptions(model=other))
