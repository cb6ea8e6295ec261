from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from vizinho.evaluate import knn_accuracy


def clusters(
    count: int, classes: int, dimension: int, *, noise: float, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    centres = rng.normal(size=(classes, dimension))
    embeddings = centres[labels] + noise * rng.normal(size=(count, dimension))
    return embeddings.astype(np.float32), labels


def slow_knn(
    train: NDArray[np.float32],
    train_labels: NDArray[np.int64],
    test: NDArray[np.float32],
    test_labels: NDArray[np.int64],
    k: int,
) -> float:
    right = 0
    for x, label in zip(test, test_labels, strict=True):
        order = np.argsort(((train - x) ** 2).sum(1), kind="stable")[:k]
        votes = Counter(train_labels[order].tolist())
        most = max(votes.values())
        winner = next(train_labels[i] for i in order if votes[int(train_labels[i])] == most)
        right += int(winner == label)
    return right / len(test)


@pytest.mark.parametrize("k", [1, 2, 4, 10, 1000])
def test_knn_accuracy_equals_the_loop(k: int) -> None:
    train, train_labels = clusters(200, 5, 4, noise=1.2, seed=7)
    test, test_labels = clusters(80, 5, 4, noise=1.2, seed=8)
    # Labels that are no row numbers, and one in the test set that training never saw.
    train_labels, test_labels = train_labels * 10 + 3, test_labels * 10 + 3
    test_labels[0] = 99
    found = knn_accuracy(train, train_labels, test, test_labels, k)
    assert found == slow_knn(train, train_labels, test, test_labels, k)


def test_knn_tie_goes_to_the_nearest_voter() -> None:
    train = np.array([[1.0], [2.0], [3.0], [4.0]])
    assert knn_accuracy(train, [5, 2, 2, 5], [[0.0]], [5], k=4) == 1.0
    assert knn_accuracy(train, [2, 5, 5, 2], [[0.0]], [5], k=4) == 0.0


def test_knn_refuses_other_dimensions_and_no_k() -> None:
    with pytest.raises(ValueError, match="dimension"):
        knn_accuracy(np.zeros((2, 3)), [0, 1], np.zeros((2, 4)), [0, 1])
    with pytest.raises(ValueError, match="at least 1"):
        knn_accuracy(np.zeros((2, 3)), [0, 1], np.zeros((2, 3)), [0, 1], k=0)
