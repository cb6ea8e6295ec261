"""Ranking what Milvus finds: distances anew in float64, equal ones by key, nothing cut off wrongly.

Milvus compares in float32 and leaves open which of several equals it names. So a few more than
asked for are fetched with their vectors, and when the last of them may be as near as the last one
wanted, more are.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.engines.milvus_schema import DEEPEST, vector_of
from vizinho.errors import GalleryError

Ranked = list[tuple[float, str, dict[str, Any]]]
"""Distance, key and entity, nearest first."""
Fetch = Callable[[str, str, int], list[dict[str, Any]]]
"""Entities whose key sorts after one and that pass a condition, in the order of keys."""
Nearest = Callable[[NDArray[np.float32], int, str], list[list[dict[str, Any]]]]
"""For each query the entities that Milvus finds."""

_MORE = 16
_ANSWER_BYTES = 16 * 1024 * 1024
_KEY_BYTES = 100


class Searcher:
    """Searches by Milvus's index, and by comparing with every vector where that isn't enough."""

    def __init__(self, fetch: Fetch, nearest: Nearest, dimension: int) -> None:
        self._fetch = fetch
        self._nearest = nearest
        self._bytes = 4 * dimension + _KEY_BYTES
        self._dimension = dimension

    def search(
        self,
        vectors: NDArray[np.float32],
        wanted: int,
        condition: str,
        *,
        exact: bool,
        flat: bool,
    ) -> list[Ranked]:
        """The ``wanted`` nearest of each query that pass ``condition``."""
        found: list[Ranked | None] = [None] * len(vectors)
        if flat or not exact:
            limit = wanted + _MORE
            left = list(range(len(vectors)))
            while left and limit <= DEEPEST:
                sizes = max(1, _ANSWER_BYTES // (limit * self._bytes))
                undecided: list[int] = []
                for start in range(0, len(left), sizes):
                    part = left[start : start + sizes]
                    answers = self._nearest(vectors[part], limit, condition)
                    for number, answer in zip(part, answers, strict=True):
                        found[number] = self._ranked(vectors[number], answer, wanted, limit, flat)
                        if found[number] is None:
                            undecided.append(number)
                left = undecided
                # Few were found where an index looks at a part only: everything has to be asked.
                limit = limit * 8 if flat else DEEPEST + 1
        missing = [number for number, ranked in enumerate(found) if ranked is None]
        if missing:
            ranked = self._all(vectors[missing], wanted, condition)
            for number, one in zip(missing, ranked, strict=True):
                found[number] = one
        return [ranked for ranked in found if ranked is not None]

    def _ranked(
        self,
        query: NDArray[np.float32],
        answer: list[dict[str, Any]],
        wanted: int,
        limit: int,
        flat: bool,
    ) -> Ranked | None:
        """What was found, in order; None when something as near may have been left out."""
        if not answer:
            return [] if flat else None
        matrix = np.stack([vector_of(each) for each in answer])
        ranked = sorted(_measured(query, matrix, answer), key=_order)
        if len(answer) < limit:
            # An index that looks at a part only may have passed over some that pass the filter.
            return ranked[:wanted] if flat else None
        if flat and not ranked[wanted - 1][0] ** 2 + self._slack(query, matrix) < (
            ranked[-1][0] ** 2
        ):
            return None
        return ranked[:wanted]

    def _slack(self, query: NDArray[np.float32], matrix: NDArray[np.float32]) -> float:
        """By how much two squared distances may be out of order: their rounding in float32, where
        they are computed from products and lengths."""
        lengths = np.linalg.norm(matrix.astype(np.float64), axis=1).max()
        longest = float(np.linalg.norm(query.astype(np.float64))) + float(lengths)
        return (self._dimension + 8) * 2.0**-22 * longest**2

    def _all(self, vectors: NDArray[np.float32], wanted: int, condition: str) -> list[Ranked]:
        """Every vector compared with every query, page after page."""
        best: list[Ranked] = [[] for _ in vectors]
        size = max(1, min(DEEPEST, _ANSWER_BYTES // self._bytes))
        last = ""
        while page := self._fetch(last, condition, size):
            matrix = np.stack([vector_of(each) for each in page])
            # The vectors of a page would else live as long as the one of it that is kept.
            named = [{"key": each["key"]} for each in page]
            for number, query in enumerate(vectors):
                near = _measured(query, matrix, named)
                best[number] = heapq.nsmallest(wanted, [*best[number], *near], key=_order)
            if len(page) < size:
                break
            last = page[-1]["key"]
        return best


def _measured(
    query: NDArray[np.float32], matrix: NDArray[np.float32], entities: list[dict[str, Any]]
) -> Ranked:
    difference = matrix.astype(np.float64) - query.astype(np.float64)
    distances = np.sqrt((difference**2).sum(axis=1)).tolist()
    return [(far, each["key"], each) for far, each in zip(distances, entities, strict=True)]


def _order(one: tuple[float, str, dict[str, Any]]) -> tuple[float, str]:
    return one[:2]


def checked(vectors: NDArray[np.float32], count: int, dimension: int) -> NDArray[np.float32]:
    """Vectors as float32 [``count``, ``dimension``]. Raises GalleryError."""
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.shape != (count, dimension):
        raise GalleryError(
            f"Vectors of shape {list(vectors.shape)} were given to a gallery that takes "
            f"[{count}, {dimension}]."
        )
    if not np.isfinite(vectors).all():
        raise GalleryError("A vector holds numbers that are not finite.")
    return vectors
