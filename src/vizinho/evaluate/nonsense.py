"""Pictures of nothing, made here: noise, flat colours, textures. The same for the same seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def noise(count: int, size: int, seed: int = 0) -> Pixels:
    """uint8 [N, size, size, 3], every number drawn by itself."""
    return np.random.default_rng([seed, 0]).integers(0, 256, (count, size, size, 3), np.uint8)


def flat(count: int, size: int, seed: int = 0) -> Pixels:
    """Each picture one colour."""
    colours = np.random.default_rng([seed, 1]).integers(0, 256, (count, 1, 1, 3), np.uint8)
    return np.broadcast_to(colours, (count, size, size, 3)).copy()


def textures(count: int, size: int, seed: int = 0) -> Pixels:
    """Stripes, checks and waves in two colours, of any width and direction."""
    rng = np.random.default_rng([seed, 2])
    down, across = np.mgrid[0:size, 0:size] / size
    made = np.empty((count, size, size, 3), np.uint8)
    for each in made:
        angle, start = rng.uniform(0, 2 * np.pi, 2)
        pace = 2 * np.pi * rng.uniform(1.5, size / 4)
        along = pace * (np.cos(angle) * across + np.sin(angle) * down) + start
        aside = pace * (np.cos(angle) * down - np.sin(angle) * across)
        kind = int(rng.integers(3))
        mix = np.sin(along) if kind == 2 else np.sign(np.sin(along))
        if kind == 1:
            mix = mix * np.sign(np.sin(aside))
        share = ((mix + 1) / 2)[..., None]
        one, other = rng.integers(0, 256, (2, 3))
        each[:] = (share * one + (1 - share) * other).round().astype(np.uint8)
    return made


MAKERS: dict[str, Callable[[int, int], Pixels]] = {
    "noise": noise,
    "flat colours": flat,
    "textures": textures,
}
