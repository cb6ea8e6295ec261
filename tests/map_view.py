"""The map in a browser: a gallery whose map is known, and what is seen of it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from browsing import Visit, heard
from serving import Server, running
from toy_map import GROUPS, grouped, rows
from toys import encode, make_toy_bundle, plain
from vizinho.blobs import LocalBlobs
from vizinho.gallery import Gallery, layout
from vizinho.gallery.mapping import make_map

COUNT = 1500
GREENS = [(40, 90 + 30 * group, 60) for group in range(GROUPS)]
"""What the pictures of a group show: greens, of which the palette has none so saturated."""


@pytest.fixture(scope="session")
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
    visit = heard(page, url.partition("?")[0].rstrip("/"))
    page.goto(url)
    return visit


def middle_of(shown: Shown, group: int) -> str:
    """The key of the picture nearest to the middle of a group."""
    label = shown.map["labels"].index(f"group {group}")
    its = [i for i, each in enumerate(shown.map["label"]) if each == label]
    places = np.array([(shown.map["x"][i], shown.map["y"][i]) for i in its])
    nearest = np.linalg.norm(places - np.median(places, axis=0), axis=1).argmin()
    return str(shown.map["keys"][its[nearest]])
