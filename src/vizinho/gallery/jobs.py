"""What is to be added, as jobs for the pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vizinho.datasets import LabelledImages, Skipped
from vizinho.errors import GalleryError, SourceError
from vizinho.gallery.intake import Wanted, check_key
from vizinho.gallery.pipeline import Job
from vizinho.gallery.records import NewImage
from vizinho.images import read_bytes
from vizinho.sources import SourceItem


def image_job(number: int, item: NewImage) -> Job[Wanted]:
    """One picture, the ``number``-th that was given. Raises GalleryError for an impossible key."""
    source = item.source
    file_name = Path(source).name if isinstance(source, str | Path) else ""
    stem = item.stem or file_name
    wanted = Wanted(
        None if item.key is None else check_key(item.key),
        stem=check_key(stem) if stem else "",
        label=item.label,
        metadata=dict(item.metadata),
        url=item.url,
        store=item.store,
    )
    name = item.key or (str(source) if file_name else stem or f"picture {number}")
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


def source_jobs(
    items: Iterable[SourceItem],
    skipped: list[Skipped],
    *,
    key: str | None,
    label: str | None,
    metadata: Mapping[str, Any],
    copy: bool,
) -> Iterator[Job[Wanted]]:
    """Every picture of a source; where a part of the source can't be had, the rest follows.

    A picture that stays where it is to be seen is copied only if ``copy``. Raises GalleryError for
    an impossible key, and for a ``key`` when there is a second picture.
    """
    stream = iter(items)
    if key is not None:
        check_key(key)
    number = 0
    while True:
        try:
            item = next(stream)
        except StopIteration:
            return
        except SourceError as error:
            # The stream of this one source has ended; those after it have not.
            skipped.append(Skipped("", str(error)))
            continue
        number += 1
        if key is not None and number > 1:
            raise GalleryError("One key can't name several pictures.", "Leave the key out.")
        wanted = Wanted(
            key,
            # As a stem: another picture that is called so stays as it is.
            stem=check_key(item.key),
            label=item.label if label is None else label,
            metadata={**item.metadata, **metadata},
            url=item.url,
            store=copy or item.url is None,
        )
        yield Job(wanted, item.name, item.read)
