"""Contact sheets: queries with their neighbours, right ones framed green, wrong ones red."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vizinho.datasets import LabelledImages
from vizinho.evaluate import BundleEvaluation
from vizinho.report.fonts import drawable, font_file

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

TILE = 88
FRAME = 4
GAP = 8
CAPTION = 15
HEADING = 30
#: Room between the query and its neighbours.
AISLE = 20
RIGHT, WRONG, INK, FAINT = "#15803d", "#dc2626", "#111827", "#6b7280"


def choose_queries(
    evaluation: BundleEvaluation, count: int = 6, seed: int = 0
) -> dict[str, NDArray[np.int64]]:
    """Positions of ``count`` queries each that went well, that chance picked, and that went worst.

    "good" are drawn from those with the most right neighbours, spread over the classes; "random"
    from all; "worst" are the confident failures: the fewest right ones, all of a single other
    class, and among these the nearest. The only members of a class are not asked, so are in none.
    """
    labels = evaluation.dataset.labels
    right = labels[evaluation.neighbours] == labels[:, None]
    counts = np.bincount(labels, minlength=len(evaluation.dataset.classes))
    asked = np.flatnonzero(counts[labels] > 1)
    hits = right[asked].sum(1)
    shuffled = np.random.default_rng(seed).permutation(len(asked))

    turn = np.zeros(len(asked), dtype=np.int64)
    seen: dict[int, int] = {}
    best_first = shuffled[np.argsort(-hits[shuffled], kind="stable")]
    for place in best_first:
        label = int(labels[asked[place]])
        turn[place] = seen[label] = seen.get(label, -1) + 1
    # The best of every class, then the second best of every class, and so on.
    good = best_first[np.lexsort((-hits[best_first], turn[best_first]))][:count]
    good = good[np.argsort(-hits[good], kind="stable")]
    found = labels[evaluation.neighbours[asked]]
    mixed = (found != found[:, :1]).any(1)
    worst = np.lexsort((evaluation.distances[asked, 0], mixed, hits))[:count]
    # The good ones come from the front of the shuffle; its end is independent of them.
    chance = np.sort(shuffled[-count:])
    return {"good": asked[good], "random": asked[chance], "worst": asked[worst]}


def contact_sheet(
    evaluation: BundleEvaluation, groups: Mapping[str, Sequence[int] | NDArray[np.int64]]
) -> Image.Image:
    """One picture, RGB: for each group a heading, for each query in it a row of its neighbours.

    ``groups`` maps a heading to positions in ``evaluation.dataset``.
    """
    dataset, neighbours = evaluation.dataset, evaluation.neighbours
    columns = neighbours.shape[1]
    step, height = TILE + GAP, TILE + CAPTION + GAP
    rows = sum(len(queries) for queries in groups.values())
    sheet = Image.new(
        "RGB",
        (GAP + step + AISLE + columns * step, GAP + len(groups) * HEADING + rows * height),
        "white",
    )
    draw = ImageDraw.Draw(sheet)
    font, heading_font = (ImageFont.truetype(str(font_file()), size) for size in (11, 15))
    top = GAP
    for heading, queries in groups.items():
        draw.text((GAP, top + 4), heading, fill=INK, font=heading_font)
        top += HEADING
        for query in queries:
            _tile(sheet, dataset, int(query), (GAP, top), None)
            _caption(draw, _name(dataset, int(query)), (GAP, top + TILE), INK, font)
            left = GAP + step + AISLE
            for neighbour, distance in zip(
                neighbours[query], evaluation.distances[query], strict=True
            ):
                right = dataset.labels[neighbour] == dataset.labels[query]
                colour = RIGHT if right else WRONG
                _tile(sheet, dataset, int(neighbour), (left, top), colour)
                # Distances are the same everywhere; the class is news only where it is wrong.
                name = "" if right else f" {_name(dataset, int(neighbour))}"
                _caption(
                    draw,
                    f"{distance:.2f}{name}",
                    (left, top + TILE),
                    FAINT if right else WRONG,
                    font,
                )
                left += step
            top += height
    return sheet


def _name(dataset: LabelledImages, position: int) -> str:
    label = int(dataset.labels[position])
    return drawable(dataset.classes[label], label)


def _tile(
    sheet: Image.Image,
    dataset: LabelledImages,
    position: int,
    corner: tuple[int, int],
    frame: str | None,
) -> None:
    if frame is not None:
        box = (corner[0], corner[1], corner[0] + TILE - 1, corner[1] + TILE - 1)
        ImageDraw.Draw(sheet).rectangle(box, fill=frame)
    room = TILE - 2 * FRAME
    picture = dataset.load(position, target=room)
    scale = room / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    # Small pictures keep their pixels' edges: a blurred CIFAR image shows less, not more.
    way = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    place = (corner[0] + (TILE - size[0]) // 2, corner[1] + (TILE - size[1]) // 2)
    sheet.paste(picture.resize(size, way), place)


def _caption(
    draw: ImageDraw.ImageDraw,
    text: str,
    corner: tuple[int, int],
    colour: str,
    font: FreeTypeFont,
) -> None:
    while text and draw.textlength(text, font=font) > TILE:
        text = text[:-1]
    draw.text((corner[0] + FRAME, corner[1] + 1), text, fill=colour, font=font)
