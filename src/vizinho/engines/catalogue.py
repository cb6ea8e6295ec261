"""A SQLite file of rows, read: what every engine that keeps one has in common.

An engine adds where its vectors come from, and what may be written.
"""

from __future__ import annotations

import functools
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vizinho.engines.filters import where
from vizinho.engines.flat import Nearest, trimmed
from vizinho.engines.protocol import Filter, Hit, Row
from vizinho.engines.snapshot import Snapshot
from vizinho.engines.sqlite import explained
from vizinho.errors import GalleryError

COLUMNS = "key, url, hash, label, metadata"
_MANY = 5000  # values bound in one statement; SQLite allows 32,766
_FEW = 100  # rows of a usual page
_LARGEST = 1e17  # squares of larger ones don't add up in float32, where FAISS finds nothing
_RETRIES = 5
_FILTERED = 100  # of so many of the nearest it is asked whether enough pass a filter


class Catalogue:
    """The reading half of an engine over a table ``images``; see `vizinho.engines.Engine`."""

    order = "key"
    """The column that has the order of the keys."""

    def __init__(self, path: Path, connection: sqlite3.Connection, dimension: int) -> None:
        self.path = path
        self.dimension = dimension
        self._db = connection
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def search(
        self,
        vectors: NDArray[np.float32],
        k: int,
        *,
        offset: int = 0,
        filter: Filter | None = None,
        exact: bool = False,
    ) -> list[list[Hit]]:
        """The ``k`` nearest rows of each query, exactly, after skipping ``offset``."""
        if k < 1 or offset < 0:
            raise GalleryError(f"k is {k} and offset {offset}: k must be 1 or more, offset 0.")
        vectors = self._checked(vectors, len(vectors))
        for attempt in range(_RETRIES):
            current = self._current()
            nearest = self._nearest(current, vectors, offset + k, filter, exact)
            if len(nearest) == 1:
                wanted = nearest[0][0].tolist()
            else:
                # Not np.unique: it loads numpy.ma, 10 ms of a function's first answer.
                wanted = sorted({one for ids, _ in nearest for one in ids.tolist()})
            rows = self._rows_by_id(wanted, filter)
            # Another process may have removed a row between the two reads, or said something else
            # of it, so that it does not pass any more: then look again.
            if len(rows) == len(wanted) or attempt == _RETRIES - 1:
                break
        return [_ranked(ids, distances, rows, k, offset) for ids, distances in nearest]

    def _nearest(
        self,
        current: Snapshot,
        vectors: NDArray[np.float32],
        need: int,
        filter: Filter | None,
        exact: bool,
    ) -> list[Nearest]:
        """Ids and distances of the ``need`` nearest that pass, closest first.

        With a filter an index helps where enough of the nearest pass, as many as it was measured
        to find; else the vectors of all that pass are compared.
        """
        if not filter:
            return current.nearest(vectors, need, exact=exact)
        if not exact and (reach := current.reach(max(need, _FILTERED))) is not None:
            found = current.nearest(vectors, reach)
            wanted = sorted({one for ids, _ in found for one in ids.tolist()})
            some = self._passing(filter, wanted)
            passing = [(ids[(ok := np.isin(ids, some))], far[ok]) for ids, far in found]
            if all(len(ids) >= need for ids, _ in passing):
                return [trimmed(ids, far, need) for ids, far in passing]
        return current.nearest(vectors, need, among=self._passing(filter))

    def get(self, keys: Sequence[str]) -> list[Row]:
        """The rows of ``keys``, in that order; unknown keys are left out."""
        query = f"SELECT {COLUMNS} FROM images WHERE key IN"
        found = {row.key: row for row in map(row_of, self._select_in(query, keys))}
        return [found[key] for key in keys if key in found]

    def find(self, hashes: Sequence[str]) -> dict[str, str]:
        """Key by content hash, for those of ``hashes`` that are here."""
        return dict(self._select_in("SELECT hash, key FROM images WHERE hash IN", hashes))

    def scan(self, offset: int = 0, limit: int = 100, label: str | None = None) -> list[Row]:
        """Rows in the order of their keys."""
        condition, values = where({} if label is None else {"label": label})
        query = (
            f"SELECT {COLUMNS} FROM images WHERE {condition} ORDER BY {self.order} LIMIT ? OFFSET ?"
        )
        return [row_of(record) for record in self._select(query, [*values, limit, offset])]

    def walk(self, after: str = "", limit: int = 1000, label: str | None = None) -> list[Row]:
        """The next rows in the order of their keys."""
        condition, values = where({} if label is None else {"label": label})
        query = f"SELECT {COLUMNS} FROM images WHERE {condition} AND key > ? ORDER BY key LIMIT ?"
        return [row_of(record) for record in self._select(query, [*values, after, limit])]

    def labels(self) -> dict[str | None, int]:
        """How many rows each label has."""
        return dict(self._select("SELECT label, count(*) FROM images GROUP BY label", []))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _current(self) -> Snapshot:
        """The vectors as they are now, by id."""
        raise NotImplementedError

    def _checked(self, vectors: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if vectors.shape != (count, self.dimension):
            raise GalleryError(
                f"Vectors of shape {list(vectors.shape)} were given to a gallery that takes "
                f"[{count}, {self.dimension}]."
            )
        if not (np.abs(vectors) < _LARGEST).all():
            raise GalleryError("A vector holds numbers that are not finite, or beyond 1e17.")
        return vectors

    def _select(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            with self._lock:
                return self._db.execute(query, values).fetchall()
        except sqlite3.Error:
            with explained(self.path):
                raise

    def _select_in(
        self, query: str, values: Sequence[Any], before: Sequence[Any] = ()
    ) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(values), _MANY):
            part = values[start : start + _MANY]
            yield from self._select(f"{query} ({_marks(len(part))})", [*before, *part])

    def _rows_by_id(self, ids: Sequence[int], filter: Filter | None) -> dict[int, Row]:
        """The rows of ``ids`` that are there and pass."""
        # This is a good part of a search that an index has made short: nothing is done twice here.
        if not filter and 0 < len(ids) <= _FEW:
            records = self._select(_by_id(len(ids)), ids)
        else:
            condition, values = where(filter or {})
            query = f"SELECT {COLUMNS}, id FROM images WHERE {condition} AND id IN"
            records = list(self._select_in(query, ids, values))
        return {
            id: Row(key, url, hash, label, {} if metadata == "{}" else json.loads(metadata))
            for key, url, hash, label, metadata, id in records
        }

    def _passing(self, filter: Filter, among: Sequence[int] | None = None) -> NDArray[np.int64]:
        """Ids of the rows that pass, of all or of ``among``."""
        condition, values = where(filter)
        query = f"SELECT id FROM images WHERE {condition}"
        if among is None:
            found: Iterable[tuple[Any, ...]] = self._select(query, values)
        else:
            found = self._select_in(f"{query} AND id IN", among, values)
        return np.array([id for (id,) in found], np.int64)


@functools.cache
def _marks(count: int) -> str:
    return ", ".join("?" * count)


@functools.cache
def _by_id(count: int) -> str:
    # A sixth faster than IN, for which SQLite would make a sorted table first.
    values = ", ".join(["(?)"] * count)
    return (
        f"WITH wanted (number) AS (VALUES {values}) "
        f"SELECT {COLUMNS}, id FROM wanted CROSS JOIN images ON id = number"
    )


def row_of(record: Sequence[Any]) -> Row:
    """The row of one record that begins with `COLUMNS`."""
    key, url, hash, label, metadata = record[:5]
    return Row(key, url, hash, label, {} if metadata == "{}" else json.loads(metadata))


def metadata_text(row: Row, *, sort: bool = False) -> str:
    """A row's metadata as it is kept, its names sorted or as they came. Raises GalleryError."""
    try:
        text = json.dumps(row.metadata, ensure_ascii=False, allow_nan=False, sort_keys=sort)
        text.encode()  # half a surrogate pair is valid JSON and no text
        return text
    except (TypeError, ValueError, RecursionError) as error:
        raise GalleryError(f"The metadata of {row.key!r} can't be kept: {error}.") from error


def _ranked(
    ids: NDArray[np.int64],
    distances: NDArray[np.float64],
    rows: dict[int, Row],
    k: int,
    offset: int,
) -> list[Hit]:
    hits = [
        Hit(row.key, distance, row)
        for id, distance in zip(ids.tolist(), distances.tolist(), strict=True)
        if (row := rows.get(id)) is not None
    ]
    hits.sort(key=_order)
    return hits[offset : offset + k]


def _order(hit: Hit) -> tuple[float, str]:
    return hit.distance, hit.key
