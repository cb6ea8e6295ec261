"""Who is nearest: exact Euclidean ranking, a block of queries at a time.

Squared distances come from one matrix product in float64 on centred embeddings (float32 would lose
the nearest neighbours of a tight cluster to cancellation), then are rounded to float32. Distances
that are equal after rounding are ties; the lower index goes first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]
Indices = NDArray[np.int64]

#: Bytes that one block of distances may take; the keys and labels beside it take as much again.
BLOCK_BYTES = 4 * 1024 * 1024

#: Squared distances under this share of the two squared norms are rounding noise of float64.
NOISE = 1e-14


def nearest_neighbours(embeddings: ArrayLike, k: int) -> tuple[Indices, NDArray[np.float32]]:
    """The ``k`` nearest others of each of [N, D]: (indices int64 [N, k], distances [N, k])."""
    embeddings, _ = checked(embeddings, np.zeros(len(np.asarray(embeddings)), dtype=np.int64))
    k = min(k, len(embeddings) - 1)
    indices = np.empty((len(embeddings), k), dtype=np.int64)
    for rows, nearest, _ in ranked(embeddings, embeddings, k, leave_one_out=True):
        indices[rows] = nearest
    apart = np.stack(
        [np.linalg.norm(embeddings - embeddings[indices[:, i]], axis=1) for i in range(k)], axis=1
    )
    return indices, apart.astype(np.float32)


def ranked(
    queries: Floats, references: Floats, k: int, *, leave_one_out: bool
) -> Iterator[tuple[slice, Indices, NDArray[np.uint64]]]:
    """Block by block: (rows, indices [B, k] of the nearest, nearest first, keys [B, M] of all).

    A key is one sortable integer a pair: the float32 squared distance in the upper half (bits of
    non-negative floats sort as the floats do), the reference's index in the lower half. So equal
    distances are in order of index however many of them the k-th place cuts through.
    """
    centre = references.mean(axis=0)
    queries, references = queries - centre, references - centre
    reference_norms = np.einsum("md,md->m", references, references)
    numbers = np.arange(len(references), dtype=np.uint64)
    height = max(1, BLOCK_BYTES // (8 * len(references)))
    for start in range(0, len(queries), height):
        rows = slice(start, min(start + height, len(queries)))
        block = queries[rows]
        norms = np.einsum("bd,bd->b", block, block)[:, None]
        squared = block @ references.T
        squared *= -2.0
        squared += norms
        squared += reference_norms
        squared[squared < NOISE * (norms + reference_norms)] = 0.0
        if leave_one_out:
            line = np.arange(len(block))
            squared[line, start + line] = np.inf
        keys = squared.astype(np.float32).view(np.uint32).astype(np.uint64)
        keys <<= np.uint64(32)
        keys |= numbers
        if k == 1:
            nearest = keys.min(axis=1, keepdims=True)
        else:
            nearest = np.sort(np.partition(keys, k - 1, axis=1)[:, :k], axis=1)
        yield rows, (nearest & np.uint64(0xFFFFFFFF)).astype(np.int64), keys


def checked(embeddings: ArrayLike, labels: ArrayLike, least: int = 2) -> tuple[Floats, Indices]:
    """As float64 [N, D] and int64 [N]; ``ValueError`` for shapes that don't fit, or not finite."""
    rows = np.asarray(embeddings, dtype=np.float64)
    marks = np.asarray(labels)
    if rows.ndim != 2 or marks.ndim != 1 or len(rows) != len(marks):
        raise ValueError(
            f"Expected embeddings [N, D] and labels [N], got {rows.shape} and {marks.shape}."
        )
    if len(rows) < least:
        raise ValueError(f"Expected at least {least} embeddings, got {len(rows)}.")
    if not np.isfinite(rows).all():
        raise ValueError("The embeddings hold infinities or nan.")
    return rows, marks.astype(np.int64)
