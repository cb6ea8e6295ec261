"""A gallery whose pictures, by their vectors, are in clear groups: what a map should show."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from toys import TOY_DIMENSION
from vizinho.engines import Row
from vizinho.gallery import Gallery

GROUPS = 5


def grouped(count: int, seed: int = 0) -> np.ndarray:
    """Vectors [count, 12], number n in group n % GROUPS."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(0, 6, (GROUPS, TOY_DIMENSION))
    numbers = np.arange(count) % GROUPS
    return (centres[numbers] + rng.normal(size=(count, TOY_DIMENSION))).astype(np.float32)


def rows(count: int, start: int = 0) -> list[Row]:
    numbers = range(start, start + count)
    return [Row(f"k{n:06d}", f"/images/{n}", f"{n:064x}", f"group {n % GROUPS}") for n in numbers]


def grouped_gallery(path: Path, model: Path, count: int) -> Gallery:
    """Rows without pictures, as large as wanted in no time."""
    gallery = Gallery.create(path, model=model)
    gallery.engine.add(rows(count), grouped(count))
    return gallery
