"""How far can the map be trusted? ``python benchmarks/map_quality.py``

CIFAR-10's 10,000 test images under the shipped model. For how many is the nearest other picture on
the map of the same class, for the landmarks that t-SNE placed and for those placed by them; beside
that among all numbers, by principal components, and by the plain mean of the nearest landmarks. And
how many of the ten nearest are among the ten nearest on the map.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

import common


def nearest(points: NDArray[Any], k: int) -> NDArray[np.int64]:
    """The ``k`` nearest others of each point [N, D], as positions [N, k]."""
    import faiss

    matrix = np.ascontiguousarray(points, np.float32)
    _, found = faiss.knn(matrix, matrix, k + 1)
    itself = found == np.arange(len(found))[:, None]
    itself[~itself.any(axis=1), -1] = True
    return found[~itself].reshape(len(found), k)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only show that it works")
    quick = parser.parse_args().quick
    from vizinho.embedder import Embedder
    from vizinho.projection.placing import Landmarks
    from vizinho.projection.points import choose_points, project

    data = common.test_images(600 if quick else 10_000)
    vectors = Embedder.open().embed([data.read(i) for i in range(len(data))])
    labels = np.asarray(data.labels)
    marks = choose_points(labels, 150 if quick else 2_500)
    start = time.perf_counter()
    plane = project(vectors[marks])
    projected = time.perf_counter()
    landmarks = Landmarks(vectors[marks], plane)
    landmarks.place(vectors[:1])
    begun = time.perf_counter()
    places = landmarks.place(vectors)
    placed = time.perf_counter()

    squared = (vectors[marks] ** 2).sum(axis=1) - 2 * vectors @ vectors[marks].T
    close = np.argsort(squared, axis=1)[:, :10]
    plain = plane.places[close].mean(axis=1)
    plain[marks] = plane.places
    centred = vectors - vectors.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]

    true = nearest(vectors, 10)
    rest = np.setdiff1d(np.arange(len(labels)), marks)
    figures: dict[str, Any] = {}
    ways = {
        "all_numbers": vectors,
        "map": places,
        "mean_of_10_landmarks": plain,
        "principal_components": centred @ axes.T,
    }
    print(f"{'':>22} {'all':>7} {'marks':>7} {'placed':>7} {'10 of 10':>8}")
    for name, points in ways.items():
        found = nearest(points, 10)
        same = labels[found[:, 0]] == labels
        kept = np.mean([len(set(a) & set(b)) for a, b in zip(true, found, strict=True)]) / 10
        row = {
            "same_class": round(float(same.mean()), 4),
            "same_class_landmarks": round(float(same[marks].mean()), 4),
            "same_class_placed": round(float(same[rest].mean()), 4),
            "neighbours_kept_of_10": round(float(kept), 4),
        }
        figures[name] = row
        print(f"{name:>22} " + " ".join(f"{value:>7.2%}" for value in row.values()))
    common.last_line(
        "map_quality",
        images=len(labels),
        landmarks=len(marks),
        tsne_seconds=round(projected - start, 2),
        placing_seconds=round(placed - begun, 2),
        **figures,
    )


if __name__ == "__main__":
    main()
