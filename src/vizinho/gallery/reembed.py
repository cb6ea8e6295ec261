"""The rows of one gallery, with vectors of another model: what is missing or differs, in passes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vizinho.datasets import Skipped
from vizinho.embedder import Embedder
from vizinho.engines import Engine, Row, pages
from vizinho.errors import KeyNotFound, UnreadableImage, VizinhoError
from vizinho.gallery.pipeline import Job, Pipeline
from vizinho.gallery.view import GalleryView
from vizinho.progress import Progress

_PAGE = 512
_FEW = 200
_PASSES = 10
_CHANGED = "Its file has changed since it was indexed."


class Reembedding:
    """Makes ``engine`` hold the rows of ``gallery``, each with the vector of ``embedder``.

    ``embedded`` counts the pictures that went through the network, ``missing`` has those of the
    last pass whose bytes could not be had, by key.
    """

    def __init__(
        self, gallery: GalleryView, engine: Engine, embedder: Embedder, *, workers: int = 0
    ) -> None:
        self._gallery = gallery
        self._engine = engine
        self._pipeline: Pipeline[Row] = Pipeline(
            embedder, lambda _: (), lambda *_: None, {}, workers
        )
        self.embedded = 0
        self.missing: dict[str, Skipped] = {}

    def run(self, progress: Progress | None = None) -> int:
        """Go through all rows once, in the order of their keys; returns how many had to be changed.

        Each page is committed at once. Raises GalleryError.
        """
        self.missing = {}
        changes, done, after, total = 0, 0, "", self._gallery.count
        for rows in pages(self._gallery, size=_PAGE):
            last = rows[-1].key
            changes += self._drop_others(after, last, {row.key for row in rows})
            changes += self._take(rows)
            after = last
            done += len(rows)
            if progress is not None:
                progress(done, max(done, total))
        return changes + self._drop_others(after, None, set())

    def settle(self, progress: Progress | None = None) -> None:
        """`run` until a pass finds next to nothing new, while others write to the gallery."""
        for _ in range(_PASSES):
            if self.run(progress) <= _FEW:
                break

    def _drop_others(self, after: str, last: str | None, keys: set[str]) -> int:
        """Remove rows between two keys that are not in the gallery (any more)."""
        removed = 0
        for page in pages(self._engine, after=after, size=_PAGE):
            inside = [row.key for row in page if last is None or row.key <= last]
            gone = [key for key in inside if key not in keys]
            if gone:
                removed += self._engine.remove(gone)
            if len(inside) < len(page):
                break
        return removed

    def _take(self, rows: Sequence[Row]) -> int:
        here = {row.key: row for row in self._engine.get([row.key for row in rows])}
        fresh = [row for row in rows if row.key not in here or here[row.key].hash != row.hash]
        said = [row for row in rows if row.key in here and here[row.key] != row]
        said = [row for row in said if here[row.key].hash == row.hash]
        if said:
            self._engine.update(said)
        if fresh:
            self._embed(fresh)
        return len(said) + len(fresh) - sum(row.key in self.missing for row in fresh)

    def _embed(self, rows: Sequence[Row]) -> None:
        vectors: dict[str, NDArray[np.float32]] = {}
        # A picture that got another name keeps its vector.
        owners = self._engine.find([row.hash for row in rows])
        if owners:
            known = self._engine.vectors(list(owners.values()))
            vectors.update(zip(owners, known, strict=True))
        jobs = [self._job(row) for row in rows if row.hash not in vectors]
        for outcomes in self._pipeline.run(jobs):
            for outcome in outcomes:
                row = outcome.job.item
                if outcome.vector is not None and outcome.hash == row.hash:
                    vectors[row.hash] = outcome.vector
                    self.embedded += 1
                else:
                    reason = outcome.reason or _CHANGED
                    self.missing[row.key] = Skipped(row.key, reason)
        ready = [row for row in rows if row.hash in vectors]
        stale = [row.key for row in rows if row.hash not in vectors]
        if ready:
            matrix = np.stack([vectors[row.hash] for row in ready])
            self._engine.add(ready, matrix, remove=stale)
        elif stale:
            self._engine.remove(stale)

    def _job(self, row: Row) -> Job[Row]:
        def read() -> bytes:
            try:
                return self._gallery.image_bytes(row.key)[0]
            except KeyNotFound as error:
                raise UnreadableImage(error.message) from error
            except VizinhoError as error:
                raise UnreadableImage(str(error)) from error

        return Job(row, row.key, read)
