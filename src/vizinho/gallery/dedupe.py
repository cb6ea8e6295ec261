"""Pictures that a gallery holds more than once: identical, copies of each other, or similar."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vizinho.blobs import LocalBlobs
from vizinho.datasets import Skipped
from vizinho.engines import pages
from vizinho.errors import DiskFull, KeyNotFound, VizinhoError
from vizinho.gallery import layout
from vizinho.gallery.copies import link_copies, look_at_new
from vizinho.gallery.duplicates import (
    KINDS,
    RULE,
    Group,
    Member,
    member_of,
    read_bytes_of,
    settled,
    similar_group,
    spoils,
)
from vizinho.gallery.looks import Looks
from vizinho.gallery.similar import similar_rows, usual_distance
from vizinho.gallery.view import GalleryView
from vizinho.images import content_hash
from vizinho.perceptual import Groups
from vizinho.progress import Progress

if TYPE_CHECKING:
    from vizinho.gallery.core import Gallery
    from vizinho.gallery.files import FileRecords

__all__ = [
    "KINDS",
    "RULE",
    "Duplicates",
    "Group",
    "Member",
    "find_duplicates",
    "read_bytes_of",
    "remove_duplicates",
]

_PAGE = 1000


@dataclass
class Duplicates:
    """What `find_duplicates` found among ``pictures``; ``distance`` is the one up to which pictures
    were taken for similar, if that was asked."""

    groups: list[Group] = field(default_factory=list)
    pictures: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    distance: float | None = None


def find_duplicates(
    gallery: GalleryView,
    kinds: Sequence[str] = KINDS[:2],
    *,
    distance: float | None = None,
    files: bool = True,
    progress: Progress | None = None,
) -> Duplicates:
    """Groups of identical pictures, of copies ("near"), and of similar ones, largest spoils first.

    Similar are those whose embeddings are at most ``distance`` apart; by default as far as half of
    the gallery's own pictures are from altered copies of themselves. ``files``: also files of the
    mirrored folder that have no row because another has the same bytes. Nothing is changed but the
    hashes kept in the gallery's folder. Raises GalleryError, also for a full disk.
    """
    report = Duplicates()
    looks = Looks(gallery.path)
    try:
        report.pictures = look_at_new(gallery, looks, report.skipped, progress)
        same = _same_files(gallery, looks, files)
        groups = Groups()
        if set(kinds) & {"identical", "near"}:
            groups = link_copies(gallery, looks, progress)
            for number in same:
                groups.link(number, number)
        grouped: set[str] = set()
        for numbers in groups.members().values():
            keys = _keys_of(looks.hashes(numbers).values(), gallery, same, numbers)
            for group in settled(gallery, keys, kinds):
                grouped.update(member.key for member in group.members)
                report.groups.append(group)
    finally:
        looks.close()
    if "similar" in kinds:
        limit = usual_distance(gallery) if distance is None else distance
        report.distance = limit
        for rows in similar_rows(gallery, limit, grouped, progress):
            found = [m for key in rows if (m := member_of(gallery, key, True)) is not None]
            if len(found) > 1:
                report.groups.append(similar_group(found))
    report.groups.sort(key=spoils)
    return report


def remove_duplicates(
    gallery: Gallery, groups: Iterable[Group], *, delete_files: bool = False
) -> tuple[int, int]:
    """Remove from the gallery what could go, and with ``delete_files`` from the mirrored folder.

    Nothing goes unless it and the one to keep still have the very bytes they had. Links are deleted
    as links; a file that the one to keep is a link to stays. Returns rows and files removed. Raises
    GalleryBusy.
    """
    going = [
        (group.members[0], [member for member in group.spare if _as_it_was(gallery, member)])
        for group in groups
        if group.spare and _as_it_was(gallery, group.members[0])
    ]
    files = 0
    if delete_files and (folder := gallery.folder) is not None:
        blobs = LocalBlobs(folder)
        for kept, spare in going:
            for member in spare:
                with suppress(KeyNotFound):
                    files += _deleted(blobs, member, kept)
    keys = [member.key for _, spare in going for member in spare if member.indexed]
    return gallery.remove(keys), files


def _as_it_was(gallery: GalleryView, member: Member) -> bool:
    try:
        return content_hash(read_bytes_of(gallery, member.key)) == member.hash
    except DiskFull:
        raise
    except VizinhoError:
        return False


def _deleted(blobs: LocalBlobs, member: Member, kept: Member) -> bool:
    """Delete a spare file, if it is there; says whether. Raises KeyNotFound."""
    target = blobs.path(member.key)
    name = blobs.root.resolve() / member.key
    if not target.is_file() or content_hash(target.read_bytes()) != member.hash:
        return False
    if not name.is_symlink() and target == blobs.path(kept.key):
        return False
    name.unlink()
    return True


def _records(gallery: GalleryView) -> FileRecords | None:
    return gallery._file_records() if (gallery.path / layout.FOLDER).is_file() else None


def _same_files(
    gallery: GalleryView, looks: Looks, files: bool
) -> dict[int, list[tuple[str, bool]]]:
    """Keys and whether they are rows, by number of the content, where there are several of one."""
    several: dict[str, set[tuple[str, bool]]] = {}
    for rows in pages(gallery, size=_PAGE):
        owners = gallery.engine.find([row.hash for row in rows])
        for row in rows:
            if (owner := owners.get(row.hash, row.key)) != row.key:
                several.setdefault(row.hash, {(owner, True)}).add((row.key, True))
    records = _records(gallery) if files else None
    if records is not None and gallery.folder is not None:
        query = """SELECT hash, path FROM files WHERE hash IN
            (SELECT hash FROM files GROUP BY hash HAVING count(*) > 1)"""
        for content, path in records.query(query):
            several.setdefault(content, set()).add((path, False))
    owners = gallery.engine.find(list(several))
    numbers = looks.numbers(list(owners))
    found = {}
    for content, number in numbers.items():
        keys = {key for key, _ in several[content]} | {owners[content]}
        rows_there = {row.key for row in gallery.engine.get(sorted(keys)) if row.hash == content}
        found[number] = [(key, key in rows_there) for key in sorted(keys)]
    return found


def _keys_of(
    hashes: Iterable[str],
    gallery: GalleryView,
    same: dict[int, list[tuple[str, bool]]],
    numbers: Sequence[int],
) -> list[tuple[str, bool]]:
    owners = gallery.engine.find(list(hashes))
    alone = [(key, True) for key in owners.values()]
    return sorted({*alone, *(each for number in numbers for each in same.get(number, []))})
