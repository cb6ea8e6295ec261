"""How good is an embedding? Metrics over arrays, and over a model bundle on a data set."""

from __future__ import annotations

from vizinho.evaluate.bundles import BundleEvaluation, evaluate_bundle
from vizinho.evaluate.metrics import (
    EvaluationResult,
    bootstrap_interval,
    evaluate,
    knn_accuracy,
    mean_average_precision_at_r,
    mean_reciprocal_rank,
    precision_at_1,
    r_precision,
    recall_at_k,
)
from vizinho.evaluate.ranking import nearest_neighbours

__all__ = [
    "BundleEvaluation",
    "EvaluationResult",
    "bootstrap_interval",
    "evaluate",
    "evaluate_bundle",
    "knn_accuracy",
    "mean_average_precision_at_r",
    "mean_reciprocal_rank",
    "nearest_neighbours",
    "precision_at_1",
    "r_precision",
    "recall_at_k",
]
