"""Pictures of a folder on disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from vizinho.datasets import Skipped
from vizinho.errors import SourceError
from vizinho.images import is_image_name, read_bytes
from vizinho.sources.items import FileState, key_fault, shown

_GALLERY = "gallery.json"


class FolderTree:
    """Picture files under a folder, by relative path.

    Hidden files and folders and galleries are passed over; links are followed to files inside the
    folder only, never to folders.
    """

    def __init__(self, folder: str | Path, *, recursive: bool = True) -> None:
        """Raises SourceError when ``folder`` is none."""
        given = Path(folder)
        if not given.is_dir():
            what = "is not a folder" if given.exists() else "does not exist"
            raise SourceError(f"{given} {what}.", "Name a folder of pictures.")
        self.folder = given.resolve()
        self._recursive = recursive
        self.shut: list[str] = []
        """What the last `walk` was not let into, as keys: what is there it can't say."""

    @property
    def root(self) -> str:
        """The folder, absolute."""
        return str(self.folder)

    def walk(self, skipped: list[Skipped]) -> Iterator[tuple[str, FileState]]:
        """Key and state of each picture, folder by folder."""

        def stumble(error: OSError) -> None:
            reason = f"It can't be opened: {error.strerror or error}."
            skipped.append(Skipped(shown(str(error.filename)), reason))
            inner = Path(error.filename) != self.folder
            if inner and not isinstance(error, FileNotFoundError | NotADirectoryError):
                self.shut.append(Path(error.filename).relative_to(self.folder).as_posix())

        self.shut = []
        for place, folders, names in os.walk(self.folder, onerror=stumble):
            folders[:] = sorted(
                name
                for name in folders
                if self._recursive
                and not name.startswith(".")
                # Unlike Path.is_file it raises nothing where a folder is shut: that is met below.
                and not os.path.isfile(os.path.join(place, name, _GALLERY))  # noqa: PTH113, PTH118
            )
            for name in sorted(names):
                if name.startswith(".") or not is_image_name(name):
                    continue
                path = Path(place, name)
                key = path.relative_to(self.folder).as_posix()
                try:
                    reason = self._obstacle(path, key)
                    found = None if reason else path.stat()
                except OSError as error:
                    stumble(error)
                    continue
                if found is not None and stat.S_ISREG(found.st_mode):
                    yield key, FileState(found.st_size, found.st_mtime_ns)
                else:
                    skipped.append(Skipped(shown(key), reason or "It is not a plain file."))

    def read(self, key: str) -> bytes:
        """A picture's bytes. Raises UnreadableImage."""
        return read_bytes(self.folder / key)

    def url(self, key: str) -> str | None:
        """None: nobody else sees this disk."""
        return None

    def _obstacle(self, path: Path, key: str) -> str:
        if reason := key_fault(key):
            return reason
        if path.is_symlink():
            try:
                if not path.resolve().is_relative_to(self.folder):
                    return "It is a link that leaves the folder."
            except (OSError, RuntimeError):
                return "It is a link that leads in a circle."
            if not path.exists():
                return "It is a link to nothing."
        return ""
