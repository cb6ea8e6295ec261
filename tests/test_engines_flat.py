"""However candidates are found, the answer is that of brute force in float64."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from vizinho.engines import flat, scans
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
        monkeypatch.setattr(scans, "_NUMPY_NUMBERS", float("inf"))
    else:
        monkeypatch.setattr(scans, "_NUMPY_NUMBERS", 0)
    scanned = 0 if request.param == "sketch" else 10**9
    monkeypatch.setattr(flat, "_SKETCH_SCANS", scanned)
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
    assert (vectors.has_sketch) == (way == "sketch")
    assert ("faiss" in sys.modules) == (way != "numpy")


@pytest.mark.parametrize("centre", [0.0, 1.0, 300.0, 1e18])
def test_a_product_of_matrix_and_vector_is_enough_where_it_can_be(
    way: str, centre: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Far from the origin its error is larger than the distances, and they decide by themselves."""
    rng = np.random.default_rng(5)
    matrix = (centre + rng.normal(size=(4000, 64))).astype(np.float32)
    matrix[1000:1040] = matrix[7]
    matrix[50:60] = matrix[8] + rng.normal(0, 1e-5, (10, 64)).astype(np.float32)
    part = np.sort(rng.permutation(4000)[:1500])
    vectors = FlatVectors(np.arange(0, 40_000, 10), matrix)
    limited = FlatVectors(np.arange(0, 40_000, 10)[part], matrix[part])
    direct: list[int] = []
    squared = scans._squared
    monkeypatch.setattr(scans, "_squared", lambda *given: direct.append(1) or squared(*given))
    for query in (matrix[8], matrix[1001] + np.float32(1e-3), matrix[5] * 1.01):
        for need in (1, 10, 60, 3990):
            expected = [(10 * place, distance) for place, distance in brute(matrix, query, need)]
            assert answers(vectors, query, need) == expected
            ((ids, distances),) = vectors.nearest(query[None], need, part)
            ((same_ids, same),) = limited.nearest(query[None], need)
            assert (ids.tolist(), distances.tolist()) == (same_ids.tolist(), same.tolist())
    if way == "numpy":
        assert bool(direct) == (centre > 1)
    ids = np.array([10, 20, 35, 39_990, 50_000])
    assert vectors.positions(ids).tolist() == [1, 2, 3999]
    assert limited.positions(np.arange(0, 40_000, 10)).tolist() == list(range(1500))


def test_without_faiss_numpy_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "_NUMPY_NUMBERS", 0)
    monkeypatch.setattr(scans, "_missing", False)
    monkeypatch.setitem(sys.modules, "faiss", None)  # what Python takes as "not installed"
    matrix = embeddings(3000, 64)
    vectors = FlatVectors(np.arange(3000), matrix)
    for query in matrix[:3]:
        assert answers(vectors, query, 10) == brute(matrix, query, 10)


@pytest.mark.parametrize("centre", [0.0, 300.0])
def test_numpy_makes_no_second_matrix(centre: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "faiss", raising=False)
    monkeypatch.setattr(scans, "_NUMPY_NUMBERS", float("inf"))
    matrix = np.random.default_rng(0).standard_normal((200_000, 64), np.float32) + np.float32(
        centre
    )
    vectors = FlatVectors(np.arange(200_000), matrix)
    tracemalloc.start()
    vectors.nearest(matrix[:1], 10)
    vectors.nearest(matrix[:1], 10, np.arange(100_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.4 * matrix.nbytes


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


def test_a_sketch_that_saves_nothing_is_given_up() -> None:
    rng = np.random.default_rng(3)
    matrix = rng.uniform(-1, 1, (4000, 128)).astype(np.float32)
    vectors = FlatVectors(np.arange(4000), matrix)
    queries = rng.uniform(-1, 1, (60, 128)).astype(np.float32)
    for query in queries:
        ((ids, _distances),) = vectors.nearest(query[None], 10)
        true = np.sqrt(((matrix.astype(np.float64) - query) ** 2).sum(axis=1))
        assert ids.tolist() == np.argsort(true)[:10].tolist()
    assert vectors.has_sketch
    assert vectors._sketched(1) is None
