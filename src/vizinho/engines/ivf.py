"""Nearest neighbours by inverted lists: the vectors in cells, of which a query looks into a few.

FAISS keeps the cells, with 8 bits a number, in a file that is mapped and not loaded. From a query's
cells it proposes candidates by approximate distances; those the caller's matrix holds exactly are
then computed in float64. By how much an approximate distance is off was measured when the index was
made, so candidates are fetched until nothing better is left in the cells: what is missed lies in
another cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.engines.flat import FlatVectors, Nearest, trimmed
from vizinho.engines.scans import slack

_SPARE = 10
_MORE = 4


@dataclass(frozen=True)
class Probing:
    """How many cells a search looks into: ``probes`` by how many neighbours are wanted, as measured
    to find the share wanted of them.

    ``blur`` is the largest distance of any vector from what its codes stand for: an equal one can't
    seem farther away than that. ``slip`` is by how much distances seem too large, but for one in a
    thousand.
    """

    probes: dict[int, int]
    blur: float
    slip: float

    def reach(self, need: int) -> int | None:
        """The least number of neighbours that was measured and is not less than ``need``."""
        return min((rank for rank in self.probes if rank >= need), default=None)


class Ivf:
    """An index of inverted lists over the rows of a matrix. Safe to search from several threads."""

    def __init__(self, index: Any, probing: Probing) -> None:
        self.index = index
        self.probing = probing
        self._parameters = {count: _looking_into(count) for count in probing.probes.values()}
        self._slack = 1 - slack(index.d)
        self._blur, self._slip = probing.blur, probing.slip

    @classmethod
    def open(cls, path: Path, probing: Probing) -> Ivf:
        """Map the file ``path``. Raises ImportError without FAISS, OSError for a damaged file."""
        return cls(open_index(path), probing)

    def nearest(
        self, vectors: FlatVectors, queries: NDArray[np.float32], need: int
    ) -> list[Nearest]:
        """As `FlatVectors.nearest` over the same vectors, for a ``need`` that was measured."""
        rank = self.probing.reach(need)
        if rank is None:
            raise ValueError(f"{need} neighbours were never measured.")
        probes = self.probing.probes[rank]
        take = need + need // 2 + _SPARE
        squared, places = self.index.search(queries, take, params=self._parameters[probes])
        return [
            self._settle(vectors, query, need, probes, *first)
            for query, *first in zip(queries, squared, places, strict=True)
        ]

    def _settle(
        self,
        vectors: FlatVectors,
        query: NDArray[np.float32],
        need: int,
        probes: int,
        squared: NDArray[np.float32],
        proposed: NDArray[np.int64],
    ) -> Nearest:
        wide = query.astype(np.float64)
        while True:
            take = len(proposed)
            exhausted = proposed[-1] < 0
            if exhausted:
                proposed = proposed[proposed >= 0]
            places = vectors.alive(proposed)
            distances = vectors.distances(places, wide)
            order = distances.argsort(kind="stable")
            enough = len(order) >= need
            if exhausted and (enough or probes >= self.index.nlist):
                break
            if enough:
                beyond = (float(squared[-1]) * self._slack) ** 0.5
                if beyond > self._blur and beyond - self._slip > distances[order[need - 1]]:
                    break
            if exhausted:
                # Cells with too little in them: look into more.
                probes = min(2 * probes, self.index.nlist)
            else:
                take = min(_MORE * take, self.index.ntotal)
                if take == len(proposed):
                    break
            (squared,), (proposed,) = self.index.search(
                query[None], take, params=_looking_into(probes)
            )
        return trimmed(vectors.ids[places[order]], distances[order], need)


def _looking_into(cells: int) -> Any:
    import faiss

    # FAISS's own types don't know what its constructors take.
    parameters: Any = faiss.SearchParametersIVF
    return parameters(nprobe=cells)


def open_index(path: Path) -> Any:
    """FAISS's index in the file ``path``, its lists mapped. Raises ImportError, OSError."""
    import faiss

    try:
        index: Any = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
        lists = faiss.downcast_InvertedLists(index.invlists)
    except (RuntimeError, AttributeError) as error:
        raise OSError(f"{path}: {error}") from error
    if hasattr(lists, "prefetch_nthread"):
        # It would start 32 threads for each query, to read ahead from a slow disk.
        lists.prefetch_nthread = 0
    # A single query never pays for threads; several are shared among them.
    index.parallel_mode = 0
    return index
