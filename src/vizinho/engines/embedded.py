"""The default engine: a SQLite file is the catalogue of record, vectors are searched in memory.

The file holds everything, vectors too, so there is no second copy that could contradict it. What is
searched is made of it: a large gallery's vectors from the files beside it
(`vizinho.engines.derived`), what they don't have yet, or all of it, from the catalogue; and brought
up to date when another process has committed. A row never changes its vector: a replaced one gets a
new id, and ids are never used twice, so what is new is what has a higher id than any seen, and what
went is listed. Both are read in as much time as there is new.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.engines import derived, schema
from vizinho.engines.catalogue import COLUMNS, Catalogue, metadata_text
from vizinho.engines.derived import Stale
from vizinho.engines.following import Follower
from vizinho.engines.protocol import Row
from vizinho.engines.snapshot import Snapshot
from vizinho.engines.sqlite import connect, explained, transaction
from vizinho.errors import GalleryDamaged, GalleryError, KeyNotFound
from vizinho.progress import Progress

_FLOAT32 = np.dtype("<f4")
_MEND = "`vizinho doctor --fix` mends what it can."
# A catalogue of format 1 keeps no count.
_COUNT = "SELECT count(*) FROM images"


class EmbeddedEngine(Catalogue):
    """Rows and vectors in one SQLite file, searched exactly. See `vizinho.engines.Engine`."""

    name = "embedded"

    def __init__(self, path: Path, connection: sqlite3.Connection, dimension: int) -> None:
        super().__init__(path, connection, dimension)
        self._follower = Follower(path, connection, dimension)

    @classmethod
    def create(cls, path: Path, dimension: int) -> EmbeddedEngine:
        """Make the file ``path``, which must not exist, for vectors of ``dimension``."""
        with explained(path):
            connection = connect(path, create=True)
            with transaction(connection):
                schema.create(connection, dimension)
        return cls(path, connection, dimension)

    @classmethod
    def open(cls, path: Path) -> EmbeddedEngine:
        """Open the file ``path``. Raises GalleryDamaged when it is missing or not a catalogue."""
        if not path.is_file():
            raise GalleryDamaged(f"{path} is missing.", _MEND)
        with explained(path):
            connection = connect(path)
            try:
                version = schema.version(connection)
                if version not in schema.READABLE:
                    raise GalleryError(
                        f"{path} has format {version}; this Vizinho reads {schema.VERSION}.",
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
            gone = self._delete([*remove, *(row.key for row in rows)])
            for record, vector in zip(records, vectors, strict=True):
                cursor = db.execute(
                    f"INSERT INTO images ({COLUMNS}) VALUES (?, ?, ?, ?, ?)", record
                )
                blob = vector.astype(_FLOAT32).tobytes()
                db.execute("INSERT INTO vectors VALUES (?, ?)", (cursor.lastrowid, blob))
            self._counted(len(records) - gone)

    def remove(self, keys: Sequence[str]) -> int:
        """Remove rows in one transaction; returns how many there were."""
        with self._writing():
            gone = self._delete(keys)
            self._counted(-gone)
            return gone

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
                self._db.execute("INSERT INTO removed (id) VALUES (?)", found)
                removed += 1
        return removed

    def vectors(self, keys: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of ``keys`` [N, D]. Raises KeyNotFound."""
        query = "SELECT key, vector FROM images JOIN vectors USING (id) WHERE key IN"
        found = dict(self._select_in(query, keys))
        for key in keys:
            if key not in found:
                raise KeyNotFound(f"The gallery has no picture {key!r}.")
        return self._follower.matrix(found[key] for key in keys)

    def count(self) -> int:
        """How many rows there are."""
        for query in ("SELECT value FROM about WHERE name = 'count'", _COUNT):
            if found := self._select(query, []):
                return int(found[0][0])
        return 0

    def stamp(self) -> tuple[int, int]:
        """What tells whether pictures came or went: the first number grows when one is added or
        replaced, the second when one is removed or replaced. Labels change neither.

        The same in every process: ids and removals ever given.
        """
        with self._lock, explained(self.path), transaction(self._db, reading=True):
            removal = 0 if self._follower.old_format() else schema.last_removal(self._db)
            return schema.last_id(self._db), removal

    def options(self, *, latency_ms: float | None = None, recall: float | None = None) -> None:
        """Remember how the gallery is to be searched; None leaves an option as it is.

        Raises GalleryError for a latency that is not above 0 or a recall not in 0.5..1.
        """
        if latency_ms is not None and not 0 < latency_ms < 1e6:
            raise GalleryError(
                f"A latency of {latency_ms} ms can't be kept to.", "Give one above 0."
            )
        if recall is not None and not 0.5 <= recall <= 1:
            raise GalleryError(f"A recall of {recall} makes no sense.", "Give one from 0.5 to 1.")
        given = {"latency_ms": latency_ms, "recall": recall}
        with self._writing() as db:
            for name, value in given.items():
                if value is not None:
                    db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, float(value)))

    def due(self) -> str:
        """Why the derived index should be made (anew), or nothing."""
        from vizinho.engines import upkeep

        if self.stale:
            return self._follower.stale
        with self._lock, explained(self.path), transaction(self._db, reading=True):
            if self._follower.old_format():
                return "the catalogue is of an older format"
            return upkeep.state(self._db, self._folder).reason

    @property
    def stale(self) -> bool:
        """Whether there is a derived index that could not be used: only `optimise` by ``force``
        makes such a one anew from another process."""
        with self._lock, explained(self.path):
            if self._follower.stale:
                # Another process may have made it anew since.
                self._follower.current()
            return bool(self._follower.stale)

    def optimise(self, *, force: bool = False, progress: Progress | None = None) -> bool:
        """Make the derived index if that is due, or by ``force``; returns whether it was made.

        Searches and changes go on meanwhile, here and in other processes; a kill leaves the index
        that there was. Raises GalleryBusy while another process makes it, GalleryError.
        """
        from vizinho.engines import building

        # Not with this connection: searches need it.
        made = building.build(
            self.path, force=force or bool(self._follower.stale), progress=progress
        )
        with self._lock:
            self._follower.stale = ""
            self._follower.forget()
        return made is not None

    def check(self) -> list[str]:
        """What is wrong with the derived files, in words; reads all of them. `optimise` with
        ``force`` makes them anew."""
        with self._lock, explained(self.path), transaction(self._db, reading=True):
            if self._follower.old_format():
                return []
            about = schema.about(self._db)
        if about.index.startswith(schema.NO_INDEX):
            return []
        folder = self._folder / about.index
        try:
            manifest = derived.read_manifest(folder)
        except Stale as error:
            return [f"The search index can't be used: {error}."]
        damaged = derived.damaged_files(folder, manifest)
        return [f"The search index is damaged: {folder / name}." for name in damaged]

    def describe(self) -> dict[str, Any]:
        """How it searches now; with the index's own figures where there is one."""
        from vizinho.engines import upkeep

        told: dict[str, Any] = {"index": "flat", "exact": True, "vectors": self.count()}
        told["bytes"] = self.path.stat().st_size
        with self._lock, explained(self.path), transaction(self._db, reading=True):
            if self._follower.old_format():
                return told
            now = upkeep.state(self._db, self._folder)
        manifest, options = now.manifest, now.about.options
        told |= {"latency_ms": options.latency_ms, "recall": options.recall}
        told |= {"due": self._follower.stale or now.reason, "removed": now.removed}
        if manifest is not None:
            told |= {"index": manifest.kind, "exact": manifest.kind == "flat", "why": manifest.why}
            told["bytes"] += manifest.bytes
            told |= {"mapped": manifest.count, "tail": now.tail, "made": manifest.made}
            told |= {"seconds": manifest.seconds, "exact_ms": manifest.exact_ms}
            if manifest.kind == "ivf":
                told |= {"index_ms": manifest.index_ms, "cells": manifest.cells}
                told |= {"probes": manifest.probes, "measured_recall": manifest.measured_recall}
        return told

    @property
    def _folder(self) -> Path:
        return self.path.with_name(derived.FOLDER)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, explained(self.path), transaction(self._db):
            # data_version speaks of other connections' commits only.
            self._follower.forget()
            schema.upgrade(self._db)
            yield self._db

    def _counted(self, more: int) -> None:
        self._db.execute("UPDATE about SET value = value + ? WHERE name = 'count'", (more,))

    def _current(self) -> Snapshot:
        """The vectors as last committed, by this process or another."""
        try:
            with self._lock:
                return self._follower.current()
        except sqlite3.Error:
            with explained(self.path):
                raise
