"""Embeddings on a plane."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: t-SNE takes about a quarter of a minute for so many, and more of them would only hide each other.
POINTS = 2_500
PERPLEXITY = 30.0


@dataclass(frozen=True)
class Plane:
    """N points on a plane, and how they came there."""

    places: NDArray[np.float64]
    """[N, 2] in 0..1, the longer side from 0 to 1, the shorter one in the middle."""
    method: str


def choose_points(
    labels: NDArray[np.int64], limit: int = POINTS, seed: int = 0
) -> NDArray[np.int64]:
    """At most ``limit`` positions of ``labels`` [N], ascending: of each class the same share.

    Chance decides which; a class keeps at least one as long as there is room for all classes.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    _, place, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    turn = np.empty(len(labels))
    grouped = order[np.argsort(place[order], kind="stable")]
    turn[grouped] = np.concatenate([np.arange(size) / size for size in sizes])
    return np.sort(order[np.argsort(turn[order], kind="stable")][:limit])


def project(embeddings: NDArray[np.float32]) -> Plane:
    """[N, D] on a plane: by t-SNE where scikit-learn is installed, else by principal components.

    The same every time: t-SNE starts from the principal components.
    """
    places = _principal(embeddings)
    method = "principal components"
    if len(embeddings) >= 10 and np.ptp(places[:, 0]) > 0:
        try:
            from sklearn.manifold import TSNE
        except ImportError:
            pass
        else:
            perplexity = min(PERPLEXITY, (len(embeddings) - 1) / 3)
            start = places / places[:, 0].std() * 1e-4
            model = TSNE(init=start, perplexity=perplexity, random_state=0)
            places = model.fit_transform(embeddings).astype(np.float64)
            method = f"t-SNE (perplexity {perplexity:.0f})"
    low, high = places.min(axis=0), places.max(axis=0)
    span = float((high - low).max()) or 1.0
    return Plane((places - (low + high) / 2) / span + 0.5, method)


def _principal(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    centred = embeddings.astype(np.float64) - embeddings.mean(axis=0, dtype=np.float64)
    values, directions = np.linalg.eigh(centred.T @ centred)
    best = directions[:, np.argsort(-values)[:2]]
    # An eigenvector's sign is free; without this rule it would depend on the library.
    best = best * np.where(best[np.abs(best).argmax(axis=0), range(best.shape[1])] < 0, -1.0, 1.0)
    places = centred @ best
    return np.pad(places, ((0, 0), (0, 2 - places.shape[1])))


def rounded(places: NDArray[np.float64]) -> NDArray[np.int64]:
    """0..1 as whole numbers of 0..10,000."""
    return np.rint(places * 10_000).astype(np.int64)


def columns_of(count: int) -> int:
    """Columns of the nearly square grid that holds ``count`` cells."""
    return max(1, math.ceil(math.sqrt(count)))
