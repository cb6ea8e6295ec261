"""How long does a frame of the map take? ``python benchmarks/map_frames.py``

A gallery of made-up clusters, 64 numbers each, its map, a server and headless Chromium without a
GPU: everything is drawn by the processor, which a desktop does not have to. Of each of 10,000 and
100,000 points, at 1280 x 900 and at two pixels a point, moved and zoomed at each frame:

- ``draw_ms`` is what the page's own code takes in a frame (60 frames a second leave 16.7);
- ``frame_ms`` is from one frame to the next, with the browser's software compositing.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import common

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run"]
GROUPS = 10
# Each frame: the real frame's time, then a step that changes what is seen.
MOVE = """async ([frames, kind]) => {
  const canvas = document.querySelector(".map-canvas");
  const steps = {
    pan: (n) => new KeyboardEvent("keydown",
      {key: n % 6 < 3 ? "ArrowLeft" : "ArrowRight", shiftKey: true, bubbles: true}),
    zoom: (n) => new WheelEvent("wheel",
      {deltaY: n % 40 < 20 ? -10 : 10, clientX: 500, clientY: 450, cancelable: true}),
  };
  const next = () => new Promise((done) => window.realFrame(done));
  const apart = [];
  window.drawn.length = 0;
  let last = await next();
  for (let n = 0; n < frames; n += 1) {
    canvas.dispatchEvent(steps[kind](n));
    const now = await next();
    apart.push(now - last);
    last = now;
  }
  return [apart, window.drawn];
}"""
WATCH = """
window.realFrame = window.requestAnimationFrame.bind(window);
window.drawn = [];
window.requestAnimationFrame = (fn) => window.realFrame((now) => {
  const start = performance.now();
  fn(now);
  window.drawn.push(performance.now() - start);
});
"""


def make_gallery(path: Path, count: int) -> float:
    """A gallery of rows without pictures; seconds that its map takes."""
    import time

    from vizinho.engines import Row
    from vizinho.gallery import Gallery
    from vizinho.gallery.mapping import make_map

    rng = np.random.default_rng(0)
    centres = rng.normal(0, 1, (GROUPS, 64))
    with Gallery.create(path) as gallery:
        for start in range(0, count, 10_000):
            numbers = np.arange(start, min(start + 10_000, count))
            vectors = centres[numbers % GROUPS] + rng.normal(0, 0.25, (len(numbers), 64))
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            rows = [
                Row(f"{n:07d}.png", f"/images/{n}", f"{n:064x}", f"group {n % GROUPS}")
                for n in numbers.tolist()
            ]
            gallery.engine.add(rows, vectors.astype(np.float32))
        begun = time.perf_counter()
        make_map(gallery)
        return time.perf_counter() - begun


@contextmanager
def serving(path: Path) -> Iterator[str]:
    """The address of a server over a gallery."""
    command = [sys.executable, "-m", "vizinho", "serve", "-g", str(path), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = re.search(r"http://[\d.:]+", process.stderr.readline())
        assert found
        try:
            yield found[0]
        finally:
            process.terminate()


def measure(browser: Any, url: str, frames: int, ratio: float) -> dict[str, dict[str, float]]:
    """Milliseconds of drawing and of frames, by what is done."""
    size = {"width": 1280, "height": 900}
    page = browser.new_page(viewport=size, device_scale_factor=ratio, reduced_motion="reduce")
    page.set_default_timeout(300_000)
    page.add_init_script(WATCH)
    page.goto(f"{url}/?view=map")
    page.locator(".map-canvas[data-zoom]").wait_for()
    page.wait_for_timeout(1000)
    figures = {}
    for kind in ("pan", "zoom"):
        page.evaluate(MOVE, [10, kind])
        apart, drawn = page.evaluate(MOVE, [frames, kind])
        figures[kind] = {
            f"{name}_{part}": round(float(np.percentile(times, share)), 2)
            for name, times in (("draw_ms", drawn), ("frame_ms", apart))
            for part, share in (("p50", 50), ("p95", 95))
        }
    page.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only show that it works")
    quick = parser.parse_args().quick
    from playwright.sync_api import sync_playwright

    counts, frames = ((1_000,), 20) if quick else ((10_000, 100_000), 240)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        print("  points ratio       draw p50      p95 frame p50      p95")
        for count in counts:
            path = Path(folder) / f"{count}.vizinho"
            figures[f"map_{count}_seconds"] = round(make_gallery(path, count), 1)
            with serving(path) as url:
                for ratio in (1, 2):
                    found = measure(browser, url, frames, ratio)
                    figures[f"points_{count}_ratio_{ratio}"] = found
                    for kind, each in found.items():
                        values = " ".join(f"{value:>8.1f}" for value in each.values())
                        print(f"{count:>8,} {ratio:>5} {kind:>5} {values}")
        version = browser.version
        browser.close()
    common.last_line("map_frames", frames=frames, chromium=version, gpu="none", **figures)


if __name__ == "__main__":
    main()
