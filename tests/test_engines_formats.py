"""A catalogue of format 1, of an older version: read as it is, upgraded by the first change."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from toy_lists import clusters, rows_of
from vizinho.engines.embedded import EmbeddedEngine

D = 16
FORMAT_1 = """
CREATE TABLE images (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, url TEXT NOT NULL,
    hash TEXT NOT NULL, label TEXT, metadata TEXT NOT NULL
);
CREATE INDEX images_hash ON images (hash);
CREATE INDEX images_label ON images (label);
CREATE TABLE vectors (id INTEGER PRIMARY KEY REFERENCES images (id), vector BLOB NOT NULL);
CREATE TABLE about (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO about VALUES ('dimension', 16);
PRAGMA user_version = 1;
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "catalogue.sqlite"
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(FORMAT_1)
    fill(db, range(50))
    db.close()
    return path


def fill(db: sqlite3.Connection, numbers: range) -> None:
    """What an older writer does."""
    vectors = clusters(200)
    with db:
        for row in rows_of(numbers):
            cursor = db.execute(
                "INSERT INTO images (key, url, hash, label, metadata) VALUES (?, ?, ?, ?, '{}')",
                (row.key, row.url, row.hash, row.label),
            )
            number = int(row.key[1:])
            blob = vectors[number].tobytes()
            db.execute("INSERT INTO vectors VALUES (?, ?)", (cursor.lastrowid, blob))


def found(engine: EmbeddedEngine, number: int) -> tuple[str, float]:
    ((hit,),) = engine.search(clusters(200)[number : number + 1], 1)
    return hit.key, hit.distance


def test_it_is_read_as_it_is_and_an_older_writer_is_followed(old: Path) -> None:
    before = old.read_bytes()
    with EmbeddedEngine.open(old) as engine:
        assert (engine.count(), found(engine, 7)) == (50, ("k000007", 0.0))
        assert engine.labels() == {f"l{n}": 5 for n in range(10)}
        assert [row.key for row in engine.walk("k000047")] == ["k000048", "k000049"]
        assert engine.describe()["exact"]
        assert engine.check() == []
    assert old.read_bytes() == before
    reader = EmbeddedEngine.open(old)
    assert found(reader, 7) == ("k000007", 0.0)
    db = sqlite3.connect(old)
    fill(db, range(50, 60))
    with db:
        db.execute("DELETE FROM vectors WHERE id = 8")
        db.execute("DELETE FROM images WHERE id = 8")
    db.close()
    assert found(reader, 55) == ("k000055", 0.0)
    assert found(reader, 7)[0] != "k000007"
    assert reader.count() == 59
    reader.close()


@pytest.mark.parametrize("change", ["add", "remove", "update", "optimise", "options"])
def test_the_first_change_upgrades_it_and_open_readers_go_on(old: Path, change: str) -> None:
    reader = EmbeddedEngine.open(old)
    assert found(reader, 9) == ("k000009", 0.0)
    with EmbeddedEngine.open(old) as writer:
        count = 50
        if change == "add":
            writer.add(rows_of([7, 70]), clusters(200)[[7, 70]])
            count = 51
        elif change == "remove":
            assert writer.remove(["k000007", "nobody"]) == 1
            count = 49
        elif change == "update":
            assert writer.update(rows_of([7], "other")) == 1
        elif change == "optimise":
            assert writer.optimise(force=True)
        else:
            writer.options(recall=0.9)
        assert (writer.count(), reader.count()) == (count, count)
        for engine in (writer, reader):
            assert found(engine, 9) == ("k000009", 0.0)
        assert (found(reader, 7)[0] == "k000007") == (change != "remove")
        if change == "add":
            assert found(reader, 70) == ("k000070", 0.0)
        writer.remove(["k000009"])
        assert found(reader, 9)[0] != "k000009"
        assert writer.due() == ""
    reader.close()
    db = sqlite3.connect(old)
    assert db.execute("PRAGMA user_version").fetchone() == (2,)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_a_kill_in_the_middle_of_the_upgrade_leaves_format_1(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vizinho.engines import schema

    def killed() -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(schema, "no_index", killed)
    with EmbeddedEngine.open(old) as writer, pytest.raises(KeyboardInterrupt):
        writer.remove(["k000001"])
    monkeypatch.undo()
    with EmbeddedEngine.open(old) as engine:
        assert engine.count() == 50
        np.testing.assert_array_equal(engine.vectors(["k000001"]), clusters(200)[1:2])
        assert engine.remove(["k000001"]) == 1
        assert engine.count() == 49
