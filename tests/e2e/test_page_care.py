"""The gallery looked after in the page: looked through, chosen, labelled, removed, undone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from browsing import NEEDS_CHROMIUM
from caring import box, fits, keys_in, open_care, picked
from serving import LABELS, Server, key_of, make_gallery
from vizinho.gallery import Gallery

pytestmark = NEEDS_CHROMIUM

COUNT = 70
FIRST = sorted(key_of(i) for i in range(COUNT))[:60]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_gallery(tmp_path, COUNT)


def test_the_gallery_is_gone_through_by_page_and_label(browser: Browser, writable: Server) -> None:
    visit = open_care(browser, writable)
    page = visit.page
    assert picked(page) == FIRST
    expect(page.locator(".status").locator("visible=true")).to_have_text("1 to 60 of 70")
    page.get_by_role("button", name="Next").click()
    expect(page.locator(".pick")).to_have_count(10)
    assert page.evaluate("document.activeElement.tagName") == "H2"
    assert "page=2" in page.url
    page.go_back()
    expect(page.locator(".pick")).to_have_count(60)
    page.locator("#view-care select").select_option(label=f"{LABELS[1]} (18)")
    expect(page.locator(".pick")).to_have_count(18)
    assert set(picked(page)) == {key_of(i) for i in range(COUNT) if i % 4 == 1}
    page.locator(".pick-name").first.click()
    expect(page.locator("#status")).to_contain_text("at 0.00")
    assert f"key={key_of(1)}" in page.url
    visit.tidy()


def test_a_reader_looks_and_changes_nothing(browser: Browser, server: Server) -> None:
    visit = open_care(browser, server)
    page = visit.page
    expect(page.locator(".pick")).to_have_count(40)
    expect(page.locator(".pick input")).to_have_count(0)
    expect(page.locator(".parts")).to_be_hidden()
    page.goto(f"{server.url}/?view=care&part=add")
    expect(page.locator(".pick")).to_have_count(40)
    expect(page.locator(".zone")).to_have_count(0)
    page.goto(f"{server.url}/?key={key_of(1)}")
    expect(page.locator("#status")).to_contain_text("at 0.00")
    expect(page.locator(".marks")).to_have_count(0)
    visit.tidy()


def test_pictures_are_removed_when_the_time_to_undo_is_over(
    browser: Browser, writable: Server, path: Path
) -> None:
    page = open_care(browser, writable).page
    before = keys_in(path)
    for key in FIRST[:2]:
        box(page, key).check()
    expect(page.locator(".bar-count")).to_have_text("2 chosen")
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator(".toast")).to_contain_text("2 pictures will be removed in 8 s")
    expect(page.locator(".pick.going")).to_have_count(2)
    expect(box(page, FIRST[2])).to_be_focused()
    assert keys_in(path) == before
    expect(page.locator(".toast")).to_have_count(0, timeout=60_000)
    expect(box(page, FIRST[0])).to_have_count(0)
    assert keys_in(path) == before - set(FIRST[:2])
    expect(page.locator(".status").locator("visible=true")).to_have_text("1 to 60 of 68")


def test_undo_sends_nothing(browser: Browser, writable: Server, path: Path) -> None:
    visit = open_care(browser, writable)
    page = visit.page
    before = keys_in(path)
    box(page, FIRST[3]).check()
    page.get_by_role("button", name="Remove", exact=True).click()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".pick.going")).to_have_count(0)
    expect(box(page, FIRST[3])).to_be_enabled()
    page.wait_for_timeout(9000)
    assert keys_in(path) == before
    assert not [each for each in visit.requests if each.url.endswith("/remove")]


def test_the_time_stands_still_while_somebody_is_at_the_button(
    browser: Browser, writable: Server, path: Path
) -> None:
    page = open_care(browser, writable).page
    box(page, FIRST[3]).check()
    page.get_by_role("button", name="Remove", exact=True).click()
    page.get_by_role("button", name="Undo").focus()
    page.wait_for_timeout(10_000)
    assert FIRST[3] in keys_in(path)
    page.keyboard.press("Enter")
    expect(box(page, FIRST[3])).to_be_enabled()


@pytest.mark.parametrize("how", ["close", "away"])
def test_who_leaves_before_has_removed(
    browser: Browser, writable: Server, path: Path, how: str
) -> None:
    page = open_care(browser, writable).page
    box(page, FIRST[0]).check()
    page.keyboard.press("Delete")
    expect(page.locator(".toast")).to_be_visible()
    assert FIRST[0] in keys_in(path)
    if how == "close":
        page.close(run_before_unload=True)
    else:
        page.goto("about:blank")
    for _ in range(300):
        if FIRST[0] not in keys_in(path):
            break
        time.sleep(0.1)
    assert FIRST[0] not in keys_in(path)


def test_a_removal_that_fails_says_so_and_the_picture_is_back(
    browser: Browser, writable: Server, path: Path
) -> None:
    page = open_care(browser, writable).page
    page.route("**/v1/images/remove", lambda route: route.abort())
    box(page, FIRST[0]).check()
    page.get_by_role("button", name="Remove", exact=True).click()
    said = page.locator(".toast", has_text="was not removed")
    expect(said).to_contain_text("The server does not answer", timeout=60_000)
    expect(box(page, FIRST[0])).to_be_enabled()
    assert FIRST[0] in keys_in(path)


def test_the_keyboard_alone_chooses_and_labels(
    browser: Browser, writable: Server, path: Path
) -> None:
    visit = open_care(browser, writable)
    page = visit.page
    box(page, FIRST[0]).focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    expect(box(page, FIRST[1])).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(page.locator(".bar-count")).to_have_text("2 chosen")
    below = str(page.locator(".pick input:focus").get_attribute("value"))
    page.get_by_label("New label").focus()
    page.keyboard.type("novo")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("2 pictures are now novo.")
    with Gallery.open(path) as gallery:
        assert [gallery.get(key).label for key in (FIRST[0], below)] == ["novo", "novo"]
        old = LABELS[int(below[-9:-4]) % 4]
    expect(page.locator("#view-care select").locator("option", has_text="novo (2)")).to_have_count(
        1
    )
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#view-care select").locator("option", has_text="novo")).to_have_count(0)
    with Gallery.open(path) as gallery:
        assert gallery.get(below).label == old
    box(page, FIRST[0]).focus()
    page.keyboard.press("Control+a")
    expect(page.locator(".bar-count")).to_have_text("60 chosen")
    page.keyboard.press("Escape")
    expect(page.locator(".bar")).to_be_hidden()
    visit.tidy()


def test_a_range_is_chosen_with_the_shift_key(browser: Browser, writable: Server) -> None:
    page = open_care(browser, writable).page
    box(page, FIRST[2]).click()
    box(page, FIRST[6]).click(modifiers=["Shift"])
    chosen = page.locator(".pick input:checked").evaluate_all("all => all.map((b) => b.value)")
    assert chosen == FIRST[2:7]


def test_at_320_pixels_in_portuguese(browser: Browser, writable: Server) -> None:
    visit = open_care(browser, writable, viewport={"width": 320, "height": 700}, locale="pt-BR")
    page = visit.page
    box(page, FIRST[0]).check()
    expect(page.get_by_role("button", name="Remover")).to_be_visible()
    expect(page.locator(".bar-count")).to_have_text("1 selecionada")
    fits(page)
    for part in ("add", "duplicates", "feedback"):
        page.goto(f"{writable.url}/?view=care&part={part}")
        expect(page.locator(f".part-{part} h2")).not_to_be_empty()
        fits(page)
    page.get_by_role("button", name="EN").click()
    expect(page.locator(".part-feedback h2")).to_have_text("Right and wrong")
    visit.tidy()
