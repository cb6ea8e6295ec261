"""The map of a gallery: where each picture lies on a plane, kept in one file that is derived.

::

    map/                  in the gallery's folder; may be deleted at any time
    ├── map.npz           points, and the landmarks that give others their place
    ├── tiles/VERSION/    thumbnails, as they were asked for (`vizinho.gallery.atlas`)
    └── lock              held by who makes a map; says how far it is
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.projection.placing import Landmarks
from vizinho.projection.points import Plane

FILE = "map.npz"
#: Places are whole numbers from 0 to this.
LARGEST = 65_535
_FORMAT = 1


@dataclass(frozen=True)
class GalleryMap:
    """Up to so many pictures of a gallery on a plane, in the order of a curve that keeps neighbours
    together."""

    keys: list[str]
    x: NDArray[np.uint16]
    y: NDArray[np.uint16]
    """[N] to the right and down, in 0..LARGEST."""
    label: NDArray[np.int32]
    """[N] positions in ``labels``."""
    labels: list[str | None]
    """Most frequent first; None stands for pictures without a label."""
    total: int
    """Pictures in the gallery when it was made."""
    state: str
    """Of the gallery when it was made; see `vizinho.gallery.mapping.state_of`."""
    method: str
    landmarks: Landmarks = field(repr=False)
    box: tuple[float, float, float]
    """Left, top and width on the landmarks' plane of what is 0..LARGEST here."""
    version: str = ""
    """Names this content; empty until it is written."""

    def place(self, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Where embeddings [N, D] by the gallery's model belong [N, 2]: x and y, in 0..LARGEST."""
        return on_grid(self.landmarks.place(vectors), self.box)


def on_grid(places: NDArray[np.float64], box: tuple[float, float, float]) -> NDArray[np.int64]:
    """Places [N, 2] on a plane as whole numbers in 0..LARGEST of a box on it."""
    left, top, width = box
    within = (places - (left, top)) / width * LARGEST
    return np.rint(np.clip(within, 0, LARGEST)).astype(np.int64)


def along_curve(x: NDArray[np.integer[Any]], y: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """The order of points (16-bit coordinates [N]) along Morton's curve: neighbours in it mostly
    are neighbours on the plane. Equal places stay in the order that they have."""

    def parted(number: NDArray[np.integer[Any]]) -> NDArray[np.uint64]:
        bits = number.astype(np.uint64)
        for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
            bits = (bits | (bits << np.uint64(shift))) & np.uint64(mask)
        return bits

    return np.argsort(parted(x) | (parted(y) << np.uint64(1)), kind="stable")


def write_map(folder: Path, made: GalleryMap) -> GalleryMap:
    """Put ``made`` in the place of the map in ``folder``, at once; returns it with its version.

    Raises OSError.
    """
    marks, plane = made.landmarks, made.landmarks.plane
    about = {
        "format": _FORMAT,
        "state": made.state,
        "method": made.method,
        "total": made.total,
        "labels": made.labels,
        "plane": [plane.method, plane.span],
        "box": made.box,
    }
    buffer = io.BytesIO()
    np.savez(
        buffer,
        about=_as_bytes(about),
        keys=_as_bytes(made.keys),
        x=made.x,
        y=made.y,
        label=made.label,
        vectors=marks.vectors,
        places=plane.places,
        axes=np.empty((0, 2)) if plane.axes is None else plane.axes,
    )
    data = buffer.getvalue()
    beside = folder / f".{FILE}.{os.getpid()}"
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(folder / FILE)
    finally:
        beside.unlink(missing_ok=True)
    return _read(data)


def read_map(folder: Path) -> GalleryMap | None:
    """The map in ``folder``; None where there is none that this Vizinho can read."""
    try:
        return _read((folder / FILE).read_bytes())
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _read(data: bytes) -> GalleryMap:
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        about = json.loads(found["about"].tobytes())
        if about["format"] != _FORMAT:
            raise ValueError(f"format {about['format']}")
        axes = found["axes"] if len(found["axes"]) else None
        method, span = about["plane"]
        plane = Plane(found["places"], method, span, axes)
        keys, labels = json.loads(found["keys"].tobytes()), about["labels"]
        x, y, label = found["x"], found["y"], found["label"]
        if not len(keys) == len(x) == len(y) == len(label):
            raise ValueError("columns of different lengths")
        if len(label) and not 0 <= label.min() <= label.max() < len(labels):
            raise ValueError("labels that are not there")
        return GalleryMap(
            keys, x, y, label, labels, about["total"], about["state"], about["method"],
            Landmarks(found["vectors"], plane), tuple(about["box"]),
            hashlib.sha256(data).hexdigest()[:16],
        )  # fmt: skip


def _as_bytes(value: object) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value, ensure_ascii=False).encode(), np.uint8)
