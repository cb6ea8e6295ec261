"""The engine of a packed gallery: what never changes again, read from disk as far as it is asked.

::

    catalogue.sqlite   the rows, by id 1..N in the order of their keys
    vectors.npy        float32 [N, D]: row i is the vector of id i + 1

Both are opened as files that nobody writes: no lock, no journal, nothing beside them. So they may
lie on a medium that can't be written, and be read by any number of processes, who share one copy of
the vectors in the page cache.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vizinho.engines.catalogue import COLUMNS, Catalogue, metadata_text, row_of
from vizinho.engines.flat import FlatVectors
from vizinho.engines.protocol import Row
from vizinho.engines.snapshot import Snapshot
from vizinho.engines.sqlite import connect, explained
from vizinho.errors import GalleryDamaged, GalleryError, KeyNotFound

VECTORS = "vectors.npy"
_AGAIN = "Pack or fetch the gallery again."
_FLOAT32 = np.dtype("<f4")
# Far from the embedded engine's, so that neither takes the other's file for its own.
_VERSION = 1001
_SCHEMA = """CREATE TABLE images (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    url TEXT NOT NULL,
    hash TEXT NOT NULL,
    label TEXT,
    metadata TEXT NOT NULL
)"""
# Hashes have none: only who writes looks rows up by them.
_INDEXES = (
    "CREATE UNIQUE INDEX images_key ON images (key)",
    "CREATE INDEX images_label ON images (label)",
)


class PackedEngine(Catalogue):
    """Rows in SQLite, vectors memory-mapped, both for reading only. See `vizinho.engines.Engine`.

    It answers as the embedded engine over the same rows does; `add` and `remove` raise.
    """

    name = "packed"
    order = "id"

    def __init__(
        self, path: Path, connection: sqlite3.Connection, matrix: NDArray[np.float32]
    ) -> None:
        super().__init__(path, connection, matrix.shape[1])
        # A sketch would be a copy in memory, made during somebody's request.
        self._flat = FlatVectors(np.arange(1, len(matrix) + 1), matrix, sketches=False)
        self._snapshot = Snapshot.of(self._flat, self.name, len(matrix), 0, mapped=True)

    @classmethod
    def open(cls, path: Path) -> PackedEngine:
        """Open the catalogue ``path`` and the vectors beside it; reads neither of them.

        Raises GalleryDamaged when one is missing, cut short or not of the other.
        """
        matrix = _mapped(path.with_name(VECTORS))
        if not path.is_file():
            raise GalleryDamaged(f"{path} is missing.", _AGAIN)
        with explained(path):
            connection = connect(path, immutable=True)
            try:
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version != _VERSION:
                    raise GalleryDamaged(
                        f"{path} is no catalogue of a packed gallery of this Vizinho.", _AGAIN
                    )
                (last,) = connection.execute("SELECT max(id) FROM images").fetchone()
            except BaseException:
                connection.close()
                raise
        if (last or 0) != len(matrix):
            connection.close()
            raise GalleryDamaged(
                f"{path} has {last or 0} rows, and {VECTORS} beside it {len(matrix)}.", _AGAIN
            )
        return cls(path, connection, matrix)

    def add(
        self,
        rows: Sequence[Row],
        vectors: NDArray[np.float32],
        *,
        remove: Sequence[str] = (),
    ) -> None:
        """Raises GalleryError: a packed gallery doesn't change."""
        raise read_only(self.path.parent)

    def remove(self, keys: Sequence[str]) -> int:
        """Raises GalleryError: a packed gallery doesn't change."""
        raise read_only(self.path.parent)

    def update(self, rows: Sequence[Row]) -> int:
        """Raises GalleryError: a packed gallery doesn't change."""
        raise read_only(self.path.parent)

    def scan(self, offset: int = 0, limit: int = 100, label: str | None = None) -> list[Row]:
        """Rows in the order of their keys."""
        if label is not None:
            return super().scan(offset, limit, label)
        # Ids are ranks: a deep page costs no more than the first.
        query = f"SELECT {COLUMNS} FROM images WHERE id > ? ORDER BY id LIMIT ?"
        return [row_of(record) for record in self._select(query, [offset, limit])]

    def vectors(self, keys: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of ``keys`` [N, D]. Raises KeyNotFound."""
        found = dict(self._select_in("SELECT key, id FROM images WHERE key IN", keys))
        for key in keys:
            if key not in found:
                raise KeyNotFound(f"The gallery has no picture {key!r}.")
        places = np.fromiter((found[key] - 1 for key in keys), np.int64, len(keys))
        return self._flat.matrix[places]

    def count(self) -> int:
        """How many rows there are."""
        return len(self._flat.ids)

    def describe(self) -> dict[str, Any]:
        """How it searches: every vector is compared."""
        files = (self.path, self.path.with_name(VECTORS))
        return {
            "index": "flat",
            "exact": True,
            "vectors": self.count(),
            "bytes": sum(file.stat().st_size for file in files),
        }

    def _current(self) -> Snapshot:
        return self._snapshot


def read_only(gallery: Path) -> GalleryError:
    """What to raise when a packed gallery is to be written."""
    return GalleryError(
        f"{gallery} is packed: it can be searched, not changed.",
        "Change the gallery that it was made of, and pack that one again.",
    )


class PackedWriter:
    """Writes the two files of a packed gallery into an empty folder, rows in the order of keys.

    Memory stays flat however many rows come. Equal rows and vectors give equal bytes (with one
    version of SQLite, which writes its own number into the file).
    """

    def __init__(self, catalogue: Path, count: int, dimension: int) -> None:
        self._path = catalogue
        self._count = count
        self._dimension = dimension
        self._written = 0
        self._last = ""
        with explained(catalogue):
            self._db = sqlite3.connect(catalogue, isolation_level=None)
            # The folder is new, and thrown away if this fails: nothing has to survive a crash.
            for pragma in ("journal_mode = OFF", "synchronous = OFF", "page_size = 4096"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.execute("BEGIN")
            self._db.execute(_SCHEMA)
            self._db.execute(f"PRAGMA user_version = {_VERSION}")
        self._file: IO[bytes] = catalogue.with_name(VECTORS).open("wb")
        header = {"descr": _FLOAT32.str, "fortran_order": False, "shape": (count, dimension)}
        np.lib.format.write_array_header_1_0(self._file, header)

    def add(self, rows: Sequence[Row], vectors: NDArray[np.float32]) -> None:
        """Append rows with their vectors [N, D]. Raises GalleryError.

        Raises GalleryError for keys out of order: then the source changed while it was read.
        """
        if vectors.shape != (len(rows), self._dimension):
            raise GalleryError(f"{len(rows)} rows came with vectors {list(vectors.shape)}.")
        records = []
        for number, row in enumerate(rows, self._written + 1):
            if number > 1 and row.key <= self._last:
                raise GalleryError("The gallery changed while it was packed.", "Pack it again.")
            self._last = row.key
            text = metadata_text(row, sort=True)
            records.append((number, row.key, row.url, row.hash, row.label, text))
        with explained(self._path):
            self._db.executemany(
                f"INSERT INTO images (id, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", records
            )
        self._file.write(np.ascontiguousarray(vectors, _FLOAT32).data)
        self._written += len(rows)

    def finish(self) -> None:
        """Write the indexes and close. Raises GalleryError, also when rows are missing."""
        if self._written != self._count:
            raise GalleryError("The gallery changed while it was packed.", "Pack it again.")
        with explained(self._path):
            for statement in _INDEXES:
                self._db.execute(statement)
            self._db.execute("COMMIT")
        self.close()

    def close(self) -> None:
        """Let go of the files, finished or not."""
        self._file.close()
        with suppress(sqlite3.Error):
            self._db.close()


def _mapped(path: Path) -> NDArray[np.float32]:
    try:
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise GalleryDamaged(f"{path} is missing.", _AGAIN) from error
    except (OSError, ValueError, EOFError) as error:
        raise GalleryDamaged(f"{path} is damaged: {error}.", _AGAIN) from error
    if not isinstance(matrix, np.ndarray) or matrix.dtype != _FLOAT32 or matrix.ndim != 2:
        raise GalleryDamaged(f"{path} is damaged: it holds no float32 [N, D].", _AGAIN)
    # A plain view: every slice of a memmap would be one again, which costs time.
    return np.asarray(matrix)
