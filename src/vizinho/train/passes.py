"""One pass over images: to embed them, to prepare a network or a loss for them."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from vizinho.evaluate import precision_at_1
from vizinho.train.batches import normalise
from vizinho.train.data import Pixels
from vizinho.train.fastnet import FastNet
from vizinho.train.recipes import Recipe

EMBED_BATCH = 250

#: Training images that are enough to compute a first layer or the classes' places from.
SAMPLE = 5000


def whiten(network: nn.Module, images: NDArray[np.uint8], recipe: Recipe) -> None:
    """Sets the first layer of every ``FastNet`` in ``network`` from the training images."""
    for module in network.modules():
        if isinstance(module, FastNet):
            # All their patches are in memory at once.
            enough = as_many(SAMPLE, images.shape[1])
            sample = torch.from_numpy(images[spread(len(images), enough)])
            device = module.whitening.weight.device
            module.whiten(normalise(sample, recipe.spec).to(device))


@torch.inference_mode()
def embed(
    network: nn.Module, images: NDArray[np.uint8], recipe: Recipe, device: torch.device
) -> NDArray[np.float32]:
    """uint8 [N, H, W, 3] -> embeddings float32 [N, D] as the finished network would give them."""
    training = network.training
    network.eval()
    step = as_many(EMBED_BATCH, images.shape[1])
    parts = [
        network(normalise(torch.from_numpy(images[i : i + step]).to(device), recipe.spec))
        for i in range(0, len(images), step)
    ]
    network.train(training)
    found: NDArray[np.float32] = torch.cat(parts).float().cpu().numpy()
    return found


def measure(
    network: nn.Module, pixels: Pixels, recipe: Recipe, device: torch.device
) -> float | None:
    """Top-1 on the held-out images, leave-one-out; None when too few were held out."""
    if len(pixels.holdout) < 2:
        return None
    return precision_at_1(embed(network, pixels.holdout, recipe, device), pixels.holdout_labels)


def settle(loss: nn.Module, network: nn.Module, pixels: Pixels, recipe: Recipe) -> None:
    """Moves a loss's proxies to where a warm-started network has put the classes.

    Left at random they would first pull the classes away from what the weights have learned.
    """
    proxies = [rows for name, rows in loss.named_parameters() if name.endswith("proxies")]
    if not proxies:
        return
    sample = spread(len(pixels.labels))
    device = next(network.parameters()).device
    found = embed(network, pixels.train[recipe.size][sample], recipe, device)
    unit = F.normalize(torch.from_numpy(found))
    labels = torch.from_numpy(pixels.labels[sample])
    for rows in proxies:
        if rows.shape != (len(pixels.classes), unit.shape[1]):
            continue
        sums = torch.zeros(rows.shape).index_add_(0, labels, unit)
        seen = torch.bincount(labels, minlength=len(rows)) > 0
        rows.data[seen] = F.normalize(sums[seen]).to(rows.device)


def spread(count: int, most: int = SAMPLE) -> NDArray[np.int64]:
    """Up to ``most`` positions among ``count``, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def as_many(count: int, size: int) -> int:
    """As many images of ``size`` pixels as hold what ``count`` of 32 do, ``count`` at most."""
    return max(1, min(count, count * 32**2 // size**2))
