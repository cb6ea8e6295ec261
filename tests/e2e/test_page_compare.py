"""A result large beside the query, with the regions that made the match; in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from browsing import NEEDS_CHROMIUM, Visit, choose, file, keys, open_page
from serving import Server, running
from toy_explained import make_explained_bundle
from toy_gallery import make_toy_gallery, write_colours
from toys import encode, plain
from vizinho.gallery import Gallery

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Five plain pictures under a model that sees four quarters; see `toy_explained`."""
    folder = tmp_path_factory.mktemp("compare")
    path = folder / "quarters.vizinho"
    with Gallery.create(path, model=make_explained_bundle(folder)) as gallery:
        gallery.sync_folder(write_colours(folder))
    with running(path) as server:
        yield server


def corner(size: tuple[int, int] = (32, 32)) -> bytes:
    """Black, with the quarter at the top right in red."""
    image = plain((0, 0, 0), size)
    image.paste((255, 0, 0), (size[0] // 2, 0, size[0], size[1] // 2))
    return bytes(encode(image))


def opened(browser: Browser, server: Server, key: str = "red.png", **context: object) -> Visit:
    """The page with the red corner as the query, and one result large beside it."""
    visit = open_page(browser, server.url, **context)
    choose(visit.page, file(corner()))
    expect(visit.page.locator(".tile[data-key]")).to_have_count(5)
    visit.page.locator(f'.tile[data-key="{key}"] .open').click()
    expect(visit.page.locator("dialog.compare")).to_be_visible()
    return visit


def shares(page: Page, side: int) -> list[str]:
    """What is written on the regions of the query (0) or the result (1), row by row."""
    grid = page.locator(".compare-grid").nth(side)
    expect(grid.locator('[role="gridcell"]')).to_have_count(4)
    return grid.locator('[role="gridcell"] span').all_text_contents()


def position(page: Page) -> Locator:
    return page.locator(".compare-at")


def test_shares_of_the_match_are_shown(browser: Browser, explained: Server) -> None:
    visit = opened(browser, explained)
    page = visit.page
    # (0.5, 0, 0.5) and (2, 0, 0.5): of 1.25, 1 is the red quarter's and 0.25 the constants'.
    assert shares(page, 0) == ["0%", "80%", "0%", "0%"]
    assert shares(page, 1) == ["20%", "20%", "20%", "20%"]
    expect(page.locator(".compare-sum")).to_have_text(
        "The match (similarity 1.25): 80% of it from regions of your picture, 80% from regions of "
        "the result. The rest is in every picture."
    )
    expect(page.locator(".compare-scale")).to_have_attribute("aria-label", "0% – 80% of the match")
    expect(page.locator(".compare-facts")).to_contain_text(re.compile(r"Distance\s*1\.50"))
    painted = page.locator("canvas").first.evaluate(
        "c => Array.from(c.getContext('2d').getImageData(0, 0, 2, 2).data)"
    )
    alphas = painted[3::4]
    assert (alphas[0], alphas[1], alphas[2], alphas[3]) == (0, 255, 0, 0)
    for image in page.locator(".compare-picture img").all():
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
        assert image.get_attribute("alt")
    visit.tidy()
    page.close()


def test_regions_are_read_with_keys_and_mouse(browser: Browser, explained: Server) -> None:
    visit = opened(browser, explained)
    page = visit.page
    page.mouse.move(1, 1)
    before = position(page).inner_text()
    grid = page.get_by_role("grid", name="Regions of your picture")
    reading = page.locator(".compare-reading")
    strongest = grid.get_by_role("gridcell", name="Row 1, column 2: 80% of the match")
    expect(strongest).to_have_attribute("tabindex", "0")
    strongest.focus()
    expect(reading).to_have_text("Row 1, column 2: 80% of the match")
    page.keyboard.press("ArrowLeft")
    expect(reading).to_have_text("Row 1, column 1: 0% of the match")
    page.keyboard.press("ArrowDown")
    expect(reading).to_have_text("Row 2, column 1: 0% of the match")
    expect(grid.get_by_role("gridcell", name="Row 2, column 1")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(grid.get_by_role("gridcell", name="Row 2, column 1")).to_be_focused()
    # Arrow keys went through regions, not through results.
    assert position(page).inner_text() == before
    other = page.get_by_role("grid", name="Regions of the result")
    other.get_by_role("gridcell", name="Row 2, column 2").hover()
    expect(reading).to_have_text("Row 2, column 2: 20% of the match")
    page.close()


def test_going_through_the_results(browser: Browser, explained: Server) -> None:
    visit = opened(browser, explained, "black.png")
    page = visit.page
    order = keys(page)
    assert order[0] == "black.png"
    expect(position(page)).to_have_text("1 of 5: black.png")
    expect(page.get_by_role("button", name="Previous result")).to_be_disabled()
    # Nothing but the constants: every region gave nothing.
    assert shares(page, 0) == ["0%"] * 4
    expect(page.locator(".compare-sum")).to_contain_text("0% of it from regions of your picture")
    for at, key in enumerate(order[1:], 2):
        page.keyboard.press("ArrowRight")
        expect(position(page)).to_have_text(f"{at} of 5: {key}")
        expect(page.locator(".compare-pane h3").nth(1)).to_have_text(key)
        expect(page.locator(".compare-sum")).not_to_have_text("")
    expect(page.get_by_role("button", name="Next result")).to_be_disabled()
    page.keyboard.press("ArrowRight")
    expect(position(page)).to_have_text(f"5 of 5: {order[4]}")
    page.get_by_role("button", name="Previous result").click()
    expect(position(page)).to_have_text(f"4 of 5: {order[3]}")
    page.keyboard.press("ArrowLeft")
    expect(position(page)).to_have_text(f"3 of 5: {order[2]}")
    asked = [each for each in visit.requests if each.url.endswith("/v1/explain")]
    assert len(asked) == 5  # what was seen is not asked for again
    page.keyboard.press("Escape")
    expect(page.locator("dialog.compare")).to_have_count(0)
    expect(page.locator('.tile[data-key="black.png"] .open')).to_be_focused()
    visit.tidy()
    page.close()


def test_switch_and_strength(browser: Browser, explained: Server) -> None:
    visit = opened(browser, explained)
    page = visit.page
    heat = page.locator(".compare-heat").first
    switch = page.get_by_role("switch", name="Show which regions made the match")
    expect(heat).to_be_visible()
    assert heat.evaluate("it => getComputedStyle(it).opacity") == "0.7"
    page.get_by_role("slider", name="Strength of the colours").fill("25")
    assert heat.evaluate("it => getComputedStyle(it).opacity") == "0.25"
    switch.uncheck()
    expect(heat).to_be_hidden()
    expect(page.locator('[role="gridcell"]').first).to_be_hidden()
    assert (
        page.locator(".compare-picture img").first.evaluate("it => getComputedStyle(it).filter")
        == "none"
    )
    # It stays so for the next one.
    page.get_by_role("button", name="Close").click()
    page.locator('.tile[data-key="green.png"] .open').click()
    expect(page.locator(".compare-sum")).not_to_have_text("")
    expect(page.locator(".compare-heat").first).to_be_hidden()
    expect(switch).not_to_be_checked()
    visit.tidy()
    page.close()


def test_heat_lies_on_what_the_network_saw(browser: Browser, explained: Server) -> None:
    visit = open_page(browser, explained.url)
    page = visit.page
    choose(page, file(corner((120, 60))))
    expect(page.locator(".tile[data-key]")).to_have_count(5)
    page.locator('.tile[data-key="red.png"] .open').click()
    expect(page.locator(".compare-seen").first).to_be_visible()
    whole = page.locator(".compare-picture").first.bounding_box()
    seen = page.locator(".compare-seen").first.bounding_box()
    assert whole is not None
    assert seen is not None
    assert whole["width"] == pytest.approx(2 * whole["height"], abs=2)
    # The middle square of a wide picture.
    assert seen["x"] - whole["x"] == pytest.approx(whole["width"] / 4, abs=2)
    assert seen["width"] == pytest.approx(whole["width"] / 2, abs=2)
    assert seen["height"] == pytest.approx(whole["height"], abs=2)
    visit.tidy()
    page.close()


def test_part_of_the_query_is_explained(browser: Browser, explained: Server) -> None:
    visit = open_page(browser, explained.url, "?key=red.png&crop=0.5,0.25,1,0.75")
    page = visit.page
    page.locator('.tile[data-key="red.png"] .open').click()
    expect(page.locator(".compare-seen").first).to_be_visible()
    whole = page.locator(".compare-picture").first.bounding_box()
    for name in (".compare-seen", ".compare-cut"):
        seen = page.locator(name).first.bounding_box()
        assert whole is not None
        assert seen is not None
        assert seen["x"] - whole["x"] == pytest.approx(whole["width"] / 4, abs=2)
        assert seen["y"] - whole["y"] == pytest.approx(whole["height"] / 2, abs=2)
        assert seen["width"] == pytest.approx(whole["width"] / 2, abs=2)
    sent = [each for each in visit.requests if each.url.endswith("/v1/explain")][-1]
    assert sent.post_data_json == {
        "key": "red.png",
        "with": "red.png",
        "crop": {"top": 0.5, "left": 0.25, "bottom": 1, "right": 0.75},
    }
    page.close()


def test_a_phone_shows_one_below_the_other(browser: Browser, explained: Server) -> None:
    for width in (390, 320):
        visit = opened(browser, explained, viewport={"width": width, "height": 700})
        page = visit.page
        expect(page.locator(".compare-sum")).not_to_have_text("")
        upper, lower = (page.locator(".compare-place").nth(at).bounding_box() for at in (0, 1))
        assert upper is not None
        assert lower is not None
        assert lower["y"] >= upper["y"] + upper["height"]
        assert lower["x"] == upper["x"]
        wide = page.locator("dialog.compare").evaluate("it => it.scrollWidth - it.clientWidth")
        assert wide <= 0
        page.close()


def test_what_can_not_be_explained_is_still_compared(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running(make_toy_gallery(tmp_path_factory.mktemp("plain"))) as server:
        visit = opened(browser, server)
        page = visit.page
        expect(page.locator(".compare-facts")).to_contain_text("Distance")
        expect(page.locator(".compare-tools")).to_have_count(0)
        assert [each for each in visit.requests if "explain" in each.url] == []
        visit.tidy()
        page.close()


def test_a_picture_that_changed_is_told(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("changed")
    path = folder / "quarters.vizinho"
    pictures = write_colours(folder)
    with Gallery.create(path, model=make_explained_bundle(folder)) as gallery:
        gallery.sync_folder(pictures)
    plain((0, 90, 0)).save(pictures / "green.png")
    with running(path) as server:
        visit = opened(browser, server, "green.png")
        page = visit.page
        expect(page.locator(".compare-reading")).to_have_text(
            "This match can't be taken apart. The model is built in another way, or the picture "
            "has changed since it was indexed."
        )
        expect(page.locator(".compare-seen").first).to_be_hidden()
        # The others are not concerned.
        page.keyboard.press("ArrowRight")
        expect(page.locator(".compare-sum")).not_to_have_text("")
        page.close()


def test_portuguese(browser: Browser, explained: Server) -> None:
    visit = opened(browser, explained, locale="pt-BR", color_scheme="dark")
    page = visit.page
    expect(page.get_by_role("dialog", name="Lado a lado")).to_be_visible()
    expect(position(page)).to_have_text("4 de 5: red.png")
    expect(page.locator(".compare-sum")).to_contain_text("Da semelhança (1,25), 80% vem de regiões")
    visit.tidy()
    page.close()
