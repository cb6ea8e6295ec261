"""The map in the page: what is drawn, how it is moved about, what is found lit on it."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from browsing import NEEDS_CHROMIUM, Visit, choose, file, open_page
from serving import Server, key_of, make_gallery, picture, running
from toy_map import GROUPS, grouped, rows
from toys import encode, make_toy_bundle, plain
from vizinho.blobs import LocalBlobs
from vizinho.gallery import Gallery, layout
from vizinho.gallery.mapping import make_map
from vizinho.report.embedding_map import PALETTE

pytestmark = NEEDS_CHROMIUM

COUNT = 1500
GREENS = [(40, 90 + 30 * group, 60) for group in range(GROUPS)]
"""What the pictures of a group show: greens, of which the palette has none so saturated."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over 1,500 pictures in five groups, with their map."""
    folder = tmp_path_factory.mktemp("large")
    path = folder / "large.vizinho"
    with Gallery.create(path, model=make_toy_bundle(folder)) as gallery:
        made = rows(COUNT)
        gallery.engine.add(made, grouped(COUNT))
        blobs = LocalBlobs(path / layout.IMAGES)
        data = [encode(plain(colour)) for colour in GREENS]
        for number, row in enumerate(made):
            blobs.put(layout.blob_key(row.hash), data[number % GROUPS])
        make_map(gallery)
    with running(path) as server:
        yield server


@dataclass
class Shown:
    """The open map, with what the server says of it."""

    visit: Visit
    map: dict[str, Any]

    @property
    def ground(self) -> tuple[int, ...]:
        """The canvas's colour where nothing is drawn."""
        look = "canvas => getComputedStyle(canvas).backgroundColor"
        return tuple(map(int, re.findall(r"\d+", self.page.locator(".map-canvas").evaluate(look))))

    @property
    def page(self) -> Page:
        return self.visit.page

    def data(self, name: str) -> float:
        return float(self.page.locator(".map-canvas").get_attribute(f"data-{name}") or "nan")

    def at(
        self, key: str, zoom: float = 1.0, x: float = 0.5, y: float = 0.5
    ) -> tuple[float, float]:
        """Where a picture is on the canvas when so much of the map is seen."""
        number = self.map["keys"].index(key)
        box = self.page.locator(".map-canvas").evaluate("c => [c.clientWidth, c.clientHeight]")
        unit = min(box) * 0.9
        return (
            (self.map["x"][number] / 65535 - 0.5) * unit + box[0] / 2,
            (self.map["y"][number] / 65535 - 0.5) * unit + box[1] / 2,
        )

    def pixels(self, around: tuple[float, float] | None = None, reach: int = 8) -> np.ndarray:
        """Colours [N, 3] of what is drawn on the canvas, all of it or a square of it."""
        script = """(canvas, box) => {
            const [x, y, w, h] = box ?? [0, 0, canvas.width, canvas.height];
            const copy = new OffscreenCanvas(w, h).getContext("2d", {willReadFrequently: true});
            copy.drawImage(canvas, x, y, w, h, 0, 0, w, h);
            const {data} = copy.getImageData(0, 0, w, h);
            let text = "";
            for (let i = 0; i < data.length; i += 16384)
                text += String.fromCharCode(...data.subarray(i, i + 16384));
            return btoa(text);
        }"""
        box = None
        if around is not None:
            box = [round(around[0] - reach), round(around[1] - reach), 2 * reach, 2 * reach]
        raw = base64.b64decode(self.page.locator(".map-canvas").evaluate(script, box))
        found = np.frombuffer(raw, np.uint8).reshape(-1, 4)[:, :3].astype(int)
        return found[np.abs(found - self.ground).max(axis=1) > 8]

    def share(self, colour: tuple[int, ...], **where: Any) -> float:
        """How much of what is drawn there has a colour."""
        found = self.pixels(**where)
        return float((np.abs(found - colour).max(axis=1) < 26).mean()) if len(found) else 0.0


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


def open_map(browser: Browser, server: Server, more: str = "", **context: Any) -> Shown:
    shown = server.client.get("/v1/map").json()
    visit = open_page_at(browser, f"{server.url}/?view=map{more}", **context)
    expect(visit.page.locator(".map-canvas[data-zoom]")).to_be_visible()
    return Shown(visit, shown)


def open_page_at(browser: Browser, url: str, **context: Any) -> Visit:
    page = browser.new_page(
        **({"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"} | context)
    )
    page.set_default_timeout(60_000)
    visit = Visit(page, url.partition("?")[0].rstrip("/"))
    page.on(
        "console",
        lambda said: visit.complaints.append(said.text) if said.type in ("error", "warning") else 0,
    )
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on("request", lambda request: visit.requests.append(request))
    page.goto(url)
    return visit


def middle_of(shown: Shown, group: int) -> str:
    """The key of the picture nearest to the middle of a group."""
    label = shown.map["labels"].index(f"group {group}")
    its = [i for i, each in enumerate(shown.map["label"]) if each == label]
    places = np.array([(shown.map["x"][i], shown.map["y"][i]) for i in its])
    nearest = np.linalg.norm(places - np.median(places, axis=0), axis=1).argmin()
    return str(shown.map["keys"][its[nearest]])


def test_each_class_is_drawn_in_its_colour_where_it_is(browser: Browser, large: Server) -> None:
    shown = open_map(browser, large)
    expect(shown.page.locator(".map-count")).to_contain_text("1,500 pictures")
    for group in range(GROUPS):
        label = shown.map["labels"].index(f"group {group}")
        colour = rgb(PALETTE["light"][label])
        place = shown.at(middle_of(shown, group))
        below = (place[0], place[1] + 22)  # at the middle the class is written
        assert shown.share(colour, around=below, reach=10) > 0.3, group
        assert shown.share(rgb(PALETTE["light"][(label + 1) % 5]), around=below, reach=10) < 0.1
    assert [r for r in shown.visit.requests if "/tiles/" in r.url] == []
    shown.visit.tidy()


def test_the_legend_hides_and_shows_classes(browser: Browser, large: Server) -> None:
    shown = open_map(browser, large)
    page = shown.page
    colour = rgb(PALETTE["light"][shown.map["labels"].index("group 2")])
    assert shown.share(colour) > 0.05
    entry = page.get_by_role("button", name="group 2 300")
    expect(entry).to_have_attribute("aria-pressed", "true")
    entry.focus()
    page.keyboard.press("Enter")
    expect(entry).to_have_attribute("aria-pressed", "false")
    expect(entry).to_be_focused()
    page.wait_for_timeout(300)
    assert shown.share(colour) < 0.005
    page.get_by_role("button", name="Show all", exact=True).click()
    page.wait_for_timeout(300)
    assert shown.share(colour) > 0.05
    shown.visit.tidy()


def test_near_thumbnails_take_the_marks_place(browser: Browser, large: Server) -> None:
    shown = open_map(browser, large)
    page = shown.page
    key = middle_of(shown, 3)
    box = page.locator(".map-canvas").bounding_box()
    assert box is not None
    x, y = shown.at(key)
    page.mouse.move(box["x"] + x, box["y"] + y)
    assert shown.data("side") == 0
    for _ in range(6):
        page.mouse.wheel(0, -120)
    expect(page.locator(".map-canvas")).to_have_attribute("data-side", re.compile("[1-9]"))
    assert shown.data("zoom") > 3
    expect(page).to_have_url(re.compile(r"zoom=\d"))
    page.wait_for_timeout(1000)
    # The place under the pointer has stayed there, and shows its pictures now.
    assert shown.share(GREENS[3], around=(x, y), reach=30) > 0.3
    shown.visit.tidy()


def test_dragging_and_the_address_are_one(browser: Browser, large: Server) -> None:
    shown = open_map(browser, large, "&x=0.5&y=0.5&zoom=2")
    page = shown.page
    before = page.evaluate("history.length")
    box = page.locator(".map-canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 300, box["y"] + 300)
    page.mouse.down()
    page.mouse.move(box["x"] + 350, box["y"] + 320)
    page.mouse.move(box["x"] + 400, box["y"] + 340)
    page.mouse.up()
    expect(page).not_to_have_url(re.compile("x=0.5&"))
    found = re.search(r"x=([\d.]+)&y=([\d.]+)&zoom=2", page.url)
    assert found
    unit = min(box["width"], box["height"]) * 0.9 * 2
    assert float(found[1]) == pytest.approx(0.5 - 100 / unit, abs=0.01)
    assert float(found[2]) == pytest.approx(0.5 - 40 / unit, abs=0.01)
    assert page.evaluate("history.length") == before
    other = open_map(browser, large, "&" + page.url.partition("&")[2])
    assert other.data("zoom") == 2
    # Thumbnails come a little later; then both show the same.
    until = time.monotonic() + 60
    while len(other.pixels()) != pytest.approx(len(shown.pixels()), rel=0.01):
        assert time.monotonic() < until
        page.wait_for_timeout(200)
    other.visit.tidy()
    shown.visit.tidy()


def test_without_a_mouse(browser: Browser, large: Server) -> None:
    shown = open_map(browser, large)
    page = shown.page
    canvas = page.locator(".map-canvas")
    expect(canvas).to_have_attribute("aria-label", "Map of the gallery")
    canvas.focus()
    page.keyboard.press("ArrowRight")
    card = page.locator(".map-card")
    expect(card).to_be_visible()
    first = card.locator(".map-key").inner_text()
    expect(page.locator("#said")).to_contain_text(first)
    expect(page.locator("#said")).to_contain_text("group")
    page.keyboard.press("ArrowLeft")
    expect(card.locator(".map-key")).not_to_have_text(first)
    second = card.locator(".map-key").inner_text()
    assert shown.at(second)[0] < shown.at(first)[0]
    page.keyboard.press("+")
    page.keyboard.press("+")
    expect(canvas).to_have_attribute("data-zoom", "2.56")
    page.keyboard.press("Shift+ArrowDown")
    expect(page).to_have_url(re.compile("zoom=2.56"))
    page.keyboard.press("0")
    expect(canvas).to_have_attribute("data-zoom", "1.00")
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    page.keyboard.press("ArrowUp")
    third = card.locator(".map-key").inner_text()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"key={third}"))
    expect(page.locator(".map-asked")).to_contain_text(third)
    shown.visit.tidy()


def test_pointing_shows_a_card_and_clicking_holds_it(browser: Browser, large: Server) -> None:
    shown = open_map(browser, large, "&x=0.5&y=0.5&zoom=1")
    page = shown.page
    box = page.locator(".map-canvas").bounding_box()
    assert box is not None
    lone = middle_of(shown, 1)
    x, y = shown.at(lone)
    card = page.locator(".map-card")
    page.mouse.move(box["x"] + x, box["y"] + y)
    expect(card).to_be_visible()
    expect(card.locator("strong")).to_have_text("group 1")
    page.mouse.move(box["x"] + 3, box["y"] + box["height"] - 3)
    expect(card).to_be_hidden()
    page.mouse.click(box["x"] + x, box["y"] + y)
    page.mouse.move(box["x"] + 3, box["y"] + box["height"] - 3)
    expect(card).to_be_visible()
    key = card.locator(".map-key").inner_text()
    assert card.locator("img").evaluate("i => i.decode().then(() => i.naturalWidth)") == 32
    card.get_by_role("button", name="Search from this").click()
    expect(page).to_have_url(re.compile(f"view=map.*key={key}|key={key}.*view=map"))
    shown.visit.tidy()


def test_the_query_and_its_nearest_are_lit(browser: Browser, large: Server) -> None:
    key = "k000004"
    shown = open_map(browser, large, f"&key={key}")
    page = shown.page
    expect(page.locator(".map-canvas")).to_have_attribute("data-lit", "9")
    expect(page.locator(".map-asked")).to_contain_text(f"{key} and its nearest")
    page.wait_for_timeout(1000)
    assert shown.share(GREENS[4]) > 0.001
    accent = tuple(map(int, re.findall(r"\d+", shown.page.locator(".map-canvas").evaluate(
        "c => getComputedStyle(c).caretColor"))))  # fmt: skip
    assert shown.share(accent) > 0.0005
    # All others are dimmed: no class has its full colour but on the edges of the nearest. (The
    # accent is much like the first colour.)
    others = [label for label, name in enumerate(shown.map["labels"]) if label and name[-1] != "4"]
    assert len(others) >= 3
    assert {label: shown.share(rgb(PALETTE["light"][label])) < 0.002 for label in others} == (
        dict.fromkeys(others, True)
    )
    page.get_by_role("button", name="Search for nothing").click()
    expect(page.locator(".map-asked")).to_be_hidden()
    assert "key=" not in page.url
    page.go_back()
    expect(page.locator(".map-canvas")).to_have_attribute("data-lit", "9")
    page.get_by_role("button", name="Show as a list").click()
    expect(page.locator(".tile[data-key]").first).to_have_attribute("data-key", key)
    shown.visit.tidy()


def test_a_dropped_picture_has_its_place(browser: Browser, large: Server) -> None:
    visit = open_page(browser, large.url, reduced_motion="reduce")
    choose(visit.page, file(encode(plain((10, 200, 90))), "leaf.png"))
    expect(visit.page.locator(".tile[data-key]").first).to_be_visible()
    visit.page.locator('#views [data-view="map"]').click()
    expect(visit.page.locator(".map-asked")).to_contain_text("leaf.png and its nearest")
    expect(visit.page.locator(".map-canvas")).to_have_attribute("data-lit", "10")
    visit.tidy()


def test_while_it_is_made_the_page_says_how_far(browser: Browser, large: Server) -> None:
    page = browser.new_page()
    page.set_default_timeout(60_000)
    answers = [{"status": "building", "done": done, "of": 100} for done in (10, 60)]

    def answer(route: Any) -> None:
        if answers:
            route.fulfill(status=202, json=answers[0])
        else:
            route.continue_()

    page.route("**/v1/map", answer)
    page.goto(f"{large.url}/?view=map")
    expect(page.locator(".map-wait")).to_contain_text("The map is being made")
    expect(page.locator(".map-wait")).to_contain_text("10%")
    answers.pop(0)
    expect(page.locator(".map-wait")).to_contain_text("60%")
    answers.pop(0)
    expect(page.locator(".map-wait")).to_be_hidden()
    expect(page.locator("#said")).to_have_text("The map is ready")
    expect(page.locator(".map-legend li")).to_have_count(GROUPS)


def test_a_map_that_cannot_be_made_is_explained(browser: Browser, large: Server) -> None:
    page = browser.new_page()
    page.set_default_timeout(60_000)
    failed = {"error": {"code": "map_failed", "message": "No.", "hint": ""}}
    page.route("**/v1/map", lambda route: route.fulfill(status=503, json=failed))
    page.goto(f"{large.url}/?view=map")
    expect(page.locator(".map .problem")).to_contain_text("The map could not be made")
    page.unroute("**/v1/map")
    page.locator(".map .problem").get_by_role("button", name="Try again").click()
    expect(page.locator(".map-canvas[data-zoom]")).to_be_visible()
    expect(page.locator(".map .problem")).to_be_hidden()


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_pictures(browser: Browser, tmp_path: Path, count: int) -> None:
    path = make_gallery(tmp_path, count)
    with Gallery.open(path) as gallery:
        make_map(gallery)
    with running(path) as server:
        shown = open_map(browser, server) if count else None
        if shown is None:
            visit = open_page_at(browser, f"{server.url}/?view=map")
            expect(visit.page.locator(".map-count")).to_have_text("0 pictures.")
            visit.tidy()
            return
        shown.page.locator(".map-canvas").focus()
        shown.page.keyboard.press("ArrowRight")
        expect(shown.page.locator(".map-card")).to_contain_text(key_of(0))
        shown.page.keyboard.press("+")
        expect(shown.page.locator(".map-classes")).to_be_hidden()
        shown.page.wait_for_timeout(1000)
        assert len(np.unique(shown.pixels(), axis=0)) > 50  # the picture itself
        shown.visit.tidy()


def test_on_a_phone_two_fingers_zoom(browser: Browser, large: Server) -> None:
    shown = open_map(
        browser, large, viewport={"width": 320, "height": 640}, has_touch=True, is_mobile=True,
        device_scale_factor=2,
    )  # fmt: skip
    page = shown.page
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) == 320
    box = page.locator(".map-canvas").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    devtools = page.context.new_cdp_session(page)

    def touch(kind: str, apart: float) -> None:
        points = [{"x": x - apart, "y": y, "id": 1}, {"x": x + apart, "y": y, "id": 2}]
        devtools.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [] if kind == "touchEnd" else points},
        )

    touch("touchStart", 20)
    for apart in (30, 40, 60):
        touch("touchMove", apart)
    touch("touchEnd", 60)
    expect(page.locator(".map-canvas")).to_have_attribute("data-zoom", re.compile(r"^[2-4]\."))
    assert page.evaluate("visualViewport.scale") == 1
    assert page.evaluate(wide) == 320
    shown.visit.tidy()


def test_dark_has_its_own_colours(browser: Browser, large: Server) -> None:
    shown = open_map(browser, large)
    label = shown.map["labels"].index("group 0")
    light, dark = (rgb(PALETTE[theme][label]) for theme in ("light", "dark"))
    assert shown.share(light) > 0.05
    while shown.page.evaluate("document.documentElement.dataset.theme") != "dark":
        shown.page.locator("#theme").click()
    shown.page.wait_for_timeout(300)
    assert shown.share(dark) > 0.05
    assert shown.share(light) < 0.01
    shown.visit.tidy()


def test_the_map_speaks_portuguese(browser: Browser, server: Server, gallery: Path) -> None:
    with Gallery.open(gallery) as opened:
        make_map(opened)
    shown = open_map(browser, server, "&lang=pt")
    expect(shown.page.locator(".map-count")).to_contain_text("40 imagens.")
    expect(shown.page.get_by_role("button", name="Ampliar")).to_be_visible()
    shown.page.get_by_role("button", name="EN: English").click()
    expect(shown.page.locator(".map-count")).to_contain_text("40 pictures.")
    expect(shown.page.get_by_role("button", name="Zoom in")).to_be_visible()
    shown.visit.tidy()


def test_the_palette_is_the_reports() -> None:
    text = (Path(__file__).parents[2] / "src/vizinho/page/map-draw.js").read_text()
    for theme, colours in PALETTE.items():
        assert f'{theme}: "{" ".join(colours)}"' in text


def test_a_picture_found_is_on_the_map_under_its_own_key(browser: Browser, server: Server) -> None:
    at = server.client.post("/v1/map/place", files={"image": ("a.png", picture(7))})
    if at.status_code == 503:
        pytest.fail("the map was made by the test before")
    shown = open_map(browser, server, f"&key={key_of(7)}")
    number = shown.map["keys"].index(key_of(7))
    assert at.json()["x"] == pytest.approx(shown.map["x"][number], abs=8)
    expect(shown.page.locator(".map-canvas")).to_have_attribute("data-lit", "9")
    shown.visit.tidy()
