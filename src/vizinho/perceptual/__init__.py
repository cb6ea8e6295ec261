"""Pictures that are nearly the same, by their looks: hashes that propose, pixels that decide."""

from __future__ import annotations

from vizinho.perceptual.groups import Groups
from vizinho.perceptual.hashes import (
    BITS,
    FORM,
    LENGTH,
    VERSION,
    agreement,
    candidates,
    forms,
    frequencies,
    in_buckets,
    turned,
)
from vizinho.perceptual.likeness import AGREE, SAME, Likeness, likeness, same_pixels, sharpness

__all__ = [
    "AGREE",
    "BITS",
    "FORM",
    "LENGTH",
    "SAME",
    "VERSION",
    "Groups",
    "Likeness",
    "agreement",
    "candidates",
    "forms",
    "frequencies",
    "in_buckets",
    "likeness",
    "same_pixels",
    "sharpness",
    "turned",
]
