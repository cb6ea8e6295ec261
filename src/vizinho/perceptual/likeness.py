"""Two pictures, pixel by pixel: is one a copy of the other, and what was done to it?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SAME: Final = 0.95
"""The least correlation of a copy with its original, of red, green and blue together.
``benchmarks/duplicates.py`` shows what it costs and what it keeps out."""

AGREE: Final = 0.85
"""The least agreement of the frequencies of two pictures that are worth a look at their pixels: a
copy that lost a twentieth of each side is above it."""

_FINE, _COARSE = 64, 24
_FLAT = 3.0
_COLOUR = 48.0
_PROMISING = 0.7
_SCALES = (0.97, 0.94, 0.91)
_STEPS = 4

_TURNS: Final = (
    (None, ""),
    (Image.Transpose.FLIP_LEFT_RIGHT, "mirrored"),
    (Image.Transpose.ROTATE_90, "turned left"),
    (Image.Transpose.ROTATE_180, "upside down"),
    (Image.Transpose.ROTATE_270, "turned right"),
    (Image.Transpose.FLIP_TOP_BOTTOM, "mirrored top to bottom"),
    (Image.Transpose.TRANSPOSE, "mirrored and turned left"),
    (Image.Transpose.TRANSVERSE, "mirrored and turned right"),
)

_Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Likeness:
    """How the second of two pictures is like the first.

    ``correlation``: of their pixels, laid over each other. ``turn``: what was done to it in words,
    empty for nothing. ``cropped``: "" or which of the two shows only a part of the other, "first"
    or "second".
    """

    correlation: float
    turn: str
    cropped: str

    @property
    def same(self) -> bool:
        """Whether one is a copy of the other."""
        return self.correlation >= SAME


def likeness(first: Image.Image, second: Image.Image) -> Likeness:
    """Lay two RGB pictures over each other in every way that a copy may have been changed.

    Turned by quarters, mirrored, of another size, and cropped by up to a tenth of a side.
    """
    coarse = _tile(first, _COARSE)
    ways = []
    for number, (turn, words) in enumerate(_TURNS):
        laid = second if turn is None else second.transpose(turn)
        ways.append((_correlation(coarse, _tile(laid, _COARSE)), -number, words, laid))
    ways.sort(key=lambda way: way[:2], reverse=True)
    best = Likeness(-1.0, "", "")
    for rough, _, words, laid in ways[:2]:
        found = Likeness(_whole(first, laid), words, "")
        if not found.same and rough >= _PROMISING:
            for part, one, other in (("second", first, laid), ("first", laid, first)):
                cropped = Likeness(_part(one, other), words, part)
                found = max(found, cropped, key=lambda each: each.correlation)
        best = max(best, found, key=lambda each: each.correlation)
        if best.same:
            break
    return best


def same_pixels(first: Image.Image, second: Image.Image) -> bool:
    """Whether two RGB pictures have the same size and the same value at every pixel."""
    return first.size == second.size and first.tobytes() == second.tobytes()


def sharpness(image: Image.Image) -> float:
    """How much fine detail there is: change between neighbours at 256 pixels, by the contrast.

    Of copies of one picture, the one that was enlarged or compressed hard has less.
    """
    side = (min(256, image.width), min(256, image.height))
    grey = np.asarray(image.convert("L").resize(side, Image.Resampling.BILINEAR), np.float32)
    across, down = np.diff(grey, axis=1), np.diff(grey, axis=0)
    change = float((np.abs(across).sum() + np.abs(down).sum()) / max(1, across.size + down.size))
    return change / (float(grey.std()) + 1.0)


def _whole(first: Image.Image, second: Image.Image) -> float:
    # No finer than either picture is: what one lost by shrinking is no difference.
    side = max(1, min(_FINE, *first.size, *second.size))
    return _correlation(_tile(first, side), _tile(second, side))


def _part(whole: Image.Image, part: Image.Image) -> float:
    """The best correlation of ``part`` with a rectangle of ``whole``."""
    goal = _tile(part, _COARSE)
    best, place = -1.0, (0.0, 0.0, 1.0, 1.0)
    for scale in _SCALES:
        for x in np.linspace(0, 1 - scale, _STEPS):
            for y in np.linspace(0, 1 - scale, _STEPS):
                box = (float(x), float(y), float(x) + scale, float(y) + scale)
                found = _correlation(_tile(whole, _COARSE, box), goal)
                if found > best:
                    best, place = found, box
    if best < _PROMISING:
        return best
    side = max(1, min(_FINE, *whole.size, *part.size))
    fine = _tile(part, side)
    best = _correlation(_tile(whole, side, place), fine)
    # Each edge for itself, in smaller and smaller steps.
    for step in (0.012, 0.006, 0.003):
        for edge in range(4):
            for way in (-step, step):
                moved = list(place)
                moved[edge] = min(1.0, max(0.0, moved[edge] + way))
                box = (moved[0], moved[1], moved[2], moved[3])
                found = _correlation(_tile(whole, side, box), fine)
                if found > best:
                    best, place = found, box
    return best


def _tile(image: Image.Image, side: int, box: _Box | None = None) -> NDArray[np.float32]:
    """The picture, or the rectangle of it in fractions, as float32 [side * side * 3]."""
    pixels = None
    if box is not None:
        (left, top, right, bottom), (width, height) = box, image.size
        pixels = (left * width, top * height, right * width, bottom * height)
    small = image.resize((side, side), Image.Resampling.BILINEAR, box=pixels)
    return np.asarray(small, np.float32).reshape(-1)


def _correlation(some: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """Pearson's, over all pixels and colours; 1 for two flat pictures of one colour."""
    colours = some.reshape(-1, 3).mean(axis=0) - others.reshape(-1, 3).mean(axis=0)
    if np.abs(colours).max() > _COLOUR:
        return -1.0
    off = some - others
    # A signature on an empty page hardly counts in the mean: no pixel may stand out.
    if float(np.sqrt(np.mean(off**2))) <= _FLAT and float(np.abs(off).max()) <= 8 * _FLAT:
        return 1.0
    some, others = some - some.mean(), others - others.mean()
    lengths = float(np.linalg.norm(some) * np.linalg.norm(others))
    return float(some @ others) / lengths if lengths > 0 else 0.0
