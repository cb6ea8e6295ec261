"""Augmentation of whole batches, against Pillow one picture at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

torch = pytest.importorskip("torch")

from vizinho.train.augment import (  # noqa: E402
    BLENDS,
    GEOMETRIC,
    OPERATIONS,
    augmented,
    cutout,
    operate,
    trivial_augment,
)
from vizinho.train.recipes import recipe  # noqa: E402

pytestmark = pytest.mark.train

STRONG = recipe("fast", augment="strong", cutout=8)


@pytest.fixture(scope="module")
def pictures():
    """Twelve smooth colour pictures of 20 x 20, each in a range of its own."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:20, :20] / 20
    found = []
    for _ in range(12):
        a, b, c, d = generator.uniform(1, 6, (4, 3))
        low, high = np.sort(generator.uniform(0, 255, (2, 3)), axis=0)
        wave = np.sin(a * x[..., None] + c) * np.cos(b * y[..., None] + d) / 2 + 0.5
        found.append((low + (high - low) * wave).round().astype(np.uint8))
    return torch.from_numpy(np.stack(found))


def do(images, name: str, strength: float, sign: float = 1.0):
    count = len(images)
    return operate(
        images,
        torch.full((count,), OPERATIONS.index(name)),
        torch.full((count,), strength),
        torch.full((count,), sign),
    )


ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "colour": ImageEnhance.Color,
    "sharpness": ImageEnhance.Sharpness,
}


def by_pillow(image: Image.Image, name: str, strength: float, sign: float) -> Image.Image:
    if name in ENHANCERS:
        return ENHANCERS[name](image).enhance(1 + 0.99 * strength * sign)
    if name == "posterise":
        return ImageOps.posterize(image, 8 - round(6 * strength))
    if name == "solarise":
        return ImageOps.solarize(image, 256 * (1 - strength))
    grey = (128, 128, 128)
    if name == "rotate":
        turn = 135 * strength * sign
        return image.rotate(turn, Image.Resampling.BILINEAR, fillcolor=grey)
    amount = strength * sign
    half = image.width / 2
    # Pillow's map counts from the corner, ours from the middle.
    maps = {
        "identity": (1, 0, 0, 0, 1, 0),
        "shear_x": (1, 0.99 * amount, -0.99 * amount * half, 0, 1, 0),
        "shear_y": (1, 0, 0, 0.99 * amount, 1, -0.99 * amount * half),
        "translate_x": (1, 0, amount * half, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, amount * half),
    }
    if name in maps:
        affine, bilinear = Image.Transform.AFFINE, Image.Resampling.BILINEAR
        return image.transform(image.size, affine, maps[name], bilinear, fillcolor=grey)
    return {"autocontrast": ImageOps.autocontrast, "equalise": ImageOps.equalize}[name](image)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(("strength", "sign"), [(0.4, 1.0), (0.4, -1.0), (1.0, 1.0)])
def test_an_operation_is_pillows(pictures, name, strength, sign):
    found = do(pictures, name, strength, sign).numpy().astype(int)
    expected = np.stack(
        [by_pillow(Image.fromarray(p.numpy()), name, strength, sign) for p in pictures]
    ).astype(int)
    difference = np.abs(found - expected)
    if name in GEOMETRIC:
        # At the border Pillow repeats a pixel where we fade into the fill.
        assert np.median(difference) <= 1
        assert (difference <= 3).mean() > 0.8
    else:
        assert difference.max() <= 1


def test_equalise_is_exactly_pillows(pictures):
    flat = torch.full((1, 20, 20, 3), 77, dtype=torch.uint8)
    images = torch.cat([pictures, flat])
    expected = np.stack([ImageOps.equalize(Image.fromarray(p.numpy())) for p in images])
    assert np.array_equal(do(images, "equalise", 0.5).numpy(), expected)


@pytest.mark.parametrize("name", [*GEOMETRIC, *BLENDS, "posterise", "solarise", "identity"])
def test_strength_zero_changes_nothing(pictures, name):
    assert torch.equal(do(pictures, name, 0.0), pictures)


def test_a_flat_picture_is_stretched_to_itself():
    flat = torch.full((2, 18, 18, 3), 200, dtype=torch.uint8)
    assert torch.equal(do(flat, "autocontrast", 1.0), flat)


def test_each_picture_of_a_batch_gets_its_own_operation(pictures):
    count = len(OPERATIONS)
    images = pictures[torch.arange(count) % len(pictures)]
    together = operate(images, torch.arange(count), torch.full((count,), 0.7), torch.ones(count))
    for number, name in enumerate(OPERATIONS):
        assert torch.equal(together[number], do(images[number, None], name, 0.7)[0])


def test_all_operations_are_drawn_about_equally_often(pictures):
    images = pictures[:1].expand(4000, -1, -1, -1)
    seen = trivial_augment(images, torch.Generator().manual_seed(0))
    same = (seen == pictures[0]).flatten(1).all(dim=1).float().mean().item()
    # The identity, and the others at strength zero or too weak to be seen.
    assert 1 / 14 < same < 0.25


def test_cutout_hides_one_square_that_may_reach_over_the_rim():
    images = torch.full((500, 18, 18, 3), 7, dtype=torch.uint8)
    found = cutout(images, 6, torch.Generator().manual_seed(0))
    hidden = (found == 128).all(dim=3)
    assert torch.equal(hidden, (found != 7).any(dim=3))
    rows, columns = hidden.any(dim=2).sum(dim=1), hidden.any(dim=1).sum(dim=1)
    assert torch.equal(hidden.sum(dim=(1, 2)), rows * columns)
    assert set(rows.tolist()) == set(columns.tolist()) == {3, 4, 5, 6}
    assert hidden.any(dim=0).all()


def test_a_step_is_repeated_exactly_and_no_two_are_alike(pictures):
    first = augmented(pictures, STRONG, 5)
    assert torch.equal(first, augmented(pictures, STRONG, 5))
    assert not torch.equal(first, augmented(pictures, STRONG, 6))
    assert not torch.equal(first, augmented(pictures, replace(STRONG, seed=1), 5))
    assert first.dtype == torch.uint8
    assert first.shape == pictures.shape


def test_the_plain_recipe_shows_the_pictures_as_they_are(pictures):
    assert augmented(pictures, recipe("fast"), 3) is pictures


def test_small_copies_lose_as_large_a_share_to_cutout():
    told = replace(STRONG, augment="plain", cutout=16)
    images = torch.zeros(200, 24, 24, 3, dtype=torch.uint8)
    hidden = (augmented(images, told, 0) == 128).all(dim=3)
    assert hidden.any(dim=1).sum(dim=1).max() == 12
