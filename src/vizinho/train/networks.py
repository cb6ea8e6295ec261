"""From a recipe to a network and its optimisers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vizinho.train.fastnet import FastNet
from vizinho.train.optim import Muon
from vizinho.train.recipes import Recipe, wide_shape
from vizinho.train.resnet import resnet
from vizinho.train.wideresnet import WideResNet


class Mirrored(nn.Module):
    """The middle of an image's embedding and its mirror image's; float32 [N, 3, H, W] -> [N, D].

    Both sides of a picture get one vector, at twice the time. Training sees one side at a time.
    """

    def __init__(self, network: nn.Module, normalise: bool) -> None:
        super().__init__()
        self.network = network
        self.normalise = normalise

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            one_side: Tensor = self.network(images)
            return one_side
        both: Tensor = self.network(images) + self.network(images.flip(3))
        return F.normalize(both) if self.normalise else both / 2


def build_network(recipe: Recipe) -> nn.Module:
    """The recipe's network with random weights, laid out channels-last."""
    network: nn.Module
    if recipe.network == "fastnet":
        network = FastNet(
            recipe.dimension,
            normalise=recipe.normalise,
            descriptor=recipe.descriptor,
            widths=(recipe.width, 4 * recipe.width, 4 * recipe.width),
        )
    elif wide := wide_shape(recipe.network):
        network = WideResNet(*wide, recipe.dimension, normalise=recipe.normalise)
    else:
        depth = int(recipe.network.removeprefix("resnet"))
        network = resnet(depth, recipe.dimension, recipe.stem, recipe.normalise)
    if recipe.mirrored:
        network = Mirrored(network, recipe.normalise)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Loads the state of a network of the same recipe, in place; strict about names and shapes.

    Either of the two may be ``Mirrored``: that has no weights of its own, so one training serves
    both.
    """
    body = network.network if isinstance(network, Mirrored) else network
    body.load_state_dict({name.removeprefix("network."): w for name, w in weights.items()})


def build_optimisers(
    recipe: Recipe, network: nn.Module, loss: nn.Module
) -> list[torch.optim.Optimizer]:
    """One or two optimisers that together hold every weight that learns, the loss's included."""
    weights = [w for w in (*network.parameters(), *loss.parameters()) if w.requires_grad]
    settings: dict[str, Any] = {
        "momentum": recipe.momentum,
        "weight_decay": recipe.weight_decay,
        "nesterov": recipe.momentum > 0,
        # One pass over the weights instead of five: a tenth of a ResNet's step at batch 128.
        "fused": True,
    }
    if recipe.optimiser == "sgd":
        return [torch.optim.SGD(weights, lr=recipe.lr, **settings)]
    filters = [weight for weight in weights if weight.ndim == 4]
    shifts = [weight for weight in weights if weight.ndim == 1]
    matrices = [weight for weight in weights if weight.ndim not in (1, 4)]
    groups = [
        {"params": matrices, "lr": recipe.head_lr},
        # Shifts of batch normalisation act on whole channels, so they move more slowly.
        {"params": shifts, "lr": recipe.head_lr / 6},
    ]
    return [Muon(filters, lr=recipe.lr), torch.optim.SGD(groups, **settings)]


def rate(recipe: Recipe, progress: float) -> float:
    """Factor on every learning rate when ``progress`` (0 to 1) of the training is done."""
    if recipe.schedule == "steps":
        return float(0.1 ** (int(progress * recipe.epochs + 1e-9) // recipe.step_epochs))
    warm_up = 0.05
    down = 1 - progress
    if recipe.schedule == "cosine":
        down = (1 + math.cos(math.pi * progress)) / 2
    return min(1.0, (progress + 1e-3) / warm_up) * down
