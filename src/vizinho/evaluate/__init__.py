"""How good is an embedding? Metrics over arrays, and over a model bundle on a data set."""

from __future__ import annotations

from vizinho.evaluate.bundles import BundleEvaluation, evaluate_bundle
from vizinho.evaluate.intervals import bootstrap_interval, bootstrap_means
from vizinho.evaluate.knn import knn_accuracy
from vizinho.evaluate.metrics import (
    evaluate,
    evaluate_with_neighbours,
    mean_average_precision_at_r,
    mean_reciprocal_rank,
    precision_at_1,
    r_precision,
    recall_at_k,
)
from vizinho.evaluate.ranking import nearest_neighbours
from vizinho.evaluate.result import AtK, EvaluationResult

__all__ = [
    "AtK",
    "BundleEvaluation",
    "EvaluationResult",
    "bootstrap_interval",
    "bootstrap_means",
    "evaluate",
    "evaluate_bundle",
    "evaluate_with_neighbours",
    "knn_accuracy",
    "mean_average_precision_at_r",
    "mean_reciprocal_rank",
    "nearest_neighbours",
    "precision_at_1",
    "r_precision",
    "recall_at_k",
]
