"""What each result is beside the query: the very same picture, a copy of it, or only alike.

The judgement is the one of `vizinho dedupe` (`vizinho.perceptual`): frequencies say which pictures
are worth a look at their pixels, and the pixels decide. Frequencies that dedupe has kept in the
gallery's folder spare decoding; without them the answer is the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vizinho.engines import Row
from vizinho.errors import VizinhoError
from vizinho.gallery.examples import Example
from vizinho.gallery.looks import kept_looks
from vizinho.gallery.reading import Reader
from vizinho.gallery.records import Match, Matches
from vizinho.gallery.view import GalleryView
from vizinho.images import Crop, content_hash, crop_image, load_image, media_type, read_bytes
from vizinho.perceptual import AGREE, agreement, frequencies, likeness, same_pixels, turned

IDENTICAL: Final = "identical"
NEAR: Final = "near-duplicate"
SIMILAR: Final = "similar"
KINDS: Final = (IDENTICAL, NEAR, SIMILAR)
"""From the closest on. Identical are the same bytes or the same pixels; a near-duplicate is a copy
that was turned, mirrored, resized, recompressed or cropped a little; similar is all else."""

_TARGET, _SHOWN = 64, 128
_READERS = 8
_TURNS = np.arange(8, dtype=np.uint8)

# A picture may take 150 MB while it is large: so many are at a time, however many ask.
_DECODING = threading.BoundedSemaphore(2)

Look = NDArray[np.float16]
Read = Callable[[str], bytes]


class _Remembered:
    """The looks [LENGTH] of the last contents that were decoded: who turns a page or moves a crop
    asks for the same pictures again. 20,000 of them are 4 MB."""

    def __init__(self, most: int = 20_000) -> None:
        self._looks: dict[str, Look] = {}
        self._most = most
        self._lock = threading.Lock()

    def get(self, content: str) -> Look | None:
        return self._looks.get(content)

    def put(self, content: str, look: Look) -> None:
        with self._lock:
            self._looks[content] = look
            while len(self._looks) > self._most:
                del self._looks[next(iter(self._looks))]

    def clear(self) -> None:
        with self._lock:
            self._looks.clear()


remembered = _Remembered()


def typed(
    gallery: GalleryView,
    matches: Matches,
    examples: Sequence[Example],
    *,
    read: Read | None = None,
) -> Matches:
    """The ``matches`` of a search for ``examples``, each with its `Match.kind`.

    With several examples it is the closest kind beside any that is wanted. It stays None where that
    can't be known: the bytes of one of the two can't be had, and neither their hashes nor what is
    kept of their looks decides. ``read`` gives a picture's bytes by its key; by default
    `GalleryView.image_bytes`.
    """
    read = read or (lambda key: gallery.image_bytes(key)[0])
    wanted = [example for example in examples if example.weight > 0]
    keys = {match.key for match in matches} | {each.key for each in wanted if each.key is not None}
    rows = {row.key: row for row in gallery.get_many(sorted(keys))}
    looks = kept_looks(gallery.path, [row.hash for row in rows.values()])
    queries = [_query(example, rows, looks, read) for example in wanted]
    judge = _Judge(queries, rows, looks, read)
    # Pictures that are elsewhere are waited for together.
    if any("://" in row.url for row in rows.values()):
        with ThreadPoolExecutor(_READERS, thread_name_prefix="kinds") as pool:
            kinds = list(pool.map(judge.kind, matches))
    else:
        kinds = [judge.kind(match) for match in matches]
    return Matches(
        (replace(match, kind=kind) for match, kind in zip(matches, kinds, strict=True)),
        known=matches.known,
        unlikeness=matches.unlikeness,
    )


class _Picture:
    """A picture, decoded as far as it has to be. What is read raises VizinhoError."""

    def __init__(
        self,
        bytes_of: Callable[[], bytes],
        *,
        content: str | None = None,
        look: Look | None = None,
        crop: Crop | None = None,
    ) -> None:
        self._bytes_of, self._content, self._look, self._crop = bytes_of, content, look, crop

    @cached_property
    def content(self) -> str | None:
        """The hash of its bytes; None for a part of a picture, which has none."""
        if self._content is None and self._crop is None:
            return content_hash(self._data)
        return self._content

    @cached_property
    def look(self) -> NDArray[np.float32]:
        """Its frequencies [LENGTH]."""
        known = self._look
        if known is None and self.content is not None:
            known = remembered.get(self.content)
        if known is None:
            known = self._looked_at()
            if self.content is not None:
                remembered.put(self.content, known)
        return known.astype(np.float32)

    def _looked_at(self) -> Look:
        if not self._reduced:
            return self._seen[0]
        with _DECODING:
            return frequencies(load_image(self._data, target=_TARGET))

    @cached_property
    def turned(self) -> NDArray[np.float32]:
        """Its frequencies laid down in every way [8, LENGTH]."""
        return turned(np.repeat(self.look[None], len(_TURNS), axis=0), _TURNS)

    @property
    def small(self) -> Image.Image:
        """As large as is compared."""
        return self._seen[1]

    def same_pixels(self, other: _Picture) -> bool:
        """Whether both have the same value at every pixel; decodes both, unless it can't be."""
        if self._reduced == other._reduced and self._seen[2] != other._seen[2]:
            return False
        with _DECODING:
            return same_pixels(self._whole(), other._whole())

    @cached_property
    def _reduced(self) -> bool:
        """Whether it is decoded at a fraction of its size where that is enough."""
        return self._crop is None and media_type(self._data) == "image/jpeg"

    @cached_property
    def _seen(self) -> tuple[Look, Image.Image, tuple[int, int]]:
        """Frequencies, the picture made small, and the size at which it was decoded."""
        with _DECODING:
            image = load_image(self._data, target=_SHOWN) if self._reduced else self._whole()
            size = image.size
            look = frequencies(image)
            image.thumbnail((_SHOWN * 2, _SHOWN * 2), Image.Resampling.BILINEAR, reducing_gap=None)
        return look, image, size

    def _whole(self) -> Image.Image:
        image = load_image(self._data)
        return image if self._crop is None else crop_image(image, self._crop)

    @cached_property
    def _data(self) -> bytes:
        return self._bytes_of()


class _Judge:
    def __init__(
        self,
        queries: Sequence[_Picture],
        rows: dict[str, Row],
        looks: dict[str, Look],
        read: Read,
    ) -> None:
        self._queries, self._rows, self._looks = queries, rows, looks
        self._reader = Reader(read)

    def kind(self, match: Match) -> str | None:
        """The closest kind of a result beside any of the queries."""
        row = self._rows.get(match.key)
        if row is None:
            return None
        look = self._looks.get(row.hash)
        picture = _Picture(lambda: self._reader.bytes(row), content=row.hash, look=look)
        found = []
        for query in self._queries:
            found.append(_compared(query, picture))
            if found[-1] == IDENTICAL:
                break
        for kind in (IDENTICAL, NEAR, None):
            if kind in found:
                return kind
        return SIMILAR


def _query(example: Example, rows: dict[str, Row], looks: dict[str, Look], read: Read) -> _Picture:
    if example.key is None:
        source = example.picture
        assert source is not None
        return _Picture(lambda: read_bytes(source), crop=example.crop)
    key, row = example.key, rows.get(example.key)
    if row is None or example.crop is not None:
        return _Picture(lambda: read(key), crop=example.crop)
    return _Picture(lambda: read(key), content=row.hash, look=looks.get(row.hash))


def _compared(query: _Picture, picture: _Picture) -> str | None:
    try:
        if query.content is not None and query.content == picture.content:
            return IDENTICAL
        others = np.broadcast_to(picture.look, query.turned.shape)
        if agreement(query.turned, others).max() < AGREE:
            return SIMILAR
        found = likeness(query.small, picture.small)
        if not found.same:
            return SIMILAR
        straight = not found.turn and not found.cropped
        return IDENTICAL if straight and query.same_pixels(picture) else NEAR
    except (VizinhoError, OSError):
        return None
