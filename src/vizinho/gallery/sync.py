"""Making a gallery the mirror of a folder or a bucket, by doing only what changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from vizinho.blobs import image_url
from vizinho.engines import Engine, Row
from vizinho.errors import GalleryError, ImageError
from vizinho.gallery.files import PAGE, FileRecords, Seen, listing, survey
from vizinho.gallery.intake import Intake, Wanted
from vizinho.gallery.pipeline import Job, Outcome
from vizinho.gallery.records import AddReport
from vizinho.images import content_hash
from vizinho.progress import Progress
from vizinho.sources import FileState, Tree

MakeIntake = Callable[[Callable[[Sequence[Outcome[Wanted]]], None]], Intake]

_UNREAD = "path NOT IN (SELECT path FROM temp.trusted)"
# Of two files with the bytes of a displaced row, one that the row had before wins, then the first.
_FIND_HOME = """UPDATE temp.displaced SET home = coalesce(
    (SELECT path FROM temp.trusted WHERE trusted.hash = displaced.hash AND path = displaced.key),
    (SELECT min(path) FROM temp.trusted WHERE trusted.hash = displaced.hash))"""
_GONE = """SELECT key FROM temp.displaced WHERE home IS NULL AND key > ? AND (
    key NOT IN (SELECT path FROM temp.now) OR key IN (SELECT path FROM temp.trusted)
) ORDER BY key LIMIT ?"""


class TreeSync:
    """One run over a folder or bucket.

    Its rows are those whose key is the path of a recorded file, whatever the recorded hash: a run
    killed between recording a file and committing its row leaves the two apart. Other rows of the
    gallery are left alone.
    """

    def __init__(
        self,
        tree: Tree,
        engine: Engine,
        records: FileRecords,
        report: AddReport,
        *,
        labels: bool = False,
    ) -> None:
        self._tree = tree
        self._engine = engine
        self._records = records
        self._report = report
        self._labels = labels

    def run(self, intake: MakeIntake, progress: Progress | None) -> None:
        """List, move, remove, relabel, then embed what is new.

        Raises GalleryError where there is no picture, SourceError where nothing can be listed.
        """
        report = self._report
        held = listing(self._tree, self._records, report.skipped)
        files = survey(self._records, held, self._engine, progress)
        if not files:
            skipped = report.skipped
            reason = f" {skipped[0].name}: {skipped[0].reason}" if skipped else ""
            raise GalleryError(
                f"There is no picture in {self._tree.root}.{reason}",
                "Looked for .jpg, .png, .webp, .gif, .avif and .bmp files in it and below.",
            )
        self._displaced()
        trusted = self._one("SELECT count(*) FROM temp.trusted")
        at_home = self._one(
            "SELECT count(*) FROM temp.trusted JOIN temp.owner USING (hash) WHERE path = key"
        )
        report.unchanged += at_home
        report.duplicates += trusted - at_home
        self._relabel()
        jobs = (
            self._job(path) for path in self._pages(f"SELECT path FROM temp.now WHERE {_UNREAD}")
        )
        intake(self._record).run(jobs, files - trusted, progress)

    def _displaced(self) -> None:
        """Rows whose file is gone or has changed: moved to a file of the same bytes, or removed."""
        self._records.change(
            """INSERT OR REPLACE INTO temp.displaced
               SELECT owner.hash, key, size, NULL FROM temp.owner
               JOIN files ON files.path = key LEFT JOIN temp.trusted ON trusted.path = key
               WHERE trusted.hash IS NOT owner.hash"""
        )
        self._read_again()
        self._records.change(_FIND_HOME)
        self._move()
        after = ""
        while gone := [key for (key,) in self._records.query(_GONE, after, PAGE)]:
            # A row that has just moved to such a key is no displaced one any more.
            self._report.removed += self._engine.remove(gone)
            self._disown(gone)
            after = gone[-1]
        self._records.change("DELETE FROM files WHERE path NOT IN (SELECT path FROM temp.now)")

    def _read_again(self) -> None:
        """Look into unread files of the size of a displaced row: one may have its bytes."""
        sizes = "SELECT size FROM temp.displaced"
        if not self._one("SELECT count(*) FROM temp.displaced"):
            return
        candidates = f"SELECT path FROM temp.now WHERE size IN ({sizes}) AND {_UNREAD}"
        for page in _batches(self._pages(candidates)):
            found = {}
            for path, state in self._states(page).items():
                # A file that can't be read is met again, and reported, where it is embedded.
                with suppress(ImageError, OSError):
                    found[path] = Seen(state, content_hash(self._tree.read(path)))
            wanted = self._among("SELECT hash FROM temp.displaced WHERE hash IN", found.values())
            home = {path: seen for path, seen in found.items() if seen.hash in wanted}
            self._records.write(home)
            values = [(path, seen.hash) for path, seen in home.items()]
            self._records.change("INSERT INTO temp.trusted VALUES (?, ?)", many=values)

    def _move(self) -> None:
        """Give displaced rows the key of the file that has their bytes, their vector with them."""
        while moves := self._next_moves():
            rows = {row.key: row for row in self._engine.get(list(moves))}
            vectors = self._engine.vectors(list(rows))
            moved = [self._moved(row, moves[row.key]) for row in rows.values()]
            taken = {row.key for row in moved}
            leave = [key for key in moves if key not in taken]
            self._engine.add(moved, vectors, remove=leave)
            self._report.renamed += len(moved)
            # A chain of moves may be longer than the values that one statement takes.
            for part in _batches(iter(taken)):
                pushed_out = f"home IS NULL AND key IN ({_marks(part)})"
                self._report.removed += self._one(
                    f"SELECT count(*) FROM temp.displaced WHERE {pushed_out}", *part
                )
            self._disown([*leave, *taken])
            values = [(row.key, row.hash) for row in moved]
            self._records.change("INSERT INTO temp.owner VALUES (?, ?)", many=values)

    def _next_moves(self) -> dict[str, str]:
        """Some displaced rows' keys and homes: never one without those that it would push away."""
        found = self._records.query(
            "SELECT key, home FROM temp.displaced WHERE home != key LIMIT ?", PAGE
        )
        moves = dict(found)
        while found:
            pushed = self._records.query(
                f"""SELECT key, home FROM temp.displaced WHERE home != key
                    AND key IN ({_marks(found)})""",
                *(home for _, home in found),
            )
            found = [(key, home) for key, home in pushed if key not in moves]
            moves.update(found)
        return moves

    def _disown(self, keys: Sequence[str]) -> None:
        each = [(key,) for key in keys]
        self._records.change("DELETE FROM temp.owner WHERE key = ?", many=each)
        self._records.change("DELETE FROM temp.displaced WHERE key = ?", many=each)

    def _moved(self, row: Row, path: str) -> Row:
        return replace(row, key=path, url=self._url(path), label=self._label(path, row.label))

    def _relabel(self) -> None:
        """Give rows of unread files the label of their folder, if it isn't theirs already."""
        if not self._labels:
            return
        unread = "SELECT path FROM temp.trusted JOIN temp.owner ON key = path WHERE 1"
        for page in _batches(self._pages(unread)):
            rows = [
                replace(row, label=label)
                for row in self._engine.get(page)
                if (label := self._label(row.key, row.label)) != row.label
            ]
            if rows:
                self._engine.update(rows)
            # Counted as unchanged by their files; what changed is the rows.
            self._report.changed += len(rows)
            self._report.unchanged -= len(rows)

    def _label(self, path: str, otherwise: str | None) -> str | None:
        if not self._labels:
            return otherwise
        return PurePosixPath(path).parent.name or None

    def _url(self, path: str) -> str:
        return self._tree.url(path) or image_url(path)

    def _job(self, path: str) -> Job[Wanted]:
        item = Wanted(path, label=self._label(path, None), url=self._url(path), mirror=True)
        return Job(item, path, lambda: self._tree.read(path))

    def _record(self, outcomes: Sequence[Outcome[Wanted]]) -> None:
        states = self._states([str(outcome.job.item.key) for outcome in outcomes])
        seen = {}
        forget = []
        for outcome in outcomes:
            path = str(outcome.job.item.key)
            if outcome.reason:
                forget.append(path)
            else:
                seen[path] = Seen(states[path], outcome.hash)
        self._records.write(seen, forget)

    def _states(self, paths: Sequence[str]) -> dict[str, FileState]:
        found = self._records.query(
            f"SELECT path, size, mtime_ns FROM temp.now WHERE path IN ({_marks(paths)})", *paths
        )
        return {path: FileState(size, mtime) for path, size, mtime in found}

    def _among(self, query: str, seen: Any) -> set[str]:
        hashes = [each.hash for each in seen]
        return {found for (found,) in self._records.query(f"{query} ({_marks(hashes)})", *hashes)}

    def _pages(self, query: str) -> Iterator[str]:
        """The paths that a query of ``path`` gives, in their order, a page at a time."""
        after = ""
        statement = f"{query} AND path > ? ORDER BY path LIMIT ?"
        while page := [path for (path,) in self._records.query(statement, after, PAGE)]:
            yield from page
            after = page[-1]

    def _one(self, query: str, *values: str) -> int:
        ((count,),) = self._records.query(query, *values)
        return int(count)


def _marks(values: Sequence[Any]) -> str:
    return ",".join("?" * len(values))


def _batches(paths: Iterator[str]) -> Iterator[list[str]]:
    while page := list(islice(paths, PAGE)):
        yield page


def remember_mirror(gallery: Path, mirrored: str | None, tree: Tree, records: FileRecords) -> None:
    """Keep what ``gallery`` mirrors from now on; ``mirrored`` is what it did before.

    Raises GalleryError when that was something else which is still there.
    """
    still_there = mirrored is not None and (is_url(mirrored) or Path(mirrored).is_dir())
    if still_there and mirrored != tree.root:
        raise GalleryError(
            f"{gallery} mirrors {mirrored}, not {tree.root}.",
            "Index the other one into a gallery of its own.",
        )
    beside = ""
    if not is_url(tree.root):
        beside = Path(os.path.relpath(tree.root, gallery.resolve())).as_posix()
    records.remember(folder=tree.root, beside=beside)


def is_url(root: str) -> bool:
    """Whether a mirrored root is a bucket's, not a folder's."""
    return "://" in root
