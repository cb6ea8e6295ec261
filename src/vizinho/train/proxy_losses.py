"""Losses that learn one proxy per class: ``(embeddings [N, D], labels int64 [N]) -> scalar``.

All compare directions alone. Their weights are ``proxies`` [classes, D], learned beside the
network's; a warm start puts them where the network has put the classes.
"""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Squared sines are held above this: the slope of a sine over its cosine is infinite at 0.
FLAT: Final = 1e-6


class Proxies(nn.Module):
    """One learned direction per class."""

    def __init__(self, classes: int, dimension: int) -> None:
        super().__init__()
        self.proxies = nn.Parameter(torch.empty(classes, dimension))
        nn.init.orthogonal_(self.proxies)

    def cosines(self, embeddings: Tensor) -> Tensor:
        """Cosines [N, classes] between embeddings [N, D] and the proxies."""
        return F.normalize(embeddings) @ F.normalize(self.proxies).T


class NormalisedSoftmax(Proxies):
    """Cross-entropy over the cosines between an embedding and the classes' proxies.

    Source: A. Zhai and H.-Y. Wu, "Classification is a Strong Baseline for Deep Metric Learning"
    (BMVC 2019), eq. 2; ``temperature`` is its sigma. ``smoothing`` is label smoothing.
    """

    def __init__(
        self, classes: int, dimension: int, temperature: float = 0.05, smoothing: float = 0.0
    ) -> None:
        super().__init__(classes, dimension)
        self.temperature = temperature
        self.smoothing = smoothing

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        logits = self.cosines(embeddings) / self.temperature
        return F.cross_entropy(logits, labels, label_smoothing=self.smoothing)


class ArcFace(Proxies):
    """Normalised softmax whose own class must be nearer by an angle of ``margin`` radians.

    Source: J. Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition" (CVPR
    2019), eq. 3; ``temperature`` is one over its scale s. Where the angle plus the margin would
    pass pi the cosine less margin x sin(margin) stands in, as in the authors' code, so that a
    larger angle is never a smaller loss.
    """

    def __init__(
        self, classes: int, dimension: int, margin: float = 0.5, temperature: float = 1 / 64
    ) -> None:
        super().__init__(classes, dimension)
        self.margin = margin
        self.temperature = temperature

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        cosines = self.cosines(embeddings)
        own = cosines.gather(1, labels[:, None])
        sine = (1 - own.square()).clamp(min=FLAT).sqrt()
        farther = own * math.cos(self.margin) - sine * math.sin(self.margin)
        beyond = own - self.margin * math.sin(self.margin)
        farther = torch.where(own > -math.cos(self.margin), farther, beyond)
        logits = cosines.scatter(1, labels[:, None], farther) / self.temperature
        return F.cross_entropy(logits, labels)


class ProxyAnchor(Proxies):
    """Each proxy is an anchor that weighs the batch's images by how badly they lie.

    Mean over classes in the batch of ln(1 + sum over own images of exp(-alpha (s - margin))), plus
    mean over all classes of ln(1 + sum over other images of exp(alpha (s + margin))), s the
    cosine. Source: S. Kim et al., "Proxy Anchor Loss for Deep Metric Learning" (CVPR 2020), eq. 4;
    ``temperature`` is one over its alpha.
    """

    def __init__(
        self, classes: int, dimension: int, margin: float = 0.1, temperature: float = 1 / 32
    ) -> None:
        super().__init__(classes, dimension)
        self.margin = margin
        self.temperature = temperature

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        cosines = self.cosines(embeddings)
        own = F.one_hot(labels, len(self.proxies)).bool()
        pull = ((self.margin - cosines) / self.temperature).masked_fill(~own, -torch.inf)
        push = ((cosines + self.margin) / self.temperature).masked_fill(own, -torch.inf)
        # A row of zeros is the 1 in ln(1 + sum): it also keeps a class without images finite.
        pull, push = (F.pad(terms, (0, 0, 1, 0)).logsumexp(dim=0) for terms in (pull, push))
        return pull.sum() / own.any(dim=0).sum().clamp(min=1) + push.mean()
