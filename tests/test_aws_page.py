"""The page as Amplify takes it: which files, told what, with which headers."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest
import yaml

from page_host import headers_for
from vizinho.aws.page import build_page, page_headers
from vizinho.serve.middleware import PAGE_POLICY

API = "https://abc123.lambda-url.sa-east-1.on.aws/"
BUCKET = "https://vizinho-photos-123456789012-sa-east-1.s3.sa-east-1.amazonaws.com"
PAGE = Path(__file__).resolve().parents[1] / "src" / "vizinho" / "page"


def unpack(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


def directives(policy: str) -> dict[str, set[str]]:
    parts = (each.split() for each in policy.split(";"))
    return {name: set(sources) for name, *sources in parts}


def test_the_index_lies_at_the_root_and_knows_the_api() -> None:
    held = unpack(build_page(API, [BUCKET]))
    index = held["index.html"].decode()
    assert f'<meta name="vizinho-api" content="{API}">' in index
    named = re.findall(r'(?:href|src)="(static/[^"]+)"', index)
    assert len(named) == 9
    assert set(named) <= set(held)


def test_all_parts_but_the_documentation_are_there_unchanged() -> None:
    held = unpack(build_page(API, [BUCKET]))
    parts = {Path(name).name: data for name, data in held.items() if name != "index.html"}
    expected = {each.name for each in PAGE.iterdir()} - {"index.html", "docs.html", "docs.js"}
    assert set(parts) == expected
    assert all(parts[name] == (PAGE / name).read_bytes() for name in parts)


def test_equal_pages_are_equal_bytes_and_another_api_changes_only_the_index() -> None:
    assert build_page(API, [BUCKET]) == build_page(API, [BUCKET])
    here, there = unpack(build_page(API, [])), unpack(build_page("https://other.example/prod", []))
    assert set(here) == set(there)
    assert [name for name in here if here[name] != there[name]] == ["index.html"]


def test_the_policy_names_just_these_origins() -> None:
    rules = page_headers("https://x1.execute-api.sa-east-1.amazonaws.com/prod/v2", [BUCKET])
    policy = directives(headers_for("/index.html", rules)["Content-Security-Policy"])
    api = "https://x1.execute-api.sa-east-1.amazonaws.com"
    assert policy["connect-src"] == {api}
    assert policy["img-src"] == {"'self'", "blob:", "data:", api, BUCKET}
    # Everything else is as strict as where `vizinho serve` gives the page out itself.
    strict = directives(PAGE_POLICY)
    for name in strict.keys() - {"connect-src", "img-src", "manifest-src"}:
        assert policy[name] == strict[name], name
    assert "*" not in str(policy)


def test_a_page_beside_its_api_asks_only_its_own_origin() -> None:
    policy = directives(headers_for("/", page_headers("", []))["Content-Security-Policy"])
    assert policy["connect-src"] == {"'self'"}
    assert policy["img-src"] == {"'self'", "blob:", "data:"}
    assert b'<meta name="vizinho-api" content="">' in unpack(build_page("", []))["index.html"]


def test_every_file_has_safe_headers_and_one_rule_for_caching() -> None:
    rules = page_headers(API, [BUCKET])
    for name in unpack(build_page(API, [BUCKET])):
        given = headers_for(f"/{name}", rules)
        assert given["X-Content-Type-Options"] == "nosniff"
        assert given["Referrer-Policy"] == "no-referrer"
        kept = given["Cache-Control"]
        assert kept == "no-cache" if name == "index.html" else "immutable" in kept, name
    assert headers_for("/", rules)["Cache-Control"] == "no-cache"


def test_no_two_rules_name_one_header_for_one_file() -> None:
    rules = yaml.safe_load(page_headers(API, [BUCKET]))["customHeaders"]
    keys = [{header["key"] for header in rule["headers"]} for rule in rules]
    assert all(isinstance(h["value"], str) for rule in rules for h in rule["headers"])
    assert rules[0]["pattern"] == "**"
    assert not any(keys[0] & other for other in keys[1:])


@pytest.mark.parametrize(
    "address",
    [
        "abc.example",
        "ftp://abc.example",
        "https://",
        "https://abc.example; script-src *",
        "https://a b.example",
        "https://abc.example\nx: y",
        "https://*.example",
        "https://me:secret@abc.example",
        "https://abc.example/?q=1",
        "https://abc.example:port",
    ],
)
def test_what_is_no_address_never_gets_into_a_policy(address: str) -> None:
    with pytest.raises(ValueError, match=r"address|more than"):
        page_headers(address, [])
    with pytest.raises(ValueError, match=r"address|more than"):
        page_headers(API, [address])
    with pytest.raises(ValueError, match=r"address|more than"):
        build_page(address, [])


def test_an_address_of_a_rehearsal_keeps_its_port() -> None:
    policy = headers_for("/", page_headers("http://127.0.0.1:4566/x/", ["http://localhost:5000"]))
    assert "connect-src http://127.0.0.1:4566;" in policy["Content-Security-Policy"]
    assert "http://localhost:5000" in policy["Content-Security-Policy"]


def test_the_page_is_data_and_names_nothing_from_elsewhere() -> None:
    assert {each.suffix for each in PAGE.iterdir()} == {".css", ".html", ".js", ".svg"}
    for each in PAGE.iterdir():
        found = set(re.findall(r"https?://[\w.]+", each.read_text()))
        assert found <= {"http://www.w3.org"}, each.name  # SVG's namespace
