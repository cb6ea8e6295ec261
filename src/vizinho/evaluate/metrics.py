"""Retrieval metrics over arrays.

Every metric is leave-one-out inside one set: each image in turn is the query, all others are the
references. Names and definitions are pytorch-metric-learning's (``AccuracyCalculator``): Musgrave,
Belongie and Lim, "A Metric Learning Reality Check", 2020. Its rule for lonely queries is kept too:
the only member of a class has no right answer and is not asked; when no query is left the metric
is ``nan``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vizinho.evaluate.intervals import bootstrap_interval, bootstrap_means
from vizinho.evaluate.ranking import (
    INDEX,
    Floats,
    Indices,
    checked,
    distances,
    ranked,
    squared_distances,
)
from vizinho.evaluate.result import AtK, EvaluationResult
from vizinho.progress import Progress

RECALL_KS = (1, 5, 10)


@dataclass(frozen=True)
class Neighbours:
    """The nearest others of each of N images, nearest first."""

    indices: Indices
    """[N, k]"""
    distances: NDArray[np.float32]
    """[N, k] Euclidean."""


def precision_at_1(embeddings: ArrayLike, labels: ArrayLike) -> float:
    """Share of images whose nearest other image is of their class: the thesis's Top-1.

    ``embeddings`` [N, D] floats, ``labels`` [N] integers. ``nan`` when no class has two members.
    """
    rows, marks = checked(embeddings, labels)
    correct = np.zeros(len(marks), dtype=bool)
    for block, squared in squared_distances(rows, rows, leave_one_out=True):
        correct[block] = marks[squared.argmin(axis=1)] == marks[block]
    return _mean(correct[_relevant(marks) > 0])


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
    recall_ks: Sequence[int] = RECALL_KS,
    progress: Progress | None = None,
) -> EvaluationResult:
    """All metrics in one pass over the distances, a block of queries at a time.

    ``embeddings`` [N, D] floats, ``labels`` [N] integers, ``classes`` the names that the labels
    index (their numbers when left out). ``progress`` counts queries. Raises ``ValueError`` on
    shapes that don't fit, on fewer than two images and on embeddings that aren't finite.
    """
    return evaluate_with_neighbours(
        embeddings, labels, 1, classes=classes, recall_ks=recall_ks, progress=progress
    )[0]


def evaluate_with_neighbours(
    embeddings: ArrayLike,
    labels: ArrayLike,
    k: int,
    *,
    classes: Sequence[str] | None = None,
    recall_ks: Sequence[int] = RECALL_KS,
    progress: Progress | None = None,
) -> tuple[EvaluationResult, Neighbours]:
    """As ``evaluate``, and the ``k`` nearest others that the same pass came by (N - 1 at most)."""
    rows, marks = checked(embeddings, labels)
    if k < 1 or any(each < 1 for each in recall_ks):
        raise ValueError(f"recall@k needs k of at least 1, got {[*recall_ks]}.")
    count = len(marks)
    kept = min(k, count - 1)
    relevant = _relevant(marks)
    columns = min(count - 1, max(int(relevant.max()), 1, kept, *recall_ks))
    position = np.arange(1, columns + 1)
    stops = _stops(columns)

    first_rank = np.zeros(count)
    r_precisions = np.zeros(count)
    average_precisions = np.zeros(count)
    right_within = np.zeros(len(stops))
    found = Neighbours(
        np.empty((count, kept), dtype=np.int64), np.empty((count, kept), dtype=np.float32)
    )
    for block, nearest, keys in ranked(rows, rows, columns, leave_one_out=True):
        right = marks[nearest] == marks[block, None]
        wanted = np.maximum(relevant[block], 1)[:, None]
        hits = np.cumsum(right, axis=1, dtype=np.int32)
        first_rank[block] = _first_right(right, keys, marks, block)
        r_precisions[block] = (np.take_along_axis(hits, wanted - 1, axis=1) / wanted)[:, 0]
        within_r = right & (position <= wanted)
        average_precisions[block] = (hits / position * within_r).sum(1) / wanted[:, 0]
        right_within += hits[relevant[block] > 0][:, stops - 1].sum(0)
        found.indices[block] = nearest[:, :kept]
        found.distances[block] = distances(rows, block, nearest[:, :kept])
        if progress is not None:
            progress(block.stop, count)

    asked = relevant > 0
    first = first_rank[asked]
    per_query = {
        "r_precision": r_precisions[asked],
        "mean_average_precision_at_r": average_precisions[asked],
        "mean_reciprocal_rank": 1.0 / first,
    }
    hit = {
        "precision_at_1": first == 1,
        **{f"recall_at_{each}": first <= each for each in recall_ks},
    }
    names = {
        label: classes[label] if classes is not None else str(label)
        for label in np.unique(marks).tolist()
    }
    by_class = {name: first_rank[asked & (marks == label)] == 1 for label, name in names.items()}
    result = EvaluationResult(
        queries=int(asked.sum()),
        references=count,
        dimension=rows.shape[1],
        precision_at_1=_mean(hit["precision_at_1"]),
        **{name: _mean(values) for name, values in per_query.items()},
        recall_at={each: _mean(first <= each) for each in recall_ks},
        intervals={
            **{name: bootstrap_interval(values) for name, values in hit.items()},
            **bootstrap_means(per_query),
        },
        per_class={name: _mean(values) for name, values in by_class.items()},
        per_class_intervals={name: bootstrap_interval(each) for name, each in by_class.items()},
        confusion=_confusion(marks, found.indices[:, 0], asked, names),
        curve=[
            AtK(k, float(total / len(first) / k), _mean(first <= k))
            for k, total in zip(stops.tolist(), right_within, strict=True)
            if len(first)
        ],
    )
    return result, found


def _first_right(
    right: NDArray[np.bool_], keys: NDArray[np.uint64], labels: Indices, rows: slice
) -> Floats:
    """Rank of the first right reference, 1 for the nearest; 0 where the query has none."""
    rank: Floats = right.argmax(1) + 1.0
    for line in np.flatnonzero(~right.any(1)):
        own = labels[rows.start + line]
        same = keys[line][labels[(keys[line] & INDEX).astype(np.int64)] == own]
        # The query's own key is in there too, at an infinite distance.
        rank[line] = np.count_nonzero(keys[line] < same.min()) + 1 if len(same) > 1 else 0.0
    return rank


def _confusion(
    labels: Indices, nearest: Indices, asked: NDArray[np.bool_], names: dict[int, str]
) -> dict[str, dict[str, int]]:
    pairs, counts = np.unique(
        np.stack([labels[asked], labels[nearest[asked]]], axis=1), axis=0, return_counts=True
    )
    found: dict[str, dict[str, int]] = {name: {} for name in names.values()}
    for (label, other), number in zip(pairs.tolist(), counts.tolist(), strict=True):
        found[names[label]][names[other]] = number
    return found


def _relevant(labels: Indices) -> Indices:
    """How many other images of its class each image has."""
    _, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return counts[index].astype(np.int64) - 1


def _stops(columns: int) -> Indices:
    """1, 2, 3, 5, 7, 10, 15, 20, 30, ... and ``columns``."""
    steps = {round(step * 10**power) for power in range(8) for step in (1, 1.5, 2, 3, 5, 7)}
    return np.array(sorted({k for k in steps if k < columns} | {columns}), dtype=np.int64)


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if values.size else math.nan
