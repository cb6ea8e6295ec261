"""From the start to a result, a comparison and back with the keyboard alone; at every step it is to
be seen where one is, and nothing lies over it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from browsing import NEEDS_CHROMIUM, open_page, tiles
from serving import Server, running
from showcase import TWICE, make_showcase

pytestmark = NEEDS_CHROMIUM

# Where the keyboard is, how that is shown, and what lies over it. A control that is not drawn
# itself (the box's file field) is shown by the one around it.
WHERE = """() => {
    const one = document.activeElement;
    const ringed = (each) => parseFloat(getComputedStyle(each).outlineWidth) >= 2
        && getComputedStyle(each).outlineStyle !== "none";
    const near = [one, one.parentElement, one.parentElement?.parentElement, ...one.children];
    const box = one.getBoundingClientRect();
    // Something may lie over a part of it, as tools do over the map, but not over all.
    const within = (low, size, most, share) => Math.min(Math.max(low + size * share, 0), most - 1);
    const tops = [0.5, 0.1, 0.9].flatMap((across) => [0.5, 0.1, 0.9].map((down) =>
        document.elementFromPoint(within(box.x, box.width, innerWidth, across),
            within(box.y, box.height, innerHeight, down)))).filter(Boolean);
    const own = [one, one.closest("label"), ...(one.labels ?? [])].filter(Boolean);
    return {
        name: `${one.nodeName} ${one.id} ${one.className}`.trim(),
        said: one.getAttribute("aria-label") ?? one.textContent.trim(),
        lost: one === document.body,
        ringed: one.matches(":focus-visible") && near.filter(Boolean).some(ringed),
        seen: box.width > 0 && box.bottom > 0 && box.top < innerHeight
            && tops.some((top) => own.some((each) => each.contains(top) || top.contains(each))),
        box: [box.x, box.y, box.width, box.height].map(Math.round),
        over: tops.map((top) => `${top.nodeName} ${top.id} ${top.className}`)[0] ?? "",
    };
}"""
MOST = 120
"""Presses of the Tab key after which something is taken not to be reached."""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(make_showcase(tmp_path_factory.mktemp("keys")), writable=True) as server:
        yield server


def where(page: Page) -> dict[str, Any]:
    """Where the keyboard is; fails where that can't be seen."""
    place: dict[str, Any] = page.evaluate(WHERE)
    assert not place["lost"], "the focus is lost"
    assert place["ringed"], place
    assert place["seen"], (place["name"], place["box"], f"under {place['over']}")
    return place


def tab_to(page: Page, selector: str, key: str = "Tab") -> list[str]:
    """Presses Tab until something that fits has the focus; what was passed on the way."""
    passed = []
    for _ in range(MOST):
        page.keyboard.press(key)
        passed.append(where(page)["name"])
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return passed
    raise AssertionError(f"{selector} was not reached: {passed}")


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)], ids=["desktop", "phone"])
def test_there_and_back_with_the_keyboard(
    browser: Browser, shown: Server, width: int, height: int
) -> None:
    visit = open_page(
        browser, shown.url, viewport={"width": width, "height": height}, reduced_motion="reduce"
    )
    page = visit.page
    first = tab_to(page, ".skip")
    assert len(first) == 1, "the way past the head of the page is the first stop"
    tab_to(page, ".sample")
    page.keyboard.press("Enter")
    expect(tiles(page).first).to_be_visible()
    tab_to(page, ".tile .open")
    tab_to(page, ".tile:nth-child(3) .open")
    opened = where(page)["said"]

    page.keyboard.press("Enter")
    dialog = page.locator("dialog.compare")
    expect(dialog).to_be_visible()
    assert page.evaluate("() => document.activeElement.closest('dialog') !== null")
    expect(dialog.locator(".compare-seen").first).to_be_visible()
    title = dialog.locator(".compare-at").inner_text()
    inside = tab_to(page, "dialog .compare-grid [role=gridcell]")
    page.keyboard.press("ArrowRight")
    where(page)
    page.keyboard.press("ArrowDown")
    where(page)
    tab_to(page, "dialog button:enabled", "Shift+Tab")
    assert inside
    page.keyboard.press("ArrowRight")
    expect(dialog.locator(".compare-at")).not_to_have_text(title)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert where(page)["said"] == opened, "closing leads back to where it was opened"

    key = tiles(page).nth(2).get_attribute("data-key")
    tab_to(page, ".tile:nth-child(3) .act-from")
    page.keyboard.press("Enter")
    expect(tiles(page).first).to_have_attribute("data-key", str(key))
    where(page)
    page.go_back()
    expect(tiles(page).nth(2)).to_have_attribute("data-key", str(key))
    where(page)
    tab_to(page, "#brand", "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".sample").first).to_be_visible()
    where(page)
    visit.tidy()
    page.close()


@pytest.mark.parametrize("view", ["map", "care", "care&part=add", "care&part=duplicates"])
def test_every_stop_is_seen(browser: Browser, shown: Server, view: str) -> None:
    """Through a view from its first stop to the browser's own: none is hidden, none a trap."""
    visit = open_page(browser, shown.url, f"?key={TWICE}", reduced_motion="reduce")
    page = visit.page
    page.goto(f"{shown.url}?view={view}")
    expect(page.locator("html.ready")).to_be_attached()
    page.wait_for_load_state("networkidle")
    expect(page.locator(".map-wait").locator("visible=true")).to_have_count(0)
    stops = []
    for _ in range(2 * MOST):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement === document.body"):
            break
        stops.append(where(page)["name"])
    else:
        raise AssertionError(f"no way out: {stops[-5:]}")
    assert len(stops) > 8
    visit.tidy()
    page.close()
