"""Making the map of a gallery: which pictures, where each belongs, kept for all who ask."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from vizinho.blobs import explain_os_error
from vizinho.engines.embedded import EmbeddedEngine
from vizinho.engines.packed import PackedEngine
from vizinho.engines.protocol import pages
from vizinho.errors import GalleryError, KeyNotFound
from vizinho.gallery import layout
from vizinho.gallery.plane import GalleryMap, along_curve, on_grid, read_map, write_map
from vizinho.gallery.view import GalleryView
from vizinho.progress import Progress
from vizinho.projection.placing import Landmarks
from vizinho.projection.points import Plane, choose_points, project
from vizinho.settings import load, product_threads

TILES = "tiles"
#: So many points a browser still draws and moves with ease.
MOST = 100_000
#: Of the progress: until all are read, until the landmarks have their places, until all have.
_READ, _PROJECTED, PARTS = 5, 85, 100
_BLOCK = 5_000
_LOOK_SECONDS = 0.2
_RETRIES = 5


def folder_of(path: Path, about: layout.About) -> Path:
    """Where the map of the gallery at ``path`` is kept: in its folder, or in the cache where that
    can't be written or, packed, should not be. It need not be there yet."""
    home = layout.home(path, about)
    if about.engine != PackedEngine.name and os.access(home, os.W_OK):
        return home / layout.MAP
    name = hashlib.sha256(f"{home.resolve()} {about.fingerprint}".encode()).hexdigest()[:16]
    return load().cache_dir / "maps" / name


def state_of(gallery: GalleryView) -> str:
    """Changes when pictures come or go, or (as far as the numbers of each label tell) get another
    label. Costs a count of labels."""
    engine, about = gallery.engine, gallery.about
    labels = sorted(engine.labels().items(), key=lambda each: (each[0] is not None, each))
    stamp = engine.stamp() if isinstance(engine, EmbeddedEngine) else ()
    facts = [about.fingerprint, about.precision, about.digest, stamp, labels]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def make_map(
    gallery: GalleryView, *, again: bool = False, progress: Progress | None = None
) -> tuple[GalleryMap, bool]:
    """The map of a gallery as it is now, made if there is none (or ``again``) and kept; and whether
    it was made.

    ``progress`` counts up to `PARTS`. One process makes it at a time, others wait for that one; a
    kill leaves the map that there was. Raises GalleryError.
    """
    folder = folder_of(gallery.path, gallery.about)
    tell = progress or (lambda done, of: None)
    try:
        with _turn(folder, tell) as note:

            def told(done: int, of: int | None) -> None:
                note.seek(0)
                note.write(b"%3d" % done)
                tell(done, of)

            state = state_of(gallery)
            found = None if again else read_map(folder)
            if found is not None and found.state == state:
                return found, False
            made = write_map(folder, _Making(gallery, state, told).run())
            for other in (folder / TILES).glob("*"):
                if other.name != made.version:
                    shutil.rmtree(other, ignore_errors=True)
            return made, True
    except OSError as error:
        raise explain_os_error(error, str(folder)) from error


def how_far(folder: Path) -> int:
    """How many of `PARTS` are done of the map that is being made; 0 where none is."""
    with suppress(OSError, ValueError):
        return int((folder / "lock").read_bytes() or b"0")
    return 0


def start_child(place: str, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    """Begin `make_map` of the gallery at ``place`` in a process of its own that yields to others.

    What went wrong, if anything, is written to ``errors`` in words. It may be ended at any time,
    and ends soon after this process has died.
    """
    # The place comes by standard input: an address may have a password in it, and what a process
    # was started with is seen by all.
    code = (
        "import os, sys; os.nice(10); sys.path.insert(0, sys.argv[1])\n"
        "from vizinho.gallery.mapping import make_map\n"
        "from vizinho.gallery.view import GalleryView\n"
        "from vizinho.errors import VizinhoError\n"
        "def alone(*_): os.getppid() == int(sys.argv[2]) or os._exit(1)\n"
        "try:\n"
        "    with GalleryView.open(sys.stdin.read()) as view: make_map(view, progress=alone)\n"
        "except VizinhoError as error: sys.exit(str(error))\n"
    )
    root = Path(__file__).resolve().parents[2]
    with product_threads(1):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(root), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    assert child.stdin is not None
    with suppress(BrokenPipeError), child.stdin as stream:
        stream.write(place.encode())
    return child


@contextmanager
def _turn(folder: Path, tell: Callable[[int, int | None], None]) -> Iterator[IO[bytes]]:
    """Wait until nobody else makes a map here; yields the file to note progress in."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "r+b", buffering=0) as note:
        while True:
            try:
                fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                tell(how_far(folder), PARTS)
                time.sleep(_LOOK_SECONDS)
        note.truncate(0)
        yield note
        note.truncate(0)


class _Making:
    """One map on its way. Memory: what is kept of each point, and a block of vectors."""

    def __init__(self, gallery: GalleryView, state: str, tell: Progress) -> None:
        self._gallery, self._state, self._tell = gallery, state, tell

    def run(self) -> GalleryMap:
        labels, codes = self._codes()
        total = len(codes)
        chosen = choose_points(codes, MOST)
        keys = self._keys(chosen)
        codes = codes[chosen][: len(keys)]
        self._tell(_READ, PARTS)
        landmarks = self._landmarks([keys[i] for i in choose_points(codes)])
        self._tell(_PROJECTED, PARTS)
        places, here = self._places(landmarks, keys)
        keys, codes = [keys[i] for i in here], codes[here]
        low, high = (
            (places.min(axis=0), places.max(axis=0)) if len(places) else (np.zeros(2), np.ones(2))
        )
        width = float((high - low).max()) or 1.0
        left, top = ((low + high - width) / 2).tolist()
        box = (left, top, width)
        x, y = on_grid(places, box).T
        order = along_curve(x, y)
        return GalleryMap(
            [keys[i] for i in order],
            x[order].astype(np.uint16),
            y[order].astype(np.uint16),
            codes[order].astype(np.int32),
            labels,
            total,
            self._state,
            landmarks.plane.method,
            landmarks,
            box,
        )

    def _codes(self) -> tuple[list[str | None], NDArray[np.int64]]:
        """All labels, most frequent first, and of each picture [N] which it has."""
        numbers: dict[str | None, int] = {}
        parts = [
            np.array([numbers.setdefault(row.label, len(numbers)) for row in page], np.int32)
            for page in pages(self._gallery.engine, size=_BLOCK)
        ]
        found = np.concatenate(parts) if parts else np.empty(0, np.int32)
        counts = np.bincount(found, minlength=len(numbers))
        names = list(numbers)
        order = sorted(range(len(names)), key=lambda i: (-counts[i], names[i] or ""))
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        return [names[i] for i in order], rank[found]

    def _keys(self, chosen: NDArray[np.int64]) -> list[str]:
        """Keys at positions among all, which are ascending. What comes or goes meanwhile shifts
        others: a map so young is stale anyway."""
        keys: list[str] = []
        start = 0
        for page in pages(self._gallery.engine, size=_BLOCK):
            first, last = np.searchsorted(chosen, (start, start + len(page)))
            keys += [page[i - start].key for i in chosen[first:last]]
            start += len(page)
        return keys

    def _landmarks(self, keys: list[str]) -> Landmarks:
        vectors, _ = self._vectors(keys)
        if not len(vectors):
            return Landmarks(vectors, Plane(np.empty((0, 2)), "nothing to show"))

        def told(done: int, of: int | None) -> None:
            self._tell(_READ + done * (_PROJECTED - _READ) // (of or 1), PARTS)

        return Landmarks(vectors, project(vectors, told))

    def _places(
        self, landmarks: Landmarks, keys: list[str]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Places [N, 2], and positions [N] of the keys that are still there."""
        places, here = [np.empty((0, 2))], [np.empty(0, np.int64)]
        for start in range(0, len(keys), _BLOCK):
            vectors, found = self._vectors(keys[start : start + _BLOCK])
            places.append(landmarks.place(vectors))
            here.append(start + found)
            done = min(start + _BLOCK, len(keys)) * (PARTS - _PROJECTED) // len(keys)
            self._tell(_PROJECTED + done, PARTS)
        return np.concatenate(places), np.concatenate(here)

    def _vectors(self, keys: list[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Vectors [N, D], and positions [N] of the keys that are still there."""
        engine = self._gallery.engine
        here = np.arange(len(keys))
        for _ in range(_RETRIES):
            if not len(here):
                return np.empty((0, self._gallery.about.dimension), np.float32), here
            try:
                return engine.vectors([keys[i] for i in here]), here
            except KeyNotFound:
                left = {row.key for row in engine.get([keys[i] for i in here])}
                here = np.array([i for i in here if keys[i] in left], np.int64)
        raise GalleryError("The gallery changes too fast for a map.", "Try again later.")
