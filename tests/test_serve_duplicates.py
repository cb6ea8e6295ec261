"""Duplicates over HTTP: looked for in the background, kept, crossed out as they go."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from serving import problem
from toy_scenes import CHANGES, scene
from toys import encode, make_toy_bundle
from vizinho.gallery import Gallery, NewImage
from vizinho.serve import duplicates
from vizinho.serve.app import create_app
from vizinho.serve.options import ServeOptions


def jpeg(number: int) -> bytes:
    return encode(scene(number, (240, 180)), "JPEG")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Six scenes; of 0 two changed copies, of 1 the same pixels in another file, of 2 a mirrored
    one."""
    items = [NewImage(jpeg(i), key=f"{i}.jpg", label="scene") for i in range(6)]
    first, second, third = (scene(i, (240, 180)) for i in range(3))
    items += [
        NewImage(encode(CHANGES["half the size"](first)), key="0-half.png"),
        NewImage(encode(CHANGES["turned by 90 degrees"](first)), key="0-turned.png"),
        NewImage(encode(second), key="1.png"),
        NewImage(encode(second, "BMP"), key="1.bmp"),
        NewImage(encode(CHANGES["mirrored"](third)), key="2-mirrored.png"),
    ]
    with Gallery.create(tmp_path / "g.vizinho", model=make_toy_bundle(tmp_path)) as gallery:
        assert gallery.add(items).added == 11
    return tmp_path / "g.vizinho"


@pytest.fixture
def client(path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(path, ServeOptions(writable=True))) as client:
        yield client


def wait(client: TestClient, **params: Any) -> dict[str, Any]:
    """The answer, once it is there."""
    begun = time.monotonic()
    while (answer := client.get("/v1/duplicates", params=params)).status_code == 202:
        assert answer.json()["status"] == "building"
        assert int(answer.headers["retry-after"]) > 0
        assert time.monotonic() - begun < 120
        time.sleep(0.1)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def keys(answer: dict[str, Any]) -> list[set[str]]:
    return [{member["key"] for member in group["members"]} for group in answer["groups"]]


def test_the_first_answer_is_that_it_has_begun_and_then_groups_come(client: TestClient) -> None:
    assert client.get("/v1/duplicates").status_code == 202
    answer = wait(client)
    assert (answer["total"], answer["pictures"], answer["skipped"]) == (3, 11, 0)
    assert {frozenset(each) for each in keys(answer)} == {
        frozenset(("0.jpg", "0-half.png", "0-turned.png")),
        frozenset(("1.jpg", "1.png", "1.bmp")),
        frozenset(("2.jpg", "2-mirrored.png")),
    }
    first = next(
        group
        for group in answer["groups"]
        if len(group["members"]) == 3
        and any(member["key"] == "0.jpg" for member in group["members"])
    )
    assert [member["keep"] for member in first["members"]] == [True, False, False]
    assert first["kind"] == "near"
    half = next(member for member in first["members"] if member["key"] == "0-half.png")
    assert (half["width"], half["height"], half["url"]) == (120, 90, "/images/0-half.png")
    assert "50 % of the size" in half["how"]
    assert half["bytes"] == len(client.get(half["url"]).content)
    assert all(member["spare"] for member in first["members"][1:])


def test_groups_come_by_kind_and_by_page(client: TestClient) -> None:
    wait(client)
    near = wait(client, kind="near", limit=1)
    assert (len(near["groups"]), near["next"]) == (1, 1)
    rest = wait(client, kind="near", limit=5, offset=1)
    assert rest["next"] is None
    assert len(rest["groups"]) == near["total"] - 1
    assert {group["kind"] for group in near["groups"] + rest["groups"]} == {"near"}
    same = wait(client, kind="identical")
    assert same["total"] + near["total"] == 3
    problem(client.get("/v1/duplicates", params={"kind": "odd"}), 422, "bad_field")


def test_similar_ones_are_looked_for_apart(client: TestClient) -> None:
    answer = wait(client, kind="similar")
    assert answer["distance"] > 0
    assert all(group["kind"] == "similar" for group in answer["groups"])
    grouped = {key for group in keys(answer) for key in group}
    assert grouped.isdisjoint({"0-half.png", "1.bmp"})  # copies, which are shown as such
    for group in answer["groups"]:
        assert not any(member["keep"] or member["spare"] for member in group["members"])


def test_what_goes_is_crossed_out_without_looking_again(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait(client)

    def never(*_: object) -> None:
        raise AssertionError("looked again")

    monkeypatch.setattr(duplicates, "start", never)
    client.post("/v1/images/remove", json={"keys": ["2-mirrored.png", "0-half.png", "5.jpg"]})
    answer = wait(client)
    assert answer["total"] == 2
    assert {frozenset(each) for each in keys(answer)} == {
        frozenset(("0.jpg", "0-turned.png")),
        frozenset(("1.jpg", "1.png", "1.bmp")),
    }
    # A label is no reason to look again either, and is shown.
    client.patch("/v1/images/0.jpg", json={"label": "novo"})
    told = {m["key"]: m["label"] for g in wait(client)["groups"] for m in g["members"]}
    assert told["0.jpg"] == "novo"


def test_what_comes_is_found(client: TestClient) -> None:
    wait(client)
    client.post("/v1/images", files={"image": ("5.png", encode(scene(5, (240, 180))))})
    assert client.get("/v1/duplicates").status_code == 202
    assert any("5.jpg" in group for group in keys(wait(client)))


def test_when_the_one_to_keep_goes_the_rest_is_compared_anew(client: TestClient) -> None:
    before = wait(client, kind="near")
    group = next(each for each in before["groups"] if len(each["members"]) == 3)
    gone = group["members"][0]["key"]
    client.post("/v1/images/remove", json={"keys": [gone]})
    assert client.get("/v1/duplicates").status_code == 202
    after = wait(client, kind="near")
    rest = {member["key"] for member in group["members"][1:]}
    again = next(each for each in after["groups"] if {m["key"] for m in each["members"]} == rest)
    assert [member["keep"] for member in again["members"]] == [True, False]


def test_a_search_that_fails_is_told_once_and_begins_anew(client: TestClient, path: Path) -> None:
    about = path / "gallery.json"
    kept = about.read_bytes()
    about.write_bytes(b"{")
    begun = time.monotonic()
    while (answer := client.get("/v1/duplicates")).status_code == 202:
        assert time.monotonic() - begun < 120
        time.sleep(0.1)
    assert "gallery.json" in problem(answer, 503, "duplicates_failed")["message"]
    about.write_bytes(kept)
    assert wait(client)["total"] == 3


def test_files_of_a_mirrored_folder_without_a_row_are_not_shown(
    tmp_path: Path, toy_bundle: Path
) -> None:
    """Nothing could be removed of them here; `vizinho dedupe` shows and deletes them."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(jpeg(1))
    shutil.copy(folder / "a.jpg", folder / "b.jpg")
    os.utime(folder / "b.jpg", (1, 1))
    with Gallery.create(tmp_path / "photos.vizinho", model=toy_bundle) as gallery:
        gallery.sync_folder(folder)
        app = create_app(gallery.path, ServeOptions(writable=True))
    with TestClient(app) as client:
        assert wait(client)["groups"] == []


def test_closing_ends_what_is_running(path: Path) -> None:
    app = create_app(path, ServeOptions(writable=True))
    with TestClient(app) as client:
        assert client.get("/v1/duplicates").status_code == 202
        child = app.state.service.duplicates._work.child
    assert child.poll() is not None


def test_only_where_changes_are_allowed(path: Path) -> None:
    with TestClient(create_app(path)) as reader:
        problem(reader.get("/v1/duplicates"), 403, "read_only")
