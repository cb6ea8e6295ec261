"""Draws ``docs/images/explain.png``: which regions of pairs of pictures made their match.

Queries from CIFAR-10's test set beside their nearest neighbours, under the shipped model; the
gallery is needed: `vizinho index cifar10:test`.

    python scripts/make_explain.py cifar10-test.vizinho
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from vizinho.explain import Regions  # noqa: E402
from vizinho.gallery import Gallery  # noqa: E402

#: One of a kind each, and how many neighbours away the picture beside it is.
PAIRS = (
    ("test/00030.png", 1),
    ("test/00008.png", 1),
    ("test/00010.png", 1),
    ("test/00024.png", 400),
)
SIDE, GAP, TEXT = 224, 12, 52
WARM, COLD = (255, 106, 0), (10, 100, 255)


def heated(data: bytes, found: Regions, similarity: float, most: float) -> Image.Image:
    """A picture in grey under its shares of the match in colour, and in numbers."""
    plain = Image.open(BytesIO(data)).convert("L").convert("RGB")
    picture = plain.resize((SIDE, SIDE), Image.Resampling.NEAREST)
    shares = found.values / similarity
    rows, columns = shares.shape
    colour = np.where(shares[..., None] < 0, COLD, WARM).astype(np.uint8)
    alpha = (178 * np.abs(shares) / most).astype(np.uint8)
    layer = np.dstack([colour, alpha])
    over = Image.fromarray(layer, "RGBA").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    picture.paste(over, mask=over)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(13)
    for row in range(rows):
        for column in range(columns):
            middle = ((column + 0.5) * SIDE / columns, (row + 0.5) * SIDE / rows)
            text = f"{100 * shares[row, column]:.0f}".replace("-0", "0")
            draw.text(middle, text, "white", font, anchor="mm", stroke_width=2, stroke_fill="black")
    return picture


def drawn(gallery: Gallery, key: str, neighbour: int) -> Image.Image:
    """Query and result side by side, with what their numbers are."""
    query = gallery.image_bytes(key)[0]
    match = gallery.search_key(key, 1, offset=neighbour)[0]
    found = gallery.explain(query, match.key)
    sides = (found.query, found.match)
    most = max(float(np.abs(side.values).max()) for side in sides) / abs(found.similarity)
    whole = Image.new("RGB", (2 * SIDE + GAP, SIDE + TEXT), "white")
    for at, (data, side) in enumerate(
        zip((query, gallery.image_bytes(match.key)[0]), sides, strict=True)
    ):
        whole.paste(heated(data, side, found.similarity, most), (at * (SIDE + GAP), 0))
    sums = [float(side.values.sum() + side.bias) for side in sides]
    lines = (
        f"{gallery.get(key).label} and {match.label}: distance {match.distance:.2f}",
        f"similarity {found.similarity:.6f}, regions add up to {sums[0]:.6f} and {sums[1]:.6f}",
    )
    for number, line in enumerate(lines):
        place = (2, SIDE + 6 + 20 * number)
        ImageDraw.Draw(whole).text(place, line, "black", ImageFont.load_default(14))
    return whole


def main() -> None:
    """Draw, two pairs a row."""
    with Gallery.open(sys.argv[1]) as gallery:
        pairs = [drawn(gallery, *pair) for pair in PAIRS]
    wide, high = pairs[0].size
    whole = Image.new("RGB", (2 * wide + 3 * GAP * 2, 2 * high + 3 * GAP), "white")
    for number, pair in enumerate(pairs):
        row, column = divmod(number, 2)
        whole.paste(pair, (2 * GAP + column * (wide + 2 * GAP), GAP + row * (high + GAP)))
    whole.convert("P", palette=Image.Palette.ADAPTIVE, colors=256).save(
        ROOT / "docs" / "images" / "explain.png", optimize=True
    )


if __name__ == "__main__":
    main()
