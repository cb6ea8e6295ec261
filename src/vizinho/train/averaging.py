"""The running mean of a network's weights over its training's steps.

B. T. Polyak and A. B. Juditsky, "Acceleration of Stochastic Approximation by Averaging" (1992),
with exponential weights. The noise of single steps averages out, as it would at a lower learning
rate.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vizinho.train.augment import augmented
from vizinho.train.batches import normalise
from vizinho.train.data import Pixels
from vizinho.train.networks import load_weights
from vizinho.train.passes import EMBED_BATCH, as_many, spread
from vizinho.train.recipes import Recipe


class Average:
    """A copy of ``network`` whose weights are the mean of those that :meth:`update` was shown.

    After t updates the mean is ``decay_t`` x itself + (1 - ``decay_t``) x the weights, where
    ``decay_t`` = min(``decay``, t / (t + 9)): a young mean forgets chance's weights quickly.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Takes in the weights after one more step."""
        decay = min(self.decay, self.updates / (self.updates + 9))
        self.updates += 1
        own: list[Tensor] = list(self.network.parameters())
        torch._foreach_lerp_(own, list[Tensor](network.parameters()), 1 - decay)

    def refresh(self, pixels: Pixels, recipe: Recipe) -> None:
        """Fits batch normalisation to the weights as they are now, on some training images.

        Strong augmentation and cutout are done as in training, so that the statistics are of what
        the network saw; shift and mirror, which hardly change them, are not.
        """
        device = next(self.network.parameters()).device
        images = pixels.train[recipe.size][spread(len(pixels.labels))]
        parts = np.array_split(images, -(-len(images) // as_many(EMBED_BATCH, recipe.size)))
        refresh_statistics(
            self.network,
            (
                normalise(augmented(torch.from_numpy(part).to(device), recipe, i), recipe.spec)
                for i, part in enumerate(parts)
            ),
        )

    def state(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        return {"updates": self.updates, "network": self.network.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """What :meth:`state` gave."""
        self.updates = state["updates"]
        load_weights(self.network, state["network"])


@torch.no_grad()
def refresh_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Measures what batch normalisation subtracts and divides by anew, on ``batches``.

    Running statistics belong to the weights that they were gathered with, and a mean of weights is
    another network: P. Izmailov et al., "Averaging Weights Leads to Wider Optima and Better
    Generalization" (2018), section 3.2. Each of the normalised float32 [N, 3, H, W] counts alike.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        # Without a momentum the statistics are plain means over the batches.
        norm.momentum = None
    training = network.training
    network.train()
    for images in batches:
        network(images)
    network.train(training)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
