"""SQLite the way a gallery needs it: crash-safe, readers beside one writer, errors explained."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from vizinho.errors import DiskFull, GalleryBusy, GalleryDamaged, GalleryError, NotWritable

_MEND = "`vizinho doctor --fix` mends what it can."
_PATIENCE_SECONDS = 10.0
_SHARED_MEMORY_BYTES = 32 * 1024
# Rows of a large file are looked up all over it: mapped, that costs no system call for each.
_MAPPED_BYTES = 2**31 - 65536


def connect(path: Path, *, create: bool = False, immutable: bool = False) -> sqlite3.Connection:
    """A connection that any thread may use, one at a time; without implicit transactions.

    The journal is a write-ahead log: after a kill at any moment the file holds exactly the
    committed transactions, and readers neither wait for the writer nor hold it up. On a medium that
    can't be written the file is opened as one that never changes (``immutable``): without locks or
    files beside it.
    """
    mode = "rwc" if create else "rw"
    if immutable:
        mode = "ro&immutable=1"
    elif not create and not os.access(path.parent, os.W_OK):
        mode = "ro" if path.with_name(path.name + "-wal").exists() else "ro&immutable=1"
    elif not create and not os.access(path, os.W_OK):
        mode = "ro"
    connection = _opened(path, mode)
    try:
        connection.execute(f"PRAGMA mmap_size = {_MAPPED_BYTES}")
        if not mode.startswith("ro"):
            connection.execute("PRAGMA journal_mode = WAL")
            # In WAL a loss of power can cost the last commits, never the file's integrity.
            connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_without_room(path: Path) -> sqlite3.Connection:
    """A connection to look at a file whose disk is so full that `connect` can't open it.

    It takes no room, and is for one look only: of a file without a log it would not see what
    others commit.
    """
    wal = path.with_name(path.name + "-wal")
    logged = wal.exists() and wal.stat().st_size > 0
    # A killed process leaves a log that counts; its index, which would lie in shared memory, is
    # then made in this process's own.
    return _opened(path, "ro&readonly_shm=1" if logged else "ro&immutable=1")


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={mode}",
        uri=True,
        timeout=_PATIENCE_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


@contextmanager
def transaction(connection: sqlite3.Connection, *, reading: bool = False) -> Iterator[None]:
    """All statements inside or none; ``reading`` only pins what they see to one moment."""
    connection.execute("BEGIN" if reading else "BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself where the disk was full.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def explained(path: Path, mend: str = _MEND) -> Iterator[None]:
    """SQLite's errors on the file ``path`` as GalleryError: GalleryBusy, GalleryDamaged, DiskFull
    or NotWritable where that is what they say. ``mend`` is the way out for a damaged one."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise GalleryBusy(
                f"{path} is held by another process.", "Try again when it has finished."
            ) from error
        if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _no_room(path)):
            raise DiskFull(
                f"{path} can't grow: the disk is full. Nothing was half-written.",
                "Free some space and run it again.",
            ) from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise GalleryDamaged(f"{path} is damaged: {error}.", mend) from error
        # Of a file that can't be made beside others SQLite says only that it can't be opened.
        barred = code == sqlite3.SQLITE_CANTOPEN and not os.access(path.parent, os.W_OK)
        if code == sqlite3.SQLITE_READONLY or (barred and not path.exists()):
            raise NotWritable(
                f"{path} can't be written: it is read-only.", "Check the owner of the gallery."
            ) from error
        if code:
            raise GalleryError(f"{path}: {error}.") from error
        raise


def _no_room(path: Path) -> bool:
    """Whether the disk is so full that SQLite's shared memory beside ``path`` does not fit.

    SQLite calls that a plain "disk I/O error", also when the file is only to be read.
    """
    try:
        return shutil.disk_usage(path.parent).free < _SHARED_MEMORY_BYTES
    except OSError:
        return False
