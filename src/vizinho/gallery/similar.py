"""Pictures whose embeddings are close: found by the engine's own search, a page at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from io import BytesIO

import numpy as np
from PIL import Image

from vizinho.engines import pages
from vizinho.errors import DiskFull, VizinhoError
from vizinho.gallery.view import GalleryView
from vizinho.images import load_image
from vizinho.progress import Progress

_PAGE = 256
_NEIGHBOURS = 20
_SAMPLE = 64
_SEED = 0


def similar_rows(
    gallery: GalleryView,
    distance: float,
    passed_over: Collection[str],
    progress: Progress | None = None,
) -> Iterator[list[str]]:
    """Groups of keys no further than ``distance`` from the first of each.

    In the order of keys, each picture that is in no group yet takes the nearest free ones (up to
    twenty) into one with it. So no chain of neighbours joins pictures that are far apart.
    ``passed_over`` are in groups already.
    """
    taken = set(passed_over)
    done, total = 0, gallery.count
    for rows in pages(gallery, size=_PAGE):
        keys = [row.key for row in rows]
        found = gallery.engine.search(gallery.vectors(keys), _NEIGHBOURS + 1)
        for key, hits in zip(keys, found, strict=True):
            if key in taken:
                continue
            near = [
                hit.key
                for hit in hits
                if hit.distance <= distance and hit.key != key and hit.key not in taken
            ]
            if near:
                taken.update((key, *near))
                yield [key, *near]
        done += len(rows)
        if progress is not None:
            progress(done, max(total, done))


def usual_distance(gallery: GalleryView) -> float:
    """How far the gallery's pictures are from altered copies of themselves: the median.

    Of up to 64 pictures, each shrunk to half, compressed hard and cropped by a twentieth; 0 where
    no picture can be read.
    """
    total = gallery.count
    chance = np.random.default_rng(_SEED)
    found: list[float] = []
    if not total:
        return 0.0
    for place in np.sort(chance.choice(total, min(_SAMPLE, total), replace=False)).tolist():
        for row in gallery.items(place, 1):
            try:
                image = load_image(gallery.image_bytes(row.key)[0])
            except DiskFull:
                raise
            except VizinhoError:
                continue
            vectors = gallery.embedder.embed([image, *_altered(image)])
            found += np.linalg.norm(vectors[1:] - vectors[0], axis=1).tolist()
    return float(np.median(found)) if found else 0.0


def _altered(image: Image.Image) -> list[Image.Image]:
    width, height = image.size
    half = image.resize((max(1, width // 2), max(1, height // 2)), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=50)
    compressed = load_image(buffer.getvalue())
    left, top = round(width * 0.025), round(height * 0.025)
    cropped = image.crop((left, top, width - left, height - top))
    return [half, compressed, cropped]
