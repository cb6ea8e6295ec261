"""What every engine can do, and nothing that one of them can't."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Filter = Mapping[str, Any]
"""Wanted values by name, all of which must be equal: ``label`` is the row's label, any other name a
field of its metadata. A value is a string, a number, a boolean, or None for "has none"."""


@dataclass(frozen=True)
class Row:
    """What is known of one picture. ``hash`` is SHA-256 (hex) of its file, ``url`` where a browser
    finds it, ``metadata`` anything JSON can hold."""

    key: str
    url: str
    hash: str
    label: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Hit:
    """One answer of a search: ``distance`` is Euclidean (not squared), 0 is closest."""

    key: str
    distance: float
    row: Row


class Engine(Protocol):
    """Rows with one float32 vector [D] each, by key.

    Reading methods may be called from several threads at once, and see what other processes
    commit; writing methods are called by one writer at a time, which the gallery's lock ensures.
    Errors are GalleryError and its kinds.
    """

    @property
    def name(self) -> str:
        """What the engine is called in a gallery's description."""
        ...

    def add(
        self,
        rows: Sequence[Row],
        vectors: NDArray[np.float32],
        *,
        remove: Sequence[str] = (),
    ) -> None:
        """Remove the keys ``remove``, then insert or replace ``rows`` with ``vectors`` [N, D].

        Where the engine has transactions, all of it or nothing happens.
        """
        ...

    def remove(self, keys: Sequence[str]) -> int:
        """Remove rows; unknown keys are passed over. Returns how many there were."""
        ...

    def update(self, rows: Sequence[Row]) -> int:
        """Give rows that are here, by key, a new label, URL and metadata.

        Their hash and vector stay as they are, whatever the given rows say; unknown keys are
        passed over. Returns how many there were.
        """
        ...

    def search(
        self,
        vectors: NDArray[np.float32],
        k: int,
        *,
        offset: int = 0,
        filter: Filter | None = None,
        exact: bool = False,
    ) -> list[list[Hit]]:
        """For each query of ``vectors`` [Q, D] its ``k`` nearest rows, from rank ``offset`` on.

        Only rows that pass ``filter`` are ranked. Distances are Euclidean in float64; equal ones
        are ordered by key. Which rows are nearest may be left to an index that misses a few;
        ``exact`` compares with every vector instead. Raises GalleryError for k < 1, offset < 0 or
        vectors of another shape.
        """
        ...

    def get(self, keys: Sequence[str]) -> list[Row]:
        """The rows of ``keys``, in that order; unknown keys are left out."""
        ...

    def find(self, hashes: Sequence[str]) -> dict[str, str]:
        """Key by content hash, for those of ``hashes`` that are here."""
        ...

    def scan(self, offset: int = 0, limit: int = 100, label: str | None = None) -> list[Row]:
        """Rows in the order of their keys, ``limit`` from ``offset``; of one label if given."""
        ...

    def walk(self, after: str = "", limit: int = 1000, label: str | None = None) -> list[Row]:
        """``limit`` rows whose keys come after ``after``, in their order; of one label if given.

        From key to key a gallery of any size is gone through in flat memory, and rows that come or
        go meanwhile shift nothing.
        """
        ...

    def labels(self) -> dict[str | None, int]:
        """How many rows each label has; None stands for rows without one."""
        ...

    def vectors(self, keys: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of ``keys`` [N, D]. Raises KeyNotFound for the first unknown one."""
        ...

    def count(self) -> int:
        """How many rows there are."""
        ...

    def describe(self) -> dict[str, Any]:
        """How it searches now, as JSON values.

        At least ``index`` ("flat", "ivf", ...), ``exact`` (whether `search` always finds the very
        nearest), ``vectors`` (how many) and ``bytes`` (what all of it takes on disk).
        """
        ...

    def close(self) -> None:
        """Let go of files and connections. The engine can't be used afterwards."""
        ...


class Walked(Protocol):
    """What has `Engine.walk`: an engine, or a gallery."""

    def walk(self, after: str = "", limit: int = 1000, label: str | None = None) -> list[Row]:
        """See `Engine.walk`."""
        ...


def pages(
    rows: Walked, *, after: str = "", size: int = 1000, label: str | None = None
) -> Iterator[list[Row]]:
    """All rows whose keys come after ``after``, in their order, ``size`` at a time: flat memory
    at any size, and rows may change or go on the way."""
    while page := rows.walk(after, size, label):
        yield page
        after = page[-1].key
