"""One migration of a gallery in Milvus at a time, as far as can be told without a lock."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

from vizinho.errors import GalleryBusy, VizinhoError
from vizinho.gallery.lock import Patience
from vizinho.gallery.remote_homes import CLAIM, RemoteHomes

_BEAT_SECONDS = 10.0
_DEAD_SECONDS = 60.0
_LOOK_SECONDS = 1.0


class Claim:
    """Says in the gallery's parts who migrates it; renewed as long as it lives.

    One that was not renewed for a minute of the server's clock, or whose process was on this
    machine and is gone, is passed over.
    """

    _of_this_process: ClassVar[set[str]] = set()

    def __init__(self, remote: RemoteHomes) -> None:
        self._remote = remote
        self._id = uuid.uuid4().hex
        self._over = threading.Event()

    @contextmanager
    def held(self, patience: Patience) -> Iterator[None]:
        """Hold it for a ``with`` block. Raises GalleryBusy beside another migration."""
        self._await(patience)
        self._of_this_process.add(self._id)
        beating = threading.Thread(target=self._beat, name="vizinho-claim", daemon=True)
        try:
            self._put()
            # Of two that came at once the later one wrote over the other's, and goes on.
            time.sleep(_LOOK_SECONDS)
            self.require()
            beating.start()
            yield
        finally:
            self._over.set()
            if beating.is_alive():
                beating.join()
            # Where the server is away the claim dies with this process, or in a minute.
            with suppress(VizinhoError):
                if self._read().get("id") == self._id:
                    self._remote.about_parts.delete([CLAIM])
            self._of_this_process.discard(self._id)

    def require(self) -> None:
        """Raises GalleryBusy when another migration has taken over."""
        if self._read().get("id") != self._id:
            raise self._busy(self._read())

    def watched(self) -> Callable[[], None]:
        """What ends a write soon after another migration has taken over: before each batch."""
        looked = 0.0

        def look() -> None:
            nonlocal looked
            if time.monotonic() - looked > _LOOK_SECONDS:
                self.require()
                looked = time.monotonic()

        return look

    def _await(self, patience: Patience) -> None:
        until = time.monotonic() + patience.seconds
        waited = False
        while (found := living(self._remote)) is not None:
            error = self._busy(found)
            if time.monotonic() >= until:
                raise error
            if not waited and patience.told is not None:
                patience.told(f"{error.message} Waiting for it.")
            waited = True
            time.sleep(_LOOK_SECONDS)

    def _busy(self, found: dict[str, Any]) -> GalleryBusy:
        who = f" (pid {found['pid']} on {found['host']})" if found else ""
        return GalleryBusy(
            f"{self._remote.address} is being migrated by another process{who}.",
            "Try again when it has finished; one that was killed is passed over after a minute.",
        )

    def _beat(self) -> None:
        while not self._over.wait(_BEAT_SECONDS):
            with suppress(VizinhoError):
                if self._read().get("id") == self._id:
                    self._put()

    def _put(self) -> None:
        parts = self._remote.about_parts
        told = {
            "id": self._id,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "beat": parts.clock(),
        }
        parts.put(CLAIM, json.dumps(told).encode())

    def _read(self) -> dict[str, Any]:
        return _claim_of(self._remote)


def living(remote: RemoteHomes) -> dict[str, Any] | None:
    """Who is migrating the gallery now; None when nobody is."""
    found = _claim_of(remote)
    if not found or remote.about_parts.clock() - found["beat"] > _DEAD_SECONDS:
        return None
    if found["host"] == socket.gethostname():
        if found["pid"] == os.getpid():
            return found if found["id"] in Claim._of_this_process else None
        try:
            os.kill(found["pid"], 0)
        except ProcessLookupError:
            return None
        except OSError:
            return found
    return found


def _claim_of(remote: RemoteHomes) -> dict[str, Any]:
    data = remote.about_parts.read(CLAIM, latest=True)
    if data is None:
        return {}
    try:
        found = json.loads(data)
        return {name: found[name] for name in ("id", "host", "pid", "beat")}
    except (ValueError, KeyError, TypeError):
        return {}
