"""Training batches out of one uint8 tensor: shuffled, shifted, mirrored and normalised.

A set that fits in memory needs no worker processes: one gather per batch shifts and mirrors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vizinho.preprocess import PreprocessSpec
from vizinho.train.sampling import balanced


def normalise(pixels: Tensor, spec: PreprocessSpec) -> Tensor:
    """uint8 [N, H, W, 3] -> float32 [N, 3, H, W], as ``vizinho.preprocess.normalise``.

    The result is laid out channels-last, which the convolutions run fastest on.
    """
    mean = torch.tensor(spec.mean, device=pixels.device) * 255
    std = torch.tensor(spec.std, device=pixels.device) * 255
    return ((pixels.float() - mean) / std).permute(0, 3, 1, 2)


def reflected(places: Tensor, size: int) -> Tensor:
    """Positions up to ``size`` - 1 beyond either end of 0..``size`` - 1, mirrored at that end."""
    last = size - 1
    return last - (last - places.abs()).abs()


#: A set up to this many bytes is kept where the training runs; a larger one sends its batches.
RESIDENT: Final = 8 << 30


class Batch(NamedTuple):
    """``images`` uint8 [B, H, W, 3], ``labels`` int64 [B], ``indices`` int64 [B] into the set."""

    images: Tensor
    labels: Tensor
    indices: Tensor


class Batches:
    """An endless supply of epochs over ``pixels`` uint8 [N, H, W, 3] and ``labels`` int64 [N].

    Every image is moved by up to ``shift`` pixels each way (reflected at the border). With
    ``mirror`` an image is flipped in every other epoch, starting at random: over two epochs the
    network sees both sides once, which beats independent coin flips (arXiv:2404.00498).
    ``per_class`` above 0 deals every class equally often, that many images of it in a
    ``micro_batch`` (``vizinho.train.sampling``).
    Epoch ``e`` is a function of ``seed`` and ``e`` alone, so that a resumed run repeats it, on
    whatever ``device``. A set of up to ``RESIDENT`` bytes lives on the device: its batches are cut
    out there, and nothing but each epoch's order ever moves.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        labels: np.ndarray,
        *,
        batch_size: int,
        shift: int = 2,
        mirror: bool = True,
        seed: int = 0,
        per_class: int = 0,
        micro_batch: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.labels = torch.from_numpy(labels)
        self.size = pixels.shape[1]
        self.batch_size = min(batch_size, len(labels))
        self.shift = shift
        self.mirror = mirror
        self.seed = seed
        self.per_class = per_class
        self.micro_batch = micro_batch
        self.device = torch.device(device)
        self.home = self.device if pixels.nbytes <= RESIDENT else torch.device("cpu")
        # The array itself, never a padded copy: it may be a file that is larger than memory.
        self.images = torch.from_numpy(pixels).to(self.home)

    def __len__(self) -> int:
        """Batches in an epoch; the images left over sit out until the next shuffle."""
        return len(self.labels) // self.batch_size

    def epoch(self, number: int, skip: int = 0) -> Iterator[Batch]:
        """Yields the batches of epoch ``number`` from 0.

        The first ``skip`` batches are passed over, which is how a resumed run goes on.
        """
        count = len(self.labels)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        if self.per_class:
            length = len(self) * self.batch_size
            together = max(1, self.micro_batch // self.per_class)
            order = balanced(self.labels, self.per_class, length, generator, together)
        else:
            order = torch.randperm(count, generator=generator)
        top, left = torch.randint(0, 2 * self.shift + 1, (2, count), generator=generator)
        sides = torch.randint(0, 2, (count,), generator=torch.Generator().manual_seed(self.seed))
        flipped = (sides + number) % 2 == 1 if self.mirror else torch.zeros(count, dtype=torch.bool)
        # Drawn on the processor, so that the order is the same on every device.
        order, top, left, flipped, labels = (
            drawn.to(self.home) for drawn in (order, top, left, flipped, self.labels)
        )
        along = torch.arange(self.size, device=self.home)
        for start in range(skip * self.batch_size, len(self) * self.batch_size, self.batch_size):
            chosen = order[start : start + self.batch_size]
            rows = reflected(top[chosen, None] + along - self.shift, self.size)
            columns = torch.where(flipped[chosen, None], along.flip(0), along)
            columns = reflected(columns + left[chosen, None] - self.shift, self.size)
            images = self.images[chosen[:, None, None], rows[:, :, None], columns[:, None, :]]
            yield Batch(*(part.to(self.device) for part in (images, labels[chosen], chosen)))
