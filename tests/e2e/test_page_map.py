"""The map in the page: what is drawn, and how it is moved about."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Browser, expect

from browsing import NEEDS_CHROMIUM
from map_view import GREENS, middle_of, open_map, rgb
from serving import Server
from toy_map import GROUPS
from vizinho.report.embedding_map import PALETTE

pytestmark = NEEDS_CHROMIUM


def test_each_class_is_drawn_in_its_colour_where_it_is(browser: Browser, large: Server) -> None:
    shown = open_map(browser, large)
    expect(shown.page.locator(".map-count")).to_contain_text("1,500 pictures")
    for group in range(GROUPS):
        label = shown.map["labels"].index(f"group {group}")
        colour = rgb(PALETTE["light"][label])
        place = shown.at(middle_of(shown, group))
        below = (place[0], place[1] + 22)  # at the middle the class is written
        assert shown.share(colour, around=below, reach=10) > 0.3, group
        assert shown.share(rgb(PALETTE["light"][(label + 1) % 5]), around=below, reach=10) < 0.1
    assert [r for r in shown.visit.requests if "/tiles/" in r.url] == []
    shown.visit.tidy()


def test_the_legend_hides_and_shows_classes(browser: Browser, large: Server) -> None:
    shown = open_map(browser, large)
    page = shown.page
    colour = rgb(PALETTE["light"][shown.map["labels"].index("group 2")])
    assert shown.share(colour) > 0.05
    entry = page.get_by_role("button", name="group 2 300")
    expect(entry).to_have_attribute("aria-pressed", "true")
    entry.focus()
    page.keyboard.press("Enter")
    expect(entry).to_have_attribute("aria-pressed", "false")
    expect(entry).to_be_focused()
    page.wait_for_timeout(300)
    assert shown.share(colour) < 0.005
    page.get_by_role("button", name="Show all", exact=True).click()
    page.wait_for_timeout(300)
    assert shown.share(colour) > 0.05
    shown.visit.tidy()


def test_near_thumbnails_take_the_marks_place(browser: Browser, large: Server) -> None:
    shown = open_map(browser, large)
    page = shown.page
    key = middle_of(shown, 3)
    box = page.locator(".map-canvas").bounding_box()
    assert box is not None
    x, y = shown.at(key)
    page.mouse.move(box["x"] + x, box["y"] + y)
    assert shown.data("side") == 0
    for _ in range(6):
        page.mouse.wheel(0, -120)
    expect(page.locator(".map-canvas")).to_have_attribute("data-side", re.compile("[1-9]"))
    assert shown.data("zoom") > 3
    expect(page).to_have_url(re.compile(r"zoom=\d"))
    page.wait_for_timeout(1000)
    # The place under the pointer has stayed there, and shows its pictures now.
    assert shown.share(GREENS[3], around=(x, y), reach=30) > 0.3
    shown.visit.tidy()


def test_dragging_and_the_address_are_one(browser: Browser, large: Server) -> None:
    shown = open_map(browser, large, "&x=0.5&y=0.5&zoom=2")
    page = shown.page
    before = page.evaluate("history.length")
    box = page.locator(".map-canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 300, box["y"] + 300)
    page.mouse.down()
    page.mouse.move(box["x"] + 350, box["y"] + 320)
    page.mouse.move(box["x"] + 400, box["y"] + 340)
    page.mouse.up()
    expect(page).not_to_have_url(re.compile("x=0.5&"))
    found = re.search(r"x=([\d.]+)&y=([\d.]+)&zoom=2", page.url)
    assert found
    unit = min(box["width"], box["height"]) * 0.9 * 2
    assert float(found[1]) == pytest.approx(0.5 - 100 / unit, abs=0.01)
    assert float(found[2]) == pytest.approx(0.5 - 40 / unit, abs=0.01)
    assert page.evaluate("history.length") == before
    other = open_map(browser, large, "&" + page.url.partition("&")[2])
    assert other.data("zoom") == 2
    # Thumbnails come a little later; then both show the same.
    until = time.monotonic() + 60
    while len(other.pixels()) != pytest.approx(len(shown.pixels()), rel=0.01):
        assert time.monotonic() < until
        page.wait_for_timeout(200)
    other.visit.tidy()
    shown.visit.tidy()


def test_without_a_mouse(browser: Browser, large: Server) -> None:
    shown = open_map(browser, large)
    page = shown.page
    canvas = page.locator(".map-canvas")
    expect(canvas).to_have_attribute("aria-label", "Map of the gallery")
    canvas.focus()
    page.keyboard.press("ArrowRight")
    card = page.locator(".map-card")
    expect(card).to_be_visible()
    first = card.locator(".map-key").inner_text()
    expect(page.locator("#said")).to_contain_text(first)
    expect(page.locator("#said")).to_contain_text("group")
    page.keyboard.press("ArrowLeft")
    expect(card.locator(".map-key")).not_to_have_text(first)
    second = card.locator(".map-key").inner_text()
    assert shown.at(second)[0] < shown.at(first)[0]
    page.keyboard.press("+")
    page.keyboard.press("+")
    expect(canvas).to_have_attribute("data-zoom", "2.56")
    page.keyboard.press("Shift+ArrowDown")
    expect(page).to_have_url(re.compile("zoom=2.56"))
    page.keyboard.press("0")
    expect(canvas).to_have_attribute("data-zoom", "1.00")
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    page.keyboard.press("ArrowUp")
    third = card.locator(".map-key").inner_text()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"key={third}"))
    expect(page.locator(".map-asked")).to_contain_text(third)
    shown.visit.tidy()
