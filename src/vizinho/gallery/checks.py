"""A gallery's pictures, whether stored in it or not, and what was said of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from vizinho.blobs import LocalBlobs
from vizinho.engines import Row, pages
from vizinho.engines.sqlite import connect, explained
from vizinho.errors import GalleryBusy, GalleryError, KeyNotFound
from vizinho.gallery import layout
from vizinho.gallery.core import Gallery
from vizinho.gallery.doctor import OK, WRONG, Look
from vizinho.gallery.feedback import FEEDBACK, FEEDBACK_VERSION, NO_MEND
from vizinho.images import content_hash

_PAGE = 1000
_SHOWN = 20


def stored(look: Look) -> None:
    """Blobs without rows, rows without pictures, and stored bytes that are not what they were."""
    gallery = look.gallery
    assert gallery is not None
    blobs = LocalBlobs(look.path / layout.IMAGES)
    count, orphans = 0, []
    for hashes in _stored_hashes(look.path / layout.IMAGES):
        count += len(hashes)
        used = gallery.find(hashes)
        orphans += [each for each in hashes if each not in used]
    if orphans and not look.damaged and not _being_written(look.path):
        look.add(
            "stored pictures",
            WRONG,
            f"{len(orphans):,} stored pictures belong to no row.",
            "--fix removes them.",
            orphans[:_SHOWN],
            lambda: _tidied(look),
        )
    missing, broken = _unusable(look, blobs)
    if broken:
        look.add(
            "stored pictures",
            WRONG,
            f"{len(broken):,} stored pictures are damaged.",
            "--fix takes them from the indexed folder if they are there; else `vizinho remove` and "
            "add them again.",
            [row.key for row in broken[:_SHOWN]],
            (lambda: _restored(look, blobs, broken)) if _at_hand(look, broken) else None,
        )
    if missing:
        look.add(
            "stored pictures",
            WRONG,
            f"{len(missing):,} rows have no picture: neither stored nor in the folder.",
            "Searches find them all the same. Bring the files back, or `vizinho remove` the keys.",
            missing[:_SHOWN],
        )
    if not (orphans or missing or broken):
        how = "all" if look.full else f"{min(count, look.sample):,}"
        look.add("stored pictures", OK, f"{count:,} stored, each with a row; {how} read and right.")


def _stored_hashes(root: Path) -> Iterator[list[str]]:
    page: list[str] = []
    for _, _, names in os.walk(root):
        page += [name for name in names if not name.endswith(".partial")]
        if len(page) >= _PAGE:
            yield page
            page = []
    yield page


def _being_written(path: Path) -> bool:
    try:
        with layout.still(path):
            return False
    except GalleryBusy:
        return True


def _unusable(look: Look, blobs: LocalBlobs) -> tuple[list[str], list[Row]]:
    """Keys of rows without a picture, and rows whose stored picture is damaged."""
    gallery = look.gallery
    assert gallery is not None
    folder = gallery.folder
    files = LocalBlobs(folder) if folder is not None else None
    missing: list[str] = []
    broken: list[Row] = []
    total = gallery.count
    sample = set(np.linspace(0, max(total - 1, 0), look.sample).astype(int).tolist())
    place = 0
    for rows in pages(gallery, size=_PAGE):
        for row in rows:
            path = blobs.path(layout.blob_key(row.hash))
            if path.is_file():
                read = look.full or place in sample
                if not path.stat().st_size or (read and _hash(path) != row.hash):
                    broken.append(row)
            # Where a folder is away as a whole, that is one finding and not one for each row.
            elif (
                "://" not in row.url
                and not (files is not None and _there(files, row.key))
                and (folder is None or folder.is_dir())
            ):
                missing.append(row.key)
            place += 1
        if look.progress is not None:
            look.progress(place, total)
    return missing, broken


def _there(files: LocalBlobs, key: str) -> bool:
    try:
        return files.has(key)
    except KeyNotFound:
        return False


def _hash(path: Path) -> str:
    try:
        return content_hash(path.read_bytes())
    except OSError:
        return ""


def _tidied(look: Look) -> str:
    with Gallery.open(look.path) as gallery:
        gallery.patience = look.patience
        with gallery._writing():
            gallery._tidy()
    return "stored pictures without a row were removed"


def _at_hand(look: Look, rows: Sequence[Row]) -> bool:
    return any(_elsewhere(look, row) is not None for row in rows)


def _elsewhere(look: Look, row: Row) -> bytes | None:
    """The bytes of a picture from the mirrored folder, if they are those of the row."""
    folder = look.gallery.folder if look.gallery is not None else None
    if folder is None:
        return None
    try:
        data = LocalBlobs(folder).read(row.key)
    except KeyNotFound:
        return None
    return data if content_hash(data) == row.hash else None


def _restored(look: Look, blobs: LocalBlobs, rows: Sequence[Row]) -> str:
    done = 0
    with Gallery.open(look.path) as look.gallery:
        for row in rows:
            if (data := _elsewhere(look, row)) is not None:
                blobs.put(layout.blob_key(row.hash), data)
                done += 1
    return f"{done:,} of {len(rows):,} stored pictures were taken from the folder again"


def feedback(look: Look) -> None:
    """The file of right and wrong marks, where there is one."""
    path = look.path / FEEDBACK
    if not path.is_file():
        return
    try:
        with explained(path, NO_MEND), closing(connect(path)) as db:
            ((said,),) = db.execute("PRAGMA integrity_check(1)").fetchall()
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            marks = 0
            if said == "ok" and version == FEEDBACK_VERSION:
                (marks,) = db.execute("SELECT count(*) FROM marks").fetchone()
    except GalleryError as error:
        look.add("feedback", WRONG, error.message, error.hint)
        return
    if said != "ok":
        look.add("feedback", WRONG, f"{path} is damaged: {said}.", NO_MEND)
    elif version not in (0, FEEDBACK_VERSION):
        what = f"{path} has format {version}; this Vizinho reads {FEEDBACK_VERSION}."
        look.add("feedback", WRONG, what, "Use the Vizinho that wrote it.")
    else:
        look.add("feedback", OK, f"{marks:,} right and wrong marks.")
