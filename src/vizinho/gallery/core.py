"""The gallery itself: what `GalleryView` reads, and all that changes it: create, add, remove."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vizinho.engines import Row
from vizinho.errors import GalleryError
from vizinho.gallery.opening import create
from vizinho.gallery.records import KEEP, AddReport, Keep, LabelReport, NewImage
from vizinho.gallery.writer import GalleryWriter
from vizinho.place import is_address
from vizinho.progress import Progress

# What only writing needs is imported where it writes: a search should start in no time.
if TYPE_CHECKING:
    from vizinho.datasets import LabelledImages
    from vizinho.gallery.intake import Embedding
    from vizinho.sources import SourceItem, Tree


class Gallery(GalleryWriter):
    """Pictures with their embeddings, in one folder; open it with `open` or make it with `create`.

    One process writes at a time, any number read beside it and see what it commits. Another writer
    waits as long as ``patience`` says and then gets GalleryBusy. All methods may be called from
    several threads. A packed gallery is opened like any other; what would write to it raises
    GalleryError.
    """

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        model: str | Path | None = None,
        overwrite: bool = False,
        precision: str = "fp32",
    ) -> Gallery:
        """Make an empty gallery in the folder ``path``, or at an address such as
        ``milvus://host:19530/cars``, for a model, which is copied into it.

        ``model`` is a bundle's folder, the name of a shipped model, or None for the default;
        pictures and queries go through its network of ``precision``: "fp32", or "int8" if it has
        one.
        Raises GalleryExists, BundleError, GalleryError.
        """
        if is_address(path):
            from vizinho.gallery.remote import Remote

            Remote(path).create(model, overwrite=overwrite, precision=precision)
        else:
            create(Path(path), model, overwrite=overwrite, precision=precision)
        return cls.open(path)

    def add(
        self,
        items: Iterable[NewImage],
        *,
        at_once: bool = False,
        progress: Progress | None = None,
    ) -> AddReport:
        """Add pictures; one that is here already stays one, a broken one is skipped and listed.

        Batches are committed as they come; with ``at_once`` all is one batch, which takes memory
        for each vector. Raises GalleryBusy, and GalleryError for a key that can't be one or a disk
        that refuses.
        """
        from vizinho.gallery.jobs import image_job

        total = len(items) if isinstance(items, Sequence) else None
        jobs = (image_job(number, item) for number, item in enumerate(items, 1))
        with self._reporting() as report:
            self._intake(report, at_once=at_once).run(jobs, total, progress)
        return report

    def add_sources(
        self,
        items: Iterable[SourceItem],
        *,
        key: str | None = None,
        label: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        copy: bool = False,
        progress: Progress | None = None,
    ) -> AddReport:
        """`add` what `vizinho.sources.open_sources` finds: files, folders, buckets, parquet.

        ``key`` names a single picture. ``label`` is for them all, in place of what the source says;
        ``metadata`` is added to each picture's own. Files are copied into the gallery; pictures of
        a bucket stay there unless ``copy``. A source that fails on the way is listed among what was
        skipped, without a name; the others follow. Raises GalleryBusy, GalleryError, SourceError.
        """
        from vizinho.gallery.jobs import source_jobs

        with self._reporting() as report:
            jobs = source_jobs(
                items,
                report.skipped,
                key=key,
                label=label,
                metadata=metadata or {},
                copy=copy,
            )
            self._intake(report).run(jobs, None, progress)
            report.skipped += getattr(items, "skipped", [])
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

        require_folder(Path(folder).resolve())
        return self.sync(folder, labels=labels, progress=progress)

    def sync(
        self,
        source: str | Path | Tree,
        *,
        labels: bool = False,
        progress: Progress | None = None,
        through: Embedding | None = None,
    ) -> AddReport:
        """`sync_folder` for a folder or a bucket's prefix (``s3://bucket/holidays``), or a tree.

        Pictures of a bucket stay there: their URLs say where, and `image_bytes` fetches them.
        ``through`` embeds elsewhere than in this process's threads; every row is written here.

        Raises GalleryBusy, GalleryError as `sync_folder`, SourceError where nothing can be listed.
        """
        from vizinho.gallery.sync import TreeSync, remember_mirror
        from vizinho.sources import BucketTree, FolderTree

        tree = source
        if isinstance(tree, str | Path):
            tree = BucketTree(str(tree)) if str(tree).startswith("s3://") else FolderTree(tree)
        with self._reporting() as report:
            records = self._file_records()
            remember_mirror(self.path, self.mirrored, tree, records)
            sync = TreeSync(tree, self._engine, records, report, labels=labels)
            sync.run(lambda before: self._intake(report, before, through=through), progress)
        return report

    def remove(self, keys: Iterable[str], *, progress: Progress | None = None) -> int:
        """Remove pictures; unknown keys are passed over. Returns how many there were.

        Keys may be a stream; each thousand is a batch that is removed wholly or not at all. A
        picture whose file is still in the mirrored folder comes back with the next `sync_folder`.
        Raises GalleryBusy.
        """
        from vizinho.gallery.changes import remove

        with self._writing():
            return remove(self._engine, self._blobs, keys, progress)

    def set_labels(
        self, labels: Iterable[tuple[str, str | None]], *, progress: Progress | None = None
    ) -> LabelReport:
        """Give pictures, by key, a label, or none with None; the vectors are not touched.

        The pairs may be a stream; each thousand is a batch that is written wholly or not at all.
        Raises GalleryBusy.
        """
        from vizinho.gallery.changes import set_labels

        with self._writing():
            return set_labels(self._engine, labels, progress)

    def edit(
        self,
        key: str,
        *,
        label: str | Keep | None = KEEP,
        metadata: Mapping[str, Any] | Keep = KEEP,
    ) -> Row:
        """Change what is said of a picture, and return its row as it is then.

        What is left out stays; ``metadata`` replaces all of it. Raises KeyNotFound, GalleryBusy,
        and GalleryError for metadata that can't be kept.
        """
        with self._writing():
            row = self.get(key)
            if not isinstance(label, Keep):
                row = replace(row, label=label)
            if not isinstance(metadata, Keep):
                row = replace(row, metadata=dict(metadata))
            self._engine.update([row])
        return row

    def import_folder(
        self,
        folder: str | Path,
        *,
        unknown_model: bool = False,
        pictures: bool = False,
        prefix: str = "",
        progress: Progress | None = None,
    ) -> AddReport:
        """Take in embeddings that `vizinho.gallery.export` or clip-retrieval wrote into ``folder``.

        Rows of a key that is here are replaced where they differ, so an import that was cut short
        is run again; ``prefix`` goes before all keys. Pictures in the folder are copied, with
        ``pictures`` also those elsewhere on this machine. Raises FingerprintMismatch when another
        model made them; GalleryError when they don't say which model it was, unless
        ``unknown_model``, or when they are damaged or don't fit; GalleryBusy.
        """
        from vizinho.gallery.import_ import Importer

        with self._reporting() as report:
            importer = Importer(
                Path(folder),
                self._about,
                self._engine,
                self._blobs,
                report,
                normalised=self.model_info.normalised,
                unknown_model=unknown_model,
                pictures=pictures,
                prefix=prefix,
            )
            importer.run(progress)
        return report

    def discard_if_empty(self) -> None:
        """Close the gallery and delete its folder, unless it holds a picture or another process is
        writing to it."""
        # Whoever gives up on a gallery has an error of its own to tell, so trouble here is passed
        # over: what can't be counted or locked is not deleted.
        with suppress(GalleryError), self._writing():
            if self.count == 0:
                if self._remote is not None:
                    self._remote.drop()
                self.close()
                shutil.rmtree(self.path, ignore_errors=True)
        self.close()
