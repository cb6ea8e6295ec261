"""A gallery's pictures: those stored in it, and those of the folder or bucket that it mirrors."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vizinho.blobs import LocalBlobs
from vizinho.datasets import Skipped
from vizinho.engines import Row, pages
from vizinho.errors import GalleryBusy, GalleryDamaged, KeyNotFound, VizinhoError
from vizinho.gallery import layout
from vizinho.gallery.core import Gallery
from vizinho.gallery.doctor import NOTE, OK, WRONG, Look
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


def memory(look: Look) -> bool:
    """Whether what is known of the mirrored folder can be read: pictures are found by it."""
    gallery = look.gallery
    assert gallery is not None
    if not (look.path / layout.FOLDER).is_file():
        return True
    try:
        (said,) = gallery._file_records().query("PRAGMA quick_check(1)")[0]
    except GalleryDamaged as error:
        what = error.message
    else:
        if said == "ok":
            return True
        what = f"{look.path / layout.FOLDER} is damaged: {said}."
    look.add(
        "folder",
        WRONG,
        what,
        "It is only a memory of the files: --fix removes it, then `vizinho index` the folder.",
        mend=lambda: _forgotten(look),
    )
    return False


def mirrored(look: Look) -> None:
    """What the gallery mirrors, against what was seen there when it was last indexed."""
    gallery = look.gallery
    assert gallery is not None
    try:
        root = gallery.mirrored
    except VizinhoError as error:
        look.add("folder", WRONG, error.message, error.hint)
        return
    if root is None:
        return
    from vizinho.sources import open_tree

    skipped: list[Skipped] = []
    try:
        tree = open_tree(root)
        if tree is None:
            raise KeyNotFound(f"{root} is not there.")
        fresh, changed, matched = _compared(look, tree.walk(skipped))
    except VizinhoError as error:
        do = "Mount or connect it; or `vizinho index` where it is now. Rows and vectors are kept."
        look.add("folder", WRONG, error.message, do)
        return
    ((known,),) = gallery._file_records().query("SELECT count(*) FROM files")
    gone = known - matched
    look.report.figures |= {"files_new": fresh, "files_changed": len(changed), "files_gone": gone}
    items = changed[:_SHOWN]
    if gone > known // 2:
        what = f"{gone:,} of {known:,} files of {root} are gone."
        look.add("folder", WRONG, what, "If that is meant, `vizinho index` it.", items)
    elif gone or changed:
        look.add(
            "folder",
            WRONG,
            f"{len(changed):,} files of {root} changed and {gone:,} went since they were indexed.",
            "--fix indexes what changed, as `vizinho index` does.",
            items,
            lambda: _synchronised(look, root),
        )
    elif fresh:
        what = f"{fresh:,} files of {root} are not indexed yet."
        look.add("folder", NOTE, what, "`vizinho index` brings them in.")
    else:
        look.add("folder", OK, f"{known:,} files of {root} are as they were when indexed.")


def _compared(look: Look, listing: Iterator[tuple[str, object]]) -> tuple[int, list[str], int]:
    """How many files are new, which have another size or time, and how many are known."""
    assert look.gallery is not None
    records = look.gallery._file_records()
    fresh, changed, matched = 0, [], 0
    page: dict[str, object] = {}

    def settle() -> None:
        nonlocal fresh, matched
        marks = ", ".join("?" * len(page))
        query = f"SELECT path, size, mtime_ns FROM files WHERE path IN ({marks})"
        known = {path: state for path, *state in records.query(query, *page)}
        fresh += len(page) - len(known)
        matched += len(known)
        for path, (size, mtime) in known.items():
            state = page[path]
            if (size, mtime) != (state.size, state.mtime_ns):  # type: ignore[attr-defined]
                changed.append(path)
        page.clear()

    for path, state in listing:
        page[path] = state
        if len(page) == _PAGE:
            settle()
    settle()
    return fresh, changed, matched


def _synchronised(look: Look, root: str) -> str:
    with Gallery.open(look.path) as gallery:
        gallery.patience = look.patience
        report = gallery.sync(root)
    return (
        f"indexed: {report.changed:,} changed, {report.added:,} added, {report.removed:,} removed"
    )


def _forgotten(look: Look) -> str:
    with layout.writing(look.path, threading.Lock(), look.patience):
        for ending in ("", "-wal", "-shm"):
            (look.path / f"{layout.FOLDER}{ending}").unlink(missing_ok=True)
    return "the memory of the folder was removed; index the folder again"
