"""3 x 3 convolutions with a third of the multiplications, for training on a processor.

Source: A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016): a
tile of m x m outputs costs (m + 2)^2 products per pair of channels instead of 9 m^2, at the price
of linear maps on the way in and out. Those maps are plain matrix products here, as are the
products themselves, so nothing is compiled. Rounding differs from the direct method by some 1e-6.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn, split
from torch.autograd.function import once_differentiable

#: Where the polynomials are evaluated, infinity left out: small numbers, so that rounding stays so.
POINTS: Final = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5)

#: Sides of an output tile to choose from.
TILES: Final = (2, 3, 4, 5)

#: Numbers of a transformed chunk: 8 MB, which a processor's cache still holds.
CHUNK: Final = 1 << 21

#: Multiplications in the time in which one number is moved; with the 8 moves of each filter in
#: ``best_tile`` it fits what was measured on Zen 3 to about a third.
MOVE: Final = 40


class Conv3x3(nn.Conv2d):
    """A 3x3 convolution padded by one, without bias; its weights are named as ``nn.Conv2d``'s.

    float32 [N, C, H, W] -> [N, K, height, width]: in training and with stride 1 the first rows and
    columns of the output where told, else all of them. In training no product is made that can't
    matter, and on a processor in float32 Winograd's way is taken where it is quicker. That follows
    from the shapes alone, so that a run takes the same way each time.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, 3, stride, padding=1, bias=False)

    def forward(self, x: Tensor, height: int | None = None, width: int | None = None) -> Tensor:
        count, _, rows, columns = x.shape
        if self.training and max(rows, columns) <= self.stride[0]:
            # One output, and most of the filter lies on the padding.
            return F.conv2d(x, self.weight[:, :, 1 : 1 + rows, 1 : 1 + columns])
        if not self.training or self.stride[0] > 1:
            return super().forward(x)
        height, width = height or rows, width or columns
        if x.device.type == "cpu" and not torch.is_autocast_enabled("cpu"):
            tile = best_tile(count, self.in_channels, self.out_channels, height, width)
            if tile is not None:
                return winograd(x, self.weight, height, width, tile)
        if (height, width) == (rows, columns):
            return super().forward(x)
        return F.conv2d(F.pad(x, (1, width + 1 - columns, 1, height + 1 - rows)), self.weight)


def best_tile(images: int, inputs: int, outputs: int, height: int, width: int) -> int | None:
    """The side of the output tile that takes least time; None where the direct method does."""
    if images < 16 or min(inputs, outputs) < 64:
        return None
    pairs = inputs * outputs
    costs = {}
    for tile in TILES:
        side = (tile + 2) ** 2
        seen = images * -(-height // tile) * -(-width // tile) * side
        products = 3 * seen * pairs + 2 * seen * (side * inputs + tile**2 * outputs)
        costs[tile] = products + MOVE * (3 * seen * (inputs + outputs) + 8 * side * pairs)
    best = min(costs, key=costs.__getitem__)
    direct = 3 * 9 * images * height * width * pairs
    return best if costs[best] < direct else None


def winograd(x: Tensor, weight: Tensor, height: int, width: int, tile: int) -> Tensor:
    """The first ``height`` x ``width`` outputs of a 3x3 convolution padded by one, in tiles.

    ``x`` float32 [N, C, H, W], ``weight`` [K, C, 3, 3] -> [N, K, height, width], channels-last.
    """
    found: Tensor = _Winograd.apply(x, weight, height, width, tile)  # type: ignore[no-untyped-call]
    return found


class _Winograd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, height: int, width: int, tile: int) -> Tensor:
        into, over, back = maps(tile)
        outputs, inputs = weight.shape[:2]
        filters = (over @ weight.permute(2, 3, 1, 0).reshape(9, -1)).view(-1, inputs, outputs)
        down, across = -(-height // tile), -(-width // tile)
        margins = (0, 0, 1, across * tile + 1 - x.shape[3], 1, down * tile + 1 - x.shape[2])
        chunk = max(1, CHUNK // (down * across * len(filters) * max(inputs, outputs)))
        y = x.new_empty(len(x), height, width, outputs)
        kept = []
        for images, part in zip(split(x.permute(0, 2, 3, 1), chunk), split(y, chunk), strict=True):
            padded = F.pad(images, margins)
            seen = (into @ windows(padded, tile + 2, tile)).view(len(filters), -1, inputs)
            found = back @ torch.bmm(seen, filters).view(len(filters), -1)
            found = found.view(tile, tile, len(images), down, across, outputs)
            for i, j in product(range(tile), repeat=2):
                place = part[:, i::tile, j::tile]
                place.copy_(found[i, j, :, : place.shape[1], : place.shape[2]])
            kept.append(seen)
        ctx.save_for_backward(filters, *kept)
        ctx.shape, ctx.tile, ctx.chunk = x.shape, tile, chunk
        return y.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None, None, None]:
        # Every map is linear: the gradient takes the same road back, each map transposed.
        into, over, back = maps(ctx.tile)
        filters, *kept = ctx.saved_tensors
        _, inputs, outputs = filters.shape
        count, _, rows, columns = ctx.shape
        tile, side = ctx.tile, ctx.tile + 2
        height, width = gradient.shape[2:]
        down, across = -(-height // tile), -(-width // tile)
        margins = (0, 0, 0, across * tile - width, 0, down * tile - height)
        to_x = gradient.new_empty(count, rows, columns, inputs)
        to_filters = torch.empty(0)
        parts = zip(
            kept,
            split(gradient.permute(0, 2, 3, 1), ctx.chunk),
            split(to_x, ctx.chunk),
            strict=True,
        )
        for number, (seen, given, part) in enumerate(parts):
            given = windows(F.pad(given, margins), tile, tile)
            given = (back.T @ given).view(len(filters), -1, outputs)
            if number:
                to_filters.baddbmm_(seen.transpose(1, 2), given)
            else:
                to_filters = torch.bmm(seen.transpose(1, 2), given)
            if not ctx.needs_input_grad[0]:
                continue
            found = into.T @ torch.bmm(given, filters.transpose(1, 2)).view(len(filters), -1)
            found = found.view(side, side, len(part), down, across, inputs)
            padded = found.new_zeros(
                len(part), max(down * tile, rows) + 2, max(across * tile, columns) + 2, inputs
            )
            for i, j in product(range(side), repeat=2):
                padded[:, i : i + down * tile : tile, j : j + across * tile : tile] += found[i, j]
            part.copy_(padded[:, 1 : rows + 1, 1 : columns + 1])
        to_weight = (over.T @ to_filters.view(len(filters), -1)).view(3, 3, inputs, outputs)
        needed = to_x.permute(0, 3, 1, 2) if ctx.needs_input_grad[0] else None
        return needed, to_weight.permute(3, 2, 0, 1), None, None, None


def windows(images: Tensor, side: int, step: int) -> Tensor:
    """[B, H, W, C] -> the numbers of each window by their place in it: [side * side, others]."""
    seen = images.unfold(1, side, step).unfold(2, side, step)
    return seen.permute(4, 5, 0, 1, 2, 3).reshape(side * side, -1)


@cache
def maps(tile: int) -> tuple[Tensor, Tensor, Tensor]:
    """How inputs, filters and products are mapped for m = ``tile``, n = m + 2.

    float32 [n^2, n^2], [n^2, 9] and [m^2, n^2], each the Kronecker square of the one for a row:
    outputs = back @ ((over @ filter) * (into @ inputs)). A convolution with 3 taps evaluated by
    Toom and Cook's polynomial products, transposed (Lavin and Gray, section 4).
    """
    points = np.array(POINTS[: tile + 1])
    others = [np.delete(points, i) for i in range(len(points))]
    scale = np.array([np.prod(point - rest) for point, rest in zip(points, others, strict=True)])
    powers = np.vander(points, max(tile, 3), increasing=True)
    side = tile + 2
    into, over, back = np.zeros((side, side)), np.zeros((side, 3)), np.zeros((tile, side))
    over[:-1], over[-1, -1] = powers[:, :3] / scale[:, None], 1
    back[:, :-1], back[-1, -1] = powers[:, :tile].T, 1
    for row, roots in zip(into, [*others, points], strict=True):
        coefficients = np.poly(roots)[::-1]
        row[: len(coefficients)] = coefficients
    one, two, three = (torch.tensor(np.kron(a, a)).float() for a in (into, over, back))
    return one, two, three
