"""What a recipe's fields may hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from vizinho.errors import SettingsError

if TYPE_CHECKING:
    from vizinho.train.recipes import Recipe

CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "network": ("fastnet", "resnet18", "resnet34", "resnet50"),
    "stem": ("imagenet", "cifar"),
    "descriptor": ("head", "features"),
    "distance": ("squared", "euclidean"),
    "loss": (
        "triplet",
        "soft-triplet",
        "contrastive",
        "nt-xent",
        "supcon",
        "multi-similarity",
        "proxy-anchor",
        "softmax",
        "arcface",
    ),
    "mining": ("batch-hard", "semi-hard", "batch-all"),
    "optimiser": ("muon", "sgd"),
    "schedule": ("linear", "cosine", "steps"),
    "augment": ("plain", "strong"),
}

#: What begins the name of a loss of pytorch-metric-learning, and of one that a program hands over.
PML: Final = "pml:"
OWN: Final = "own:"


def wide_shape(network: str) -> tuple[int, int] | None:
    """``wrnD-K`` as blocks in each group, (D - 4) / 6, and widening factor; None for other names.

    Raises ``SettingsError`` for a depth or a width that no wide ResNet has.
    """
    found = re.fullmatch(r"wrn(\d+)-(\d+)", network)
    if not found:
        return None
    depth, widen = int(found[1]), int(found[2])
    if depth < 10 or (depth - 4) % 6 or widen < 1:
        raise SettingsError(
            f"There is no wide ResNet {network!r}.",
            "Its depth is 6 n + 4 (10, 16, 22, 28, 34, 40), its width at least 1: wrn28-10.",
        )
    return (depth - 4) // 6, widen


def check(recipe: Recipe) -> None:
    """Raises ``SettingsError`` for the first field whose value makes no sense."""
    for field, choices in CHOICES.items():
        if field == "network" and wide_shape(recipe.network):
            continue
        if field == "loss" and recipe.loss.startswith((PML, OWN)):
            continue
        if field == "mining" and recipe.mining is None:
            continue
        if getattr(recipe, field) not in choices:
            others = {
                "network": " or a wide ResNet: wrn16-4, wrn28-10",
                "loss": f" or any loss of pytorch-metric-learning: {PML}CircleLoss",
            }.get(field, "")
            raise SettingsError(
                f"{field} can't be {getattr(recipe, field)!r}.",
                f"Choose one of: {', '.join(choices)}{others}.",
            )
    positive = ("dimension", "lr", "head_lr", "epochs", "step_epochs")
    sizes = ("width", "batch_size", "micro_batch", "size", "low_size", "teachers")
    for field in (*positive, *sizes):
        if not getattr(recipe, field) > 0:
            raise SettingsError(f"{field} must be above zero, not {getattr(recipe, field)}.")
    for field in ("margin", "temperature"):
        value = getattr(recipe, field)
        if value is not None and not value > 0:
            raise SettingsError(f"{field} must be above zero or none, not {value}.")
    counts = ("shift", "holdout", "seed", "cutout", "per_class", "unseen")
    for field in ("weight_decay", "supcon", *counts):
        if not getattr(recipe, field) >= 0:
            raise SettingsError(f"{field} must be zero or more, not {getattr(recipe, field)}.")
    for field in ("momentum", "smoothing", "low_share", "average"):
        if not 0 <= getattr(recipe, field) < 1:
            raise SettingsError(
                f"{field} must be at least 0 and below 1, not {getattr(recipe, field)}."
            )
    if recipe.per_class and recipe.micro_batch % recipe.per_class:
        raise SettingsError(
            f"A micro-batch of {recipe.micro_batch} can't hold {recipe.per_class} pictures of each "
            "of its classes.",
            "Make micro_batch a multiple of per_class.",
        )
    if recipe.split_seed < -1 or recipe.teacher_epochs < 0:
        raise SettingsError("split_seed is at least -1, teacher_epochs at least 0.")
    if not 0 <= recipe.distil <= 1 or bool(recipe.distil) != bool(recipe.teacher):
        raise SettingsError(
            f"distil is {recipe.distil} and teacher is {recipe.teacher!r}.",
            "A teacher needs a share of the loss above 0 and up to 1; no teacher, 0.",
        )
    if recipe.network != "fastnet" and recipe.descriptor == "features":
        raise SettingsError("Only fastnet has a descriptor below its head.")
    if recipe.network == "fastnet" and min(recipe.size, recipe.low_size) < 18:
        raise SettingsError("fastnet needs images of at least 18 x 18 pixels.")
