"""The address bar holds the question: shared links, back and forward, reload."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from browsing import (
    NEEDS_CHROMIUM,
    SHOWN,
    Visit,
    choose,
    file,
    found_itself,
    keys,
    open_page,
    tiles,
)
from serving import LABELS, Server, key_of, picture

pytestmark = NEEDS_CHROMIUM


def asked_for(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def searches(visit: Visit) -> list[Any]:
    return [each for each in visit.requests if each.url.endswith("/v1/search")]


def test_a_shared_link_asks_at_once(browser: Browser, server: Server) -> None:
    visit = open_page(browser, server.url, f"/?key={quote(key_of(10))}")
    found_itself(visit.page, 10)
    assert len(searches(visit)) == 1
    query = visit.page.locator("#query-image")
    assert query.evaluate("image => image.decode().then(() => image.naturalWidth)") == 32
    expect(visit.page.locator("#query-name")).to_have_text("00010.png")
    expect(visit.page.locator("#samples")).to_be_hidden()
    assert [each for each in visit.requests if "/v1/images?" in each.url] == []
    visit.tidy()
    visit.page.close()


def test_a_link_with_all_its_choices_opens_as_it_was(browser: Browser, server: Server) -> None:
    path = f"/?key={key_of(7)}&like={key_of(8)}&unlike={key_of(9)}&label=barco&sort=name&k=50"
    visit = open_page(browser, server.url, path)
    page = visit.page
    expect(tiles(page)).to_have_count(10)
    chips = page.locator(".chip")
    named = chips.locator("img").evaluate_all("all => all.map((image) => image.alt)")
    assert named == ["More like 00007.png", "More like 00008.png", "Less like 00009.png"]
    assert page.locator("#label").input_value() == f"={LABELS[1]}"
    assert page.locator("#sort").input_value() == "name"
    assert page.locator("#k").input_value() == "50"
    assert keys(page) == sorted(keys(page))
    body = searches(visit)[0].post_data_json
    assert body["k"] == 50
    assert body["filter"] == {"label": "barco"}
    assert body["examples"] == [
        {"key": key_of(7), "weight": 1},
        {"key": key_of(8), "weight": 1},
        {"key": key_of(9), "weight": -1},
    ]
    visit.tidy()
    page.close()


def test_a_link_holds_the_part_pointed_at(browser: Browser, server: Server) -> None:
    visit = open_page(browser, server.url, f"/?key={key_of(7)}&crop=0.1,0.2,0.6,0.9")
    expect(tiles(visit.page)).to_have_count(SHOWN)
    crop = searches(visit)[0].post_data_json["crop"]
    assert crop == {"top": 0.1, "left": 0.2, "bottom": 0.6, "right": 0.9}
    visit.page.close()


@pytest.mark.parametrize("crop", ["0.6,0.2,0.1,0.9", "0,0,1", "0,0,1,2", "a,b,c,d", "NaN,0,1,1"])
def test_a_part_that_makes_no_sense_is_the_whole(
    browser: Browser, server: Server, crop: str
) -> None:
    visit = open_page(browser, server.url, f"/?key={key_of(7)}&crop={crop}")
    found_itself(visit.page, 7)
    assert "crop" not in searches(visit)[0].post_data_json
    visit.page.close()


def test_back_and_forward_find_their_answers_again(visit: Visit) -> None:
    page = visit.page
    page.locator(".sample:enabled").nth(3).click()
    expect(tiles(page)).to_have_count(SHOWN)
    first = keys(page)
    second = first[4]
    tiles(page).nth(4).locator(".act-from").focus()
    page.keyboard.press("Enter")
    expect(tiles(page).first).to_have_attribute("title", second)
    assert asked_for(page) == {"key": [second]}
    count = len(searches(visit))
    page.go_back()
    expect(tiles(page).first).to_have_attribute("title", first[0])
    assert keys(page) == first
    assert asked_for(page) == {"key": [first[0]]}
    page.go_back()
    expect(page.locator("#samples")).to_be_visible()
    expect(tiles(page)).to_have_count(0)
    page.go_forward()
    page.go_forward()
    expect(tiles(page).first).to_have_attribute("title", second)
    assert len(searches(visit)) == count  # all of it was still known
    visit.tidy()


def test_an_uploaded_picture_is_there_again_on_the_way_back(visit: Visit) -> None:
    page = visit.page
    choose(page, file(picture(7), "mine.png"))
    found_itself(page, 7)
    assert asked_for(page) == {}  # no address can hold it
    choose(page, file(picture(8), "other.png"))
    found_itself(page, 8)
    page.go_back()
    expect(page.locator("#query-name")).to_have_text("mine.png")
    found_itself(page, 7)
    query = page.locator("#query-image")
    assert query.evaluate("image => image.decode().then(() => image.naturalWidth)") == 32
    page.go_forward()
    found_itself(page, 8)
    visit.tidy()


def test_a_reload_forgets_an_uploaded_picture_and_says_so(visit: Visit) -> None:
    page = visit.page
    choose(page, file(picture(7)))
    found_itself(page, 7)
    page.reload()
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("Your picture is no longer here")
    expect(problem).to_contain_text("Choose it again")
    expect(page.locator(".sample:enabled").first).to_be_visible()
    choose(page, file(picture(7)))
    found_itself(page, 7)
    expect(problem).to_be_empty()


def test_a_reload_keeps_a_picture_of_the_gallery(visit: Visit) -> None:
    page = visit.page
    page.locator(".sample:enabled").first.click()
    expect(tiles(page)).to_have_count(SHOWN)
    before = keys(page)
    page.reload()
    expect(tiles(page)).to_have_count(SHOWN)
    assert keys(page) == before


def test_a_link_to_a_picture_that_is_gone_is_explained(browser: Browser, server: Server) -> None:
    page = browser.new_page()
    page.goto(f"{server.url}/?key=test/nowhere.png")
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("That picture is gone")
    expect(problem).to_contain_text("Start from another one")
    page.get_by_role("button", name="Start over").click()
    expect(page.locator(".sample:enabled").first).to_be_visible()
    expect(problem).to_be_empty()
    page.close()


def test_the_brand_starts_over_and_keeps_a_language_that_was_asked_for(
    browser: Browser, server: Server
) -> None:
    visit = open_page(browser, server.url, f"/?lang=pt&key={key_of(7)}&k=10")
    page = visit.page
    expect(tiles(page)).to_have_count(10)
    page.locator("#brand").click()
    expect(page.locator(".sample:enabled").first).to_be_visible()
    assert asked_for(page) == {"lang": ["pt"]}
    expect(page.locator("#samples-title")).to_have_text("Ou comece por uma destas")
    page.close()


def test_an_unknown_view_is_the_search(browser: Browser, server: Server) -> None:
    visit = open_page(browser, server.url, "/?view=cellar")
    expect(visit.page.locator('#views [data-view="search"]')).to_have_attribute(
        "aria-current", "page"
    )
    visit.tidy()
    visit.page.close()
