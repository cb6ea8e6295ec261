"""Changes to pictures that are there: removed, or labelled. The cost is of what changes.

Whoever calls these holds the gallery for writing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import TypeVar

from vizinho.blobs import Blobs
from vizinho.engines import Engine
from vizinho.gallery.intake import drop_blobs
from vizinho.gallery.records import LabelReport
from vizinho.progress import Progress

BATCH = 1000

T = TypeVar("T")


def remove(engine: Engine, blobs: Blobs, keys: Iterable[str], progress: Progress | None) -> int:
    """Remove rows and their stored bytes; see `Gallery.remove`."""
    removed = done = 0
    for batch in batches(keys):
        hashes = [row.hash for row in engine.get(batch)]
        removed += engine.remove(batch)
        drop_blobs(engine, blobs, hashes)
        done += len(batch)
        if progress is not None:
            progress(done, None)
    return removed


def set_labels(
    engine: Engine, labels: Iterable[tuple[str, str | None]], progress: Progress | None
) -> LabelReport:
    """Relabel rows; of a key that comes twice the last counts. See `Gallery.set_labels`."""
    report = LabelReport()
    done = 0
    for batch in batches(labels):
        wanted = dict(batch)
        rows = engine.get(list(wanted))
        changed = [
            replace(row, label=wanted[row.key]) for row in rows if row.label != wanted[row.key]
        ]
        if changed:
            engine.update(changed)
        report.changed += len(changed)
        report.unchanged += len(rows) - len(changed)
        known = {row.key for row in rows}
        report.unknown += [key for key in wanted if key not in known]
        done += len(batch)
        if progress is not None:
            progress(done, None)
    return report


def batches(things: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """``things`` in lists of ``size``, the last one shorter."""
    stream = iter(things)
    while batch := list(islice(stream, size)):
        yield batch
