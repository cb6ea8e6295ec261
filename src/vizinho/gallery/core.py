"""The gallery itself: what `GalleryView` reads, and the writing half: create, add, remove."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vizinho.engines import Engine
from vizinho.engines.packed import PackedEngine, read_only
from vizinho.errors import GalleryError
from vizinho.gallery import layout
from vizinho.gallery.opening import create
from vizinho.gallery.records import AddReport, NewImage
from vizinho.gallery.view import GalleryView
from vizinho.progress import Progress

# What only writing needs is imported where it writes: a search should start in no time.
if TYPE_CHECKING:
    from vizinho.datasets import LabelledImages
    from vizinho.gallery.intake import Intake, Wanted
    from vizinho.gallery.pipeline import Outcome


class Gallery(GalleryView):
    """Pictures with their embeddings, in one folder; open it with `open` or make it with `create`.

    One process writes at a time (others get GalleryBusy), any number read beside it and see what it
    commits. All methods may be called from several threads. A packed gallery is opened like any
    other; what would write to it raises GalleryError.
    """

    def __init__(self, path: Path, about: layout.About, engine: Engine) -> None:
        super().__init__(path, about, engine)
        self.workers = 0
        """Threads that index; 0 means one per core."""
        self._turn = threading.Lock()

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        model: str | Path | None = None,
        overwrite: bool = False,
        precision: str = "fp32",
    ) -> Gallery:
        """Make an empty gallery in the folder ``path`` for a model, which is copied into it.

        ``model`` is a bundle's folder, the name of a shipped model, or None for the default;
        pictures and queries go through its network of ``precision``: "fp32", or "int8" if it has
        one.
        Raises GalleryExists, BundleError, GalleryError.
        """
        create(Path(path), model, overwrite=overwrite, precision=precision)
        return cls.open(path)

    def add(self, items: Iterable[NewImage], *, progress: Progress | None = None) -> AddReport:
        """Add pictures; one that is here already stays one, a broken one is skipped and listed.

        Batches are committed as they come. Raises GalleryBusy, and GalleryError for a key that
        can't be one or a disk that refuses.
        """
        from vizinho.gallery.jobs import image_job

        total = len(items) if isinstance(items, Sequence) else None
        jobs = (image_job(number, item) for number, item in enumerate(items, 1))
        with self._reporting() as report:
            self._intake(report).run(jobs, total, progress)
        return report

    def add_dataset(self, dataset: LabelledImages, progress: Progress | None = None) -> AddReport:
        """Add the pictures of a data set, their bytes copied, their class names as labels.

        Raises GalleryBusy, GalleryError.
        """

        from vizinho.gallery.jobs import dataset_jobs

        with self._reporting() as report:
            report.skipped += dataset.skipped
            self._intake(report).run(dataset_jobs(dataset), len(dataset), progress)
        return report

    def sync_folder(
        self, folder: str | Path, *, labels: bool = False, progress: Progress | None = None
    ) -> AddReport:
        """Make the gallery mirror the pictures under ``folder``, doing only what changed.

        Keys are paths relative to the folder. A file of the same size and time is not read; a
        renamed one keeps its embedding; one that is gone leaves the gallery. ``labels`` takes the
        name of a picture's folder as its label. The folder is remembered, and pictures are served
        from it. ``progress`` counts the files that have to be read.

        Raises GalleryBusy, and GalleryError when there is no picture in the folder, or when the
        gallery mirrors another folder that still exists.
        """
        from vizinho.gallery.files import require_folder
        from vizinho.gallery.folder import FolderSync

        root = Path(folder).resolve()
        require_folder(root)
        with self._reporting() as report:
            before = self.folder
            if before is not None and before != root and before.is_dir():
                raise GalleryError(
                    f"{self.path} mirrors {before}, not {root}.",
                    "Index the other folder into a gallery of its own.",
                )
            records = self._file_records()
            sync = FolderSync(root, self._engine, records, report, labels=labels)
            beside = Path(os.path.relpath(root, self.path.resolve()))
            records.remember(folder=str(root), beside=beside.as_posix())
            sync.run(lambda before: self._intake(report, before), progress)
        return report

    def remove(self, keys: Iterable[str]) -> int:
        """Remove pictures; unknown keys are passed over. Returns how many there were.

        A picture whose file is still in the mirrored folder comes back with the next
        `sync_folder`. Raises GalleryBusy.
        """
        from vizinho.gallery.intake import drop_blobs

        keys = list(keys)
        with self._writing():
            hashes = [row.hash for row in self._engine.get(keys)]
            removed = self._engine.remove(keys)
            drop_blobs(self._engine, self._blobs, hashes)
        return removed

    def discard_if_empty(self) -> None:
        """Close the gallery and delete its folder, unless it holds a picture or another process is
        writing to it."""
        # Whoever gives up on a gallery has an error of its own to tell, so trouble here is passed
        # over: what can't be counted or locked is not deleted.
        with suppress(GalleryError), self._writing():
            if self.count == 0:
                self.close()
                shutil.rmtree(self.path, ignore_errors=True)
        self.close()

    def _intake(
        self,
        report: AddReport,
        before: Callable[[Sequence[Outcome[Wanted]]], None] | None = None,
    ) -> Intake:
        from vizinho.gallery.intake import Intake

        return Intake(
            self._engine, self._blobs, self.embedder, report, workers=self.workers, before=before
        )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        if self.about.engine == PackedEngine.name:
            raise read_only(self.path)
        with layout.writing(self.path, self._turn) as died:
            if died:
                self._tidy()
            yield

    @contextmanager
    def _reporting(self) -> Iterator[AddReport]:
        report = AddReport()
        start = time.perf_counter()
        with self._writing():
            yield report
        report.seconds = time.perf_counter() - start

    def _tidy(self) -> None:
        """Remove bytes that a killed writer stored for rows it did not get to commit."""
        from vizinho.gallery.intake import drop_blobs

        with suppress(OSError):
            stored = [Path(key).name for key in self._blobs.keys()]  # noqa: SIM118
            drop_blobs(self._engine, self._blobs, stored)
