"""Making a gallery the mirror of a folder, by doing only what changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

from vizinho.blobs import image_url
from vizinho.engines import Engine, Row
from vizinho.errors import GalleryError, ImageError
from vizinho.gallery.files import FileRecords, Seen, walk
from vizinho.gallery.intake import Intake, Wanted
from vizinho.gallery.pipeline import Job, Outcome
from vizinho.gallery.records import AddReport
from vizinho.images import content_hash, read_bytes
from vizinho.progress import Progress

_PAGE = 10_000
_BATCH = 1000

MakeIntake = Callable[[Callable[[Sequence[Outcome[Wanted]]], None]], Intake]


class FolderSync:
    """One run over a folder.

    Its rows are those whose key is the path of a recorded file, whatever the recorded hash: a run
    killed between recording a file and committing its row leaves the two apart. Other rows of the
    gallery are left alone.
    """

    def __init__(
        self,
        folder: Path,
        engine: Engine,
        records: FileRecords,
        report: AddReport,
        *,
        labels: bool = False,
    ) -> None:
        self._folder = folder.resolve()
        self._engine = engine
        self._records = records
        self._report = report
        self._labels = labels
        self._files, skipped = walk(self._folder)
        report.skipped += skipped
        if not self._files:
            reason = f" {skipped[0].name}: {skipped[0].reason}" if skipped else ""
            raise GalleryError(
                f"There is no picture in {folder}.{reason}",
                "Looked for .jpg, .png, .webp, .gif, .avif and .bmp files in it and below.",
            )
        self._seen = records.load()
        self._rows = {row.key: row for row in _all_rows(engine)}
        self._owners = {row.hash: row.key for row in self._rows.values()}
        # Unread: the same size and time as when the bytes had a hash that is in the catalogue.
        self._trusted = {
            path: seen.hash
            for path, seen in self._seen.items()
            if self._files.get(path) == seen.state and seen.hash in self._owners
        }

    def run(self, intake: MakeIntake, progress: Progress | None) -> None:
        """Move, remove, relabel, then embed what is new."""
        self._displaced()
        self._relabel()
        for path, known in self._trusted.items():
            if self._owners.get(known) == path:
                self._report.unchanged += 1
            else:
                self._report.duplicates += 1
        fresh = sorted(path for path in self._files if path not in self._trusted)
        jobs = (self._job(path) for path in fresh)
        intake(self._record).run(jobs, len(fresh), progress)

    def _displaced(self) -> None:
        """Rows whose file is gone or has changed: moved to a file of the same bytes, or removed."""
        displaced = {
            row.hash: row
            for row in self._rows.values()
            if row.key in self._seen and self._trusted.get(row.key) != row.hash
        }
        homes = self._homes(displaced)
        moved = {
            row.key: replace(row, key=path, url=image_url(path), label=self._label(path, row.label))
            for row in displaced.values()
            if (path := homes.get(row.hash, row.key)) != row.key
        }
        taken = {row.key for row in moved.values()}
        gone = [
            row.key
            for row in displaced.values()
            if row.hash not in homes
            and (row.key not in self._files or row.key in self._trusted or row.key in taken)
        ]
        remove = [key for key in (*gone, *moved) if key not in taken]
        if moved:
            vectors = self._engine.vectors(list(moved))
            self._engine.add(list(moved.values()), vectors, remove=remove)
        elif remove:
            self._engine.remove(remove)
        self._report.renamed += len(moved)
        self._report.removed += len(gone)
        self._records.write({}, forget=[path for path in self._seen if path not in self._files])
        for key in (*remove, *taken):
            old = self._rows.pop(key, None)
            if old is not None and self._owners.get(old.hash) == key:
                del self._owners[old.hash]
        for row in moved.values():
            self._rows[row.key], self._owners[row.hash] = row, row.key

    def _homes(self, displaced: dict[str, Row]) -> dict[str, str]:
        """For hashes that lost their file, another file with those bytes: the same path if it was
        only touched, else the first. Files of another size are not read for it."""
        sizes = {self._seen[row.key].state.size for row in displaced.values()}
        # Backwards, so that of several files of the same bytes the first one stays.
        trusted = sorted(self._trusted.items(), reverse=True)
        homes = {known: path for path, known in trusted if known in displaced}
        found: dict[str, Seen] = {}
        for path in sorted(set(self._files) - set(self._trusted), reverse=True):
            state = self._files[path]
            if state.size in sizes:
                # A file that can't be read is met again, and reported, where it would be embedded.
                with suppress(ImageError, OSError):
                    known = content_hash(read_bytes(self._folder / path))
                    if known in displaced:
                        found[path] = Seen(state, known)
                        if homes.get(known) != displaced[known].key:
                            homes[known] = path
        self._records.write(found)
        self._trusted.update({path: seen.hash for path, seen in found.items()})
        return homes

    def _relabel(self) -> None:
        """Give rows of unread files the label of their folder, if it isn't theirs already."""
        if not self._labels:
            return
        rows = [
            replace(row, label=label)
            for path in self._trusted
            if (row := self._rows.get(path)) is not None
            and (label := self._label(path, row.label)) != row.label
        ]
        for start in range(0, len(rows), _BATCH):
            part = rows[start : start + _BATCH]
            self._engine.add(part, self._engine.vectors([row.key for row in part]))
        # Counted as unchanged by their files; what changed is the rows.
        self._report.changed += len(rows)
        self._report.unchanged -= len(rows)

    def _label(self, path: str, otherwise: str | None) -> str | None:
        if not self._labels:
            return otherwise
        return PurePosixPath(path).parent.name or None

    def _job(self, path: str) -> Job[Wanted]:
        item = Wanted(path, label=self._label(path, None), url=image_url(path), mirror=True)
        return Job(item, path, lambda: read_bytes(self._folder / path))

    def _record(self, outcomes: Sequence[Outcome[Wanted]]) -> None:
        seen = {}
        forget = []
        for outcome in outcomes:
            path = str(outcome.job.item.key)
            if outcome.reason:
                forget.append(path)
            else:
                seen[path] = Seen(self._files[path], outcome.hash)
        self._records.write(seen, forget)


def _all_rows(engine: Engine) -> list[Row]:
    rows: list[Row] = []
    while page := engine.scan(len(rows), _PAGE):
        rows += page
    return rows
