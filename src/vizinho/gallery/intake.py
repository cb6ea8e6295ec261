"""Settling what came out of the pipeline: which rows are new, changed, the same, or double."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.blobs import Blobs, image_url
from vizinho.datasets import Skipped
from vizinho.embedder import Embedder
from vizinho.engines import Engine, Row
from vizinho.errors import GalleryError
from vizinho.gallery.layout import blob_key
from vizinho.gallery.pipeline import Job, Outcome, Pipeline
from vizinho.gallery.records import AddReport
from vizinho.progress import Progress

_COMMIT_IMAGES = 256
_COMMIT_SECONDS = 1.0
_KEY_LENGTH = 1024


@dataclass(frozen=True)
class Wanted:
    """The row that is wanted of a picture.

    ``key`` None stands for ``stem`` made unique. ``store``: keep the bytes. ``mirror``: the row
    follows its file, and goes when the file can't be read any more.
    """

    key: str | None
    stem: str = ""
    label: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    url: str | None = None
    store: bool = False
    mirror: bool = False


def check_key(key: str) -> str:
    """``key`` itself. Raises GalleryError for one that could not be a relative path or URL."""
    parts = PurePosixPath(key).parts
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise GalleryError(f"The key {key!r} is not valid text.") from error
    if (
        not parts
        or len(key) > _KEY_LENGTH
        or key.startswith("/")
        or ".." in parts
        or not key.isprintable()
    ):
        raise GalleryError(
            f"{key[:80]!r} can't be a key.",
            "A key is a relative path like 'cats/tom.jpg', without '..'.",
        )
    return key


Embedding = Callable[[Iterable[Job[Wanted]]], Iterator[list[Outcome[Wanted]]]]
"""From jobs to outcomes, some at a time, in the order of the jobs: `Pipeline.run`, or others."""


class Intake:
    """Takes jobs, embeds what is new, and commits rows batch by batch, or ``at_once``.

    ``before`` hears the outcomes of a batch just before it is committed. ``through`` embeds instead
    of a pipeline of threads; bytes are then not kept, and it may embed what the gallery knows.
    """

    def __init__(
        self,
        engine: Engine,
        blobs: Blobs,
        embedder: Embedder,
        report: AddReport,
        *,
        workers: int = 0,
        before: Callable[[Sequence[Outcome[Wanted]]], None] | None = None,
        at_once: bool = False,
        through: Embedding | None = None,
    ) -> None:
        self._engine = engine
        self._blobs = blobs
        self._at_once = at_once
        self._report = report
        self._before = before
        self._dropped: set[str] = set()
        pipeline = Pipeline(embedder, self._known, self._keep, report.stages, workers)
        self._embedding = through or pipeline.run

    def run(
        self, jobs: Iterable[Job[Wanted]], total: int | None, progress: Progress | None
    ) -> None:
        """Bring in all jobs. What was committed stays, whatever happens after."""
        done = 0
        while True:
            again: list[Job[Wanted]] = []
            batch: list[Outcome[Wanted]] = []
            last = time.perf_counter()
            for outcomes in self._embedding(jobs):
                batch += outcomes
                now = time.perf_counter()
                full = len(batch) >= _COMMIT_IMAGES or now - last > _COMMIT_SECONDS
                if full and not self._at_once:
                    again += self._settle(batch)
                    batch, last = [], now
                done += len(outcomes)
                if progress is not None:
                    progress(done, total)
            again += self._settle(batch)
            if not again:
                # Only now that no worker is at it: one may have stored the same bytes anew, for a
                # row that is not committed yet.
                drop_blobs(self._engine, self._blobs, self._dropped)
                return
            jobs = again
            done -= len(again)

    def _known(self, hashes: Sequence[str]) -> Collection[str]:
        return self._engine.find(hashes)

    def _keep(self, item: Wanted, content_hash: str, data: bytes) -> None:
        if item.store:
            self._blobs.put(blob_key(content_hash), data)

    def _settle(self, batch: Sequence[Outcome[Wanted]]) -> list[Job[Wanted]]:
        """Commit a batch; returns the jobs to run again because the vector they counted on went."""
        if not batch:
            return []
        start = time.perf_counter()
        if self._before is not None:
            self._before(batch)
        draft = _Draft(self._engine, self._report, batch)
        again = [outcome.job for outcome in batch if not draft.take(outcome)]
        draft.commit()
        self._dropped |= draft.dropped
        stages = self._report.stages
        stages["write"] = stages.get("write", 0.0) + time.perf_counter() - start
        return again


def drop_blobs(engine: Engine, blobs: Blobs, hashes: Iterable[str]) -> None:
    """Delete stored bytes that no row stands for any more."""
    hashes = list(hashes)
    used = engine.find(hashes)
    for content_hash in hashes:
        if content_hash not in used:
            blobs.delete(blob_key(content_hash))


class _Draft:
    """The next commit: rows as they will be, one outcome after the other."""

    def __init__(self, engine: Engine, report: AddReport, batch: Sequence[Outcome[Wanted]]) -> None:
        self._engine = engine
        self._report = report
        self._owners = engine.find([outcome.hash for outcome in batch if outcome.hash])
        wanted = [outcome.job.item for outcome in batch]
        keys = {key for item in wanted for key in (item.key, item.stem) if key}
        self._rows = {row.key: row for row in engine.get([*keys, *self._owners.values()])}
        self._vectors: dict[str, NDArray[np.float32]] = {}
        # Rows of which only what is said changes; their vectors need not be written again.
        self._retold: set[str] = set()
        self._remove: set[str] = set()
        self.dropped: set[str] = set()

    def take(self, outcome: Outcome[Wanted]) -> bool:
        """Work one outcome in; False when its vector is missing: embed it after all."""
        report, item = self._report, outcome.job.item
        if outcome.reason:
            report.skipped.append(Skipped(outcome.job.name, outcome.reason))
            if item.mirror:
                self._discard(item.key)
            return True
        owner = self._owners.get(outcome.hash)
        key = item.key or owner or self._unique(item.stem, outcome.hash)
        if owner is not None and owner != key:
            report.duplicates += 1
            self._discard(key)
            return True
        old = self._rows.get(key)
        row = Row(
            key,
            item.url or (old.url if old else image_url(key)),
            outcome.hash,
            item.label if item.label is not None else (old.label if old else None),
            item.metadata or (old.metadata if old else {}),
        )
        if old == row:
            report.unchanged += 1
            return True
        vector = outcome.vector
        same = old is not None and old.hash == row.hash
        if vector is None and same:
            vector = self._vectors.get(key)
        same = same and key not in self._vectors
        if vector is None and not same:
            return False
        if old is None:
            report.added += 1
        else:
            report.changed += 1
            self._forget(old, unless=row.hash)
        self._rows[key], self._owners[row.hash] = row, key
        if same:
            self._retold.add(key)
        else:
            assert vector is not None
            self._retold.discard(key)
            self._vectors[key] = vector
        return True

    def commit(self) -> None:
        """Write it all in one transaction."""
        if self._retold and not (self._vectors or self._remove):
            self._engine.update([self._rows[key] for key in sorted(self._retold)])
            return
        if self._retold:
            # One transaction takes them all, so these are written whole.
            retold = sorted(self._retold)
            self._vectors.update(zip(retold, self._engine.vectors(retold), strict=True))
        if self._vectors:
            rows = [self._rows[key] for key in self._vectors]
            vectors = np.stack(list(self._vectors.values()))
            self._engine.add(rows, vectors, remove=sorted(self._remove))
        elif self._remove:
            self._engine.remove(sorted(self._remove))

    def _discard(self, key: str | None) -> None:
        """The picture of ``key`` is no more: its file is broken now, or another row's double."""
        old = self._rows.pop(key, None) if key else None
        if old is not None:
            self._report.removed += 1
            self._vectors.pop(old.key, None)
            self._retold.discard(old.key)
            self._remove.add(old.key)
            self._forget(old)

    def _forget(self, old: Row, unless: str = "") -> None:
        if old.hash != unless:
            self._owners.pop(old.hash, None)
            self.dropped.add(old.hash)

    def _unique(self, stem: str, content_hash: str) -> str:
        if stem and stem not in self._rows:
            return stem
        path = PurePosixPath(stem)
        tail = content_hash[:8] if stem else content_hash[:16]
        return str(path.with_name(f"{path.stem}-{tail}{path.suffix}")) if stem else tail
