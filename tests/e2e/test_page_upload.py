"""Adding many files in the page: progress, what was skipped and why, stop, again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect

from browsing import NEEDS_CHROMIUM, file
from caring import keys_in, open_care
from serving import Server, key_of, make_gallery, picture, running
from toys import encode, noise
from vizinho.gallery import Gallery

pytestmark = NEEDS_CHROMIUM

COUNT = 8
LIMIT = 100_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_gallery(tmp_path, COUNT)


@pytest.fixture
def writable(path: Path) -> Iterator[Server]:
    with running(path, writable=True, max_upload_bytes=LIMIT) as server:
        yield server


def new(count: int, start: int = 0) -> list[FilePayload]:
    return [file(encode(noise(3000 + i)), f"new-{i:02}.png") for i in range(start, start + count)]


def told(page: Page) -> str:
    return page.locator(".sending .status").inner_text()


def send(page: Page, files: list[FilePayload]) -> None:
    page.locator("#add-files").set_input_files(files)


def test_many_files_go_in_and_each_that_does_not_is_told_with_its_reason(
    browser: Browser, writable: Server, path: Path
) -> None:
    visit = open_care(browser, writable, "add")
    page = visit.page
    page.locator("#add-label").fill("novo")
    bad = [
        file(b"words", "notes.txt", "text/plain"),
        file(b"words", "lies.png"),
        file(encode(noise(1))[:60], "cut.png"),
        file(b"", "empty.png"),
        file(bytes(LIMIT + 1), "vast.png"),
        file(picture(3), "old.png"),
    ]
    send(page, [*new(20), *bad])
    summary = page.locator(".sending .status")
    expect(summary).to_have_text("20 added, 1 was there already, 5 skipped.")
    lines = page.locator(".skips details").first.locator("li").all_inner_texts()
    assert {tuple(line.split("\n")) for line in lines} == {
        ("notes.txt", "This is not a picture"),
        ("lies.png", "This is not a picture"),
        ("cut.png", "This picture is damaged"),
        ("empty.png", "This picture is damaged"),
        ("vast.png", "This file is too large"),
    }
    page.locator("summary", has_text="1 was there already").click()
    expect(page.locator(".skips a")).to_have_text(key_of(3))
    assert keys_in(path) == {key_of(i) for i in range(COUNT)} | {
        f"new-{i:02}.png" for i in range(20)
    }
    with Gallery.open(path) as gallery:
        # Also the one that was there: the label is for all of them.
        assert gallery.labels()["novo"] == 21
        assert gallery.get(key_of(3)).label == "novo"
    page.get_by_role("button", name="See the gallery").click()
    expect(page.locator(".pick")).to_have_count(COUNT + 20)
    visit.tidy()


def test_only_two_requests_are_under_way_and_progress_is_told(
    browser: Browser, writable: Server, path: Path
) -> None:
    page = open_care(browser, writable, "add").page
    held = []
    page.route("**/v1/images", lambda route: held.append(route))
    send(page, new(30))
    expect(page.locator(".sending progress")).to_be_visible()
    page.wait_for_timeout(1500)
    assert len(held) == 2
    assert told(page).startswith("0 of 30 files · ")
    held[0].continue_()
    expect(page.locator(".sending .status")).to_contain_text("8 of 30 files")
    page.wait_for_timeout(500)
    assert len(held) == 3
    assert 0 < page.locator(".sending progress").evaluate("bar => bar.value") < 1
    assert len(keys_in(path)) == COUNT + 8
    for route in held[1:]:
        route.continue_()
    page.unroute("**/v1/images")


def test_stopping_keeps_what_went_in_and_says_what_did_not(
    browser: Browser, writable: Server, path: Path
) -> None:
    page = open_care(browser, writable, "add").page
    seen = []

    def first_only(route: object) -> None:
        seen.append(route)
        if len(seen) == 1:
            route.continue_()  # type: ignore[attr-defined]

    page.route("**/v1/images", first_only)
    send(page, new(40))
    expect(page.locator(".sending .status")).to_contain_text("8 of 40 files")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".sending .status")).to_have_text("8 added, stopped with 32 to go.")
    assert len(keys_in(path)) == COUNT + 8


def test_what_could_not_be_sent_is_sent_again_on_demand(
    browser: Browser, writable: Server, path: Path
) -> None:
    page = open_care(browser, writable, "add").page
    page.clock.install()
    page.route("**/v1/images", lambda route: route.abort())
    send(page, new(3))
    for _ in range(8):
        page.wait_for_timeout(200)
        page.clock.fast_forward(20_000)
    expect(page.locator(".sending .status")).to_have_text("0 added, 3 could not be sent.")
    page.unroute("**/v1/images")
    page.get_by_role("button", name="Send the rest again").click()
    expect(page.locator(".sending .status")).to_have_text("3 added.")
    assert len(keys_in(path)) == COUNT + 3


def test_a_server_that_is_busy_is_waited_for(
    browser: Browser, writable: Server, path: Path
) -> None:
    page = open_care(browser, writable, "add").page
    asked = []

    def busy(route: object) -> None:
        asked.append(route)
        if len(asked) < 3:
            body = '{"error": {"code": "gallery_busy", "message": "Busy.", "hint": ""}}'
            headers = {"Retry-After": "1", "Content-Type": "application/json"}
            route.fulfill(status=503, body=body, headers=headers)  # type: ignore[attr-defined]
        else:
            route.continue_()  # type: ignore[attr-defined]

    page.route("**/v1/images", busy)
    send(page, new(2))
    expect(page.locator(".sending .status")).to_have_text("2 added.")
    assert len(keys_in(path)) == COUNT + 2


def test_a_proxy_that_takes_less_gets_one_by_one(browser: Browser, writable: Server) -> None:
    page = open_care(browser, writable, "add").page

    def strict(route: object) -> None:
        data = route.request.post_data_buffer or b""  # type: ignore[attr-defined]
        if data.count(b'name="image"') > 1:
            route.fulfill(status=413, body="<html>no</html>")  # type: ignore[attr-defined]
        else:
            route.continue_()  # type: ignore[attr-defined]

    page.route("**/v1/images", strict)
    send(page, new(5))
    expect(page.locator(".sending .status")).to_have_text("5 added.")


def test_a_folder_goes_in_with_its_names(
    browser: Browser, writable: Server, path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "férias"
    (folder / "mar").mkdir(parents=True)
    (folder / "a.png").write_bytes(encode(noise(41)))
    (folder / "mar" / "a.png").write_bytes(encode(noise(42)))
    (folder / ".DS_Store").write_bytes(b"\0" * 20)
    page = open_care(browser, writable, "add").page
    page.locator("#add-folder").set_input_files(folder)
    expect(page.locator(".sending .status")).to_have_text("2 added.")
    assert {"férias/a.png", "férias/mar/a.png"} <= keys_in(path)


def test_files_dropped_anywhere_on_the_view_are_taken(
    browser: Browser, writable: Server, path: Path
) -> None:
    page = open_care(browser, writable, "add").page
    data = list(encode(noise(77)))
    page.evaluate(
        """(bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "drop.png", { type: "image/png" }));
            for (const kind of ["dragover", "drop"])
                document.body.dispatchEvent(new DragEvent(kind,
                    { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        data,
    )
    expect(page.locator(".sending .status")).to_have_text("1 added.")
    assert "drop.png" in keys_in(path)
    # Elsewhere a dropped picture is a question, as ever.
    page.get_by_role("link", name="Search", exact=True).click()
    expect(page.locator("#drop")).to_be_visible()
