"""A calibration from embeddings with labels, each query searched among all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vizinho.calibrate.calibration import NEIGHBOURS, Calibration, Floats
from vizinho.calibrate.familiarity import Familiarity, fit_familiarity
from vizinho.calibrate.fitting import REFUSED, Asked, CalibrationImpossible, fit_calibration

#: Shares of the pictures that make galleries of several sizes, each drawn this often.
SHARES = ((1.0, 1), (0.5, 2), (0.25, 2), (0.125, 2))
#: Queries at most; more make the figures hardly surer and the fit slower.
MOST_QUERIES = 4000
FOLDS = 5
_BLOCK = 32 * 1024 * 1024


@dataclass(frozen=True)
class HeldOut:
    """Pictures that the model has not learned from: embeddings [N, D] and labels int64 [N]."""

    embeddings: NDArray[Any]
    labels: NDArray[np.int64]


def calibrate_embeddings(
    held_out: HeldOut,
    *,
    familiar: bool = True,
    refused: float = REFUSED,
    about: dict[str, Any] | None = None,
) -> Calibration:
    """A calibration from held-out pictures alone.

    With ``familiar`` the judgement also counts how near a query is to the classes of these
    pictures. Raises CalibrationImpossible.
    """
    rows, labels = held_out.embeddings, held_out.labels
    if len(rows) <= NEIGHBOURS:
        raise CalibrationImpossible(f"{len(rows)} pictures are too few to calibrate on.")
    rng = np.random.default_rng(0)
    asked = []
    for share, times in SHARES:
        size = round(share * len(rows))
        if size <= 2 * NEIGHBOURS and share < 1:
            continue
        for _ in range(times):
            among = np.sort(rng.permutation(len(rows))[:size])
            queries = np.sort(rng.permutation(len(rows))[:MOST_QUERIES])
            asked.append(_ask(rows, labels, queries, among))
    first = asked[0].queries
    genuine = np.bincount(labels, minlength=int(labels.max()) + 1)[labels[first]] > 1
    known, unfamiliar = cross_fitted(rows, labels) if familiar else (None, None)
    return fit_calibration(
        asked,
        rows[first],
        genuine,
        familiarity=known,
        unfamiliar=None if unfamiliar is None else unfamiliar[first],
        refused=refused,
        about=about,
    )


def cross_fitted(
    rows: NDArray[Any], labels: NDArray[np.int64]
) -> tuple[Familiarity | None, Floats | None]:
    """The classes as all pictures show them, and each picture's distance [N] to the nearest as
    shown by the four fifths that it is not among."""
    whole = fit_familiarity(rows, labels)
    if whole is None:
        return None, None
    fold = np.random.default_rng(1).permutation(len(rows)) % FOLDS
    found = np.empty(len(rows))
    for each in range(FOLDS):
        part = fit_familiarity(rows[fold != each], labels[fold != each])
        if part is None:
            return None, None
        found[fold == each] = part.distances(rows[fold == each])
    return whole, found


def _ask(
    rows: NDArray[Any],
    labels: NDArray[np.int64],
    queries: NDArray[np.int64],
    among: NDArray[np.int64],
) -> Asked:
    near, distances = neighbours(rows, queries, among)
    same = labels[near] == labels[queries][:, None]
    return Asked(len(among), distances, same, queries)


def neighbours(
    rows: NDArray[Any], queries: NDArray[np.int64], among: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Floats]:
    """The ten nearest to ``rows[queries]`` of ``rows[among]``, themselves left out: positions in
    ``rows`` [Q, 10] and distances [Q, 10], nearest first; fewer where there are fewer."""
    references = rows[among].astype(np.float64)
    centre = references.mean(axis=0)
    references -= centre
    lengths = np.einsum("nd,nd->n", references, references)
    count = min(NEIGHBOURS, len(among) - 1)
    near = np.empty((len(queries), count), dtype=np.int64)
    distances = np.empty((len(queries), count))
    step = max(1, _BLOCK // (8 * len(among)))
    for start in range(0, len(queries), step):
        asked = queries[start : start + step]
        block = rows[asked].astype(np.float64) - centre
        squared = lengths - 2 * block @ references.T
        squared[asked[:, None] == among] = np.inf
        found = np.argpartition(squared, count - 1, axis=1)[:, :count]
        apart = np.linalg.norm(block[:, None] - references[found], axis=2)
        order = np.argsort(apart, axis=1, kind="stable")
        near[start : start + step] = among[np.take_along_axis(found, order, axis=1)]
        distances[start : start + step] = np.take_along_axis(apart, order, axis=1)
    return near, distances
