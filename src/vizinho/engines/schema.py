"""The tables of a writable catalogue, and how one of an older format becomes one of today's."""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass
from typing import Any

VERSION = 2
READABLE = (1, VERSION)
NO_INDEX = "none-"
"""How the name of an index begins that is none: then all vectors are read from the catalogue."""

_TABLES = """
CREATE TABLE images (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    url TEXT NOT NULL,
    hash TEXT NOT NULL,
    label TEXT,
    metadata TEXT NOT NULL
);
CREATE INDEX images_hash ON images (hash);
CREATE TABLE vectors (id INTEGER PRIMARY KEY REFERENCES images (id), vector BLOB NOT NULL);
CREATE TABLE about (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
"""
# What format 2 has more: ids that went, so that readers need not look for them; how many rows
# there are, which SQLite would have to count; labels in the order of keys, to page through.
_SINCE_2 = """
DROP INDEX IF EXISTS images_label;
CREATE INDEX images_label ON images (label, key);
CREATE TABLE removed (seq INTEGER PRIMARY KEY AUTOINCREMENT, id INTEGER NOT NULL);
INSERT INTO about SELECT 'count', count(*) FROM images;
"""


@dataclass(frozen=True)
class Options:
    """How a gallery is to be searched: exactly while that takes no longer than ``latency_ms``, else
    by an index that finds at least the share ``recall`` of the ten nearest."""

    latency_ms: float = 5.0
    recall: float = 0.99


@dataclass(frozen=True)
class About:
    """What the catalogue says of itself: ``index`` is the name of the derived index that belongs to
    it, of which everything before is known to be gone."""

    dimension: int
    count: int
    index: str
    options: Options


def create(db: sqlite3.Connection, dimension: int) -> None:
    """Make the tables, inside a transaction."""
    _run(db, _TABLES)
    db.execute("INSERT INTO about VALUES ('dimension', ?)", (dimension,))
    _to_2(db)


def version(db: sqlite3.Connection) -> int:
    """The catalogue's format."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def upgrade(db: sqlite3.Connection) -> None:
    """Bring a catalogue of format 1 to today's, inside a transaction; others are left alone."""
    if version(db) == 1:
        _to_2(db)


def about(db: sqlite3.Connection) -> About:
    """What a catalogue of format 2 says of itself."""
    found: dict[str, Any] = dict(db.execute("SELECT name, value FROM about"))
    told = {name: float(found[name]) for name in ("latency_ms", "recall") if name in found}
    return About(int(found["dimension"]), int(found["count"]), found["index"], Options(**told))


def no_index() -> str:
    """A new name for "no index"."""
    return NO_INDEX + secrets.token_hex(8)


def last_id(db: sqlite3.Connection) -> int:
    """The highest id ever given."""
    return _sequence(db, "images")


def last_removal(db: sqlite3.Connection) -> int:
    """The number of the last removal."""
    return _sequence(db, "removed")


def _sequence(db: sqlite3.Connection, table: str) -> int:
    query = "SELECT seq FROM sqlite_sequence WHERE name = ?"
    found = db.execute(query, (table,)).fetchone()
    return 0 if found is None else int(found[0])


def _to_2(db: sqlite3.Connection) -> None:
    _run(db, _SINCE_2)
    db.execute("INSERT INTO about VALUES ('index', ?)", (no_index(),))
    db.execute(f"PRAGMA user_version = {VERSION}")


def _run(db: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";"):
        db.execute(statement)
