"""What every data set becomes: pictures that are read one by one, with labels."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from vizinho.errors import DatasetError, ImageError
from vizinho.images import load_image, read_bytes
from vizinho.preprocess import PreprocessSpec, to_pixels
from vizinho.progress import Progress

Labels = npt.NDArray[np.int64]

_REPORT_EVERY = 256


@dataclass(frozen=True)
class Skipped:
    """A picture left out: how it is called, and why in words."""

    name: str
    reason: str


class Store(Protocol):
    """Where the pictures of a set lie; positions are those of the store, not of a subset."""

    def read(self, position: int) -> bytes:
        """Encoded bytes of one picture; raises `ImageError`."""

    def load(self, position: int, name: str, target: int | None) -> Image.Image:
        """One picture in RGB; raises `ImageError` that calls it ``name``."""


@dataclass(frozen=True)
class FileStore:
    """Picture files on disk; only their paths are held."""

    paths: Sequence[Path]

    def read(self, position: int) -> bytes:
        return read_bytes(self.paths[position])

    def load(self, position: int, name: str, target: int | None) -> Image.Image:
        return load_image(self.paths[position], target=target)


@dataclass(frozen=True)
class PixelStore:
    """Pictures that are raw pixels, uint8 ``[N, H, W, 3]``; encoded as PNG when bytes are asked."""

    pixels: npt.NDArray[np.uint8]

    def read(self, position: int) -> bytes:
        buffer = BytesIO()
        self.load(position, "", None).save(buffer, "PNG")
        return buffer.getvalue()

    def load(self, position: int, name: str, target: int | None) -> Image.Image:
        return Image.fromarray(self.pixels[position])


class LabelledImages:
    """A data set: N pictures with a name and a class each.

    ``name``: the set's own name, for reports. ``names``: N unique names, stable between runs, such
    as "test/00042.png". ``labels``: int64 ``[N]``, positions in ``classes``. ``skipped``: what was
    left out so far; `pixels` adds the pictures that can't be decoded.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        names: Sequence[str],
        labels: Labels,
        classes: Sequence[str],
        skipped: Sequence[Skipped] = (),
        positions: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self.name = name
        self.names = list(names)
        self.labels: Labels = np.asarray(labels, dtype=np.int64)
        self.classes = list(classes)
        self.skipped = list(skipped)
        self._store = store
        self._positions = np.arange(len(self.names)) if positions is None else positions

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"LabelledImages({self.name!r}, {len(self)} pictures, {len(self.classes)} classes)"

    def read(self, i: int) -> bytes:
        """Encoded file bytes of picture ``i``, as they lie on disk; raises `ImageError`."""
        return self._store.read(int(self._positions[i]))

    def load(self, i: int, *, target: int | None = None) -> Image.Image:
        """Picture ``i`` decoded to RGB, as `load_image` does; raises `ImageError`."""
        return self._store.load(int(self._positions[i]), self.names[i], target)

    def subset(self, indices: Sequence[int] | npt.NDArray[np.integer]) -> LabelledImages:
        """The pictures at ``indices``, in that order; same classes, nothing copied."""
        chosen = np.asarray(indices, dtype=np.int64)
        return LabelledImages(
            self.name,
            self._store,
            [self.names[i] for i in chosen],
            self.labels[chosen],
            self.classes,
            positions=self._positions[chosen],
        )

    def with_classes(self, classes: Sequence[str]) -> LabelledImages:
        """The same pictures with labels counted in ``classes``: train and test must agree on them.

        Raises `DatasetError` when a picture's class is not among them.
        """
        place = {name: i for i, name in enumerate(classes)}
        used = {self.classes[i] for i in np.unique(self.labels)}
        if unknown := sorted(used - set(place)):
            raise DatasetError(
                f"{self.name} has classes that the other set lacks: {', '.join(unknown[:5])}.",
                "Use the same class names in both.",
            )
        table = np.array([place.get(name, -1) for name in self.classes], dtype=np.int64)
        renumbered = LabelledImages(
            self.name,
            self._store,
            self.names,
            table[self.labels],
            classes,
            positions=self._positions,
        )
        # One list for both: what proves broken while it is read is told by either.
        renumbered.skipped = self.skipped
        return renumbered

    def only(self, classes: Iterable[str], called: str = "") -> LabelledImages:
        """The pictures of these ``classes`` alone, counted in them; nothing copied.

        The set is then ``called`` so. Raises `DatasetError` when one of them has no picture here.
        """
        wanted = set(classes)
        kept = [name for name in self.classes if name in wanted]
        there = {self.classes[i] for i in np.unique(self.labels)}
        if lacking := sorted(wanted - there):
            raise DatasetError(
                f"{self.name} has no picture of: {', '.join(lacking[:5])}.",
                f"It has {len(there)} classes: {', '.join(sorted(there)[:10])}.",
            )
        places = [i for i, name in enumerate(self.classes) if name in wanted]
        chosen = self.subset(np.flatnonzero(np.isin(self.labels, places))).with_classes(kept)
        chosen.name = called or self.name
        chosen.skipped = self.skipped
        return chosen

    def pixels(
        self,
        spec: PreprocessSpec,
        progress: Progress | None = None,
        *,
        threads: int | None = None,
        into: Callable[[tuple[int, ...]], npt.NDArray[np.uint8]] | None = None,
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Decode and resize everything: uint8 ``[M, H, W, 3]`` and the M indices kept, int64.

        A picture that can't be decoded is left out and listed in ``skipped``. Pillow decodes
        outside of Python's lock, so ``threads`` (None: one for each core) share the work. ``into``
        makes the array of a given shape, where memory is not the place for it. Raises
        `DatasetError` when not one could be decoded.
        """
        total = len(self)
        side = spec.size
        shape = (total, side, side, 3)
        pixels = np.empty(shape, dtype=np.uint8) if into is None else into(shape)
        kept: list[int] = []
        known = {item.name for item in self.skipped}

        def decoded(i: int) -> npt.NDArray[np.uint8] | ImageError:
            try:
                return to_pixels(self.load(i, target=side), spec)
            except ImageError as error:
                return error

        with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
            for start in range(0, total, _REPORT_EVERY):
                some = range(start, min(start + _REPORT_EVERY, total))
                for i, found in zip(some, pool.map(decoded, some), strict=True):
                    if isinstance(found, ImageError):
                        if self.names[i] not in known:
                            self.skipped.append(Skipped(self.names[i], str(found)))
                        continue
                    pixels[len(kept)] = found
                    kept.append(i)
                if progress:
                    progress(some.stop, total)
        if not kept:
            first = self.skipped[-1].reason if self.skipped else "The set is empty."
            raise DatasetError(
                f"Not one of the {total} pictures of {self.name} is readable.", first
            )
        return pixels[: len(kept)], np.array(kept, dtype=np.int64)


def encode_labels(values: Sequence[str]) -> tuple[Labels, list[str]]:
    """Class names to int64 labels ``[N]`` and the sorted classes ("9" before "10")."""
    classes = sorted(set(values), key=_natural)
    place = {name: i for i, name in enumerate(classes)}
    return np.array([place[value] for value in values], dtype=np.int64), classes


def no_split(name: str, split: str, there: Sequence[str]) -> DatasetError:
    """The error for a split that is not there, which says what is."""
    return DatasetError(
        f"{name} has no split {split!r}.", f"There are: {', '.join(there) or 'none'}."
    )


def _natural(text: str) -> list[tuple[int, int, str]]:
    pieces = re.findall(r"\d+|\D+", text)
    return [(0, int(piece), piece) if piece.isdecimal() else (1, 0, piece) for piece in pieces]
