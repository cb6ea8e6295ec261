"""The files that are derived from a catalogue so that a large gallery opens and answers at once.

::

    index/
    ├── lock               held by who builds
    └── 3f9c0a.../         one index; the catalogue says which is the one that counts
        ├── manifest.json  what it covers, sizes and CRC-32 of the files, how it was measured
        ├── ids.bin        int64 [N], ascending
        ├── vectors.bin    float32 [N, D]: row i is the vector of ids[i]
        ├── cells.bin      int32 [N]: the cell of each, where there are inverted lists
        └── ivf.faiss      the inverted lists, with 8 bits a number

A folder is complete and on disk before the catalogue names it, in the transaction that also forgets
the removals it knows of; and is deleted after the catalogue has named another. So a kill at any
moment leaves a catalogue with the index that it names, and a restored or damaged one with none:
then all is read from the catalogue, until the index has been made again. Readers that have an older
one mapped keep it, deleted or not.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vizinho.engines.flat import FlatVectors
from vizinho.engines.ivf import Ivf, Probing
from vizinho.errors import GalleryBusy, GalleryError

FOLDER = "index"
MANIFEST = "manifest.json"
IDS, VECTORS, CELLS, LISTS = "ids.bin", "vectors.bin", "cells.bin", "ivf.faiss"
_FORMAT = 1
_CHUNK = 16 * 1024 * 1024


class Stale(Exception):
    """Derived files are missing, damaged, or not of this catalogue; says which and why."""


@dataclass
class Manifest:
    """What one index covers, and what was measured when it was made.

    All vectors with ids up to ``last_id`` are in it, but those removed up to ``last_removal``.
    ``kind`` is "flat" or "ivf"; ``exact_ms`` and ``index_ms`` are processor time of one search.
    ``probes`` maps numbers of neighbours to cells looked into, ``blur`` and ``slip`` are errors of
    the codes (see `Probing`); ``trained_on`` is how many vectors
    there were when the cells were chosen, ``spread`` the mean squared distance to a cell's centre
    and ``imbalance`` FAISS's factor of unequal cells, both at that time.
    """

    dimension: int
    count: int
    last_id: int
    last_removal: int
    kind: str = "flat"
    latency_ms: float = 0.0
    recall: float = 0.0
    exact_ms: float | None = None
    index_ms: float | None = None
    measured_recall: float | None = None
    verified_on: int = 0
    why: str = ""
    cells: int = 0
    probes: dict[str, int] = field(default_factory=dict)
    blur: float = 0.0
    slip: float = 0.0
    trained_on: int = 0
    spread: float = 0.0
    imbalance: float = 0.0
    seconds: float = 0.0
    made: str = ""
    files: dict[str, dict[str, int]] = field(default_factory=dict)
    format: int = _FORMAT

    @property
    def probing(self) -> Probing:
        """For `Ivf`."""
        return Probing(
            {int(rank): probes for rank, probes in self.probes.items()}, self.blur, self.slip
        )

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file["bytes"] for file in self.files.values())


def read_manifest(folder: Path) -> Manifest:
    """Of an index. Raises Stale."""
    try:
        data = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if data["format"] != _FORMAT:
            raise Stale(f"{folder.name} has format {data['format']}")
        return Manifest(**data)
    except FileNotFoundError as error:
        raise Stale(f"{folder.name} is missing") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Stale(f"{folder.name} can't be read: {error}") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Describe the files in ``folder`` and make sure that all of it is on disk."""
    manifest.files = {
        file.name: {"bytes": file.stat().st_size, "crc32": crc32(file)}
        for file in sorted(folder.iterdir())
        if file.name != MANIFEST
    }
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")
    for path in (*folder.iterdir(), folder, folder.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def open_base(folder: Path, manifest: Manifest) -> tuple[FlatVectors, Ivf | None]:
    """Map an index's files. Raises Stale when one is missing or has another size.

    Without FAISS there are no inverted lists, and the vectors are all compared.
    """
    for name, file in manifest.files.items():
        try:
            found = (folder / name).stat().st_size
        except OSError as error:
            raise Stale(f"{folder.name}/{name} is missing") from error
        if found != file["bytes"]:
            raise Stale(f"{folder.name}/{name} has {found} bytes instead of {file['bytes']}")
    ids = mapped(folder / IDS, np.int64, (manifest.count,))
    matrix = mapped(folder / VECTORS, np.float32, (manifest.count, manifest.dimension))
    ivf = None
    if manifest.kind == "ivf":
        try:
            ivf = Ivf.open(folder / LISTS, manifest.probing)
        except ImportError:
            ivf = None
        except OSError as error:
            raise Stale(str(error)) from error
        if ivf is not None and (ivf.index.ntotal, ivf.index.d) != matrix.shape:
            raise Stale(f"{folder.name}/{LISTS} is of other vectors")
    return FlatVectors(ids, matrix), ivf


def mapped(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """A file as an array that can't be written. Raises Stale."""
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(shape)
    except (OSError, ValueError) as error:
        raise Stale(f"{path.parent.name}/{path.name} can't be mapped: {error}") from error


def damaged_files(folder: Path, manifest: Manifest) -> list[str]:
    """Names of the files whose content is not what was written; reads all of them."""
    wrong = []
    for name, file in manifest.files.items():
        try:
            if crc32(folder / name) != file["crc32"]:
                wrong.append(name)
        except OSError:
            wrong.append(name)
    return wrong


def crc32(path: Path) -> int:
    """The checksum of a file."""
    found = 0
    with path.open("rb") as file:
        while part := file.read(_CHUNK):
            found = zlib.crc32(part, found)
    return found


@contextmanager
def building(folder: Path) -> Iterator[None]:
    """Hold the right to build in ``folder``. Raises GalleryBusy beside another, GalleryError."""
    try:
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise impossible(folder.parent, error.strerror or error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise GalleryBusy(
                f"The index of {folder.parent} is being made by another process.",
                "Searches go on meanwhile; try again when it has finished.",
            ) from error
        yield
    finally:
        os.close(descriptor)


def impossible(gallery: Path, why: object) -> GalleryError:
    """What to raise when there can be no index."""
    return GalleryError(
        f"The search index of {gallery} can't be made: {why}.",
        "Nothing is lost: searches go on without it.",
    )


def sweep(folder: Path, keep: str) -> None:
    """Delete all indexes but ``keep``: older ones, and what a killed build left."""
    with suppress(OSError):
        for other in folder.iterdir():
            if other.is_dir() and other.name != keep:
                shutil.rmtree(other, ignore_errors=True)
