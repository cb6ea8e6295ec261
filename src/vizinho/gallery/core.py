"""The gallery itself: create, open, add, remove, search."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.blobs import LocalBlobs
from vizinho.bundle import BundleInfo, read_bundle
from vizinho.datasets import LabelledImages
from vizinho.embedder import Embedder
from vizinho.engines import Hit, Row
from vizinho.engines.embedded import EmbeddedEngine
from vizinho.errors import GalleryError, KeyNotFound
from vizinho.gallery import layout
from vizinho.gallery.files import FileRecords
from vizinho.gallery.folder import FolderSync
from vizinho.gallery.intake import Intake, Wanted, blob_key, drop_blobs
from vizinho.gallery.jobs import dataset_jobs, image_job
from vizinho.gallery.opening import create, open_parts
from vizinho.gallery.pipeline import Outcome
from vizinho.gallery.records import AddReport, Match, NewImage
from vizinho.images import Crop, Source, crop_image, load_image, media_type
from vizinho.progress import Progress


class Gallery:
    """Pictures with their embeddings, in one folder; open it with `open` or make it with `create`.

    One process writes at a time (others get GalleryBusy), any number read beside it and see what it
    commits. All methods may be called from several threads.
    """

    def __init__(self, path: Path, about: layout.About, engine: EmbeddedEngine) -> None:
        self.path = path
        self.workers = 0
        """Threads that index; 0 means one per core."""
        self._about = about
        self._engine = engine
        self._blobs = LocalBlobs(path / layout.IMAGES)
        self._model = path / layout.MODEL
        self._turn = threading.Lock()
        self._loading = threading.Lock()
        self._embedder: Embedder | None = None
        self._records: FileRecords | None = None

    @classmethod
    def create(
        cls, path: str | Path, *, model: str | Path | None = None, overwrite: bool = False
    ) -> Gallery:
        """Make an empty gallery in the folder ``path`` for a model, which is copied into it.

        ``model`` is a bundle's folder, the name of a shipped model, or None for the default.
        Raises GalleryExists, BundleError, GalleryError.
        """
        create(Path(path), model, overwrite=overwrite)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path, *, model: str | Path | None = None) -> Gallery:
        """Open the gallery in folder ``path``.

        ``model``, if given, must be the one that made the gallery's vectors. Raises
        GalleryNotFound, GalleryDamaged, FingerprintMismatch, BundleError.
        """
        return cls(Path(path), *open_parts(Path(path), model))

    def __enter__(self) -> Gallery:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all files."""
        self._engine.close()
        if self._records is not None:
            self._records.close()
            self._records = None

    @property
    def embedder(self) -> Embedder:
        """The gallery's model, loaded on first use. Raises BundleError."""
        with self._loading:
            if self._embedder is None:
                self._embedder = Embedder.open(self._model)
            return self._embedder

    @property
    def model_info(self) -> BundleInfo:
        """What the gallery's model says of itself; does not load it."""
        return read_bundle(self._model)

    @property
    def folder(self) -> Path | None:
        """The folder that the gallery mirrors, if `sync_folder` was ever called."""
        if self._records is None and not (self.path / layout.FOLDER).is_file():
            return None
        records = self._file_records()
        absolute, relative = records.recall("folder"), records.recall("beside")
        if absolute is None:
            return None
        # Gallery and folder may have been moved together.
        moved = (self.path.resolve() / relative) if relative else None
        if moved is not None and moved.is_dir() and not Path(absolute).is_dir():
            return moved.resolve()
        return Path(absolute)

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return self._engine.count()

    @property
    def info(self) -> dict[str, Any]:
        """Name, model and its fingerprint, dimension and metrics, engine, runtime, precision, count
        and mirrored folder, as JSON values."""
        folder = self.folder
        return {
            "name": self.path.resolve().name.removesuffix(".vizinho"),
            "model": self._about.model,
            "fingerprint": self._about.fingerprint,
            "dimension": self._about.dimension,
            "engine": self._about.engine,
            "runtime": self._about.runtime,
            "precision": self._about.precision,
            "count": self.count,
            "metrics": self.model_info.metrics,
            "folder": None if folder is None else str(folder),
        }

    def add(self, items: Iterable[NewImage], *, progress: Progress | None = None) -> AddReport:
        """Add pictures; one that is here already stays one, a broken one is skipped and listed.

        Batches are committed as they come. Raises GalleryBusy, and GalleryError for a key that
        can't be one or a disk that refuses.
        """
        total = len(items) if isinstance(items, Sequence) else None
        jobs = (image_job(number, item) for number, item in enumerate(items, 1))
        with self._reporting() as report:
            self._intake(report).run(jobs, total, progress)
        return report

    def add_dataset(self, dataset: LabelledImages, progress: Progress | None = None) -> AddReport:
        """Add the pictures of a data set, their bytes copied, their class names as labels.

        Raises GalleryBusy, GalleryError.
        """

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
        root = Path(folder).resolve()
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
        keys = list(keys)
        with self._writing():
            hashes = [row.hash for row in self._engine.get(keys)]
            removed = self._engine.remove(keys)
            drop_blobs(self._engine, self._blobs, hashes)
        return removed

    def search(
        self,
        source: Source,
        *,
        k: int = 10,
        offset: int = 0,
        filter: Mapping[str, Any] | None = None,
        crop: Crop | None = None,
    ) -> list[Match]:
        """The ``k`` pictures nearest to ``source`` (bytes, a path or a PIL image), closest first.

        ``offset`` skips the nearest ones; ``filter`` asks for a label or metadata values, all
        equal; ``crop`` looks at a part of the picture only. Exact; equal distances by key. Raises
        ImageError, and GalleryError for k < 1.
        """
        if crop is not None:
            source = crop_image(load_image(source), crop)
        return self.search_vectors(self.embedder.embed([source]), k, offset=offset, filter=filter)[
            0
        ]

    def search_many(
        self, sources: Sequence[Source], k: int = 10, *, filter: Mapping[str, Any] | None = None
    ) -> list[list[Match]]:
        """`search` for several pictures at once."""
        return self.search_vectors(self.embedder.embed(sources), k, filter=filter)

    def search_key(
        self,
        key: str,
        k: int = 10,
        *,
        offset: int = 0,
        filter: Mapping[str, Any] | None = None,
    ) -> list[Match]:
        """The pictures nearest to one of the gallery, itself included. Raises KeyNotFound."""
        return self.search_vectors(self._engine.vectors([key]), k, offset=offset, filter=filter)[0]

    def search_vectors(
        self,
        vectors: NDArray[np.float32],
        k: int = 10,
        *,
        offset: int = 0,
        filter: Mapping[str, Any] | None = None,
    ) -> list[list[Match]]:
        """`search` for embeddings [Q, D] made by the gallery's own model."""
        found = self._engine.search(vectors, k, offset=offset, filter=filter)
        return [[_match(hit) for hit in hits] for hits in found]

    def items(self, offset: int = 0, limit: int = 100, label: str | None = None) -> list[Row]:
        """Rows in the order of their keys; of one label if given."""
        return self._engine.scan(offset, limit, label)

    def get(self, key: str) -> Row:
        """The row of a picture. Raises KeyNotFound."""
        rows = self._engine.get([key])
        if not rows:
            raise KeyNotFound(f"The gallery has no picture {key!r}.")
        return rows[0]

    def vectors(self, keys: Sequence[str]) -> NDArray[np.float32]:
        """The embeddings of pictures, float32 [N, D]. Raises KeyNotFound."""
        return self._engine.vectors(keys)

    def image_bytes(self, key: str) -> tuple[bytes, str]:
        """A picture's encoded bytes and media type: the stored copy, or the file in the mirrored
        folder. Raises KeyNotFound, also when the file is gone or the bytes were not kept."""
        row = self.get(key)
        stored = blob_key(row.hash)
        if self._blobs.has(stored):
            data = self._blobs.read(stored)
        elif (folder := self.folder) is not None:
            data = LocalBlobs(folder).read(key)
        else:
            raise KeyNotFound(f"The bytes of {key!r} were not kept in the gallery.")
        return data, media_type(data)

    def _file_records(self) -> FileRecords:
        with self._loading:
            if self._records is None:
                self._records = FileRecords(self.path / layout.FOLDER)
            return self._records

    def _intake(
        self,
        report: AddReport,
        before: Callable[[Sequence[Outcome[Wanted]]], None] | None = None,
    ) -> Intake:
        return Intake(
            self._engine, self._blobs, self.embedder, report, workers=self.workers, before=before
        )

    @contextmanager
    def _writing(self) -> Iterator[None]:
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
        with suppress(OSError):
            stored = [Path(key).name for key in self._blobs.keys()]  # noqa: SIM118
            drop_blobs(self._engine, self._blobs, stored)


def _match(hit: Hit) -> Match:
    return Match(hit.key, hit.row.url, hit.distance, None, hit.row.label, dict(hit.row.metadata))
