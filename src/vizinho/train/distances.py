"""Distances within a batch, for losses and miners."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

#: Squared distances below this share of the mean squared length are float32's rounding.
ROUNDING: Final = 1e-6


def pairwise_squared_distances(embeddings: Tensor, others: Tensor | None = None) -> Tensor:
    """Squared Euclidean distances [N, M] between [N, D] and [M, D]; [N, N] within the first alone.

    Differentiable and never negative: rounding of ``|a|^2 + |b|^2 - 2ab`` is clamped at 0, and the
    distance of an embedding to itself is exactly 0. Computed in float32 also under autocast, as
    bfloat16 would round near distances away.
    """
    with torch.autocast(device_type=embeddings.device.type, enabled=False):
        first = embeddings.float()
        second = first if others is None else others.float()
        # Seen from their centre points are shorter and less is lost in the difference of squares;
        # distances, and so their gradients, don't know where the origin is.
        centre = first.detach().mean(0)
        first, second = first - centre, second - centre
        norms = first.square().sum(1)[:, None] + second.square().sum(1)
        squared = (norms - 2.0 * first @ second.T).clamp(min=0.0)
        if others is not None:
            return squared
        itself = torch.eye(len(first), dtype=torch.bool, device=first.device)
        return squared.masked_fill(itself, 0.0)


def pairwise_distances(embeddings: Tensor) -> Tensor:
    """Euclidean distances [N, N] between the rows of [N, D].

    Where two points are too near for float32 to tell apart the distance is 0 and so is its
    gradient: the root's slope is infinite there.
    """
    squared = pairwise_squared_distances(embeddings)
    # The mean of |a - b|^2 is twice the mean squared length seen from the centre.
    near = squared <= ROUNDING * squared.detach().mean() / 2
    return squared.masked_fill(near, 1.0).sqrt().masked_fill(near, 0.0)


def batch_distances(embeddings: Tensor, kind: str) -> Tensor:
    """[N, D] -> [N, N], ``squared`` or plain ``euclidean``."""
    if kind == "squared":
        return pairwise_squared_distances(embeddings)
    return pairwise_distances(embeddings)


def pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """(positive, negative) bool [N, N]: two images of one class, and images of two classes."""
    same = labels[:, None] == labels
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return same & ~itself, ~same


def partners(labels: Tensor) -> tuple[Tensor, Tensor]:
    """For each image the others of its class: indices [N, K] and which of them are meant [N, K].

    K is the largest class less one; a smaller class leaves places that are not meant.
    """
    _, which, counts = torch.unique(labels, return_inverse=True, return_counts=True)
    order = which.argsort()
    begins = counts.cumsum(0) - counts
    widest = torch.arange(int(counts.max()) if len(counts) else 0, device=labels.device)
    places = begins[which, None] + widest
    meant = widest < counts[which, None]
    found = order[places.clamp(max=len(labels) - 1)]
    return found, meant & (found != torch.arange(len(labels), device=labels.device)[:, None])
