"""Which arithmetic this machine trains fastest in: measured once at the start, not guessed."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager

import torch
from torch import nn

PROBE_IMAGES = 64
PROBE_ROUNDS = 3


class Precision:
    """``float32`` or ``bfloat16`` (weights stay float32; convolutions run in bfloat16)."""

    def __init__(self, name: str, device: torch.device) -> None:
        self.name = name
        self.device = device

    def autocast(self) -> AbstractContextManager[None]:
        """The context in which a forward pass is made."""
        return torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=self.name == "bfloat16"
        )

    @classmethod
    def fastest(cls, network: nn.Module, size: int, device: torch.device) -> Precision:
        """Times forward and backward passes in both, interleaved, and takes the quicker.

        Processors without bfloat16 instructions emulate them many times slower. The network's
        weights, gradients and running statistics are left as they were.
        """
        both = [cls("float32", device), cls("bfloat16", device)]
        state = {name: value.clone() for name, value in network.state_dict().items()}
        images = torch.randn(PROBE_IMAGES, 3, size, size, device=device)
        images = images.to(memory_format=torch.channels_last)
        best = [float("inf")] * len(both)
        for _ in range(PROBE_ROUNDS):
            for i, precision in enumerate(both):
                began = time.perf_counter()
                with precision.autocast():
                    embeddings = network(images)
                # Reading a number waits for the device; on a CPU it costs nothing.
                embeddings.float().sum().backward()
                embeddings.float().sum().item()
                best[i] = min(best[i], time.perf_counter() - began)
        network.load_state_dict(state)
        network.zero_grad()
        return both[best.index(min(best))]
