"""The map answers: cards, the query and its nearest, waiting, failures, phones, languages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from browsing import NEEDS_CHROMIUM, choose, file, open_page
from map_view import GREENS, middle_of, open_map, open_page_at, rgb
from serving import Server, key_of, make_gallery, picture, running
from toy_map import GROUPS
from toys import encode, plain
from vizinho.gallery import Gallery
from vizinho.gallery.mapping import make_map
from vizinho.report.embedding_map import PALETTE

pytestmark = NEEDS_CHROMIUM


def test_pointing_shows_a_card_and_clicking_holds_it(browser: Browser, large: Server) -> None:
    shown = open_map(browser, large, "&x=0.5&y=0.5&zoom=1")
    page = shown.page
    box = page.locator(".map-canvas").bounding_box()
    assert box is not None
    lone = middle_of(shown, 1)
    x, y = shown.at(lone)
    card = page.locator(".map-card")
    page.mouse.move(box["x"] + x, box["y"] + y)
    expect(card).to_be_visible()
    expect(card.locator("strong")).to_have_text("group 1")
    page.mouse.move(box["x"] + 3, box["y"] + box["height"] - 3)
    expect(card).to_be_hidden()
    page.mouse.click(box["x"] + x, box["y"] + y)
    page.mouse.move(box["x"] + 3, box["y"] + box["height"] - 3)
    expect(card).to_be_visible()
    key = card.locator(".map-key").inner_text()
    assert card.locator("img").evaluate("i => i.decode().then(() => i.naturalWidth)") == 32
    card.get_by_role("button", name="Search from this").click()
    expect(page).to_have_url(re.compile(f"view=map.*key={key}|key={key}.*view=map"))
    shown.visit.tidy()


def test_the_query_and_its_nearest_are_lit(browser: Browser, large: Server) -> None:
    key = "k000004"
    shown = open_map(browser, large, f"&key={key}")
    page = shown.page
    expect(page.locator(".map-canvas")).to_have_attribute("data-lit", "9")
    expect(page.locator(".map-asked")).to_contain_text(f"{key} and its nearest")
    page.wait_for_timeout(1000)
    assert shown.share(GREENS[4]) > 0.001
    accent = tuple(map(int, re.findall(r"\d+", shown.page.locator(".map-canvas").evaluate(
        "c => getComputedStyle(c).caretColor"))))  # fmt: skip
    assert shown.share(accent) > 0.0005
    # All others are dimmed: no class has its full colour but on the edges of the nearest. (The
    # accent is much like the first colour.)
    others = [label for label, name in enumerate(shown.map["labels"]) if label and name[-1] != "4"]
    assert len(others) >= 3
    assert {label: shown.share(rgb(PALETTE["light"][label])) < 0.002 for label in others} == (
        dict.fromkeys(others, True)
    )
    page.get_by_role("button", name="Search for nothing").click()
    expect(page.locator(".map-asked")).to_be_hidden()
    assert "key=" not in page.url
    page.go_back()
    expect(page.locator(".map-canvas")).to_have_attribute("data-lit", "9")
    page.get_by_role("button", name="Show as a list").click()
    expect(page.locator(".tile[data-key]").first).to_have_attribute("data-key", key)
    shown.visit.tidy()


def test_a_dropped_picture_has_its_place(browser: Browser, large: Server) -> None:
    visit = open_page(browser, large.url, reduced_motion="reduce")
    choose(visit.page, file(encode(plain((10, 200, 90))), "leaf.png"))
    expect(visit.page.locator(".tile[data-key]").first).to_be_visible()
    visit.page.locator('#views [data-view="map"]').click()
    expect(visit.page.locator(".map-asked")).to_contain_text("leaf.png and its nearest")
    expect(visit.page.locator(".map-canvas")).to_have_attribute("data-lit", "10")
    visit.tidy()


def test_while_it_is_made_the_page_says_how_far(browser: Browser, large: Server) -> None:
    page = browser.new_page()
    page.set_default_timeout(60_000)
    answers = [{"status": "building", "done": done, "of": 100} for done in (10, 60)]

    def answer(route: Any) -> None:
        if answers:
            route.fulfill(status=202, json=answers[0])
        else:
            route.continue_()

    page.route("**/v1/map", answer)
    page.goto(f"{large.url}/?view=map")
    expect(page.locator(".map-wait")).to_contain_text("The map is being made")
    expect(page.locator(".map-wait")).to_contain_text("10%")
    answers.pop(0)
    expect(page.locator(".map-wait")).to_contain_text("60%")
    answers.pop(0)
    expect(page.locator(".map-wait")).to_be_hidden()
    expect(page.locator("#said")).to_have_text("The map is ready")
    expect(page.locator(".map-legend li")).to_have_count(GROUPS)


def test_a_map_that_cannot_be_made_is_explained(browser: Browser, large: Server) -> None:
    page = browser.new_page()
    page.set_default_timeout(60_000)
    failed = {"error": {"code": "map_failed", "message": "No.", "hint": ""}}
    page.route("**/v1/map", lambda route: route.fulfill(status=503, json=failed))
    page.goto(f"{large.url}/?view=map")
    expect(page.locator(".map .problem")).to_contain_text("The map could not be made")
    page.unroute("**/v1/map")
    page.locator(".map .problem").get_by_role("button", name="Try again").click()
    expect(page.locator(".map-canvas[data-zoom]")).to_be_visible()
    expect(page.locator(".map .problem")).to_be_hidden()


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_pictures(browser: Browser, tmp_path: Path, count: int) -> None:
    path = make_gallery(tmp_path, count)
    with Gallery.open(path) as gallery:
        make_map(gallery)
    with running(path) as server:
        shown = open_map(browser, server) if count else None
        if shown is None:
            visit = open_page_at(browser, f"{server.url}/?view=map")
            expect(visit.page.locator(".map-count")).to_have_text("0 pictures.")
            visit.tidy()
            return
        shown.page.locator(".map-canvas").focus()
        shown.page.keyboard.press("ArrowRight")
        expect(shown.page.locator(".map-card")).to_contain_text(key_of(0))
        shown.page.keyboard.press("+")
        expect(shown.page.locator(".map-classes")).to_be_hidden()
        shown.page.wait_for_timeout(1000)
        assert len(np.unique(shown.pixels(), axis=0)) > 50  # the picture itself
        shown.visit.tidy()


def test_on_a_phone_two_fingers_zoom(browser: Browser, large: Server) -> None:
    shown = open_map(
        browser, large, viewport={"width": 320, "height": 640}, has_touch=True, is_mobile=True,
        device_scale_factor=2,
    )  # fmt: skip
    page = shown.page
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) == 320
    box = page.locator(".map-canvas").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    devtools = page.context.new_cdp_session(page)

    def touch(kind: str, apart: float) -> None:
        points = [{"x": x - apart, "y": y, "id": 1}, {"x": x + apart, "y": y, "id": 2}]
        devtools.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [] if kind == "touchEnd" else points},
        )

    touch("touchStart", 20)
    for apart in (30, 40, 60):
        touch("touchMove", apart)
    touch("touchEnd", 60)
    expect(page.locator(".map-canvas")).to_have_attribute("data-zoom", re.compile(r"^[2-4]\."))
    assert page.evaluate("visualViewport.scale") == 1
    assert page.evaluate(wide) == 320
    shown.visit.tidy()


def test_dark_has_its_own_colours(browser: Browser, large: Server) -> None:
    shown = open_map(browser, large)
    label = shown.map["labels"].index("group 0")
    light, dark = (rgb(PALETTE[theme][label]) for theme in ("light", "dark"))
    assert shown.share(light) > 0.05
    while shown.page.evaluate("document.documentElement.dataset.theme") != "dark":
        shown.page.locator("#theme").click()
    shown.page.wait_for_timeout(300)
    assert shown.share(dark) > 0.05
    assert shown.share(light) < 0.01
    shown.visit.tidy()


def test_the_map_speaks_portuguese(browser: Browser, server: Server, gallery: Path) -> None:
    with Gallery.open(gallery) as opened:
        make_map(opened)
    shown = open_map(browser, server, "&lang=pt")
    expect(shown.page.locator(".map-count")).to_contain_text("40 imagens.")
    expect(shown.page.get_by_role("button", name="Ampliar")).to_be_visible()
    shown.page.get_by_role("button", name="EN: English").click()
    expect(shown.page.locator(".map-count")).to_contain_text("40 pictures.")
    expect(shown.page.get_by_role("button", name="Zoom in")).to_be_visible()
    shown.visit.tidy()


def test_the_palette_is_the_reports() -> None:
    text = (Path(__file__).parents[2] / "src/vizinho/page/map-draw.js").read_text()
    for theme, colours in PALETTE.items():
        assert f'{theme}: "{" ".join(colours)}"' in text


def test_a_picture_found_is_on_the_map_under_its_own_key(browser: Browser, server: Server) -> None:
    at = server.client.post("/v1/map/place", files={"image": ("a.png", picture(7))})
    if at.status_code == 503:
        pytest.fail("the map was made by the test before")
    shown = open_map(browser, server, f"&key={key_of(7)}")
    number = shown.map["keys"].index(key_of(7))
    assert at.json()["x"] == pytest.approx(shown.map["x"][number], abs=8)
    expect(shown.page.locator(".map-canvas")).to_have_attribute("data-lit", "9")
    shown.visit.tidy()
