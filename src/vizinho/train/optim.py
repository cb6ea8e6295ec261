"""Muon: momentum whose update is turned into the nearest orthogonal matrix, one per filter bank.

Source: K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import torch
from torch import Tensor

# Chosen by Muon's authors so that x -> ax + bx^3 + cx^5, applied five times, sends every singular
# value in (0, 1] near 1 as fast as possible.
NEWTON_SCHULZ: Final = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrix: Tensor, steps: int = 5, eps: float = 1e-7) -> Tensor:
    """[R, C] -> [R, C] with the same singular vectors and singular values between 0.7 and 1.2.

    Each step is x <- p x with a symmetric p, a polynomial of x @ x.T, so only the shorter side's
    square is iterated: the longer side costs two products rather than two for every step.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.T if tall else matrix
    x = x / (x.norm() + eps)
    gram = x @ x.T
    whole = torch.eye(len(x), dtype=x.dtype, device=x.device)
    for step in range(steps):
        p = b * gram + c * gram @ gram
        p.diagonal().add_(a)
        whole = p @ whole if step else p
        if step < steps - 1:
            gram = p @ gram @ p
    x = whole @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """For weights of two or more dimensions; the first is the output's.

    Each weight is held at the norm of sqrt(outputs): with batch normalisation behind it only its
    direction matters, and the fixed norm makes ``lr`` an angle per step.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.6) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update from the gradients at hand; ``closure`` is not supported."""
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight.grad)
                velocity = state["momentum"]
                velocity.mul_(group["momentum"]).add_(weight.grad)
                nesterov = weight.grad.add(velocity, alpha=group["momentum"])
                update = orthogonalise(nesterov.reshape(len(weight), -1)).view(weight.shape)
                weight.mul_(len(weight) ** 0.5 / weight.norm())
                weight.add_(update, alpha=-group["lr"])
