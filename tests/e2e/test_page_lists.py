"""Lists and counts stay true where there is less than was asked for; the bad one is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from browsing import NEEDS_CHROMIUM, SHOWN, Visit, file, tiles
from caring import box, open_care
from serving import Server, key_of, make_gallery, picture
from vizinho.gallery import Gallery

pytestmark = NEEDS_CHROMIUM

COUNT = 61
LAST = sorted(key_of(i) for i in range(COUNT))[60]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_gallery(tmp_path, COUNT)


def where(page: Page) -> str:
    expect(page.locator(".pick").first).to_be_visible()
    return page.locator("#view-care .status").locator("visible=true").inner_text()


def test_a_page_that_is_gone_leads_to_the_last_one(browser: Browser, writable: Server) -> None:
    page = open_care(browser, writable).page
    for asked in ("99999", "1e300", "3"):
        page.goto(f"{writable.url}/?view=care&page={asked}")
        assert where(page) == "61 to 61 of 61"
        assert page.url.endswith("page=2")
    # Back is not a page that sends one forward again.
    page.go_back()
    assert where(page) == "61 to 61 of 61"
    box(page, LAST).check()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator(".pick")).to_have_count(60)
    assert where(page) == "1 to 60 of 60"
    assert "page" not in page.url


def test_a_label_that_nobody_has_is_not_an_empty_gallery(
    browser: Browser, writable: Server
) -> None:
    page = browser.new_page(locale="en-GB")
    page.goto(f"{writable.url}/?view=care&label=unicorn")
    status = page.locator("#view-care .status").locator("visible=true")
    expect(status).to_have_text("No picture here has this label")
    page.close()


def test_marks_beyond_the_last_page_lead_to_it(
    browser: Browser, writable: Server, path: Path
) -> None:
    with Gallery.open(path) as gallery:
        for number in range(2):
            gallery.feedback.mark(key_of(1), key_of(number), "right")
    page = open_care(browser, writable, "feedback").page
    page.goto(f"{writable.url}/?view=care&part=feedback&page=7")
    expect(page.locator(".given .mark")).to_have_count(2)
    assert "page" not in page.url


def test_the_count_at_the_foot_follows(browser: Browser, writable: Server) -> None:
    page = open_care(browser, writable, "add").page
    count = page.locator("#model-count")
    expect(count).to_have_text("61")
    files = [file(picture(500 + n), f"new{n}.png") for n in range(3)]
    page.locator("#add-files").set_input_files(files)
    expect(count).to_have_text("64")
    page.locator('.parts [data-part="pictures"]').click()
    box(page, key_of(0)).check()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(count).to_have_text("63")


def test_the_bad_one_of_several_is_named_and_marked(visit: Visit) -> None:
    page = visit.page
    whole = picture(3)
    page.locator("#file").set_input_files(
        [file(whole, "good.png"), file(whole[:200], "half.png"), file(picture(4), "too.png")]
    )
    problem = page.locator("#problem")
    expect(problem).to_contain_text("half.png: This picture is damaged")
    expect(page.locator(".chip.bad")).to_have_count(1)
    expect(page.locator(".chip.bad")).to_have_attribute("title", "half.png")
    page.get_by_role("button", name="Remove half.png").click()
    expect(tiles(page)).to_have_count(SHOWN)
    expect(page.locator(".chip.bad")).to_have_count(0)
    expect(problem).to_be_empty()


def test_what_is_no_picture_among_several_is_not_left_out_in_silence(visit: Visit) -> None:
    page = visit.page
    text = file(b"words", "notes.txt", "text/plain")
    page.locator("#file").set_input_files([file(picture(3)), text, file(picture(4), "b.png")])
    expect(page.locator(".toast")).to_have_text("1 file that is no picture was left out.")
    expect(page.locator(".chip")).to_have_count(2)
    expect(tiles(page)).to_have_count(SHOWN)


def test_a_key_of_several_that_is_gone_is_named(visit: Visit) -> None:
    page = visit.page
    for key in ("away.png", "it's.png"):
        page.goto(f"{visit.url}/?key={key_of(1)}&like=gone/{key}")
        expect(page.locator("#problem")).to_contain_text(f"{key}: That picture is gone")
        expect(page.locator(".chip.bad")).to_have_attribute("title", key)


def test_more_files_than_one_search_takes_are_not_left_out_in_silence(visit: Visit) -> None:
    page = visit.page
    page.locator("#file").set_input_files([file(picture(n), f"{n}.png") for n in range(11)])
    expect(page.locator(".chip")).to_have_count(8)
    expect(page.locator(".toast")).to_contain_text("at most 8 pictures: the rest was left out")
    expect(page.locator(".toast")).to_be_in_viewport()
    expect(tiles(page)).to_have_count(SHOWN)
    # With several, a result at a distance of 0 is not what was asked with.
    expect(page.locator("#legend")).not_to_contain_text("0.00")
    expect(page.locator("#legend")).to_contain_text("what your pictures have in common")
