"""Which pictures of a gallery are copies of each other: hashes propose, pixels decide."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vizinho.blobs import explain_os_error
from vizinho.datasets import Skipped
from vizinho.engines import Row, pages
from vizinho.errors import DiskFull, ImageError, VizinhoError
from vizinho.gallery.looks import Looks, each_batch
from vizinho.gallery.reading import Reader
from vizinho.gallery.view import GalleryView
from vizinho.images import load_image
from vizinho.perceptual import (
    AGREE,
    Groups,
    agreement,
    candidates,
    forms,
    frequencies,
    likeness,
    turned,
)
from vizinho.progress import Progress

BITS_APART = 20
"""Hashes of 63 bits that differ in more are not compared."""

_PAGE = 1000
_TARGET = 64
_SHOWN = 128
_KEPT_IMAGES = 1000
_KEPT_REFUSALS = 100_000
_PAIRS = 20_000


def look_at_new(
    gallery: GalleryView, looks: Looks, skipped: list[Skipped], progress: Progress | None
) -> int:
    """Bring ``looks`` up to date with the gallery; returns how many pictures it has."""
    done, total = 0, gallery.count
    reader = Reader(lambda key: gallery.image_bytes(key)[0])
    with ThreadPoolExecutor(2, thread_name_prefix="look") as pool:
        for rows in pages(gallery, size=_PAGE):
            missing = set(looks.missing([row.hash for row in rows]))
            fresh = {row.hash: row for row in rows if row.hash in missing}
            found = []
            for row, seen in zip(
                fresh.values(),
                pool.map(lambda row: _look(reader, row), fresh.values()),
                strict=True,
            ):
                if isinstance(seen, Skipped):
                    skipped.append(seen)
                else:
                    found.append((row.hash, seen))
            looks.put(found)
            done += len(rows)
            if progress is not None:
                progress(done, max(total, done))
    looks.forget_others()
    return done


def _look(reader: Reader, row: Row) -> NDArray[np.float16] | Skipped:
    try:
        return frequencies(load_image(reader.bytes(row), target=_TARGET, name=row.key))
    except DiskFull:
        raise
    except VizinhoError as error:
        return Skipped(row.key, str(error))


def link_copies(gallery: GalleryView, looks: Looks, progress: Progress | None) -> Groups:
    """Groups of the numbers of ``looks`` whose pictures are copies of each other.

    ``progress`` counts the pairs that were looked at. Memory grows with what is found, not with
    the gallery: hashes are read from disk, pairs come in parts.
    """
    groups = Groups()
    pictures = _Pictures(gallery, looks)
    refused: OrderedDict[tuple[int, int], None] = OrderedDict()
    seen = 0
    for one, other in _pairs(looks):
        pair = (one, other)
        if groups.root(one) == groups.root(other) or pair in refused:
            continue
        seen += 1
        first, second = pictures.get(one), pictures.get(other)
        if first is not None and second is not None and likeness(first, second).same:
            groups.link(one, other)
        else:
            refused[pair] = None
            if len(refused) > _KEPT_REFUSALS:
                refused.popitem(last=False)
        if progress is not None:
            progress(seen, None)
    return groups


def _pairs(looks: Looks) -> Iterator[tuple[int, int]]:
    with tempfile.TemporaryDirectory(prefix="vizinho-") as folder:
        try:
            hashes = each_batch(
                looks, lambda numbers, found: forms(found, numbers), Path(folder, "forms")
            )
        except OSError as error:
            # Not by its name, which is a new one each time, and nobody's business on the web.
            raise explain_os_error(error, "The folder for temporary files") from error
        for left, right in candidates(hashes, BITS_APART):
            for start in range(0, len(left), _PAIRS):
                one = hashes[left[start : start + _PAIRS]]
                other = hashes[right[start : start + _PAIRS]]
                apart = one["owner"] != other["owner"]
                yield from _agreeing(looks, one[apart], other[apart])


def _agreeing(
    looks: Looks, one: NDArray[np.void], other: NDArray[np.void]
) -> list[tuple[int, int]]:
    numbers = np.unique(np.concatenate([one["owner"], other["owner"]]))
    found = looks.frequencies(numbers)
    some = found[np.searchsorted(numbers, one["owner"])]
    others = found[np.searchsorted(numbers, other["owner"])]
    near = agreement(turned(some, one["turn"]), turned(others, other["turn"])) >= AGREE
    pairs = np.stack([one["owner"][near], other["owner"][near]], axis=1)
    pairs.sort(axis=1)
    return [(int(a), int(b)) for a, b in np.unique(pairs, axis=0)]


class _Pictures:
    """Small versions of pictures by number, the last ones kept; None for what can't be read."""

    def __init__(self, gallery: GalleryView, looks: Looks) -> None:
        self._gallery = gallery
        self._looks = looks
        self._kept: OrderedDict[int, Image.Image | None] = OrderedDict()

    def get(self, number: int) -> Image.Image | None:
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        image = self._read(number)
        self._kept[number] = image
        if len(self._kept) > _KEPT_IMAGES:
            self._kept.popitem(last=False)
        return image

    def _read(self, number: int) -> Image.Image | None:
        content = self._looks.hashes([number])[number]
        key = self._gallery.engine.find([content]).get(content)
        if key is None:
            return None
        try:
            data, _ = self._gallery.image_bytes(key)
            image = load_image(data, target=_SHOWN, name=key)
        except DiskFull:
            raise
        except (ImageError, VizinhoError):
            return None
        image.thumbnail((_SHOWN * 2, _SHOWN * 2), Image.Resampling.BILINEAR, reducing_gap=None)
        return image
