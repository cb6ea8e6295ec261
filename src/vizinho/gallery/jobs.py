"""What is to be added, as jobs for the pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vizinho.datasets import LabelledImages
from vizinho.gallery.intake import Wanted, check_key
from vizinho.gallery.pipeline import Job
from vizinho.gallery.records import NewImage
from vizinho.images import read_bytes


def image_job(number: int, item: NewImage) -> Job[Wanted]:
    """One picture, the ``number``-th that was given. Raises GalleryError for an impossible key."""
    source = item.source
    file_name = Path(source).name if isinstance(source, str | Path) else ""
    wanted = Wanted(
        None if item.key is None else check_key(item.key),
        stem=check_key(file_name) if file_name else "",
        label=item.label,
        metadata=dict(item.metadata),
        url=item.url,
        store=item.store,
    )
    name = item.key or (str(source) if file_name else f"picture {number}")
    return Job(wanted, name, lambda: read_bytes(source))


def dataset_jobs(dataset: LabelledImages) -> Iterator[Job[Wanted]]:
    """Every picture of a data set under its name, with its class as the label."""
    for i, name in enumerate(dataset.names):
        label = dataset.classes[int(dataset.labels[i])]
        yield Job(
            Wanted(check_key(name), label=label, store=True),
            name,
            lambda i=i: dataset.read(i),  # type: ignore[misc]
        )
