"""What comes when somebody has gone on: it changes nothing of what they look at now."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from browsing import NEEDS_CHROMIUM, choose, file, found_itself, tiles
from caring import box, keys_in, open_care
from holding import GIVE, held, with_bytes
from serving import Server, key_of, make_gallery, picture
from vizinho.gallery import Gallery

pytestmark = NEEDS_CHROMIUM

COUNT = 61


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_gallery(tmp_path, COUNT)


def view(page: Page, name: str) -> Locator:
    return page.locator(f'#views [data-view="{name}"]')


def part(page: Page, name: str) -> Locator:
    return page.locator(f'.parts [data-part="{name}"]')


def test_what_is_dropped_to_search_with_is_not_added(
    browser: Browser, writable: Server, path: Path
) -> None:
    visit = open_care(browser, writable, "add")
    page = visit.page
    view(page, "search").click()
    expect(page.locator(".sample:enabled").first).to_be_visible()
    with_bytes(page, picture(900))
    page.evaluate(GIVE, "drop")
    expect(tiles(page)).to_have_count(20)
    assert len(keys_in(path)) == COUNT
    assert not [each for each in visit.requests if each.url.endswith("/v1/images")]


@pytest.mark.parametrize("fails", [False, True])
def test_a_part_that_is_slow_or_missing_keeps_nobody(
    browser: Browser, writable: Server, fails: bool
) -> None:
    page = browser.new_page(locale="en-GB")
    come = held(page, "**/static/browse.js")
    page.goto(writable.url)
    expect(page.locator(".sample:enabled").first).to_be_visible()
    with page.expect_request("**/static/browse.js"):
        view(page, "care").click()
    if fails:
        page.unroute("**/static/browse.js")
        page.route("**/static/browse.js", lambda route: route.abort())
        page.goto(f"{writable.url}/?view=care")
        expect(page.locator("#trouble")).to_contain_text("The server does not answer")
    view(page, "search").click()
    expect(page.locator(".sample:enabled").first).to_be_visible()
    expect(page.locator("#trouble")).to_be_hidden()
    if not fails:
        come()
        page.wait_for_load_state("networkidle")
        expect(page.locator("#view-search")).to_be_visible()
        expect(page.locator(".pick").locator("visible=true")).to_have_count(0)
    page.close()


def test_a_slow_part_does_not_take_another_s_place(browser: Browser, writable: Server) -> None:
    page = open_care(browser, writable).page
    come = held(page, "**/static/upload.js")
    part(page, "add").click()
    part(page, "feedback").click()
    expect(page.locator(".part-feedback h2")).to_be_visible()
    come()
    page.wait_for_load_state("networkidle")
    expect(page.locator(".part-add")).to_be_hidden()
    expect(part(page, "feedback")).to_have_attribute("aria-current", "page")


def test_a_removal_does_not_turn_another_part_s_page(
    browser: Browser, writable: Server, path: Path
) -> None:
    with Gallery.open(path) as gallery:
        for number in range(60):
            gallery.feedback.mark(key_of(1), key_of(number), "right")
    page = open_care(browser, writable).page
    box(page, key_of(0)).check()
    page.get_by_role("button", name="Remove", exact=True).click()
    part(page, "feedback").click()
    page.locator(".part-feedback").get_by_role("button", name="Next").click()
    expect(page.locator(".given .mark")).to_have_count(10)
    expect(page.locator(".toast")).to_have_count(0)
    page.wait_for_load_state("networkidle")
    assert "page=2" in page.url
    expect(page.locator(".given .mark")).to_have_count(10)


def test_an_answer_for_a_list_that_was_left_turns_nothing(
    browser: Browser, writable: Server
) -> None:
    page = browser.new_page(locale="en-GB")
    answer = held(page, "**/v1/images?*")
    with page.expect_request("**/v1/images?*"):
        page.goto(f"{writable.url}/?view=care&page=99")
    view(page, "search").click()
    answer()
    expect(page.locator(".sample:enabled").first).to_be_visible()
    assert "page" not in page.url
    page.close()


def test_a_full_disk_is_not_called_an_absent_server(browser: Browser, writable: Server) -> None:
    page = open_care(browser, writable, "add").page
    full = '{"error": {"code": "disk_full", "message": "The disk is full.", "hint": ""}}'
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.method)
        route.fulfill(status=507, content_type="application/json", body=full)

    page.route("**/v1/images", refuse)
    page.locator("#add-files").set_input_files([file(picture(901), "new.png")])
    expect(page.locator(".skips")).to_contain_text("The server's disk is full")
    assert asked == ["POST"], "asking again makes no room"
    page.unroute("**/v1/images")
    page.get_by_role("button", name="Send the rest again").click()
    expect(page.locator(".sending .status")).to_contain_text("1 added")


def test_a_message_goes_when_trying_again_has_helped(browser: Browser, writable: Server) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en-GB")
    page.goto(writable.url)
    expect(page.locator(".sample:enabled").first).to_be_visible()
    problem = page.locator("#problem")
    for pattern, press in (
        ("**/v1/images?*", "#shuffle"),
        ("**/static/camera.js", "#camera"),
        ("**/static/compare.js", ".tile .open"),
    ):
        if press == ".tile .open":
            choose(page, file(picture(3)))
            found_itself(page, 3)
        page.route(pattern, lambda route: route.abort())
        page.locator(press).first.click()
        expect(problem).to_contain_text("The server does not answer")
        page.unroute(pattern)
        problem.get_by_role("button", name="Try again").click()
        expect(problem).to_be_empty()
        if press != "#shuffle":
            expect(page.locator("dialog[open]")).to_be_visible()
            page.keyboard.press("Escape")
            expect(page.locator("dialog")).to_have_count(0)
    page.close()


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_what_is_said_covers_nothing_that_is_to_be_pressed(
    browser: Browser, writable: Server, size: tuple[int, int]
) -> None:
    width, height = size
    page = open_care(browser, writable, viewport={"width": width, "height": height}).page
    box(page, key_of(0)).check()
    page.get_by_role("button", name="Remove", exact=True).click()
    box(page, key_of(1)).check()
    toast = page.locator(".toast").bounding_box()
    bar = page.locator(".bar").bounding_box()
    assert toast is not None
    assert bar is not None
    assert toast["y"] + toast["height"] <= bar["y"]
    # Without force playwright presses only what nothing lies over.
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator(".toast")).to_have_count(2)


def test_undo_can_be_pressed_over_the_large_view(browser: Browser, writable: Server) -> None:
    page = open_care(browser, writable).page
    box(page, key_of(0)).check()
    page.get_by_role("button", name="Remove", exact=True).click()
    view(page, "search").click()
    choose(page, file(picture(3)))
    found_itself(page, 3)
    tiles(page).first.locator(".open").click()
    expect(page.locator("dialog.compare .toast")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#said")).to_contain_text("back")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator(".toast")).to_have_count(0)


def test_a_language_that_does_not_come_says_so(browser: Browser, writable: Server) -> None:
    page = browser.new_page(locale="en-GB")
    page.goto(writable.url)
    expect(page.locator(".sample:enabled").first).to_be_visible()
    page.route("**/static/words.pt.js", lambda route: route.abort())
    page.get_by_role("button", name="PT").click()
    trouble = page.locator("#trouble")
    expect(trouble).to_contain_text("The server does not answer")
    page.unroute("**/static/words.pt.js")
    trouble.get_by_role("button", name="Try again").click()
    expect(page.locator("html")).to_have_attribute("lang", "pt-BR")
    expect(trouble).to_be_hidden()
    page.close()
