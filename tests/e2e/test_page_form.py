"""How the page behaves: keyboard, widths, accessibility, nothing that jumps."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from browsing import (
    NEEDS_CHROMIUM,
    SHOWN,
    Visit,
    choose,
    file,
    found_itself,
    open_page,
    tiles,
)
from serving import COUNT, Server, key_of, picture

pytestmark = NEEDS_CHROMIUM


FOCUSED = """() => document.activeElement.id || document.activeElement.dataset.language
    || document.activeElement.dataset.view || document.activeElement.className
    || document.activeElement.textContent"""


def test_keyboard_alone(visit: Visit) -> None:
    page = visit.page
    seen = []
    for _ in range(14):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(FOCUSED))
    # From the top down, in the order they are seen in.
    assert seen[:8] == ["skip", "brand", "search", "map", "care", "en", "pt", "theme"]
    assert seen[8:] == ["file", "choose", "camera", "shuffle", "sample", "sample"]
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px"
    page.keyboard.press("Enter")
    expect(tiles(page)).to_have_count(SHOWN)
    expect(page.locator("#status")).to_contain_text("at 0.00")
    # On into the results: the second is searched from, and focus stays where it was.
    picked = tiles(page).nth(1).get_attribute("title")
    tiles(page).nth(1).locator(".open").focus()
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "act act-from"
    page.keyboard.press("Enter")
    expect(tiles(page).first).to_have_attribute("title", str(picked))
    assert page.evaluate(FOCUSED) == "act act-from"
    with page.expect_file_chooser() as chooser:
        page.locator("#choose").focus()
        page.keyboard.press("Enter")
    chooser.value.set_files(file(picture(12)))
    found_itself(page, 12)
    visit.tidy()


def test_the_skip_link_leads_past_the_header(visit: Visit) -> None:
    page = visit.page
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "file"
    expect(page.locator(".skip")).not_to_be_in_viewport()


def test_samples_can_be_shuffled(visit: Visit) -> None:
    page = visit.page
    assert page.locator(".sample:enabled").count() == 24
    first = set(page.locator(".sample").evaluate_all("all => all.map((one) => one.dataset.key)"))
    for _ in range(12):
        with page.expect_response("**/v1/images?*"):
            page.locator("#shuffle").click()
        page.wait_for_timeout(50)
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
        expect(tiles(page)).to_have_count(SHOWN)
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


SHIFTS = """() => new Promise((done) => {
    let sum = 0;
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) sum += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
    setTimeout(() => done(sum), 200);
})"""


@pytest.mark.parametrize("language", ["en-GB", "pt-BR"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_jumps(browser: Browser, server: Server, width: int, language: str) -> None:
    viewport = {"width": width, "height": 900}
    visit = open_page(browser, server.url, viewport=viewport, locale=language)
    page = visit.page
    choose(page, file(picture(7)))
    expect(tiles(page)).to_have_count(SHOWN)
    assert page.evaluate(SHIFTS) < 0.01
    page.close()
    # A shared link stands as results from the first.
    visit = open_page(browser, server.url, f"/?key={key_of(7)}", viewport=viewport, locale=language)
    expect(tiles(visit.page)).to_have_count(SHOWN)
    assert visit.page.evaluate(SHIFTS) < 0.01
    visit.page.close()


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
