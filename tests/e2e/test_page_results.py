"""What is said of the results: kind, chance, distance; filtered, sorted, and more on scroll."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from browsing import (
    NEEDS_CHROMIUM,
    SHOWN,
    Visit,
    choose,
    distances,
    file,
    found_itself,
    keys,
    open_page,
    tiles,
)
from calibrated import make_labelled_gallery, shade, stranger
from serving import COUNT, LABELS, Server, key_of, picture, running, upload

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """60 pictures each of three colours, calibrated."""
    with running(make_labelled_gallery(tmp_path_factory.mktemp("kinds"))) as server:
        yield server


def asked_for(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query, keep_blank_values=True)


def answer(server: Server, data: bytes, **fields: Any) -> list[dict[str, Any]]:
    """What the API itself answers."""
    got = server.client.post("/v1/search", **upload(data), data={"k": str(SHOWN), **fields})
    assert got.status_code == 200, got.text
    return list(got.json()["results"])


def as_percent(share: float) -> str:
    if 0.99 < share < 1:
        return "> 99%"
    if 0 < share < 0.01:
        return "< 1%"
    return f"{round(share * 100)}%"


def test_nothing_alike_is_said_and_the_guesses_are_grey(browser: Browser, kinds: Server) -> None:
    visit = open_page(browser, kinds.url)
    page = visit.page
    said = page.get_by_text("Nothing here is alike. The 20 best guesses are greyed below.")
    choose(page, file(stranger()))
    expect(said.first).to_be_visible()
    expect(page.locator("#said")).to_have_text(page.locator("#status").inner_text())
    expect(tiles(page)).to_have_count(SHOWN)
    image = tiles(page).nth(5).locator("img")
    assert image.evaluate("image => getComputedStyle(image).filter") == "grayscale(1)"
    # Nothing beside a guess says that it is alike after all.
    assert set(tiles(page).locator(".chance").all_inner_texts()) == {""}
    assert set(tiles(page).locator(".kind").all_inner_texts()) == {""}
    assert "likely" not in str(tiles(page).first.locator(".open").get_attribute("aria-label"))
    expect(page.locator("#legend")).not_to_contain_text("chance")
    # Guesses do not come of themselves; who wants more of them asks.
    page.mouse.move(800, 600)
    page.mouse.wheel(0, 5000)
    page.wait_for_timeout(700)
    expect(tiles(page)).to_have_count(SHOWN)
    page.get_by_role("button", name="Show more").click()
    expect(tiles(page)).to_have_count(2 * SHOWN)
    choose(page, file(shade("moss", 1)))
    expect(said).to_have_count(0)
    expect(tiles(page)).to_have_count(SHOWN)
    assert image.evaluate("image => getComputedStyle(image).filter") == "none"
    assert "" not in tiles(page).locator(".chance").all_inner_texts()
    assert "likely" in str(tiles(page).first.locator(".open").get_attribute("aria-label"))
    visit.tidy()
    page.close()


def test_each_result_has_its_chance_distance_and_label(browser: Browser, kinds: Server) -> None:
    visit = open_page(browser, kinds.url)
    page = visit.page
    choose(page, file(shade("brick", 3)))
    expect(tiles(page)).to_have_count(SHOWN)
    wanted = answer(kinds, shade("brick", 3))
    assert keys(page) == [match["key"] for match in wanted]
    chances = tiles(page).locator(".chance").all_inner_texts()
    assert chances == [as_percent(match["probability"]) for match in wanted]
    assert len(set(chances)) > 1
    assert distances(page) == [round(match["distance"], 2) for match in wanted]
    labels = tiles(page).locator(".label").all_inner_texts()
    assert labels == [match["label"] for match in wanted]
    expect(page.locator("#legend")).to_contain_text("calibrated chance")
    page.close()


def test_a_result_is_named_for_who_cannot_see_it(visit: Visit) -> None:
    choose(visit.page, file(picture(7)))
    found_itself(visit.page, 7)
    first = visit.page.get_by_role("button", name="1. doce (00007.png), Identical, distance 0.00")
    expect(first).to_have_count(1)
    expect(visit.page.locator("#said")).to_contain_text("20 found")
    expect(visit.page.locator("#said")).to_contain_text("nearest: doce at 0.00")


def test_copies_are_told_from_what_is_only_similar(visit: Visit) -> None:
    page = visit.page
    choose(page, file(picture(7)))
    found_itself(page, 7)
    expect(tiles(page).first.locator(".kind")).to_have_text("Identical")
    assert set(tiles(page).locator(".kind").all_inner_texts()[1:]) == {"Similar"}
    original = Image.open(io.BytesIO(picture(7)))
    larger = io.BytesIO()
    original.resize((96, 96), Image.Resampling.BICUBIC).save(larger, "JPEG", quality=90)
    choose(page, file(larger.getvalue(), "larger.jpg", "image/jpeg"))
    copy = page.locator(f'.tile[data-key="{key_of(7)}"] .kind')
    expect(copy).to_have_text("Near-duplicate")
    visit.tidy()


def test_a_label_chosen_leaves_only_its_pictures(visit: Visit, server: Server) -> None:
    page = visit.page
    choose(page, file(picture(7)))
    found_itself(page, 7)
    options = page.locator("#label option").all_inner_texts()
    each = COUNT // len(LABELS)
    assert options == ["all", *(f"{label} ({each})" for label in sorted(LABELS))]
    page.locator("#label").select_option(label=f"barco ({each})")
    expect(tiles(page)).to_have_count(each)
    assert set(tiles(page).locator(".label").all_inner_texts()) == {"barco"}
    wanted = answer(server, picture(7), filter=json.dumps({"label": "barco"}))
    assert keys(page) == [match["key"] for match in wanted]
    assert asked_for(page) == {"label": ["barco"]}
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    page.locator("#label").select_option(label="all")
    found_itself(page, 7)
    assert asked_for(page) == {}
    # What was chosen for one picture is no part of the question with another.
    page.locator("#label").select_option(label=f"barco ({each})")
    expect(tiles(page)).to_have_count(each)
    choose(page, file(picture(8)))
    found_itself(page, 8)
    visit.tidy()


def test_a_label_nobody_has_is_said(browser: Browser, server: Server) -> None:
    visit = open_page(browser, server.url)
    page = visit.page
    page.goto(f"{server.url}/?key={key_of(7)}&label=zebra")
    expect(page.locator("#status")).to_have_text("No picture here has this label")
    expect(page.locator("#label")).to_have_value("=zebra")
    page.close()


def test_results_are_sorted_without_asking_again(visit: Visit) -> None:
    page = visit.page
    choose(page, file(picture(7)))
    found_itself(page, 7)
    before = keys(page)
    asked = len([each for each in visit.requests if each.method == "POST"])
    page.locator("#sort").select_option("name")
    expect(page.locator("#said")).to_have_text("Sorted by name")
    assert keys(page) == sorted(before)
    page.locator("#sort").select_option("label")
    expect(page.locator("#said")).to_have_text("Sorted by label")
    labels = tiles(page).locator(".label").all_inner_texts()
    assert labels == sorted(labels)
    assert asked_for(page) == {"sort": ["label"]}
    # The rank told stays that of the distance.
    itself = page.locator(f'.tile[data-key="{key_of(7)}"] .open')
    assert (itself.get_attribute("aria-label") or "").startswith("1. ")
    page.locator("#sort").select_option(label="distance")
    expect(page.locator("#said")).to_have_text("Sorted by distance")
    assert keys(page) == before
    assert len([each for each in visit.requests if each.method == "POST"]) == asked


def test_how_many_at_a_time_is_chosen(visit: Visit) -> None:
    page = visit.page
    choose(page, file(picture(7)))
    found_itself(page, 7)
    before = keys(page)
    page.locator("#k").select_option("10")
    expect(tiles(page)).to_have_count(10)
    assert keys(page) == before[:10]
    assert asked_for(page) == {"k": ["10"]}
    page.get_by_role("button", name="Show more").click()
    expect(tiles(page)).to_have_count(20)
    assert keys(page) == before


def test_more_come_on_scroll_until_there_are_no_more(visit: Visit, server: Server) -> None:
    page = visit.page
    choose(page, file(picture(7)))
    found_itself(page, 7)
    page.mouse.move(800, 600)
    page.mouse.wheel(0, 3000)
    expect(tiles(page)).to_have_count(COUNT)
    assert keys(page) == [match["key"] for match in answer(server, picture(7), k="40")]
    shown = distances(page)
    assert shown == sorted(shown)
    page.mouse.wheel(0, 3000)
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    expect(page.locator("#said")).to_contain_text(f"{COUNT} found")
    visit.tidy()


def test_more_come_by_a_button_and_focus_goes_to_the_first_of_them(visit: Visit) -> None:
    page = visit.page
    choose(page, file(picture(7)))
    found_itself(page, 7)
    page.locator("#next").focus()
    page.keyboard.press("Enter")
    expect(tiles(page)).to_have_count(COUNT)
    focused = page.evaluate("document.activeElement.closest('.tile').dataset.key")
    assert focused == keys(page)[SHOWN]


def test_more_that_does_not_come_is_explained_where_it_was_asked_for(visit: Visit) -> None:
    page = visit.page
    choose(page, file(picture(7)))
    found_itself(page, 7)
    page.route("**/v1/search", lambda route: route.abort())
    page.locator("#next").click()
    problem = page.locator("#more-problem")
    expect(problem).to_contain_text("The server does not answer")
    expect(tiles(page)).to_have_count(SHOWN)
    page.unroute("**/v1/search")
    problem.get_by_role("button", name="Try again").click()
    expect(tiles(page)).to_have_count(COUNT)
    expect(problem).to_be_hidden()


def test_waiting_long_is_explained(visit: Visit) -> None:
    page = visit.page
    page.clock.install()
    held: list[Any] = []
    page.route("**/v1/search", lambda route: held.append(route))
    choose(page, file(picture(7)))
    expect(page.locator("#status")).to_have_text("Searching…")
    places = page.locator("#grid .ghost").locator("visible=true")
    expect(places).to_have_count(SHOWN)
    page.clock.run_for(5000)
    expect(page.locator("#status")).to_contain_text("needs some seconds to wake up")
    held[0].continue_()
    found_itself(page, 7)


def test_reduced_motion_is_respected(browser: Browser, server: Server) -> None:
    for wish, moving in (("reduce", "none"), ("no-preference", "run")):
        visit = open_page(browser, server.url, reduced_motion=wish)
        page = visit.page
        page.route("**/v1/search", lambda route: None)
        choose(page, file(picture(7)))
        expect(page.locator("#found")).to_have_class("found busy")
        name = page.locator("#progress").evaluate(
            "bar => getComputedStyle(bar, '::before').animationName"
        )
        assert name == moving
        page.close()


def test_what_a_server_lacks_is_not_offered(browser: Browser, gallery: Path) -> None:
    """As a function of an earlier version, or on AWS: the page shows only what it is told of."""
    with running(gallery) as server:
        model = server.client.get("/v1/model").json()
        del model["features"]
        page = browser.new_page()
        visit = Visit(page, server.url)
        page.on("request", lambda request: visit.requests.append(request))
        page.route("**/v1/model", lambda route: route.fulfill(json=model))
        page.goto(server.url)
        expect(page.locator(".sample:enabled").first).to_be_visible()
        page.locator("#file").set_input_files([file(picture(7)), file(picture(8), "8.png")])
        found_itself(page, 7)
        expect(page.locator("#set")).to_be_hidden()
        expect(page.locator("#label")).to_be_hidden()
        expect(page.locator('#views [data-view="map"]')).to_be_hidden()
        assert tiles(page).locator(".act:visible").count() == SHOWN
        expect(tiles(page).first.locator(".kind")).to_have_text("")
        paths = {urlsplit(each.url).path for each in visit.requests}
        assert not paths & {"/v1/labels", "/v1/map", "/v1/feedback", "/v1/duplicates"}
        page.goto(f"{server.url}/?key={key_of(7)}&like={key_of(8)}")
        expect(page.get_by_role("alert")).to_contain_text("one picture at a time")
        page.close()
