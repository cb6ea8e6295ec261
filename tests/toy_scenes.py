"""Pictures that look like something, made from a number: skies, hills, walls, things in front."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

TURNS = Image.Transpose


def scene(seed: int, size: tuple[int, int] = (480, 360)) -> Image.Image:
    """A picture of ``size``, RGB; each ``seed`` gives another."""
    chance = np.random.default_rng(seed)
    width, height = size
    image = Image.new("RGB", size)
    draw = ImageDraw.Draw(image)
    top, low = chance.integers(40, 250, (2, 3))
    for y in range(height):
        share = y / height
        draw.line((0, y, width, y), fill=tuple(int(v) for v in top * (1 - share) + low * share))
    line = height * chance.uniform(0.3, 0.7)
    for layer in range(3):
        steps = chance.normal(0, height / 25, 25).cumsum()
        edge = line + layer * height / 8 + steps
        points = [(x * width / 24, float(y)) for x, y in enumerate(edge)]
        colour = tuple(int(v) for v in chance.integers(0, 220, 3))
        draw.polygon([*points, (width, height), (0, height)], fill=colour)
    for _ in range(int(chance.integers(3, 9))):
        x, y = chance.uniform(0, width), chance.uniform(height * 0.2, height)
        w, h = chance.uniform(width / 20, width / 4, 2)
        box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        colour = tuple(int(v) for v in chance.integers(0, 255, 3))
        (draw.ellipse if chance.random() < 0.5 else draw.rectangle)(box, fill=colour)
    grain = chance.normal(0, 6, (height, width, 3))
    pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(1)), np.float64) + grain
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    """The picture after JPEG compression."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(BytesIO(buffer.getvalue())).convert("RGB")


def cropped(image: Image.Image, share: float = 0.05, seed: int = 0) -> Image.Image:
    """Without ``share`` of its width and height, split over the sides by chance."""
    left, top = np.random.default_rng(seed).uniform(0, share, 2)
    width, height = image.size
    box = (left * width, top * height, (1 + left - share) * width, (1 + top - share) * height)
    return image.crop(tuple(round(edge) for edge in box))


CHANGES = {
    "turned by 90 degrees": lambda image: image.transpose(TURNS.ROTATE_90),
    "turned by 180 degrees": lambda image: image.transpose(TURNS.ROTATE_180),
    "turned by 270 degrees": lambda image: image.transpose(TURNS.ROTATE_270),
    "mirrored": lambda image: image.transpose(TURNS.FLIP_LEFT_RIGHT),
    "mirrored top to bottom": lambda image: image.transpose(TURNS.FLIP_TOP_BOTTOM),
    "half the size": lambda image: image.resize(
        (image.width // 2, image.height // 2), Image.Resampling.LANCZOS
    ),
    "twice the size": lambda image: image.resize(
        (image.width * 2, image.height * 2), Image.Resampling.BICUBIC
    ),
    "JPEG, quality 50": lambda image: jpeg(image, 50),
    "JPEG, quality 30": lambda image: jpeg(image, 30),
    "10 % brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    # Each picture at other edges, and the same ones every time.
    "cropped by 5 %": lambda image: cropped(image, seed=sum(image.getpixel((3, 3)))),
    "mirrored, half the size, JPEG 50": lambda image: jpeg(
        image.transpose(TURNS.FLIP_LEFT_RIGHT).resize((image.width // 2, image.height // 2)), 50
    ),
}
"""What is done to pictures, each a function of one."""
