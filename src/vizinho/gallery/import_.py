"""Embeddings taken into a gallery: those that `vizinho.gallery.export` wrote, or clip-retrieval.

A page of rows is one transaction. What is in the gallery already is passed over, so an import that
was cut short is simply run again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.blobs import Blobs, LocalBlobs, image_url
from vizinho.datasets import Skipped
from vizinho.engines import Engine, Row
from vizinho.errors import FingerprintMismatch, GalleryError, ImageError, KeyNotFound
from vizinho.gallery import exchange, layout
from vizinho.gallery.foreign import Incoming, exported, foreign
from vizinho.gallery.intake import check_key, drop_blobs
from vizinho.gallery.records import AddReport
from vizinho.images import content_hash, media_type, read_bytes
from vizinho.progress import Progress

_FILE = {
    "img_emb": re.compile(r"img_emb_(\d+)\.npy"),
    "metadata": re.compile(r"metadata_(\d+)\.parquet"),
}
_UNIT = 1e-2  # clip-retrieval keeps 16-bit floats


class Importer:
    """One import into the gallery of ``engine`` and ``blobs``, which is held for writing."""

    def __init__(
        self,
        folder: Path,
        about: layout.About,
        engine: Engine,
        blobs: Blobs,
        report: AddReport,
        *,
        normalised: bool,
        unknown_model: bool,
        pictures: bool,
        prefix: str = "",
    ) -> None:
        self._folder = folder
        self._gallery = about
        self._engine = engine
        self._blobs = blobs
        self._report = report
        self._normalised = normalised
        self._pictures = pictures
        self._prefix = check_key(f"{prefix}x")[:-1]
        self._about = self._check_model(unknown_model)
        self._parts = list(self._find_parts())
        self._dropped: set[str] = set()

    def run(self, progress: Progress | None) -> None:
        """Take in part after part. What was committed stays, whatever happens after."""
        parts = [(*self._open(*files), files[1]) for files in self._parts]
        total = sum(len(vectors) for vectors, _, _ in parts)
        done = 0
        for number, (vectors, table, file) in enumerate(parts):
            self._check_part(number, vectors, table, file)
            for incoming, page in self._pages(number, vectors, table):
                self._take(incoming, page)
                done += len(page)
                if progress is not None:
                    progress(done, total)
        drop_blobs(self._engine, self._blobs, self._dropped)

    def _check_model(self, unknown_model: bool) -> exchange.ExportAbout | None:
        about = exchange.read_about(self._folder / exchange.ABOUT)
        if about is None:
            if (self._folder / exchange.PARTIAL).is_file():
                raise GalleryError(
                    f"The export in {self._folder} was not finished.",
                    "Run `vizinho export` again; it goes on where it stopped.",
                )
            if not unknown_model:
                raise GalleryError(
                    f"{self._folder} does not say which model made its embeddings.",
                    f"If it was {self._gallery.model!r}, say so with --unknown-model.",
                )
            return None
        mine = self._gallery
        if about.fingerprint != mine.fingerprint:
            raise FingerprintMismatch(
                f"The embeddings in {self._folder} were made by the model {about.model!r} "
                f"({about.fingerprint[:12]}), those of the gallery by {mine.model!r} "
                f"({mine.fingerprint[:12]}): their distances can't be compared.",
                "Import them into a gallery of their own.",
            )
        if (about.runtime, about.precision) != (mine.runtime, mine.precision):
            raise FingerprintMismatch(
                f"The embeddings in {self._folder} were made in {about.precision} by "
                f"{about.runtime}, those of the gallery in {mine.precision} by {mine.runtime}.",
                "Import them into a gallery of their own.",
            )
        return about

    def _find_parts(self) -> Iterator[tuple[Path, Path]]:
        found: dict[str, dict[int, Path]] = {}
        for inner, pattern in _FILE.items():
            folder = self._folder / inner
            files = folder.iterdir() if folder.is_dir() else iter(())
            found[inner] = {int(m[1]): f for f in files if (m := pattern.fullmatch(f.name))}
        vectors, rows = found["img_emb"], found["metadata"]
        if not vectors and self._about is None:
            raise GalleryError(
                f"{self._folder} has no embeddings.",
                "Looked for img_emb/img_emb_0.npy and metadata/metadata_0.parquet.",
            )
        for number in sorted(set(vectors) ^ set(rows)):
            raise GalleryError(
                f"Part {number} in {self._folder} has either no img_emb_{number}.npy or no "
                f"metadata_{number}.parquet.",
                "Both are needed.",
            )
        if self._about is not None and sorted(vectors) != list(range(len(self._about.parts))):
            raise GalleryError(
                f"{self._folder} should have {len(self._about.parts)} parts and has "
                f"{len(vectors)}.",
                "Export the gallery again.",
            )
        yield from ((vectors[number], rows[number]) for number in sorted(vectors))

    def _open(self, vectors_file: Path, rows_file: Path) -> tuple[NDArray[Any], Any]:
        """A part's vectors, mapped, and its table, which fit each other and the gallery."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            vectors = np.load(vectors_file, mmap_mode="r", allow_pickle=False)
            table = pq.ParquetFile(rows_file, memory_map=True)
        except (OSError, ValueError, EOFError, pa.ArrowException) as error:
            what = f"{vectors_file} or {rows_file.name}"
            raise GalleryError(f"{what} can't be read: {error}.", "Export them again.") from error
        if vectors.ndim != 2 or vectors.dtype.kind != "f":
            raise GalleryError(f"{vectors_file} holds no list of vectors.", "Export it again.")
        if vectors.shape[1] != self._gallery.dimension:
            raise GalleryError(
                f"{vectors_file} holds vectors of {vectors.shape[1]} numbers, the gallery's model "
                f"{self._gallery.model!r} makes {self._gallery.dimension}.",
                "They were made by another model.",
            )
        if table.metadata.num_rows != len(vectors):
            raise GalleryError(
                f"{vectors_file} holds {len(vectors)} vectors, {rows_file.name} "
                f"{table.metadata.num_rows} rows.",
                "Export them again.",
            )
        return vectors, table

    def _check_part(self, number: int, vectors: NDArray[Any], table: Any, file: Path) -> None:
        """Before any row of a part is taken in: is it what was exported, or can it be at all?"""
        if self._about is None:
            sample = np.linalg.norm(vectors[: exchange.PAGE].astype(np.float64), axis=1)
            if self._normalised and len(sample) and np.abs(sample - 1).max() > _UNIT:
                raise GalleryError(
                    f"The embeddings beside {file} do not have length 1, and those of "
                    f"{self._gallery.model!r} do.",
                    "They were made by another model.",
                )
            return
        digest = exchange.Digest()
        for incoming, page in self._pages(number, vectors, table):
            digest.add([each.row for each in incoming], page)
        part = self._about.parts[number]
        if (len(vectors), digest.hex()) != (part.rows, part.sha256):
            raise GalleryError(
                f"Part {number} in {self._folder} is not what was exported.",
                "Export the gallery again, or copy the folder again.",
            )

    def _pages(
        self, number: int, vectors: NDArray[Any], table: Any
    ) -> Iterator[tuple[list[Incoming], NDArray[np.float32]]]:
        import pyarrow as pa

        start = 0
        try:
            for batch in table.iter_batches(exchange.PAGE):
                records = batch.to_pylist()
                page = np.asarray(vectors[start : start + len(records)], np.float32)
                if self._about is not None:
                    yield [exported(record) for record in records], page
                else:
                    numbered = enumerate(records, start)
                    yield [foreign(record, number, at) for at, record in numbered], page
                start += len(records)
        except pa.ArrowException as error:
            raise GalleryError(
                f"Part {number} in {self._folder} can't be read: {error}.", "Export it again."
            ) from error

    def _take(self, incoming: list[Incoming], page: NDArray[np.float32]) -> None:
        """Commit the rows of a page that the gallery does not have as they are."""
        report = self._report
        wanted: dict[str, tuple[Row, str, NDArray[np.float32]]] = {}
        for each, vector in zip(incoming, page, strict=True):
            key = self._prefix + each.row.key
            try:
                check_key(key)
            except GalleryError as error:
                report.skipped.append(Skipped(each.row.key, error.message))
                continue
            if key in wanted:
                report.skipped.append(Skipped(key, "Its key comes twice; the first was taken."))
                continue
            if not np.isfinite(vector).all():
                report.skipped.append(Skipped(key, "Its embedding is not finite."))
                continue
            url = image_url(key) if each.row.url == image_url(each.row.key) else each.row.url
            known = each.row.hash or self._hash(key, each.picture, vector)
            wanted[key] = (replace(each.row, key=key, url=url, hash=known), each.picture, vector)
        here = {row.key: row for row in self._engine.get(list(wanted))}
        owners = self._engine.find([row.hash for row, _, _ in wanted.values()])
        rows, vectors = [], []
        for key, (row, picture, vector) in wanted.items():
            old = here.get(key)
            if old == row:
                report.unchanged += 1
                continue
            if owners.setdefault(row.hash, key) != key:
                report.duplicates += 1
                continue
            if old is None:
                report.added += 1
            else:
                report.changed += 1
                if old.hash != row.hash:
                    self._dropped.add(old.hash)
            self._store(row, picture)
            rows.append(row)
            vectors.append(vector)
        if rows:
            self._engine.add(rows, np.stack(vectors))

    def _hash(self, key: str, picture: str, vector: NDArray[np.float32]) -> str:
        """The content hash of a picture that came without; where it can't be had, a stand-in that
        is the same in every import and that no picture has."""
        data = self._read(picture)
        return content_hash(
            f"no picture {key} ".encode() + vector.tobytes() if data is None else data
        )

    def _store(self, row: Row, picture: str) -> None:
        place = layout.blob_key(row.hash)
        if self._blobs.has(place) or (data := self._read(picture)) is None:
            return
        if content_hash(data) != row.hash:
            reason = "Its picture is another one than was embedded; only its embedding was taken."
            self._report.skipped.append(Skipped(row.key, reason))
            return
        self._blobs.put(place, data)

    def _read(self, picture: str) -> bytes | None:
        """A picture in the folder, or (only if told) elsewhere on this machine; None if not."""
        if not picture or "://" in picture:
            return None
        try:
            if not Path(picture).is_absolute():
                data = LocalBlobs(self._folder).read(picture)
            elif self._pictures:
                data = read_bytes(picture)
            else:
                return None
            media_type(data)
        except (KeyNotFound, ImageError, OSError):
            return None
        return data
