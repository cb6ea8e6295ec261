"""Addresses of galleries: taken apart, passed around as paths, and shown without their secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from vizinho.engines.milvus_address import MilvusAddress, parse_milvus
from vizinho.errors import SettingsError
from vizinho.place import as_place, is_address
from vizinho.settings import find_gallery, load


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("milvus://box/cars", MilvusAddress("box", 19530, "cars")),
        ("milvus://10.0.0.7:7/cars_2", MilvusAddress("10.0.0.7", 7, "cars_2")),
        ("milvus://[::1]:19531/cars", MilvusAddress("::1", 19531, "cars")),
        ("milvuss://box/cars", MilvusAddress("box", 19530, "cars", secure=True)),
        ("milvus://box/cars?secure=true", MilvusAddress("box", 19530, "cars", secure=True)),
        ("milvus://ana:p%40ss@box/cars", MilvusAddress("box", 19530, "cars", token="ana:p@ss")),
        ("milvus://box/cars?token=key", MilvusAddress("box", 19530, "cars", token="key")),
        (
            "milvus://box/cars?consistency=Strong&index=hnsw&replicas=2&shards=4&database=zoo",
            MilvusAddress(
                "box",
                19530,
                "cars",
                consistency="strong",
                index="hnsw",
                replicas=2,
                shards=4,
                database="zoo",
            ),
        ),
    ],
)
def test_an_address_is_taken_apart(text: str, address: MilvusAddress) -> None:
    assert parse_milvus(text) == address
    # The command line makes a path of it, which loses a slash.
    assert parse_milvus(Path(text)) == address
    assert parse_milvus(as_place(text)) == address
    assert is_address(text)
    assert is_address(Path(text))
    assert is_address(as_place(text))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("milvus://box", "name is ''"),
        ("milvus:///cars", "name is ''"),
        ("milvus://box/my cars", "name is 'my cars'"),
        ("milvus://box/a/b", "name is 'a/b'"),
        ("milvus://box/7cars", "name is '7cars'"),
        ("milvus://box:port/cars", "ort"),
        ("milvus://ana:geheim@box/cars?consistency=some", "'some'"),
        ("milvus://box/cars?index=annoy&token=geheim", "'annoy'"),
        ("milvus://box/cars?shards=0", "shards is '0'"),
        ("milvus://box/cars?secure=perhaps", "'perhaps'"),
        ("milvus://box/cars?colour=red", "colour"),
    ],
)
def test_what_is_wrong_with_an_address_is_told_without_its_secrets(text: str, what: str) -> None:
    with pytest.raises(SettingsError, match=what) as caught:
        parse_milvus(text)
    assert "geheim" not in str(caught.value)


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    place = as_place("milvus://ana:geheim@box:7/cars?token=geheim")
    assert f"{place}" == str(place) == "milvus://box:7/cars"
    assert str(parse_milvus(place)) == "milvus://box:7/cars"
    assert place.name == "cars"
    monkeypatch.setenv("VIZINHO_GALLERY", "milvus://ana:geheim@box:7/cars")
    assert str(find_gallery(None)) == "milvus://box:7/cars"
    assert parse_milvus(find_gallery(None)).token == "ana:geheim"
    assert parse_milvus(find_gallery(Path("milvus://bo@box/cats"))).name == "cats"


@pytest.mark.parametrize("odd", ["/", "?", "#", "@", ":", "/x@y?"])
def test_a_password_that_was_not_escaped_is_not_shown(odd: str) -> None:
    text = f"milvus://ana:sec{odd}ret@box:19530/cars?index=flat"
    assert str(as_place(text)) == "milvus://box:19530/cars"
    if odd in "@:":
        assert parse_milvus(text).token == f"ana:sec{odd}ret"
        return
    with pytest.raises(SettingsError) as caught:
        parse_milvus(text)
    told = f"{caught.value.message} {caught.value.hint} {caught.value.__cause__}"
    assert "sec" not in told
    assert "%2F" in told


@pytest.mark.parametrize("text", ["milvus://[::1/cars", "milvus://box:abc/cars", "milvus://"])
def test_a_wrong_address_travels_until_it_is_told(text: str) -> None:
    with pytest.raises(SettingsError, match="is no address"):
        parse_milvus(as_place(text))


def test_a_token_with_an_at_sign_hides_no_host() -> None:
    assert str(as_place("milvus://[::1]:7/cars?token=a@b")) == "milvus://[::1]:7/cars"


def test_a_token_from_the_environment_is_used_where_the_address_has_none() -> None:
    token = load({"VIZINHO_MILVUS_TOKEN": "ana:secret"}).milvus_token
    assert parse_milvus("milvus://box/cars", token).token == "ana:secret"
    assert parse_milvus("milvus://bo:own@box/cars", token).token == "bo:own"


def test_a_folder_stays_a_folder() -> None:
    for text in ("photos.vizinho", "/tmp/milvus/x", "milvus", "a:b"):
        assert not is_address(text)
        assert as_place(text) == Path(text)
        assert type(as_place(text)) is type(Path())
