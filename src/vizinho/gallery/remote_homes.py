"""What a gallery in Milvus says of itself: which model and collection count, and who may write.

There is no lock over machines in Milvus. What keeps a migration and writers apart is an order: a
writer looks at ``gallery.json`` before it writes and after (`RemoteHomes.confirm`), a migration
replaces it and then goes through the old collection once more. So either the writer sees that it
was replaced, and says that it has to write again, or the migration sees what it wrote.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vizinho.bundle import INFO_FILE, MODEL_FILE, network_file
from vizinho.engines.milvus import MilvusEngine
from vizinho.engines.milvus_address import MilvusAddress
from vizinho.engines.milvus_parts import MilvusParts
from vizinho.errors import GalleryBusy, GalleryDamaged, GalleryError, GalleryNotFound
from vizinho.gallery import layout
from vizinho.gallery.lock import Patience

SETTLING = "settling"
"""While this part is there a migration takes in the last changes, and nobody may write."""
RETIRED = "retired"
"""While this part is there, an old model's collection may be left from a migration."""
CLAIM = "migration"
_LOOK_SECONDS = 2.0
_WAIT_SECONDS = 0.5


class RemoteHomes:
    """The description of one gallery in Milvus, and the collections that it has or had."""

    def __init__(self, address: MilvusAddress) -> None:
        self.address = address
        self.about_parts = MilvusParts(address, "about")

    def current(self, *, latest: bool = False) -> layout.About:
        """The gallery's description; with ``latest`` as nobody has changed it before this call.

        Raises GalleryNotFound, GalleryUnreachable, GalleryDamaged.
        """
        text = self.about_parts.read(layout.ABOUT, latest=latest)
        if text is None:
            raise GalleryNotFound(
                f"There is no gallery {self.address}.",
                f"Make one with `vizinho index FOLDER --engine {self.address}`.",
            )
        about = layout.parse_about(text.decode(errors="replace"), str(self.address))
        if about.digest is None:
            raise GalleryDamaged(f"{self.address} is damaged: it has no identity.")
        return about

    def collection(self, home: str | None) -> MilvusAddress:
        """Where rows and vectors are: the collection of the gallery's name, or ``home``."""
        return replace(self.address, name=home) if home else self.address

    def homes(self) -> set[str | None]:
        """The collections that rows are in, were in or were to be in; None is the first."""
        found: set[str | None] = set()
        for name in self.about_parts.names():
            home, inside, _ = name.rpartition(f"{layout.MODEL}/")
            if inside:
                found.add(home.rstrip("/") or None)
        return found

    def put_model(
        self, home: str | None, bundle: Path, precision: str
    ) -> dict[str, layout.PackedFile]:
        """Keep the model of a collection for all machines; returns its files, described."""
        files = {}
        for name in sorted({MODEL_FILE, network_file(precision), INFO_FILE}):
            data = (bundle / name).read_bytes()
            part = str(_model_folder(home) / name)
            self.about_parts.put(part, data)
            files[part] = described(data)
        return files

    def drop_home(self, home: str | None) -> None:
        """Delete a collection, then its model."""
        MilvusEngine.drop(self.collection(home))
        folder = _model_folder(home)
        # By all names it may have: of a file that was not written to its end none is listed.
        names = {MODEL_FILE, INFO_FILE, *map(network_file, ("fp32", "int8"))}
        self.about_parts.delete([str(folder / name) for name in sorted(names)])

    def await_writable(self, patience: Patience) -> bool:
        """Return when no migration takes in its last changes, and whether one did.

        Raises GalleryBusy.
        """
        until = time.monotonic() + patience.seconds
        waited = False
        while self.about_parts.has(SETTLING):
            busy = f"{self.address} is getting another model, and its last changes are taken in"
            if time.monotonic() >= until:
                raise GalleryBusy(
                    f"{busy}.",
                    "Try again in a moment. If that migration was killed, run it again: until it "
                    "is finished nobody can write.",
                )
            if not waited and patience.told is not None:
                patience.told(f"{busy}; waiting for it.")
            waited = True
            time.sleep(_WAIT_SECONDS)
        return waited

    def confirm(self, about: layout.About, *, latest: bool = True) -> None:
        """Make sure that what was written into the collection of ``about`` counts.

        Whatever was written before this returns is taken in by a migration that comes later.
        Raises GalleryBusy when the gallery has another model by now.
        """
        now = self.current(latest=latest)
        self._require_same(about, now)
        if now.home != about.home:
            raise GalleryBusy(
                f"{self.address} was given another model while this was written.",
                "Do it again: what is there already is passed over.",
            )

    def successor(self, about: layout.About, *, latest: bool = False) -> bool:
        """Whether a migration has put another collection in the place of that of ``about``.

        Raises GalleryError when the gallery was made anew.
        """
        now = self.current(latest=latest)
        self._require_same(about, now)
        return now.home != about.home

    def write_about(self, about: layout.About) -> None:
        """Put another description in the place of the gallery's: from here on it counts."""
        self.about_parts.put(layout.ABOUT, layout.about_text(about).encode())

    def _require_same(self, about: layout.About, now: layout.About) -> None:
        if now.digest != about.digest:
            raise GalleryError(f"{self.address} was replaced by another process.", "Open it again.")

    def watched(self, about: layout.About) -> Callable[[], None]:
        """What ends a write of hours soon after a migration: to be called before each batch."""
        looked = time.monotonic()

        def look() -> None:
            nonlocal looked
            if time.monotonic() - looked > _LOOK_SECONDS:
                self.confirm(about, latest=False)
                looked = time.monotonic()

        return look


def _model_folder(home: str | None) -> Path:
    return Path(home, layout.MODEL) if home else Path(layout.MODEL)


def described(data: bytes) -> layout.PackedFile:
    """A file as ``gallery.json`` has it."""
    size = layout.PART_BYTES
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    return {"bytes": len(data), "sha256": [hashlib.sha256(part).hexdigest() for part in parts]}
