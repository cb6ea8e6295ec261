"""Retrieval metrics over arrays.

Every metric is leave-one-out inside one set: each image in turn is the query, all others are the
references. Names and definitions are pytorch-metric-learning's (``AccuracyCalculator``): Musgrave,
Belongie and Lim, "A Metric Learning Reality Check", 2020. Its rule for lonely queries is kept too:
the only member of a class has no right answer and is not asked; when no query is left the metric
is ``nan``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vizinho.evaluate.ranking import Floats, Indices, checked, ranked
from vizinho.progress import Progress


@dataclass(frozen=True)
class EvaluationResult:
    """What embeddings achieve; all rates in 0..1, ``nan`` where no query has an answer."""

    queries: int
    """Images that were asked: all but the only members of a class."""
    references: int
    """Images in the set."""
    dimension: int
    precision_at_1: float
    """The thesis's Top-1: leave-one-out, k = 1, Euclidean."""
    precision_at_1_interval: tuple[float, float]
    """95 % bootstrap interval over queries."""
    r_precision: float
    mean_average_precision_at_r: float
    mean_reciprocal_rank: float
    recall_at: Mapping[int, float]
    """k -> share of queries with a right image among the k nearest."""
    per_class: Mapping[str, float]
    """Class name -> precision_at_1 of its members; ``nan`` for a class of one."""

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types; ``nan`` becomes None, as JSON has no ``nan``."""
        return {
            "protocol": "leave-one-out, Euclidean",
            "queries": self.queries,
            "references": self.references,
            "dimension": self.dimension,
            "precision_at_1": _plain(self.precision_at_1),
            "precision_at_1_interval": [_plain(end) for end in self.precision_at_1_interval],
            "r_precision": _plain(self.r_precision),
            "mean_average_precision_at_r": _plain(self.mean_average_precision_at_r),
            "mean_reciprocal_rank": _plain(self.mean_reciprocal_rank),
            "recall_at": {str(k): _plain(value) for k, value in self.recall_at.items()},
            "per_class": {name: _plain(value) for name, value in self.per_class.items()},
        }


def precision_at_1(embeddings: ArrayLike, labels: ArrayLike) -> float:
    """Share of images whose nearest other image is of their class: the thesis's Top-1.

    ``embeddings`` [N, D] floats, ``labels`` [N] integers. ``nan`` when no class has two members.
    """
    correct, asked = _nearest_is_right(*checked(embeddings, labels))
    return _mean(correct[asked])


def recall_at_k(embeddings: ArrayLike, labels: ArrayLike, k: int) -> float:
    """Share of images that have at least one of their class among their ``k`` nearest others."""
    return evaluate(embeddings, labels, recall_ks=(k,)).recall_at[k]


def r_precision(embeddings: ArrayLike, labels: ArrayLike) -> float:
    """Share of right images among the R nearest, R being how many right ones there are."""
    return evaluate(embeddings, labels).r_precision


def mean_average_precision_at_r(embeddings: ArrayLike, labels: ArrayLike) -> float:
    """MAP@R: mean over queries of (1/R) sum over i <= R of precision at i where i is right."""
    return evaluate(embeddings, labels).mean_average_precision_at_r


def mean_reciprocal_rank(embeddings: ArrayLike, labels: ArrayLike) -> float:
    """Mean of 1 / rank of the first right image, ranking the whole set."""
    return evaluate(embeddings, labels).mean_reciprocal_rank


def evaluate(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    classes: Sequence[str] | None = None,
    recall_ks: Sequence[int] = (1, 5, 10),
    progress: Progress | None = None,
) -> EvaluationResult:
    """All metrics in one pass over the distances.

    ``embeddings`` [N, D] floats, ``labels`` [N] integers, ``classes`` the names that the labels
    index (their numbers when left out). Raises ``ValueError`` on shapes that don't fit, on fewer
    than two images and on embeddings that aren't finite.
    """
    embeddings, labels = checked(embeddings, labels)
    if any(k < 1 for k in recall_ks):
        raise ValueError(f"recall@k needs k of at least 1, got {list(recall_ks)}.")
    count = len(labels)
    relevant = _relevant(labels)
    asked = relevant > 0
    columns = min(count - 1, max(int(relevant.max()), 1, *recall_ks))
    position = np.arange(1, columns + 1)

    right_first = np.zeros(count, dtype=bool)
    first_rank = np.zeros(count)
    r_precisions = np.zeros(count)
    average_precisions = np.zeros(count)
    for rows, nearest, keys in ranked(embeddings, embeddings, columns, leave_one_out=True):
        right = labels[nearest] == labels[rows, None]
        right_first[rows] = right[:, 0]
        first_rank[rows] = _first_right(right, keys, labels, labels[rows])
        wanted = np.maximum(relevant[rows], 1)
        within_r = right & (position <= wanted[:, None])
        r_precisions[rows] = within_r.sum(1) / wanted
        precision_here = np.cumsum(within_r, axis=1, dtype=np.int32) / position
        average_precisions[rows] = (precision_here * within_r).sum(1) / wanted
        if progress is not None:
            progress(rows.stop, count)

    return EvaluationResult(
        queries=int(asked.sum()),
        references=count,
        dimension=embeddings.shape[1],
        precision_at_1=_mean(right_first[asked]),
        precision_at_1_interval=bootstrap_interval(right_first[asked]),
        r_precision=_mean(r_precisions[asked]),
        mean_average_precision_at_r=_mean(average_precisions[asked]),
        mean_reciprocal_rank=_mean(1.0 / first_rank[asked]),
        recall_at={k: _mean(first_rank[asked] <= k) for k in recall_ks},
        per_class=_per_class(right_first, asked, labels, classes),
    )


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
    train_embeddings, train_labels = checked(train_embeddings, train_labels, least=1)
    test_embeddings, test_labels = checked(test_embeddings, test_labels, least=1)
    if train_embeddings.shape[1] != test_embeddings.shape[1]:
        raise ValueError(
            f"Training embeddings have dimension {train_embeddings.shape[1]}, "
            f"test embeddings {test_embeddings.shape[1]}."
        )
    if k < 1:
        raise ValueError(f"kNN needs k of at least 1, got {k}.")
    named, voter = np.unique(train_labels, return_inverse=True)
    k = min(k, len(train_labels))
    correct = np.zeros(len(test_labels), dtype=bool)
    for rows, nearest, _ in ranked(test_embeddings, train_embeddings, k, leave_one_out=False):
        voters = voter[nearest]
        line = np.arange(len(voters))[:, None]
        votes = np.zeros((len(voters), len(named)), dtype=np.int64)
        np.add.at(votes, (line, voters), 1)
        leads = votes[line, voters] == votes.max(1, keepdims=True)
        winner = voters[line[:, 0], leads.argmax(1)]
        correct[rows] = named[winner] == test_labels[rows]
    return _mean(correct)


def bootstrap_interval(
    correct: NDArray[np.bool_], *, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap of a share over queries, their neighbours kept as they are.

    Drawing n queries with replacement and counting the right ones *is* a binomial draw, so no
    query is drawn one by one.
    """
    if correct.size == 0:
        return (math.nan, math.nan)
    draws = np.random.default_rng(seed).binomial(correct.size, correct.mean(), resamples)
    low, high = np.quantile(draws / correct.size, [(1 - level) / 2, (1 + level) / 2])
    return (float(low), float(high))


def _first_right(
    right: NDArray[np.bool_],
    keys: NDArray[np.uint64],
    labels: Indices,
    wanted: Indices,
) -> Floats:
    """Rank of the first right reference, 1 for the nearest; 0 where the query has none."""
    rank: Floats = right.argmax(1) + 1.0
    for row in np.flatnonzero(~right.any(1)):
        same = keys[row][labels == wanted[row]]
        # The query's own key is in there too, at an infinite distance.
        rank[row] = np.count_nonzero(keys[row] < same.min()) + 1 if len(same) > 1 else 0.0
    return rank


def _nearest_is_right(
    embeddings: Floats, labels: Indices
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    correct = np.zeros(len(labels), dtype=bool)
    for rows, nearest, _ in ranked(embeddings, embeddings, 1, leave_one_out=True):
        correct[rows] = labels[nearest[:, 0]] == labels[rows]
    return correct, _relevant(labels) > 0


def _relevant(labels: Indices) -> Indices:
    """How many other images of its class each image has."""
    _, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return counts[index].astype(np.int64) - 1


def _per_class(
    correct: NDArray[np.bool_],
    asked: NDArray[np.bool_],
    labels: Indices,
    classes: Sequence[str] | None,
) -> dict[str, float]:
    return {
        (classes[label] if classes is not None else str(label)): _mean(
            correct[asked & (labels == label)]
        )
        for label in np.unique(labels).tolist()
    }


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if values.size else math.nan


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
