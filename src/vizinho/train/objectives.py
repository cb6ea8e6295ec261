"""From a recipe to the loss that it names, with what each loss's authors chose for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from torch import nn

from vizinho.errors import SettingsError
from vizinho.train.checks import OWN, PML
from vizinho.train.collapse import CollapseMonitor
from vizinho.train.losses import SoftTriplet, Triplet, WeightedSum
from vizinho.train.pair_losses import Contrastive, MultiSimilarity, NTXent, SupCon
from vizinho.train.pml import pml_loss
from vizinho.train.proxy_losses import ArcFace, NormalisedSoftmax, ProxyAnchor
from vizinho.train.recipes import Recipe


@dataclass(frozen=True)
class Usual:
    """What a loss is used with where a recipe doesn't say; None where it has no such number."""

    margin: float | None = None
    temperature: float | None = None
    mining: str | None = None


#: Where the numbers come from is in docs/losses.md, beside the formulas.
USUAL: Final[Mapping[str, Usual]] = {
    "triplet": Usual(margin=0.2, mining="semi-hard"),
    # Batch-hard, its authors' choice, falls into one point at the learning rates of recipe fast.
    "soft-triplet": Usual(mining="semi-hard"),
    "contrastive": Usual(margin=1.0),
    "nt-xent": Usual(temperature=0.1),
    "supcon": Usual(temperature=0.1),
    "multi-similarity": Usual(margin=0.1),
    "proxy-anchor": Usual(margin=0.1, temperature=1 / 32),
    "softmax": Usual(temperature=0.05),
    "arcface": Usual(margin=0.5, temperature=1 / 64),
}


def settled(recipe: Recipe) -> Recipe:
    """The recipe with the loss's own margin, temperature and mining where it told none."""
    usual = USUAL.get(recipe.loss, Usual())
    return replace(
        recipe,
        margin=usual.margin if recipe.margin is None else recipe.margin,
        temperature=usual.temperature if recipe.temperature is None else recipe.temperature,
        mining=usual.mining if recipe.mining is None else recipe.mining,
    )


def temperature(recipe: Recipe) -> float:
    """The recipe's temperature; 0.1, as in recipe fast, for a loss that has none.

    A teacher's part of the loss needs one beside any loss.
    """
    return settled(recipe).temperature or 0.1


def build_loss(recipe: Recipe, classes: int, handed: nn.Module | None = None) -> nn.Module:
    """The recipe's loss for that many classes: ``(embeddings [N, D], labels [N]) -> scalar``.

    ``handed`` is the module that a recipe with the loss ``own:NAME`` means. Raises
    ``SettingsError`` when such a module is missing or not asked for, or a loss of
    pytorch-metric-learning can't be made.
    """
    if recipe.loss.startswith(OWN) != (handed is not None):
        raise SettingsError(
            f"The recipe's loss is {recipe.loss!r}, and a loss "
            f"{'was' if handed is not None else 'has to be'} handed over.",
            f"A loss module and a recipe with loss='{OWN}NAME' go together; NAME is what the "
            "training is recorded under.",
        )
    if handed is not None:
        return handed
    if recipe.loss.startswith(PML):
        return pml_loss(recipe.loss, classes, recipe.dimension)
    return _named(settled(recipe), classes)


def _named(told: Recipe, classes: int) -> nn.Module:
    sizes = (classes, told.dimension)
    margin, temperature = told.margin or 0.0, told.temperature or 0.0
    if told.loss == "triplet":
        return Triplet(margin, told.mining or "", told.distance)
    if told.loss == "soft-triplet":
        return SoftTriplet(told.mining or "", told.distance)
    if told.loss == "contrastive":
        return Contrastive(margin, told.distance)
    if told.loss == "nt-xent":
        return NTXent(temperature)
    if told.loss == "supcon":
        return SupCon(temperature)
    if told.loss == "multi-similarity":
        return MultiSimilarity(margin)
    if told.loss == "proxy-anchor":
        return ProxyAnchor(*sizes, margin, temperature)
    if told.loss == "arcface":
        return ArcFace(*sizes, margin, temperature)
    softmax = NormalisedSoftmax(*sizes, temperature, told.smoothing)
    if told.supcon == 0:
        return softmax
    return WeightedSum([softmax, SupCon(temperature)], [1.0, told.supcon])


def collapse_monitor(recipe: Recipe, classes: int, before: int = 0) -> CollapseMonitor:
    """Watches a training of that recipe on that many classes, from the step after ``before``."""
    told = settled(recipe)
    hinge = told.loss == "triplet"
    return CollapseMonitor(
        margin=told.margin if hinge else None,
        squared=told.distance == "squared",
        classes=classes,
        group=min(told.micro_batch, told.batch_size),
        before=before,
    )
