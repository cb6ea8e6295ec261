"""Who is nearest: exact Euclidean ranking in memory that does not grow with the square of the set.

Squared distances come from matrix products in float64 on centred embeddings (float32 would lose
the nearest neighbours of a tight cluster to cancellation), then are rounded to float32. Distances
that are equal after rounding are ties; the lower index goes first.

Beside the embeddings themselves, which stay in the precision they came in, the work takes
``PRODUCT_BYTES`` for one block of distances and about four times ``BLOCK_BYTES`` for ranking it, a
few rows at a time. A product in float32 with doubtful pairs computed again was considered and not
taken: at 512 numbers it is 2.3 times as fast as float64, but with thousands of ranks to get right
a good part of all neighbours in rank are doubtful.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]
Indices = NDArray[np.int64]

#: Bytes that one block of float32 distances, queries by all references, may take.
PRODUCT_BYTES = 64 * 1024 * 1024
#: Queries in such a block at most: more make the product no faster.
TALLEST = 256
#: References that are multiplied at a time: as many as the processor's caches hold.
TILE = 1024
#: Bytes of the keys that are ranked at a time; small enough for the caches too.
BLOCK_BYTES = 4 * 1024 * 1024

#: Squared distances under this share of the two squared norms are rounding noise of float64.
NOISE = 1e-14

#: The half of a key that holds the reference's index.
INDEX = np.uint64(0xFFFFFFFF)


def nearest_neighbours(embeddings: ArrayLike, k: int) -> tuple[Indices, NDArray[np.float32]]:
    """The ``k`` nearest others of each of [N, D]: (indices int64 [N, k], distances [N, k])."""
    rows, _ = checked(embeddings, np.zeros(len(np.asarray(embeddings)), dtype=np.int64))
    k = min(k, len(rows) - 1)
    indices = np.empty((len(rows), k), dtype=np.int64)
    apart = np.empty((len(rows), k), dtype=np.float32)
    for block, nearest, _ in ranked(rows, rows, k, leave_one_out=True):
        indices[block] = nearest
        apart[block] = distances(rows, block, nearest)
    return indices, apart


def distances(embeddings: Floats, rows: slice, neighbours: Indices) -> NDArray[np.float32]:
    """Euclidean [B, k] from each of ``rows`` to its ``neighbours`` [B, k], by subtraction."""
    queries = embeddings[rows].astype(np.float64)[:, None]
    apart: NDArray[np.float32] = np.linalg.norm(queries - embeddings[neighbours], axis=2).astype(
        np.float32
    )
    return apart


def squared_distances(
    queries: Floats, references: Floats, *, leave_one_out: bool
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Block by block: (rows, squared distances float32 [B, M]), infinite to itself when left out.

    The block is the same memory each time: use it before asking for the next.
    """
    centre = references.mean(axis=0, dtype=np.float64)
    count = len(references)
    tiles = [slice(start, min(start + TILE, count)) for start in range(0, count, TILE)]
    norms = np.concatenate([_norms(references[tile] - centre) for tile in tiles])
    height = max(1, min(TALLEST, len(queries), PRODUCT_BYTES // (4 * count)))
    squared = np.empty((height, count), dtype=np.float32)
    for start in range(0, len(queries), height):
        rows = slice(start, min(start + height, len(queries)))
        block = queries[rows] - centre
        own = _norms(block)[:, None]
        # Times a power of two is exact, and cheaper here than on the product.
        block *= -2.0
        for tile in tiles:
            product = block @ (references[tile] - centre).T
            product += own
            product += norms[tile]
            if product.min() < NOISE * (own.max() + norms[tile].max()):
                product[product < NOISE * (own + norms[tile])] = 0.0
            squared[: len(block), tile] = product
        if leave_one_out:
            line = np.arange(len(block))
            squared[line, start + line] = np.inf
        yield rows, squared[: len(block)]


def ranked(
    queries: Floats, references: Floats, k: int, *, leave_one_out: bool
) -> Iterator[tuple[slice, Indices, NDArray[np.uint64]]]:
    """Block by block: (rows, indices [B, k] of the nearest, nearest first, keys [B, M] of all).

    A key is one sortable integer a pair: the float32 squared distance in the upper half (bits of
    non-negative floats sort as the floats do), the reference's index in the lower half. So equal
    distances are in order of index however many of them the k-th place cuts through. The k nearest
    come first in ``keys``, beyond that they are in no order.
    """
    numbers = np.arange(len(references), dtype=np.uint64)
    height = max(1, BLOCK_BYTES // (8 * len(references)))
    for block, squared in squared_distances(queries, references, leave_one_out=leave_one_out):
        for start in range(0, len(squared), height):
            part = squared[start : start + height]
            keys = part.view(np.uint32).astype(np.uint64)
            keys <<= np.uint64(32)
            keys |= numbers
            keys.partition(k - 1, axis=1)
            keys[:, :k].sort(axis=1)
            first = block.start + start
            yield slice(first, first + len(part)), (keys[:, :k] & INDEX).astype(np.int64), keys


def checked(embeddings: ArrayLike, labels: ArrayLike, least: int = 2) -> tuple[Floats, Indices]:
    """As floats [N, D] and int64 [N]; ``ValueError`` for shapes that don't fit, or not finite.

    float32 and float64 stay as they are, without a copy; everything else becomes float64.
    """
    rows = np.asarray(embeddings)
    if rows.dtype not in (np.float32, np.float64):
        rows = rows.astype(np.float64)
    marks = np.asarray(labels)
    if rows.ndim != 2 or marks.ndim != 1 or len(rows) != len(marks):
        raise ValueError(
            f"Expected embeddings [N, D] and labels [N], got {rows.shape} and {marks.shape}."
        )
    if len(rows) < least:
        raise ValueError(f"Expected at least {least} embeddings, got {len(rows)}.")
    if not all(np.isfinite(rows[i : i + TILE]).all() for i in range(0, len(rows), TILE)):
        raise ValueError("The embeddings hold infinities or nan.")
    return rows, marks.astype(np.int64)


def _norms(rows: Floats) -> NDArray[np.float64]:
    norms: NDArray[np.float64] = np.einsum("nd,nd->n", rows, rows)
    return norms
