"""Pictures that are nearly the same: resized, compressed again, a little lighter, or mirrored.

Each picture gets a 64-bit difference hash (N. Krawetz, "Kind of Like That", 2013): whether the
brightness grows from each cell of an 8 x 9 grid to the next. Two whose hashes differ in at most
``NEAR`` bits, and whose grids and colours agree as well, are one; so are those linked through
others. Cropped or redrawn copies are not found.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vizinho.perceptual import in_buckets

ROWS, COLUMNS = 8, 9

#: Bits that may differ. Of four bands of 16 bits one is then the same in both: the pigeonhole that
#: finds all such pairs without comparing everything with everything.
NEAR: Final = 3
BANDS: Final = 4

#: The grids must correlate at least so much, and mean colours differ at most so much (0 to 255).
#: Smooth skies share a hash by chance; they seldom share these.
CORRELATION: Final = 0.97
COLOUR: Final = 24.0

#: A grid whose brightness varies less (0 to 255) is flat, and correlates with anything by chance.
FLAT: Final = 1.0

_CHUNK = 1024


def near_duplicates(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Pictures uint8 [N, H, W, 3] -> int64 [N]: the position of the first picture of its group.

    Memory grows with N, never with its square.
    """
    count = len(pixels)
    grids, colours = _summaries(pixels)
    hashes, mirrored = difference_hash(grids), difference_hash(grids[:, :, ::-1])
    parent = np.arange(count)

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    everyone = np.arange(count)
    # Each picture stands in the buckets twice, as it is and mirrored; two mirrored ones differ by
    # what the two as they are differ by, so that such pairs need no look.
    codes = np.concatenate([hashes, mirrored])
    owners, turned = np.concatenate([everyone, everyone]), np.arange(2 * count) >= count
    for left, right in _candidates(codes):
        keep = ~(turned[left] & turned[right]) & (owners[left] != owners[right])
        a, b = owners[left[keep]], owners[right[keep]]
        flipped = turned[left[keep]] | turned[right[keep]]
        near = np.abs(colours[a] - colours[b]).max(axis=1) <= COLOUR
        near[near] = _alike(grids[a[near]], grids[b[near]], flipped[near])
        for i, j in zip(a[near], b[near], strict=True):
            one, other = root(int(i)), root(int(j))
            parent[max(one, other)] = min(one, other)
    return np.array([root(i) for i in range(count)], dtype=np.int64)


def difference_hash(grids: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Brightness float32 [N, 8, 9] -> uint64 [N], one bit for each step to the right."""
    # A step must be worth a grey level: in a flat picture rounding would decide the bits.
    bits = (grids[:, :, 1:] - grids[:, :, :-1] > FLAT).reshape(len(grids), 64)
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]


def _summaries(
    pixels: NDArray[np.uint8],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Brightness in 8 x 9 cells float32 [N, 8, 9], and mean colours float32 [N, 3]."""
    down, across = _cells(pixels.shape[1], ROWS), _cells(pixels.shape[2], COLUMNS)
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)
    grids = np.empty((len(pixels), ROWS, COLUMNS), dtype=np.float32)
    colours = np.empty((len(pixels), 3), dtype=np.float32)
    # Chunks that hold as many pixels at any resolution.
    step = max(1, _CHUNK * 32 * 32 // (pixels.shape[1] * pixels.shape[2]))
    for start in range(0, len(pixels), step):
        part = pixels[start : start + step]
        colours[start : start + step] = part.mean(axis=(1, 2), dtype=np.float32)
        grids[start : start + step] = down @ (part @ weights) @ across.T
    return grids, colours


def _alike(
    some: NDArray[np.float32], others: NDArray[np.float32], flipped: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Whether the grids [K, 8, 9] correlate in pairs, the ``flipped`` ones mirrored first."""
    others = np.where(flipped[:, None, None], others[:, :, ::-1], others)
    a = (some - some.mean(axis=(1, 2), keepdims=True)).reshape(len(some), ROWS * COLUMNS)
    b = (others - others.mean(axis=(1, 2), keepdims=True)).reshape(len(some), ROWS * COLUMNS)
    spread_a, spread_b = a.std(axis=1), b.std(axis=1)
    product = (a * b).mean(axis=1)
    flat = (spread_a < FLAT) & (spread_b < FLAT)
    alike: NDArray[np.bool_] = flat | (product >= CORRELATION * spread_a * spread_b) & ~(
        (spread_a < FLAT) | (spread_b < FLAT)
    )
    return alike


def _cells(length: int, cells: int) -> NDArray[np.float32]:
    """[cells, length]: the share of each pixel in the mean of each cell."""
    edges = np.linspace(0, length, cells + 1)
    pixel = np.arange(length)
    covered = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    shares: NDArray[np.float32] = (covered.clip(0) * cells / length).astype(np.float32)
    return shares


def _candidates(
    codes: NDArray[np.uint64],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs of positions whose codes differ in at most ``NEAR`` bits, a bounded number at a time.

    Of equal codes only neighbours in a chain are paired: union makes them one group all the same.
    """
    order = np.argsort(codes, kind="stable")
    same = codes[order[1:]] == codes[order[:-1]]
    yield order[:-1][same], order[1:][same]
    # A chain breaks where a look at the pictures parts two that share a hash, so the ends of a
    # long run of equal codes are paired with its first as well.
    first = np.maximum.accumulate(np.where(np.r_[True, ~same], np.arange(len(codes)), 0))
    yield order[first[1:][same]], order[1:][same]
    unique, place = np.unique(codes, return_index=True)
    for band in range(BANDS):
        key = (unique >> np.uint64(16 * band)) & np.uint64(0xFFFF)
        bucketed = np.argsort(key, kind="stable")
        for left, right in in_buckets(key[bucketed]):
            one, other = bucketed[left], bucketed[right]
            near = np.bitwise_count(unique[one] ^ unique[other]) <= NEAR
            yield place[one[near]], place[other[near]]
