"""Are probabilities right, and are the known told from the unknown?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS = 15


@dataclass(frozen=True)
class Reliability:
    """``error``: the expected calibration error: answers in ascending order of probability, cut
    into 15 bins of equal count; the mean over answers of the gap between a bin's mean probability
    and the share in it that is right. ``bins``: (mean probability, share right, answers)."""

    error: float
    answers: int
    right: float
    bins: tuple[tuple[float, float, int], ...]


def reliability(
    probabilities: NDArray[Any], right: NDArray[np.bool_], bins: int = BINS
) -> Reliability:
    """Of answers [n]. Equal probabilities keep the order in which they are given. Raises
    ValueError without answers."""
    if not len(probabilities) or len(probabilities) != len(right):
        raise ValueError("Expected as many probabilities as answers, and at least one.")
    order = np.argsort(probabilities, kind="stable")
    chances, hits = probabilities[order].astype(np.float64), right[order].astype(np.float64)
    # Bins differ in size by one answer at most; of few answers each has a bin.
    edges = np.linspace(0, len(order), min(bins, len(order)) + 1).round().astype(np.int64)
    found = tuple(
        (float(chances[low:high].mean()), float(hits[low:high].mean()), int(high - low))
        for low, high in pairwise(edges)
    )
    error = sum(count * abs(chance - share) for chance, share, count in found) / len(order)
    return Reliability(float(error), len(order), float(hits.mean()), found)


def auroc(known: NDArray[Any], unknown: NDArray[Any]) -> float:
    """The chance that one of ``unknown`` scores higher than one of ``known``; a tie is half.

    Raises ValueError where either is empty.
    """
    if not len(known) or not len(unknown):
        raise ValueError("Expected scores of both kinds.")
    ordered = np.sort(known)
    below = np.searchsorted(ordered, unknown, side="left")
    upto = np.searchsorted(ordered, unknown, side="right")
    return float((below + upto).sum() / 2 / len(known) / len(unknown))


def false_positives(
    known: NDArray[Any], unknown: NDArray[Any], true_positives: float = 0.95
) -> float:
    """The share of ``unknown`` taken for known at the least cut that takes at least the share
    ``true_positives`` of ``known`` so: scores up to the cut are known. Raises ValueError."""
    if not len(known) or not len(unknown):
        raise ValueError("Expected scores of both kinds.")
    rank = int(np.ceil(true_positives * len(known) - 1e-9))
    cut = np.sort(known)[max(rank, 1) - 1]
    return float(np.mean(unknown <= cut))
