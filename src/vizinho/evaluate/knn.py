"""Classification by the nearest images of another set."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vizinho.evaluate.ranking import checked, ranked


def knn_accuracy(
    train_embeddings: ArrayLike,
    train_labels: ArrayLike,
    test_embeddings: ArrayLike,
    test_labels: ArrayLike,
    k: int = 10,
) -> float:
    """Share of test images named rightly by the majority of their ``k`` nearest training images.

    Shapes [M, D], [M], [N, D], [N]. Among classes with equally many votes the one that has the
    nearest of the voters wins.
    """
    correct = knn_correct(train_embeddings, train_labels, test_embeddings, test_labels, k)
    return float(correct.mean()) if correct.size else math.nan


def knn_correct(
    train_embeddings: ArrayLike,
    train_labels: ArrayLike,
    test_embeddings: ArrayLike,
    test_labels: ArrayLike,
    k: int = 10,
) -> NDArray[np.bool_]:
    """Which of the test images, [N], ``knn_accuracy`` counts as named rightly."""
    known, known_labels = checked(train_embeddings, train_labels, least=1)
    asked, asked_labels = checked(test_embeddings, test_labels, least=1)
    if known.shape[1] != asked.shape[1]:
        raise ValueError(
            f"Training embeddings have dimension {known.shape[1]}, "
            f"test embeddings {asked.shape[1]}."
        )
    if k < 1:
        raise ValueError(f"kNN needs k of at least 1, got {k}.")
    named, voter = np.unique(known_labels, return_inverse=True)
    k = min(k, len(known_labels))
    correct = np.zeros(len(asked_labels), dtype=bool)
    for rows, nearest, _ in ranked(asked, known, k, leave_one_out=False):
        voters = voter[nearest]
        line = np.arange(len(voters))[:, None]
        votes = np.zeros((len(voters), len(named)), dtype=np.int64)
        np.add.at(votes, (line, voters), 1)
        leads = votes[line, voters] == votes.max(1, keepdims=True)
        winner = voters[line[:, 0], leads.argmax(1)]
        correct[rows] = named[winner] == asked_labels[rows]
    return correct
