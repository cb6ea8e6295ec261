"""What a server says that it offers, and the labels of its gallery; in process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from serving import COUNT, LABELS, make_gallery, problem
from vizinho.contract.features import FEATURES, SHARED, listed
from vizinho.gallery import Gallery
from vizinho.serve.app import create_app
from vizinho.serve.features import OFFERED
from vizinho.serve.options import ServeOptions


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="module")
def client(gallery: Path) -> Iterator[TestClient]:
    with TestClient(create_app(gallery)) as client:
        yield client


def test_features_are_those_of_this_server(gallery: Path, client: TestClient) -> None:
    closed = client.get("/v1/model").json()["features"]
    assert set(SHARED) <= set(closed)
    assert not {"write", "image_url"} & set(closed)
    app = create_app(gallery, ServeOptions(writable=True, image_url_hosts=("*",)))
    with TestClient(app) as open_client:
        features = open_client.get("/v1/model").json()["features"]
    assert set(features) >= {*closed, "write", "image_url"}
    assert features == [name for name in FEATURES if name in features]


def test_what_is_offered_is_not_asked_where_all_requests_are_heard(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def possible(*_: object) -> bool:
        threads.append(threading.current_thread().name)
        return True

    monkeypatch.setattr("vizinho.gallery.explaining.Explaining.possible", possible)
    assert "explain" in client.get("/v1/model").json()["features"]
    assert [name.startswith("vizinho-files") for name in threads] == [True]


def test_a_feature_is_listed_once_by_a_name_that_is_known() -> None:
    assert not set(SHARED) & set(OFFERED)
    assert set(OFFERED) <= set(FEATURES)
    assert listed(FEATURES) == list(FEATURES)


def test_labels_come_with_the_most_pictures_first(
    gallery: Path, client: TestClient, tmp_path: Path
) -> None:
    even = COUNT // len(LABELS)
    equal = client.get("/v1/labels").json()
    assert equal == {"labels": [{"label": label, "count": even} for label in LABELS], "total": 4}
    path = make_gallery(tmp_path, 10)
    with Gallery.open(path) as other:
        keys = [row.key for row in other.items()]
        other.set_labels([(keys[0], None), (keys[1], "doce"), (keys[2], "doce")])
        counts = other.labels()
    with TestClient(create_app(path)) as client:
        body = client.get("/v1/labels").json()
        assert {each["label"]: each["count"] for each in body["labels"]} == counts
        ranks = [(-each["count"], each["label"] or "~") for each in body["labels"]]
        assert ranks == sorted(ranks)
        assert body["labels"][-1]["label"] is None
        first = client.get("/v1/labels", params={"limit": 2}).json()
        assert first == {"labels": body["labels"][:2], "total": len(counts)}
        problem(client.get("/v1/labels", params={"limit": 0}), 422, "bad_field")


def test_the_description_holds_together(client: TestClient) -> None:
    """Every reference leads somewhere, and every error is described as the one shape."""
    described = client.get("/openapi.json").json()
    schemas = described["components"]["schemas"]
    assert "HTTPValidationError" not in schemas

    def references(node: object) -> Iterator[str]:
        if isinstance(node, dict):
            assert "$defs" not in node
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
        each = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        for value in each:
            yield from references(value)

    found = set(references(described))
    assert "#/components/schemas/CropBox" in found
    assert found <= {f"#/components/schemas/{name}" for name in schemas}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    schema = answer["content"]["application/json"]["schema"]
                    assert schema["$ref"].endswith("/ErrorBody"), (method, path, status)
