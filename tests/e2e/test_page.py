"""Searching from the page, in a real browser against a real server."""

from __future__ import annotations

import base64
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from browsing import (
    NEEDS_CHROMIUM,
    SHOWN,
    Visit,
    choose,
    distances,
    file,
    found_itself,
    open_page,
    tiles,
    watch_what_is_sent,
)
from real_data import real
from serving import large_photo, picture, running

pytestmark = NEEDS_CHROMIUM


def test_upload_finds_ten_and_itself_first(visit: Visit) -> None:
    page = visit.page
    expect(page.locator("#model-name")).to_have_text("toy")
    choose(page, file(picture(7)))
    found_itself(page, 7)
    query = page.locator("#query-image")
    expect(query).to_be_visible()
    assert query.evaluate("image => image.decode().then(() => image.naturalWidth)") == 32
    expect(page.locator("#query-name")).to_have_text("mine.png")
    expect(page.locator("#query-size")).to_have_text("32 × 32")
    assert query.evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"
    expect(page.locator("#samples")).to_be_hidden()
    visit.tidy()


def test_a_small_picture_is_sent_bit_for_bit(visit: Visit) -> None:
    watch_what_is_sent(visit.page)
    choose(visit.page, file(picture(8)))
    found_itself(visit.page, 8)
    sent = visit.page.evaluate("async () => Array.from(await window.sent.bytes())")
    assert bytes(sent) == picture(8)


def test_drag_and_drop(visit: Visit) -> None:
    page = visit.page
    data = base64.b64encode(picture(9)).decode()
    transfer = page.evaluate_handle(
        """text => {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "dragged.png", { type: "image/png" }));
            return transfer;
        }""",
        data,
    )
    box = page.locator("#drop")
    box.dispatch_event("dragenter", {"dataTransfer": transfer})
    expect(box).to_have_class(re.compile(r"\bover\b"))
    box.dispatch_event("dragover", {"dataTransfer": transfer})
    box.dispatch_event("drop", {"dataTransfer": transfer})
    expect(box).not_to_have_class(re.compile(r"\bover\b"))
    found_itself(page, 9)
    visit.tidy()


def test_paste(visit: Visit) -> None:
    page = visit.page
    page.evaluate(
        """text => {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], "pasted.png", { type: "image/png" }));
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data }));
        }""",
        base64.b64encode(picture(11)).decode(),
    )
    found_itself(page, 11)


def test_rubbish_is_explained_and_the_next_picture_works(visit: Visit) -> None:
    page = visit.page
    choose(page, file(picture(1)))
    expect(tiles(page)).to_have_count(SHOWN)
    choose(page, file(b"these are words, not pixels", "notes.jpg", "image/jpeg"))
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("This is not a picture")
    expect(problem).to_contain_text("JPEG, PNG, WebP")
    expect(tiles(page)).to_have_count(0)
    expect(page.locator("#query-image")).to_be_hidden()
    choose(page, file(picture(2)))
    found_itself(page, 2)
    expect(problem).to_be_empty()


def test_a_damaged_picture_is_explained(visit: Visit) -> None:
    choose(visit.page, file(picture(1)[:150]))
    expect(visit.page.get_by_role("alert")).to_contain_text("damaged")


def test_a_file_too_large_is_explained_and_not_sent(visit: Visit) -> None:
    choose(visit.page, file(bytes(3_000_000), "film.mov", "video/quicktime"))
    problem = visit.page.get_by_role("alert")
    expect(problem).to_contain_text("too large")
    expect(problem).to_contain_text("3.0 MB")
    assert [each for each in visit.requests if each.method == "POST"] == []
    visit.tidy()


def test_a_large_photo_is_shrunk_before_it_is_sent(visit: Visit) -> None:
    photo = large_photo()
    assert len(photo) > 2_000_000
    watch_what_is_sent(visit.page)
    choose(visit.page, file(photo, "phone.jpg", "image/jpeg"))
    expect(tiles(visit.page)).to_have_count(SHOWN)
    expect(visit.page.locator("#query-size")).to_have_text("2400 × 1600, sent as 512 × 341")
    size, kind = visit.page.evaluate("() => [window.sent.size, window.sent.type]")
    assert kind == "image/jpeg"
    assert 5_000 < size < 400_000
    visit.tidy()


def test_the_server_gone_is_explained_and_tried_again(browser: Browser, gallery: Path) -> None:
    with running(gallery) as server:
        visit = open_page(browser, server.url)
        page = visit.page
        server.stop(signal.SIGKILL)
        choose(page, file(picture(3)))
        problem = page.get_by_role("alert")
        expect(problem).to_contain_text("does not answer")
        # The browser gets an answer again, so the button must lead to results.
        page.route(
            "**/v1/search",
            lambda route: route.fulfill(json={"results": [], "took_ms": 1}),
        )
        problem.get_by_role("button", name="Try again").click()
        expect(problem).to_be_empty()
        expect(page.locator("#status")).to_have_text("The gallery is empty")
        page.close()


def test_a_busy_server_is_explained(visit: Visit) -> None:
    error = {"code": "queue_full", "message": "Too many searches wait.", "hint": "Try again."}
    visit.page.route(
        "**/v1/search",
        lambda route: route.fulfill(status=503, json={"error": error}),
    )
    choose(visit.page, file(picture(3)))
    problem = visit.page.get_by_role("alert")
    expect(problem).to_contain_text("The server is busy")
    visit.page.unroute("**/v1/search")
    problem.get_by_role("button", name="Try again").click()
    found_itself(visit.page, 3)


def test_a_newer_question_wins(visit: Visit) -> None:
    page = visit.page
    held: list[Any] = []
    page.route("**/v1/search", lambda route: held.append(route) if not held else route.continue_())
    choose(page, file(picture(4), "old.png"))
    page.wait_for_timeout(200)
    assert len(held) == 1
    expect(page.locator("#status")).to_have_text("Searching…")
    expect(page.locator("#grid")).to_have_attribute("aria-busy", "true")
    choose(page, file(picture(5), "new.png"))
    found_itself(page, 5)
    assert page.locator("#grid").get_attribute("aria-busy") == "false"


@pytest.mark.data
def test_real_pictures(browser: Browser, tmp_path: Path) -> None:
    from toys import make_toy_bundle
    from vizinho.gallery import Gallery

    dataset = real("cifar10:test").subset(range(0, 400))
    path = tmp_path / "cifar.vizinho"
    with Gallery.create(path, model=make_toy_bundle(tmp_path)) as gallery:
        gallery.add_dataset(dataset)
    with running(path) as server:
        visit = open_page(browser, server.url)
        for number in (0, 123, 399):
            choose(visit.page, file(dataset.read(number)))
            expect(tiles(visit.page).first).to_have_attribute("title", dataset.names[number])
            assert distances(visit.page)[0] == 0.0
            expect(tiles(visit.page).first.locator(".label")).to_have_text(
                dataset.classes[int(dataset.labels[number])]
            )
        visit.tidy()
        visit.page.close()
