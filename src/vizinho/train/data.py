"""The images of a training, decoded once and held as pixels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vizinho.datasets import LabelledImages
from vizinho.errors import DatasetError
from vizinho.preprocess import PreprocessSpec, to_pixels
from vizinho.progress import Progress
from vizinho.train.recipes import Recipe

Decoding = Progress


@dataclass(frozen=True)
class Pixels:
    """``train``: size -> uint8 [N, size, size, 3] with ``labels`` int64 [N] into ``classes``.

    ``holdout`` uint8 [M, size, size, 3] with ``holdout_labels`` are never trained on; M may be 0.
    ``digest`` is a SHA-256 over all pixels and labels.
    """

    name: str
    classes: list[str]
    train: dict[int, NDArray[np.uint8]]
    labels: NDArray[np.int64]
    holdout: NDArray[np.uint8]
    holdout_labels: NDArray[np.int64]
    digest: str


def load_pixels(
    dataset: LabelledImages,
    recipe: Recipe,
    validation: LabelledImages | None = None,
    decoding: Decoding | None = None,
) -> Pixels:
    """Decodes ``dataset`` at the recipe's sizes and sets the held-out part aside.

    Held out is ``validation`` where given (its classes must be the data set's), else
    ``recipe.holdout`` images, as many of each class as their share, chosen by the recipe's seed.
    Raises ``DatasetError`` when too little is left to learn from.
    """
    images, kept = dataset.pixels(recipe.spec, decoding)
    labels = dataset.labels[kept]
    if validation is None:
        split_seed = recipe.seed if recipe.split_seed < 0 else recipe.split_seed
        aside = stratified(labels, recipe.holdout, split_seed)
        holdout, holdout_labels = images[aside], labels[aside]
        images, labels = images[~aside], labels[~aside]
    else:
        measured_on = validation.with_classes(dataset.classes)
        holdout, kept = measured_on.pixels(recipe.spec, decoding)
        holdout_labels = measured_on.labels[kept]
    if len(np.unique(labels)) < 2:
        raise DatasetError(
            f"{dataset.name} has {len(labels)} images of {len(np.unique(labels))} class to train "
            f"on after {len(holdout)} were held out.",
            "Training needs at least two classes; check the folder's layout or lower --holdout.",
        )
    digest = hashlib.sha256()
    for array in (images, labels, holdout, holdout_labels):
        digest.update(np.ascontiguousarray(array).data)
    train = {recipe.size: images}
    if recipe.low_share > 0 and recipe.low_size < recipe.size:
        train[recipe.low_size] = resized(images, PreprocessSpec(size=recipe.low_size))
    return Pixels(
        dataset.name, dataset.classes, train, labels, holdout, holdout_labels, digest.hexdigest()
    )


def stratified(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.bool_]:
    """True for about ``count`` of the N labels, the same share of every class; bool [N].

    A class always keeps at least half of its images for training.
    """
    aside = np.zeros(len(labels), dtype=bool)
    generator = np.random.default_rng(seed)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        share = min(round(count * len(members) / len(labels)), len(members) // 2)
        aside[generator.permutation(members)[:share]] = True
    return aside


def resized(images: NDArray[np.uint8], spec: PreprocessSpec) -> NDArray[np.uint8]:
    """uint8 [N, H, H, 3] -> [N, size, size, 3], by the resize that queries go through."""
    if images.shape[1] == spec.size:
        return images
    small = np.empty((len(images), spec.size, spec.size, 3), dtype=np.uint8)
    for i, pixels in enumerate(images):
        small[i] = to_pixels(Image.fromarray(pixels), spec)
    return small
