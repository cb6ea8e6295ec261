"""The page's gallery view in a real browser, over a server that may be written to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect

from browsing import Visit, heard
from serving import Server
from vizinho.gallery import Gallery

READY = {
    "": ".pick",
    "add": ".zone",
    "duplicates": ".group",
    "feedback": ".given",
}
"""What is there when a part of the view has loaded."""


def open_care(browser: Browser, server: Server, part: str = "", **context: Any) -> Visit:
    """A part of the gallery view, loaded."""
    set_up = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB"}
    page = browser.new_page(**(set_up | context))
    visit = heard(page, server.url)
    page.goto(f"{server.url}/?view=care" + (f"&part={part}" if part else ""))
    # Looking for duplicates yields to whatever else this machine does.
    expect(page.locator(READY[part]).first).to_be_attached(timeout=240_000)
    return visit


def picked(page: Page) -> list[str]:
    """Keys of the pictures that are shown and not on their way out."""
    found = page.locator(".pick:not(.going)").evaluate_all("all => all.map((li) => li.dataset.key)")
    return [str(each) for each in found]


def box(page: Page, key: str) -> Locator:
    """The box that chooses a picture."""
    return page.locator(f'.pick input[value="{key}"]')


def keys_in(path: Path) -> set[str]:
    """What the gallery holds, asked of its files."""
    with Gallery.open(path) as gallery:
        return {row.key for row in gallery.items(0, 1000)}


def fits(page: Page) -> None:
    """Nothing is wider than the window."""
    wide = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide[0] <= wide[1]
