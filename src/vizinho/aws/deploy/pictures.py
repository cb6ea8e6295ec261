"""The gallery's pictures into the bucket: only those that are not there yet.

A picture is kept under the hash of its bytes, so what the listing shows needs neither reading nor
comparing, and an interrupted upload goes on where it stopped.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vizinho.aws.deploy.account import Account
from vizinho.aws.deploy.bucket import IMAGES
from vizinho.aws.deploy.objects import in_parallel, listing
from vizinho.errors import GalleryError, ImageError
from vizinho.images import content_hash, media_type
from vizinho.progress import Progress

if TYPE_CHECKING:
    from vizinho.engines import Row
    from vizinho.gallery import GalleryView

_PAGE = 10_000
_CACHE = "public, max-age=31536000, immutable"
_SUFFIXES = {
    "image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/gif": "gif",
    "image/avif": "avif", "image/bmp": "bmp",
}  # fmt: skip


@dataclass(frozen=True)
class Missing:
    """A picture that has no bytes to show, and why; it stays out of the deployment."""

    key: str
    reason: str


@dataclass
class Pictures:
    """What of a gallery is in the bucket.

    ``there``: object by content hash. ``linked``: rows that have an address of their own on the
    web and are shown from there. ``missing``: rows by key that have neither, and their positions in
    the order of keys.
    """

    there: dict[str, str] = field(default_factory=dict)
    wanted: set[str] = field(default_factory=set)
    todo: list[Row] = field(default_factory=list)
    bytes: int = 0
    uploaded: int = 0
    linked: int = 0
    missing: list[Missing] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)

    @property
    def strange(self) -> bool:
        """Whether the bucket has pictures, and not one of them is the gallery's."""
        return bool(self.there) and self.wanted.isdisjoint(self.there)

    @property
    def superfluous(self) -> list[str]:
        """Objects that no row of the gallery refers to."""
        return [key for hash, key in self.there.items() if hash not in self.wanted]


def compare(account: Account, bucket: str, gallery: GalleryView) -> Pictures:
    """Look at bucket and gallery: what is there, what is to be uploaded. Reads no picture."""
    found = Pictures()
    for key, size in listing(account, bucket, IMAGES):
        found.there[key.rpartition("/")[2].partition(".")[0]] = key
        found.bytes += size
    for row in rows(gallery):
        if row.hash not in found.wanted:
            found.wanted.add(row.hash)
            if row.hash not in found.there:
                found.todo.append(row)
    return found


def upload(
    account: Account,
    bucket: str,
    gallery: GalleryView,
    pictures: Pictures,
    progress: Progress | None = None,
) -> None:
    """Put what ``pictures.todo`` lists, in parallel, and note it in ``pictures``.

    A picture whose bytes are gone or have changed since it was indexed is not uploaded; see
    `Pictures.missing`.
    """
    s3 = account.client("s3")

    def put(row: Row) -> tuple[Row, str, int]:
        data = _bytes_of(gallery, row)
        if isinstance(data, str):
            return row, data, -1
        kind = media_type(data)
        key = f"{IMAGES}{row.hash[:2]}/{row.hash}.{_SUFFIXES.get(kind, 'bin')}"
        s3.put_object(Bucket=bucket, Key=key, Body=data, ContentType=kind, CacheControl=_CACHE)
        return row, key, len(data)

    without: dict[str, str] = {}
    total = len(pictures.todo)
    for done, (row, told, size) in enumerate(in_parallel(put, pictures.todo), 1):
        if size < 0:
            without[row.hash] = told
        else:
            pictures.there[row.hash] = told
            pictures.bytes += size
            pictures.uploaded += 1
        if progress is not None:
            progress(done, total)
    pictures.todo = []
    if without:
        _note_missing(gallery, pictures, without)


def rows(gallery: GalleryView) -> Iterator[Row]:
    """Every row of a gallery, in the order of keys."""
    start = 0
    while page := gallery.items(start, _PAGE):
        yield from page
        start += len(page)


def _note_missing(gallery: GalleryView, pictures: Pictures, without: dict[str, str]) -> None:
    for position, row in enumerate(rows(gallery)):
        if row.hash not in without:
            continue
        if row.url.startswith(("https://", "http://")):
            pictures.linked += 1
        else:
            pictures.missing.append(Missing(row.key, without[row.hash]))
            pictures.positions.append(position)


def _bytes_of(gallery: GalleryView, row: Row) -> bytes | str:
    """The picture's bytes, or why they can't be had."""
    try:
        data, _ = gallery.image_bytes(row.key)
    except (GalleryError, ImageError) as error:
        folder = gallery.folder
        if folder is None or (folder / row.key).exists():
            return error.message
        way_out = f"vizinho index {shlex.quote(str(folder))}"
        return f"There is no file {folder / row.key} any more; `{way_out}` takes it out."
    if content_hash(data) != row.hash:
        return f"{row.key} has changed since it was indexed; `vizinho index` takes it up."
    return data
