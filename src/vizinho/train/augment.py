"""Strong augmentation of whole batches, on the device they are on, without a loop over images.

Each image gets one operation at one strength, both drawn at random: S. G. Müller and F. Hutter,
"TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation" (ICCV 2021), with the ranges of
its wide space, except that a picture moves by half its side at most. The photometric operations are
Pillow's. Cutout is T. DeVries and G. W. Taylor's (arXiv:1708.04552).
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from vizinho.train.recipes import Recipe

GEOMETRIC: Final = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
#: The picture and a poorer one of it, mixed or drawn apart.
BLENDS: Final = ("brightness", "contrast", "colour", "sharpness")
TONES: Final = ("posterise", "solarise", "autocontrast", "equalise")
OPERATIONS: Final = ("identity", *GEOMETRIC, *BLENDS, *TONES)

#: Strengths are drawn from as many steps, 0 to 1.
STRENGTHS: Final = 31
LARGEST_ANGLE: Final = 135.0
LARGEST_SHEAR: Final = 0.99
LARGEST_SHIFT: Final = 0.5
LARGEST_BLEND: Final = 0.99
FEWEST_BITS: Final = 2

#: What is seen where there is no picture: the middle of the range, next to zero once normalised.
GREY: Final = 128


def augmented(images: Tensor, recipe: Recipe, step: int) -> Tensor:
    """uint8 [B, H, H, 3] as the recipe shows them to the network in its optimiser step ``step``.

    A function of the images, the recipe and the step alone, the same on every device up to a
    rounding: a resumed training sees what it would have seen.
    """
    if recipe.augment == "plain" and recipe.cutout == 0:
        return images
    # Drawn on the CPU: GPUs draw other numbers, and would be waited for to know which images. Of a
    # seed its lowest 32 bits count: an odd factor near 2**32 / 1.618 keeps recipe seeds far apart.
    generator = torch.Generator().manual_seed(((recipe.seed + 1) * 0x9E3779B1 + step) % 2**32)
    if recipe.augment == "strong":
        images = trivial_augment(images, generator)
    if recipe.cutout:
        # As large a share of the small copies as of the pictures.
        side = max(1, round(recipe.cutout * images.shape[1] / recipe.size))
        images = cutout(images, side, generator)
    return images


def trivial_augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """uint8 [B, H, H, 3] -> the same shape: one random operation on each image."""
    count = len(images)
    chosen = torch.randint(len(OPERATIONS), (count,), generator=generator)
    strength = torch.randint(STRENGTHS, (count,), generator=generator) / (STRENGTHS - 1)
    sign = torch.randint(2, (count,), generator=generator) * 2.0 - 1
    return operate(images, chosen, strength, sign)


def operate(images: Tensor, chosen: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    """Does to image i the operation ``OPERATIONS[chosen[i]]``; uint8 [B, H, H, 3] -> the same.

    ``strength`` [B] in 0..1, ``sign`` [B] of -1 and 1; these and ``chosen`` [B] are on the CPU.
    """
    found = images.clone()
    for names, change in (
        (GEOMETRIC, _move),
        (BLENDS, _blend),
        (("posterise",), _posterise),
        (("solarise",), _solarise),
        (("autocontrast",), _autocontrast),
        (("equalise",), _equalise),
    ):
        first = OPERATIONS.index(names[0])
        mine = ((chosen >= first) & (chosen < first + len(names))).nonzero()[:, 0]
        if len(mine):
            place = mine.to(images.device)
            changed = change(
                images[place].float(), chosen[mine] - first, strength[mine], sign[mine]
            )
            found[place] = changed.round().clamp(0, 255).to(torch.uint8)
    return found


def cutout(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Greys a ``side`` x ``side`` square of each uint8 [B, H, W, 3], in part outside at the rims.

    Its centre is anywhere in the picture.
    """
    count, height, width, _ = images.shape
    hidden = []
    for length in (height, width):
        start = torch.randint(length, (count, 1), generator=generator) - side // 2
        along = torch.arange(length)
        hidden.append(((along >= start) & (along < start + side)).to(images.device))
    square = hidden[0][:, :, None, None] & hidden[1][:, None, :, None]
    return images.masked_fill(square, GREY)


def _move(images: Tensor, kind: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    """Shears, moves or turns, by one bilinear resampling; float32 [n, H, H, 3]."""
    amount = strength * sign
    angle = torch.deg2rad(amount * LARGEST_ANGLE) * (kind == GEOMETRIC.index("rotate"))
    # Rows of the map from where a pixel is seen to where it comes from, in halves of a side.
    maps = torch.zeros(len(kind), 2, 3)
    maps[:, 0, 0] = maps[:, 1, 1] = torch.cos(angle)
    maps[:, 0, 1] = -torch.sin(angle) + amount * LARGEST_SHEAR * (kind == 0)
    maps[:, 1, 0] = torch.sin(angle) + amount * LARGEST_SHEAR * (kind == 1)
    for axis, name in enumerate(("translate_x", "translate_y")):
        maps[:, axis, 2] = amount * 2 * LARGEST_SHIFT * (kind == GEOMETRIC.index(name))
    pixels = images.permute(0, 3, 1, 2) - GREY
    grid = F.affine_grid(maps.to(images.device), list(pixels.shape), align_corners=False)
    moved = F.grid_sample(pixels, grid, align_corners=False)
    return moved.permute(0, 2, 3, 1) + GREY


def _blend(images: Tensor, kind: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    """Between the picture's poorer self (0) and twice as far beyond the picture (2)."""
    kind = kind.to(images.device)[:, None, None, None]
    factor = (1 + LARGEST_BLEND * strength * sign).to(images.device)[:, None, None, None]
    grey = images @ torch.tensor([0.299, 0.587, 0.114], device=images.device)
    grey = grey[..., None].round()
    poorer = torch.where(kind == 1, grey.mean(dim=(1, 2, 3), keepdim=True).round(), 0.0)
    poorer = torch.where(kind == 2, grey, poorer)
    poorer = torch.where(kind == 3, _smoothed(images), poorer)
    return poorer + factor * (images - poorer)


def _smoothed(images: Tensor) -> Tensor:
    """Pillow's SMOOTH: a 3x3 mean with a heavier middle; the outermost pixels stay."""
    inside = images[:, 1:-1, 1:-1]
    height, width = inside.shape[1:3]
    total = 4 * inside
    for down in range(3):
        for right in range(3):
            total = total + images[:, down : down + height, right : right + width]
    found = images.clone()
    found[:, 1:-1, 1:-1] = (total / 13).round()
    return found


def _posterise(images: Tensor, kind: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    """Keeps the highest 8 to ``FEWEST_BITS`` bits."""
    lost = (strength * (8 - FEWEST_BITS)).round()
    unit = torch.exp2(lost).to(images.device)[:, None, None, None]
    return (images / unit).floor() * unit


def _solarise(images: Tensor, kind: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    """Negates what is as bright as a threshold or brighter: none of it to all of it."""
    threshold = (256 * (1 - strength)).to(images.device)[:, None, None, None]
    return torch.where(images < threshold, images, 255 - images)


def _autocontrast(images: Tensor, kind: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    """Stretches each channel to the whole range."""
    low, high = images.amin(dim=(1, 2), keepdim=True), images.amax(dim=(1, 2), keepdim=True)
    stretched = (images - low) * (255 / (high - low).clamp(min=1))
    return torch.where(high > low, stretched, images)


def _equalise(images: Tensor, kind: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    """Gives each channel a flat histogram, with Pillow's whole-number arithmetic."""
    count, height, width, channels = images.shape
    values = images.permute(0, 3, 1, 2).reshape(count * channels, height * width).long()
    histogram = torch.zeros(len(values), 256, dtype=torch.long, device=images.device)
    histogram.scatter_add_(1, values, torch.ones_like(values))
    brightest = histogram.gather(1, values.amax(dim=1, keepdim=True))
    step = (height * width - brightest) // 255
    below = histogram.cumsum(dim=1) - histogram
    table = ((below + step // 2) // step.clamp(min=1)).clamp(max=255)
    flat = torch.where(step > 0, table.gather(1, values), values)
    return flat.reshape(count, channels, height, width).permute(0, 2, 3, 1).float()
