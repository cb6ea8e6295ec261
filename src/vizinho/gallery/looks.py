"""How each picture of a gallery looks, for finding copies: derived, kept by content hash.

``perceptual.sqlite`` in the gallery's folder may be deleted at any time: it is made anew from the
pictures. Only pictures that came since the last time are decoded.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.engines.sqlite import connect, explained, transaction
from vizinho.errors import GalleryDamaged, GalleryError
from vizinho.perceptual import LENGTH, VERSION

LOOKS = "perceptual.sqlite"
_MANY = 5000
_FLOAT16 = np.dtype("<f2")
_SCHEMA = """CREATE TABLE looks (
    id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, frequencies BLOB NOT NULL
)"""


class Looks:
    """Frequencies (see `vizinho.perceptual`) by content hash, each with a number of its own."""

    def __init__(self, folder: Path) -> None:
        """Open those of the gallery in ``folder``; where that can't be written, in a temporary file
        that goes with this object. Raises GalleryError."""
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        try:
            self._open(folder / LOOKS)
        except GalleryDamaged:
            for suffix in ("", "-wal", "-shm"):
                (folder / f"{LOOKS}{suffix}").unlink(missing_ok=True)
            self._open(folder / LOOKS)
        except GalleryError:
            self._temporary = tempfile.TemporaryDirectory(prefix="vizinho-")
            self._open(Path(self._temporary.name) / LOOKS)

    def _open(self, path: Path) -> None:
        self._path = path
        with explained(path):
            self._db = connect(path, create=True)
            try:
                (version,) = self._db.execute("PRAGMA user_version").fetchone()
                if version != VERSION:
                    with transaction(self._db):
                        self._db.execute("DROP TABLE IF EXISTS looks")
                        self._db.execute(_SCHEMA)
                        self._db.execute(f"PRAGMA user_version = {VERSION}")
                self._db.execute("CREATE TEMP TABLE here (hash TEXT PRIMARY KEY) WITHOUT ROWID")
                self._db.execute("SELECT id, hash, frequencies FROM looks LIMIT 1").fetchall()
            except sqlite3.OperationalError as error:
                self._db.close()
                if "readonly" in str(error):
                    raise GalleryError(f"{path} can't be written.") from error
                raise GalleryDamaged(f"{path} is damaged: {error}.") from error
            except BaseException:
                self._db.close()
                raise

    def missing(self, hashes: Sequence[str]) -> list[str]:
        """Those of ``hashes`` that are not known yet; all of them count as being in the gallery."""
        with explained(self._path):
            self._db.executemany(
                "INSERT OR IGNORE INTO here VALUES (?)", ((each,) for each in hashes)
            )
            found = set(self._select_in("SELECT hash FROM looks WHERE hash IN", hashes))
        return [each for each in dict.fromkeys(hashes) if (each,) not in found]

    def put(self, looks: Iterable[tuple[str, NDArray[np.float16]]]) -> None:
        """Keep the frequencies [LENGTH] of contents."""
        records = [(each, found.astype(_FLOAT16).tobytes()) for each, found in looks]
        with explained(self._path), transaction(self._db):
            self._db.executemany(
                "INSERT OR REPLACE INTO looks (hash, frequencies) VALUES (?, ?)", records
            )

    def forget_others(self) -> None:
        """Drop what is not in the gallery any more, by what `missing` was asked."""
        with explained(self._path), transaction(self._db):
            self._db.execute("DELETE FROM looks WHERE hash NOT IN (SELECT hash FROM here)")

    def blocks(self, size: int = 20_000) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
        """All numbers [N] and frequencies [N, LENGTH], in ascending order, some at a time."""
        last = 0
        query = "SELECT id, frequencies FROM looks WHERE id > ? ORDER BY id LIMIT ?"
        while True:
            with explained(self._path):
                records = self._db.execute(query, (last, size)).fetchall()
            if not records:
                return
            last = records[-1][0]
            yield _unpacked(records)

    def frequencies(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """The frequencies float32 [N, LENGTH] of ``numbers``, which are ascending and unique."""
        query = "SELECT id, frequencies FROM looks WHERE id IN"
        with explained(self._path):
            ids, found = _unpacked(sorted(self._select_in(query, numbers.tolist())))
        if len(ids) != len(numbers):
            raise GalleryError(f"{self._path} changed while it was read.", "Run it again.")
        return found.astype(np.float32)

    def hashes(self, numbers: Sequence[int]) -> dict[int, str]:
        """Content hashes by number."""
        with explained(self._path):
            return dict(self._select_in("SELECT id, hash FROM looks WHERE id IN", numbers))

    def numbers(self, hashes: Sequence[str]) -> dict[str, int]:
        """Numbers by content hash."""
        with explained(self._path):
            return dict(self._select_in("SELECT hash, id FROM looks WHERE hash IN", hashes))

    def close(self) -> None:
        """Let go of the file."""
        with suppress(sqlite3.Error):
            self._db.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _select_in(self, query: str, values: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(values), _MANY):
            part = values[start : start + _MANY]
            yield from self._db.execute(f"{query} ({', '.join('?' * len(part))})", part)


def kept_looks(folder: Path, hashes: Sequence[str]) -> dict[str, NDArray[np.float16]]:
    """The frequencies [LENGTH], by content hash, that are kept for the gallery in ``folder``.

    Only looks: nothing is made, mended or written, and what can't be read is not there.
    """
    path = folder / LOOKS
    if not path.is_file():
        return {}
    found: dict[str, NDArray[np.float16]] = {}
    with suppress(sqlite3.Error, GalleryError), closing(connect(path)) as database:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        for start in range(0, len(hashes) if version == VERSION else 0, _MANY):
            part = hashes[start : start + _MANY]
            marks = ", ".join("?" * len(part))
            query = f"SELECT hash, frequencies FROM looks WHERE hash IN ({marks})"
            for content, blob in database.execute(query, part):
                if len(blob) == LENGTH * _FLOAT16.itemsize:
                    found[content] = np.frombuffer(blob, _FLOAT16)
    return found


def each_batch(
    looks: Looks,
    make: Callable[[NDArray[np.int64], NDArray[np.float16]], NDArray[np.void]],
    file: Path,
) -> NDArray[np.void]:
    """What ``make`` gives for all looks, one after the other, as an array mapped from ``file``."""
    dtype = None
    with file.open("wb") as stream:
        for numbers, found in looks.blocks():
            part = make(numbers, found)
            dtype = part.dtype
            stream.write(np.ascontiguousarray(part).tobytes())
    if dtype is None or file.stat().st_size == 0:
        return make(np.empty(0, np.int64), np.empty((0, LENGTH), np.float16))
    return np.memmap(file, dtype=dtype, mode="r")


def _unpacked(records: Sequence[tuple[Any, ...]]) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
    ids = np.fromiter((record[0] for record in records), np.int64, len(records))
    data = b"".join(record[1] for record in records)
    return ids, np.frombuffer(data, _FLOAT16).reshape(-1, LENGTH)
