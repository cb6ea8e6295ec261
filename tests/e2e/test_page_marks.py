"""Right and wrong, said of results in the page: kept by the server, shown again, taken back."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from browsing import NEEDS_CHROMIUM, choose, file, open_page, tiles
from caring import open_care
from serving import Server, key_of, make_gallery
from toys import encode, noise
from vizinho.gallery import Gallery
from vizinho.gallery.feedback import Mark
from vizinho.images import content_hash

pytestmark = NEEDS_CHROMIUM

MINE = encode(noise(900))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_gallery(tmp_path, 30)


def mark(page: Page, at: int, verdict: str) -> Locator:
    return tiles(page).nth(at).locator(f".mark-{verdict}")


def said(path: Path, count: int) -> list[Mark]:
    with Gallery.open(path) as gallery:
        found = gallery.feedback.marks()
    assert len(found) == count
    return found


def pressed(button: Locator, is_: bool) -> None:
    expect(button).to_have_attribute("aria-pressed", str(is_).lower())


def test_a_mark_on_a_result_is_kept_and_there_again(
    browser: Browser, writable: Server, path: Path
) -> None:
    visit = open_page(browser, writable.url, f"?key={key_of(1)}")
    page = visit.page
    result = str(tiles(page).nth(1).get_attribute("data-key"))
    button = mark(page, 1, "wrong")
    assert str(button.get_attribute("aria-label")).startswith("Wrong: ")
    button.focus()
    page.keyboard.press("Enter")
    pressed(button, True)
    expect(page.locator("#said")).to_contain_text("marked as wrong")
    (kept,) = said(path, 1)
    assert (kept.query_key, kept.key, kept.verdict) == (key_of(1), result, "wrong")
    page.reload()
    pressed(mark(page, 1, "wrong"), True)
    pressed(mark(page, 2, "wrong"), False)
    mark(page, 1, "right").click()
    pressed(mark(page, 1, "right"), True)
    pressed(mark(page, 1, "wrong"), False)
    expect(page.locator("#said")).to_contain_text("marked as right")
    assert said(path, 1)[0].verdict == "right"
    mark(page, 1, "right").click()
    expect(page.locator("#said")).to_contain_text("taken back")
    said(path, 0)
    visit.tidy()


def test_an_uploaded_picture_is_kept_as_it_was_sent(
    browser: Browser, writable: Server, path: Path
) -> None:
    page = open_page(browser, writable.url).page
    choose(page, file(MINE))
    expect(tiles(page)).to_have_count(20)
    mark(page, 0, "right").click()
    expect(page.locator("#said")).to_contain_text("marked as right")
    (kept,) = said(path, 1)
    assert (kept.query_key, kept.query_hash) == (None, content_hash(MINE))
    with Gallery.open(path) as gallery:
        assert gallery.feedback.picture(kept.query_hash) == MINE


def test_a_part_is_marked_as_a_part(browser: Browser, writable: Server, path: Path) -> None:
    page = open_page(browser, writable.url, f"?key={key_of(1)}&crop=0,0,0.5,0.5").page
    mark(page, 0, "right").click()
    expect(page.locator("#said")).to_contain_text("marked as right")
    assert said(path, 1)[0].crop == "0.0,0.0,0.5,0.5"
    page.goto(f"{writable.url}/?key={key_of(1)}")
    expect(tiles(page)).to_have_count(20)
    pressed(mark(page, 0, "right"), False)


def test_several_pictures_at_once_have_no_marks(browser: Browser, writable: Server) -> None:
    page = open_page(browser, writable.url, f"?key={key_of(1)}&like={key_of(2)}").page
    expect(tiles(page)).to_have_count(20)
    expect(page.locator(".marks")).to_have_count(0)


def test_a_mark_that_could_not_be_kept_is_not_shown_as_kept(
    browser: Browser, writable: Server
) -> None:
    page = open_page(browser, writable.url, f"?key={key_of(1)}").page
    page.route("**/v1/feedback", lambda route: route.abort())
    name = tiles(page).nth(1).locator(".label").inner_text()
    mark(page, 1, "wrong").click()
    told = f"What you said of {name} was not kept. The server does not answer."
    expect(page.locator("#said")).to_contain_text(told)
    expect(page.locator(".toast")).to_contain_text(told)
    expect(page.locator(".toast")).to_be_in_viewport()
    pressed(mark(page, 1, "wrong"), False)


def test_the_list_of_what_was_said(browser: Browser, writable: Server, path: Path) -> None:
    with Gallery.open(path) as gallery:
        gallery.feedback.mark(MINE, key_of(3), "right")
        gallery.feedback.mark(key_of(1), key_of(2), "wrong")
    visit = open_care(browser, writable, "feedback")
    page = visit.page
    marks = page.locator(".given .mark")
    expect(marks).to_have_count(2)
    expect(page.locator(".part-feedback .status")).to_contain_text("1 right, 1 wrong.")
    for image in marks.locator("img").all():
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 32
        assert image.get_attribute("alt")
    pressed(marks.first.locator(".mark-wrong"), True)
    marks.nth(1).locator(".mark-right").click()
    expect(page.locator("#said")).to_contain_text("taken back")
    assert said(path, 1)[0].query_key == key_of(1)
    marks.nth(1).locator(".mark-wrong").click()
    expect(page.locator("#said")).not_to_contain_text("taken back")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download for training").click()
    with zipfile.ZipFile(io.BytesIO(download.value.path().read_bytes())) as packed:
        assert "feedback/labels.csv" in packed.namelist()
        assert len(packed.read("feedback/pairs.csv").decode().splitlines()) == 2
