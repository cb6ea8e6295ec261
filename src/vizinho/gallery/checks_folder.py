"""What a gallery mirrors, against what was seen there when it was last indexed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from vizinho.datasets import Skipped
from vizinho.errors import GalleryDamaged, ImageError, KeyNotFound, VizinhoError
from vizinho.gallery import layout
from vizinho.gallery.core import Gallery
from vizinho.gallery.doctor import NOTE, OK, WRONG, Look
from vizinho.gallery.files import FileRecords, listing
from vizinho.images import load_image
from vizinho.sources import FileState, Tree, open_tree

_PAGE = 1000
_SHOWN = 20
_TARGET = 64


@dataclass
class _Seen:
    """Files by what became of them since; of ``fresh`` ones only the first are named in ``new``."""

    fresh: int = 0
    matched: int = 0
    changed: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)


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
    records = gallery._file_records()
    skipped: list[Skipped] = []
    try:
        tree = open_tree(root)
        if tree is None:
            raise KeyNotFound(f"{root} is not there.")
        seen = _compared(look, records, listing(tree, records, skipped))
        skipped += _unreadable(tree, seen.new)
    except VizinhoError as error:
        do = "Mount or connect it; or `vizinho index` where it is now. Rows and vectors are kept."
        look.add("folder", WRONG, error.message, do)
        return
    ((known,),) = records.query("SELECT count(*) FROM files")
    _judged(look, root, seen, known, skipped)


def _judged(look: Look, root: str, seen: _Seen, known: int, skipped: list[Skipped]) -> None:
    unread = {each.name for each in skipped}
    fresh = seen.fresh - len(unread.intersection(seen.new))
    gone, changed = known - seen.matched, seen.changed
    look.report.figures |= {
        "files_new": fresh,
        "files_changed": len(changed),
        "files_gone": gone,
        "files_unreadable": len(skipped),
    }
    said = f"{fresh:,} new, {len(changed):,} changed, {gone:,} gone since it was indexed"
    if skipped:
        least = "at least " if seen.fresh > len(seen.new) else ""
        said += f"; {least}{len(skipped):,} can't be read, which an index passes over"
    names = [f"{each.name}: {each.reason}" for each in skipped[:_SHOWN]]
    if gone > known // 2:
        what = f"{gone:,} of {known:,} files of {root} are gone."
        look.add("folder", WRONG, what, "If that is meant, `vizinho index` it.", changed[:_SHOWN])
    elif gone or changed:
        do = "--fix indexes what changed, as `vizinho index` does."
        items = [*changed, *names][:_SHOWN]
        look.add("folder", WRONG, f"{root}: {said}.", do, items, lambda: _synchronised(look, root))
    elif fresh:
        look.add("folder", NOTE, f"{root}: {said}.", "`vizinho index` brings in the new.", names)
    elif skipped:
        what = f"{known:,} files of {root} are as they were when indexed; {len(skipped):,} others "
        do = "Mend or remove them."
        look.add("folder", NOTE, f"{what}can't be read, and are not in the gallery.", do, names)
    else:
        look.add("folder", OK, f"{known:,} files of {root} are as they were when indexed.")


def _compared(look: Look, records: FileRecords, files: Iterator[tuple[str, FileState]]) -> _Seen:
    seen = _Seen()
    page: dict[str, FileState] = {}

    def settle() -> None:
        marks = ", ".join("?" * len(page))
        query = f"SELECT path, size, mtime_ns FROM files WHERE path IN ({marks})"
        known = {path: state for path, *state in records.query(query, *page)}
        seen.fresh += len(page) - len(known)
        seen.matched += len(known)
        for path, (size, mtime) in known.items():
            if (size, mtime) != (page[path].size, page[path].mtime_ns):
                seen.changed.append(path)
        new = [path for path in page if path not in known]
        seen.new += new if look.full else new[: look.sample - len(seen.new)]
        page.clear()

    for path, state in files:
        page[path] = state
        if len(page) == _PAGE:
            settle()
    settle()
    return seen


def _unreadable(tree: Tree, paths: list[str]) -> Iterator[Skipped]:
    """Those of ``paths`` that an index would pass over, and why. Raises SourceError."""
    for path in paths:
        try:
            load_image(tree.read(path), target=_TARGET, name=path)
        except ImageError as error:
            yield Skipped(path, str(error))


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
