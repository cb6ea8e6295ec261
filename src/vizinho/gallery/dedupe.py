"""Pictures that a gallery holds more than once: identical, copies of each other, or similar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PIL import Image

from vizinho.blobs import LocalBlobs
from vizinho.datasets import Skipped
from vizinho.errors import KeyNotFound, VizinhoError
from vizinho.gallery import layout
from vizinho.gallery.copies import link_copies, look_at_new
from vizinho.gallery.looks import Looks
from vizinho.gallery.similar import similar_rows, usual_distance
from vizinho.gallery.view import GalleryView
from vizinho.images import content_hash, load_image
from vizinho.perceptual import Groups, likeness, same_pixels, sharpness
from vizinho.progress import Progress

if TYPE_CHECKING:
    from vizinho.gallery.core import Gallery
    from vizinho.gallery.files import FileRecords

KINDS: Final = ("identical", "near", "similar")
RULE: Final = (
    "Kept is the one with the most pixels; of those the clearly sharpest; then the one in a "
    "lossless or larger file; then the oldest file; then the first by name."
)
_SHARPER = 1.25
_PAGE = 1000
_MANY = 500


@dataclass(frozen=True)
class Member:
    """One picture of a group.

    ``how``: what it is beside the kept one, in words ("the same file", "mirrored, 50 % as wide").
    ``indexed`` is False for a file of the mirrored folder that stands for no row of its own.
    ``copy``: whether its own pixels show that it is a copy of the kept one; only such are removed.
    """

    key: str
    bytes: int
    width: int
    height: int
    sharpness: float
    modified: float | None
    how: str
    indexed: bool
    copy: bool


@dataclass(frozen=True)
class Group:
    """Pictures that belong together; the first is the one to keep, ``why`` says why."""

    kind: str
    members: tuple[Member, ...]
    why: str

    @property
    def spare(self) -> tuple[Member, ...]:
        """What could go: copies of the one to keep; none where pictures are only similar."""
        return () if self.kind == "similar" else tuple(m for m in self.members[1:] if m.copy)


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
    progress: Progress | None = None,
) -> Duplicates:
    """Groups of identical pictures, of copies ("near"), and of similar ones, largest spoils first.

    Similar are those whose embeddings are at most ``distance`` apart; by default as far as half of
    the gallery's own pictures are from altered copies of themselves. Nothing is changed but the
    hashes kept in the gallery's folder. Raises GalleryError.
    """
    report = Duplicates()
    looks = Looks(gallery.path)
    try:
        report.pictures = look_at_new(gallery, looks, report.skipped, progress)
        same = _same_files(gallery, looks)
        groups = Groups()
        if "near" in kinds:
            groups = link_copies(gallery, looks, progress)
        for number in same:
            groups.link(number, number)
        grouped: set[str] = set()
        for numbers in groups.members().values():
            keys = _keys_of(looks.hashes(numbers).values(), gallery, same, numbers)
            for group in _settled(gallery, keys, kinds):
                grouped.update(member.key for member in group.members)
                report.groups.append(group)
    finally:
        looks.close()
    if "similar" in kinds:
        limit = usual_distance(gallery) if distance is None else distance
        report.distance = limit
        for rows in similar_rows(gallery, limit, grouped, progress):
            found = [m for key in rows if (m := _member(gallery, key, True)) is not None]
            if len(found) > 1:
                report.groups.append(_similar(found))
    report.groups.sort(key=_spoils)
    return report


def remove_duplicates(
    gallery: Gallery, groups: Iterable[Group], *, delete_files: bool = False
) -> tuple[int, int]:
    """Remove from the gallery what could go, and with ``delete_files`` from the mirrored folder.

    A file is deleted only while it has the very bytes it had. Returns rows and files removed.
    Raises GalleryBusy.
    """
    spare = [member for group in groups for member in group.spare]
    files = 0
    if delete_files and (folder := gallery.folder) is not None:
        blobs = LocalBlobs(folder)
        wanted = _known_hashes(gallery, [member.key for member in spare])
        for member in spare:
            with suppress(KeyNotFound):
                path = blobs.path(member.key)
                if path.is_file() and content_hash(path.read_bytes()) == wanted.get(member.key):
                    path.unlink()
                    files += 1
    rows = gallery.remove([member.key for member in spare if member.indexed])
    return rows, files


def _known_hashes(gallery: GalleryView, keys: Sequence[str]) -> dict[str, str]:
    """Content hashes by key, or by path where a file has no row."""
    found: dict[str, str] = {}
    for start in range(0, len(keys), _MANY):
        part = keys[start : start + _MANY]
        if (records := _records(gallery)) is not None:
            marks = ", ".join("?" * len(part))
            found.update(
                records.query(f"SELECT path, hash FROM files WHERE path IN ({marks})", *part)
            )
        found.update((row.key, row.hash) for row in gallery.engine.get(part))
    return found


def _records(gallery: GalleryView) -> FileRecords | None:
    return gallery._file_records() if (gallery.path / layout.FOLDER).is_file() else None


def _same_files(gallery: GalleryView, looks: Looks) -> dict[int, list[tuple[str, bool]]]:
    """Keys and whether they are rows, by number of the content, where there are several of one."""
    several: dict[str, set[tuple[str, bool]]] = {}
    after = ""
    while rows := gallery.walk(after, _PAGE):
        after = rows[-1].key
        owners = gallery.engine.find([row.hash for row in rows])
        for row in rows:
            if (owner := owners.get(row.hash, row.key)) != row.key:
                several.setdefault(row.hash, {(owner, True)}).add((row.key, True))
    if (records := _records(gallery)) is not None and gallery.folder is not None:
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


def _settled(
    gallery: GalleryView, keys: Sequence[tuple[str, bool]], kinds: Sequence[str]
) -> Iterator[Group]:
    """The group of ``keys``, with the one to keep first; nothing if its kind is not asked for."""
    found = [m for key, indexed in keys if (m := _member(gallery, key, indexed)) is not None]
    if len(found) < 2:
        return
    kept, why = _choose(found)
    image, data = _read(gallery, kept.key)
    members = [kept]
    exact = True
    for member in sorted(found, key=lambda each: (not each.indexed, each.key)):
        if member is not kept:
            how, copy, same = _compared(gallery, image, data, member)
            exact = exact and same
            members.append(_told(member, how, copy))
    kind = "identical" if exact else "near"
    if kind in kinds:
        yield Group(kind, tuple(members), why)


def _choose(found: Sequence[Member]) -> tuple[Member, str]:
    """The one to keep, by `RULE`, and what decided."""
    left = list(found)
    most = max(m.width * m.height for m in left)
    steps = [
        ("the largest", lambda m: m.width * m.height == most),
        ("the sharpest", lambda m: m.sharpness * _SHARPER >= max(o.sharpness for o in left)),
        ("the largest file", lambda m: m.bytes == max(o.bytes for o in left)),
        ("the oldest file", lambda m: m.modified == min(o.modified or 0 for o in left)),
        ("already in the gallery", lambda m: m.indexed),
    ]
    why = "the first by name"
    for words, passes in steps:
        still = [member for member in left if passes(member)]
        if still and len(still) < len(left):
            left, why = still, words
        if len(left) == 1:
            break
    if len(left) > 1:
        why = "the first by name"
    return min(left, key=lambda member: (not member.indexed, member.key)), why


def _compared(
    gallery: GalleryView, image: Image.Image, data: bytes, member: Member
) -> tuple[str, bool, bool]:
    """How a member is beside the kept picture, whether it is a copy, and whether the very same."""
    other, its_data = _read(gallery, member.key)
    if its_data == data:
        return "the same file", True, True
    if same_pixels(image, other):
        return "the same pixels in another file", True, True
    found = likeness(image, other)
    if not found.same:
        return "a copy of a copy; stays", False, False
    words = [found.turn] if found.turn else []
    if found.cropped:
        words.append("a part of it" if found.cropped == "second" else "shows more at the edges")
    wide = max(other.size) / max(image.size)
    if abs(wide - 1) > 0.02 and not found.cropped:
        words.append(f"{wide:.0%} of the size".replace("%", " %"))
    return ", ".join(words) or "compressed or edited slightly", True, False


def _told(member: Member, how: str, copy: bool) -> Member:
    return Member(**{**vars(member), "how": how, "copy": copy})


def _similar(found: list[Member]) -> Group:
    return Group("similar", tuple(found), "the first by name")


def _spoils(group: Group) -> tuple[int, int, str]:
    return (KINDS.index(group.kind), -sum(m.bytes for m in group.spare), group.members[0].key)


def _read(gallery: GalleryView, key: str) -> tuple[Image.Image, bytes]:
    data = read_bytes_of(gallery, key)
    return load_image(data, name=key), data


def read_bytes_of(gallery: GalleryView, key: str) -> bytes:
    """The bytes of a row, or of a file of the mirrored folder that has none. Raises KeyNotFound."""
    try:
        return gallery.image_bytes(key)[0]
    except KeyNotFound:
        if (folder := gallery.folder) is None:
            raise
        return LocalBlobs(folder).read(key)


def _member(gallery: GalleryView, key: str, indexed: bool) -> Member | None:
    try:
        image, data = _read(gallery, key)
    except (VizinhoError, OSError):
        return None
    modified = None
    if (folder := gallery.folder) is not None:
        with suppress(OSError, KeyNotFound):
            modified = Path(LocalBlobs(folder).path(key)).stat().st_mtime
    sharp = sharpness(image)
    return Member(key, len(data), *image.size, round(sharp, 2), modified, "", indexed, False)
