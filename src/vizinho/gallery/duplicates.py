"""A group of duplicates: which picture to keep and why, and what the others are beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from vizinho.blobs import LocalBlobs
from vizinho.errors import DiskFull, KeyNotFound, VizinhoError
from vizinho.gallery.view import GalleryView
from vizinho.images import content_hash, load_image
from vizinho.perceptual import likeness, same_pixels, sharpness

KINDS: Final = ("identical", "near", "similar")
RULE: Final = (
    "Kept is the one with the most pixels; of those the clearly sharpest; then the one in the "
    "larger file; then the oldest file; then the first by name."
)
_SHARPER = 1.25


@dataclass(frozen=True)
class Member:
    """One picture of a group.

    ``how``: what it is beside the kept one, in words ("the same file", "mirrored, 50 % as wide").
    ``indexed`` is False for a file of the mirrored folder that stands for no row of its own.
    ``copy``: whether its own pixels show that it is a copy of the kept one; only such are removed.
    ``hash``: SHA-256 (hex) of the bytes that were compared.
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
    hash: str


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


def settled(
    gallery: GalleryView, keys: Sequence[tuple[str, bool]], kinds: Sequence[str]
) -> Iterator[Group]:
    """The group of ``keys``, with the one to keep first; nothing if its kind is not asked for."""
    found = [m for key, indexed in keys if (m := member_of(gallery, key, indexed)) is not None]
    if "near" not in kinds:
        for same in _by_pixels(gallery, found):
            yield from _one_group(gallery, same, kinds)
    else:
        yield from _one_group(gallery, found, kinds)


def _by_pixels(gallery: GalleryView, found: Sequence[Member]) -> list[list[Member]]:
    """Parted into those of the very same pixels."""
    parts: dict[tuple[object, ...], list[Member]] = {}
    for member in found:
        image, _ = _read(gallery, member.key)
        parts.setdefault((image.size, content_hash(image.tobytes())), []).append(member)
    return list(parts.values())


def _one_group(
    gallery: GalleryView, found: Sequence[Member], kinds: Sequence[str]
) -> Iterator[Group]:
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
    steps: list[tuple[str, Callable[[Member], bool]]] = [
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


def similar_group(found: Sequence[Member]) -> Group:
    """Pictures that are only alike for the model."""
    return Group("similar", tuple(found), "the first by name")


def spoils(group: Group) -> tuple[int, int, str]:
    """Sorts groups: by kind, then those first whose copies take the most room."""
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


def member_of(gallery: GalleryView, key: str, indexed: bool) -> Member | None:
    """What is known of one picture by itself; None where it can't be read. Raises DiskFull."""
    try:
        image, data = _read(gallery, key)
    except DiskFull:
        # No fault of the picture's: all that follow would be called unreadable too.
        raise
    except (VizinhoError, OSError):
        return None
    modified = None
    if (folder := gallery.folder) is not None:
        with suppress(OSError, KeyNotFound):
            modified = Path(LocalBlobs(folder).path(key)).stat().st_mtime
    sharp = sharpness(image)
    content = content_hash(data)
    return Member(
        key, len(data), *image.size, round(sharp, 2), modified, "", indexed, False, content
    )
