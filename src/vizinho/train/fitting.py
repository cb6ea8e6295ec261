"""A recipe fitted to a set: what was made for 50,000 pictures of 32 pixels, for others.

Only fields that nobody told are touched, and each change is said in a note.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final

import numpy as np

from vizinho.datasets import LabelledImages
from vizinho.datasets.splits import unseen_classes
from vizinho.train.checks import PML
from vizinho.train.recipes import Recipe

#: At most this share of a set is held out, unless two pictures of each class are more.
HELD_OUT: Final = 0.125

#: Optimiser steps that an epoch should have, and a whole training.
STEPS_AN_EPOCH: Final = 16
STEPS: Final = 300
SMALLEST_BATCH: Final = 16

#: Pixels of a micro-batch that caches and memory are good for: 125 pictures of 64 x 64.
MICRO_PIXELS: Final = 125 * 64 * 64
SMALLEST_MICRO: Final = 25

#: Pictures of a class side by side where classes are balanced, and when they are: a shuffled
#: micro-batch would hold fewer than two of a class, or the largest class is so many times the
#: smallest.
PER_CLASS: Final = 4
UNBALANCED: Final = 3.0

#: Losses over the pairs of a micro-batch: a class that is in it once has none.
PAIRS: Final = (
    "triplet",
    "soft-triplet",
    "contrastive",
    "nt-xent",
    "supcon",
    "multi-similarity",
)

#: Sets whose split is published with their figures, and stays as it was.
FIXED: Final = ("cifar10", "cifar100")


def fitted(
    recipe: Recipe,
    dataset: LabelledImages,
    told: Collection[str] = (),
    *,
    validation: bool = False,
) -> tuple[Recipe, list[str]]:
    """The recipe with the fields that don't suit ``dataset`` changed, and a line on each.

    ``told``: fields a person chose, which stay. ``validation``: a set of its own is measured on.
    """
    change: dict[str, Any] = {}
    notes: list[str] = []

    def choose(field: str, value: Any, why: str) -> None:
        if field not in told and value != getattr(recipe, field):
            change[field] = value
            notes.append(f"{field} is {value}, not {getattr(recipe, field)}: {why}.")

    counts = np.bincount(dataset.labels, minlength=1)
    counts = counts[counts > 0]
    apart = unseen_classes(len(counts), recipe.unseen, recipe.holding_out)
    counts = np.delete(counts, apart) if len(apart) < len(counts) else counts
    total, classes = int(counts.sum()), len(counts)

    held_out = 0
    if not validation:
        most = max(int(HELD_OUT * total), min(2 * classes, total // 4))
        if recipe.holdout > most:
            choose("holdout", most, f"there are {total:,} pictures")
        held_out = change.get("holdout", recipe.holdout)
        known = dataset.name.partition(":")[0].lower()
        if "keep_together" not in told and known not in FIXED:
            change["keep_together"] = True
    left = max(1, total - held_out)

    batch, micro = recipe.batch_size, recipe.micro_batch
    small = max(SMALLEST_BATCH, left // STEPS_AN_EPOCH)
    if batch > small and "batch_size" not in told:
        batch = min(small, left)
        if batch > micro:
            batch -= batch % micro
    room = max(SMALLEST_MICRO, MICRO_PIXELS // recipe.size**2)
    if recipe.network == "fastnet" or recipe.stem == "cifar":
        micro = min(micro, room)
    if "micro_batch" in told:
        micro = recipe.micro_batch
    micro = min(micro, batch)

    per_class = recipe.per_class
    paired = recipe.loss in PAIRS or recipe.loss.startswith(PML)
    if paired and not per_class and classes > 1:
        crowded = micro < 2 * classes
        lopsided = counts.max() > UNBALANCED * counts.min()
        # A micro-batch that a person told stays, and must hold whole groups.
        whole = "micro_batch" not in told or recipe.micro_batch % PER_CLASS == 0
        if (crowded or lopsided) and whole and micro >= 2 * PER_CLASS:
            why = "a shuffled micro-batch would hold few pairs of a class"
            choose("per_class", PER_CLASS, why if crowded else "classes differ much in size")
            per_class = change.get("per_class", 0)
    if per_class and "micro_batch" not in told:
        micro -= micro % per_class
    # Micro-batches of one size: batch normalisation and pairs depend on it.
    if "batch_size" not in told and batch > micro:
        batch -= batch % micro
    choose("batch_size", batch, f"{left:,} pictures to train on are few")
    why = f"a batch is {batch}" if micro == batch else f"for pictures of {recipe.size} pixels"
    choose("micro_batch", micro, f"groups of {per_class}" if per_class else why)

    per_epoch = max(1, left // batch)
    if recipe.schedule != "steps" and recipe.epochs * per_epoch < STEPS:
        choose(
            "epochs",
            -(-STEPS // per_epoch),
            f"an epoch has {per_epoch} of the {STEPS} steps it takes",
        )
    return replace(recipe, **change), notes
