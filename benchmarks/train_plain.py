"""The other side of `train.py`: the same network in a plain PyTorch loop, as most people write it.

A `Dataset` of PIL pictures, ordinary transforms for one picture at a time, a `DataLoader` with two
workers, torch's usual memory layout, convolutions and an optimiser from `torch.optim`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

from common import ROOT  # noqa: F401  (puts src on the path)
from vizinho.train.networks import build_optimisers
from vizinho.train.objectives import build_loss
from vizinho.train.recipes import Recipe
from vizinho.train.winograd import Conv3x3

WORKERS = 2


class Pictures(Dataset[tuple[Tensor, int]]):
    """PIL pictures, each padded and cropped, mirrored by a coin, scaled to -1..1."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray, shift: int, mirror: bool) -> None:
        self.pictures = [Image.fromarray(one) for one in pixels]
        self.labels = labels
        self.shift = shift
        self.mirror = mirror

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = self.pictures[index]
        if self.shift:
            side = picture.width
            padded = ImageOps.expand(picture, self.shift)
            left, top = (random.randint(0, 2 * self.shift) for _ in range(2))
            picture = padded.crop((left, top, left + side, top + side))
        if self.mirror and random.random() < 0.5:
            picture = ImageOps.mirror(picture)
        image = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()
        return image.float().div(255).sub(0.5).div(0.5), int(self.labels[index])


class Whole(nn.Conv2d):
    """torch's own convolution, all of its output, whatever part was asked for."""

    def forward(self, x: Tensor, *_: int) -> Tensor:
        return super().forward(x)


def plainly(network: nn.Module) -> nn.Module:
    """``network`` with torch's own convolutions and memory layout."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Conv3x3):
                inputs, outputs, stride = child.in_channels, child.out_channels, child.stride
                plain = Whole(inputs, outputs, 3, stride, padding=1, bias=False)
                plain.load_state_dict(child.state_dict())
                setattr(parent, name, plain)
    made: nn.Module = network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return made


def steps(
    network: nn.Module, recipe: Recipe, pixels: np.ndarray, labels: np.ndarray, bfloat16: bool
) -> Iterator[int]:
    """Trains until closed; yields the number of images after each step."""
    loss = build_loss(recipe, 10)
    optimisers: list[Any] = build_optimisers(recipe, network, loss)
    if recipe.optimiser == "sgd":
        optimisers = [
            torch.optim.SGD(
                [*network.parameters(), *loss.parameters()],
                lr=recipe.lr,
                momentum=recipe.momentum,
                weight_decay=recipe.weight_decay,
                nesterov=recipe.momentum > 0,
            )
        ]
    pictures = Pictures(pixels, labels, recipe.shift, recipe.mirror)
    # With replacement an epoch has no end, so no worker is ever started anew while time is taken.
    sampler = RandomSampler(pictures, replacement=True, num_samples=1 << 30)
    network.train()
    for images, wanted in DataLoader(
        pictures, recipe.batch_size, sampler=sampler, num_workers=WORKERS
    ):
        for optimiser in optimisers:
            optimiser.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            embeddings = network(images)
        loss(embeddings.float(), wanted).backward()
        for optimiser in optimisers:
            optimiser.step()
        yield len(wanted)
