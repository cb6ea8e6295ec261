"""``/v1/explain`` over a real gallery; in process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from serving import LIMIT, as_base64, key_of, make_gallery, picture, problem, upload
from toy_explained import make_explained_bundle
from toy_gallery import make_toy_gallery
from toys import encode, plain
from vizinho.errors import NotExplainable
from vizinho.gallery import Gallery, NewImage
from vizinho.gallery.migrate import migrate
from vizinho.serve.app import create_app
from vizinho.serve.options import ServeOptions

RED = (255, 0, 0)


def quarter(where: tuple[int, int]) -> Image.Image:
    """A black picture with one red quarter, (row, column)."""
    image = plain((0, 0, 0))
    image.paste(RED, (16 * where[1], 16 * where[0], 16 * where[1] + 16, 16 * where[0] + 16))
    return image


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("explained")
    with Gallery.create(folder / "quarters.vizinho", model=make_explained_bundle(folder)) as made:
        made.add(
            [
                NewImage(encode(plain(RED)), key="red.png", store=True),
                NewImage(encode(quarter((0, 1))), key="férias 1/corner.png", store=True),
                NewImage(encode(picture_of(3)), key="gone.png", store=False),
            ]
        )
    app = create_app(folder / "quarters.vizinho", ServeOptions(max_upload_bytes=LIMIT))
    with TestClient(app) as client:
        yield client


def picture_of(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def asked(client: TestClient, **body: Any) -> dict[str, Any]:
    response = client.post("/v1/explain", json=body)
    assert response.status_code == 200, response.text
    return dict(response.json())


def test_an_upload_is_explained(client: TestClient) -> None:
    response = client.post(
        "/v1/explain", data={"with": "red.png"}, **upload(encode(quarter((0, 1))))
    )
    assert response.status_code == 200, response.text
    assert response.json() == {
        "distance": 1.5,
        "similarity": 1.25,
        "exact": True,
        "query": {
            "rows": 2,
            "columns": 2,
            "values": [0.0, 1.0, 0.0, 0.0],
            "bias": 0.25,
            "length": pytest.approx(0.5**0.5),
            "box": {"top": 0, "left": 0, "bottom": 1, "right": 1},
        },
        "match": {
            "rows": 2,
            "columns": 2,
            "values": [0.25] * 4,
            "bias": 0.25,
            "length": pytest.approx(4.25**0.5),
            "box": {"top": 0, "left": 0, "bottom": 1, "right": 1},
        },
    }


def test_every_way_to_give_the_query_answers_alike(client: TestClient) -> None:
    by_form = client.post(
        "/v1/explain", data={"with": "red.png"}, **upload(encode(quarter((0, 1))))
    ).json()
    base64 = as_base64(encode(quarter((0, 1))))
    assert asked(client, **{"with": "red.png", "image_base64": base64}) == by_form
    assert asked(client, **{"with": "red.png", "key": "férias 1/corner.png"}) == by_form


def test_distance_is_that_of_the_search(client: TestClient) -> None:
    data = encode(picture_of(4))
    found = client.post("/v1/search", **upload(data)).json()["results"]
    for result in found:
        if result["key"] == "gone.png":
            continue
        explained = client.post("/v1/explain", data={"with": result["key"]}, **upload(data)).json()
        assert explained["distance"] == pytest.approx(result["distance"], abs=1e-6)
        query, match = explained["query"], explained["match"]
        for side in (query, match):
            assert sum(side["values"]) + side["bias"] == pytest.approx(explained["similarity"])
        squared = query["length"] ** 2 + match["length"] ** 2 - 2 * explained["similarity"]
        assert squared == pytest.approx(explained["distance"] ** 2, abs=1e-5)


def test_crop_is_explained_where_it_is(client: TestClient) -> None:
    crop = {"top": 0, "left": 0.5, "right": 1, "bottom": 0.5}
    by_key = asked(client, **{"with": "red.png", "key": "férias 1/corner.png", "crop": crop})
    assert by_key["query"]["box"] == crop
    assert by_key["distance"] == 0
    response = client.post(
        "/v1/explain",
        data={"with": "red.png", "crop": json.dumps(crop)},
        **upload(encode(quarter((0, 1)))),
    )
    assert response.json() == by_key


def test_feature_is_listed_where_it_works(client: TestClient, tmp_path: Path) -> None:
    assert "explain" in client.get("/v1/model").json()["features"]
    with TestClient(create_app(make_toy_gallery(tmp_path))) as other:
        assert "explain" not in other.get("/v1/model").json()["features"]
        refused = other.post("/v1/explain", json={"key": "red.png", "with": "blue.png"})
        assert "pooling" in problem(refused, 409, "not_explainable")["hint"]


def test_the_search_model_is_left_alone(client: TestClient) -> None:
    service = client.app.state.service  # type: ignore[attr-defined]
    session = service.gallery.embedder._session
    asked(client, **{"with": "red.png", "key": "red.png"})
    assert service.gallery.embedder._session is session
    assert [node.name for node in session.get_outputs()] == ["embeddings"]


def test_another_model_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_gallery(tmp_path, 3)
    with Gallery.open(path) as gallery:
        assert not gallery.explainable
        with pytest.raises(NotExplainable) as first:
            gallery.explain(picture(2), key_of(1))
        with monkeypatch.context() as patched:
            # Its network is not read a second time to say so.
            patched.delattr("vizinho.explain.Explainer.open")
            with pytest.raises(NotExplainable) as again:
                gallery.explain(picture(2), key_of(1))
        assert (again.value.message, again.value.hint) == (first.value.message, first.value.hint)
        migrate(path, make_explained_bundle(tmp_path))
        # A gallery that was open changes over when it writes.
        gallery.add([NewImage(encode(plain(RED)), key="red.png")])
        assert gallery.explainable
        found = gallery.explain(picture(2), "red.png")
        assert found.similarity == pytest.approx(found.query.values.sum() + found.query.bias)


@pytest.mark.parametrize(
    ("body", "status", "code", "word"),
    [
        ({"key": "red.png"}, 422, "bad_field", "with"),
        ({"key": "red.png", "with": 3}, 422, "bad_field", "with"),
        ({"with": "red.png"}, 422, "bad_field", "exactly one"),
        ({"with": "red.png", "key": "a", "image_base64": "b"}, 422, "bad_field", "exactly one"),
        ({"with": "red.png", "key": ["red.png"]}, 422, "bad_field", "key"),
        ({"with": "red.png", "key": "red.png", "k": 3}, 422, "bad_field", "k"),
        ({"with": "red.png", "key": "red.png", "crop": {"top": 2}}, 422, "bad_field", "crop.top"),
        ({"with": "red.png", "key": "red.png", "fingerprint": 1}, 422, "bad_field", "fingerprint"),
        (
            {"with": "red.png", "key": "red.png", "fingerprint": "x"},
            409,
            "fingerprint_mismatch",
            "model",
        ),
        ({"with": "none.png", "key": "red.png"}, 404, "key_not_found", "none.png"),
        ({"with": "red.png", "key": "none.png"}, 404, "key_not_found", "none.png"),
        ({"with": "", "key": "red.png"}, 404, "key_not_found", ""),
        ({"with": "gone.png", "key": "red.png"}, 404, "key_not_found", "gone.png"),
        ({"with": "red.png", "image_base64": "!"}, 400, "not_base64", ""),
        ({"with": "red.png", "image_base64": "aGFsbG8="}, 415, "not_an_image", ""),
        ({"with": "red.png", "image_url": "http://a/b.png"}, 403, "image_url_off", ""),
        (["red.png"], 422, "bad_field", "body"),
    ],
)
def test_what_can_not_be_explained(
    client: TestClient, body: Any, status: int, code: str, word: str
) -> None:
    found = problem(client.post("/v1/explain", json=body), status, code)
    assert word in found["message"]


def test_forms_that_can_not_be_explained(client: TestClient) -> None:
    data = upload(encode(plain(RED)))
    problem(client.post("/v1/explain", **data), 422, "bad_field")
    problem(
        client.post("/v1/explain", data={"with": "red.png", "k": "1"}, **data), 422, "bad_field"
    )
    problem(
        client.post("/v1/explain", data={"with": "red.png"}, files={"x": b"1"}), 422, "bad_field"
    )
    problem(client.post("/v1/explain", content=b"red.png"), 415, "unsupported_media_type")
