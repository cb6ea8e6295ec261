"""Manners of the page in every state: nothing sticks out at 320 pixels or with text twice as large,
nothing moves for who wants no motion, nothing jumps, no cookie, no other host, a strict policy."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from browsing import NEEDS_CHROMIUM, Visit, file, heard, tiles
from page_states import STATES, ask, restart, settle
from serving import Server, running
from showcase import make_showcase, of_kind

pytestmark = NEEDS_CHROMIUM

WATCH = """
    window.refused = [];
    window.shifts = [];
    addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI, sourceFile }) =>
        window.refused.push(`${violatedDirective} ${blockedURI} ${sourceFile}`));
    const named = (node) => node ? node.id || node.className || node.nodeName : "?";
    new PerformanceObserver((list) => {
        for (const { value, hadRecentInput, sources } of list.getEntries()) {
            if (hadRecentInput) continue;
            const moved = sources.map(({ node, previousRect: a, currentRect: b }) =>
                `${named(node)} ${a.x},${a.y} -> ${b.x},${b.y}`);
            window.shifts.push([value, moved]);
        }
    }).observe({ type: "layout-shift", buffered: true });
"""
# As a browser's "zoom text only" does it: every text at twice its size, and nothing else.
DOUBLE = """() => {
    const sizes = [...document.body.querySelectorAll("*")].map((one) =>
        [one, 2 * parseFloat(getComputedStyle(one).fontSize)]);
    for (const [one, size] of sizes) one.style.fontSize = `${size}px`;
}"""
HALVE = """() => document.body.querySelectorAll("*").forEach((one) => one.style.fontSize = "")"""
# What sticks out to the right of the window, and is not inside something that scrolls by itself.
SIDEWAYS = """() => {
    const room = document.documentElement.clientWidth;
    if (document.scrollingElement.scrollWidth <= room) {
        const dialog = document.querySelector("dialog[open]");
        return dialog && dialog.scrollWidth > dialog.clientWidth ? [dialog.className] : [];
    }
    return [...document.body.querySelectorAll("*")]
        .filter((one) => one.getBoundingClientRect().right > room + 1)
        .map((one) => `${one.nodeName} ${one.id} ${one.className}`.trim()).slice(0, 8);
}"""
# A button's words must fit into it.
CUT = """() => [...document.querySelectorAll("button:not(.link), .button")]
    .filter((one) => one.checkVisibility() && one.textContent.trim())
    .filter(({ scrollWidth, clientWidth, scrollHeight, clientHeight }) =>
        scrollWidth > clientWidth + 1 || scrollHeight > clientHeight + 1)
    .map((one) => one.className + ": " + one.textContent.trim().slice(0, 40))"""
MOVING = """() => document.getAnimations().filter(({ playState }) => playState === "running")
    .map(({ effect, animationName, transitionProperty }) =>
        `${effect.target.className} ${animationName ?? transitionProperty}`)"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(make_showcase(tmp_path_factory.mktemp("manners")), writable=True) as server:
        yield server


def watched(browser: Browser, url: str, **context: object) -> Visit:
    """A page that notes what jumps and what its policy refuses, from the beginning."""
    given = browser.new_context(locale="en-GB", **context)  # type: ignore[arg-type]
    given.add_init_script(WATCH)
    visit = heard(given.new_page(), url)
    page = visit.page
    page.goto(url)
    expect(page.locator(".sample:enabled").first).to_be_visible()
    return visit


@pytest.fixture(scope="module")
def quiet(browser: Browser, shown: Server) -> Iterator[Visit]:
    visit = watched(browser, shown.url, reduced_motion="reduce")
    yield visit
    visit.page.context.close()


@pytest.mark.parametrize("name", STATES)
def test_every_state_has_manners(quiet: Visit, name: str) -> None:
    page = quiet.page
    page.set_viewport_size({"width": 1280, "height": 900})
    page.locator('#languages [data-language="pt"]').click()  # its words are longer
    quiet.complaints.clear()
    found = {}
    with STATES[name](page):
        found["moving"] = page.evaluate(MOVING)
        page.set_viewport_size({"width": 320, "height": 640})
        found["narrow"] = page.evaluate(SIDEWAYS) + page.evaluate(CUT)
        page.set_viewport_size({"width": 1280, "height": 900})
        page.evaluate(DOUBLE)
        found["large text"] = page.evaluate(SIDEWAYS) + page.evaluate(CUT)
        page.evaluate(HALVE)
    assert {what: names for what, names in found.items() if names} == {}
    assert page.evaluate("() => window.refused") == []
    assert page.context.cookies() == []
    if name in ("error", "lost", "uploaded", "uploading"):
        # The browser itself says that a request was answered 4xx, or called off.
        quiet.complaints[:] = [
            said for said in quiet.complaints if not said.startswith("Failed to load resource")
        ]
    quiet.tidy()


def test_nothing_moves_while_it_searches(quiet: Visit) -> None:
    page = quiet.page
    restart(page)
    held = []
    page.route("**/v1/search", lambda route: held.append(route))
    page.locator(".sample").first.click()
    expect(page.locator("#grid")).to_have_attribute("aria-busy", "true")
    assert page.evaluate(MOVING) == []
    held[0].continue_()
    page.unroute("**/v1/search")
    settle(page)


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)], ids=["desktop", "phone"])
def test_nothing_jumps(browser: Browser, shown: Server, width: int, height: int) -> None:
    visit = watched(browser, shown.url, viewport={"width": width, "height": height})
    page = visit.page

    def check(where: str) -> None:
        settle(page)
        page.wait_for_timeout(150)  # a shift is told of after the frame it was in
        shifts = page.evaluate("() => window.shifts.splice(0)")
        assert sum(value for value, _ in shifts) < 0.01, (where, shifts)

    check("load")
    ask(page, file(of_kind("azulejo", 0), "azulejo.png"))
    check("search")
    expect(page.locator("#query-image")).to_be_visible()
    before = tiles(page).count()
    page.mouse.move(width / 2, height / 2)
    for _ in range(40):
        page.mouse.wheel(0, 100)
        page.wait_for_timeout(50)
        if tiles(page).count() > before:
            break
    expect(tiles(page)).not_to_have_count(before)
    check("more")
    for name in ("several", "compare", "care", "uploaded", "duplicates", "gallery_map"):
        with STATES[name](page):
            check(name)
    page.context.close()


def test_the_policy_is_strict(shown: Server) -> None:
    policy = shown.client.get("/").headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("img-src").split() == ["'self'", "blob:", "data:"]
    own = {"script-src", "style-src", "connect-src", "manifest-src"}
    assert {name: rules.pop(name) for name in own & set(rules)} == dict.fromkeys(own, "'self'")
    assert rules == {
        "default-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }


def numbers(page: Page) -> list[str]:
    return tiles(page).locator(".distance, .chance").all_inner_texts()


def test_numbers_are_written_as_the_language_has_them(quiet: Visit) -> None:
    page = quiet.page
    restart(page)
    ask(page, file(of_kind("azulejo", 500), "new.png"))
    for language, point in (("en", r"\."), ("pt", ",")):
        page.locator(f'#languages [data-language="{language}"]').click()
        expect(page.locator("#status")).to_contain_text(re.compile(rf"\b0{point}\d\d\b"))
        texts = [text for text in numbers(page) if text]
        assert len(texts) == 2 * tiles(page).count()
        written = re.compile(rf"\d+{point}\d\d|[<>]?\s?\d{{1,3}}({point}\d)?\s?%")
        assert [text for text in texts if not written.fullmatch(text.replace("\xa0", " "))] == []
        said = tiles(page).first.locator(".open").get_attribute("aria-label") or ""
        assert re.search(rf"0{point}\d\d", said), said
    asked = page.evaluate(
        """async () => {
            const { number, percent } = await import("/static/words.js");
            return [number(12345.678, 1), percent(0.9734, 2), percent(0.99999), percent(0.00001)];
        }"""
    )
    assert asked == ["12.345,7", "97,34%", "> 99%", "< 1%"]
