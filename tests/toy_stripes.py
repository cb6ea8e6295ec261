"""Three classes of pictures that a tiny network tells apart within a second of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from vizinho.datasets import LabelledImages, load_dataset


def make_stripes(folder: Path, count: int = 40, contrast: float | None = None) -> LabelledImages:
    """``count`` noisy 18 x 18 pictures each of stripes across, stripes down, and rings.

    ``contrast`` is that of all three colours; None draws it for each picture and colour.
    """
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:18, :18]
    for name, wave in {"across": y, "down": x, "rings": np.hypot(x - 9, y - 9)}.items():
        (folder / name).mkdir()
        for i in range(count):
            shape = np.sin(wave * 1.2 + generator.uniform(0, 6))[..., None]
            colour = generator.uniform(30, 100, 3) if contrast is None else contrast
            pixels = 128 + shape * colour + generator.normal(0, 12, (18, 18, 3))
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(folder / name / f"{i:02}.png")
    return load_dataset(str(folder))
