"""Vectors to measure engines with: shaped like the shipped model's embeddings, and uniform.

``clusters``: the embeddings of CIFAR-10's test images, each class cut into eight parts by k-means;
from the mean and covariance of each part new vectors are drawn, and brought to length 1 as the
model does. Beyond 64 numbers two draws of the same part stand side by side. ``uniform``: evenly in
a cube, which no picture's embeddings are; nearest neighbours are then hardly nearer than the rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import test_images

WIDTH = 64
PARTS = 8
QUERIES = 1000
TRUE = 200
SHAPES = ("clusters", "uniform")


def embeddings(scratch: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The shipped model's embeddings of CIFAR-10's test images, kept in ``scratch``."""
    file = scratch / "embeddings.npz"
    if not file.exists():
        from vizinho.embedder import Embedder

        embedder, images = Embedder.open(None), test_images(10_000)
        pixels, kept = images.pixels(embedder.spec)
        np.savez(file, vectors=embedder.embed_pixels(pixels), labels=images.labels[kept])
    found = np.load(file)
    return found["vectors"], found["labels"]


def draw(shape: str, count: int, width: int, seed: int, scratch: Path) -> NDArray[np.float32]:
    """``count`` vectors [N, width]."""
    rng = np.random.default_rng(seed)
    if shape == "uniform":
        return rng.random((count, width), np.float32)
    parts = _parts(*embeddings(scratch))
    shares = np.array([share for share, *_ in parts], float)
    pick = rng.choice(len(parts), count, p=shares / shares.sum())
    drawn = np.empty((count, width), np.float32)
    for number, (_, mean, spread) in enumerate(parts):
        places = np.flatnonzero(pick == number)
        for start in range(0, width, WIDTH):
            noise = rng.standard_normal((len(places), WIDTH), np.float32)
            some = mean + noise @ spread
            some /= np.linalg.norm(some, axis=1, keepdims=True)
            drawn[places, start : start + WIDTH] = some[:, : width - start]
    return drawn


def _parts(vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> list[Any]:
    import faiss

    parts = []
    for label in range(int(labels.max()) + 1):
        own = np.ascontiguousarray(vectors[labels == label])
        kmeans = faiss.Kmeans(WIDTH, PARTS, niter=10, seed=1)
        kmeans.train(own)
        _, cells = kmeans.index.search(own, 1)
        whole = np.cov(own, rowvar=False)
        for part in range(PARTS):
            some = own[cells[:, 0] == part]
            if len(some) < 20:
                continue
            # Of so few vectors a covariance lacks directions; a tenth of the class's fills them.
            size, basis = np.linalg.eigh(0.9 * np.cov(some, rowvar=False) + 0.1 * whole)
            spread = (basis * np.sqrt(np.maximum(size, 0))).T.astype(np.float32)
            parts.append((len(some), some.mean(axis=0), spread))
    return parts


def prepared(shape: str, count: int, width: int, scratch: Path) -> dict[str, Any]:
    """Vectors (mapped), queries [1000, D] of the same shape, and the ids of the ten nearest to the
    first 200 of them; made once and kept in ``scratch``."""
    import faiss

    name = scratch / f"{shape}-{count}x{width}"
    file, asked = name.with_suffix(".npy"), name.with_suffix(".npz")
    if not asked.exists():
        np.save(file, draw(shape, count, width, 0, scratch))
        queries = draw(shape, QUERIES, width, 1, scratch)
        _, true = faiss.knn(queries[:TRUE], np.load(file), 10)
        np.savez(asked, queries=queries, true=true)
    found = np.load(asked)
    vectors = np.asarray(np.load(file, mmap_mode="r"))
    return {"vectors": vectors, "queries": found["queries"], "true": found["true"]}
