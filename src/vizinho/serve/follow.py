"""A server changes over by itself when its gallery was given another model (`vizinho migrate`)."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from PIL import Image

from vizinho.errors import VizinhoError
from vizinho.gallery import Gallery
from vizinho.gallery.layout import ABOUT, About
from vizinho.gallery.remote import Remote
from vizinho.place import is_address
from vizinho.serve.service import Service

_LOOK_SECONDS = 0.5
_ASK_SECONDS = 1.0
_CLOSING_SECONDS = 5.0
_PATIENCE_LOOKS = 120

_log = logging.getLogger("uvicorn.error")


class Follower:
    """Looks at ``gallery.json`` twice a second, in a thread of its own; in Milvus once a second,
    which costs it one small query.

    Another gallery is opened and warmed up beside the one that answers, then takes its place; the
    old one is closed when no request is under way any more, or after a minute.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        # What a gallery in Milvus lies in is a cache, which any process may write to.
        self._far = Remote(service.place) if is_address(service.place) else None
        self._about = Path(service.gallery.path) / ABOUT
        self._seen = _named(service.gallery.about) if self._far else self._stamp()
        self._retired: list[tuple[Gallery, int]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vizinho-follow", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and close what was retired."""
        self._over.set()
        # A server of Milvus that is away is waited for longer than anybody waits for an end.
        self._thread.join(_CLOSING_SECONDS)
        if self._far is not None:
            self._far.close()
        for gallery, _ in self._retired:
            gallery.close()

    def _run(self) -> None:
        while not self._over.wait(_ASK_SECONDS if self._far else _LOOK_SECONDS):
            seen = self._stamp()
            if seen is not None and seen != self._seen and self._switch():
                self._seen = seen
            self._close_old()

    def _switch(self) -> bool:
        before = self._service.gallery
        try:
            fresh = Gallery.open(self._service.place)
        except VizinhoError as error:
            _log.warning("The gallery changed and can't be opened: %s", error)
            return False
        if _named(fresh.about) == _named(before.about):
            # A writing request may have met the change before this thread did.
            fresh.close()
            self._service.take(before)
            return True
        try:
            fresh.search(Image.new("RGB", (32, 32)), k=1)
        except VizinhoError as error:
            _log.warning("The gallery changed and can't be searched: %s", error)
            fresh.close()
            return False
        fresh.patience, fresh.workers = before.patience, before.workers
        self._service.take(fresh)
        self._retired.append((before, _PATIENCE_LOOKS))
        _log.info("Changed over to the model %s.", fresh.about.model)
        return True

    def _close_old(self) -> None:
        service = self._service
        queues = (
            service.searches,
            service.files,
            service.writes,
            service.exports,
            service.maps.tiles,
        )
        busy = any(queue.inside for queue in queues)
        left = []
        for gallery, looks in self._retired:
            # Not in the look in which it was retired: a request may have taken it just before.
            if looks == _PATIENCE_LOOKS or (busy and looks > 0):
                left.append((gallery, looks - 1))
            else:
                gallery.close()
        self._retired = left

    def _stamp(self) -> object:
        """Changes when another gallery counts; None when that can't be told."""
        if self._far is not None:
            try:
                return _named(self._far.current())
            except VizinhoError:
                return None
        try:
            found = self._about.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns


def _named(about: About) -> tuple[str | None, str | None, str]:
    return about.digest, about.home, about.fingerprint
