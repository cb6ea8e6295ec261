"""All ways to ask: several pictures, plus and minus, an address, the camera, a result."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from browsing import (
    ARGUMENTS,
    CHROMIUM,
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
from page_host import answering
from serving import Server, as_base64, key_of, picture, running

pytestmark = NEEDS_CHROMIUM

SENT = """() => {
    const real = window.fetch;
    window.asked = [];
    window.fetch = async (path, options) => {
        if (options?.body instanceof FormData) {
            const fields = {};
            for (const [name, value] of options.body) {
                (fields[name] ??= []).push(typeof value === "string" ? value : value.name);
            }
            window.asked.push(fields);
        } else if (options?.body) window.asked.push(JSON.parse(options.body));
        return real(path, options);
    };
}"""


def chips(page: Page) -> Any:
    return page.locator(".chip")


def asked_for(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def nearest(server: Server, *examples: dict[str, Any]) -> list[str]:
    """What the API itself answers."""
    body = {"examples": list(examples), "k": SHOWN}
    answer = server.client.post("/v1/search", json=body)
    assert answer.status_code == 200, answer.text
    return [match["key"] for match in answer.json()["results"]]


def paste(page: Page, text: str, into: str = "body") -> bool:
    """Paste text; whether the page took it for itself."""
    return bool(
        page.locator(into).evaluate(
            """(node, text) => {
                const clipboardData = new DataTransfer();
                clipboardData.setData("text/plain", text);
                const event = new ClipboardEvent("paste",
                    { clipboardData, bubbles: true, cancelable: true });
                return !node.dispatchEvent(event);
            }""",
            text,
        )
    )


def test_several_files_at_once_are_one_question(visit: Visit, server: Server) -> None:
    page = visit.page
    page.evaluate(SENT)
    page.locator("#file").set_input_files([file(picture(n), f"{n}.png") for n in (3, 4, 5)])
    expect(chips(page)).to_have_count(3)
    expect(tiles(page)).to_have_count(SHOWN)
    (sent,) = page.evaluate("window.asked")
    assert sent["image"] == ["3.png", "4.png", "5.png"]
    assert json.loads(sent["examples"][0]) == [{"image": n, "weight": 1} for n in range(3)]
    wanted = nearest(server, *({"image_base64": as_base64(picture(n))} for n in (3, 4, 5)))
    assert keys(page) == wanted
    assert tiles(page).locator(".chance").all_inner_texts() == [""] * SHOWN
    expect(page.locator("#legend")).to_contain_text("no percentages with several pictures")
    visit.tidy()


def test_results_are_added_with_plus_and_minus_and_taken_away(visit: Visit, server: Server) -> None:
    page = visit.page
    choose(page, file(picture(7)))
    found_itself(page, 7)
    like, unlike = keys(page)[4], keys(page)[9]
    page.locator(f'.tile[data-key="{like}"]').hover()
    page.locator(f'.tile[data-key="{like}"] .act-plus').click()
    expect(chips(page)).to_have_count(2)
    assert asked_for(page)["like"] == [like]
    ours = {"image_base64": as_base64(picture(7))}
    expect(tiles(page).first).to_have_attribute("title", nearest(server, ours, {"key": like})[0])
    page.locator(f'.tile[data-key="{unlike}"] .act-minus').focus()
    page.keyboard.press("Enter")
    expect(page.locator(".chip.against")).to_have_count(1)
    assert asked_for(page)["unlike"] == [unlike]
    minus = {"key": unlike, "weight": -1}
    wanted = nearest(server, ours, {"key": like}, minus)
    page.wait_for_function(
        "wanted => document.querySelector('.tile').dataset.key === wanted", arg=wanted[0]
    )
    assert keys(page) == wanted
    pressed = page.locator(f'.tile[data-key="{like}"] .act-plus')
    expect(pressed).to_have_attribute("aria-pressed", "true")
    # Turned around, then removed, by the buttons of its chip; then all of it is taken back.
    page.get_by_role(
        "button", name=f"Turn around: more or less like {unlike.split('/')[-1]}"
    ).click()
    expect(page.locator(".chip.against")).to_have_count(0)
    assert sorted(asked_for(page)["like"]) == sorted([like, unlike])
    page.get_by_role("button", name=f"Remove {unlike.split('/')[-1]}").click()
    expect(chips(page)).to_have_count(2)
    assert page.evaluate("document.activeElement.tagName") == "BUTTON"
    page.go_back()
    page.go_back()
    expect(page.locator(".chip.against")).to_have_count(1)
    visit.tidy()


def test_a_picture_is_added_by_the_plus_among_the_chips(visit: Visit) -> None:
    page = visit.page
    choose(page, file(picture(7), "first.png"))
    found_itself(page, 7)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Add another picture").click()
    chooser.value.set_files(file(picture(8), "second.png"))
    expect(chips(page)).to_have_count(2)
    assert chips(page).evaluate_all("all => all.map((c) => c.title)") == ["first.png", "second.png"]
    # Another choice from the large button is a new question.
    choose(page, file(picture(9), "third.png"))
    expect(chips(page)).to_have_count(1)
    found_itself(page, 9)


def test_only_minus_is_explained(visit: Visit) -> None:
    page = visit.page
    choose(page, file(picture(7)))
    found_itself(page, 7)
    other = keys(page)[3]
    page.locator(f'.tile[data-key="{other}"] .act-minus').focus()
    page.keyboard.press("Enter")
    expect(chips(page)).to_have_count(2)
    page.get_by_role("button", name="Remove mine.png").click()
    expect(page.get_by_role("alert")).to_contain_text("only pictures with a minus")
    expect(tiles(page)).to_have_count(0)


def test_the_ninth_picture_is_refused_in_words(visit: Visit) -> None:
    page = visit.page
    page.locator("#file").set_input_files([file(picture(n), f"{n}.png") for n in range(8)])
    expect(chips(page)).to_have_count(8)
    expect(tiles(page)).to_have_count(SHOWN)
    expect(page.locator(".chip-add")).to_have_count(0)
    tiles(page).nth(2).locator(".act-plus").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("at most 8 pictures")
    expect(chips(page)).to_have_count(8)


def test_an_address_is_explained_where_the_server_fetches_nothing(visit: Visit) -> None:
    page = visit.page
    expect(page.locator("#address")).to_be_hidden()
    assert paste(page, "https://example.com/cat.jpg")
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("fetches no pictures from the web")
    expect(problem).to_contain_text("Save the picture")
    assert not paste(page, "just words")
    visit.tidy()


def test_the_address_of_a_picture_of_the_gallery_is_known(visit: Visit, server: Server) -> None:
    page = visit.page
    assert paste(page, f"{server.url}/images/f%C3%A9rias%201/00010.png?size=320")
    found_itself(page, 10)
    assert asked_for(page) == {"key": [key_of(10)]}


@pytest.fixture
def fetching(gallery: Path) -> Iterator[Server]:
    with running(gallery, image_url_hosts=["127.0.0.1"]) as server:
        yield server


def test_the_server_fetches_an_address(browser: Browser, fetching: Server) -> None:
    with answering(lambda _: (200, {"Content-Type": "image/png"}, picture(6))) as there:
        visit = open_page(browser, fetching.url)
        page = visit.page
        assert paste(page, f"{there}/cat.png")
        found_itself(page, 6)
        assert asked_for(page) == {"url": [f"{there}/cat.png"]}
        expect(page.locator("#query-size")).to_contain_text("fetched by the server")
        # In its own field it is only text, until it is sent off.
        field = page.locator("#address-text")
        assert not paste(page, f"{there}/dog.png", "#address-text")
        field.fill(f"{there}/dog.png")
        field.press("Enter")
        expect(page.locator("#query-name")).to_have_text(f"{there}/dog.png")
        found_itself(page, 6)
        visit.tidy()
        field.fill("https://elsewhere.example/dog.png")
        field.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("may not fetch from there")
        page.close()


def test_an_address_that_has_no_picture_is_explained(browser: Browser, fetching: Server) -> None:
    with answering(lambda _: (404, {}, b"")) as there:
        visit = open_page(browser, fetching.url)
        paste(visit.page, f"{there}/gone.png")
        expect(visit.page.get_by_role("alert")).to_contain_text("could not fetch that picture")
        visit.page.close()


def test_a_result_dragged_into_the_box_is_the_next_question(visit: Visit) -> None:
    page = visit.page
    choose(page, file(picture(7)))
    found_itself(page, 7)
    wanted = keys(page)[2]
    data = page.evaluate_handle("() => new DataTransfer()")
    tiles(page).nth(2).locator(".open").dispatch_event("dragstart", {"dataTransfer": data})
    box = page.locator("#drop")
    box.dispatch_event("dragenter", {"dataTransfer": data})
    expect(box).to_have_class(re.compile(r"\bover\b"))
    box.dispatch_event("drop", {"dataTransfer": data})
    expect(tiles(page).first).to_have_attribute("title", wanted)
    assert asked_for(page) == {"key": [wanted]}


def test_a_picture_from_the_camera(browser: Browser, server: Server) -> None:
    """The camera is a fake of Chromium's: a moving test picture."""
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    sighted = browser.browser_type.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *fake])
    visit = open_page(sighted, server.url)
    page = visit.page
    page.locator("#camera").click()
    dialog = page.get_by_role("dialog", name="Take a picture")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Take it").click()
    expect(dialog).to_have_count(0)
    expect(page.locator("#query-name")).to_have_text("photo.jpg")
    expect(page.locator("#query-size")).to_have_text(re.compile(r"^\d{3,4} × \d{3,4}"))
    expect(tiles(page)).to_have_count(SHOWN)
    visit.tidy()
    sighted.close()


def test_a_camera_that_is_not_there_is_explained_and_there_is_a_way_on(visit: Visit) -> None:
    page = visit.page
    page.locator("#camera").click()
    dialog = page.get_by_role("dialog", name="Take a picture")
    expect(dialog).to_contain_text(re.compile("No camera was found|does not let this page"))
    with page.expect_file_chooser() as chooser:
        dialog.get_by_role("button", name="Open the camera app or a file").click()
    assert chooser.value.element.get_attribute("capture") == "environment"
    chooser.value.set_files(file(picture(5)))
    expect(dialog).to_have_count(0)
    found_itself(page, 5)


def test_escape_leaves_the_camera_and_nothing_is_asked(visit: Visit) -> None:
    page = visit.page
    page.locator("#camera").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("#samples")).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "camera"
    assert [each for each in visit.requests if each.method == "POST"] == []


def test_a_pasted_picture_is_no_address(visit: Visit) -> None:
    """A browser that copies a picture gives its address too: the picture itself counts."""
    page = visit.page
    page.evaluate(
        """text => {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], "pasted.png", { type: "image/png" }));
            data.setData("text/plain", "https://example.com/pasted.png");
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data }));
        }""",
        base64.b64encode(picture(11)).decode(),
    )
    found_itself(page, 11)
