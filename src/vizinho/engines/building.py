"""Making the derived index of a catalogue: read, choose, train, measure, verify, take over.

It needs nothing from the engine that searches, and may run beside it and beside a writer: in a
thread, or in a process of its own (`vizinho.engines.upkeep.start_child`).
"""

from __future__ import annotations

import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.engines import derived, schema, training, upkeep
from vizinho.engines.derived import CELLS, IDS, LISTS, VECTORS, Manifest, Stale
from vizinho.engines.flat import FlatVectors
from vizinho.engines.ivf import Ivf
from vizinho.engines.sqlite import connect, explained, transaction
from vizinho.errors import GalleryDamaged
from vizinho.progress import Progress

_READ = 20_000
_TIMED = 9
_VERIFY = 64
_GROWN = 2.0
_SPREAD = 1.3
_IMBALANCE = 1.5
_WORTH = 1.5


def build(
    catalogue: Path, *, force: bool = False, progress: Progress | None = None
) -> Manifest | None:
    """Make the index of a catalogue if that is due (or ``force``), and let it take over.

    Returns what was made, or None where nothing had to be, or nothing but the catalogue is needed.
    Raises GalleryBusy while another process builds, GalleryError.
    """
    folder = catalogue.with_name(derived.FOLDER)
    with explained(catalogue), closing(connect(catalogue)) as db:
        if schema.version(db) == 1:
            with transaction(db):
                schema.upgrade(db)
        if not force and not _state(db, folder).reason:
            return None
        with derived.building(folder):
            # Another may have made it while this one came to its turn.
            with transaction(db, reading=True):
                now = upkeep.state(db, folder)
                last_id, last_removal = schema.last_id(db), schema.last_removal(db)
            derived.sweep(folder, now.about.index)
            if not (now.reason or force):
                return None
            manifest = Manifest(now.about.dimension, 0, last_id, last_removal)
            if now.about.count * now.about.dimension < upkeep.LEAST_NUMBERS and not force:
                _publish(db, schema.no_index(), manifest)
                derived.sweep(folder, "")
                return None
            name = secrets.token_hex(8)
            try:
                (folder / name).mkdir()
                made = _Build(db, folder, name, now, manifest, progress).run()
                _publish(db, name if made else schema.no_index(), manifest)
            except BaseException as error:
                # What is half made may be what fills the disk.
                shutil.rmtree(folder / name, ignore_errors=True)
                # FAISS has no other error for a disk that refuses.
                if isinstance(error, OSError | Stale | RuntimeError):
                    raise derived.impossible(catalogue.parent, error) from error
                raise
            derived.sweep(folder, name if made else "")
            return manifest if made else None


def _state(db: sqlite3.Connection, folder: Path) -> upkeep.State:
    with transaction(db, reading=True):
        return upkeep.state(db, folder)


def _publish(db: sqlite3.Connection, name: str, manifest: Manifest) -> None:
    with transaction(db):
        db.execute("UPDATE about SET value = ? WHERE name = 'index'", (name,))
        db.execute("DELETE FROM removed WHERE seq <= ?", (manifest.last_removal,))


class _Build:
    """One index on its way; ``manifest`` is filled in."""

    def __init__(
        self,
        db: sqlite3.Connection,
        folder: Path,
        name: str,
        now: upkeep.State,
        manifest: Manifest,
        progress: Progress | None,
    ) -> None:
        self._db = db
        self._old = folder / now.about.index
        self._folder = folder / name
        self._now = now
        self._manifest = manifest
        self._progress = progress

    def run(self) -> bool:
        """Whether there was anything to index.

        Raises GalleryDamaged for a catalogue whose vectors have a wrong length, OSError.
        """
        start = time.perf_counter()
        manifest, options = self._manifest, self._now.about.options
        manifest.latency_ms, manifest.recall = options.latency_ms, options.recall
        self._read()
        if manifest.count == 0:
            return False
        ids = derived.mapped(self._folder / IDS, np.int64, (manifest.count,))
        matrix = derived.mapped(
            self._folder / VECTORS, np.float32, (manifest.count, manifest.dimension)
        )
        vectors = FlatVectors(ids, matrix, sketches=False)
        manifest.exact_ms = _milliseconds(lambda query: vectors.nearest(query, 10), matrix)
        # Not back and forth for a time that is measured a little differently each time.
        was = self._now.manifest is not None and self._now.manifest.kind == "ivf"
        if manifest.exact_ms <= options.latency_ms / (2 if was else 1):
            manifest.why = "exact search is fast enough"
        elif options.recall >= 1:
            manifest.why = "every neighbour is wanted"
        else:
            try:
                self._invert(vectors)
            except ImportError:
                manifest.why = "FAISS is not installed"
        if manifest.kind == "flat":
            manifest.measured_recall, manifest.probes, manifest.cells = None, {}, 0
            for file in (CELLS, LISTS):
                (self._folder / file).unlink(missing_ok=True)
        self._told(3 * manifest.count)
        manifest.seconds = round(time.perf_counter() - start, 2)
        manifest.made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        derived.write_manifest(self._folder, manifest)
        return True

    def _read(self) -> None:
        """Copy the vectors out of the catalogue, a part in each transaction: a long one would keep
        the journal of a busy writer from being emptied."""
        manifest = self._manifest
        query = "SELECT id, vector FROM vectors WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
        after = 0
        size = 4 * manifest.dimension
        with (
            (self._folder / IDS).open("wb") as ids_file,
            (self._folder / VECTORS).open("wb") as vectors_file,
        ):
            while True:
                records = self._db.execute(query, (after, manifest.last_id, _READ)).fetchall()
                if not records:
                    break
                ids, blobs = zip(*records, strict=True)
                data = b"".join(blobs)
                if len(data) != size * len(ids) or any(len(blob) != size for blob in blobs):
                    raise GalleryDamaged(
                        f"{self._folder.parent.parent} holds vectors of a wrong length.",
                        "`vizinho doctor --fix` mends what it can.",
                    )
                ids_file.write(np.array(ids, "<i8").tobytes())
                vectors_file.write(data)
                manifest.count += len(ids)
                after = ids[-1]
                self._told(manifest.count)

    def _invert(self, vectors: FlatVectors) -> None:
        manifest, matrix, wanted = self._manifest, vectors.matrix, self._manifest.recall
        lists = self._filled(vectors)
        probing, found = training.probing(lists, matrix, wanted)
        manifest.cells = lists.index.nlist
        manifest.blur, manifest.slip = probing.blur, probing.slip
        manifest.probes = {str(rank): probes for rank, probes in probing.probes.items()}
        manifest.trained_on, manifest.spread = lists.trained_on, lists.spread
        manifest.imbalance, manifest.measured_recall = lists.imbalance, found
        lists.cells.astype("<i4").tofile(self._folder / CELLS)
        import faiss

        faiss.write_index(lists.index, str(self._folder / LISTS))
        # From here on what is searched is what was written, as readers will open it.
        ivf = Ivf.open(self._folder / LISTS, probing)
        manifest.index_ms = _milliseconds(lambda query: ivf.nearest(vectors, query, 10), matrix)
        assert manifest.exact_ms is not None
        if manifest.index_ms * _WORTH > manifest.exact_ms:
            manifest.why = f"an index with a recall of {wanted:g} is hardly faster here"
        elif lists.floor >= training.MOST_TIES:
            manifest.why = "too many vectors lie between the same cells"
        else:
            recall, itself = _verified(vectors, ivf, min(10, max(probing.probes)))
            manifest.measured_recall, manifest.verified_on = min(found, recall), _VERIFY
            # Of so few neighbours, some more may be missing by chance.
            chance = 2 * (wanted * (1 - wanted) / (10 * _VERIFY)) ** 0.5
            if not itself or recall < wanted - 2 * chance:
                manifest.why = f"the index found {recall:.1%} where {wanted:.1%} is wanted"
                return
            manifest.kind, manifest.why = "ivf", "exact search takes too long"

    def _filled(self, vectors: FlatVectors) -> training.Lists:
        """The cells of the last index with what has come since, or new ones when the vectors are
        other than those that they were chosen for."""

        def step(done: int) -> None:
            self._told(2 * len(vectors.ids) + done)

        old = self._now.manifest
        if old is not None and old.kind == "ivf" and len(vectors.ids) < _GROWN * old.trained_on:
            try:
                known = self._known(old, vectors.ids)
                import faiss

                index = faiss.clone_index(faiss.read_index(str(self._old / LISTS)))
                index.reset()
                lists = training.fill(index, vectors.matrix, known, step)
            except (Stale, RuntimeError):
                pass
            else:
                lists.trained_on = old.trained_on
                spread, imbalance = _SPREAD * old.spread, _IMBALANCE * old.imbalance
                if lists.spread <= spread and lists.imbalance <= imbalance:
                    lists.spread, lists.imbalance = old.spread, old.imbalance
                    return lists
        self._told(int(1.2 * len(vectors.ids)))
        return training.fill(training.train(vectors.matrix), vectors.matrix, None, step)

    def _known(self, old: Manifest, ids: NDArray[np.int64]) -> NDArray[np.int32]:
        """The cells that rows had in the last index; -1 for those that were not there."""
        if damaged := derived.damaged_files(self._old, old):
            raise Stale(", ".join(damaged))
        before = derived.mapped(self._old / IDS, np.int64, (old.count,))
        cells = derived.mapped(self._old / CELLS, np.int32, (old.count,))
        places = np.searchsorted(before, ids)
        places[places == len(before)] = 0
        return np.where(before[places] == ids, cells[places], -1).astype(np.int32)

    def _told(self, done: int) -> None:
        if self._progress is not None:
            self._progress(min(done, 3 * self._now.about.count), 3 * self._now.about.count)


def _milliseconds(
    search: Callable[[NDArray[np.float32]], Any], matrix: NDArray[np.float32]
) -> float:
    """Processor time of one search, the middle one of a few, by vectors of the gallery."""
    places = range(0, len(matrix), max(1, len(matrix) // _TIMED))[:_TIMED]
    times: list[float] = []
    # Twice: what is mapped is not in memory before it has been asked for.
    for place in (*places, *places):
        start = time.thread_time()
        search(matrix[place : place + 1])
        times.append(1000 * (time.thread_time() - start))
    return round(float(np.median(times[len(places) :])), 4)


def _verified(vectors: FlatVectors, ivf: Ivf, need: int) -> tuple[float, bool]:
    """Recall of whole searches against exact ones, and whether each vector finds itself first.

    The vectors asked for are others than those that the probes were chosen by, and moved a little:
    half-way to their nearest neighbour.
    """
    rng = np.random.default_rng(secrets.randbits(64))
    places = rng.choice(len(vectors.ids), min(_VERIFY, len(vectors.ids)), replace=False)
    own = vectors.matrix[places]
    near = [
        next((id for id in ids if id != own_id), own_id)
        for own_id, (ids, _) in zip(vectors.ids[places], vectors.nearest(own, 2), strict=True)
    ]
    others = vectors.matrix[np.searchsorted(vectors.ids, near)]
    queries = np.ascontiguousarray((own + others) / 2, np.float32)
    found = wanted = 0
    for (ids, _), (true, _) in zip(
        ivf.nearest(vectors, queries, need), vectors.nearest(queries, need), strict=True
    ):
        found += len(set(ids.tolist()) & set(true[:need].tolist()))
        wanted += min(need, len(true))
    itself = all(distances[0] == 0 for _, distances in ivf.nearest(vectors, own, 1))
    return found / max(wanted, 1), itself
