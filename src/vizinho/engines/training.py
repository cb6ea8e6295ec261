"""Making inverted lists: cells chosen by k-means, vectors put into them, and how many to probe.

How many cells a search must look into is measured on the gallery's own vectors. For some of them
the true neighbours are found by comparing with all others; then it is known which cells hold these,
and at which rank such a cell comes for the query. Because a search misses nothing inside the cells
that it looks into, that gives the recall for every number of probes at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.engines.ivf import Probing
from vizinho.engines.scans import slack

RANKS = (10, 100)
"""Numbers of neighbours for which a search through the cells is measured."""
_QUERIES = 400
_LEAST_PROBES = 4
MOST_TIES = 64
_PER_CELL = 48
_ROUNDS = 8
_CHUNK = 32_768
_SEED = 20241

Step = Callable[[int], None]


@dataclass
class Lists:
    """Inverted lists in memory: FAISS's index, and the cell of each vector int32 [N]."""

    index: Any
    cells: NDArray[np.int32]
    trained_on: int
    spread: float
    imbalance: float
    floor: int
    """The fewest probes with which the cell of any vector is among those of its own query."""


def cells_for(count: int) -> int:
    """How many cells so many vectors are put into."""
    return max(16, int(2 * count**0.5))


def train(matrix: NDArray[np.float32]) -> Any:
    """FAISS's empty index with cells chosen from a sample of the vectors [N, D]."""
    import faiss

    count, width = matrix.shape
    cells = min(cells_for(count), count)
    quantiser = faiss.IndexFlatL2(width)
    index = faiss.IndexIVFScalarQuantizer(
        quantiser, width, cells, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_L2
    )
    # Codes of the vectors themselves: those of what is left after the centre need a table for
    # every cell that is looked into.
    index.by_residual = False
    index.cp.niter = _ROUNDS
    index.cp.seed = _SEED
    index.cp.min_points_per_centroid = 1
    index.cp.max_points_per_centroid = _PER_CELL
    rng = np.random.default_rng(_SEED)
    sample = np.sort(rng.choice(count, min(count, cells * _PER_CELL), replace=False))
    index.train(np.ascontiguousarray(matrix[sample]))
    return index


def fill(
    index: Any,
    matrix: NDArray[np.float32],
    known: NDArray[np.int32] | None = None,
    step: Step | None = None,
) -> Lists:
    """Put the vectors [N, D] into an empty trained index.

    ``known`` [N] holds the cells of those that were in one before, and -1 for the others.
    """
    import faiss

    centres = index.quantizer.reconstruct_n(0, index.nlist)
    longest = float(np.sqrt((centres**2).sum(axis=1).max()))
    cells = np.empty(len(matrix), np.int32)
    floor, spread = _LEAST_PROBES, 0.0
    for start in range(0, len(matrix), _CHUNK):
        part = np.ascontiguousarray(matrix[start : start + _CHUNK])
        fresh = np.arange(len(part))
        here = cells[start : start + len(part)]
        if known is not None:
            here[:] = known[start : start + len(part)]
            fresh = np.flatnonzero(here < 0)
        if len(fresh):
            here[fresh], ties = _nearest_cells(index.quantizer, part[fresh], longest)
            floor = max(floor, ties)
        off = part - centres[here]
        spread += float(np.einsum("nd,nd->", off, off, dtype=np.float64))
        wide = here.astype(np.int64)
        index.add_core(len(part), faiss.swig_ptr(part), None, faiss.swig_ptr(wide))
        if step is not None:
            step(start + len(part))
    imbalance = float(index.invlists.imbalance_factor())
    return Lists(index, cells, len(matrix), spread / len(matrix), imbalance, floor)


def _nearest_cells(
    quantiser: Any, part: NDArray[np.float32], longest: float
) -> tuple[NDArray[np.int64], int]:
    """The cell of each vector, and among how many that one may be hidden by rounding.

    Many vectors at once are compared in another way than a single query, and rounded otherwise:
    of cells that are equally far the one may prefer this and the other that.
    """
    squared, found = quantiser.search(part, _LEAST_PROBES)
    lengths = np.sqrt(np.einsum("nd,nd->n", part, part))
    near = squared[:, 0] + 2 * slack(part.shape[1]) * (lengths + longest) ** 2
    close = np.flatnonzero(squared[:, -1] <= near)
    ties = 0
    if len(close):
        more = min(MOST_TIES, quantiser.ntotal)
        for start in range(0, len(close), 1024):
            some = close[start : start + 1024]
            squared, _ = quantiser.search(part[some], more)
            ties = max(ties, int((squared <= near[some, None]).sum(axis=1).max()))
    return found[:, 0], ties


def _blur(index: Any, matrix: NDArray[np.float32]) -> float:
    """The largest distance of a vector [N, D] from what its 8-bit codes stand for."""
    worst = 0.0
    for start in range(0, len(matrix), _CHUNK):
        part = np.ascontiguousarray(matrix[start : start + _CHUNK])
        off = index.sq.decode(index.sq.compute_codes(part))
        off -= part
        worst = max(worst, float(np.einsum("nd,nd->n", off, off).max()))
    # Computing it in float32 may have come out too small.
    return float(worst**0.5 * (1 + 2 * slack(matrix.shape[1])))


def probing(lists: Lists, matrix: NDArray[np.float32], wanted: float) -> tuple[Probing, float]:
    """How many cells to look into for the share ``wanted`` of the neighbours, and the share that is
    then found of the ten nearest, measured on vectors of the gallery (not counting themselves)."""
    import faiss

    rng = np.random.default_rng(_SEED + 1)
    count, nlist = len(matrix), lists.index.nlist
    sample = np.sort(rng.choice(count, min(count, _QUERIES), replace=False))
    queries = np.ascontiguousarray(matrix[sample])
    most = min(max(RANKS), count - 1)
    _, near = faiss.knn(queries, matrix, most + 1)
    _, order = lists.index.quantizer.search(queries, nlist)
    rank_of = np.empty((len(sample), nlist), np.int32)
    np.put_along_axis(rank_of, order, np.arange(nlist, dtype=np.int32)[None, :], axis=1)
    probes: dict[int, int] = {}
    found = 1.0
    for rank in RANKS:
        if rank > most:
            continue
        ranks = np.empty((len(sample), rank), np.int32)
        for row, (own, others) in enumerate(zip(sample, near, strict=True)):
            ranks[row] = rank_of[row, lists.cells[others[others != own][:rank]]]
        count_probes = max(_probes(ranks, wanted, nlist), lists.floor)
        probes[rank] = min(count_probes, nlist)
        if rank == RANKS[0]:
            found = float((ranks < probes[rank]).mean())
    slip = _slip(lists.index, matrix, queries)
    return Probing(probes, _blur(lists.index, matrix), slip), found


def _slip(index: Any, matrix: NDArray[np.float32], queries: NDArray[np.float32]) -> float:
    """By how much approximate distances exceed true ones, but for one in a thousand."""
    squared, places = index.search(queries, max(RANKS))
    off = []
    for query, far, near in zip(queries.astype(np.float64), squared, places, strict=True):
        true = np.sqrt(((matrix[near[near >= 0]] - query) ** 2).sum(axis=1))
        # What is equal is seen to by the blur.
        off.append((np.sqrt(far[near >= 0]) - true)[true > 0])
    return max(0.0, float(np.quantile(np.concatenate([*off, [0.0]]), 0.999)))


def _probes(ranks: NDArray[np.int32], wanted: float, nlist: int) -> int:
    """The fewest probes that find the share ``wanted``, with a standard error and a third of what
    may be missed to spare: vectors that took part in choosing the cells are found more easily than
    those of a new picture (0.9935 against 0.990 with a million like ours)."""
    wanted += (1 - wanted) / 3
    low, high = 1, nlist
    while low < high:
        middle = (low + high) // 2
        each = (ranks < middle).mean(axis=1)
        if each.mean() - each.std() / len(each) ** 0.5 >= wanted:
            high = middle
        else:
            low = middle + 1
    return low
