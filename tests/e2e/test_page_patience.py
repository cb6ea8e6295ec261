"""A server that is slow, away or back again: what was given is not lost, and the page says so."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from browsing import (
    NEEDS_CHROMIUM,
    SHOWN,
    Visit,
    choose,
    file,
    found_itself,
    heard,
    tiles,
)
from holding import GIVE, held, with_bytes
from serving import Server, key_of, picture

pytestmark = NEEDS_CHROMIUM

MODEL = "**/v1/model"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en-GB")
    page.set_default_timeout(60_000)
    yield page
    page.close()


def test_a_picture_is_kept_until_the_server_has_woken(page: Page, server: Server) -> None:
    visit = heard(page, server.url)
    wake = held(page, MODEL)
    page.goto(server.url)
    choose(page, file(picture(3)))
    expect(page.locator("#query-name")).to_have_text("mine.png")
    expect(page.locator("#query-image")).to_be_visible()
    expect(page.locator("#status")).to_contain_text("Searching")
    expect(page.locator("#status")).to_contain_text("needs some seconds to wake up")
    expect(tiles(page)).to_have_count(0)
    wake()
    found_itself(page, 3)
    expect(page.locator("#model-count")).to_have_text("40")
    visit.tidy()


@pytest.mark.parametrize(("kind", "path"), [("drop", ""), ("paste", ""), ("drop", "?view=none")])
def test_a_picture_is_kept_until_the_page_itself_has_come(
    page: Page, server: Server, kind: str, path: str
) -> None:
    come = held(page, "**/static/ask.js")
    page.goto(f"{server.url}/{path}", wait_until="commit")
    page.wait_for_function("() => window.early && document.body")
    with_bytes(page, picture(5))
    taken = page.evaluate(GIVE, kind)
    assert taken or kind == "paste", "a browser would have opened the file instead of the page"
    come()
    found_itself(page, 5)


def test_a_file_chosen_before_the_page_has_come_is_searched_with(
    page: Page, server: Server
) -> None:
    come = held(page, "**/static/ask.js")
    page.goto(server.url, wait_until="commit")
    choose(page, file(picture(6)))
    come()
    found_itself(page, 6)


def test_what_is_dropped_on_the_map_is_searched_with(page: Page, server: Server) -> None:
    come = held(page, "**/static/map.js")
    page.goto(f"{server.url}/?view=map")
    page.wait_for_function("() => window.early && document.body")
    with_bytes(page, picture(5))
    assert page.evaluate(GIVE, "drop")
    come()
    page.wait_for_function("() => history.state?.files?.length === 1")
    page.locator('#views [data-view="search"]').click()
    found_itself(page, 5)


def test_an_address_is_kept_until_it_is_known_whether_the_server_fetches(
    page: Page, server: Server
) -> None:
    wake = held(page, MODEL)
    page.goto(server.url)
    expect(page.locator("html")).to_have_class("ready drawn")
    page.evaluate(
        """() => {
            const clipboardData = new DataTransfer();
            clipboardData.setData("text/plain", "https://example.com/cat.jpg");
            document.body.dispatchEvent(new ClipboardEvent("paste",
                { clipboardData, bubbles: true, cancelable: true }));
        }"""
    )
    expect(page.locator("#query-name")).to_have_text("https://example.com/cat.jpg")
    expect(page.locator("#problem")).to_be_empty()
    wake()
    expect(page.locator("#problem")).to_contain_text("fetches no pictures from the web")


def test_a_file_that_misses_its_place_does_not_take_the_page_s(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/?view=care")
    expect(page.locator(".pick").first).to_be_visible()
    with_bytes(page, picture(5))
    assert page.evaluate(GIVE, "dragover")
    assert page.evaluate(GIVE, "drop")
    page.locator('#views [data-view="search"]').click()
    expect(page.locator(".sample:enabled").first).to_be_visible()
    expect(tiles(page)).to_have_count(0)


def test_a_picture_given_while_the_server_is_away_is_asked_when_it_is_back(
    page: Page, server: Server
) -> None:
    page.route(MODEL, lambda route: route.abort())
    page.goto(server.url)
    trouble = page.locator("#trouble")
    expect(trouble).to_contain_text("The server does not answer")
    choose(page, file(picture(3)))
    expect(page.locator("#status")).to_have_text("No results")
    expect(page.locator("#problem")).to_be_empty()
    page.unroute(MODEL)
    trouble.get_by_role("button", name="Try again").click()
    found_itself(page, 3)
    expect(trouble).to_be_hidden()


def test_another_picture_finds_a_server_that_is_back_by_itself(page: Page, server: Server) -> None:
    page.route(MODEL, lambda route: route.abort())
    page.goto(server.url)
    expect(page.locator("#trouble")).to_contain_text("The server does not answer")
    page.unroute(MODEL)
    choose(page, file(picture(3)))
    found_itself(page, 3)
    expect(page.locator("#trouble")).to_be_hidden()
    expect(page.locator('#views [data-view="map"]')).to_be_visible()


@pytest.mark.parametrize(
    ("part", "press"),
    [
        ("care.js", '#views [data-view="care"]'),
        ("map.js", '#views [data-view="map"]'),
        ("compare.js", ".tile .open"),
    ],
)
def test_a_part_of_the_page_that_can_not_be_fetched_can_be_tried_again(
    page: Page, server: Server, part: str, press: str
) -> None:
    page.route(f"**/static/{part}", lambda route: route.abort())
    page.goto(server.url)
    choose(page, file(picture(3)))
    found_itself(page, 3)
    page.locator(press).first.click()
    problem = page.get_by_role("alert").locator("visible=true").filter(has_text="answer")
    expect(problem).to_contain_text("The server does not answer")
    expect(page.locator("#query-name")).to_have_text("mine.png")
    page.unroute(f"**/static/{part}")
    problem.get_by_role("button", name="Try again").click()
    there = {"care.js": ".pick", "map.js": "#view-map canvas", "compare.js": "dialog.compare"}
    expect(page.locator(there[part]).first).to_be_visible()


def test_links_to_other_views_are_there_once_the_server_has_answered(
    page: Page, server: Server
) -> None:
    wake = held(page, MODEL)
    page.goto(f"{server.url}/?view=care")
    expect(page.locator("html")).to_have_class("ready")
    expect(page.locator('#views [data-view="map"]')).to_be_hidden()
    expect(page.locator("#view-search .sample:enabled")).to_have_count(0)
    wake()
    expect(page.locator(".pick").first).to_be_visible()
    expect(page.locator('#views [data-view="map"]')).to_be_visible()


def opened(page: Page, server: Server, path: str) -> Visit:
    visit = heard(page, server.url)
    page.goto(server.url + path)
    return visit


@pytest.mark.parametrize("size", [{"width": 1280, "height": 900}, {"width": 390, "height": 844}])
def test_back_closes_the_large_view(page: Page, server: Server, size: dict[str, int]) -> None:
    page.set_viewport_size(size)  # type: ignore[arg-type]
    visit = opened(page, server, "/")
    choose(page, file(picture(3)))
    found_itself(page, 3)
    address = page.url
    dialog = page.locator("dialog.compare")
    for close in (page.go_back, lambda: page.keyboard.press("Escape")):
        tiles(page).nth(1).locator(".open").click()
        expect(dialog).to_be_visible()
        close()
        expect(dialog).to_have_count(0)
        expect(tiles(page)).to_have_count(SHOWN)
        assert page.url == address
        expect(tiles(page).nth(1).locator(".open")).to_be_focused()
    # Forward leads to no dialog that is gone, and a reload leaves none behind.
    page.go_forward()
    page.wait_for_function("() => !history.state?.dialog")
    tiles(page).nth(1).locator(".open").click()
    expect(dialog).to_be_visible()
    page.reload()
    page.wait_for_function("() => !history.state?.dialog")
    expect(page.locator("#problem")).to_contain_text("no longer here")
    # One step back is before the question.
    page.go_back()
    expect(page.locator(".sample:enabled").first).to_be_visible()
    expect(tiles(page)).to_have_count(0)
    visit.tidy()


def test_addresses_that_name_nothing(page: Page, server: Server) -> None:
    visit = opened(page, server, "/?key=&like=")
    expect(page.locator(".sample:enabled").first).to_be_visible()
    expect(page.locator("#problem")).to_be_empty()
    visit.tidy()
    page.goto(f"{server.url}/?key=../../etc/passwd")
    expect(page.locator("#problem")).to_contain_text("That picture is gone")
    assert not [each.url for each in visit.requests if urlsplit(each.url).path.startswith("/etc")]


def test_a_place_on_the_map_stays_with_the_map(page: Page, server: Server) -> None:
    opened(page, server, f"/?view=map&x=0.5&y=0.5&zoom=3&key={key_of(3)}")
    for view in ("search", "care"):
        link = page.locator(f'#views [data-view="{view}"]')
        expect(link).not_to_have_attribute("href", "?")
        assert not {"x=", "y=", "zoom="} & set(str(link.get_attribute("href")).split("&"))
        assert "zoom" not in str(link.get_attribute("href"))
