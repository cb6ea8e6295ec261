"""A gallery's own files: description, model, catalogue, what is left over, what takes the room."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from vizinho.bundle import (
    DEFAULT,
    INFO_FILE,
    MODEL_FILE,
    network_file,
    read_bundle,
    read_model,
    resolve_bundle,
)
from vizinho.engines.embedded import EmbeddedEngine
from vizinho.engines.sqlite import connect
from vizinho.errors import BundleError, GalleryDamaged, GalleryError, VizinhoError
from vizinho.gallery import layout, migrate, salvage
from vizinho.gallery.doctor import NOTE, OK, WRONG, Look

_SHOWN = 20
_ROWS = 5000
_CHECK = "catalogue"
# Held by another process, a full disk, too many files open, no right to it.
_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
}


def description(look: Look) -> layout.About | None:
    """``gallery.json``: read, or put together from the parts that are there."""
    try:
        about = layout.read_about(look.path)
    except VizinhoError as error:
        guess = _guessed(look.path)
        mend = None if guess is None else lambda: _rewritten(look.path, guess)
        do = "--fix writes it from the model that is there." if guess else error.hint
        look.add("description", WRONG, error.message, do, mend=mend)
        return None
    look.add("description", OK, f"{layout.ABOUT} is complete.")
    return about


def _guessed(path: Path) -> layout.About | None:
    homes = [None, *sorted(p.name for p in path.glob(f"{migrate.PREFIX}*") if p.is_dir())]
    found = []
    for home in homes:
        folder = path / home if home else path
        if (folder / layout.CATALOGUE).is_file():
            with suppress(VizinhoError):
                info, _ = read_model(folder / layout.MODEL)
                about = (info.name, info.fingerprint, info.dimension, EmbeddedEngine.name)
                found.append(layout.About(*about, "onnxruntime", "fp32", home=home))
    # Of several any could be the one that counts: that is for a person to say.
    return found[0] if len(found) == 1 else None


def _rewritten(path: Path, about: layout.About) -> str:
    layout.replace_about(path, about)
    return f"{layout.ABOUT} written anew for the model {about.model}"


def model(look: Look, about: layout.About) -> None:
    """The gallery's copy of its model, against the fingerprint of its vectors."""
    folder = layout.home(look.path, about) / layout.MODEL
    try:
        info, _ = read_model(folder, about.precision)
        if info.fingerprint != about.fingerprint:
            raise BundleError("The model in the gallery is not the one of its vectors.")
    except VizinhoError as error:
        source = _same_model(look, about)
        mend = None if source is None else lambda: _copied(source, folder, about)
        do = (
            f"--fix takes it from {source}."
            if source
            else f"Give the bundle of {about.model} ({about.fingerprint[:12]}) with --model."
        )
        look.add("model", WRONG, error.message, do, mend=mend)
        return
    look.add("model", OK, f"{about.model} is whole; its fingerprint is that of the vectors.")


def _same_model(look: Look, about: layout.About) -> Path | None:
    for name in (look.model, about.model, DEFAULT):
        with suppress(VizinhoError, OSError):
            folder = resolve_bundle(name)
            if name and read_model(folder, about.precision)[0].fingerprint == about.fingerprint:
                return folder
    return None


def _copied(source: Path, folder: Path, about: layout.About) -> str:
    folder.mkdir(exist_ok=True)
    for name in {MODEL_FILE, network_file(about.precision), INFO_FILE}:
        partial = folder / f".{name}.new"
        shutil.copyfile(source / name, partial)
        partial.replace(folder / name)
    read_bundle(folder)
    return f"the model was copied from {source}"


def catalogue(look: Look, about: layout.About) -> None:
    """The SQLite file: its own integrity, and whether rows and vectors belong together."""
    path = layout.home(look.path, about) / layout.CATALOGUE
    try:
        if not path.is_file():
            raise GalleryDamaged(f"{path} is missing.")
        EmbeddedEngine.open(path).close()
        with closing(connect(path)) as db:
            pragma = "integrity_check" if look.full else "quick_check"
            told = [row[0] for row in db.execute(f"PRAGMA {pragma}(20)")]
            if told != ["ok"]:
                raise GalleryDamaged(f"{path} is damaged: {told[0]}.")
            broken = _broken_vectors(db, about.dimension)
            lost = db.execute(
                "SELECT count(*) FROM vectors WHERE id NOT IN (SELECT id FROM images)"
            ).fetchone()[0]
            _count(look, path, db)
    except (GalleryError, sqlite3.DatabaseError) as error:
        look.damaged = True
        said = getattr(error, "message", f"{path} can't be read: {error}.")
        if not _is_damage(error):
            look.add(_CHECK, WRONG, said, getattr(error, "hint", ""))
            return
        look.add(
            _CHECK,
            WRONG,
            said,
            "--fix makes a new one of what can be read, embeds the rest anew, and keeps the old.",
            mend=lambda: salvage.salvaged(look, about),
        )
        return
    if broken:
        look.damaged = True
        look.add(
            _CHECK,
            WRONG,
            f"{len(broken):,} rows have no usable vector.",
            "--fix embeds their pictures anew where they are at hand.",
            broken[:_SHOWN],
            lambda: salvage.reembedded(look, about, broken),
        )
    if lost:
        look.add(
            _CHECK,
            WRONG,
            f"{lost:,} vectors belong to no row.",
            "--fix removes them.",
            mend=lambda: salvage.without_rowless(look, path),
        )
    if not broken and not lost:
        look.add(_CHECK, OK, "SQLite finds no fault; every row has a vector, every vector a row.")


def _is_damage(error: Exception) -> bool:
    """Whether a catalogue has to be made anew, and not only tried again or read by another
    Vizinho."""
    cause = error if isinstance(error, sqlite3.Error) else error.__cause__
    if isinstance(cause, sqlite3.Error):
        return (getattr(cause, "sqlite_errorcode", 0) & 0xFF) not in _PASSING
    return isinstance(error, GalleryDamaged)


def _broken_vectors(db: sqlite3.Connection, dimension: int) -> list[str]:
    """Keys of rows without a vector, or with one of another length or not of finite numbers."""
    query = "SELECT key, vector FROM images LEFT JOIN vectors USING (id) ORDER BY images.id"
    cursor = db.execute(query)
    broken: list[str] = []
    while records := cursor.fetchmany(_ROWS):
        sound = [
            (key, vector)
            for key, vector in records
            if isinstance(vector, bytes) and len(vector) == 4 * dimension
        ]
        whole = {key for key, _ in sound}
        broken += [key for key, _ in records if key not in whole]
        matrix = np.frombuffer(b"".join(vector for _, vector in sound), "<f4")
        finite = np.isfinite(matrix.reshape(-1, dimension)).all(axis=1)
        broken += [sound[place][0] for place in np.flatnonzero(~finite)]
    return broken


def _count(look: Look, path: Path, db: sqlite3.Connection) -> None:
    found = db.execute("SELECT value FROM about WHERE name = 'count'").fetchone()
    (rows,) = db.execute("SELECT count(*) FROM images").fetchone()
    if found is not None and int(found[0]) != rows:
        look.add(
            _CHECK,
            WRONG,
            f"It says that it has {found[0]} rows and has {rows}.",
            "--fix corrects the number.",
            mend=lambda: salvage.counted(look, path),
        )


def leftovers(look: Look, about: layout.About) -> None:
    """What a kill left: of writers, migrations, building; and what nothing uses any more."""
    path = look.path
    unfinished = [
        each
        for each in migrate.leftovers(path, about)
        if each.is_dir() and each.name.startswith(migrate.PREFIX)
    ]
    if unfinished:
        look.add(
            "leftovers",
            NOTE,
            "A migration has not come to its end."
            if not migrate.migrating(path)
            else "A migration is going on.",
            "The same `vizinho migrate` goes on with it; or delete the folder.",
            [str(each) for each in unfinished],
        )
    stale = (
        []
        if migrate.migrating(path)
        else [each for each in migrate.leftovers(path, about) if each not in unfinished]
    )
    stale += _partial(path) + _dead_builds(path)
    if stale:
        look.add(
            "leftovers",
            WRONG,
            f"{len(stale):,} files or folders were left by a process that was killed.",
            "--fix removes them.",
            [str(each) for each in stale[:_SHOWN]],
            lambda: _removed(stale),
        )
    elif not unfinished:
        look.add("leftovers", OK, "Nothing was left lying about.")


def _partial(path: Path) -> list[Path]:
    """Files of writers that are gone; those of one at work carry its number."""
    found = []
    for place, _, names in os.walk(path / layout.IMAGES):
        for name in names:
            match = re.search(r"\.(\d+)\.partial$", name)
            if match and not layout._alive(int(match[1])):
                found.append(Path(place, name))
    return found


def _dead_builds(path: Path) -> list[Path]:
    pattern = re.compile(rf"\.{re.escape(path.name)}\.(\d+)\.(new|old)")
    return [
        sibling
        for sibling in path.resolve().parent.iterdir()
        if (match := pattern.fullmatch(sibling.name)) and not layout._alive(int(match[1]))
    ]


def _removed(paths: list[Path]) -> str:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return f"{len(paths):,} left-over files or folders removed"


def space(look: Look) -> None:
    """Bytes by part."""
    parts: dict[str, int] = {}
    for place, _, names in os.walk(look.path):
        for name in names:
            with suppress(OSError):
                file = Path(place, name)
                inside = file.relative_to(look.path).parts
                part = "/".join(inside[:2]) if inside[0].startswith(migrate.PREFIX) else inside[0]
                part = re.sub(r"\.sqlite-(wal|shm)$", ".sqlite", part)
                parts[part] = parts.get(part, 0) + file.stat().st_size
    look.report.space = {**dict(sorted(parts.items())), "total": sum(parts.values())}
    told = ", ".join(f"{name} {size / 1e6:,.1f} MB" for name, size in parts.items() if size > 1e5)
    look.add("space", OK, f"{sum(parts.values()) / 1e6:,.1f} MB" + (f": {told}." if told else "."))
