"""Pointing at a part of the query, with mouse, finger and keys; in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from browsing import NEEDS_CHROMIUM, Visit, choose, file, keys, open_page
from serving import Server, running
from toy_gallery import make_toy_gallery
from toys import encode, plain

pytestmark = NEEDS_CHROMIUM

PHONE = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 1,
}


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(make_toy_gallery(tmp_path_factory.mktemp("crop"))) as server:
        yield server


def halves() -> bytes:
    """Green, but for a red left third and a blue right third: the whole is like none of these."""
    image = plain((0, 255, 0), (180, 120))
    image.paste((255, 0, 0), (0, 0, 60, 120))
    image.paste((0, 0, 255), (120, 0, 180, 120))
    return encode(image)


def asked(browser: Browser, server: Server, **context: object) -> Visit:
    """The page after searching with the picture of thirds."""
    visit = open_page(browser, server.url, **context)
    choose(visit.page, file(halves()))
    expect(visit.page.locator(".tile[data-key]")).to_have_count(5)
    expect(visit.page.locator(".crop-toggle")).to_be_visible()
    return visit


def crop_of(page: Page) -> dict[str, float] | None:
    """What the address says."""
    told = parse_qs(urlsplit(page.url).query).get("crop")
    if told is None:
        return None
    names = ("top", "left", "bottom", "right")
    return dict(zip(names, map(float, told[0].split(",")), strict=True))


def at(page: Page, across: float, down: float) -> tuple[float, float]:
    """Where on the window a place of the picture is, given in shares of it."""
    box = page.locator("#query-image").bounding_box()
    assert box is not None
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*at(page, *start))
    page.mouse.down()
    page.mouse.move(*at(page, *((a + b) / 2 for a, b in zip(start, end, strict=True))))
    page.mouse.move(*at(page, *end))
    page.mouse.up()


def finds_first(page: Page, key: str) -> None:
    expect(page.locator(".tile[data-key]").first).to_have_attribute("data-key", key)


def nearly(page: Page, within: float = 0.015, **expected: float) -> None:
    """The address comes to name that part: it follows when hand and keys have paused."""
    wanted = pytest.approx(expected, abs=within)
    until = time.monotonic() + 30
    while crop_of(page) != wanted and time.monotonic() < until:
        page.wait_for_timeout(50)
    assert crop_of(page) == wanted


def test_drawing_searches_with_the_part(browser: Browser, colours: Server) -> None:
    visit = asked(browser, colours)
    page = visit.page
    drag(page, (0.02, 0.1), (0.3, 0.9))
    finds_first(page, "red.png")
    expect(page.locator(".tile .distance").first).to_have_text("0.00")
    nearly(page, top=0.1, left=0.02, bottom=0.9, right=0.3)
    # From right to left, from below: a box all the same, and the old one is gone.
    drag(page, (0.98, 0.9), (0.7, 0.2))
    finds_first(page, "blue.png")
    nearly(page, top=0.2, left=0.7, bottom=0.9, right=0.98)
    visit.tidy()
    page.close()


def test_moving_and_resizing(browser: Browser, colours: Server) -> None:
    visit = asked(browser, colours)
    page = visit.page
    drag(page, (0.05, 0.2), (0.25, 0.6))
    finds_first(page, "red.png")
    drag(page, (0.15, 0.4), (0.85, 0.4))
    finds_first(page, "blue.png")
    nearly(page, top=0.2, left=0.75, bottom=0.6, right=0.95)
    # Further than the picture goes.
    drag(page, (0.85, 0.4), (1.5, 0.4))
    expect(page).to_have_url(re.compile(r"crop=[\d.]+,0\.8,[\d.]+,1(&|$)"))
    # The corner goes past the opposite one: the box stays one.
    drag(page, (0.99, 0.6), (0.2, 0.05))
    nearly(page, within=0.002, top=0.2, left=0.8, bottom=0.26, right=0.86)
    visit.tidy()
    page.close()


def test_a_click_is_no_part(browser: Browser, colours: Server) -> None:
    visit = asked(browser, colours)
    page = visit.page
    page.mouse.click(*at(page, 0.5, 0.5))
    drag(page, (0.5, 0.5), (0.52, 0.52))
    expect(page.locator(".crop-box")).to_be_hidden()
    page.wait_for_timeout(1000)  # the address would follow by now
    assert crop_of(page) is None
    page.close()


def test_keys_do_all_of_it(browser: Browser, colours: Server) -> None:
    visit = asked(browser, colours)
    page = visit.page
    toggle = page.locator(".crop-toggle")
    toggle.focus()
    expect(toggle).to_have_text("Point at a part")
    page.keyboard.press("Enter")
    move = page.get_by_role("button", name="arrow keys move it")
    expect(move).to_be_focused()
    expect(toggle).to_have_text("Use the whole picture")
    nearly(page, top=0.2, left=0.2, bottom=0.8, right=0.8)
    for _ in range(20):
        page.keyboard.press("Shift+ArrowLeft")
    for _ in range(15):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    finds_first(page, "red.png")
    nearly(page, top=0.18, left=0, bottom=0.78, right=0.2)
    expect(page.get_by_role("status").filter(has_text="20% wide and 60% high")).to_have_count(1)
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Top left corner of the part")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page).to_have_url(re.compile(r"crop=0\.22,0,0\.78,0\.2(&|$)"))
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Bottom right corner of the part")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".crop-box")).to_be_hidden()
    expect(toggle).to_be_focused()
    assert crop_of(page) is None
    visit.tidy()
    page.close()


def test_the_address_holds_it(browser: Browser, colours: Server) -> None:
    visit = open_page(browser, colours.url, "?key=red.png&crop=0.1,0.2,0.5,0.75")
    page = visit.page
    expect(page.locator(".crop-box")).to_be_visible()
    shown = page.locator(".crop-box").bounding_box()
    whole = page.locator("#query-image").bounding_box()
    assert shown is not None
    assert whole is not None
    assert shown["x"] - whole["x"] == pytest.approx(0.2 * whole["width"], abs=1)
    assert shown["y"] - whole["y"] == pytest.approx(0.1 * whole["height"], abs=1)
    assert shown["width"] == pytest.approx(0.55 * whole["width"], abs=1)
    assert shown["height"] == pytest.approx(0.4 * whole["height"], abs=1)
    sent = [each for each in visit.requests if each.url.endswith("/v1/search")][-1].post_data_json
    assert sent["crop"] == {"top": 0.1, "left": 0.2, "bottom": 0.5, "right": 0.75}
    page.locator(".crop-toggle").click()
    expect(page.locator(".crop-box")).to_be_hidden()
    page.go_back()
    expect(page.locator(".crop-box")).to_be_visible()
    nearly(page, top=0.1, left=0.2, bottom=0.5, right=0.75)
    # Another picture has no part of its own yet.
    choose(page, file(halves()))
    expect(page.locator(".crop-box")).to_be_hidden()
    visit.tidy()
    page.close()


def test_a_finger_draws_and_finds_what_it_needs(browser: Browser, colours: Server) -> None:
    visit = asked(browser, colours, **PHONE)
    page = visit.page
    toggle = page.locator(".crop-toggle")
    toggle.scroll_into_view_if_needed()
    toggle.tap()
    expect(page.locator(".crop-box")).to_be_visible()
    for button in [toggle, *page.locator(".crop-corner").all()]:
        size = button.bounding_box()
        assert size is not None
        assert size["width"] >= 44
        assert size["height"] >= 44
    # The picture has made itself large, and the page stays at it.
    width = page.locator("#query-image").evaluate("image => image.clientWidth")
    assert width > 300
    page.evaluate("scrollTo(0, 0)")
    fingers = page.context.new_cdp_session(page)

    def touch(kind: str, *place: float) -> None:
        points = [dict(zip(("x", "y"), at(page, *place), strict=True))] if place else []
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 0.02, 0.1)
    touch("touchMove", 0.1, 0.5)
    touch("touchMove", 0.18, 0.95)
    touch("touchEnd")
    finds_first(page, "red.png")
    nearly(page, top=0.1, left=0.02, bottom=0.95, right=0.18)
    assert page.evaluate("scrollY") == 0
    assert keys(page)[0] == "red.png"
    visit.tidy()
    page.close()


def test_languages(browser: Browser, colours: Server) -> None:
    visit = open_page(browser, colours.url, "?key=red.png", locale="pt-BR")
    page = visit.page
    expect(page.locator(".crop-toggle")).to_have_text("Apontar uma parte")
    page.locator("[data-language=en]").click()
    expect(page.locator(".crop-toggle")).to_have_text("Point at a part")
    page.close()
