"""A small convolutional network for people without a GPU.

About two million parameters in seven layers: a whitening layer that is computed rather than
learned, three blocks of two 3x3 convolutions, a linear layer. The shape follows the CIFAR-10 speed
records (K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv:2404.00498), which
followed D. Page, "How to Train Your ResNet" (2018-2019).
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vizinho.train.winograd import Conv3x3

PATCH: Final = 2
WIDTHS: Final = (64, 256, 256)


class Block(nn.Module):
    """Two convolutions with a max-pool between: [N, C, H, W] -> [N, width, H // 2, W // 2]."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = Conv3x3(channels, width)
        self.norm1 = batch_norm(width)
        self.conv2 = Conv3x3(width, width)
        self.norm2 = batch_norm(width)
        for conv in (self.conv1, self.conv2):
            # Starting from the identity lets the first steps train the head on real features.
            nn.init.dirac_(conv.weight[: conv.in_channels])

    def forward(self, x: Tensor) -> Tensor:
        # An odd last row or column is in no window of the pooling.
        even = (x.shape[2] // 2 * 2, x.shape[3] // 2 * 2) if self.training else ()
        x = F.silu(self.norm1(F.max_pool2d(self.conv1(x, *even), 2)))
        return F.silu(self.norm2(self.conv2(x)))


class FastNet(nn.Module):
    """Images float32 [N, 3, H, W], H and W at least 18 -> embeddings float32 [N, D].

    The loss always sees the linear head's ``dimension`` numbers. In evaluation mode ``descriptor``
    says which layer is the embedding: that ``head``, or the ``features`` below it (D is then the
    last width), which keep more of what tells two pictures of one class apart.

    Call :meth:`whiten` on a sample of the training images before the first step.
    """

    def __init__(
        self,
        dimension: int,
        *,
        normalise: bool = True,
        descriptor: str = "head",
        widths: tuple[int, ...] = WIDTHS,
    ) -> None:
        super().__init__()
        self.normalise = normalise
        self.descriptor = descriptor
        whitened = 2 * 3 * PATCH**2
        # Nothing below the first block learns, so the costliest gradient is never computed.
        self.whitening = nn.Conv2d(3, whitened, PATCH, bias=False)
        self.whitening.weight.requires_grad_(False)
        channels = (whitened, *widths)
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in zip(channels, widths, strict=False)))
        self.head = nn.Linear(widths[-1], dimension, bias=False)

    def features(self, images: Tensor) -> Tensor:
        """The layer before the head: [N, 3, H, W] -> [N, widths[-1]]."""
        x = self.blocks(F.silu(self.whitening(images)))
        return torch.amax(x, dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        features = self.features(images)
        below = self.descriptor == "features" and not self.training
        embeddings = features if below else self.head(features)
        return F.normalize(embeddings) if self.normalise else embeddings

    @torch.no_grad()
    def whiten(self, images: Tensor, eps: float = 5e-4) -> None:
        """Sets the first layer so that its outputs are uncorrelated with variance one.

        ``images``: float32 [N, 3, H, W] as in training; 5,000 are plenty. The filters are the
        eigenvectors of the patches' covariance over the root of their eigenvalues, then the same
        negated, so that the activation loses no sign.
        """
        patches = F.unfold(images, PATCH).transpose(1, 2).reshape(-1, 3 * PATCH**2)
        patches = patches - patches.mean(dim=0)
        covariance = patches.T @ patches / len(patches)
        values, vectors = torch.linalg.eigh(covariance)
        filters = (vectors / torch.sqrt(values + eps)).T.reshape(-1, 3, PATCH, PATCH)
        self.whitening.weight.copy_(torch.cat([filters, -filters]))


def batch_norm(width: int) -> nn.BatchNorm2d:
    """Batch normalisation with a learned shift and no learned scale.

    Its running statistics follow some thirty batches: small micro-batches each say little, and the
    last epochs change the weights so little that a longer memory is not a stale one.
    """
    norm = nn.BatchNorm2d(width, momentum=0.03)
    norm.weight.requires_grad_(False)
    return norm
