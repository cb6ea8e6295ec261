"""From an empty account to a page in a real browser that shows pictures out of S3, and back.

What is real and what is a stand-in in the account: `aws_account`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from aws_account import Account
from browsing import ARGUMENTS, CHROMIUM, NEEDS_CHROMIUM, choose, file, found_itself, open_page
from deploying import Deployer
from rie import require_rie
from serving import COUNT, as_base64, key_of, make_gallery, picture
from vizinho.gallery import Gallery, NewImage

BUCKET = "vizinho-shown-123456789012-eu-west-1"


pytestmark = NEEDS_CHROMIUM


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    require_rie()
    with Account(tmp_path / "account") as account:
        yield account


@pytest.fixture
def browser(account: Account) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        expect.set_options(timeout=60_000)
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*ARGUMENTS, *account.browser_arguments]
        )
        yield browser
        browser.close()


def look_at_the_page(browser: Browser, account: Account, done: dict[str, Any], shot: Path) -> None:
    """The page as deployed: a picture is dropped, ten are found, all load from S3."""
    visit = open_page(browser, done["page_url"])
    choose(visit.page, file(picture(7)))
    found_itself(visit.page, 7)
    visit.page.screenshot(path=shot, full_page=True)
    assert visit.complaints == []
    allowed = {origin(done["page_url"]), origin(done["url"]), account.endpoint}
    asked = {origin(each.url) for each in visit.requests if each.url.startswith("http")}
    assert asked == allowed
    visit.page.close()


def origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def ask_the_thesis_way(done: dict[str, Any]) -> None:
    """``POST /`` with base64 text: ten addresses in ascending distance, each of a picture."""
    answer = httpx.post(f"{done['url']}/", content=as_base64(picture(3)), timeout=120)
    assert answer.status_code == 200, answer.text
    found = answer.json()["results"]
    assert len(found) == 10
    assert list(found.values()) == sorted(found.values())
    link, distance = next(iter(found.items()))
    assert distance == 0.0
    assert httpx.get(link).content == picture(3)


def nearest(done: dict[str, Any], number: int) -> tuple[str, float]:
    body = {"image_base64": as_base64(picture(number)), "k": 1}
    answer = httpx.post(f"{done['url']}/v1/search", json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    (match,) = answer.json()["results"]
    return match["key"], match["distance"]


def bare(link: str) -> str:
    """A link without its signature."""
    return link.partition("?")[0]


@pytest.mark.parametrize("way", ["private", "public"])
def test_from_nothing_to_a_page_and_back(
    account: Account, browser: Browser, kitchen: Path, tmp_path: Path, way: str
) -> None:
    public = way == "public"
    options = ["--public", "--api", "http"] if public else []
    deployer = Deployer(account, kitchen)
    path = make_gallery(tmp_path)
    assert "Nothing stands" in deployer.run("status", "aws", "--gallery", path)
    planned = deployer.run("deploy", "aws", "--gallery", path, "--dry-run", *options)
    assert "Nothing was changed" in planned
    assert account.resources() == {}

    done = deployer.deploy(path, *options)
    assert (done["pictures"], done["bucket"]) == (COUNT, BUCKET)
    look_at_the_page(browser, account, done, tmp_path / f"{way}.png")
    ask_the_thesis_way(done)
    link = done["trial"]["link"]
    assert httpx.get(link).status_code == 200
    assert httpx.get(bare(link)).status_code == (200 if public else 403)
    shelf = f"{account.endpoint}/{BUCKET}"
    for hidden in ("", "?list-type=2", "/urls.csv", "/deployment.json"):
        assert httpx.get(f"{shelf}{hidden}").status_code == 403

    stood = account.resources()
    began = len(account.front.calls)
    again = deployer.deploy(path, *options)
    assert account.resources()["stacks"] == stood["stacks"]
    assert again["url"] == done["url"]
    sent = [raw for _, method, raw in account.front.calls[began:] if method == "PUT"]
    assert not [raw for raw in sent if "/images/" in raw or "/packages/" in raw]

    with Gallery.open(path) as gallery:
        gallery.add([NewImage(picture(100), key="new.png", store=True)])
        gallery.remove([key_of(3)])
    assert "has changed since" in deployer.run("status", "aws", "--gallery", path)
    changed = deployer.deploy(path, *options)
    assert changed["pictures"] == COUNT
    assert nearest(changed, 100) == ("new.png", 0.0)
    assert nearest(changed, 3)[1] > 0
    objects = account.resources()["buckets"][BUCKET]["objects"]
    assert len([key for key in objects if key.startswith("images/")]) == COUNT
    assert len([key for key in objects if key.startswith("packages/")]) == 1
    told = deployer.run("status", "aws", "--gallery", path)
    assert "has changed since" not in told
    assert changed["url"] in told

    if public:
        strange = {"Bucket": BUCKET, "Key": "my-own-notes.txt"}
        account.client("s3").put_object(**strange, Body=b"do not lose")
        assert "my-own-notes.txt" in deployer.run("destroy", "aws", "--gallery", path, "--yes")
        left = account.resources()
        assert list(left) == ["buckets"]
        assert list(left["buckets"][BUCKET]["objects"]) == ["my-own-notes.txt"]
        account.client("s3").delete_object(**strange)
    deployer.run("destroy", "aws", "--gallery", path, "--yes")
    assert account.resources() == {}
    assert "Nothing stands" in deployer.run("destroy", "aws", "--gallery", path, "--yes")
