"""Mending a catalogue: what of it can be read goes into a new one, the rest is embedded anew."""

from __future__ import annotations

import json
import secrets
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.blobs import LocalBlobs
from vizinho.embedder import Embedder
from vizinho.engines import Row
from vizinho.engines.embedded import EmbeddedEngine
from vizinho.engines.sqlite import connect, explained, transaction
from vizinho.errors import VizinhoError
from vizinho.gallery import layout, migrate
from vizinho.gallery.core import Gallery
from vizinho.gallery.doctor import Look
from vizinho.gallery.records import NewImage
from vizinho.images import content_hash

DAMAGED = "damaged-"
_BATCH = 256
_SPAN = 4096


def salvaged(look: Look, about: layout.About) -> str:
    """Put a new catalogue in the place of a damaged one; that is kept as ``damaged-...``.

    Rows that can be read stay; vectors that can't be are made from the pictures. Then what is
    stored without a row comes back under a name made of its content, and the folder is indexed.
    """
    path, home = look.path, layout.home(look.path, about)
    told = replace(about, home=f"{migrate.PREFIX}saved-{secrets.token_hex(6)}")
    side = path / str(told.home)
    with layout.writing(path, threading.Lock(), look.patience):
        rows = dict(_read_rows(home / layout.CATALOGUE))
        vectors = dict(_read_vectors(home / layout.CATALOGUE, about.dimension))
        side.mkdir()
        shutil.copytree(home / layout.MODEL, side / layout.MODEL)
        with closing(EmbeddedEngine.create(side / layout.CATALOGUE, about.dimension)) as engine:
            sound = {row.key: (row, vectors[i]) for i, row in rows.items() if i in vectors}
            _written(engine, list(sound.values()))
            lost = {row.key: row for i, row in rows.items() if row.key not in sound}
            again = _embedded(look, about, side / layout.MODEL, list(lost.values()))
            _written(engine, again)
        layout.replace_about(path, told)
        kept = path / f"{DAMAGED}{secrets.token_hex(3)}"
        kept.mkdir()
        for ending in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                file = home / f"{layout.CATALOGUE}{ending}"
                file.rename(kept / file.name)
        migrate.sweep(path, told)
    back = _brought_back(look)
    gone = len(lost) - len(again)
    return (
        f"{len(sound):,} rows were read from the damaged catalogue, {len(again):,} embedded anew, "
        f"{back:,} pictures brought back without what was said of them, {gone:,} rows lost; the "
        f"damaged file is in {kept}"
    )


def reembedded(look: Look, about: layout.About, keys: Sequence[str]) -> str:
    """Give rows the vector of their picture, where it is at hand and is still the one indexed."""
    with Gallery.open(look.path) as gallery:
        gallery.patience = look.patience
        with gallery._writing():
            done = 0
            for start in range(0, len(keys), _BATCH):
                rows = gallery.get_many(keys[start : start + _BATCH])
                again = _embedded(look, about, gallery.model_folder, rows)
                _written(gallery.engine, again)
                done += len(again)
    left = f"; {len(keys) - done:,} have no picture at hand" if done < len(keys) else ""
    return f"{done:,} pictures were embedded anew{left}"


@contextmanager
def _writing(look: Look, path: Path) -> Iterator[sqlite3.Connection]:
    """The catalogue ``path`` under the gallery's lock, in one transaction."""
    with (
        layout.writing(look.path, threading.Lock(), look.patience),
        explained(path),
        closing(connect(path)) as db,
        transaction(db),
    ):
        yield db


def without_rowless(look: Look, path: Path) -> str:
    """Remove vectors that belong to no row."""
    with _writing(look, path) as db:
        query = "DELETE FROM vectors WHERE id NOT IN (SELECT id FROM images)"
        count = db.execute(query).rowcount
        _new_index(db)
    return f"{count:,} vectors without a row were removed"


def counted(look: Look, path: Path) -> str:
    """Correct the number of rows that the catalogue keeps."""
    with _writing(look, path) as db:
        db.execute("UPDATE about SET value = (SELECT count(*) FROM images) WHERE name = 'count'")
    return "the number of rows was corrected"


def _new_index(db: sqlite3.Connection) -> None:
    """The derived index covers what is not there any more: searches do without, until it is made
    anew."""
    from vizinho.engines import schema

    value = schema.no_index()
    db.execute("UPDATE about SET value = ? WHERE name = 'index'", (value,))


def _written(engine: Any, pairs: Sequence[tuple[Row, NDArray[np.float32]]]) -> None:
    for start in range(0, len(pairs), _BATCH):
        part = pairs[start : start + _BATCH]
        engine.add([row for row, _ in part], np.stack([vector for _, vector in part]))


def _embedded(
    look: Look, about: layout.About, model: Path, rows: Sequence[Row]
) -> list[tuple[Row, NDArray[np.float32]]]:
    """Those rows whose pictures are at hand, with their vectors."""
    if not rows:
        return []
    embedder = Embedder.open(model, precision=about.precision)
    stored = LocalBlobs(look.path / layout.IMAGES)
    folder = _folder(look.path)
    found = []
    for number, row in enumerate(rows, 1):
        for blobs, key in ((stored, layout.blob_key(row.hash)), (folder, row.key)):
            with suppress(VizinhoError):
                data = blobs.read(key) if blobs is not None else b""
                if content_hash(data) == row.hash:
                    found.append((row, embedder.embed([data])[0]))
                    break
        if look.progress is not None:
            look.progress(number, len(rows))
    return found


def _folder(path: Path) -> LocalBlobs | None:
    """The mirrored folder, without opening the gallery."""
    from vizinho.gallery.files import FileRecords

    if not (path / layout.FOLDER).is_file():
        return None
    with suppress(VizinhoError), closing(FileRecords(path / layout.FOLDER)) as records:
        found = records.recall("folder")
        if found is not None and "://" not in found and Path(found).is_dir():
            return LocalBlobs(found)
    return None


def _brought_back(look: Look) -> int:
    """Stored pictures without a row as rows again, and the folder indexed."""
    with Gallery.open(look.path) as gallery:
        gallery.patience = look.patience
        blobs = LocalBlobs(look.path / layout.IMAGES)
        names = [Path(key).name for key in blobs.keys()]  # noqa: SIM118
        known = gallery.find(names)
        items = [
            NewImage(blobs.path(layout.blob_key(name)).read_bytes(), key=name[:32])
            for name in names
            if name not in known
        ]
        report = gallery.add(items)
        added = report.added
        with suppress(VizinhoError):
            folder = gallery.folder
            if folder is not None and folder.is_dir():
                added += gallery.sync_folder(folder).added
    return added


def _read_rows(path: Path) -> Iterator[tuple[int, Row]]:
    for record in _records(path, "id, key, url, hash, label, metadata FROM images"):
        number, key, url, content, label, metadata = record
        with suppress(ValueError, TypeError):
            said = json.loads(metadata)
            if key and len(content) == 64 and isinstance(said, dict):
                yield number, Row(key, url, content, label, said)


def _read_vectors(path: Path, dimension: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for number, blob in _records(path, "id, vector FROM vectors"):
        if isinstance(blob, bytes) and len(blob) == 4 * dimension:
            vector = np.frombuffer(blob, "<f4").astype(np.float32)
            if np.isfinite(vector).all():
                yield number, vector


def _records(path: Path, what: str) -> Iterator[tuple[Any, ...]]:
    """What can be read of a table of a damaged file, by id, around what can't."""
    columns, _, table = what.rpartition(" FROM ")
    query = f"SELECT {columns} FROM {table} NOT INDEXED WHERE id BETWEEN ? AND ?"
    try:
        db = sqlite3.connect(f"file:{path.absolute()}?mode=ro", uri=True)
    except sqlite3.Error:
        return
    with closing(db):
        last = _last(db, table)
        for low in range(1, last + 1, _SPAN):
            yield from _span(db, query, low, min(low + _SPAN - 1, last))


def _span(db: sqlite3.Connection, query: str, low: int, high: int) -> Iterator[tuple[Any, ...]]:
    try:
        yield from db.execute(query, (low, high)).fetchall()
    except sqlite3.Error:
        if low < high:
            middle = (low + high) // 2
            yield from _span(db, query, low, middle)
            yield from _span(db, query, middle + 1, high)


def _last(db: sqlite3.Connection, table: str) -> int:
    for query in (
        f"SELECT max(id) FROM {table}",
        "SELECT seq FROM sqlite_sequence WHERE name = 'images'",
        "SELECT count(*) * 100 FROM pragma_page_count()",
    ):
        with suppress(sqlite3.Error):
            found = db.execute(query).fetchone()
            if found is not None and found[0] is not None:
                return int(found[0])
    return 0
