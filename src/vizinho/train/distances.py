"""Distances within a batch, for losses and miners."""

from __future__ import annotations

import torch
from torch import Tensor


def pairwise_squared_distances(embeddings: Tensor, others: Tensor | None = None) -> Tensor:
    """Squared Euclidean distances [N, M] between [N, D] and [M, D]; [N, N] within the first alone.

    Differentiable and never negative: rounding of ``|a|^2 + |b|^2 - 2ab`` is clamped at 0, and the
    distance of an embedding to itself is exactly 0. Computed in float32 also under autocast, as
    bfloat16 would round near distances away.
    """
    with torch.autocast(device_type=embeddings.device.type, enabled=False):
        first = embeddings.float()
        second = first if others is None else others.float()
        norms = first.square().sum(1)[:, None] + second.square().sum(1)
        squared = (norms - 2.0 * first @ second.T).clamp(min=0.0)
        if others is not None:
            return squared
        itself = torch.eye(len(first), dtype=torch.bool, device=first.device)
        return squared.masked_fill(itself, 0.0)
