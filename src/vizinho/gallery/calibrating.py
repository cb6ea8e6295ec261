"""A calibration fitted to a gallery: its own pictures, their labels, its size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.calibrate import NEIGHBOURS, Calibration
from vizinho.calibrate.fitting import (
    FEWEST_QUERIES,
    REFUSED,
    Asked,
    CalibrationImpossible,
    fit_calibration,
)
from vizinho.engines import Row, pages
from vizinho.errors import GalleryError
from vizinho.gallery.core import Gallery
from vizinho.progress import Progress

QUERIES = 2000
_PAGE = 1000
_BATCH = 100


def calibrate_gallery(
    gallery: Gallery, *, refused: float = REFUSED, progress: Progress | None = None
) -> Calibration:
    """Fit a calibration to a gallery's labelled pictures and keep it in the gallery.

    Each of up to ``QUERIES`` pictures, drawn at random, is searched among all others; results
    without a label count for nothing. The gallery's copy of the model's description gets the
    calibration, at once: searches under way end with the one before. Raises GalleryError where too
    few pictures have a label, GalleryBusy.
    """
    chosen, labels = _sample(gallery)
    if len(chosen) < FEWEST_QUERIES:
        raise GalleryError(
            f"{gallery.path} has {len(chosen)} pictures with a label; calibrating needs "
            f"{FEWEST_QUERIES} with another of their label.",
            "Label pictures with `vizinho label`, or use the model's own calibration.",
        )
    asked, vectors = _ask(gallery, chosen, progress)
    genuine = np.array([labels[row.label] > 1 for row in chosen])
    about = {"data": f"gallery {gallery.info['name']}", "protocol": "leave-one-out in the gallery"}
    try:
        found = fit_calibration([asked], vectors, genuine, refused=refused, about=about)
    except CalibrationImpossible as error:
        raise GalleryError(
            f"{gallery.path} can't be calibrated: {error}",
            "Label more pictures with `vizinho label`, or use the model's own calibration.",
        ) from error
    gallery.keep_calibration(found.to_dict())
    return found


def _sample(gallery: Gallery) -> tuple[list[Row], dict[str | None, int]]:
    """Labelled rows drawn evenly (reservoir sampling, the same for the same gallery), and how many
    each label has."""
    rng = np.random.default_rng(0)
    labels: dict[str | None, int] = {}
    kept: list[Row] = []
    seen = 0
    for rows in pages(gallery, size=_PAGE):
        for row in rows:
            if row.label is None:
                continue
            labels[row.label] = labels.get(row.label, 0) + 1
            seen += 1
            if len(kept) < QUERIES:
                kept.append(row)
            elif (place := int(rng.integers(seen))) < QUERIES:
                kept[place] = row
    return kept, labels


def _ask(
    gallery: Gallery, chosen: list[Row], progress: Progress | None
) -> tuple[Asked, NDArray[np.float32]]:
    engine = gallery.engine
    size = engine.count() - 1
    count = min(NEIGHBOURS, size)
    distances = np.zeros((len(chosen), count))
    same = np.zeros((len(chosen), count), dtype=bool)
    rated = np.zeros((len(chosen), count), dtype=bool)
    vectors: list[NDArray[np.float32]] = []
    for start in range(0, len(chosen), _BATCH):
        batch = chosen[start : start + _BATCH]
        vectors.append(engine.vectors([row.key for row in batch]))
        for place, (row, hits) in enumerate(
            zip(batch, engine.search(vectors[-1], count + 1), strict=True), start
        ):
            others: list[Any] = [hit for hit in hits if hit.key != row.key][:count]
            distances[place, : len(others)] = [hit.distance for hit in others]
            # One that came or went meanwhile: the last stands for what is missing, unrated.
            distances[place, len(others) :] = others[-1].distance if others else 0.0
            same[place, : len(others)] = [hit.row.label == row.label for hit in others]
            rated[place, : len(others)] = [hit.row.label is not None for hit in others]
        if progress is not None:
            progress(start + len(batch), len(chosen))
    asked = Asked(size, distances, same, np.arange(len(chosen)), rated)
    return asked, np.concatenate(vectors)
