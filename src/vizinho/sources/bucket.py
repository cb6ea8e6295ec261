"""Pictures of a bucket, by keys relative to a prefix."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vizinho.datasets import Skipped
from vizinho.errors import SourceError
from vizinho.images import is_image_name
from vizinho.sources.items import FileState, key_fault, shown
from vizinho.sources.s3 import SCHEME, Way, connect, explained, find_way, split_url

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo

_HIDDEN = re.compile(r"(^|/)\.(?!\.?/)")
_MANY = 1000
"""Folders of the first level that are listed one by one; each is a request at least."""


class BucketTree:
    """Picture objects under ``s3://bucket/prefix``, the prefix being a folder's name.

    What is hidden (a part of the key starts with a dot) is passed over, as on disk. Listing
    takes 700 bytes an object of memory, for one folder of the first level at a time (for all at
    once where these are many), and never the objects themselves.
    """

    def __init__(self, url: str, *, recursive: bool = True, way: Way | None = None) -> None:
        """Raises SourceError for an address that is none, and where the bucket can't be reached."""
        bucket, prefix = split_url(url)
        self._prefix = prefix.strip("/")
        self._recursive = recursive
        self._way = way or find_way(bucket)

    @property
    def root(self) -> str:
        """``s3://bucket/prefix``, no slash at the end."""
        return SCHEME + self._place

    @property
    def _place(self) -> str:
        return f"{self._way.bucket}/{self._prefix}".rstrip("/")

    def walk(self, skipped: list[Skipped]) -> Iterator[tuple[str, FileState]]:
        """Key and state of each picture, in the same order each time."""
        from pyarrow import fs

        for info in self._objects():
            key = info.path[len(self._place) + 1 :]
            if info.type != fs.FileType.File or not is_image_name(key) or _HIDDEN.search(key):
                continue
            if reason := key_fault(key):
                skipped.append(Skipped(shown(key), reason))
            else:
                yield key, FileState(info.size, info.mtime_ns or 0)

    def _objects(self) -> Iterator[FileInfo]:
        top = self._listed(self._place, recursive=False)
        folders = [info.path for info in top if not info.is_file]
        if self._recursive and len(folders) > _MANY:
            top = self._listed(self._place, recursive=True)
            folders = []
        for info in _taken(top):
            if info.is_file or not self._recursive:
                yield info
            elif folders:
                yield from _taken(self._listed(info.path, recursive=True))

    def _listed(self, place: str, *, recursive: bool) -> list[FileInfo]:
        from pyarrow import fs

        # A folder of the first listing may be gone by the second.
        inner = place != self._place
        selector = fs.FileSelector(place, recursive=recursive, allow_not_found=inner)
        with explained(self.root):
            return list(connect(self._way).get_file_info(selector))

    def read(self, key: str) -> bytes:
        """An object's bytes. Raises UnreadableImage when this one is gone or forbidden, SourceError
        when the bucket is out of reach."""
        return read_object(self._way, f"{self._place}/{key}")

    def url(self, key: str) -> str | None:
        """``s3://bucket/prefix/key``, as it is: nothing in it is escaped."""
        return f"{self.root}/{key}"


def _taken(listing: list[FileInfo]) -> Iterator[FileInfo]:
    """A listing in the order of keys; it shrinks while its pictures are worked on."""
    listing.sort(key=lambda info: info.path, reverse=True)
    while listing:
        yield listing.pop()


def read_object(way: Way, path: str) -> bytes:
    """The bytes of ``bucket/key``; see `BucketTree.read`."""
    with explained(SCHEME + path, picture=True), connect(way).open_input_stream(path) as stream:
        return bytes(stream.read())


def read_url(url: str) -> bytes:
    """The bytes of ``s3://bucket/key``.

    Raises UnreadableImage when there is no such object, SourceError when the bucket is out of reach
    or ``url`` is of another kind.
    """
    bucket, key = split_url(url)
    if not key:
        raise SourceError(f"{url!r} names no picture.", "It looks like s3://BUCKET/KEY.")
    return read_object(find_way(bucket), f"{bucket}/{key}")
