"""What a mirrored folder or bucket held when it was last indexed, and what it holds now.

Both lie in SQLite, the state of now in its temporary tables on disk, so that a million pictures
take no more memory than a thousand.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vizinho.datasets import Skipped
from vizinho.engines import Engine, pages
from vizinho.engines.sqlite import connect, connect_without_room, explained, transaction
from vizinho.errors import DiskFull, GalleryError, NotWritable
from vizinho.progress import Progress
from vizinho.sources import FileState, FolderTree, Tree

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS files (
        path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, hash TEXT NOT NULL
    ) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID",
)
# "now": the files as listed. "owner": the catalogue's rows. "trusted": files that need no reading,
# for their size and time are those of when the bytes had a hash that the catalogue has.
_TEMPORARY = (
    "CREATE TEMP TABLE now (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER) WITHOUT ROWID",
    "CREATE TEMP TABLE owner (key TEXT PRIMARY KEY, hash TEXT) WITHOUT ROWID",
    "CREATE TEMP TABLE trusted (path TEXT PRIMARY KEY, hash TEXT) WITHOUT ROWID",
    """CREATE TEMP TABLE displaced (
        hash TEXT PRIMARY KEY, key TEXT, size INTEGER, home TEXT
    ) WITHOUT ROWID""",
)
_INDEXES = (
    "CREATE INDEX temp.owner_hash ON owner (hash)",
    "CREATE INDEX temp.trusted_hash ON trusted (hash)",
    "CREATE INDEX temp.displaced_key ON displaced (key)",
    "CREATE INDEX temp.displaced_home ON displaced (home)",
)
PAGE = 1000
_STATES = "SELECT path, size, mtime_ns FROM files WHERE"
_PAGED = f"ORDER BY path LIMIT {PAGE}"
_KNOWN = "SELECT 1 FROM sqlite_master WHERE name = 'about'"
_RECALL = "SELECT value FROM about WHERE name = ?"


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
            # Temporary tables on disk, however SQLite was built: they may have millions of rows.
            self._db.execute("PRAGMA temp_store = FILE")
            if not self._db.execute(_KNOWN).fetchone():
                with transaction(self._db):
                    for statement in _SCHEMA:
                        self._db.execute(statement)

    def query(self, statement: str, *values: Any) -> list[Any]:
        """The rows of one SELECT."""
        with self._lock, explained(self._path):
            return self._db.execute(statement, values).fetchall()

    def change(self, *statements: str, many: Iterable[Sequence[Any]] | None = None) -> None:
        """Run statements in one transaction, or the only one for each of the values ``many``."""
        with self._lock, explained(self._path), transaction(self._db):
            if many is not None:
                self._db.executemany(statements[0], many)
                return
            for statement in statements:
                self._db.execute(statement)

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
        found = self.query(_RECALL, name)
        return str(found[0][0]) if found else None

    def remember(self, **values: str) -> None:
        """Keep values under names."""
        self.change("INSERT OR REPLACE INTO about VALUES (?, ?)", many=values.items())

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


def recalled(opened: Callable[[], FileRecords], path: Path, name: str) -> str | None:
    """What `FileRecords.recall` gives, also where the disk has no room to open ``path`` for longer.

    Raises GalleryError.
    """
    try:
        return opened().recall(name)
    except (DiskFull, NotWritable):
        with explained(path), closing(connect_without_room(path)) as db:
            # Whoever was to make the file may have found no room for more than its name.
            found = db.execute(_KNOWN).fetchone() and db.execute(_RECALL, (name,)).fetchone()
        return str(found[0]) if found else None


def listing(
    tree: Tree, records: FileRecords, skipped: list[Skipped]
) -> Iterator[tuple[str, FileState]]:
    """The files that ``tree`` holds now; where it may not be looked into, those that were there.

    So that no row goes because a folder is shut for a while. Raises SourceError.
    """
    yield from tree.walk(skipped)
    for place in tree.shut if isinstance(tree, FolderTree) else ():
        # "0" is the letter after "/".
        after, end = f"{place}/", f"{place}0"
        yield from _recorded(records.query(f"{_STATES} path = ?", place))
        while page := records.query(f"{_STATES} path > ? AND path < ? {_PAGED}", after, end):
            yield from _recorded(page)
            after = page[-1][0]


def _recorded(found: list[Any]) -> Iterator[tuple[str, FileState]]:
    return ((path, FileState(size, mtime_ns)) for path, size, mtime_ns in found)


def survey(
    records: FileRecords,
    files: Iterable[tuple[str, FileState]],
    engine: Engine,
    progress: Progress | None,
) -> int:
    """Fill the temporary tables from a listing and the catalogue; returns how many files it has."""
    records.change(
        *(f"DROP TABLE IF EXISTS temp.{name}" for name in ("now", "owner", "trusted", "displaced")),
        *_TEMPORARY,
    )
    count = 0
    page: list[tuple[str, int, int]] = []
    for path, state in files:
        page.append((path, state.size, state.mtime_ns))
        if len(page) == PAGE:
            count += _keep(records, page)
            if progress is not None:
                progress(0, None)
    count += _keep(records, page)
    for rows in pages(engine, size=PAGE):
        values = [(row.key, row.hash) for row in rows]
        records.change("INSERT OR REPLACE INTO temp.owner VALUES (?, ?)", many=values)
    records.change(
        _INDEXES[0],
        """INSERT INTO temp.trusted SELECT path, hash FROM temp.now JOIN files USING (path)
           WHERE now.size = files.size AND now.mtime_ns = files.mtime_ns
           AND EXISTS (SELECT 1 FROM temp.owner WHERE owner.hash = files.hash)""",
        *_INDEXES[1:],
    )
    return count


def _keep(records: FileRecords, page: list[tuple[str, int, int]]) -> int:
    records.change("INSERT OR REPLACE INTO temp.now VALUES (?, ?, ?)", many=page)
    count = len(page)
    page.clear()
    return count
