"""Keeping up with a catalogue: what one process searches, as last committed by any."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vizinho.engines import derived, schema
from vizinho.engines.derived import Stale
from vizinho.engines.flat import NO_PLACES, FlatVectors
from vizinho.engines.snapshot import Snapshot
from vizinho.engines.sqlite import transaction
from vizinho.errors import GalleryDamaged

_FLOAT32 = np.dtype("<f4")
# An index may be replaced, and the old one deleted, between reading its name and opening it.
_TRIES = 3
# Vectors compared with the catalogue when their file is opened.
_COMPARED = 8


class Follower:
    """The vectors of the catalogue ``path``, read over a connection that is used by one thread at a
    time. ``stale`` says what was wrong with the derived files when they were last opened."""

    def __init__(self, path: Path, db: sqlite3.Connection, dimension: int) -> None:
        self.stale = ""
        self._path = path
        self._db = db
        self._dimension = dimension
        self._folder = path.with_name(derived.FOLDER)
        self._snapshot: Snapshot | None = None
        self._seen: int | None = None

    def current(self) -> Snapshot:
        """The vectors as last committed, by this process or another."""
        # Asked before reading: a commit in between is then seen the next time.
        (seen,) = self._db.execute("PRAGMA data_version").fetchone()
        if seen != self._seen or self._snapshot is None:
            for tries in range(_TRIES):
                with transaction(self._db, reading=True):
                    snapshot = self._updated(self._snapshot, patient=tries + 1 < _TRIES)
                if snapshot is not None:
                    self._snapshot = snapshot
                    break
            assert self._snapshot is not None
            self._seen = seen
        return self._snapshot

    def forget(self) -> None:
        """Look again the next time, though no other connection has committed."""
        self._seen = None

    def old_format(self) -> bool:
        """Whether the catalogue is still one of format 1."""
        return schema.version(self._db) == 1

    def matrix(self, blobs: Iterable[bytes]) -> NDArray[np.float32]:
        """Vectors [N, D] as the catalogue holds them. Raises GalleryDamaged."""
        try:
            matrix = np.frombuffer(b"".join(blobs), _FLOAT32).reshape(-1, self._dimension)
        except ValueError as error:
            raise GalleryDamaged(
                f"{self._path} holds vectors of a wrong length.",
                "`vizinho doctor --fix` mends what it can.",
            ) from error
        return matrix.astype(np.float32, copy=False)

    def _updated(self, old: Snapshot | None, *, patient: bool) -> Snapshot | None:
        """The snapshot as it is now; None when its index can't be used and, ``patient``, one looks
        again whether there is another by now."""
        if self.old_format():
            # What was removed is not listed there; nor will it change often by an older Vizinho.
            return self._loaded(schema.NO_INDEX)
        index = schema.about(self._db).index
        if old is None or old.index != index:
            found = self._opened(index)
            if found is None and patient:
                return None
            old = self._loaded(index) if found is None else found
        records = self._db.execute(
            "SELECT seq, id FROM removed WHERE seq > ? ORDER BY seq", (old.last_removal,)
        ).fetchall()
        removed = np.fromiter((id for _, id in records), np.int64, len(records))
        last_removal = records[-1][0] if records else old.last_removal
        return old.grown(*self._after(old.last_id), removed, last_removal).folded()

    def _opened(self, index: str) -> Snapshot | None:
        """What the derived files hold, if they can be used; without any, what the catalogue has."""
        if index.startswith(schema.NO_INDEX):
            self.stale = ""
            return self._loaded(index)
        try:
            folder = self._folder / index
            manifest = derived.read_manifest(folder)
            base, ivf = derived.open_base(folder, manifest)
            self._compare(base)
        except Stale as error:
            self.stale = str(error)
            return None
        self.stale = ""
        return Snapshot.of(base, index, manifest.last_id, manifest.last_removal, ivf, mapped=True)

    def _loaded(self, index: str) -> Snapshot:
        """All vectors, read from the catalogue."""
        removals = 0 if self.old_format() else schema.last_removal(self._db)
        ids, matrix = self._after(0)
        last = int(ids[-1]) if len(ids) else 0
        return Snapshot.of(FlatVectors(ids, matrix), index, last, removals)

    def _compare(self, base: FlatVectors) -> None:
        """Look at a few vectors of a file beside those of the catalogue. Raises Stale."""
        if base.matrix.shape[1] != self._dimension:
            raise Stale(f"vectors of length {base.matrix.shape[1]}")
        query = "SELECT vector FROM vectors WHERE id = ?"
        step = max(1, len(base.ids) // _COMPARED)
        for place in (*range(0, len(base.ids), step), len(base.ids) - 1):
            found = self._db.execute(query, (int(base.ids[place]),)).fetchone()
            # One that has been removed since is in the file still.
            if found is not None and found[0] != base.matrix[place].tobytes():
                raise Stale("vectors that are not those of the catalogue")

    def _after(self, last_id: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        records = self._db.execute(
            "SELECT id, vector FROM vectors WHERE id > ? ORDER BY id", (last_id,)
        ).fetchall()
        if not records:
            return NO_PLACES, np.empty((0, self._dimension), np.float32)
        ids = np.fromiter((id for id, _ in records), np.int64, len(records))
        return ids, self.matrix(blob for _, blob in records)
