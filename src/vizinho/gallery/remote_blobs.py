"""The pictures of a gallery in Milvus that are nowhere else: small copies, by content hash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vizinho.blobs import image_url
from vizinho.engines.milvus_parts import MilvusParts
from vizinho.errors import KeyNotFound
from vizinho.gallery import layout
from vizinho.images import load_image, thumbnail

# A page shows results smaller than this; a picture of no more bytes is kept as it is.
_SIDE = 384
_WHOLE_BYTES = 48_000


class RemoteBlobs:
    """Small copies of pictures, by content hash; the interface of `vizinho.blobs.LocalBlobs`."""

    def __init__(self, parts: MilvusParts) -> None:
        self._parts = parts

    def put(self, key: str, data: bytes) -> None:
        """Keep a picture, shrunk when it is large. Raises ImageError, GalleryError."""
        if len(data) > _WHOLE_BYTES:
            data = thumbnail(load_image(data, target=_SIDE), _SIDE)
        self._parts.put(Path(key).name, data)

    def read(self, key: str) -> bytes:
        """The bytes of ``key``. Raises KeyNotFound."""
        data = self._parts.read(Path(key).name)
        if data is None:
            raise KeyNotFound(f"There is no picture {key!r}.")
        return data

    def has(self, key: str) -> bool:
        """Whether there is a copy of that key."""
        return self._parts.has(Path(key).name)

    def delete(self, key: str) -> None:
        """Remove ``key``; it may be gone already."""
        self._parts.delete([Path(key).name])

    def url(self, key: str) -> str:
        """The relative URL under which a server shows ``key``."""
        return image_url(key)

    def keys(self) -> Iterator[str]:
        """All keys, in order."""
        return map(layout.blob_key, self._parts.names())
