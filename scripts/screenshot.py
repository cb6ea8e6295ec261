"""Pictures of the page for the README: ``docs/images/page.png`` and ``page-phone.png``.

A server must be running (``make demo``)::

    python scripts/screenshot.py http://127.0.0.1:8000 --key test/00012.png

Needs playwright and Debian's chromium.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from playwright.sync_api import Browser, ViewportSize, expect, sync_playwright

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
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 360, "height": 800}


def shoot(
    browser: Browser,
    url: str,
    path: Path,
    size: ViewportSize,
    *,
    picture: bytes | None,
    scheme: str = "light",
    scale: float = 1,
) -> None:
    """Search for ``picture`` (or for nothing) and save what is seen as ``path``."""
    page = browser.new_page(
        viewport=size,
        color_scheme="dark" if scheme == "dark" else "light",
        device_scale_factor=scale,
        reduced_motion="reduce",
    )
    page.goto(url)
    expect(page.locator(".sample:enabled").first).to_be_visible()
    if picture is not None:
        chosen = {"name": "my-picture.png", "mimeType": "image/png", "buffer": picture}
        page.locator("#file").set_input_files(chosen)  # type: ignore[arg-type]
        expect(page.locator("#status")).to_contain_text("found")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(200)
    page.screenshot(path=path)
    page.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("url", nargs="?", default="http://127.0.0.1:8000")
    parser.add_argument("--key", default="test/00012.png", help="the picture to search with")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--all", action="store_true", help="also dark, and before a search")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        answer = browser.new_context().request.get(f"{given.url}/images/{given.key}")
        if not answer.ok:
            raise SystemExit(f"{given.url} has no picture {given.key}.")
        picture = answer.body()
        shoot(browser, given.url, given.out / "page.png", DESKTOP, picture=picture)
        shoot(browser, given.url, given.out / "page-phone.png", PHONE, picture=picture, scale=2)
        if given.all:
            for name, size in (("page", DESKTOP), ("page-phone", PHONE)):
                for scheme in ("light", "dark"):
                    path = given.out / f"{name}-{scheme}-empty.png"
                    shoot(browser, given.url, path, size, picture=None, scheme=scheme)
                path = given.out / f"{name}-dark.png"
                shoot(browser, given.url, path, size, picture=picture, scheme="dark")
        browser.close()


if __name__ == "__main__":
    main()
