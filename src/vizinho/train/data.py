"""The images of a training, decoded once and held as pixels."""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vizinho.datasets import LabelledImages
from vizinho.datasets.duplicates import near_duplicates
from vizinho.datasets.splits import stratified, unseen_classes
from vizinho.errors import DatasetError
from vizinho.preprocess import PreprocessSpec, to_pixels
from vizinho.progress import Progress
from vizinho.train.recipes import Recipe

__all__ = ["Decoding", "Pixels", "load_pixels", "memory", "resized", "stratified"]

Decoding = Progress

#: Makes the array of a shape, in memory or in a file.
Allocator = Callable[[tuple[int, ...]], NDArray[np.uint8]]

#: The share of the machine's memory that pixels may take before they go to a file.
MEMORY_SHARE = 0.5

_ROWS = 4096


@dataclass(frozen=True)
class Pixels:
    """``train``: size -> uint8 [N, size, size, 3] with ``labels`` int64 [N] into ``classes``.

    ``holdout`` uint8 [M, size, size, 3] with ``holdout_labels`` are never trained on; M may be 0.
    ``unseen`` uint8 [U, size, size, 3] with ``unseen_labels`` into ``unseen_classes`` are all
    pictures of the classes that are never trained on. ``digest`` is a SHA-256 over all pixels and
    labels; ``together`` the number of groups of near-duplicates that the split did not part;
    ``notes`` what is worth telling.

    Arrays of ``train`` are views of a file (``numpy.memmap``) where memory is too small for them:
    a copy of the whole, padded or as floats, must not be made of those.
    """

    name: str
    classes: list[str]
    train: dict[int, NDArray[np.uint8]]
    labels: NDArray[np.int64]
    holdout: NDArray[np.uint8]
    holdout_labels: NDArray[np.int64]
    digest: str
    unseen: NDArray[np.uint8] = field(default_factory=lambda: np.empty((0, 1, 1, 3), np.uint8))
    unseen_labels: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    unseen_classes: list[str] = field(default_factory=list)
    together: int = 0
    notes: tuple[str, ...] = ()


def load_pixels(
    dataset: LabelledImages,
    recipe: Recipe,
    validation: LabelledImages | None = None,
    decoding: Decoding | None = None,
    *,
    run: Path | None = None,
    threads: int | None = None,
) -> Pixels:
    """Decodes ``dataset`` at the recipe's sizes and sets aside what is not trained on.

    First whole classes, where ``recipe.unseen`` asks for it. Held out is then ``validation`` where
    given (its classes must be the data set's; pictures of unseen ones are left out), else
    ``recipe.holdout`` images, as many of each class as their share, chosen by the recipe's seed;
    with ``recipe.keep_together`` near-duplicates go to the same side.

    Pixels that would take more than half of the memory are kept in a file in ``run`` that vanishes
    with the process. Raises ``DatasetError`` when too little is left to learn from.
    """
    notes: list[str] = []
    low = recipe.low_size if recipe.low_share > 0 and recipe.low_size < recipe.size else 0
    needed = 3 * len(dataset) * (recipe.size**2 + low**2)
    into: Allocator = _array
    if run is not None and needed > MEMORY_SHARE * memory():
        notes.append(
            f"The pixels take {needed / 1e9:.1f} GB of this machine's {memory() / 1e9:.1f} GB of "
            f"memory, so they are kept in a file in {run}."
        )
        into = _on_disk(run)
    images, kept = dataset.pixels(recipe.spec, decoding, threads=threads, into=into)
    labels = dataset.labels[kept]
    apart = _unseen(dataset, recipe.unseen, recipe.holding_out)
    seen = np.setdiff1d(np.arange(len(dataset.classes)), apart)
    table = np.full(len(dataset.classes), -1)
    table[seen] = np.arange(len(seen))
    unseen = np.isin(labels, apart)
    aside = np.zeros(len(labels), dtype=bool)
    together = 0
    if validation is None:
        inside = np.flatnonzero(~unseen)
        groups = None
        if recipe.keep_together and recipe.holdout:
            groups = near_duplicates(images)[inside]
            sizes = np.unique(groups, return_counts=True)[1]
            together = int((sizes > 1).sum())
            if together:
                notes.append(
                    f"{together:,} groups of near-duplicates ({sizes[sizes > 1].sum():,} pictures) "
                    "were kept together, each on one side of the split."
                )
        aside[inside] = stratified(
            table[labels[inside]], recipe.holdout, recipe.holding_out, groups
        )
        holdout, holdout_labels = images[aside], table[labels[aside]]
    else:
        measured_on = validation.with_classes(dataset.classes)
        holdout, read = measured_on.pixels(recipe.spec, decoding, threads=threads)
        holdout_labels = table[measured_on.labels[read]]
        if (holdout_labels < 0).any():
            holdout, holdout_labels = (
                holdout[holdout_labels >= 0],
                holdout_labels[holdout_labels >= 0],
            )
    kept_apart, apart_labels = images[unseen], np.searchsorted(apart, labels[unseen])
    trained = np.flatnonzero(~(aside | unseen))
    labels = table[labels[trained]]
    if len(np.unique(labels)) < 2:
        raise DatasetError(
            f"{dataset.name} has {len(labels)} images of {len(np.unique(labels))} class to train "
            f"on after {len(holdout)} were held out.",
            "Training needs at least two classes; check the folder's layout or lower --holdout.",
        )
    _compact(images, trained)
    images = images[: len(trained)]
    digest = hashlib.sha256()
    for array in (images, labels, holdout, holdout_labels):
        digest.update(np.ascontiguousarray(array).data)
    train = {recipe.size: images}
    if low:
        train[low] = resized(images, PreprocessSpec(size=low), into)
    return Pixels(
        dataset.name,
        [dataset.classes[i] for i in seen],
        train,
        labels,
        holdout,
        holdout_labels,
        digest.hexdigest(),
        unseen=kept_apart,
        unseen_labels=apart_labels.astype(np.int64),
        unseen_classes=[dataset.classes[i] for i in apart],
        together=together,
        notes=tuple(notes),
    )


def resized(
    images: NDArray[np.uint8],
    spec: PreprocessSpec,
    into: Allocator | None = None,
) -> NDArray[np.uint8]:
    """uint8 [N, H, H, 3] -> [N, size, size, 3], by the resize that queries go through.

    ``into`` makes the array of a given shape, where memory is not the place for it.
    """
    if images.shape[1] == spec.size:
        return images
    small = (into or _array)((len(images), spec.size, spec.size, 3))
    for i, pixels in enumerate(images):
        small[i] = to_pixels(Image.fromarray(pixels), spec)
    return small


def memory() -> int:
    """Bytes of memory that this process may use: the machine's, or its control group's."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        return total


def _unseen(dataset: LabelledImages, unseen: float, seed: int) -> NDArray[np.int64]:
    """Positions of the classes to keep apart; only classes that have pictures count."""
    there = np.unique(dataset.labels)
    chosen = unseen_classes(len(there), unseen, seed)
    if len(chosen) and len(there) - len(chosen) < 2:
        raise DatasetError(
            f"{dataset.name} has {len(there)} classes, and {len(chosen)} of them are to stay "
            "unseen.",
            "Lower --unseen: at least two classes must be left to train on.",
        )
    return there[chosen]


def _compact(images: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
    """Moves ``rows`` (ascending) to the front, in place: a second copy might not fit in memory."""
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        if part[-1] != start + len(part) - 1:
            images[start : start + len(part)] = images[part]


def _array(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.empty(shape, dtype=np.uint8)


def _on_disk(run: Path) -> Allocator:
    def array(shape: tuple[int, ...]) -> NDArray[np.uint8]:
        run.mkdir(parents=True, exist_ok=True)
        # Nameless: however the process ends, the disk is free again.
        with tempfile.TemporaryFile(dir=run) as file:
            size = math.prod(shape)
            try:
                if hasattr(os, "posix_fallocate"):
                    # Of a file with holes a full disk would kill the process, without a word.
                    os.posix_fallocate(file.fileno(), 0, size)
                return np.memmap(file, dtype=np.uint8, mode="w+", shape=shape)
            except OSError as error:
                raise DatasetError(
                    f"{run} can't take the {size / 1e9:.1f} GB of pixels that memory has no room "
                    f"for: {error.strerror or error}.",
                    "Free some space, give another --out, or lower --size.",
                ) from error

    return array
