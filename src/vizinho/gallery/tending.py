"""A gallery's search index, made anew in the background when what is in the gallery has changed."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from vizinho.engines.embedded import EmbeddedEngine
from vizinho.errors import GalleryError
from vizinho.gallery.view import GalleryView

_LOOK_SECONDS = 5.0
# While pictures come in all the time, most of the time goes to them and to searches.
_PAUSE = 4.0
_FAILED_SECONDS = 600.0


class Tender:
    """Looks now and then whether the index of the gallery that ``which`` gives is due, and has it
    made by a child process that yields to everything else. `close` ends both."""

    def __init__(
        self, which: Callable[[], GalleryView], *, look_seconds: float = _LOOK_SECONDS
    ) -> None:
        self._which = which
        self._look = look_seconds
        self._closing = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="tender", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop; an index under way is given up, which leaves the one that there was."""
        self._closing.set()
        if (child := self._child) is not None:
            with suppress(ProcessLookupError):
                child.terminate()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        wait = self._look
        while not self._closing.wait(wait):
            wait = self._look
            # Closed, replaced, not to be read just now, or no room for a child.
            with suppress(GalleryError, sqlite3.Error, OSError):
                started = time.monotonic()
                if (done := self._tend()) is not None:
                    spent = time.monotonic() - started
                    wait = max(self._look, _PAUSE * spent) if done else _FAILED_SECONDS

    def _tend(self) -> bool | None:
        """Whether an index was made; None when none was due."""
        from vizinho.engines.upkeep import start_child

        engine = self._which().engine
        if not isinstance(engine, EmbeddedEngine) or not os.access(engine.path.parent, os.W_OK):
            return None
        if not engine.due():
            return None
        self._child = start_child(engine.path, force=engine.stale)
        try:
            if self._closing.is_set():
                self._child.terminate()
            return self._child.wait() == 0
        finally:
            self._child = None
