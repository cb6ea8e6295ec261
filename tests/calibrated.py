"""A gallery with labels whose toy model gets a calibration fitted to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from toys import encode, make_toy_bundle
from vizinho.gallery import Gallery, NewImage

KINDS = {"brick": (150, 70, 60), "clay": (165, 85, 70), "moss": (60, 140, 60)}
EACH = 60


def shade(kind: str, seed: int) -> bytes:
    """A picture of a kind: its colour, a little off; brick and clay overlap."""
    rng = np.random.default_rng([seed, *KINDS[kind]])
    colour = np.clip(rng.normal(KINDS[kind], 9), 0, 255).astype(int)
    return encode(Image.new("RGB", (32, 32), tuple(colour.tolist())))


def stranger() -> bytes:
    """A picture of no kind."""
    return encode(Image.new("RGB", (32, 32), (20, 40, 250)))


def make_labelled_gallery(folder: Path, *, calibrated: bool = True) -> Path:
    """``folder/kinds.vizinho``: 60 pictures of each kind."""
    path = folder / "kinds.vizinho"
    with Gallery.create(path, model=make_toy_bundle(folder)) as gallery:
        gallery.add(
            NewImage(shade(kind, number), key=f"{kind}/{number}.png", label=kind)
            for kind in KINDS
            for number in range(EACH)
        )
        if calibrated:
            from vizinho.gallery.calibrating import calibrate_gallery

            calibrate_gallery(gallery)
    return path
