"""Feedback written out for training: pairs, and the labels that follow from right marks.

::

    FOLDER/
    ├── pairs.csv       query,result,verdict,distance,model,time,query_key,result_key
    ├── labels.csv      path,label: a data set for `vizinho train` and `vizinho index`
    ├── gallery.csv     key,label: for `vizinho label --from`, pictures that have no label yet
    ├── conflicts.csv   group,path,label,why: where marks and labels contradict each other
    └── pictures/       by content hash

Pictures that right marks join are of one kind. If exactly one label is among them, all have it.
Where there are several, or a wrong mark stands between two pictures of one label, nothing follows:
the pictures are listed as a conflict and left out.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from vizinho.blobs import LocalBlobs, explain_os_error
from vizinho.datasets import Skipped
from vizinho.errors import DiskFull, GalleryError, VizinhoError
from vizinho.gallery.changes import batches
from vizinho.gallery.feedback import Feedback, Mark, text_crop
from vizinho.gallery.view import GalleryView
from vizinho.images import crop_image, load_image, media_type
from vizinho.progress import Progress

PAIRS, LABELS, KEYS, CONFLICTS = "pairs.csv", "labels.csv", "gallery.csv", "conflicts.csv"
PICTURES = "pictures"

Node = tuple[str, str]
"""A picture in the marks: content hash and crop."""


@dataclass(frozen=True)
class Conflict:
    """Pictures (paths in the export) with the labels they have (None for none), and ``why`` nothing
    follows for them."""

    pictures: tuple[tuple[str, str | None], ...]
    why: str


@dataclass
class FeedbackExport:
    """What `export_feedback` wrote: ``pairs`` and ``pictures`` there, ``labelled`` pictures in
    ``labels.csv``; ``unlabelled`` groups have no label to follow; ``skipped`` could not be read."""

    pairs: int = 0
    pictures: int = 0
    labelled: int = 0
    unlabelled: int = 0
    conflicts: list[Conflict] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def export_feedback(
    gallery: GalleryView,
    feedback: Feedback,
    folder: str | Path,
    *,
    progress: Progress | None = None,
) -> FeedbackExport:
    """Write all marks and their pictures into ``folder``, which is new, empty, or an export.

    An export that is there is brought up to date. ``progress`` counts marks. Raises GalleryError.
    """
    folder = Path(folder)
    try:
        if folder.exists() and any(folder.iterdir()) and not (folder / PAIRS).is_file():
            raise GalleryError(f"{folder} holds something else.", "Choose a new or empty folder.")
        return _Writer(gallery, feedback, folder).run(progress)
    except OSError as error:
        raise explain_os_error(error, str(error.filename or folder)) from error


class _Writer:
    def __init__(self, gallery: GalleryView, feedback: Feedback, folder: Path) -> None:
        self._gallery = gallery
        self._feedback = feedback
        self._folder = folder
        self._blobs = LocalBlobs(folder / PICTURES)
        self._paths: dict[Node, str | None] = {}
        self._right: list[tuple[Node, Node]] = []
        self._wrong: list[tuple[Node, Node]] = []
        self._report = FeedbackExport()

    def run(self, progress: Progress | None) -> FeedbackExport:
        report = self._report
        self._table(PAIRS, self._pairs(progress))
        labels = self._labels()
        groups = _joined(self._right)
        contradicted = _contradicted(groups, labels, self._wrong)
        rows: list[tuple[str, str]] = []
        unnamed: list[str] = []
        follows: dict[str, str] = {}
        for root, nodes in groups.items():
            given = sorted({label for node in nodes if (label := labels.get(node)) is not None})
            if len(given) == 1 and root not in contradicted:
                rows += [(self._paths[node] or "", given[0]) for node in nodes]
                unnamed += [node[0] for node in nodes if not node[1] and node not in labels]
                follows.update((node[0], given[0]) for node in nodes if not node[1])
            elif given or root in contradicted:
                why = contradicted.get(root) or f"right marks join {' and '.join(given)}"
                told = tuple((self._paths[node] or "", labels.get(node)) for node in nodes)
                report.conflicts.append(Conflict(told, why))
            else:
                report.unlabelled += 1
        report.labelled = len(rows)
        self._table(LABELS, [("path", "label"), *rows])
        found = self._gallery.find(unnamed)
        self._table(KEYS, [("key", "label"), *((found[h], follows[h]) for h in found)])
        self._table(
            CONFLICTS,
            [
                ("group", "path", "label", "why"),
                *(
                    (str(number), path, label or "", each.why)
                    for number, each in enumerate(report.conflicts, 1)
                    for path, label in each.pictures
                ),
            ],
        )
        wanted = {path for path in self._paths.values() if path}
        report.pictures = len(wanted)
        for name in list(self._blobs.keys()):
            if f"{PICTURES}/{name}" not in wanted:
                self._blobs.delete(name)
        return report

    def _pairs(self, progress: Progress | None) -> Iterator[Sequence[str]]:
        yield "query", "result", "verdict", "distance", "model", "time", "query_key", "result_key"
        total = sum(self._feedback.counts().values())
        for number, mark in enumerate(self._feedback.walk(), 1):
            query, result = (mark.query_hash, mark.crop), (mark.hash, "")
            one, other = self._path(query, mark.query_key), self._path(result, mark.key)
            if one is not None and other is not None:
                self._report.pairs += 1
                (self._right if mark.verdict == "right" else self._wrong).append((query, result))
                yield self._pair(mark, one, other)
            if progress is not None:
                progress(number, max(total, number))

    def _pair(self, mark: Mark, query: str, result: str) -> tuple[str, ...]:
        time = str(mark.to_dict()["time"])
        told = (mark.verdict, f"{mark.distance:.6g}", mark.model, time)
        return (query, result, *told, mark.query_key or "", mark.key)

    def _path(self, node: Node, key: str | None) -> str | None:
        """Where a picture is in the export, written if it is not there; None if it can't be had."""
        if node not in self._paths:
            content, crop = node
            try:
                data = self._feedback.picture(content)
                if (box := text_crop(crop)) is not None:
                    name = f"{content[:32]}-{hashlib.sha256(crop.encode()).hexdigest()[:8]}.png"
                    buffer = BytesIO()
                    crop_image(load_image(data), box).save(buffer, "PNG")
                    data = buffer.getvalue()
                else:
                    name = f"{content[:32]}.{media_type(data).removeprefix('image/')}"
                if not self._blobs.has(name):
                    self._blobs.put(name, data)
                self._paths[node] = f"{PICTURES}/{name}"
            except DiskFull:
                raise
            except VizinhoError as error:
                self._report.skipped.append(Skipped(key or content[:16], error.message))
                self._paths[node] = None
        return self._paths[node]

    def _labels(self) -> dict[Node, str]:
        """The labels that pictures have in the gallery now; a part may show something else."""
        found: dict[Node, str] = {}
        for hashes in batches(content for content, crop in self._paths if not crop):
            keys = self._gallery.find(hashes)
            for row in self._gallery.get_many(list(keys.values())):
                if row.label:
                    found[row.hash, ""] = row.label
        return found

    def _table(self, name: str, rows: Iterable[Sequence[str]]) -> None:
        """Write a CSV wholly or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if name == PAIRS:
            # From here on the folder is known as an export, should this be killed.
            (self._folder / name).touch()
        partial = self._folder / f".{name}.new"
        with partial.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
        partial.replace(self._folder / name)


def _joined(pairs: Iterable[tuple[Node, Node]]) -> dict[Node, list[Node]]:
    """The pictures that right marks join, by one of each group, in the order of the marks."""
    parents: dict[Node, Node] = {}

    def root(node: Node) -> Node:
        parents.setdefault(node, node)
        while parents[node] != node:
            parents[node] = parents[parents[node]]
            node = parents[node]
        return node

    for one, other in pairs:
        parents[root(other)] = root(one)
    groups: dict[Node, list[Node]] = {}
    for node in list(parents):
        groups.setdefault(root(node), []).append(node)
    return groups


def _contradicted(
    groups: dict[Node, list[Node]], labels: dict[Node, str], wrong: Iterable[tuple[Node, Node]]
) -> dict[Node, str]:
    """Groups that a wrong mark contradicts: within one, or between two pictures of one label."""
    member = {node: root for root, nodes in groups.items() for node in nodes}

    def label_of(node: Node) -> str | None:
        given = {
            labels[each] for each in groups.get(member.get(node, node), [node]) if each in labels
        }
        return given.pop() if len(given) == 1 else None

    found: dict[Node, str] = {}
    for one, other in wrong:
        roots = {member[node] for node in (one, other) if node in member}
        if member.get(one, one) == member.get(other, other):
            why = "a wrong mark stands between pictures that right marks join"
        elif (label := label_of(one)) is not None and label == label_of(other):
            why = f"a wrong mark stands between two pictures of {label}"
        else:
            continue
        found.update(dict.fromkeys(roots, why))
    return found
