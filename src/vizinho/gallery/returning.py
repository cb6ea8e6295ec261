"""Whether pictures that are removed from a gallery come back with what it mirrors."""

from __future__ import annotations

from collections.abc import Sequence

from vizinho.blobs import LocalBlobs
from vizinho.engines import Row
from vizinho.errors import KeyNotFound
from vizinho.gallery import layout
from vizinho.gallery.sync import is_url
from vizinho.gallery.view import GalleryView


class Mirrored:
    """What ``gallery`` mirrors now: ``root`` is a folder's path, a bucket's URL, or None."""

    def __init__(self, gallery: GalleryView) -> None:
        self._gallery = gallery
        self.root = gallery.mirrored
        folder = gallery.folder
        self._files = None if folder is None or not folder.is_dir() else LocalBlobs(folder)

    def brings_back(self, row: Row) -> bool:
        """Whether the next `vizinho index` would find the picture of ``row`` there under its key.

        Ask before the row is removed. An added picture whose bytes also lie there under another
        name is not seen: no index has the files by their bytes, and to go through all of them for
        each row would take longer than removing it. Raises GalleryError.
        """
        if self.root is None:
            return False
        if is_url(self.root):
            return row.url.startswith(f"{self.root}/")
        if self._files is None:
            # The folder is away, or on another machine: only what was added has its bytes here.
            return not self._gallery._blobs.has(layout.blob_key(row.hash))
        try:
            return self._files.has(row.key)
        except KeyNotFound:
            return False


def any_returning(gallery: GalleryView, keys: Sequence[str]) -> bool:
    """Whether one of the pictures of ``keys``, which are still there, would come back; see
    `Mirrored.brings_back`."""
    mirrored = Mirrored(gallery)
    if mirrored.root is None:
        return False
    return any(mirrored.brings_back(row) for row in gallery.get_many(keys))
