"""Losses over the pairs of a batch: ``(embeddings [N, D], labels int64 [N]) -> scalar``.

All but ``Contrastive`` compare directions alone, whatever the embeddings' lengths. A batch without
the pairs that a loss needs gives zero, never 0 / 0.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vizinho.train.distances import batch_distances, pairs

#: Stands for a logit of minus infinity, whose gradients would not be numbers.
NEVER: Final = -1e9


class Contrastive(nn.Module):
    """Pulls pairs of one class together, pushes other pairs apart up to the ``margin``.

    ``distance`` is ``squared``: d^2 and max(0, margin - d)^2, as in R. Hadsell, S. Chopra, Y.
    LeCun, "Dimensionality Reduction by Learning an Invariant Mapping" (CVPR 2006), eq. 4; or
    ``euclidean``: d and max(0, margin - d), as in pytorch-metric-learning. The d is Euclidean in
    both, and so is the margin. Each kind of pair is averaged over those that are not yet where
    they belong, or the many far negatives would drown the near ones.
    """

    def __init__(self, margin: float = 1.0, distance: str = "squared") -> None:
        super().__init__()
        self.margin = margin
        self.distance = distance

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        apart = batch_distances(embeddings, "euclidean")
        positive, negative = pairs(labels)
        pull, push = apart, F.relu(self.margin - apart)
        if self.distance == "squared":
            pull, push = batch_distances(embeddings, "squared"), push.square()
        return _mean_above_zero(pull, positive) + _mean_above_zero(push, negative)


class NTXent(nn.Module):
    """Normalised-temperature cross-entropy of each positive pair against the anchor's negatives.

    Mean over ordered pairs (a, p) of one class of -ln(e(a, p) / (e(a, p) + sum of e(a, n))), with
    e = exp(cosine / ``temperature``) and n all images of other classes. Source: T. Chen et al., "A
    Simple Framework for Contrastive Learning" (ICML 2020), eq. 1; with labels, a pair leaves the
    anchor's other positives alone, as in pytorch-metric-learning.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        logits = _cosines(embeddings) / self.temperature
        positive, negative = pairs(labels)
        against = logits.masked_fill(~negative, NEVER).logsumexp(dim=1, keepdim=True)
        terms = F.softplus(against - logits).masked_fill(~positive, 0.0)
        return terms.sum() / positive.sum().clamp(min=1)


class SupCon(nn.Module):
    """Supervised contrastive loss, the average outside the logarithm.

    Source: P. Khosla et al., "Supervised Contrastive Learning" (NeurIPS 2020), eq. 2. Anchors
    without a positive in the batch don't count.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        logits = _cosines(embeddings) / self.temperature
        itself = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        logits = logits.masked_fill(itself, NEVER)
        log_probability = logits - logits.logsumexp(dim=1, keepdim=True)
        positive, _ = pairs(labels)
        counts = positive.sum(dim=1)
        per_anchor = -log_probability.masked_fill(~positive, 0.0).sum(dim=1)
        return (per_anchor / counts.clamp(min=1)).sum() / (counts > 0).sum().clamp(min=1)


class MultiSimilarity(nn.Module):
    """Log-sums over an anchor's hard positives and hard negatives, with the paper's mining.

    Mean over anchors of ln(1 + sum of exp(-alpha (s - base))) / alpha over positives plus
    ln(1 + sum of exp(beta (s - base))) / beta over negatives, s the cosine. Kept are positives
    less than ``margin`` above the nearest negative, and negatives less than ``margin`` below the
    farthest positive. Source: X. Wang et al., "Multi-Similarity Loss with General Pair Weighting"
    (CVPR 2019), section 4; ``margin`` is its epsilon, ``base`` its lambda, 0.5 as in the authors'
    code. An anchor with nothing kept counts as zero.
    """

    def __init__(
        self, margin: float = 0.1, alpha: float = 2.0, beta: float = 50.0, base: float = 0.5
    ) -> None:
        super().__init__()
        self.margin = margin
        self.alpha = alpha
        self.beta = beta
        self.base = base

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        cosines = _cosines(embeddings)
        positive, negative = pairs(labels)
        with torch.no_grad():
            nearest = cosines.masked_fill(~negative, -torch.inf).amax(1, keepdim=True)
            farthest = cosines.masked_fill(~positive, torch.inf).amin(1, keepdim=True)
            positive = positive & (cosines - self.margin < nearest)
            negative = negative & (cosines + self.margin > farthest)
        pull = _log_one_plus_sum(-self.alpha * (cosines - self.base), positive) / self.alpha
        push = _log_one_plus_sum(self.beta * (cosines - self.base), negative) / self.beta
        return (pull + push).mean()


def _cosines(embeddings: Tensor) -> Tensor:
    unit = F.normalize(embeddings)
    return unit @ unit.T


def _mean_above_zero(terms: Tensor, meant: Tensor) -> Tensor:
    meant = meant & (terms.detach() > 0)
    return terms.masked_fill(~meant, 0.0).sum() / meant.sum().clamp(min=1)


def _log_one_plus_sum(exponents: Tensor, meant: Tensor) -> Tensor:
    """ln(1 + sum over ``meant`` of exp): [N, M] -> [N]; without any it is 0 and flat."""
    return F.softplus(exponents.masked_fill(~meant, NEVER).logsumexp(dim=1))
