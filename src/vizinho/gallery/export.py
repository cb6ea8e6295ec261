"""A gallery's embeddings written out, part by part; see `vizinho.gallery.exchange` for the layout.

Memory stays flat however large the gallery is. Each part is there wholly or not at all, and a part
that is there already and has not changed is not written again: so an export that was cut short goes
on, and one made before is brought up to date.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vizinho.blobs import LocalBlobs, explain_os_error
from vizinho.bundle import INFO_FILE, MODEL_FILE, network_file
from vizinho.datasets import Skipped
from vizinho.engines import Row
from vizinho.engines.catalogue import metadata_text
from vizinho.engines.packed import PackedEngine
from vizinho.errors import GalleryError, ImageError, KeyNotFound
from vizinho.gallery import exchange, layout
from vizinho.gallery.changes import batches
from vizinho.gallery.exchange import ExportAbout, Part
from vizinho.gallery.lock import NONE, Patience, still
from vizinho.gallery.view import GalleryView
from vizinho.progress import Progress

PART_ROWS = 100_000
_PART = re.compile(r"(?:img_emb|metadata)_(\d+)\.(?:npy|parquet)")


@dataclass
class ExportReport:
    """What an export did: ``written`` and ``kept`` are parts; ``skipped`` are pictures whose bytes
    could not be had, and whose rows are in the export all the same."""

    rows: int
    parts: int
    written: int
    kept: int
    pictures: int
    skipped: list[Skipped]


def export(
    gallery: GalleryView,
    folder: str | Path,
    *,
    pictures: bool = False,
    part_rows: int = PART_ROWS,
    patience: Patience = NONE,
    progress: Progress | None = None,
) -> ExportReport:
    """Write all rows and vectors of ``gallery``, and its model, into ``folder``.

    ``pictures`` writes the pictures' bytes too. ``part_rows`` is how many rows a part has.
    ``progress`` hears (rows done, all). Writers to the gallery wait meanwhile. Raises GalleryBusy
    beside a writer that takes longer than ``patience``, and GalleryError when ``folder`` holds
    something else or the disk refuses.
    """
    if part_rows < 1:
        raise GalleryError(f"A part can't have {part_rows} rows.", "1 or more make sense.")
    folder = Path(folder)
    with _still(gallery, patience):
        try:
            return _Export(gallery, folder, pictures, part_rows, progress).run()
        except OSError as error:
            raise explain_os_error(error, str(error.filename or folder)) from error


@contextmanager
def _still(gallery: GalleryView, patience: Patience) -> Iterator[None]:
    if gallery.about.engine == PackedEngine.name or not layout.is_gallery(gallery.path):
        yield
        return
    with still(gallery.path, patience):
        yield


class _Export:
    def __init__(
        self,
        gallery: GalleryView,
        folder: Path,
        pictures: bool,
        part_rows: int,
        progress: Progress | None,
    ) -> None:
        self._gallery = gallery
        self._folder = folder
        self._progress = progress
        told = gallery.about
        self._about = ExportAbout(
            told.model,
            told.fingerprint,
            told.dimension,
            told.runtime,
            told.precision,
            part_rows,
            pictures,
        )
        self._mirrored = gallery.folder
        self._total = gallery.count
        self._report = ExportReport(0, 0, 0, 0, 0, [])

    def run(self) -> ExportReport:
        about, report = self._about, self._report
        before = self._begin()
        after = ""
        while True:
            number = len(about.parts)
            part, last = (
                self._kept(before[number], after, number)
                if number < len(before)
                else (
                    None,
                    after,
                )
            )
            if part is None:
                part, last = self._write(after, number)
                report.written += part.rows > 0
            else:
                report.kept += 1
            if part.rows == 0:
                break
            after = last
            about.parts.append(part)
            about.write(self._folder / exchange.PARTIAL)
        self._sweep(len(about.parts))
        about.write(self._folder / exchange.ABOUT)
        (self._folder / exchange.PARTIAL).unlink(missing_ok=True)
        report.rows, report.parts = about.rows, len(about.parts)
        return report

    def _begin(self) -> list[Part]:
        """Mark the folder as under way; returns the parts that an earlier export left in it."""
        folder, about = self._folder, self._about
        finished = exchange.read_about(folder / exchange.ABOUT)
        earlier = exchange.read_about(folder / exchange.PARTIAL) or finished
        if earlier is None and folder.exists() and any(folder.iterdir()):
            raise GalleryError(f"{folder} holds something else.", "Export into a new folder.")
        same = earlier is not None and (earlier.part_rows, earlier.pictures) == (
            about.part_rows,
            about.pictures,
        )
        for inner in ("img_emb", "metadata", exchange.MODEL):
            (folder / inner).mkdir(parents=True, exist_ok=True)
        about.write(folder / exchange.PARTIAL)
        (folder / exchange.ABOUT).unlink(missing_ok=True)
        for name in {MODEL_FILE, network_file(about.precision), INFO_FILE}:
            shutil.copyfile(self._gallery.model_folder / name, folder / exchange.MODEL / name)
        if earlier is None or not same or earlier.fingerprint != about.fingerprint:
            return []
        return earlier.parts

    def _pages(self, after: str) -> Iterator[list[Row]]:
        """The rows of one part, a page at a time."""
        left = self._about.part_rows
        while left > 0 and (page := self._gallery.walk(after, min(left, exchange.PAGE))):
            yield page
            after = page[-1].key
            left -= len(page)

    def _kept(self, part: Part, after: str, number: int) -> tuple[Part | None, str]:
        """The part as it is on disk, if that is what it would be written as, and its last key."""
        files = exchange.embeddings_file, exchange.metadata_file
        if not all(file(self._folder, number).is_file() for file in files):
            return None, after
        digest = exchange.Digest()
        rows = 0
        last = after
        for page in self._pages(after):
            digest.add(page, self._gallery.vectors([row.key for row in page]))
            rows += len(page)
            last = page[-1].key
        if (rows, digest.hex()) != (part.rows, part.sha256):
            return None, after
        self._advance(rows)
        return part, last

    def _write(self, after: str, number: int) -> tuple[Part, str]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        vectors_file = exchange.embeddings_file(self._folder, number)
        rows_file = exchange.metadata_file(self._folder, number)
        fresh_vectors = vectors_file.with_name(f".{vectors_file.name}.partial")
        fresh_rows = rows_file.with_name(f".{rows_file.name}.partial")
        schema = pa.schema([(name, pa.string()) for name in exchange.COLUMNS])
        digest = exchange.Digest()
        count, last = 0, after
        try:
            with fresh_vectors.open("wb") as out, pq.ParquetWriter(fresh_rows, schema) as table:
                start = self._header(out, 0)
                for page in self._pages(after):
                    vectors = self._gallery.vectors([row.key for row in page])
                    digest.add(page, vectors)
                    out.write(np.ascontiguousarray(vectors, "<f4").tobytes())
                    table.write_table(pa.Table.from_pylist([*map(self._record, page)], schema))
                    count += len(page)
                    last = page[-1].key
                    self._advance(len(page))
                out.seek(0)
                if self._header(out, count) != start:
                    raise GalleryError(f"{vectors_file} can't be written by this NumPy.")
            if count:
                fresh_vectors.replace(vectors_file)
                fresh_rows.replace(rows_file)
        finally:
            for file in (fresh_vectors, fresh_rows):
                with suppress(OSError):
                    file.unlink(missing_ok=True)
        return Part(count, digest.hex()), last

    def _header(self, out: BinaryIO, rows: int) -> int:
        """Begin the .npy file; NumPy leaves room in it for the number of rows to grow."""
        header = BytesIO()
        shape = (rows, self._about.dimension)
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f4", "fortran_order": False, "shape": shape}
        )
        return out.write(header.getvalue())

    def _record(self, row: Row) -> dict[str, Any]:
        return {
            "image_path": self._picture(row),
            "caption": row.label,
            "key": row.key,
            "label": row.label,
            "hash": row.hash,
            "url": row.url,
            "metadata": metadata_text(row),
        }

    def _picture(self, row: Row) -> str:
        """Where the picture is to be found: in the export, on this machine, or at its address."""
        if self._about.pictures:
            try:
                data, kind = self._gallery.image_bytes(row.key)
            except (KeyNotFound, ImageError) as error:
                self._report.skipped.append(Skipped(row.key, error.message))
            else:
                name = f"{row.hash[:2]}/{row.hash}.{kind.partition('/')[2].replace('jpeg', 'jpg')}"
                images = LocalBlobs(self._folder / exchange.IMAGES)
                if not images.has(name):
                    images.put(name, data)
                self._report.pictures += 1
                return f"{exchange.IMAGES}/{name}"
        if "://" in row.url:
            return row.url
        stored = self._gallery.path.resolve() / layout.IMAGES / layout.blob_key(row.hash)
        if self._mirrored is not None and not stored.is_file():
            return str(self._mirrored / row.key)
        return str(stored)

    def _advance(self, rows: int) -> None:
        self._report.rows += rows
        if self._progress is not None:
            self._progress(self._report.rows, self._total)

    def _sweep(self, parts: int) -> None:
        """Remove parts beyond the last, and pictures that the gallery no longer holds."""
        for inner in ("img_emb", "metadata"):
            for file in (self._folder / inner).iterdir():
                match = _PART.fullmatch(file.name)
                if (match and int(match[1]) >= parts) or file.name.endswith(".partial"):
                    file.unlink()
        images = LocalBlobs(self._folder / exchange.IMAGES)
        if not self._about.pictures:
            shutil.rmtree(images.root, ignore_errors=True)
            return
        for batch in batches(images.keys()):
            used = self._gallery.find([Path(name).stem for name in batch])
            for name in batch:
                if Path(name).stem not in used:
                    images.delete(name)
