"""The gallery's map for a server: made by a child process when first asked for, and anew when the
gallery has changed; meanwhile the old one is served."""

from __future__ import annotations

import gzip
import json
import logging
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from vizinho.contract.errors import ApiError, placeless
from vizinho.errors import VizinhoError
from vizinho.gallery import GalleryView
from vizinho.gallery.atlas import COLUMNS, COUNT, SIDE, tile, tiles_of
from vizinho.gallery.mapping import PARTS, folder_of, how_far, start_child, state_of
from vizinho.gallery.plane import FILE, GalleryMap, read_map
from vizinho.place import address_of, is_address
from vizinho.serve.work import WorkQueue

# Reading whether a gallery has changed takes a hundredth of the time.
_SHARE = 100
# While pictures come in all the time, most of the time goes to them and to searches.
_PAUSE, _LEAST_PAUSE = 4.0, 5.0
_FAILED_SECONDS = 60.0
_WAITING = 500
_NOWHERE = Path()
_log = logging.getLogger("uvicorn.error")


@dataclass(frozen=True)
class Served:
    """A map as it is sent. ``stale`` when a newer one is on its way."""

    map: GalleryMap
    folder: Path
    stamp: tuple[int, int]
    bodies: dict[bool, bytes] = field(default_factory=dict, repr=False)
    stale: bool = False

    @property
    def tag(self) -> str:
        """Names this very content."""
        return f"{self.map.version}-stale" if self.stale else self.map.version

    def body(self) -> bytes:
        """JSON under gzip; made once."""
        if self.stale not in self.bodies:
            answer = map_answer(self.map, stale=self.stale)
            text = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
            self.bodies[self.stale] = gzip.compress(text.encode(), 6)
        return self.bodies[self.stale]


@dataclass
class _Work:
    child: subprocess.Popen[bytes]
    errors: IO[bytes]
    folder: Path
    start: float


class Maps:
    """The map of the gallery that ``which`` gives, which is at ``place``. `close` ends what runs.

    Several servers may look after one gallery: its folder says who makes a map, and how far it is.
    """

    def __init__(self, which: Callable[[], GalleryView], place: Path) -> None:
        self._which = which
        self._away = is_address(place)
        self._place = address_of(place) if self._away else str(place)
        self._lock = threading.Lock()
        self._served: Served | None = None
        self._work: _Work | None = None
        self._state, self._state_until, self._state_of = "", 0.0, _NOWHERE
        self._asking, self._ask_after = False, 0.0
        self._not_before = 0.0
        self._failed = ""
        # Thumbnails of large pictures take seconds a tile: they must not hold up the others.
        self.tiles = WorkQueue("tiles", workers=1, waiting=_WAITING)

    def look(self) -> Served | int:
        """The map, or how many of `PARTS` are done of it. Reads the gallery.

        Raises ApiError (503) when it could not be made, for a while.
        """
        gallery = self._which()
        folder = folder_of(gallery.path, gallery.about)
        with self._lock:
            self._reap()
            served = self._known(folder)
            if served is not None and self._is_current(served, gallery, folder):
                return served
            self._begin(folder)
            if served is not None:
                return replace(served, stale=True)
            if self._work is None and self._failed:
                raise ApiError(
                    503,
                    "map_failed",
                    f"The map could not be made: {self._failed}",
                    "It is tried again after a minute.",
                    {"Retry-After": str(int(_FAILED_SECONDS))},
                )
            return how_far(folder)

    def known(self) -> Served | None:
        """The map as far as there is one, changed or not since; nothing is made."""
        gallery = self._which()
        with self._lock:
            return self._known(folder_of(gallery.path, gallery.about))

    def tile(self, served: Served, number: int) -> tuple[bytes, bool]:
        """As `vizinho.gallery.atlas.tile`. Blocks: call it from a worker."""
        return tile(self._which(), served.map, number, served.folder)

    def close(self) -> None:
        """End the child, if any; the map that there was stays."""
        with self._lock:
            work, self._work = self._work, None
        if work is not None:
            with suppress(ProcessLookupError):
                work.child.kill()
            work.child.wait()
            work.errors.close()
        self.tiles.close()

    def _known(self, folder: Path) -> Served | None:
        try:
            found = (folder / FILE).stat()
        except OSError:
            self._served = None
            return None
        stamp = (found.st_ino, found.st_mtime_ns)
        last = self._served
        if last is None or (last.folder, last.stamp) != (folder, stamp):
            shown = read_map(folder)
            self._served = None if shown is None else Served(shown, folder, stamp)
        return self._served

    def _is_current(self, served: Served, gallery: GalleryView, folder: Path) -> bool:
        start = time.monotonic()
        if start >= self._state_until or folder != self._state_of:
            if not self._away:
                self._learn(state_of(gallery), folder, start)
            elif not self._asking and start >= self._ask_after:
                # Milvus is asked for the label of every row: nobody waits for that, and until it
                # is there a map counts as what it was.
                self._asking = True
                threading.Thread(
                    target=self._ask, args=(gallery, folder), name="map-state", daemon=True
                ).start()
        return folder != self._state_of or served.map.state == self._state

    def _ask(self, gallery: GalleryView, folder: Path) -> None:
        start = time.monotonic()
        state = None
        try:
            state = state_of(gallery)
        except VizinhoError as error:
            _log.warning("Whether the map is still right can't be said: %s", error)
        finally:
            with self._lock:
                self._asking = False
                if state is not None:
                    self._learn(state, folder, start)
                else:
                    self._ask_after = time.monotonic() + _FAILED_SECONDS

    def _learn(self, state: str, folder: Path, start: float) -> None:
        now = time.monotonic()
        self._state, self._state_of = state, folder
        self._state_until = now + _SHARE * (now - start)

    def _begin(self, folder: Path) -> None:
        if self._work is not None or time.monotonic() < self._not_before:
            return
        errors = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            child = start_child(self._place, errors)
        except OSError as error:
            errors.close()
            self._over(str(error), 0.0)
            return
        self._work = _Work(child, errors, folder, time.monotonic())

    def _reap(self) -> None:
        """Hear how a child ended that has ended."""
        work = self._work
        if work is None or (code := work.child.poll()) is None:
            return
        self._work = None
        work.errors.seek(0)
        said = work.errors.read().decode(errors="replace").strip()
        work.errors.close()
        reason = ""
        if code != 0:
            reason = said.splitlines()[-1] if said else "the process that makes it was ended."
            reason = placeless(reason, Path(self._place))
            _log.warning("The map could not be made (exit code %d): %s", code, said)
        self._state_of = _NOWHERE
        self._over(reason, time.monotonic() - work.start)

    def _over(self, reason: str, seconds: float) -> None:
        self._failed = reason
        pause = _FAILED_SECONDS if reason else max(_LEAST_PAUSE, _PAUSE * seconds)
        self._not_before = time.monotonic() + pause


def map_answer(shown: GalleryMap, *, stale: bool) -> dict[str, Any]:
    """A map as a dict that JSON can hold."""
    return {
        "version": shown.version,
        "stale": stale,
        "method": shown.method,
        "count": len(shown.keys),
        "total": shown.total,
        "labels": shown.labels,
        "x": shown.x.tolist(),
        "y": shown.y.tolist(),
        "label": shown.label.tolist(),
        "keys": shown.keys,
        "tile": {"side": SIDE, "columns": COLUMNS, "count": COUNT, "tiles": tiles_of(shown)},
    }


def building_answer(done: int) -> dict[str, Any]:
    """How far a map is that is being made."""
    return {"status": "building", "done": done, "of": PARTS}
