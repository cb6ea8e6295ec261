"""A gallery in Milvus: opened by its address alone, from any machine.

Of the gallery ``milvus://host/cars`` the collection ``cars`` has rows and vectors, ``cars_about``
what else a gallery's folder has (``gallery.json`` and the model), and ``cars_images`` small copies
of pictures that were added without being anywhere else. A folder in the cache has a copy of the
model, checked, and what this machine remembers of a folder it indexed.

After `vizinho migrate` rows and vectors are in a collection ``cars_by_MODEL_...``, which
``gallery.json`` names. The parts of a model are written before its collection is made and removed
after it is dropped: so they say which collections there are (`Remote.homes`).
"""

from __future__ import annotations

import os
import tempfile
import threading
import uuid
from dataclasses import replace
from pathlib import Path

from vizinho.blobs import explain_os_error
from vizinho.bundle import (
    INFO_FILE,
    read_bundle,
    read_model,
    resolve_bundle,
)
from vizinho.engines import Engine
from vizinho.engines.milvus import MilvusEngine
from vizinho.engines.milvus_address import Consistency, parse_milvus
from vizinho.engines.milvus_parts import MilvusParts
from vizinho.errors import (
    GalleryDamaged,
    GalleryExists,
    GalleryNotFound,
)
from vizinho.gallery import layout
from vizinho.gallery.opening import check_model
from vizinho.gallery.remote_blobs import RemoteBlobs
from vizinho.gallery.remote_homes import CLAIM, RETIRED, SETTLING, RemoteHomes, described
from vizinho.settings import load

_MIRROR = "mirror"
_SEALED_ROWS = 5000


def open_remote(
    place: str | Path, model: str | Path | None
) -> tuple[Path, layout.About, Engine, Remote]:
    """What a gallery at an address is made of; see `Gallery.open`."""
    remote = Remote(place)
    try:
        folder, about, engine = remote.open()
        try:
            check_model(folder, about, model)
        except BaseException:
            engine.close()
            raise
    except BaseException:
        remote.close()
        raise
    return folder, about, engine, remote


class Remote(RemoteHomes):
    """The parts of one gallery in Milvus."""

    def __init__(self, place: str | Path, consistency: Consistency | None = None) -> None:
        address = parse_milvus(place, load().milvus_token)
        super().__init__(replace(address, consistency=consistency or address.consistency))
        self.image_parts = MilvusParts(self.address, "images")
        self.blobs = RemoteBlobs(self.image_parts)
        self._place = place
        self._mirrors: str | None = None

    def create(self, model: str | Path | None, *, overwrite: bool, precision: str) -> None:
        """Make the gallery, empty. See `Gallery.create`.

        ``gallery.json`` is written last: without it there is no gallery, and one that was cut
        short is made anew.
        """
        bundle = resolve_bundle(model)
        info, _ = read_model(bundle, precision)
        try:
            if self.about_parts.has(layout.ABOUT):
                if not overwrite:
                    raise GalleryExists(
                        f"{self.address} is a gallery already.", "Open it, or overwrite it."
                    )
                self.about_parts.delete([layout.ABOUT])
            self._clear()
            MilvusEngine.create(self.address, info.dimension).close()
            files = self.put_model(None, bundle, precision)
            about = layout.About(
                info.name,
                info.fingerprint,
                info.dimension,
                MilvusEngine.name,
                "onnxruntime",
                precision,
                # No digest of content, that changes: it tells this gallery from an earlier one.
                digest=uuid.uuid4().hex,
                files=files,
            )
            self.write_about(about)
        finally:
            self.close()

    def again(self) -> Remote:
        """The same gallery over connections of its own, to be closed with whoever gets it."""
        return Remote(self._place, self.address.consistency)

    def exists(self) -> bool:
        """Whether there is the gallery; closes the connection. Raises GalleryUnreachable."""
        try:
            return self.about_parts.has(layout.ABOUT)
        finally:
            self.close()

    def open(self) -> tuple[Path, layout.About, MilvusEngine]:
        """The folder in the cache with the model in it, the description, and the engine.

        Raises GalleryNotFound, GalleryUnreachable, GalleryDamaged.
        """
        while True:
            about = self.current()
            folder = self._folder(str(about.digest))
            try:
                for name, file in (about.files or {}).items():
                    self._fetch(folder / name, name, file)
                engine = MilvusEngine.open(self.collection(about.home))
                break
            except (GalleryNotFound, GalleryDamaged):
                # A migration may have put another model in place since, and removed this one.
                if self.current(latest=True).home == about.home:
                    raise
        _write(folder / layout.ABOUT, layout.about_text(about).encode())
        engine.before_write = self.watched(about)
        return folder, about, engine

    def save_model(self, folder: Path, about: layout.About) -> layout.About:
        """Put what changed in the cached model's description (a calibration, say) where all
        machines find it; returns the new description. Raises GalleryError."""
        self.confirm(about)
        file = layout.home(folder, about) / layout.MODEL / INFO_FILE
        name = str(file.relative_to(folder))
        read_bundle(file.parent)
        data = file.read_bytes()
        changed = replace(about, files={**(about.files or {}), name: described(data)})
        if changed != about:
            self.about_parts.put(name, data)
            self.write_about(changed)
            _write(folder / layout.ABOUT, layout.about_text(changed).encode())
        return changed

    def settle(self, engine: Engine, mirrors: str | None, written: int) -> None:
        """After ``written`` rows: say what the gallery mirrors, and let its index suit its size."""
        if mirrors is not None and self.mirrored() != mirrors:
            self.about_parts.put(_MIRROR, mirrors.encode())
            self._mirrors = mirrors
        if isinstance(engine, MilvusEngine):
            if written >= _SEALED_ROWS:
                engine.seal()
            engine.tune()

    def mirrored(self) -> str | None:
        """The folder or bucket that some machine mirrored into the gallery."""
        if self._mirrors is None and (data := self.about_parts.read(_MIRROR)) is not None:
            self._mirrors = data.decode()
        return self._mirrors

    @property
    def folder(self) -> Path | None:
        """The folder that another machine mirrored, where this one has it too."""
        place = self.mirrored()
        if place is None or "://" in place or not Path(place).is_dir():
            return None
        return Path(place)

    def drop(self) -> None:
        """Delete the gallery: nobody finds it any more, then its parts go."""
        self.about_parts.delete([layout.ABOUT])
        self._clear()
        self.about_parts.drop()

    def close(self) -> None:
        """Let go of the connections."""
        self.about_parts.close()
        self.image_parts.close()

    def _clear(self) -> None:
        self.image_parts.drop()
        for home in self.homes() | {None}:
            self.drop_home(home)
        self.about_parts.delete([SETTLING, RETIRED, CLAIM])

    def _folder(self, identity: str) -> Path:
        here = self.address
        server = f"{here.host}-{here.port}-{here.database}".strip("-").replace(":", "_")
        inside = Path("milvus", server, identity[:16], here.name)
        # A function on AWS can write nowhere else. What lies there is checked before it is used.
        for root in (load().cache_dir, Path(tempfile.gettempdir(), "vizinho")):
            try:
                (root / inside).mkdir(parents=True, exist_ok=True)
                return root / inside
            except OSError as error:
                trouble = explain_os_error(error, str(root))
        raise trouble

    def _fetch(self, path: Path, name: str, file: layout.PackedFile) -> None:
        """The file ``name`` at ``path``, unless it is there and the same."""
        if path.is_file() and described(path.read_bytes()) == file:
            return
        data = self.about_parts.read(name)
        if data is None or described(data) != file:
            raise GalleryDamaged(
                f"{name} in {self.address} is not what was written there.",
                "Index the pictures again, into a new gallery.",
            )
        _write(path, data)


def _write(path: Path, data: bytes) -> None:
    """At once: other processes open the same gallery."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as error:
        raise explain_os_error(error, str(path)) from error
    finally:
        beside.unlink(missing_ok=True)
