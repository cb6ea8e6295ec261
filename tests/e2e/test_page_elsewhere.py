"""The page on one origin, the API on another, the pictures on a third: as on AWS, in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from browsing import NEEDS_CHROMIUM, Visit, choose, file, found_itself, open_page, tiles
from page_host import Answer, Bucket, answering, hosted
from serving import COUNT, Server, picture, running
from vizinho.aws.page import build_page, page_headers

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def api(gallery: Path) -> Iterator[Server]:
    with running(gallery, cors_origins=["*"]) as server:
        yield server


def strangers(visit: Visit, *known: str) -> list[str]:
    asked = {request.url for request in visit.requests}
    return sorted(url for url in asked if not url.startswith((*known, "blob:", "data:")))


def test_the_page_finds_its_api_on_another_origin(browser: Browser, api: Server) -> None:
    with answering(hosted(build_page(api.url, []), page_headers(api.url, []))) as home:
        visit = open_page(browser, f"{home}/")
        page = visit.page
        expect(page.locator("#model-name")).to_have_text("toy")
        choose(page, file(picture(7)))
        found_itself(page, 7)
        assert page.locator(".tile img").first.get_attribute("src") == (
            f"{api.url}/images/test/00007.png?size=320"
        )
        page.locator("#restart").click()
        page.locator(".sample:enabled").nth(1).click()
        expect(page.locator("#query-size")).to_have_text("from the gallery")
        found = page.locator("#query-image")
        assert found.evaluate("image => image.decode().then(() => image.naturalWidth)") == 32
        expect(page.locator("#docs")).to_be_hidden()
        assert visit.complaints == []
        assert strangers(visit, home, api.url) == []
        page.close()


def test_the_policy_lets_the_page_ask_nobody_else(browser: Browser, api: Server) -> None:
    with answering(hosted(build_page(api.url, []), page_headers(api.url, []))) as home:
        visit = open_page(browser, f"{home}/")
        refused = visit.page.evaluate(
            "there => fetch(there).then(() => 'answered', (error) => error.name)", home
        )
        assert refused == "TypeError"
        assert any("Content Security Policy" in each for each in visit.complaints)
        visit.page.close()


def test_pictures_whose_links_expired_are_asked_for_again(browser: Browser, api: Server) -> None:
    bucket = Bucket(api.url)
    with ExitStack() as stack:
        bucket.origin = stack.enter_context(answering(bucket.answer))
        front = stack.enter_context(answering(bucket.api))
        built, rules = build_page(front, [bucket.origin]), page_headers(front, [bucket.origin])
        home = stack.enter_context(answering(hosted(built, rules)))
        visit = open_page(browser, f"{home}/")
        page = visit.page
        choose(page, file(picture(10)))  # its key has a space and a letter outside ASCII
        found_itself(page, 10)
        first = page.locator(".tile img").first
        assert (first.get_attribute("src") or "").startswith(bucket.origin)
        assert visit.complaints == []
        assert strangers(visit, home, front, bucket.origin) == []

        bucket.now = 2  # an hour later
        shown = page.locator(".sample img").nth(2)
        shown.evaluate("image => { image.src = image.src + '&'; }")  # not from the browser's cache
        page.wait_for_function(
            "front => document.querySelectorAll('.sample img')[2].src.startsWith(front)",
            arg=front,
        )
        assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 32
        assert len(bucket.refused) == 1
        # What it searches from is still known, and new answers carry new links.
        tiles(page).nth(3).locator(".act-from").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#query-size")).to_have_text("from the gallery")
        expect(page.locator("#status")).to_contain_text("at 0.00")
        for image in tiles(page).locator("img").all():
            assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 32
        page.close()


def test_a_picture_that_stays_away_is_asked_for_once_more_only(
    browser: Browser, api: Server
) -> None:
    gone: list[str] = []

    def nothing(request: object) -> Answer:
        gone.append(getattr(request, "path", ""))
        return 403, {}, b""

    bucket = Bucket(api.url)
    with ExitStack() as stack:
        bucket.origin = stack.enter_context(answering(nothing))
        front = stack.enter_context(answering(bucket.api))
        built, rules = build_page(front, [bucket.origin]), page_headers(front, [bucket.origin])
        home = stack.enter_context(answering(hosted(built, rules)))
        visit = open_page(browser, f"{home}/")
        visit.page.wait_for_load_state("networkidle")
        samples = visit.page.locator(".sample:enabled").count()
        assert 0 < samples < COUNT
        assert len(gone) == 2 * samples
        visit.page.close()
