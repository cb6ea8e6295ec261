"""The default engine: a SQLite file is the catalogue of record, vectors are searched in memory.

The file holds everything, vectors too, so there is no second copy that could contradict it: the
matrix in memory is read from it, and brought up to date when another process has committed.
A row never changes its vector: a replaced one gets a new id, and ids are never used twice, so what
is new is what has a higher id than any seen.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.engines.catalogue import COLUMNS, Catalogue, metadata_text
from vizinho.engines.flat import FlatVectors
from vizinho.engines.protocol import Row
from vizinho.engines.sqlite import connect, explained, transaction
from vizinho.errors import GalleryDamaged, GalleryError, KeyNotFound

_SCHEMA = """
CREATE TABLE images (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    url TEXT NOT NULL,
    hash TEXT NOT NULL,
    label TEXT,
    metadata TEXT NOT NULL
);
CREATE INDEX images_hash ON images (hash);
CREATE INDEX images_label ON images (label);
CREATE TABLE vectors (id INTEGER PRIMARY KEY REFERENCES images (id), vector BLOB NOT NULL);
CREATE TABLE about (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
"""
_VERSION = 1
_FLOAT32 = np.dtype("<f4")


class EmbeddedEngine(Catalogue):
    """Rows and vectors in one SQLite file, searched exactly. See `vizinho.engines.Engine`."""

    name = "embedded"

    def __init__(self, path: Path, connection: sqlite3.Connection, dimension: int) -> None:
        super().__init__(path, connection, dimension)
        self._flat = FlatVectors(np.empty(0, np.int64), np.empty((0, dimension), np.float32))
        self._seen: int | None = None

    @classmethod
    def create(cls, path: Path, dimension: int) -> EmbeddedEngine:
        """Make the file ``path``, which must not exist, for vectors of ``dimension``."""
        with explained(path):
            connection = connect(path, create=True)
            with transaction(connection):
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute("INSERT INTO about VALUES ('dimension', ?)", (dimension,))
                connection.execute(f"PRAGMA user_version = {_VERSION}")
        return cls(path, connection, dimension)

    @classmethod
    def open(cls, path: Path) -> EmbeddedEngine:
        """Open the file ``path``. Raises GalleryDamaged when it is missing or not a catalogue."""
        if not path.is_file():
            raise GalleryDamaged(f"{path} is missing.", "Index the pictures again.")
        with explained(path):
            connection = connect(path)
            try:
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version != _VERSION:
                    raise GalleryError(
                        f"{path} has format {version}; this Vizinho reads {_VERSION}.",
                        "Index the pictures again, or use the Vizinho that made it.",
                    )
                query = "SELECT value FROM about WHERE name = 'dimension'"
                (dimension,) = connection.execute(query).fetchone()
            except BaseException:
                connection.close()
                raise
        return cls(path, connection, int(dimension))

    def add(
        self,
        rows: Sequence[Row],
        vectors: NDArray[np.float32],
        *,
        remove: Sequence[str] = (),
    ) -> None:
        """Remove keys, then insert or replace rows, in one transaction."""
        vectors = self._checked(vectors, len(rows))
        records = [(row.key, row.url, row.hash, row.label, metadata_text(row)) for row in rows]
        with self._writing() as db:
            self._delete([*remove, *(row.key for row in rows)])
            for record, vector in zip(records, vectors, strict=True):
                cursor = db.execute(
                    f"INSERT INTO images ({COLUMNS}) VALUES (?, ?, ?, ?, ?)", record
                )
                blob = vector.astype(_FLOAT32).tobytes()
                db.execute("INSERT INTO vectors VALUES (?, ?)", (cursor.lastrowid, blob))

    def remove(self, keys: Sequence[str]) -> int:
        """Remove rows in one transaction; returns how many there were."""
        with self._writing():
            return self._delete(keys)

    def update(self, rows: Sequence[Row]) -> int:
        """Give rows a new label, URL and metadata in one transaction; how many there were."""
        records = [(row.url, row.label, metadata_text(row), row.key) for row in rows]
        query = "UPDATE images SET url = ?, label = ?, metadata = ? WHERE key = ?"
        with self._writing() as db:
            return sum(db.execute(query, record).rowcount for record in records)

    def _delete(self, keys: Sequence[str]) -> int:
        removed = 0
        for key in keys:
            found = self._db.execute("SELECT id FROM images WHERE key = ?", (key,)).fetchone()
            if found is not None:
                self._db.execute("DELETE FROM vectors WHERE id = ?", found)
                self._db.execute("DELETE FROM images WHERE id = ?", found)
                removed += 1
        return removed

    def vectors(self, keys: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of ``keys`` [N, D]. Raises KeyNotFound."""
        query = "SELECT key, vector FROM images JOIN vectors USING (id) WHERE key IN"
        found = dict(self._select_in(query, keys))
        for key in keys:
            if key not in found:
                raise KeyNotFound(f"The gallery has no picture {key!r}.")
        return self._matrix([found[key] for key in keys])

    def count(self) -> int:
        """How many rows there are."""
        ((count,),) = self._select("SELECT count(*) FROM images", [])
        return int(count)

    def describe(self) -> dict[str, Any]:
        """How it searches now: every vector is compared."""
        return {
            "index": "flat",
            "exact": True,
            "vectors": self.count(),
            "bytes": self.path.stat().st_size,
        }

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, explained(self.path), transaction(self._db):
            # data_version speaks of other connections' commits only.
            self._seen = None
            yield self._db

    def _matrix(self, blobs: Iterable[bytes]) -> NDArray[np.float32]:
        data = b"".join(blobs)
        try:
            matrix = np.frombuffer(data, _FLOAT32).reshape(-1, self.dimension)
        except ValueError as error:
            raise GalleryDamaged(
                f"{self.path} holds vectors of a wrong length.", "Index the pictures again."
            ) from error
        return matrix.astype(np.float32, copy=False)

    def _current(self) -> FlatVectors:
        """The vectors as last committed, by this process or another."""
        with self._lock, explained(self.path):
            # Asked before reading: a commit in between is then seen the next time.
            (seen,) = self._db.execute("PRAGMA data_version").fetchone()
            if seen != self._seen:
                with transaction(self._db, reading=True):
                    self._flat = self._updated(self._flat)
                self._seen = seen
            return self._flat

    def _updated(self, old: FlatVectors) -> FlatVectors:
        last = int(old.ids[-1]) if len(old.ids) else 0
        records = self._db.execute(
            "SELECT id, vector FROM vectors WHERE id > ? ORDER BY id", (last,)
        ).fetchall()
        new_ids = np.fromiter((id for id, _ in records), np.int64, len(records))
        new = self._matrix(blob for _, blob in records)
        (count,) = self._db.execute("SELECT count(*) FROM vectors").fetchone()
        ids, matrix = old.ids, old.matrix
        if count != len(ids) + len(new_ids):
            records = self._db.execute("SELECT id FROM vectors WHERE id <= ?", (last,)).fetchall()
            alive = np.isin(ids, np.fromiter((id for (id,) in records), np.int64, len(records)))
            ids, matrix = ids[alive], matrix[alive]
        if len(ids) == 0:
            return FlatVectors(new_ids, new)
        return FlatVectors(np.concatenate([ids, new_ids]), np.concatenate([matrix, new]))
