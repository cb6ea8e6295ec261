"""The vectors of a gallery at one moment: a large part that stays, and a small one that grows.

A reader catches up by what has changed: removed ids are noted as dead, new vectors go to the tail.
Neither copies the large part, which may be a mapped file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vizinho.engines.flat import FlatVectors, Nearest, trimmed
from vizinho.engines.ivf import Ivf

_LEAST = 256


class _Buffer:
    """Room at the end of arrays, so that appending copies only now and then."""

    def __init__(self, room: int, dimension: int) -> None:
        self.ids = np.empty(room, np.int64)
        self.matrix = np.empty((room, dimension), np.float32)
        self.used = 0

    def add(self, ids: NDArray[np.int64], matrix: NDArray[np.float32]) -> FlatVectors:
        end = self.used + len(ids)
        self.ids[self.used : end] = ids
        self.matrix[self.used : end] = matrix
        self.used = end
        return FlatVectors(self.ids[:end], self.matrix[:end], sketches=False)


@dataclass(frozen=True)
class Snapshot:
    """What a search sees; it never changes.

    ``index`` names the derived index of ``base`` (or none); ``last_id`` and ``last_removal`` say up
    to where the catalogue has been read.
    """

    base: FlatVectors
    tail: FlatVectors
    index: str
    last_id: int
    last_removal: int
    ivf: Ivf | None = None
    mapped: bool = False
    room: _Buffer | None = None

    @classmethod
    def of(
        cls,
        base: FlatVectors,
        index: str,
        last_id: int,
        last_removal: int,
        ivf: Ivf | None = None,
        *,
        mapped: bool = False,
    ) -> Snapshot:
        """With nothing but a base, which is ``mapped`` from a file or in memory."""
        dimension = base.matrix.shape[1]
        tail = FlatVectors(np.empty(0, np.int64), np.empty((0, dimension), np.float32))
        return cls(base, tail, index, last_id, last_removal, ivf, mapped)

    def __len__(self) -> int:
        return len(self.base) + len(self.tail)

    def grown(
        self,
        ids: NDArray[np.int64],
        matrix: NDArray[np.float32],
        removed: NDArray[np.int64],
        last_removal: int,
    ) -> Snapshot:
        """With further vectors, whose ids are higher than all before, and without some."""
        base, tail, room = self.base, self.tail, self.room
        if len(ids):
            if room is None or room.used + len(ids) > len(room.ids):
                # The dead of the tail need no place in a new one.
                kept = np.setdiff1d(np.arange(len(tail.ids)), tail.dead, assume_unique=True)
                room = _Buffer(max(_LEAST, 2 * (len(kept) + len(ids))), self.base.matrix.shape[1])
                room.add(tail.ids[kept], tail.matrix[kept])
                dead = np.empty(0, np.int64)
            else:
                dead = tail.dead
            tail = room.add(ids, matrix)
            tail.dead = dead
        if len(removed):
            base, tail = base.without(removed), tail.without(removed)
        last_id = int(ids[-1]) if len(ids) else self.last_id
        return replace(
            self, base=base, tail=tail, room=room, last_id=last_id, last_removal=last_removal
        )

    def folded(self) -> Snapshot:
        """All in one part, when so much has changed that copying pays; not what is mapped."""
        changed = len(self.tail.ids) + len(self.base.dead)
        if self.mapped or changed <= max(_LEAST, len(self.base.ids) // 4):
            return self
        parts = [
            (part.ids[kept], part.matrix[kept])
            for part in (self.base, self.tail)
            for kept in [np.setdiff1d(np.arange(len(part.ids)), part.dead, assume_unique=True)]
        ]
        ids, matrices = zip(*parts, strict=True)
        base = FlatVectors(np.concatenate(ids), np.concatenate(matrices))
        return Snapshot.of(base, self.index, self.last_id, self.last_removal)

    def reach(self, need: int) -> int | None:
        """Up to how many neighbours the index finds at once when ``need`` are wanted; None when
        only comparing with every vector will do."""
        return None if self.ivf is None else self.ivf.probing.reach(need)

    def nearest(
        self,
        queries: NDArray[np.float32],
        need: int,
        *,
        among: NDArray[np.int64] | None = None,
        exact: bool = False,
    ) -> list[Nearest]:
        """As `FlatVectors.nearest`; ``among`` are the only ids that count. Through the index where
        there is one, unless ``exact``."""
        if among is not None:
            return self._merged(
                self.base.nearest(queries, need, self.base.positions(among)),
                self.tail.nearest(queries, need, self.tail.positions(among)),
                need,
            )
        if self.ivf is None or exact or self.reach(need) is None:
            found = self.base.nearest(queries, need)
        else:
            found = self.ivf.nearest(self.base, queries, need)
        if not len(self.tail):
            return found
        return self._merged(found, self.tail.nearest(queries, need), need)

    @staticmethod
    def _merged(one: list[Nearest], other: list[Nearest], need: int) -> list[Nearest]:
        merged = []
        for (ids, distances), (more_ids, more) in zip(one, other, strict=True):
            all_ids, far = np.concatenate([ids, more_ids]), np.concatenate([distances, more])
            order = far.argsort(kind="stable")
            merged.append(trimmed(all_ids[order], far[order], need))
        return merged
