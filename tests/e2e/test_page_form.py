"""How the page behaves: keyboard, widths, accessibility, nothing that jumps."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from browsing import (
    NEEDS_CHROMIUM,
    Visit,
    choose,
    file,
    found_itself,
    open_page,
    tiles,
)
from serving import COUNT, Server, key_of, picture

pytestmark = NEEDS_CHROMIUM


def test_keyboard_alone(visit: Visit) -> None:
    page = visit.page
    seen = []
    for _ in range(6):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "() => document.activeElement.id || document.activeElement.className"
                " || document.activeElement.textContent"
            )
        )
    # From the top down, in the order they are seen in.
    assert seen[:4] == ["top-link", "file", "choose", "shuffle"]
    assert seen[4] == seen[5] == "sample"
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px"
    page.keyboard.press("Enter")
    expect(tiles(page)).to_have_count(10)
    expect(page.locator("#status")).to_contain_text("at 0.00")
    # On into the results: the second is picked, and focus stays where it was.
    tiles(page).nth(1).focus()
    picked = tiles(page).nth(1).get_attribute("title")
    page.keyboard.press("Enter")
    expect(tiles(page).first).to_have_attribute("title", str(picked))
    assert page.evaluate("() => document.activeElement.className").startswith("tile")
    with page.expect_file_chooser() as chooser:
        page.locator("#choose").focus()
        page.keyboard.press("Enter")
    chooser.value.set_files(file(picture(12)))
    found_itself(page, 12)
    visit.tidy()


def test_samples_can_be_shuffled(visit: Visit) -> None:
    page = visit.page
    assert page.locator(".sample:enabled").count() == 12
    first = set(page.locator(".sample").evaluate_all("all => all.map((one) => one.dataset.key)"))
    for _ in range(12):
        with page.expect_response("**/v1/images?*"):
            page.locator("#shuffle").click()
        now = set(page.locator(".sample").evaluate_all("all => all.map((one) => one.dataset.key)"))
        if now != first:
            break
    assert now != first
    assert now <= {key_of(number) for number in range(COUNT)}


@pytest.mark.parametrize("width", [320, 360, 700, 768, 961, 1920])
def test_no_width_scrolls_sideways(browser: Browser, server: Server, width: int) -> None:
    visit = open_page(browser, server.url, viewport={"width": width, "height": 800})
    page = visit.page
    for _ in range(2):
        overhang = page.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert overhang <= 0
        choose(page, file(picture(7), "a-name-without-any-place-to-break-" * 6 + ".png"))
        expect(tiles(page)).to_have_count(10)
    if width < 700:
        # The results lie under the fold there, so the page goes to them.
        expect(page.locator("#found-title")).to_be_in_viewport()
        assert (page.locator(".tile").first.bounding_box() or {})["width"] >= 120
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_accessible(browser: Browser, server: Server, scheme: Any, width: int) -> None:
    from axe_playwright_python.sync_playwright import Axe

    # Axe is put into the page as a script, which the page's own policy would rightly refuse.
    visit = open_page(
        browser,
        server.url,
        color_scheme=scheme,
        viewport={"width": width, "height": 800},
        bypass_csp=True,
        reduced_motion="reduce",
    )
    for payload in (file(picture(7)), file(b"rubbish", "notes.txt", "text/plain")):
        choose(visit.page, payload)
        expect(visit.page.locator("#grid")).to_have_attribute("aria-busy", "false")
        result = Axe().run(visit.page)
        assert result.violations_count == 0, result.generate_report()
    visit.page.close()


def test_nothing_jumps(browser: Browser, server: Server) -> None:
    visit = open_page(browser, server.url)
    page = visit.page
    choose(page, file(picture(7)))
    found_itself(page, 7)
    shift = page.evaluate(
        """() => new Promise((done) => {
            let sum = 0;
            new PerformanceObserver((list) => {
                for (const entry of list.getEntries()) sum += entry.value;
            }).observe({ type: "layout-shift", buffered: true });
            setTimeout(() => done(sum), 200);
        })"""
    )
    assert shift < 0.01
    page.close()


def test_documentation_works_without_a_cdn(browser: Browser, server: Server) -> None:
    page = browser.new_page()
    visit = Visit(page, server.url)
    page.on(
        "console", lambda said: visit.complaints.append(said.text) if said.type == "error" else 0
    )
    page.on("request", lambda request: visit.requests.append(request))
    page.goto(f"{server.url}/docs")
    expect(page.get_by_text("/v1/search").first).to_be_visible()
    visit.tidy()
    page.close()
