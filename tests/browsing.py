"""Driving the page in a real browser: what its tests share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, FilePayload, Locator, Page, Request, expect

from serving import key_of

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

NEEDS_CHROMIUM = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not Path(CHROMIUM).exists(),
        reason=f"there is no Chromium at {CHROMIUM} (apt-get install chromium)",
    ),
]


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


SHOWN = 20
"""Results that the page shows at first."""


def heard(page: Page, url: str) -> Visit:
    """A visit of the server at ``url`` that hears what the page says and asks for."""
    page.set_default_timeout(60_000)
    visit = Visit(page, url)
    page.on(
        "console",
        lambda said: visit.complaints.append(said.text) if said.type in ("error", "warning") else 0,
    )
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on("request", lambda request: visit.requests.append(request))
    return visit


def open_page(browser: Browser, url: str, path: str = "", **context: Any) -> Visit:
    """The page, ready to be asked; ``path`` (a query string) may ask it right away."""
    set_up = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB"}
    page = browser.new_page(**(set_up | context))
    visit = heard(page, url)
    page.goto(url + path)
    ready = page.locator(".sample:enabled, .tile[data-key]").locator("visible=true")
    expect(ready.first).to_be_visible()
    return visit


def file(data: bytes, name: str = "mine.png", kind: str = "image/png") -> FilePayload:
    return {"name": name, "mimeType": kind, "buffer": data}


def choose(page: Page, payload: FilePayload) -> None:
    page.locator("#file").set_input_files(payload)


def tiles(page: Page) -> Locator:
    """The results; places that wait for theirs are not among them."""
    return page.locator(".tile[data-key]")


def keys(page: Page) -> list[str]:
    return [str(each) for each in tiles(page).evaluate_all("all => all.map((t) => t.dataset.key)")]


def distances(page: Page) -> list[float]:
    return [float(text) for text in tiles(page).locator(".distance").all_inner_texts()]


def found_itself(page: Page, number: int) -> None:
    """Twenty results in ascending distance, the picture itself first at 0.00, all loaded."""
    expect(page.locator("#status")).to_contain_text("at 0.00")
    expect(tiles(page)).to_have_count(SHOWN)
    shown = distances(page)
    assert shown == sorted(shown)
    assert shown[0] == 0.0 < shown[1]
    first = tiles(page).first
    expect(first).to_have_attribute("title", key_of(number))
    expect(first.locator(".distance")).to_have_text("0.00")
    for image in tiles(page).locator(".frame img").all():
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 32
        assert image.get_attribute("alt")


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
