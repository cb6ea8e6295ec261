"""Losses: callables ``(embeddings [N, D], labels [N]) -> scalar``.

Any loss of pytorch-metric-learning has this shape too and can be used as it is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vizinho.train.miners import Miner


class NormalisedSoftmax(nn.Module):
    """Cross-entropy over the cosines between an embedding and one learned proxy per class.

    Source: A. Zhai and H.-Y. Wu, "Classification is a Strong Baseline for Deep Metric Learning"
    (BMVC 2019), eq. 2; ``temperature`` is its sigma. ``smoothing`` is label smoothing.
    """

    def __init__(
        self, classes: int, dimension: int, temperature: float = 0.1, smoothing: float = 0.1
    ) -> None:
        super().__init__()
        self.proxies = nn.Parameter(torch.empty(classes, dimension))
        nn.init.orthogonal_(self.proxies)
        self.temperature = temperature
        self.smoothing = smoothing

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        cosines = F.normalize(embeddings) @ F.normalize(self.proxies).T
        return F.cross_entropy(cosines / self.temperature, labels, label_smoothing=self.smoothing)


class SupCon(nn.Module):
    """Supervised contrastive loss, the average outside the logarithm.

    Source: P. Khosla et al., "Supervised Contrastive Learning" (NeurIPS 2020), eq. 2. Anchors
    without a positive in the batch don't count.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        z = F.normalize(embeddings)
        logits = z @ z.T / self.temperature
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        logits = logits.masked_fill(itself, -torch.inf)
        log_probability = logits - logits.logsumexp(dim=1, keepdim=True)
        positive = (labels[:, None] == labels) & ~itself
        counts = positive.sum(dim=1)
        per_anchor = -log_probability.masked_fill(~positive, 0).sum(dim=1)[counts > 0]
        # A batch without any positive pair teaches nothing; it must not turn into 0 / 0.
        return (per_anchor / counts[counts > 0]).sum() / max(len(per_anchor), 1)


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
    """Hinge on squared distances: mean of max(0, d(a, p) - d(a, n) + margin) over mined triplets.

    The thesis's loss; F. Schroff et al., "FaceNet" (CVPR 2015), eq. 3. A batch in which the miner
    finds nothing gives zero.
    """

    def __init__(self, margin: float, miner: Miner) -> None:
        super().__init__()
        self.margin = margin
        self.miner = miner

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        anchor, positive, negative = self.miner(embeddings, labels)
        near = (embeddings[anchor] - embeddings[positive]).square().sum(dim=1)
        far = (embeddings[anchor] - embeddings[negative]).square().sum(dim=1)
        return F.relu(near - far + self.margin).sum() / max(len(anchor), 1)
