"""From a recipe to the loss that it names."""

from __future__ import annotations

from torch import nn

from vizinho.train.losses import NormalisedSoftmax, SupCon, Triplet, WeightedSum
from vizinho.train.miners import miner
from vizinho.train.recipes import Recipe


def build_loss(recipe: Recipe, classes: int) -> nn.Module:
    """The recipe's loss for that many classes: ``(embeddings [N, D], labels [N]) -> scalar``."""
    if recipe.loss == "triplet":
        return Triplet(recipe.margin, miner(recipe.mining, recipe.margin))
    softmax = NormalisedSoftmax(classes, recipe.dimension, recipe.temperature, recipe.smoothing)
    if recipe.supcon == 0:
        return softmax
    return WeightedSum([softmax, SupCon(recipe.temperature)], [1.0, recipe.supcon])
