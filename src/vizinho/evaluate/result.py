"""What a measurement found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from vizinho.evaluate.intervals import Interval


class AtK(NamedTuple):
    """One point of the curve over k."""

    k: int
    precision: float
    """Mean share of right ones among the k nearest."""
    recall: float
    """Share of queries with a right one among the k nearest, as metric learning uses the word."""


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
    r_precision: float
    mean_average_precision_at_r: float
    mean_reciprocal_rank: float
    recall_at: Mapping[int, float]
    """k -> share of queries with a right image among the k nearest."""
    intervals: Mapping[str, Interval]
    """Metric -> 95 % bootstrap interval (see ``intervals.py``); recalls are ``recall_at_5`` etc."""
    per_class: Mapping[str, float]
    """Class name -> precision_at_1 of its members; ``nan`` for a class of one."""
    per_class_intervals: Mapping[str, Interval]
    confusion: Mapping[str, Mapping[str, int]]
    """Class of the query -> class of its nearest other image -> how often; zeros left out."""
    curve: Sequence[AtK]
    """From the nearest one to as many as the largest class has."""

    @property
    def precision_at_1_interval(self) -> Interval:
        """95 % bootstrap interval over queries."""
        return self.intervals["precision_at_1"]

    def to_dict(self, *, full: bool = True) -> dict[str, Any]:
        """As plain JSON types; ``nan`` becomes None, as JSON has no ``nan``.

        Without ``full`` the confusion, the curve and the classes' intervals stay out: what is left
        goes into a bundle.
        """
        plain: dict[str, Any] = {
            "protocol": "leave-one-out, Euclidean",
            "queries": self.queries,
            "references": self.references,
            "dimension": self.dimension,
            "precision_at_1": _plain(self.precision_at_1),
            "precision_at_1_interval": ends(self.precision_at_1_interval),
            "r_precision": _plain(self.r_precision),
            "mean_average_precision_at_r": _plain(self.mean_average_precision_at_r),
            "mean_reciprocal_rank": _plain(self.mean_reciprocal_rank),
            "recall_at": {str(k): _plain(value) for k, value in self.recall_at.items()},
            "intervals": {name: ends(interval) for name, interval in self.intervals.items()},
            "per_class": {name: _plain(value) for name, value in self.per_class.items()},
        }
        if full:
            plain |= {
                "per_class_intervals": {
                    name: ends(interval) for name, interval in self.per_class_intervals.items()
                },
                "confusion": {name: dict(found) for name, found in self.confusion.items()},
                "curve": [
                    {"k": k, "precision": _plain(precision), "recall": _plain(recall)}
                    for k, precision, recall in self.curve
                ],
            }
        return plain


def ends(interval: Interval) -> list[float | None]:
    """An interval as JSON."""
    return [_plain(end) for end in interval]


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
