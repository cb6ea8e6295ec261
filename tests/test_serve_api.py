"""Every route, over a real gallery with the toy model; in process."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from serving import COUNT, LABELS, as_base64, key_of, make_gallery, picture
from toys import encode, make_toy_bundle, noise, plain
from vizinho import errors
from vizinho.gallery import Gallery, NewImage
from vizinho.images import content_hash
from vizinho.preprocess import PreprocessSpec
from vizinho.serve.app import create_app
from vizinho.serve.options import ServeOptions

LIMIT = 300_000


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="module")
def client(gallery: Path) -> Iterator[TestClient]:
    app = create_app(gallery, ServeOptions(max_upload_bytes=LIMIT))
    with TestClient(app, base_url="http://pictures.example") as client:
        yield client


def upload(data: bytes, name: str = "a.png") -> dict[str, Any]:
    return {"files": {"image": (name, data)}}


def problem(response: Any, status: int, code: str) -> dict[str, str]:
    """The error of an answer, checked to be of the one shape."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "hint"}
    assert body["error"]["code"] == code
    assert body["error"]["message"]
    return dict(body["error"])


# The thesis's route


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_thesis_contract(client: TestClient, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    response = client.post("/", content=as_base64(picture(3)), headers=headers)
    assert response.status_code == 200
    body = response.json()
    assert list(body) == ["results"]
    urls, distances = list(body["results"]), list(body["results"].values())
    assert len(urls) == 10
    assert distances == sorted(distances)
    assert distances[0] == 0.0
    assert distances[1] > 0.0
    assert urls[0] == "http://pictures.example/images/test/00003.png"
    for url in urls:
        fetched = client.get(url)
        assert fetched.status_code == 200
        assert fetched.headers["content-type"] == "image/png"


def test_thesis_takes_data_urls_and_line_ends(client: TestClient) -> None:
    plainly = client.post("/", content=as_base64(picture(5))).json()
    lines = base64.encodebytes(picture(5)).decode().replace("\n", "\r\n")
    assert client.post("/", content=f"data:image/png;base64,{lines}").json() == plainly


def test_thesis_addresses_are_whole_behind_a_proxy(gallery: Path) -> None:
    app = create_app(gallery, ServeOptions(public_url="https://vizinho.example/search/"))
    with TestClient(app) as client:
        urls = list(client.post("/", content=as_base64(picture(0))).json()["results"])
    assert urls[0] == "https://vizinho.example/search/images/f%C3%A9rias%201/00000.png"


def test_thesis_errors(client: TestClient) -> None:
    problem(client.post("/", content=b""), 400, "empty_body")
    problem(client.post("/", content=picture(1)), 400, "not_base64")
    problem(client.post("/", content=as_base64(b"just words")), 415, "not_an_image")
    problem(client.post("/", content=as_base64(picture(1)[:200])), 400, "unreadable_image")


# /v1/search


def test_search_by_upload(client: TestClient) -> None:
    body = client.post("/v1/search", **upload(picture(7)), data={"k": "5"}).json()
    found = body["results"]
    assert (body["k"], body["offset"], body["model"]) == (5, 0, "toy")
    assert len(found) == 5
    assert found[0]["key"] == key_of(7)
    assert found[0]["url"] == "/images/test/00007.png"
    assert found[0]["label"] == LABELS[7 % 4]
    assert found[0]["metadata"] == {"number": 7}
    assert found[0]["distance"] == 0.0
    distances = [each["distance"] for each in found]
    assert distances == sorted(distances)


@pytest.mark.parametrize("number", range(0, COUNT, 7))
def test_every_way_of_asking_gives_the_same(client: TestClient, number: int) -> None:
    data = picture(number)
    by_file = client.post("/v1/search", **upload(data)).json()["results"]
    by_text = client.post("/v1/search", json={"image_base64": as_base64(data)}).json()["results"]
    by_key = client.post("/v1/search", json={"key": key_of(number)}).json()["results"]
    assert by_file == by_text == by_key
    assert by_file[0]["key"] == key_of(number)


def test_offset_goes_on_where_k_ended(client: TestClient) -> None:
    def keys(**fields: Any) -> list[str]:
        body = client.post("/v1/search", json={"key": key_of(1), **fields}).json()
        return [each["key"] for each in body["results"]]

    assert keys(k=4) + keys(k=6, offset=4) == keys(k=10)
    assert keys(k=10, offset=COUNT - 3) == keys(k=COUNT)[-3:]
    assert keys(k=10, offset=COUNT) == []


def test_filter_by_label(client: TestClient) -> None:
    body = {"key": key_of(1), "k": COUNT, "filter": {"label": LABELS[2]}}
    found = client.post("/v1/search", json=body).json()["results"]
    assert {each["key"] for each in found} == {key_of(n) for n in range(2, COUNT, 4)}
    form = {"k": str(COUNT), "filter": json.dumps({"label": LABELS[2]})}
    assert client.post("/v1/search", **upload(picture(1)), data=form).json()["results"] == found


def test_crop_searches_with_a_part(client: TestClient) -> None:
    canvas = plain((0, 0, 0), (64, 64))
    canvas.paste(noise(9), (32, 0))
    crop = {"top": 0, "left": 0.5, "right": 1, "bottom": 0.5}
    form = {"crop": json.dumps(crop)}
    found = client.post("/v1/search", **upload(encode(canvas)), data=form).json()["results"]
    assert (found[0]["key"], found[0]["distance"]) == (key_of(9), 0.0)
    whole = client.post("/v1/search", **upload(encode(canvas))).json()["results"]
    assert whole[0]["distance"] > 0


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"k": 0}, "k"),
        ({"k": 101}, "k"),
        ({"k": "many"}, "k"),
        ({"offset": -1}, "offset"),
        ({"filter": "cat"}, "filter"),
        ({"filter": {"label": ["cat"]}}, "filter"),
        ({"crop": {"top": 0.6, "bottom": 0.4}}, "crop"),
        ({"crop": {"top": -0.1}}, "crop.top"),
        ({"crop": {"middle": 1}}, "crop.middle"),
        ({"colour": "red"}, "colour"),
        ({"image_base64": "AAAA"}, "exactly one"),
        ({"key": None}, "exactly one"),
    ],
)
def test_bad_fields_are_named(client: TestClient, fields: dict[str, Any], named: str) -> None:
    response = client.post("/v1/search", json={"key": key_of(1), **fields})
    assert named in problem(response, 422, "bad_field")["message"]


def test_bad_forms(client: TestClient) -> None:
    def post(**given: Any) -> Any:
        return client.post("/v1/search", **given)

    file = upload(picture(1))
    assert "crop" in problem(post(**file, data={"crop": "left"}), 422, "bad_field")["message"]
    assert "k" in problem(post(**file, data={"k": "-3"}), 422, "bad_field")["message"]
    missing = post(files={"picture": ("a.png", picture(1))})
    assert "picture" in problem(missing, 422, "bad_field")["message"]
    not_file = post(files={"other": (None, "x")}, data={"image": "text"})
    problem(not_file, 422, "bad_field")
    broken = post(content=b"--x\r\nnonsense", headers={"Content-Type": "multipart/form-data"})
    problem(broken, 400, "bad_form")
    json_type = {"Content-Type": "application/json"}
    problem(post(content=b"{", headers=json_type), 400, "not_json")
    problem(post(content=b"[" * 100_000, headers=json_type), 400, "not_json")
    problem(post(content=b"[1]", headers=json_type), 422, "bad_field")
    problem(
        post(content=b"x", headers={"Content-Type": "image/png"}), 415, "unsupported_media_type"
    )


def test_bad_pictures(client: TestClient) -> None:
    def post(data: bytes) -> Any:
        return client.post("/v1/search", **upload(data, "x.jpg"))

    problem(post(b""), 400, "unreadable_image")
    problem(post(b"<svg onload=alert(1)>"), 415, "not_an_image")
    problem(post(picture(1)[:100]), 400, "unreadable_image")
    bomb = encode(plain((1, 2, 3), (12_000, 6_000)))
    assert len(bomb) < LIMIT
    problem(post(bomb), 413, "image_too_large")
    assert "0.3 MB" in problem(post(bytes(LIMIT + 1)), 413, "too_large")["message"]
    problem(post(bytes(3 * LIMIT)), 413, "too_large")


def test_web_addresses_are_off_and_unknown_keys_are_404(client: TestClient) -> None:
    body = {"image_url": "http://127.0.0.1/a.png"}
    problem(client.post("/v1/search", json=body), 403, "image_url_off")
    problem(client.post("/v1/search", json={"key": "nobody.png"}), 404, "key_not_found")
    problem(client.post("/v1/search", json={"key": "a\0b"}), 404, "key_not_found")


# /v1/images and /images


def test_listing_walks_the_whole_gallery(client: TestClient) -> None:
    keys: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = client.get("/v1/images", params={"offset": offset, "limit": 7}).json()
        assert page["total"] == COUNT
        keys += [each["key"] for each in page["images"]]
        offset = page["next"]
    assert sorted(keys) == sorted(key_of(number) for number in range(COUNT))
    labelled = client.get("/v1/images", params={"label": LABELS[1]}).json()
    assert {each["label"] for each in labelled["images"]} == {LABELS[1]}
    assert (len(labelled["images"]), labelled["total"]) == (COUNT // 4, None)
    problem(client.get("/v1/images", params={"limit": 0}), 422, "bad_field")
    problem(client.get("/v1/images", params={"offset": 10**30}), 422, "bad_field")


def test_one_record(client: TestClient) -> None:
    record = client.get("/v1/images/férias 1/00010.png").json()
    assert record["key"] == key_of(10)
    assert record["metadata"] == {"number": 10}
    assert client.get(record["url"]).content == picture(10)
    problem(client.get("/v1/images/nobody"), 404, "key_not_found")


def test_picture_bytes_and_their_headers(client: TestClient) -> None:
    response = client.get("/images/test/00001.png")
    assert response.content == picture(1)
    assert response.headers["content-type"] == "image/png"
    assert response.headers["etag"] == f'"{content_hash(picture(1))}"'
    assert response.headers["cache-control"].startswith("public, max-age=")
    assert response.headers["x-content-type-options"] == "nosniff"
    head = client.head("/images/test/00001.png")
    assert head.content == b""
    assert head.headers["content-length"] == str(len(picture(1)))
    assert head.headers["etag"] == response.headers["etag"]


def test_unchanged_pictures_answer_304(client: TestClient) -> None:
    tag = client.get("/images/test/00001.png").headers["etag"]
    for asked in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = client.get("/images/test/00001.png", headers={"If-None-Match": asked})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    other = client.get("/images/test/00001.png", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


def test_large_pictures_are_shrunk_on_request(tmp_path: Path) -> None:
    photo = encode(noise(1, (900, 600)), "JPEG")
    with Gallery.create(tmp_path / "g.vizinho", model=make_toy_bundle(tmp_path)) as made:
        made.add([NewImage(photo, key="photo.jpg"), NewImage(picture(1), key="small.png")])
    with TestClient(create_app(tmp_path / "g.vizinho")) as client:
        small = client.get("/images/photo.jpg", params={"size": 300})
        assert Image.open(io.BytesIO(small.content)).size == (300, 200)
        assert small.headers["content-type"] == "image/jpeg"
        whole = client.get("/images/photo.jpg")
        assert whole.content == photo
        assert whole.headers["etag"] != small.headers["etag"]
        asked = {"If-None-Match": small.headers["etag"]}
        assert client.get("/images/photo.jpg?size=300", headers=asked).status_code == 304
        assert client.get("/images/photo.jpg", headers=asked).status_code == 200
        assert client.get("/images/small.png?size=300").content == picture(1)
        problem(client.get("/images/photo.jpg?size=9999999"), 422, "bad_field")


def test_an_empty_gallery_answers_nothing(tmp_path: Path) -> None:
    Gallery.create(tmp_path / "g.vizinho", model=make_toy_bundle(tmp_path)).close()
    with TestClient(create_app(tmp_path / "g.vizinho")) as client:
        assert client.post("/", content=as_base64(picture(1))).json() == {"results": {}}
        assert client.post("/v1/search", **upload(picture(1))).json()["results"] == []
        assert client.get("/v1/images").json()["images"] == []
        assert client.get("/v1/model").json()["images"] == 0


# The server itself


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


# Writing


def test_writing_is_off_by_default(client: TestClient) -> None:
    refused = problem(client.post("/v1/images", **upload(picture(1))), 403, "read_only")
    assert "--writable" in refused["hint"]
    problem(client.delete(f"/v1/images/{key_of(1)}"), 403, "read_only")


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[TestClient]:
    app = create_app(make_gallery(tmp_path, 12), ServeOptions(writable=True))
    with TestClient(app) as client:
        yield client


def test_add_find_remove(writer: TestClient) -> None:
    new = encode(noise(1000))
    form = {"label": "novo", "metadata": json.dumps({"from": "a test"})}
    added = writer.post("/v1/images", **upload(new), data=form)
    assert added.status_code == 201
    body = added.json()
    assert (body["added"], body["unchanged"], body["skipped"]) == (1, 0, [])
    (key,) = body["keys"]
    found = writer.post("/v1/search", **upload(new)).json()["results"][0]
    assert (found["key"], found["label"], found["distance"]) == (key, "novo", 0.0)
    assert found["metadata"] == {"from": "a test"}
    assert writer.get(found["url"]).content == new
    again = writer.post("/v1/images", **upload(new), data=form).json()
    assert (again["added"], again["unchanged"], again["keys"]) == (0, 1, [key])
    other = writer.post("/v1/images", **upload(new), data={"key": "other.png"}).json()
    assert (other["added"], other["duplicates"], other["keys"]) == (0, 1, [key])
    assert writer.delete(f"/v1/images/{key}").json() == {"removed": 1}
    problem(writer.delete(f"/v1/images/{key}"), 404, "key_not_found")
    problem(writer.get(found["url"]), 404, "key_not_found")
    left = writer.post("/v1/search", **upload(new)).json()["results"]
    assert key not in {each["key"] for each in left}


def test_add_refuses_what_it_can_not_use(writer: TestClient) -> None:
    problem(writer.post("/v1/images", **upload(b"words")), 415, "not_an_image")
    problem(writer.post("/v1/images", **upload(picture(1)[:90])), 400, "unreadable_image")
    for key in ("../out.png", "/etc/cron.d/x", "a/../../b", "a\0b"):
        response = writer.post("/v1/images", **upload(encode(noise(2000))), data={"key": key})
        assert response.status_code == 422, (key, response.text)
    bad = writer.post("/v1/images", **upload(picture(1)), data={"metadata": "[1]"})
    problem(bad, 422, "bad_field")
    assert writer.get("/v1/model").json()["images"] == 12


def test_other_sites_can_not_write(writer: TestClient) -> None:
    evil = {"Origin": "https://evil.example"}
    problem(writer.post("/v1/images", **upload(picture(1)), headers=evil), 403, "foreign_origin")
    problem(writer.delete(f"/v1/images/{key_of(1)}", headers=evil), 403, "foreign_origin")
    own = writer.delete(f"/v1/images/{key_of(1)}", headers={"Origin": "http://testserver"})
    assert own.status_code == 200
