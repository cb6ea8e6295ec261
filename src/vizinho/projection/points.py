"""Embeddings on a plane."""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vizinho.progress import Progress

#: t-SNE takes about a quarter of a minute for so many, and more of them would only hide each other.
POINTS = 2_500
PERPLEXITY = 30.0
STEPS = 1000


@dataclass(frozen=True)
class Plane:
    """N points on a plane, and how they came there."""

    places: NDArray[np.float64]
    """[N, 2] in 0..1, the longer side from 0 to 1, the shorter one in the middle."""
    method: str
    span: float = 1.0
    """How long the longer side is in the method's own unit: in t-SNE's, a neighbour's kernel is 1
    wide."""
    axes: NDArray[np.float64] | None = None
    """[D + 1, 2] where places are a linear function: of an embedding and a 1 after it."""


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
    for size, end in zip(sizes, np.cumsum(sizes), strict=True):
        turn[grouped[end - size : end]] = np.arange(size) / size
    return np.sort(order[np.argsort(turn[order], kind="stable")][:limit])


def project(embeddings: NDArray[np.float32], progress: Progress | None = None) -> Plane:
    """[N, D] on a plane: by t-SNE where scikit-learn is installed, else by principal components.

    The same every time: t-SNE starts from the principal components. ``progress`` counts its steps.
    """
    axes: NDArray[np.float64] | None
    places, axes = _principal(embeddings)
    method = "principal components"
    if len(embeddings) >= 10 and np.ptp(places[:, 0]) > 0:
        try:
            from sklearn.manifold import TSNE
        except ImportError:
            pass
        else:
            perplexity = min(PERPLEXITY, (len(embeddings) - 1) / 3)
            start = places / places[:, 0].std() * 1e-4
            verbose = 2 if progress else 0
            model = TSNE(init=start, perplexity=perplexity, random_state=0, verbose=verbose)
            with _steps(progress):
                places = model.fit_transform(embeddings).astype(np.float64)
            method, axes = f"t-SNE (perplexity {perplexity:.0f})", None
    low, high = places.min(axis=0), places.max(axis=0)
    span = float((high - low).max()) or 1.0
    if axes is not None:
        axes[-1] -= (low + high) / 2
        axes /= span
        axes[-1] += 0.5
    return Plane((places - (low + high) / 2) / span + 0.5, method, span, axes)


class _Steps(io.StringIO):
    """Hears scikit-learn print its steps, which it tells in no other way."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def write(self, text: str) -> int:
        if found := re.search(r"Iteration (\d+)", text):
            self._progress(min(int(found[1]), STEPS), STEPS)
        return len(text)


@contextlib.contextmanager
def _steps(progress: Progress | None) -> Iterator[None]:
    if progress is None:
        yield
    else:
        with contextlib.redirect_stdout(_Steps(progress)):
            yield


def _principal(
    embeddings: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places [N, 2], and what makes them of an embedding and a 1 after it: [D + 1, 2]."""
    middle = embeddings.mean(axis=0, dtype=np.float64)
    centred = embeddings.astype(np.float64) - middle
    values, directions = np.linalg.eigh(centred.T @ centred)
    best = directions[:, np.argsort(-values)[:2]]
    # An eigenvector's sign is free; without this rule it would depend on the library.
    best = best * np.where(best[np.abs(best).argmax(axis=0), range(best.shape[1])] < 0, -1.0, 1.0)
    best = np.pad(best, ((0, 0), (0, 2 - best.shape[1])))
    return centred @ best, np.vstack([best, -middle @ best])


def rounded(places: NDArray[np.float64]) -> NDArray[np.int64]:
    """0..1 as whole numbers of 0..10,000."""
    return np.rint(places * 10_000).astype(np.int64)


def columns_of(count: int) -> int:
    """Columns of the nearly square grid that holds ``count`` cells."""
    return max(1, math.ceil(math.sqrt(count)))
