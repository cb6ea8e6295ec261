"""Right and wrong: what people said of the results of searches, kept in the gallery's folder.

``feedback.sqlite`` is a file of its own, so that a mark waits for no writer of the gallery. A mark
and the picture that was searched with are one transaction: after a kill at any moment both are
there or neither. Marks speak of contents, by their hashes, and outlive a change of model.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from PIL import Image

from vizinho.engines.sqlite import connect, connect_without_room, explained, transaction
from vizinho.errors import DiskFull, GalleryError, KeyNotFound
from vizinho.gallery.steady import steady
from vizinho.images import Crop, content_hash, crop_image, load_image

if TYPE_CHECKING:
    from vizinho.gallery.writer import GalleryWriter

FEEDBACK: Final = "feedback.sqlite"
FEEDBACK_VERSION: Final = 1
NO_MEND: Final = (
    "The gallery does without it. Move the file away, and the next mark begins a new one; SQLite's "
    "`.recover` reads what can be read of the old."
)
"""What to do about a damaged file, which nothing here can mend."""
Verdict = Literal["right", "wrong"]
_PAGE = 1000
_COLUMNS = "query_hash, query_key, crop, key, hash, verdict, distance, model, fingerprint, time"
_SCHEMA = (
    "CREATE TABLE pictures (hash TEXT PRIMARY KEY, bytes BLOB NOT NULL)",
    """CREATE TABLE marks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        query_hash TEXT NOT NULL, query_key TEXT, crop TEXT NOT NULL,
        key TEXT NOT NULL, hash TEXT NOT NULL,
        verdict TEXT NOT NULL CHECK (verdict IN ('right', 'wrong')),
        distance REAL NOT NULL, model TEXT NOT NULL, fingerprint TEXT NOT NULL, time REAL NOT NULL,
        UNIQUE (query_hash, crop, hash)
    )""",
    "CREATE INDEX marks_query_key ON marks (query_key)",
    f"PRAGMA user_version = {FEEDBACK_VERSION}",
)


@dataclass(frozen=True)
class Mark:
    """What was said of one result of one search.

    ``query_hash``: SHA-256 (hex) of the picture that was searched with; ``query_key`` where it is
    one of the gallery. ``crop``: the part of it, as "top,left,bottom,right" in 0..1, or "".
    ``key``, ``hash``: the result. ``distance``: between the two, by the model named. ``time``:
    seconds since 1970.
    """

    query_hash: str
    query_key: str | None
    crop: str
    key: str
    hash: str
    verdict: Verdict
    distance: float
    model: str
    fingerprint: str
    time: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; the time in ISO 8601, UTC."""
        return {**asdict(self), "time": datetime.fromtimestamp(self.time, UTC).isoformat()}


class Feedback:
    """The marks of one gallery; see `Gallery.feedback`. May be used from several threads."""

    def __init__(self, gallery: GalleryWriter) -> None:
        self.path = gallery.path / FEEDBACK
        self._gallery = gallery
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def mark(
        self,
        query: str | bytes,
        key: str,
        verdict: Verdict,
        *,
        crop: Crop | None = None,
    ) -> Mark:
        """Say that the picture of ``key`` was a right or wrong answer to ``query``.

        ``query`` is a key of the gallery, the content hash of a picture that was marked before, or
        a picture's bytes, which are kept. A second mark of the same two replaces the first. Raises
        KeyNotFound, ImageError, GalleryError.
        """
        gallery = self._gallery
        row = gallery.get(key)
        content, asked, data = self._asked(query)
        image = None
        if asked is None or crop is not None:
            image = load_image(data if data is not None else self.picture(content))
            image = crop_image(image, crop) if crop else image
        measured = _measured(gallery, None if image else asked, image, key)
        mark = Mark(content, asked, crop_text(crop), key, row.hash, verdict, *measured, time.time())
        with self._writing() as db:
            if data is not None and asked is None:
                db.execute("INSERT OR IGNORE INTO pictures VALUES (?, ?)", (content, data))
            db.execute(
                f"INSERT OR REPLACE INTO marks ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                tuple(asdict(mark).values()),
            )
        return mark

    def take_back(self, query: str | bytes, key: str, *, crop: Crop | None = None) -> bool:
        """Forget what was said of ``key`` as an answer to ``query``; says whether there was a mark.

        Both may have left the gallery since. Raises GalleryError.
        """
        if not self.path.is_file():
            return False
        try:
            content, _, _ = self._asked(query)
        except KeyNotFound:
            content = ""
        hashes = [row.hash for row in self._gallery.get_many([key])] or [""]
        chosen = "crop = ? AND (query_hash = ? OR query_key = ?) AND (hash = ? OR key = ?)"
        named = query if isinstance(query, str) else None
        values = (crop_text(crop), content, named, hashes[0], key)
        with self._writing() as db:
            gone = db.execute(f"DELETE FROM marks WHERE {chosen}", values).rowcount
            db.execute(
                "DELETE FROM pictures WHERE hash = ? AND NOT EXISTS "
                "(SELECT 1 FROM marks WHERE query_hash = ?)",
                (content, content),
            )
        return gone > 0

    def marks(self, offset: int = 0, limit: int = 100, *, query: str | None = None) -> list[Mark]:
        """What was said, newest first; of one ``query`` (a key or content hash) if given."""
        chosen = "" if query is None else "WHERE query_hash = ? OR query_key = ?"
        values: list[Any] = [] if query is None else [query, query]
        found = self._select(
            f"SELECT {_COLUMNS} FROM marks {chosen} ORDER BY id DESC LIMIT ? OFFSET ?",
            [*values, limit, offset],
        )
        return [Mark(*record) for record in found]

    def walk(self) -> Iterator[Mark]:
        """All that was said, oldest first, in flat memory."""
        last = 0
        query = f"SELECT id, {_COLUMNS} FROM marks WHERE id > ? ORDER BY id LIMIT ?"
        while found := self._select(query, [last, _PAGE]):
            for record in found:
                yield Mark(*record[1:])
            last = found[-1][0]

    def counts(self, *, query: str | None = None) -> dict[str, int]:
        """How many marks say "right" and how many "wrong"."""
        chosen = "" if query is None else "WHERE query_hash = ? OR query_key = ?"
        values = [] if query is None else [query, query]
        text = f"SELECT verdict, count(*) FROM marks {chosen} GROUP BY verdict"
        return {"right": 0, "wrong": 0, **dict(self._select(text, values))}

    def picture(self, content: str) -> bytes:
        """The bytes of a picture that was searched with, or is in the gallery, by its content
        hash. Raises KeyNotFound."""
        for (data,) in self._select("SELECT bytes FROM pictures WHERE hash = ?", [content]):
            return bytes(data)
        if (key := self._gallery.find([content]).get(content)) is not None:
            data = self._gallery.image_bytes(key)[0]
            if content_hash(data) == content:
                return bytes(data)
        raise KeyNotFound(f"The picture {content[:12]} is kept neither here nor with the feedback.")

    def close(self) -> None:
        """Let go of the file."""
        with self._lock, suppress(sqlite3.Error):
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _asked(self, query: str | bytes) -> tuple[str, str | None, bytes | None]:
        """Content hash, key if the gallery has it, and bytes if they were given."""
        if isinstance(query, bytes):
            content = content_hash(query)
            return content, self._gallery.find([content]).get(content), query
        if rows := self._gallery.get_many([query]):
            return rows[0].hash, query, None
        if self._select("SELECT 1 FROM marks WHERE query_hash = ? LIMIT 1", [query]):
            return query, self._gallery.find([query]).get(query), None
        raise KeyNotFound(f"The gallery has no picture {query!r}.")

    def _select(self, query: str, values: list[Any]) -> list[tuple[Any, ...]]:
        with self._lock, explained(self.path, NO_MEND):
            try:
                with explained(self.path, NO_MEND):
                    db = self._opened()
            except DiskFull:
                with closing(connect_without_room(self.path)) as db:
                    return db.execute(query, values).fetchall() if _known(self.path, db) else []
            return [] if db is None else db.execute(query, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, explained(self.path, NO_MEND):
            db = self._opened(create=True)
            assert db is not None
            with transaction(db):
                yield db

    def _opened(self, *, create: bool = False) -> sqlite3.Connection | None:
        """The connection, with the lock held; None where nothing was ever marked."""
        if self._connection is None and (create or self.path.is_file()):
            db = connect(self.path, create=create)
            try:
                if create:
                    with transaction(db):
                        if _version(db) == 0:
                            for statement in _SCHEMA:
                                db.execute(statement)
                known = _known(self.path, db)
            except BaseException:
                db.close()
                raise
            if not known:
                db.close()
                return None
            self._connection = db
        return self._connection


def crop_text(crop: Crop | None) -> str:
    """A crop as it is kept: its four sides, or "" for the whole picture."""
    if crop is None:
        return ""
    sides = (crop.top, crop.left, crop.bottom, crop.right)
    return "" if sides == (0, 0, 1, 1) else ",".join(repr(float(side)) for side in sides)


def text_crop(text: str) -> Crop | None:
    """What `crop_text` wrote."""
    return Crop(*map(float, text.split(","))) if text else None


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _known(path: Path, db: sqlite3.Connection) -> bool:
    """Whether there are marks to be read. Raises GalleryError for those of another format."""
    # 0: somebody who was about to write the first mark was killed, or found no room.
    if (version := _version(db)) not in (0, FEEDBACK_VERSION):
        raise GalleryError(
            f"{path} has format {version}; this Vizinho reads {FEEDBACK_VERSION}.",
            "Use the Vizinho that wrote it.",
        )
    return version != 0


@steady
def _measured(
    gallery: GalleryWriter, asked: str | None, image: Image.Image | None, key: str
) -> tuple[float, str, str]:
    """How far the picture of ``key`` is from the one asked with, by which model, its fingerprint.

    ``asked`` is a key; None for ``image``.
    """
    if asked is not None:
        vector = gallery.vectors([asked])[0]
    else:
        assert image is not None
        vector = gallery.embedder.embed([image])[0]
    here = gallery.vectors([key])[0]
    far = float(np.linalg.norm(vector.astype(np.float64) - here.astype(np.float64)))
    return far, gallery.about.model, gallery.about.fingerprint
