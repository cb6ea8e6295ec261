"""Perceptual hashes: nearly the same for nearly the same picture, turned or mirrored too.

A hash is the signs of the lowest frequencies of a picture's brightness (its cosine transform, as in
pHash by E. Klinger and D. Starkweather). Turning and mirroring only changes signs and transposes,
so all eight ways to lay a picture down are brought to one canonical form without touching a pixel:
brightness grows to the right and downwards, and more to the right than downwards. A picture that
hardly does has several forms, and each has its hash.

Hashes only propose pairs (`candidates`); `vizinho.perceptual.likeness` looks at the pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

VERSION: Final = 1
"""Grows when the same picture would get another hash: those kept from before are then made anew."""

_SIDE: Final = 32
_HIGHEST: Final = 10
_UNSURE: Final = 0.12
"""A decision weaker than this share of the contrast may fall either way."""

BANDS: Final = 4
_BAND_BITS: Final = 16
_PROBES: Final = 2
_PART: Final = 1 << 21
"""Entries sorted in memory at a time."""

FORM = np.dtype([("code", "<u8"), ("weak", "<u4"), ("owner", "<i8"), ("turn", "u1")])
"""One canonical form: its hash, the weakest bits of each band (four bits each), whose it is, and
how the picture was laid down: 1 mirrored left to right, 2 top to bottom, 4 then transposed."""


def _cosines() -> NDArray[np.float32]:
    """The first rows of the orthonormal DCT-II [_HIGHEST + 1, _SIDE]."""
    u, x = np.arange(_HIGHEST + 1)[:, None], np.arange(_SIDE)[None, :]
    rows = np.sqrt(2.0 / _SIDE) * np.cos(np.pi * u * (2 * x + 1) / (2 * _SIDE))
    rows[0] = np.sqrt(1.0 / _SIDE)
    return np.asarray(rows, np.float32)


# Frequencies by down + across; the first two decide the form, the mean says nothing of it.
_PLACES = sorted(
    ((d, a) for d in range(_HIGHEST + 1) for a in range(_HIGHEST + 1) if 1 <= d + a <= _HIGHEST),
    key=lambda place: (sum(place), place),
)
_DOWN, _ACROSS = np.array(_PLACES).T
_TRANSPOSED = np.array([_PLACES.index((a, d)) for d, a in _PLACES])
_COSINES = _cosines()

LENGTH: Final = len(_PLACES)
BITS: Final = LENGTH - 2


def frequencies(image: Image.Image) -> NDArray[np.float16]:
    """Low frequencies of a picture's brightness, float16 [LENGTH]; its shape is stretched away."""
    grey = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    found = _COSINES @ np.asarray(grey, np.float32) @ _COSINES.T
    return np.asarray(found[_DOWN, _ACROSS], np.float16)


def turned(found: NDArray[np.float32], turns: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Frequencies [N, LENGTH] of pictures laid down as ``turns`` [N] say (see `FORM`)."""
    signs = np.where((turns[:, None] & 1 != 0) & (_ACROSS % 2 == 1), np.float32(-1), np.float32(1))
    signs[(turns[:, None] & 2 != 0) & (_DOWN % 2 == 1)] *= -1
    out = found * signs
    return np.where(turns[:, None] & 4 != 0, out[:, _TRANSPOSED], out)


def forms(found: NDArray[np.float16], owners: NDArray[np.int64]) -> NDArray[np.void]:
    """The canonical forms, `FORM` [M], of pictures with frequencies [N, LENGTH]; 1 to 8 each."""
    wide = found.astype(np.float32)
    across, down = wide[:, 0], wide[:, 1]
    limit = _UNSURE * np.sqrt((wide[:, _DOWN + _ACROSS <= 3] ** 2).sum(axis=1))
    lean = np.abs(across) - np.abs(down)
    parts = []
    for turn in range(8):
        mask = np.where(turn & 1, across < limit, across > -limit)
        mask &= np.where(turn & 2, down < limit, down > -limit)
        mask &= np.where(turn & 4, lean < limit, lean > -limit)
        # A picture without any contrast is its own form, once.
        mask |= (limit == 0) & (turn == 0)
        part = np.empty(int(mask.sum()), FORM)
        laid = turned(wide[mask], np.full(len(part), turn, np.uint8))[:, 2:]
        part["code"], part["weak"] = _hashed(laid)
        part["owner"], part["turn"] = owners[mask], turn
        parts.append(part)
    return np.concatenate(parts)


def _hashed(laid: NDArray[np.float32]) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    bits = np.zeros((len(laid), 64), np.uint8)
    bits[:, :BITS] = laid > 0
    codes = np.packbits(bits, axis=1, bitorder="little").view("<u8")[:, 0]
    strength = np.full((len(laid), 64), np.inf, np.float32)
    strength[:, :BITS] = np.abs(laid)
    bands = strength.reshape(len(laid), BANDS, _BAND_BITS)
    weakest = np.argsort(bands, axis=2, kind="stable")[:, :, :_PROBES].astype(np.uint32)
    places = weakest.reshape(len(laid), BANDS * _PROBES)
    shifts = np.arange(BANDS * _PROBES, dtype=np.uint32) * 4
    return codes, (places << shifts).sum(axis=1, dtype=np.uint32)


def candidates(
    all_forms: NDArray[np.void], bits: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs of positions in ``all_forms`` whose hashes differ in at most ``bits`` bits.

    Two meet when they agree in one of four bands of sixteen bits, or would if one of the two
    weakest bits of that band were the other. Of many equal hashes not all pairs come, but enough to
    link them all. ``all_forms`` may be mapped from disk: a bounded part of it is in memory.
    """
    count = len(all_forms)
    if not count:
        return
    parts = max(1, -(-count * (1 + _PROBES) // _PART))
    for band in range(BANDS):
        for part in range(parts):
            keys, places, asked = _entries(all_forms, band, part, parts)
            order = np.lexsort((asked, all_forms["code"][places], keys))
            keys, places, asked = keys[order], places[order], asked[order]
            codes = all_forms["code"][places]
            for left, right in _met(keys, codes, asked):
                near = np.bitwise_count(codes[left] ^ codes[right]) <= bits
                one, other = places[left[near]], places[right[near]]
                yield one, other


def _entries(
    all_forms: NDArray[np.void], band: int, part: int, parts: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.bool_]]:
    """What stands in one part of a band's buckets: bucket, position, whether it only asks."""
    found = []
    for start in range(0, len(all_forms), _PART):
        block = all_forms[start : start + _PART]
        own = ((block["code"] >> np.uint64(_BAND_BITS * band)) & np.uint64(0xFFFF)).astype("<u4")
        places = np.arange(start, start + len(block))
        for probe in range(1 + _PROBES):
            keys = own
            if probe:
                shift = np.uint32(4 * (_PROBES * band + probe - 1))
                keys = own ^ (np.uint32(1) << ((block["weak"] >> shift) & np.uint32(15)))
            # Scattered, so that parts are of one size however the hashes cluster.
            here = (keys * np.uint32(2654435761) >> np.uint32(8)) % np.uint32(parts) == part
            found.append((keys[here], places[here], np.full(int(here.sum()), probe > 0)))
    keys, places, asked = (np.concatenate(each) for each in zip(*found, strict=True))
    return keys, places, asked


def _met(
    keys: NDArray[np.uint32], codes: NDArray[np.uint64], asked: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs within buckets; entries are sorted by bucket, hash, and whether they only ask."""
    same = (keys[1:] == keys[:-1]) & (codes[1:] == codes[:-1])
    places = np.arange(len(keys))
    yield places[:-1][same], places[1:][same]
    # A chain breaks where the pixels part two of one hash: each is also paired with the first.
    first = np.maximum.accumulate(np.where(np.r_[True, ~same], places, 0)) if len(keys) else places
    yield first[1:][same], places[1:][same]
    alone = np.flatnonzero(np.r_[True, ~same]) if len(keys) else places
    for left, right in in_buckets(keys[alone]):
        one, other = alone[left], alone[right]
        # Two that both only ask would have met nobody here.
        keep = ~(asked[one] & asked[other])
        yield one[keep], other[keep]


def in_buckets(keys: NDArray[np.integer]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """All pairs of positions with equal keys, which are sorted; as many at a time as keys, at most.

    Each with the next of its bucket, then with the one after, and so on.
    """
    left, apart = np.arange(len(keys)), 0
    while len(left):
        apart += 1
        left = left[left + apart < len(keys)]
        left = left[keys[left] == keys[left + apart]]
        yield left, left + apart


def agreement(some: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosines between frequencies [N, LENGTH] laid down alike; 1 for two flat pictures."""
    lengths = np.linalg.norm(some, axis=1), np.linalg.norm(others, axis=1)
    product: NDArray[np.float32] = np.einsum("nd,nd->n", some, others)
    flat = (lengths[0] < 1) & (lengths[1] < 1)
    return np.where(flat, np.float32(1), product / np.maximum(lengths[0] * lengths[1], 1e-6))
