"""The page in a real browser, against a real server."""

from __future__ import annotations

import base64
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, FilePayload, Page, Request, expect, sync_playwright

from serving import COUNT, Server, key_of, large_photo, make_gallery, picture, running

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not Path(CHROMIUM).exists(),
        reason=f"there is no Chromium at {CHROMIUM} (apt-get install chromium)",
    ),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Patient: the machine that runs this may be busy with a training.
        expect.set_options(timeout=30_000)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def server(gallery: Path) -> Iterator[Server]:
    with running(gallery, max_upload_bytes=2_000_000) as server:
        yield server


@dataclass
class Visit:
    """A page and what it said and asked for."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def tidy(self) -> None:
        """No error in the console, no request but to this server."""
        assert self.complaints == []
        strangers = [each.url for each in self.requests if not each.url.startswith(self.url)]
        assert [url for url in strangers if not url.startswith(("blob:", "data:"))] == []


def open_page(browser: Browser, url: str, **context: Any) -> Visit:
    page = browser.new_page(**({"viewport": {"width": 1280, "height": 900}} | context))
    page.set_default_timeout(60_000)
    visit = Visit(page, url)
    page.on(
        "console",
        lambda said: visit.complaints.append(said.text) if said.type in ("error", "warning") else 0,
    )
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on("request", lambda request: visit.requests.append(request))
    page.goto(url)
    expect(page.locator(".sample:enabled").first).to_be_visible()
    return visit


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Visit]:
    visit = open_page(browser, server.url)
    yield visit
    visit.page.close()


def file(data: bytes, name: str = "mine.png", kind: str = "image/png") -> FilePayload:
    return {"name": name, "mimeType": kind, "buffer": data}


def choose(page: Page, payload: FilePayload) -> None:
    page.locator("#file").set_input_files(payload)


def tiles(page: Page) -> Any:
    return page.locator(".tile:enabled")


def distances(page: Page) -> list[float]:
    return [float(text) for text in page.locator(".tile:enabled .distance").all_inner_texts()]


def found_itself(page: Page, number: int) -> None:
    """Ten results in ascending distance, the picture itself first at 0.00, all pictures loaded."""
    expect(page.locator("#status")).to_contain_text("at 0.00")
    expect(tiles(page)).to_have_count(10)
    shown = distances(page)
    assert shown == sorted(shown)
    assert shown[0] == 0.0 < shown[1]
    first = tiles(page).first
    expect(first).to_have_attribute("title", key_of(number))
    expect(first.locator(".distance")).to_have_text("0.00")
    for image in page.locator(".tile img").all():
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 32
        assert image.get_attribute("alt")


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
    visit.tidy()


def watch_what_is_sent(page: Page) -> None:
    """Keep the last uploaded file as ``window.sent``; Chromium hides it from the debugger."""
    page.evaluate(
        """() => {
            const real = window.fetch;
            window.fetch = (path, options) => {
                if (options?.body instanceof FormData) window.sent = options.body.get("image");
                return real(path, options);
            };
        }"""
    )


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
    expect(tiles(page)).to_have_count(10)
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
    expect(tiles(visit.page)).to_have_count(10)
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


def test_keyboard_alone(visit: Visit) -> None:
    page = visit.page
    seen = []
    for _ in range(6):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "() => document.activeElement.id || document.activeElement.className"
                " || document.activeElement.textContent"
            )
        )
    # From the top down, in the order they are seen in.
    assert seen[:4] == ["top-link", "file", "choose", "shuffle"]
    assert seen[4] == seen[5] == "sample"
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px"
    page.keyboard.press("Enter")
    expect(tiles(page)).to_have_count(10)
    expect(page.locator("#status")).to_contain_text("at 0.00")
    # On into the results: the second is picked, and focus stays where it was.
    tiles(page).nth(1).focus()
    picked = tiles(page).nth(1).get_attribute("title")
    page.keyboard.press("Enter")
    expect(tiles(page).first).to_have_attribute("title", str(picked))
    assert page.evaluate("() => document.activeElement.className").startswith("tile")
    with page.expect_file_chooser() as chooser:
        page.locator("#choose").focus()
        page.keyboard.press("Enter")
    chooser.value.set_files(file(picture(12)))
    found_itself(page, 12)
    visit.tidy()


def test_samples_can_be_shuffled(visit: Visit) -> None:
    page = visit.page
    assert page.locator(".sample:enabled").count() == 12
    first = set(page.locator(".sample").evaluate_all("all => all.map((one) => one.dataset.key)"))
    for _ in range(12):
        with page.expect_response("**/v1/images?*"):
            page.locator("#shuffle").click()
        now = set(page.locator(".sample").evaluate_all("all => all.map((one) => one.dataset.key)"))
        if now != first:
            break
    assert now != first
    assert now <= {key_of(number) for number in range(COUNT)}


@pytest.mark.parametrize("width", [320, 360, 700, 768, 961, 1920])
def test_no_width_scrolls_sideways(browser: Browser, server: Server, width: int) -> None:
    visit = open_page(browser, server.url, viewport={"width": width, "height": 800})
    page = visit.page
    for _ in range(2):
        overhang = page.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert overhang <= 0
        choose(page, file(picture(7), "a-name-without-any-place-to-break-" * 6 + ".png"))
        expect(tiles(page)).to_have_count(10)
    if width < 700:
        # The results lie under the fold there, so the page goes to them.
        expect(page.locator("#found-title")).to_be_in_viewport()
        assert (page.locator(".tile").first.bounding_box() or {})["width"] >= 120
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_accessible(browser: Browser, server: Server, scheme: Any, width: int) -> None:
    from axe_playwright_python.sync_playwright import Axe

    # Axe is put into the page as a script, which the page's own policy would rightly refuse.
    visit = open_page(
        browser,
        server.url,
        color_scheme=scheme,
        viewport={"width": width, "height": 800},
        bypass_csp=True,
        reduced_motion="reduce",
    )
    for payload in (file(picture(7)), file(b"rubbish", "notes.txt", "text/plain")):
        choose(visit.page, payload)
        expect(visit.page.locator("#grid")).to_have_attribute("aria-busy", "false")
        result = Axe().run(visit.page)
        assert result.violations_count == 0, result.generate_report()
    visit.page.close()


def test_nothing_jumps(browser: Browser, server: Server) -> None:
    visit = open_page(browser, server.url)
    page = visit.page
    choose(page, file(picture(7)))
    found_itself(page, 7)
    shift = page.evaluate(
        """() => new Promise((done) => {
            let sum = 0;
            new PerformanceObserver((list) => {
                for (const entry of list.getEntries()) sum += entry.value;
            }).observe({ type: "layout-shift", buffered: true });
            setTimeout(() => done(sum), 200);
        })"""
    )
    assert shift < 0.01
    page.close()


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


def test_documentation_works_without_a_cdn(browser: Browser, server: Server) -> None:
    page = browser.new_page()
    visit = Visit(page, server.url)
    page.on(
        "console", lambda said: visit.complaints.append(said.text) if said.type == "error" else 0
    )
    page.on("request", lambda request: visit.requests.append(request))
    page.goto(f"{server.url}/docs")
    expect(page.get_by_text("/v1/search").first).to_be_visible()
    visit.tidy()
    page.close()


@pytest.mark.data
def test_real_pictures(browser: Browser, tmp_path: Path) -> None:
    from toys import make_toy_bundle
    from vizinho.datasets import load_dataset
    from vizinho.errors import VizinhoError
    from vizinho.gallery import Gallery

    folder = Path(os.environ.get("VIZINHO_DATA", "../shared/datasets"))
    try:
        dataset = load_dataset("cifar10:test", data_dir=folder).subset(range(0, 400))
    except VizinhoError as error:
        pytest.skip(str(error))
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
