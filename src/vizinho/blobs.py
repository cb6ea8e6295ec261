"""Where the bytes of pictures live: files under one folder, by key, with no way out of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from vizinho.errors import DiskFull, GalleryError, KeyNotFound, NotWritable

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of the errors with which a system says that there is no room."""

_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_PARTIAL = ".partial"


def image_url(key: str) -> str:
    """The relative URL under which a server shows picture ``key``."""
    return "/images/" + quote(key)


def explain_os_error(error: OSError, what: str) -> GalleryError:
    """An error of the file system as one for a person; ``what`` is the file or folder concerned."""
    if error.errno in FULL:
        return DiskFull(
            f"{what} can't be written: the disk is full. Nothing was half-written.",
            "Free some space and run it again.",
        )
    kind = NotWritable if error.errno in _FORBIDDEN else GalleryError
    return kind(f"{what}: {error.strerror or error}.", "Check the path and its owner.")


class Blobs(Protocol):
    """Bytes of pictures by key, wherever they are."""

    def put(self, key: str, data: bytes) -> None:
        """Write ``data`` as ``key``: wholly or not at all. Raises GalleryError."""
        ...

    def read(self, key: str) -> bytes:
        """The bytes of ``key``. Raises KeyNotFound."""
        ...

    def has(self, key: str) -> bool:
        """Whether there is something of that key."""
        ...

    def delete(self, key: str) -> None:
        """Remove ``key``; it may be gone already. Raises GalleryError."""
        ...

    def keys(self) -> Iterator[str]:
        """All keys, in no order."""
        ...


class LocalBlobs:
    """Files under ``root``; a key is a relative path with forward slashes."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def path(self, key: str) -> Path:
        """The file of ``key``, links followed, whether it exists or not.

        Raises KeyNotFound for a key that leads out of the folder, be it by "..", by an absolute
        path or by a symbolic link.
        """
        try:
            root = self.root.resolve()
            path = (root / key).resolve()
        except (OSError, ValueError, RuntimeError) as error:  # NUL bytes, loops of links
            raise KeyNotFound(f"There is no picture {key!r}.") from error
        if not key or not path.is_relative_to(root) or path == root:
            raise KeyNotFound(f"There is no picture {key!r}.")
        return path

    def put(self, key: str, data: bytes) -> None:
        """Write ``data`` as ``key``: wholly or not at all. Raises GalleryError."""
        path = self.path(key)
        partial = path.with_name(f".{path.name}.{os.getpid()}{_PARTIAL}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                partial.write_bytes(data)
                partial.replace(path)
            except BaseException:
                with suppress(OSError):
                    partial.unlink()
                raise
        except OSError as error:
            raise explain_os_error(error, str(path)) from error

    def read(self, key: str) -> bytes:
        """The bytes of ``key``. Raises KeyNotFound."""
        path = self.path(key)
        try:
            # A pipe or device would be read for ever.
            if not path.is_file():
                raise KeyNotFound(f"There is no picture {key!r}.")
            return path.read_bytes()
        except OSError as error:
            raise KeyNotFound(
                f"The picture {key!r} can't be read: {error.strerror or error}."
            ) from error

    def has(self, key: str) -> bool:
        """Whether there is a file of that key, for all that this process may see."""
        # Path.is_file raises where a folder on the way is shut.
        return os.path.isfile(self.path(key))  # noqa: PTH113

    def delete(self, key: str) -> None:
        """Remove ``key``; it may be gone already. Raises GalleryError."""
        path = self.path(key)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise explain_os_error(error, str(path)) from error

    def url(self, key: str) -> str:
        """The relative URL under which a server shows ``key``."""
        return image_url(key)

    def keys(self) -> Iterator[str]:
        """All keys, in no order; what a killed `put` left behind is removed on the way."""
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = Path(folder, name)
                if name.endswith(_PARTIAL):
                    with suppress(OSError):
                        path.unlink()
                else:
                    yield path.relative_to(self.root).as_posix()
