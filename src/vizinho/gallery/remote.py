"""A gallery in Milvus: opened by its address alone, from any machine.

Of the gallery ``milvus://host/cars`` the collection ``cars`` has rows and vectors, ``cars_about``
what else a gallery's folder has (``gallery.json`` and the model), and ``cars_images`` small copies
of pictures that were added without being anywhere else. A folder in the cache has a copy of the
model, checked, and what this machine remembers of a folder it indexed.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from vizinho.blobs import explain_os_error, image_url
from vizinho.bundle import (
    INFO_FILE,
    MODEL_FILE,
    network_file,
    read_bundle,
    read_model,
    resolve_bundle,
)
from vizinho.engines import Engine
from vizinho.engines.milvus import MilvusEngine
from vizinho.engines.milvus_address import MilvusAddress, parse_milvus
from vizinho.engines.milvus_parts import MilvusParts
from vizinho.errors import GalleryDamaged, GalleryExists, GalleryNotFound, KeyNotFound
from vizinho.gallery import layout
from vizinho.gallery.opening import check_model
from vizinho.images import load_image, thumbnail
from vizinho.settings import load

_MIRROR = "mirror"
# A page shows results smaller than this; a picture of no more bytes is kept as it is.
_SIDE = 384
_WHOLE_BYTES = 48_000
_SEALED_ROWS = 5000


def open_remote(
    place: str | Path, model: str | Path | None
) -> tuple[Path, layout.About, Engine, Remote]:
    """What a gallery at an address is made of; see `Gallery.open`."""
    remote = Remote(place)
    folder, about, engine = remote.open()
    try:
        check_model(folder, about, model)
    except BaseException:
        engine.close()
        remote.close()
        raise
    return folder, about, engine, remote


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


class Remote:
    """The parts of one gallery in Milvus."""

    def __init__(self, place: str | Path) -> None:
        self.address: MilvusAddress = parse_milvus(place, load().milvus_token)
        self.about_parts = MilvusParts(self.address, "about")
        self.image_parts = MilvusParts(self.address, "images")
        self.blobs = RemoteBlobs(self.image_parts)
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
            files = {}
            for name in sorted({MODEL_FILE, network_file(precision), INFO_FILE}):
                data = (bundle / name).read_bytes()
                self.about_parts.put(f"{layout.MODEL}/{name}", data)
                files[f"{layout.MODEL}/{name}"] = _described(data)
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
            self._write_about(about)
        finally:
            self.close()

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
        try:
            text = self.about_parts.read(layout.ABOUT)
            if text is None:
                raise GalleryNotFound(
                    f"There is no gallery {self.address}.",
                    f"Make one with `vizinho index FOLDER --engine {self.address}`.",
                )
            try:
                identity = str(json.loads(text)["digest"])
            except (ValueError, KeyError, TypeError) as error:
                raise GalleryDamaged(f"{self.address} is damaged: {error}.") from error
            folder = self._folder(identity)
            _write(folder / layout.ABOUT, text)
            about = layout.read_about(folder)
            for name, file in (about.files or {}).items():
                self._fetch(folder / name, name, file)
            return folder, about, MilvusEngine.open(self.address)
        except BaseException:
            self.close()
            raise

    def save_model(self, folder: Path, about: layout.About) -> layout.About:
        """Put what changed in the cached model's description (a calibration, say) where all
        machines find it; returns the new description. Raises GalleryError."""
        name = f"{layout.MODEL}/{INFO_FILE}"
        read_bundle(folder / layout.MODEL)
        data = (folder / name).read_bytes()
        changed = replace(about, files={**(about.files or {}), name: _described(data)})
        if changed != about:
            self.about_parts.put(name, data)
            self._write_about(changed)
            _write(folder / layout.ABOUT, _json(changed))
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
        MilvusEngine.drop(self.address)

    def _write_about(self, about: layout.About) -> None:
        self.about_parts.put(layout.ABOUT, _json(about))

    def _folder(self, identity: str) -> Path:
        here = self.address
        server = f"{here.host}-{here.port}-{here.database}".strip("-").replace(":", "_")
        inside = Path("milvus", server, identity[:16], here.name)
        # A function on AWS can write nowhere else. What lies there is checked before it is used.
        for root in (load().cache_dir, Path(tempfile.gettempdir(), "vizinho")):
            try:
                (root / inside / layout.MODEL).mkdir(parents=True, exist_ok=True)
                return root / inside
            except OSError as error:
                trouble = explain_os_error(error, str(root))
        raise trouble

    def _fetch(self, path: Path, name: str, file: layout.PackedFile) -> None:
        """The file ``name`` at ``path``, unless it is there and the same."""
        if path.is_file() and _described(path.read_bytes()) == file:
            return
        data = self.about_parts.read(name)
        if data is None or _described(data) != file:
            raise GalleryDamaged(
                f"{name} in {self.address} is not what was written there.",
                "Index the pictures again, into a new gallery.",
            )
        _write(path, data)


def _described(data: bytes) -> layout.PackedFile:
    size = layout.PART_BYTES
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    return {"bytes": len(data), "sha256": [hashlib.sha256(part).hexdigest() for part in parts]}


def _json(about: layout.About) -> bytes:
    data = {name: value for name, value in asdict(about).items() if value is not None}
    return (json.dumps(data, indent=2) + "\n").encode()


def _write(path: Path, data: bytes) -> None:
    """At once: other processes open the same gallery."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as error:
        raise explain_os_error(error, str(path)) from error
    finally:
        beside.unlink(missing_ok=True)
