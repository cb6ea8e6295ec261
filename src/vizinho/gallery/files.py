"""A folder of pictures as it is now, and as it was when it was last indexed."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vizinho.datasets import Skipped
from vizinho.engines.sqlite import connect, explained, transaction
from vizinho.errors import GalleryError
from vizinho.gallery.layout import is_gallery
from vizinho.images import is_image_name

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS files (
        path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, hash TEXT NOT NULL
    ) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID",
)


@dataclass(frozen=True)
class FileState:
    """Size in bytes and time of change: equal ones mean an unread file is taken as unchanged."""

    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Seen:
    """A file as it was when its bytes had this hash."""

    state: FileState
    hash: str


def require_folder(folder: Path) -> None:
    """Raises GalleryError when ``folder`` is none."""
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise GalleryError(f"{folder} {what}.", "Name a folder of pictures.")


def walk(folder: Path) -> tuple[dict[str, FileState], list[Skipped]]:
    """Picture files under ``folder`` by relative path, and what could not be looked at.

    Hidden files and folders and other galleries are passed over; links are followed to files
    inside the folder only, never to folders. Raises GalleryError when ``folder`` is none.
    """
    require_folder(folder)
    root = folder.resolve()
    files: dict[str, FileState] = {}
    skipped: list[Skipped] = []

    def stumble(error: OSError) -> None:
        skipped.append(
            Skipped(str(error.filename), f"It can't be opened: {error.strerror or error}.")
        )

    for place, folders, names in os.walk(root, onerror=stumble):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not is_gallery(Path(place, name))
        )
        for name in sorted(names):
            if name.startswith(".") or not is_image_name(name):
                continue
            path = Path(place, name)
            key = path.relative_to(root).as_posix()
            reason = _obstacle(path, key, root)
            if reason:
                skipped.append(Skipped(key.encode(errors="replace").decode(), reason))
                continue
            try:
                found = path.stat()
            except OSError as error:
                stumble(error)
                continue
            if stat.S_ISREG(found.st_mode):
                files[key] = FileState(found.st_size, found.st_mtime_ns)
            else:
                skipped.append(Skipped(key, "It is not a plain file."))
    return files, skipped


def _obstacle(path: Path, key: str, root: Path) -> str:
    if not key.isprintable():
        return "Its name has characters that can't be kept; rename it."
    if path.is_symlink():
        try:
            if not path.resolve().is_relative_to(root):
                return "It is a link that leaves the folder."
        except (OSError, RuntimeError):
            return "It is a link that leads in a circle."
        if not path.exists():
            return "It is a link to nothing."
    return ""


class FileRecords:
    """The files of the last index run, in a SQLite file of its own.

    It is a memory, not the truth: where it contradicts the catalogue, the file is read again. So it
    needs no transaction in common with the catalogue, only an order of writing: a file is recorded
    before its row is committed, and forgotten after its row is removed.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path``, made on first use. Raises GalleryError."""
        self._path = path
        self._lock = threading.Lock()
        with explained(path):
            self._db = connect(path, create=not path.exists())
            if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'about'").fetchone():
                with transaction(self._db):
                    for statement in _SCHEMA:
                        self._db.execute(statement)

    def load(self) -> dict[str, Seen]:
        """All files as last seen, by path."""
        with self._lock, explained(self._path):
            records = self._db.execute("SELECT path, size, mtime_ns, hash FROM files").fetchall()
        return {
            path: Seen(FileState(size, mtime), content_hash)
            for path, size, mtime, content_hash in records
        }

    def write(self, seen: Mapping[str, Seen], forget: Iterable[str] = ()) -> None:
        """Record and forget files, in one transaction."""
        with self._lock, explained(self._path), transaction(self._db):
            self._db.executemany("DELETE FROM files WHERE path = ?", ((path,) for path in forget))
            self._db.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
                (
                    (path, file.state.size, file.state.mtime_ns, file.hash)
                    for path, file in seen.items()
                ),
            )

    def recall(self, name: str) -> str | None:
        """A value kept under ``name``."""
        with self._lock, explained(self._path):
            found = self._db.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return None if found is None else str(found[0])

    def remember(self, **values: str) -> None:
        """Keep values under names."""
        with self._lock, explained(self._path), transaction(self._db):
            self._db.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", values.items())

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()
