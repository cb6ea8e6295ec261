"""Losses over triplets, and a weighted sum of any losses.

A loss is a module ``(embeddings [N, D], labels int64 [N]) -> scalar``; any loss of
pytorch-metric-learning has this shape too. Those over pairs are in ``pair_losses``, those with
learned proxies in ``proxy_losses``.
"""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vizinho.train.distances import batch_distances, partners
from vizinho.train.miners import Miner, miner

#: Triplets whose terms are held at once where a sum over all of them has no short cut.
BLOCK: Final = 4_000_000


class WeightedSum(nn.Module):
    """The sum of ``losses``, each times its weight."""

    def __init__(self, losses: list[nn.Module], weights: list[float]) -> None:
        super().__init__()
        self.losses = nn.ModuleList(losses)
        self.weights = weights

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        terms = [
            weight * loss(embeddings, labels)
            for loss, weight in zip(self.losses, self.weights, strict=True)
        ]
        return torch.stack(terms).sum()


class Triplet(nn.Module):
    """Hinge: mean of max(0, d(a, p) - d(a, n) + margin) over the triplets that are drawn.

    ``mining`` is a name in ``miners.MINERS`` or a miner; ``distance`` is ``squared`` or
    ``euclidean``. With squared distances: F. Schroff et al., "FaceNet" (CVPR 2015), eq. 3; with
    plain ones: torch's ``TripletMarginLoss``. The mean is over all drawn triplets, those beyond
    the margin included; a batch in which none is drawn gives zero.
    """

    def __init__(self, margin: float, mining: str | Miner, distance: str = "squared") -> None:
        super().__init__()
        self.margin = margin
        self.distance = distance
        self.miner = None if mining == "batch-all" else _as_miner(mining, margin)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        distances = batch_distances(embeddings, self.distance)
        if self.miner is None:
            return mean_hinge(distances, labels, self.margin)
        anchor, positive, negative = self.miner(distances.detach(), labels)
        gap = distances[anchor, positive] - distances[anchor, negative]
        return F.relu(gap + self.margin).sum() / max(len(anchor), 1)


class SoftTriplet(nn.Module):
    """Mean of ln(1 + exp(d(a, p) - d(a, n))) over the triplets that are drawn: no margin to choose.

    It goes on pulling where a hinge has stopped. ``mining`` and ``distance`` as for ``Triplet``.
    Source: A. Hermans, L. Beyer, B. Leibe, "In Defense of the Triplet Loss for Person
    Re-Identification" (2017), section 2; there with batch-hard mining on plain distances.
    """

    def __init__(self, mining: str | Miner, distance: str = "squared") -> None:
        super().__init__()
        self.distance = distance
        # No margin bounds how far a semi-hard negative may lie.
        self.miner = None if mining == "batch-all" else _as_miner(mining, math.inf)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        distances = batch_distances(embeddings, self.distance)
        if self.miner is None:
            return mean_softplus(distances, labels)
        anchor, positive, negative = self.miner(distances.detach(), labels)
        gap = distances[anchor, positive] - distances[anchor, negative]
        return F.softplus(gap).sum() / max(len(anchor), 1)


def mean_hinge(distances: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Mean of max(0, d(a, p) - d(a, n) + margin) over every triplet of the batch.

    Time and memory grow little faster than N squared though the triplets grow with N cubed: of an
    anchor's sorted negatives those within reach of a positive come first, so their sum is a
    running sum.
    """
    negative = labels[:, None] != labels
    positives, meant = partners(labels)
    reach = distances.gather(1, positives) + margin
    ascending = distances.masked_fill(~negative, torch.inf).sort(dim=1).values
    within = torch.searchsorted(ascending.detach(), reach.detach())
    # Infinities stand for what is no negative; sorted to the end, they are within nobody's reach.
    sums = F.pad(ascending.masked_fill(ascending == torch.inf, 0.0).cumsum(1), (1, 0))
    hinges = within * reach - sums.gather(1, within)
    count = (meant.sum(1) * negative.sum(1)).sum()
    return hinges.masked_fill(~meant, 0.0).sum() / count.clamp(min=1)


def mean_softplus(distances: Tensor, labels: Tensor) -> Tensor:
    """Mean of ln(1 + exp(d(a, p) - d(a, n))) over every triplet of the batch, in bounded memory."""
    negative = labels[:, None] != labels
    positives, meant = partners(labels)
    near = distances.gather(1, positives)

    def block(near: Tensor, far: Tensor, meant: Tensor, negative: Tensor) -> Tensor:
        terms = F.softplus(near[:, :, None] - far[:, None, :])
        return terms.masked_fill(~(meant[:, :, None] & negative[:, None, :]), 0.0).sum()

    rows = max(1, BLOCK // max(1, near.numel()))
    total = distances.sum() * 0.0
    # One block keeps what its gradients need; of several each is computed again for them.
    few = len(labels) <= rows
    parts = (torch.split(each, rows) for each in (near, distances, meant, negative))
    for part in zip(*parts, strict=True):
        total = total + (block(*part) if few else checkpoint(block, *part, use_reentrant=False))
    count = (meant.sum(1) * negative.sum(1)).sum()
    return total / count.clamp(min=1)


def _as_miner(mining: str | Miner, margin: float) -> Miner:
    return miner(mining, margin) if isinstance(mining, str) else mining
