"""A data set decoded once for all runs of a sweep, and shared with worker processes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vizinho.datasets import LabelledImages
from vizinho.datasets.base import PixelStore
from vizinho.preprocess import PreprocessSpec
from vizinho.progress import Progress


class Decoded(LabelledImages):
    """Pictures that are pixels of one size already: uint8 [N, size, size, 3]."""

    def __init__(
        self,
        name: str,
        images: NDArray[np.uint8],
        names: list[str],
        labels: NDArray[np.int64],
        classes: list[str],
    ) -> None:
        super().__init__(name, PixelStore(images), names, labels, classes)
        self.images = images

    @classmethod
    def of(cls, dataset: LabelledImages, size: int, progress: Progress | None = None) -> Decoded:
        """Decodes ``dataset`` at ``size`` pixels; raises ``DatasetError`` when nothing is left."""
        images, kept = dataset.pixels(PreprocessSpec(size=size), progress)
        names = [dataset.names[i] for i in kept]
        return cls(dataset.name, images, names, dataset.labels[kept], dataset.classes)

    def pixels(
        self,
        spec: PreprocessSpec,
        progress: Progress | None = None,
        *,
        threads: int | None = None,
        into: Callable[[tuple[int, ...]], NDArray[np.uint8]] | None = None,
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """As of any set, but a mere copy at the size that is held: the caller may change it."""
        if spec.size != self.images.shape[1]:
            return super().pixels(spec, progress, threads=threads, into=into)
        copy = np.empty_like(self.images) if into is None else into(self.images.shape)
        copy[:] = self.images
        return copy, np.arange(len(self))

    @cached_property
    def sha256(self) -> str:
        """Over pixels, labels and class names, the first sixteen digits."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Shelf:
    """Where a ``Decoded`` lies for other processes, which map the file and share its memory."""

    path: Path
    name: str
    names: list[str]
    labels: NDArray[np.int64]
    classes: list[str]

    @classmethod
    def put(cls, decoded: Decoded, path: Path) -> Shelf:
        """Writes the pixels to ``path``; raises ``OSError``."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.save(file, decoded.images)
        return cls(path, decoded.name, decoded.names, decoded.labels, decoded.classes)

    def open(self) -> Decoded:
        """The same pictures, their pixels mapped: one copy in memory, however many open it."""
        images = np.load(self.path, mmap_mode="c")
        return Decoded(self.name, images, self.names, self.labels, self.classes)
