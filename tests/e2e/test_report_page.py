"""The report in a real browser: its map, its accessibility, its width."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from browsing import NEEDS_CHROMIUM
from toys import make_toy_bundle, plain
from vizinho.datasets import load_dataset
from vizinho.embedder import Embedder
from vizinho.evaluate import evaluate_bundle
from vizinho.report import write_report

pytestmark = NEEDS_CHROMIUM

TWIST = "</script><b>red"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifteen pictures of each of three colours, one of them misfiled; a class named nastily."""
    root = tmp_path_factory.mktemp("report")
    pixels = []
    for i in range(15):
        for name, colour in (
            ("blue", (0, 0, 100 + 9 * i)),
            ("绿", (0, 100 + 9 * i, 0)),
            (TWIST, (100 + 9 * i, 0, 0)),
        ):
            pixels.append((name, colour))
    pixels.append(("blue", (150, 0, 0)))
    rows = ["path,label"]
    for number, (name, colour) in enumerate(pixels):
        plain(colour).save(root / f"{number:02}.png")
        rows.append(f'{number:02}.png,"{name}"')
    (root / "set.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    dataset = load_dataset(str(root / "set.csv"))
    measured = evaluate_bundle(Embedder.open(make_toy_bundle(root)), dataset)
    return write_report(measured, root / "out")


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    """The report, open; nothing may complain, and nothing may be asked of another place."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.set_default_timeout(60_000)
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda request: (
            complaints.append(request.url)
            if not request.url.startswith(("file:", "data:"))
            else None
        ),
    )
    page.goto(report.as_uri())
    expect(page.locator("#map-legend label")).to_have_count(3)
    yield page
    assert complaints == []
    page.close()


def marks(page: Page) -> int:
    """Pixels of the map that are painted."""
    page.wait_for_timeout(100)
    painted: int = page.evaluate(
        """() => {
            const canvas = document.getElementById("map-canvas");
            const copy = new OffscreenCanvas(canvas.width, canvas.height);
            const context = copy.getContext("2d", { willReadFrequently: true });
            context.drawImage(canvas, 0, 0);
            const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
            let painted = 0;
            for (let i = 3; i < data.length; i += 4) painted += data[i] > 0;
            return painted;
        }"""
    )
    return painted


def zoom(page: Page) -> float:
    return float(page.locator("#map-canvas").get_attribute("data-zoom") or "nan")


def test_the_map_draws_and_its_classes_can_be_toggled(page: Page) -> None:
    everything = marks(page)
    assert everything > 46 * 10
    expect(page.locator("#map-legend label")).to_have_text(
        [TWIST, "blue", "绿"], use_inner_text=True
    )
    page.get_by_label("blue").uncheck()
    assert 0 < marks(page) < everything * 0.8
    page.get_by_role("button", name="none").click()
    assert marks(page) == 0
    page.get_by_role("button", name="all", exact=True).click()
    assert marks(page) == everything
    page.get_by_label("only those whose nearest is of another class").check()
    assert 0 < marks(page) < everything / 10
    page.get_by_label("only those").uncheck()
    page.get_by_label("Show as").select_option("pictures")
    assert marks(page) > everything * 2


def test_the_map_zooms_by_button_key_and_wheel_and_comes_back(page: Page) -> None:
    canvas = page.locator("#map-canvas")
    page.get_by_role("button", name="Zoom in").click()
    assert zoom(page) == 1.5
    canvas.focus()
    page.keyboard.press("+")
    assert zoom(page) == 2.25
    canvas.hover(position={"x": 200, "y": 200})
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(300)
    assert zoom(page) > 2.5
    page.keyboard.press("0")
    assert zoom(page) == 1.0
    # Without focus the wheel belongs to the page.
    page.locator("#map-show").focus()
    canvas.hover(position={"x": 200, "y": 200})
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(300)
    assert zoom(page) == 1.0


def test_pointing_at_a_mark_names_its_picture(page: Page) -> None:
    place: dict[str, Any] = page.evaluate(
        """() => {
            const data = JSON.parse(document.getElementById("map-data").textContent);
            const canvas = document.getElementById("map-canvas");
            const [width, height] = [canvas.clientWidth, canvas.clientHeight];
            const unit = Math.min(width, height) * 0.94;
            const i = 7;
            return { x: (data.x[i] / 10000 - 0.5) * unit + width / 2,
                     y: (data.y[i] / 10000 - 0.5) * unit + height / 2,
                     names: data.name };
        }"""
    )
    expect(page.locator("#map-card")).to_be_hidden()
    page.locator("#map-canvas").hover(position={"x": place["x"], "y": place["y"]})
    expect(page.locator("#map-card")).to_be_visible()
    shown = page.locator("#map-name").inner_text()
    assert shown in place["names"]
    expect(page.locator("#map-class")).to_have_text(
        {0: "blue", 1: "绿", 2: TWIST}[int(shown[:2]) % 3]
    )
    expect(page.locator("#map-near")).to_contain_text(" at 0.")


def test_arrows_go_from_picture_to_picture(page: Page) -> None:
    page.locator("#map-canvas").focus()
    page.keyboard.press("ArrowRight")
    first = page.locator("#map-name").inner_text()
    for key in ("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"):
        page.keyboard.press(key)
    assert page.locator("#map-name").inner_text().endswith(".png")
    page.keyboard.press("ArrowUp")
    assert page.locator("#map-name").inner_text() != first or zoom(page) == 1.0
    page.keyboard.press("Escape")
    expect(page.locator("#map-card")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_has_no_barrier_and_fits_a_phone(
    browser: Browser, report: Path, scheme: Any
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    for width in (1200, 320):
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        page.goto(report.as_uri())
        expect(page.locator("#map-legend label")).to_have_count(3)
        assert page.evaluate("() => document.documentElement.scrollWidth") == width
        found = axe.Axe().run(page)
        assert [each["id"] for each in found.response["violations"]] == []
        page.close()
