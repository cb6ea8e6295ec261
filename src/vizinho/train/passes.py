"""One pass over images: to learn from them, to embed them, to prepare a network for them."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vizinho.evaluate import precision_at_1
from vizinho.train.batches import normalise
from vizinho.train.data import Pixels
from vizinho.train.fastnet import FastNet
from vizinho.train.precision import Precision
from vizinho.train.recipes import Recipe

EMBED_BATCH = 250

#: Training images that are enough to compute a first layer or the classes' places from.
SAMPLE = 5000


def accumulate(
    network: nn.Module,
    loss: nn.Module,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    precision: Precision,
    posterior: Tensor | None = None,
) -> tuple[Tensor, float]:
    """Adds the gradients of one batch, a micro-batch at a time; returns its embeddings and loss.

    ``images`` uint8 [B, H, W, 3]; ``posterior`` [B, classes] is for a loss with a teacher. Pairs
    and triplets are formed inside a micro-batch: small ones stay in the processor's cache, and
    batch normalisation sees each one alone.
    """
    seen, total = [], torch.zeros((), device=labels.device)
    for start in range(0, len(labels), recipe.micro_batch):
        part = slice(start, start + recipe.micro_batch)
        with precision.autocast():
            embeddings = network(normalise(images[part], recipe.spec))
        taught = () if posterior is None else (posterior[part],)
        value = loss(embeddings.float(), labels[part], *taught)
        value = value * (len(labels[part]) / len(labels))
        value.backward()
        seen.append(embeddings.detach())
        total += value.detach()
    # Reading a number waits for the device: once a batch, not once a micro-batch.
    return torch.cat(seen), total.item()


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
