"""A gallery in which every view of the page has something to show, and pictures to ask it with."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from toy_explained import make_explained_bundle
from toys import encode
from vizinho.gallery import Gallery, NewImage
from vizinho.gallery.calibrating import calibrate_gallery

KINDS = {"azulejo": (60, 90, 190), "céu": (80, 110, 200), "telhado": (190, 80, 50)}
"""Mean colours; the first two overlap, so that chances are other than 0 and 1."""
EACH = 40
TWICE = f"azulejo/{0:03d}.png"
"""The picture that is there three times: itself, in another format, and shrunk as a JPEG."""


def textured(colour: tuple[int, int, int], seed: int, side: int = 64) -> Image.Image:
    """A picture whose mean is near ``colour``, with blots of its own: no two look alike."""
    rng = np.random.default_rng([seed, *colour])
    blots = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    grown = np.asarray(blots.resize((side, side), Image.Resampling.BICUBIC), np.float32)
    shade = np.asarray(colour) + rng.normal(0, 10, 3)
    return Image.fromarray(
        np.clip(shade + 0.35 * (grown - grown.mean((0, 1))), 0, 255).astype(np.uint8)
    )


def of_kind(kind: str, number: int) -> bytes:
    """The encoded picture behind the key ``KIND/NUMBER.png``, and those beyond the gallery's."""
    return encode(textured(KINDS[kind], number))


def stranger() -> bytes:
    """A picture of no kind: nothing in the gallery is like it."""
    return encode(textured((20, 240, 20), 1))


def make_showcase(folder: Path) -> Path:
    """``folder/showcase.vizinho``: three labels, calibrated, explainable, with duplicates."""
    path = folder / "showcase.vizinho"
    first = textured(KINDS["azulejo"], 0)
    small = io.BytesIO()
    first.resize((48, 48), Image.Resampling.LANCZOS).save(small, "JPEG", quality=80)
    items = [
        NewImage(of_kind(kind, number), key=f"{kind}/{number:03d}.png", label=kind, store=True)
        for kind in KINDS
        for number in range(EACH)
    ]
    items += [
        NewImage(encode(first, "BMP"), key="azulejo/again.bmp", label="azulejo", store=True),
        NewImage(small.getvalue(), key="azulejo/small.jpg", label=None, store=True),
    ]
    with Gallery.create(path, model=make_explained_bundle(folder)) as gallery:
        report = gallery.add(items)
        assert report.added == len(items), report
        calibrate_gallery(gallery)
    return path
