"""Which arithmetic this machine trains fastest in: measured once at the start, not guessed."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

PROBE_IMAGES = 64
PROBE_ROUNDS = 3


def prepare(device: torch.device) -> None:
    """Lets a CUDA device multiply float32 in TF32, as convolutions there do anyway."""
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True


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

        ``network`` is in training mode and takes float32 [N, 3, size, size]; its weights, gradients
        and running statistics are left as they were. Processors without bfloat16 instructions
        emulate them many times slower. A GPU is taken at its word, untimed.
        """
        plain, brief = cls("float32", device), cls("bfloat16", device)
        if device.type == "cuda":
            # A probe small enough for any memory would time launches there, not arithmetic.
            return brief if torch.cuda.is_bf16_supported(including_emulation=False) else plain
        state = {name: value.clone() for name, value in network.state_dict().items()}
        images = torch.randn(PROBE_IMAGES, 3, size, size, device=device)
        images = images.to(memory_format=torch.channels_last)
        plain.time(network, images)
        plain_seconds, brief_seconds = [plain.time(network, images)], [brief.time(network, images)]
        # Emulated bfloat16 is so slow that one look is enough, and all that one should wait for.
        if brief_seconds[0] < 2 * plain_seconds[0]:
            for _ in range(PROBE_ROUNDS):
                plain_seconds.append(plain.time(network, images))
                brief_seconds.append(brief.time(network, images))
        network.load_state_dict(state)
        network.zero_grad()
        return brief if min(brief_seconds) < min(plain_seconds) else plain

    def time(self, network: nn.Module, images: Tensor) -> float:
        """Seconds of one forward and backward pass over ``images`` [N, 3, H, W]."""
        began = time.perf_counter()
        with self.autocast():
            total = network(images).float().sum()
        total.backward()
        # Reading a number waits for the device; on a CPU it costs nothing.
        total.item()
        return time.perf_counter() - began
