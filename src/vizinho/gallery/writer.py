"""How a gallery is written to: one at a time, with what a killed writer left tidied up first."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vizinho.bundle import update_calibration
from vizinho.engines import Engine
from vizinho.engines.embedded import EmbeddedEngine
from vizinho.engines.packed import PackedEngine, read_only
from vizinho.errors import GalleryError
from vizinho.gallery import layout
from vizinho.gallery.lock import NONE, Patience
from vizinho.gallery.records import AddReport
from vizinho.gallery.view import GalleryView
from vizinho.progress import Progress

if TYPE_CHECKING:
    from vizinho.gallery.feedback import Feedback
    from vizinho.gallery.intake import Embedding, Intake, Wanted
    from vizinho.gallery.pipeline import Outcome
    from vizinho.gallery.remote import Remote


class GalleryWriter(GalleryView):
    """What every change of a gallery goes through; `Gallery` has the changes themselves."""

    def __init__(
        self, path: Path, about: layout.About, engine: Engine, remote: Remote | None = None
    ) -> None:
        super().__init__(path, about, engine, remote)
        self.workers = 0
        """Threads that index; 0 means one per core."""
        self.patience: Patience = NONE
        """How long writing waits for another writer; not at all unless set."""
        self._turn = threading.Lock()
        self._feedback: Feedback | None = None

    def close(self) -> None:
        """Let go of all files."""
        super().close()
        if self._feedback is not None:
            self._feedback.close()

    @property
    def changeable(self) -> bool:
        """Whether it may be written to at all: a packed gallery never is."""
        return self.about.engine != PackedEngine.name

    @property
    def writable(self) -> bool:
        """Whether this process may write to it as things are: its owner and its disk allow it."""
        if not self.changeable or self._remote is not None:
            return self.changeable
        catalogue = layout.home(self.path, self._about) / layout.CATALOGUE
        return os.access(self.path, os.W_OK) and os.access(catalogue, os.W_OK)

    @property
    def keeps_feedback(self) -> bool:
        """Whether `feedback` is to be had: a gallery in a folder that may change has it."""
        return self._remote is None and self.changeable

    @property
    def feedback(self) -> Feedback:
        """What was said of results, right or wrong. Raises GalleryError where none is kept."""
        from vizinho.gallery.feedback import Feedback

        if self._remote is not None:
            raise GalleryError(
                f"{self._remote.address} is a gallery in Milvus, which keeps no feedback.",
                "A gallery in a folder does.",
            )
        if not self.keeps_feedback:
            raise GalleryError(
                f"{self.path} is packed, and a packed gallery keeps no feedback.",
                "What was said of results is in the gallery that it was packed from.",
            )
        with self._loading:
            if self._feedback is None:
                self._feedback = Feedback(self)
            return self._feedback

    def _intake(
        self,
        report: AddReport,
        before: Callable[[Sequence[Outcome[Wanted]]], None] | None = None,
        *,
        at_once: bool = False,
        through: Embedding | None = None,
    ) -> Intake:
        from vizinho.gallery.intake import Intake

        return Intake(
            self._engine,
            self._blobs,
            self.embedder,
            report,
            workers=self.workers,
            before=before,
            at_once=at_once,
            through=through,
        )

    def optimise(
        self,
        *,
        latency_ms: float | None = None,
        recall: float | None = None,
        force: bool = False,
        progress: Progress | None = None,
    ) -> bool:
        """Make the search index where one is due, or by ``force``; returns whether it was made.

        A search is exact as long as that takes no longer than ``latency_ms`` (5 unless told), and
        from then on finds the share ``recall`` (0.99) of the ten nearest; the gallery remembers
        both. Searches and changes go on meanwhile. Does nothing for an engine that keeps its index
        itself. Raises GalleryBusy when another process is at it, GalleryError.
        """
        given = latency_ms is not None or recall is not None
        if not isinstance(self._engine, EmbeddedEngine):
            if given:
                raise GalleryError(
                    f"{self.path} is kept by the engine {self.about.engine!r}, whose index can't "
                    "be chosen.",
                    "Leave latency and recall out.",
                )
            return False
        if given:
            with self._writing():
                self._engine.options(latency_ms=latency_ms, recall=recall)
        return self._engine.optimise(force=force, progress=progress)

    def save_model(self) -> None:
        """Have all machines see what was changed in the description of `model_folder`'s model, such
        as a calibration. Raises GalleryError."""
        if self._remote is not None:
            self._about = self._remote.save_model(self.path, self._about)

    def keep_calibration(self, calibration: Mapping[str, Any]) -> None:
        """Put a calibration of this gallery's vectors in place of the model's own.

        Raises GalleryBusy, and GalleryError also where the gallery has got another model since.
        """
        before = self._about.fingerprint
        with self._writing():
            if self._about.fingerprint != before:
                raise GalleryError(
                    f"{self.path} has got another model meanwhile.", "Calibrate it again."
                )
            update_calibration(self._model, calibration)
            self.save_model()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        if not self.changeable:
            raise read_only(self.path)
        if self._remote is not None:
            # Writers elsewhere need not wait: rows are written by key, and a batch may be repeated.
            with self._turn:
                self._follow()
                if self._remote.await_writable(self.patience):
                    self._follow()
                yield
                self._remote.confirm(self._about)
            return
        with layout.writing(self.path, self._turn, self.patience) as died:
            self._follow()
            if died:
                self._tidy()
            yield

    @contextmanager
    def _reporting(self) -> Iterator[AddReport]:
        report = AddReport()
        start = time.perf_counter()
        with self._writing():
            yield report
            if self._remote is not None:
                written = report.added + report.changed
                self._remote.settle(self._engine, self.mirrored, written)
        report.seconds = time.perf_counter() - start

    def _tidy(self) -> None:
        """Remove bytes that a killed writer stored for rows it did not get to commit."""
        from vizinho.gallery.intake import drop_blobs

        with suppress(OSError):
            stored = [Path(key).name for key in self._blobs.keys()]  # noqa: SIM118
            drop_blobs(self._engine, self._blobs, stored)
