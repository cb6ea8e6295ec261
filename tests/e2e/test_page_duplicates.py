"""Duplicates gone through in the page: what is kept and why, what goes, and a way back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from browsing import NEEDS_CHROMIUM
from caring import keys_in, open_care
from serving import Server
from toy_scenes import CHANGES, scene
from toys import encode, make_toy_bundle
from vizinho.gallery import Gallery, NewImage
from vizinho.gallery import duplicates as told
from vizinho.perceptual import likeness

pytestmark = NEEDS_CHROMIUM

PAGE = Path(__file__).resolve().parents[2] / "src" / "vizinho" / "page"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Four scenes; of the first two changed copies, of the second a mirrored one."""
    first, second = (scene(i, (240, 180)) for i in range(2))
    items = [NewImage(encode(scene(i, (240, 180))), key=f"{i}.png", label="s") for i in range(4)]
    items += [
        NewImage(encode(CHANGES["half the size"](first)), key="0-half.png"),
        NewImage(encode(first, "BMP"), key="0.bmp"),
        NewImage(encode(CHANGES["mirrored"](second).resize((200, 150))), key="1-mirrored.png"),
    ]
    with Gallery.create(tmp_path / "g.vizinho", model=make_toy_bundle(tmp_path)) as gallery:
        assert gallery.add(items).added == 7
    return tmp_path / "g.vizinho"


def member(page: Page, key: str) -> Locator:
    return page.locator(".member", has=page.get_by_label(f"{key} goes", exact=True))


def test_groups_say_what_is_kept_and_why_and_the_rest_goes(
    browser: Browser, writable: Server, path: Path
) -> None:
    visit = open_care(browser, writable, "duplicates")
    page = visit.page
    expect(page.locator(".group")).to_have_count(2)
    expect(page.locator(".part-duplicates .status")).to_contain_text("2 groups among 7 pictures.")
    three = page.locator(".group", has_text="3 pictures")
    expect(three.locator(".kept")).to_have_text(re.compile("Kept: the largest file"))
    half = member(page, "0-half.png")
    expect(half).to_contain_text("120 × 90")
    expect(half).to_contain_text("50 % of the size")
    expect(half).to_have_class(re.compile("leaves"))
    expect(member(page, "1-mirrored.png")).to_contain_text("mirrored, 83 % of the size")
    for image in three.locator("img").all():
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
        assert image.get_attribute("alt")
    # One of the two that could go stays after all.
    member(page, "0-half.png").get_by_role("checkbox").uncheck()
    three.get_by_role("button", name="Remove the marked one").click()
    expect(page.locator(".toast")).to_contain_text("1 picture will be removed")
    expect(page.locator(".toast")).to_have_count(0, timeout=60_000)
    gone = {"0.png", "0.bmp"} - keys_in(path)
    assert len(gone) == 1
    assert len(keys_in(path)) == 6
    expect(page.locator(".group", has_text="3 pictures")).to_have_count(0)
    expect(page.locator(".group")).to_have_count(2)
    visit.tidy()


def test_all_that_is_marked_goes_at_once_or_comes_back(
    browser: Browser, writable: Server, path: Path
) -> None:
    page = open_care(browser, writable, "duplicates").page
    page.get_by_role("button", name="Remove all 3 marked on this page").click()
    expect(page.locator(".group")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".group")).to_have_count(2)
    assert len(keys_in(path)) == 7
    page.get_by_role("button", name="Remove all 3 marked on this page").click()
    expect(page.locator(".toast")).to_have_count(0, timeout=60_000)
    assert len(keys_in(path)) == 4
    expect(page.locator(".part-duplicates .status")).to_have_text(re.compile("^None among"))


def test_one_of_a_group_always_stays(browser: Browser, writable: Server) -> None:
    page = open_care(browser, writable, "duplicates").page
    pair = page.locator(".group", has_text="2 pictures")
    for box in pair.get_by_role("checkbox").all():
        box.check()
    expect(pair.get_by_text("One has to stay.")).to_be_visible()
    expect(pair.get_by_role("button", name="Remove")).to_be_disabled()


def test_a_group_may_be_left_as_it_is(browser: Browser, writable: Server, path: Path) -> None:
    page = open_care(browser, writable, "duplicates").page
    page.locator(".group", has_text="2 pictures").get_by_role("button", name="Keep all").click()
    expect(page.locator(".group")).to_have_count(1)
    assert len(keys_in(path)) == 7


def test_kinds_are_shown_apart_and_in_the_address(browser: Browser, writable: Server) -> None:
    page = open_care(browser, writable, "duplicates").page
    page.locator(".part-duplicates select").select_option("near")
    assert "kind=near" in page.url
    expect(page.locator(".part-duplicates .status")).to_contain_text("groups among")
    page.locator(".part-duplicates select").select_option("similar")
    expect(page.locator(".part-duplicates .status")).to_contain_text("Looking for duplicates")
    expect(page.locator(".part-duplicates progress")).to_be_visible()
    expect(page.locator(".part-duplicates .status")).to_contain_text(
        "among 7 pictures", timeout=240_000
    )
    expect(page.locator(".member.leaves")).to_have_count(0)


def test_what_the_server_says_of_copies_is_said_in_portuguese(
    browser: Browser, writable: Server
) -> None:
    page = open_care(browser, writable, "duplicates", locale="pt-BR").page
    half = page.locator(".member", has_text="50% do tamanho")
    expect(half).to_have_count(1)
    expect(page.locator(".group").first).to_contain_text("Fica: ")
    expect(page.locator(".member", has_text="espelhada, 83% do tamanho")).to_have_count(1)


def test_every_phrase_about_copies_has_words() -> None:
    """The server's phrases are in its source; the page finds its words by them."""
    source = Path(told.__file__).read_text()
    turns = [words for _, words in likeness.__globals__["_TURNS"] if words]
    why = [*re.findall(r'^        \("(the [a-z ]+|already[a-z ]+)", lambda', source, re.M)]
    how = re.findall(r'(?:return|or) "([a-z][a-z ;]+)"', source)
    how += re.findall(r'"(a part of it|shows more[a-z ]+)"', source)
    assert len(why) == 5
    assert {"the same file", "a copy of a copy; stays", "compressed or edited slightly"} <= set(how)
    words = (PAGE / "words.pt.js").read_text()
    for kind, phrases in (("why", [*why, "the first by name"]), ("how", [*how, *turns])):
        for phrase in phrases:
            slug = re.sub(r"[^a-z]+", "-", phrase)
            assert f'"care.{kind}.{slug}"' in words, phrase
