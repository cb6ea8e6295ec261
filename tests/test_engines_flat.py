"""However candidates are found, the answer is that of brute force in float64."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from vizinho.engines import flat
from vizinho.engines.flat import FlatVectors
from vizinho.engines.sketch import Sketch


def embeddings(count: int, width: int, seed: int = 0, noise: float = 0.05) -> np.ndarray:
    """Vectors like trained embeddings: a few directions carry most of it, far from the origin."""
    rng = np.random.default_rng(seed)
    few = rng.normal(size=(count, 12)) @ rng.normal(size=(12, width))
    return (5 + few + noise * rng.normal(size=(count, width))).astype(np.float32)


def brute(matrix: np.ndarray, query: np.ndarray, need: int) -> list[tuple[int, float]]:
    distances = np.sqrt(((matrix - query.astype(np.float64)) ** 2).sum(axis=1))
    order = np.argsort(distances, kind="stable")[:need]
    return [(int(i), float(distances[i])) for i in order]


def answers(vectors: FlatVectors, query: np.ndarray, need: int) -> list[tuple[int, float]]:
    ((ids, distances),) = vectors.nearest(query[None], need)
    return sorted(zip(ids.tolist(), distances.tolist(), strict=True), key=lambda hit: hit[::-1])[
        :need
    ]


@pytest.fixture(params=["numpy", "faiss", "sketch"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way to find candidates, forced."""
    if request.param == "numpy":
        monkeypatch.delitem(sys.modules, "faiss", raising=False)
        monkeypatch.setattr(flat, "_NUMPY_NUMBERS", float("inf"))
    else:
        monkeypatch.setattr(flat, "_NUMPY_NUMBERS", 0)
    scans = 0 if request.param == "sketch" else 10**9
    monkeypatch.setattr(flat, "_SKETCH_SCANS", scans)
    return str(request.param)


@pytest.mark.parametrize("noise", [0.0, 0.05, 3.0])
def test_every_way_answers_like_brute_force(way: str, noise: float) -> None:
    matrix = embeddings(3000, 192, noise=noise)
    matrix[1000:1040] = matrix[7]
    vectors = FlatVectors(np.arange(3000), matrix)
    near = matrix[:20] + np.float32(1e-3)
    for query in (*matrix[:20], *near, matrix[1001], np.zeros(192, np.float32)):
        for need in (1, 10, 60, 2500):
            assert answers(vectors, query, need) == brute(matrix, query, need)
    assert (vectors._sketch is not None) == (way == "sketch")
    assert ("faiss" in sys.modules) == (way != "numpy")


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_sketched_distances_are_never_larger_than_the_true_ones(scale: float) -> None:
    matrix = (embeddings(2500, 256) * scale).astype(np.float32)
    sketch = Sketch(matrix)
    for query in (matrix[3], matrix[3] * 1.5, embeddings(1, 256, seed=9)[0]):
        point, blur = sketch.of(query)
        sketched = np.sqrt(((sketch.points.astype(np.float64) - point) ** 2).sum(axis=1))
        true = np.sqrt(((matrix.astype(np.float64) - query) ** 2).sum(axis=1))
        assert (sketched - blur <= true).all()
        # And close to them, or nothing would be gained.
        assert np.median(sketched) > 0.9 * np.median(true)


def test_a_single_search_does_not_wait_for_faiss() -> None:
    code = (
        "import sys, numpy as np\n"
        "from vizinho.engines.flat import FlatVectors\n"
        "v = FlatVectors(np.arange(10_000), np.eye(10_000, 64, dtype='f4'))\n"
        "v.nearest(np.ones((1, 64), 'f4'), 10)\n"
        "assert 'faiss' not in sys.modules\n"
        "for _ in range(40): v.nearest(np.ones((1, 64), 'f4'), 10)\n"
        "assert 'faiss' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
