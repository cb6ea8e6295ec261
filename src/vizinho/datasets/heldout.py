"""Which pictures of a set a training held out, by what it wrote down of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vizinho.datasets.base import LabelledImages
from vizinho.datasets.splits import stratified
from vizinho.errors import DatasetError


def held_out(images: LabelledImages, training: Mapping[str, Any]) -> LabelledImages:
    """The pictures of ``images`` that a training did not learn from: all, if it learned from
    another set; ``training`` is what its bundle says of it.

    Raises DatasetError where that can't be told any more.
    """
    if training.get("data") != images.name:
        return images
    recipe = training.get("recipe") or {}
    hint = "Calibrate on other labelled pictures."
    if recipe.get("keep_together") or training.get("unseen_classes"):
        raise DatasetError(
            f"Which pictures of {images.name} were held out depends on more than is written down.",
            hint,
        )
    seed = recipe.get("split_seed", -1)
    seed = recipe.get("seed", 0) if seed < 0 else seed
    aside = stratified(images.labels, int(recipe.get("holdout", 0)), int(seed))
    if not aside.any() or int(aside.sum()) != training.get("held_out"):
        raise DatasetError(f"The model learned from all of {images.name} that is here.", hint)
    found = images.subset(np.flatnonzero(aside))
    found.name = f"{images.name}, held out"
    return found
