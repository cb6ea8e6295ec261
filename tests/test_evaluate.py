from __future__ import annotations

import json
import math
import time
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from vizinho.evaluate import (
    evaluate,
    evaluate_with_neighbours,
    mean_average_precision_at_r,
    mean_reciprocal_rank,
    nearest_neighbours,
    precision_at_1,
    r_precision,
    ranking,
    recall_at_k,
)


def clusters(
    count: int, classes: int, dimension: int, *, noise: float, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    centres = rng.normal(size=(classes, dimension))
    embeddings = centres[labels] + noise * rng.normal(size=(count, dimension))
    return embeddings.astype(np.float32), labels


def slow_ranking(embeddings: NDArray[np.float32], query: int) -> list[int]:
    apart = [
        (float(np.float32(sum((float(a) - float(b)) ** 2 for a, b in zip(x, q, strict=True)))), i)
        for q in [embeddings[query]]
        for i, x in enumerate(embeddings)
        if i != query
    ]
    return [i for _, i in sorted(apart)]


def slow_metrics(embeddings: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    """The definitions, as plainly as they can be written down."""
    firsts, r_precisions, averages, reciprocals, recalls = [], [], [], [], []
    for query, label in enumerate(labels):
        relevant = sum(1 for i, other in enumerate(labels) if other == label and i != query)
        if relevant == 0:
            continue
        right = [labels[i] == label for i in slow_ranking(embeddings, query)]
        firsts.append(right[0])
        r_precisions.append(sum(right[:relevant]) / relevant)
        precisions = [sum(right[: i + 1]) / (i + 1) for i in range(relevant) if right[i]]
        averages.append(sum(precisions) / relevant)
        reciprocals.append(1 / (right.index(True) + 1))
        recalls.append(any(right[:3]))
    return {
        "precision_at_1": float(np.mean(firsts)),
        "r_precision": float(np.mean(r_precisions)),
        "mean_average_precision_at_r": float(np.mean(averages)),
        "mean_reciprocal_rank": float(np.mean(reciprocals)),
        "recall_at_3": float(np.mean(recalls)),
    }


CASES = {
    "easy": clusters(120, 4, 8, noise=0.4),
    "hard": clusters(150, 12, 5, noise=2.0, seed=1),
    "uneven": (
        clusters(90, 3, 6, noise=1.0, seed=2)[0],
        np.repeat([0, 1, 2, 3], [60, 20, 9, 1]),
    ),
    "loners": (clusters(40, 4, 6, noise=1.0, seed=3)[0], np.array([*[0] * 10, *range(1, 31)])),
    "ties": (
        np.random.default_rng(4).integers(0, 3, (100, 2)).astype(np.float32),
        np.random.default_rng(5).integers(0, 4, 100),
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("block_bytes", [1, 20_000, 4 << 20])
def test_metrics_equal_the_definitions_whatever_the_block(
    case: str, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(ranking, "PRODUCT_BYTES", 3 * block_bytes)
    monkeypatch.setattr(ranking, "TILE", 64 if block_bytes < 4 << 20 else 1024)
    embeddings, labels = CASES[case]
    expected = slow_metrics(embeddings, labels)
    found = {
        "precision_at_1": precision_at_1(embeddings, labels),
        "r_precision": r_precision(embeddings, labels),
        "mean_average_precision_at_r": mean_average_precision_at_r(embeddings, labels),
        "mean_reciprocal_rank": mean_reciprocal_rank(embeddings, labels),
        "recall_at_3": recall_at_k(embeddings, labels, 3),
    }
    assert found == pytest.approx(expected, abs=1e-12)
    assert evaluate(embeddings, labels).precision_at_1 == found["precision_at_1"]


@pytest.mark.train
@pytest.mark.parametrize("case", ["easy", "hard", "uneven", "loners"])
def test_metrics_equal_pytorch_metric_learning(case: str) -> None:
    torch = pytest.importorskip("torch")
    calculator = pytest.importorskip("pytorch_metric_learning.utils.accuracy_calculator")
    embeddings, labels = CASES[case]
    names = (
        "precision_at_1",
        "r_precision",
        "mean_average_precision_at_r",
        "mean_reciprocal_rank",
    )
    # Without k the whole set is ranked, which is what these metrics are defined on.
    theirs = calculator.AccuracyCalculator(include=names, device=torch.device("cpu")).get_accuracy(
        torch.from_numpy(embeddings), torch.from_numpy(labels)
    )
    ours = evaluate(embeddings, labels)
    assert {name: getattr(ours, name) for name in names} == pytest.approx(theirs, abs=1e-6)


@pytest.mark.train
def test_per_class_equals_pytorch_metric_learning() -> None:
    torch = pytest.importorskip("torch")
    calculator = pytest.importorskip("pytorch_metric_learning.utils.accuracy_calculator")
    embeddings, labels = CASES["hard"]
    theirs = calculator.AccuracyCalculator(
        include=("precision_at_1",), return_per_class=True, device=torch.device("cpu")
    ).get_accuracy(torch.from_numpy(embeddings), torch.from_numpy(labels))["precision_at_1"]
    ours = evaluate(embeddings, labels).per_class
    assert list(ours) == [str(label) for label in np.unique(labels)]
    assert list(ours.values()) == pytest.approx(theirs, abs=1e-6)


def test_a_set_of_loners_has_no_answer() -> None:
    embeddings, _ = clusters(5, 2, 3, noise=1.0)
    result = evaluate(embeddings, np.arange(5))
    assert result.queries == 0
    assert math.isnan(precision_at_1(embeddings, np.arange(5)))
    assert math.isnan(result.precision_at_1)
    assert math.isnan(result.mean_reciprocal_rank)
    plain = result.to_dict()
    assert plain["precision_at_1"] is None
    assert plain["precision_at_1_interval"] == [None, None]
    json.dumps(plain, allow_nan=False)


def test_twins_far_from_zero_find_each_other() -> None:
    # In float32 |a|^2 + |b|^2 - 2ab has lost all digits here: every distance would come out alike.
    rng = np.random.default_rng(0)
    pairs = 1e4 + np.arange(50)[:, None] * 0.01 + rng.normal(0, 1e-4, (50, 3))
    embeddings = np.repeat(pairs, 2, axis=0)
    assert precision_at_1(embeddings, np.repeat(np.arange(50), 2)) == 1.0


def test_equal_distances_go_by_index() -> None:
    embeddings = np.zeros((6, 4), dtype=np.float32)
    indices, distances = nearest_neighbours(embeddings, 3)
    assert indices.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2], [0, 1, 2]]
    assert (distances == 0).all()


def test_nearest_neighbours_are_those_of_the_slow_ranking() -> None:
    embeddings, _ = CASES["hard"]
    indices, distances = nearest_neighbours(embeddings, 7)
    for query in range(0, len(embeddings), 10):
        assert indices[query].tolist() == slow_ranking(embeddings, query)[:7]
        expected = np.linalg.norm(embeddings[indices[query]] - embeddings[query], axis=1)
        assert distances[query] == pytest.approx(expected, rel=1e-6)
    assert nearest_neighbours(embeddings[:3], 10)[0].shape == (3, 2)


def test_every_figure_has_an_interval_around_it() -> None:
    result = evaluate(*CASES["hard"])
    told = result.to_dict()
    figures = {name: told[name] for name in told["intervals"] if name in told}
    figures |= {f"recall_at_{k}": value for k, value in told["recall_at"].items()}
    assert set(figures) == set(told["intervals"]) > {"r_precision", "recall_at_10"}
    for name, (low, high) in told["intervals"].items():
        assert low < figures[name] < high
        assert high - low < 0.25
    for name, (low, high) in told["per_class_intervals"].items():
        assert low <= told["per_class"][name] <= high
    json.dumps(told, allow_nan=False)
    assert "confusion" not in result.to_dict(full=False)


def test_progress_ends_at_the_number_of_images() -> None:
    heard: list[tuple[int, int | None]] = []
    embeddings, labels = CASES["easy"]
    evaluate(embeddings, labels, progress=lambda done, total: heard.append((done, total)))
    assert heard[-1] == (120, 120)


def test_confusion_counts_the_nearest_ones_of_each_class() -> None:
    for embeddings, labels in CASES.values():
        expected: dict[str, Counter[str]] = {str(label): Counter() for label in np.unique(labels)}
        for query, label in enumerate(labels):
            if (labels == label).sum() > 1:
                expected[str(label)][str(labels[slow_ranking(embeddings, query)[0]])] += 1
        result = evaluate(embeddings, labels)
        assert result.confusion == expected
        assert sum(sum(found.values()) for found in result.confusion.values()) == result.queries


@pytest.mark.parametrize("case", ["uneven", "ties"])
def test_curve_is_precision_and_recall_within_each_k(case: str) -> None:
    embeddings, labels = CASES[case]
    asked = [i for i, label in enumerate(labels) if (labels == label).sum() > 1]
    right = np.array([labels[slow_ranking(embeddings, i)] == labels[i] for i in asked])
    curve = evaluate(embeddings, labels).curve
    assert [point.k for point in curve][:6] == [1, 2, 3, 5, 7, 10]
    assert curve[-1].k == max(Counter(labels.tolist()).values()) - 1
    for k, precision, recall in curve:
        assert precision == pytest.approx(right[:, :k].mean())
        assert recall == pytest.approx(right[:, :k].any(1).mean())


def test_neighbours_come_with_the_metrics() -> None:
    embeddings, labels = CASES["ties"]
    result, neighbours = evaluate_with_neighbours(embeddings, labels, 7)
    assert result == evaluate(embeddings.astype(np.float64), labels)
    indices, distances = nearest_neighbours(embeddings, 7)
    assert np.array_equal(neighbours.indices, indices)
    assert np.array_equal(neighbours.distances, distances)


def test_memory_does_not_grow_with_the_square_of_the_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "PRODUCT_BYTES", 1 << 20)
    monkeypatch.setattr(ranking, "BLOCK_BYTES", 1 << 18)
    peaks = {}
    for count in (1500, 3000):
        # Two classes, so that R is half the set: the ranks that MAP@R needs are the most there are.
        embeddings, labels = clusters(count, 2, 64, noise=2.0)
        tracemalloc.start()
        evaluate_with_neighbours(embeddings, labels, 10)
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # All distances of 3,000 in float32 would be 36 MB; the larger set's neighbours are 0.2 MB more.
    assert max(peaks.values()) < 16e6
    assert peaks[3000] < peaks[1500] + 2e6


def test_class_names_stand_in_the_result() -> None:
    embeddings, labels = CASES["easy"]
    result = evaluate(embeddings, labels, classes=["ant", "bee", "cat", "dog"])
    assert list(result.per_class) == ["ant", "bee", "cat", "dog"]


@pytest.mark.parametrize(
    ("embeddings", "labels", "said"),
    [
        (np.zeros((3, 2)), [0, 1], r"\(3, 2\) and \(2,\)"),
        (np.zeros(3), [0, 1, 2], "embeddings"),
        (np.zeros((1, 2)), [0], "at least 2"),
        ([[0.0, np.nan], [0.0, 1.0]], [0, 0], "nan"),
    ],
)
def test_arrays_that_make_no_sense_are_refused(
    embeddings: object, labels: object, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        precision_at_1(embeddings, labels)  # type: ignore[arg-type]


def test_four_thousand_images_take_no_time() -> None:
    embeddings, labels = clusters(4_000, 10, 64, noise=1.3)
    start = time.process_time()
    result = evaluate(embeddings, labels)
    # About 0.4 s of one core where this was written; a sort in Python would take half a minute.
    assert time.process_time() - start < 10
    assert result.queries == 4_000
