"""The reading half of a gallery: open, search, look at."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from vizinho.blobs import Blobs, LocalBlobs
from vizinho.bundle import BundleInfo, read_bundle
from vizinho.embedder import Embedder
from vizinho.engines import Engine, Row
from vizinho.errors import ImageError, KeyNotFound
from vizinho.gallery import answers, layout
from vizinho.gallery.explaining import Explaining, Model
from vizinho.gallery.opening import open_parts
from vizinho.gallery.searching import Searching
from vizinho.gallery.steady import steady
from vizinho.images import Crop, Source, media_type
from vizinho.place import is_address

if TYPE_CHECKING:
    from vizinho.explain import Explanation
    from vizinho.gallery.files import FileRecords
    from vizinho.gallery.remote import Remote


class GalleryView(Searching):
    """Everything a gallery does without writing; what others commit is seen at once."""

    def __init__(
        self, path: Path, about: layout.About, engine: Engine, remote: Remote | None = None
    ) -> None:
        self.path = path
        self._about = about
        self._engine = engine
        self._remote = remote
        self._blobs: Blobs = remote.blobs if remote else LocalBlobs(path / layout.IMAGES)
        self._model = layout.home(path, about) / layout.MODEL
        self._loading = threading.Lock()
        self.switches = 0
        self._embedder: Embedder | None = None
        self._left: list[Engine] = []
        self._records: FileRecords | None = None
        self._judge = answers.Judge()
        self._explaining = Explaining()

    @classmethod
    def open(cls, path: str | Path, *, model: str | Path | None = None) -> Self:
        """Open the gallery in folder ``path``, or at an address: ``milvus://host:19530/cars``.

        ``model``, if given, must be the one that made the gallery's vectors. Raises
        GalleryNotFound, GalleryDamaged, GalleryUnreachable, FingerprintMismatch, BundleError.
        """
        if is_address(path):
            from vizinho.gallery.remote import open_remote

            return cls(*open_remote(path, model))
        return cls(Path(path), *open_parts(Path(path), model))

    @staticmethod
    def exists(path: str | Path) -> bool:
        """Whether there is a gallery at an address, or anything at a path: opening says what.

        Raises GalleryUnreachable.
        """
        if is_address(path):
            from vizinho.gallery.remote import Remote

            return Remote(path).exists()
        return Path(path).exists()

    def __enter__(self) -> Self:
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
        for engine in (self._engine, *self._left):
            engine.close()
        if self._remote is not None:
            self._remote.close()
        if self._records is not None:
            self._records.close()
            self._records = None

    @property
    def embedder(self) -> Embedder:
        """The gallery's model, loaded on first use. Raises BundleError."""
        with self._loading:
            if self._embedder is None:
                self._embedder = Embedder.open(self._model, precision=self._about.precision)
            return self._embedder

    @property
    def engine(self) -> Engine:
        """Where the rows and vectors are; for what looks after a gallery, see `vizinho.gallery`."""
        return self._engine

    @property
    def about(self) -> layout.About:
        """What ``gallery.json`` says."""
        return self._about

    @property
    def model_folder(self) -> Path:
        """The gallery's copy of its model bundle."""
        return self._model

    @property
    def model_info(self) -> BundleInfo:
        """What the gallery's model says of itself; does not load it."""
        return read_bundle(self._model)

    @property
    def folder(self) -> Path | None:
        """The folder that the gallery mirrors, if `sync_folder` was ever called."""
        if self._records is None and not (self.path / layout.FOLDER).is_file():
            return None if self._remote is None else self._remote.folder
        absolute = self._recalled("folder")
        if absolute is None or "://" in absolute:
            return None
        relative = self._recalled("beside")
        # Gallery and folder may have been moved together.
        moved = (self.path.resolve() / relative) if relative else None
        if moved is not None and moved.is_dir() and not Path(absolute).is_dir():
            return moved.resolve()
        return Path(absolute)

    @property
    def mirrored(self) -> str | None:
        """What the gallery mirrors: a folder's path, or a bucket's ``s3://bucket/prefix``."""
        if (folder := self.folder) is not None:
            return str(folder)
        if self._records is not None or (self.path / layout.FOLDER).is_file():
            return self._recalled("folder")
        return None if self._remote is None else self._remote.mirrored()

    @property
    @steady
    def count(self) -> int:
        """How many pictures there are."""
        return self._engine.count()

    @property
    def info(self) -> dict[str, Any]:
        """Name, model and its fingerprint, dimension and metrics, engine and how it searches,
        runtime, precision, count and mirrored folder, as JSON values."""
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
            "search": self._engine.describe(),
            "metrics": self.model_info.metrics,
            "folder": None if folder is None else str(folder),
            "mirrored": self.mirrored,
        }

    @property
    def explainable(self) -> bool:
        """Whether `explain` can split this model's matches; loads no network."""
        return self._explaining.possible(self._explained())

    @steady
    def explain(self, source: Source, key: str, *, crop: Crop | None = None) -> Explanation:
        """Which regions of ``source``, or of its part ``crop``, and of the gallery's picture
        ``key`` made them a match; docs/explain.md says what the numbers are.

        Raises NotExplainable where the network does not end in pooling and a linear layer, or the
        picture is not the one any more that was embedded; KeyNotFound, ImageError, SourceError.
        """
        kept = self.vectors([key])[0]
        explainer = self._explaining.explainer(self._explained())
        return explainer.explain(source, self.image_bytes(key)[0], crop=crop, kept=kept)

    def _explained(self) -> Model:
        return self._model, self._about.fingerprint, self._about.precision

    @steady
    def items(self, offset: int = 0, limit: int = 100, label: str | None = None) -> list[Row]:
        """Rows in the order of their keys; of one label if given."""
        return self._engine.scan(offset, limit, label)

    @steady
    def walk(self, after: str = "", limit: int = 1000, label: str | None = None) -> list[Row]:
        """``limit`` rows whose keys come after ``after``, in their order; of one label if given.

        Goes through a gallery of any size in flat memory: the next page is after the last key.
        """
        return self._engine.walk(after, limit, label)

    @steady
    def labels(self) -> dict[str | None, int]:
        """How many pictures each label has; None stands for those without one."""
        return self._engine.labels()

    @steady
    def find(self, hashes: Sequence[str]) -> dict[str, str]:
        """Key by content hash, for those of ``hashes`` that the gallery holds."""
        return self._engine.find(hashes)

    @steady
    def get_many(self, keys: Sequence[str]) -> list[Row]:
        """The rows of ``keys``, in that order; unknown keys are left out."""
        return self._engine.get(keys)

    @steady
    def get(self, key: str) -> Row:
        """The row of a picture. Raises KeyNotFound."""
        rows = self._engine.get([key])
        if not rows:
            raise KeyNotFound(f"The gallery has no picture {key!r}.")
        return rows[0]

    @steady
    def vectors(self, keys: Sequence[str]) -> NDArray[np.float32]:
        """The embeddings of pictures, float32 [N, D]. Raises KeyNotFound."""
        return self._engine.vectors(keys)

    @steady
    def image_bytes(self, key: str) -> tuple[bytes, str]:
        """A picture's encoded bytes and media type: the stored copy, the object of a bucket that
        its URL names, or the file in the mirrored folder.

        Raises KeyNotFound, also when the file is gone or the bytes were not kept, and SourceError
        when a bucket is out of reach.
        """
        row = self.get(key)
        stored = layout.blob_key(row.hash)
        if self._blobs.has(stored):
            data = self._blobs.read(stored)
        elif row.url.startswith("s3://"):
            data = _of_bucket(row)
        elif (folder := self.folder) is not None:
            data = LocalBlobs(folder).read(key)
        else:
            raise KeyNotFound(f"The bytes of {key!r} were not kept in the gallery.")
        return data, media_type(data)

    def _follow(self) -> None:
        """Take up the model that a migration put in place since the gallery was opened."""
        with self._loading:
            if self._remote is None:
                about = layout.read_about(self.path)
                if (about.home, about.fingerprint) == (self._about.home, self._about.fingerprint):
                    return
                # Threads of this process may still search the other engine; it closes with the
                # last.
                about, engine = open_parts(self.path, None)
            else:
                if not self._remote.successor(self._about):
                    return
                _, about, engine = self._remote.open()
                self._left.append(self._engine)
            self.switches += 1
            self._about, self._engine = about, engine
            self._model = layout.home(self.path, about) / layout.MODEL
            self._embedder = None
            self.switches += 1

    def _recalled(self, name: str) -> str | None:
        from vizinho.gallery.files import recalled

        return recalled(self._file_records, self.path / layout.FOLDER, name)

    def _file_records(self) -> FileRecords:
        from vizinho.gallery.files import FileRecords

        with self._loading:
            if self._records is None:
                self._records = FileRecords(self.path / layout.FOLDER)
            return self._records


def _of_bucket(row: Row) -> bytes:
    from vizinho.sources import read_url

    try:
        return read_url(row.url)
    except ImageError as error:
        raise KeyNotFound(error.message, error.hint) from error
