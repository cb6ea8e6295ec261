"""RGB picture to the numbers a model is fed; the recipe is saved with the model.

Two steps, so that a whole set can wait in memory as bytes: `to_pixels` (picture to uint8 at the
model's size) and `normalise` (uint8 to float32). Training, indexing and queries go through both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vizinho.errors import BundleError, SettingsError

_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_FITS = ("crop", "stretch")


@dataclass(frozen=True)
class PreprocessSpec:
    """How a picture becomes a model's input.

    ``size``: side of the square in pixels. ``fit``: "crop" takes the largest centred square,
    "stretch" the whole picture. ``filter``: Pillow's antialiased "bilinear", "bicubic" or
    "lanczos". ``mean`` and ``std``: per channel R, G, B, of values scaled to 0..1.

    Raises `SettingsError` when a value makes no sense.
    """

    size: int = 32
    fit: str = "crop"
    filter: str = "bilinear"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        # bool is an int to isinstance, but never a size.
        if type(self.size) is not int or not 1 <= self.size <= 4096:
            raise SettingsError(f"Preprocessing size is {self.size!r}, not a whole number 1..4096.")
        if self.fit not in _FITS:
            raise SettingsError(
                f"Preprocessing fit is {self.fit!r}, not one of {', '.join(_FITS)}."
            )
        if self.filter not in _FILTERS:
            known = ", ".join(_FILTERS)
            raise SettingsError(f"Preprocessing filter is {self.filter!r}, not one of {known}.")
        for field in ("mean", "std"):
            values = _channels(field, getattr(self, field))
            if field == "std" and min(values) <= 0:
                raise SettingsError(f"Preprocessing std is {values}; every value must be above 0.")
            object.__setattr__(self, field, values)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PreprocessSpec:
        """The spec saved in a model bundle; every field must be there and no other.

        Raises `BundleError`: a guess here would give wrong vectors without a word.
        """
        if not isinstance(values, Mapping):
            raise BundleError(f"The model's preprocessing is {values!r}, not a table of settings.")
        wanted = set(cls.__dataclass_fields__)
        if missing := sorted(wanted - set(values)):
            raise BundleError(f"The model's preprocessing lacks {', '.join(missing)}.")
        if unknown := sorted(set(values) - wanted):
            raise BundleError(
                f"The model's preprocessing has unknown settings: {', '.join(unknown)}.",
                "It may come from a newer Vizinho: upgrade and try again.",
            )
        try:
            return cls(**values)
        except SettingsError as error:
            raise BundleError(f"The model's preprocessing is damaged. {error.message}") from error


def to_pixels(image: Image.Image, spec: PreprocessSpec) -> npt.NDArray[np.uint8]:
    """Resize ``image`` to uint8 ``[size, size, 3]`` (H, W, RGB).

    A picture that has the size already passes bit for bit. ``image`` comes from `load_image`;
    any other mode than RGB is converted plainly.
    """
    if image.mode != "RGB":
        image = image.convert("RGB")
    side = spec.size
    if image.size != (side, side):
        box = _centre_square(image) if spec.fit == "crop" else None
        image = image.resize((side, side), _FILTERS[spec.filter], box=box)
    return np.array(image)


def normalise(pixels: npt.NDArray[np.uint8], spec: PreprocessSpec) -> npt.NDArray[np.float32]:
    """uint8 ``[N, H, W, 3]`` to contiguous float32 ``[N, 3, H, W]``: ``(x / 255 - mean) / std``."""
    scale = 1.0 / (255.0 * np.asarray(spec.std))
    shift = -np.asarray(spec.mean) / np.asarray(spec.std)
    batch = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32)
    batch *= scale.astype(np.float32).reshape(1, 3, 1, 1)
    batch += shift.astype(np.float32).reshape(1, 3, 1, 1)
    return batch


def preprocess(images: Sequence[Image.Image], spec: PreprocessSpec) -> npt.NDArray[np.float32]:
    """Loaded pictures to float32 ``[N, 3, size, size]``; N may be 0."""
    pixels = np.empty((len(images), spec.size, spec.size, 3), dtype=np.uint8)
    for i, image in enumerate(images):
        pixels[i] = to_pixels(image, spec)
    return normalise(pixels, spec)


def _centre_square(image: Image.Image) -> tuple[float, float, float, float]:
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return (left, top, left + side, top + side)


def _channels(field: str, values: Any) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(value) for value in values)
    except (TypeError, ValueError):
        raise SettingsError(f"Preprocessing {field} is {values!r}, not three numbers.") from None
    if not all(map(math.isfinite, (red, green, blue))):
        raise SettingsError(f"Preprocessing {field} is {values!r}, not three finite numbers.")
    return red, green, blue
