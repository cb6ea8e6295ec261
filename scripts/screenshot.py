"""Pictures of every view of the page, for the README and the docs: ``docs/images/page*.png``.

``make screenshots`` does it all: it indexes CIFAR-10's test images into ``build/``, serves them and
takes the pictures. Needs playwright and Debian's chromium; ``--only NAME`` takes some of them.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, ViewportSize, expect, sync_playwright

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
PHONE: ViewportSize = {"width": 390, "height": 844}
PATIENCE = 300
LARGEST = 250_000
"""Bytes above which a picture is brought down to 256 colours."""

TRUCK = "test/00012.png"
CAT = "test/00003.png"

Steps = Callable[[Page, str], None]


@dataclass(frozen=True)
class Shot:
    """One picture: an address under the server, and what is done there before it is taken."""

    name: str
    address: str
    steps: Steps | None = None
    phone: bool = False
    dark: bool = False


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return bytes(answer.read())


def of_gallery(url: str, *keys: str) -> list[FilePayload]:
    """Pictures of the gallery, as files of somebody."""
    return [
        {
            "name": f"my-picture-{n}.png",
            "mimeType": "image/png",
            "buffer": fetched(f"{url}/images/{key}"),
        }
        for n, key in enumerate(keys, 1)
    ]


def noise() -> bytes:
    """A picture that no gallery of things has."""
    side = 256
    picture = Image.effect_mandelbrot((side, side), (-2.2, -1.4, 0.8, 1.4), 90).convert("RGB")
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def upload(page: Page, url: str) -> None:
    page.locator("#file").set_input_files(of_gallery(url, TRUCK))
    expect(page.locator(".tile[data-key]").first).to_be_visible()


def plus_and_minus(page: Page, url: str) -> None:
    for number, act in ((2, "plus"), (9, "minus")):
        page.locator(".tile[data-key]").nth(number).locator(f".act-{act}").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#chips .chip")).to_have_count(2 if act == "plus" else 3)
        expect(page.locator("#grid")).to_have_attribute("aria-busy", "false")


def stranger(page: Page, url: str) -> None:
    page.locator("#file").set_input_files(
        {"name": "fractal.png", "mimeType": "image/png", "buffer": noise()}
    )
    expect(page.locator("#grid.guesses")).to_be_visible()


def enlarge(page: Page, url: str) -> None:
    page.locator(".tile[data-key]").nth(2).locator(".open").click()
    expect(page.locator("dialog .compare-seen").first).to_be_visible()


def map_is_there(page: Page, url: str) -> None:
    expect(page.locator(".map-wait")).to_be_hidden(timeout=PATIENCE * 1000)
    expect(page.locator(".map-legend li").first).to_be_visible(timeout=PATIENCE * 1000)


def choose_some(page: Page, url: str) -> None:
    for number in (1, 2, 7):
        page.locator(".pick input").nth(number).check()


def add_some(page: Page, url: str) -> None:
    files = of_gallery(url, CAT, TRUCK)
    files.append({"name": "notes.png", "mimeType": "image/png", "buffer": b"words, not pixels"})
    page.locator("#add-files").set_input_files(files)
    expect(page.locator(".skips details").first).to_be_visible()


def groups_are_there(page: Page, url: str) -> None:
    expect(page.locator(".group").first).to_be_visible(timeout=PATIENCE * 1000)


SHOTS = (
    Shot("page", "?lang=en", upload),
    Shot("page-phone", "?lang=en", upload, phone=True),
    Shot("page-dark", "?lang=pt", upload, dark=True),
    Shot("page-start", "?lang=en"),
    Shot("page-start-phone", "?lang=pt", None, phone=True, dark=True),
    Shot("page-several", f"?lang=en&key={TRUCK}", plus_and_minus),
    Shot("page-crop", f"?lang=en&key={CAT}&crop=0.2,0.15,0.85,0.7"),
    Shot("page-nothing", "?lang=en", stranger),
    Shot("page-compare", f"?lang=en&key={TRUCK}", enlarge),
    Shot("page-compare-phone", f"?lang=en&key={TRUCK}", enlarge, phone=True),
    Shot("page-map", "?lang=en&view=map", map_is_there),
    Shot("page-map-query", f"?lang=en&view=map&key={TRUCK}", map_is_there, dark=True),
    Shot("page-map-phone", f"?lang=en&view=map&key={TRUCK}", map_is_there, phone=True),
    Shot("page-care", "?lang=en&view=care", choose_some),
    Shot("page-care-phone", "?lang=pt&view=care", choose_some, phone=True),
    Shot("page-add", "?lang=en&view=care&part=add", add_some),
    Shot("page-duplicates", "?lang=en&view=care&part=duplicates", groups_are_there),
)


def saved(png: bytes, path: Path) -> int:
    """Writes a picture as small as it goes without looking worse; its bytes."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.save(path, optimize=True)
    if path.stat().st_size > LARGEST:
        picture.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    return path.stat().st_size


def take(browser: Browser, url: str, shot: Shot, folder: Path) -> int:
    context = browser.new_context(
        viewport=PHONE if shot.phone else DESKTOP,
        color_scheme="dark" if shot.dark else "light",
        device_scale_factor=2 if shot.phone else 1,
        reduced_motion="reduce",
        has_touch=shot.phone,
        is_mobile=shot.phone,
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    page.goto(f"{url}/{shot.address}")
    expect(page.locator("html.ready")).to_be_attached()
    page.wait_for_load_state("networkidle")
    if shot.steps:
        shot.steps(page, url)
    page.mouse.move(0, 0)  # nothing is pointed at
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(500)
    size = saved(page.screenshot(), folder / f"{shot.name}.png")
    context.close()
    return size


@contextmanager
def serving(gallery: Path) -> Iterator[str]:
    """A server of a copy of the gallery, which the pictures may change; its address."""
    copy = gallery.with_name(f"shown-{gallery.name}")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(gallery, copy)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vizinho", "serve", "-g", str(copy), "--writable"]
    process = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(PATIENCE):
            try:
                fetched(f"{url}/health")
                break
            except (urllib.error.URLError, ConnectionError):
                if process.poll() is not None:
                    raise SystemExit("The server did not start.") from None
                time.sleep(1)
        yield url
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(copy, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--gallery", type=Path, required=True, help="a gallery of cifar10:test")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--only", default="", metavar="REGEX", help="names of pictures to take")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with serving(given.gallery) as url, sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE * 1000)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for shot in SHOTS:
            if re.search(given.only, shot.name):
                size = take(browser, url, shot, given.out)
                sys.stdout.write(f"{given.out / shot.name}.png  {size:,} bytes\n")
        browser.close()


if __name__ == "__main__":
    main()
