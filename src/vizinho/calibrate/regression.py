"""Logistic and isotonic regression, small: a few columns, many rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Chances nearer to 0 or 1 than this are not told: no sample is large enough for them.
LEAST = 1e-3
_STEPS = 50
_RIDGE = 1e-6


def logistic(figures: Floats, same: NDArray[np.bool_], *, offset: Floats | None = None) -> Floats:
    """Weights of the columns of ``figures`` [N, F], then the constant: maximum likelihood.

    ``offset`` [N] is added to the score as it is. Newton's method on standardised columns, with a
    trace of a penalty so that columns without spread, or answers that a line parts, do no harm.
    """
    mean, scale = figures.mean(axis=0), figures.std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    rows = np.concatenate([(figures - mean) / scale, np.ones((len(figures), 1))], axis=1)
    fixed = np.zeros(len(rows)) if offset is None else offset
    wanted = same.astype(np.float64)
    weights = np.zeros(rows.shape[1])
    penalty = _RIDGE * len(rows) * np.eye(len(weights))
    best = _objective(rows, wanted, fixed, weights)
    for _ in range(_STEPS):
        chances = _sigmoid(rows @ weights + fixed)
        slope = rows.T @ (chances - wanted) + penalty @ weights
        curve = (rows * (chances * (1 - chances))[:, None]).T @ rows + penalty
        step = np.linalg.solve(curve, slope)
        share = 1.0
        while share > 1e-6:
            found = _objective(rows, wanted, fixed, weights - share * step)
            if found <= best:
                break
            share /= 2
        weights = weights - share * step
        if best - found < 1e-10 * max(1.0, abs(best)):
            break
        best = found
    plain = weights[:-1] / scale
    return np.append(plain, weights[-1] - float(plain @ mean))


def isotonic(scores: Floats, same: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """The rising steps that fit best (pool adjacent violators): mean score and chance of each.

    Equal scores are one step. Chances are kept off 0 and 1.
    """
    places, where = np.unique(scores, return_inverse=True)
    counts = np.bincount(where).astype(np.float64)
    right = np.bincount(where, weights=same.astype(np.float64))
    # Each block: pictures, of them right, sum of scores.
    blocks: list[list[float]] = []
    for place, count, good in zip(places.tolist(), counts.tolist(), right.tolist(), strict=True):
        blocks.append([count, good, place * count])
        while len(blocks) > 1 and blocks[-2][1] * blocks[-1][0] >= blocks[-1][1] * blocks[-2][0]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    table = np.array(blocks)
    chances = np.clip(table[:, 1] / table[:, 0], LEAST, 1 - LEAST)
    return table[:, 2] / table[:, 0], chances


def log_loss(chances: Floats, same: NDArray[np.bool_]) -> float:
    """Mean of -log of the chance that was given to what came out."""
    chances = np.clip(chances, LEAST, 1 - LEAST)
    return float(-np.mean(np.log(np.where(same, chances, 1 - chances))))


def _sigmoid(values: Floats) -> Floats:
    found: Floats = 1.0 / (1.0 + np.exp(-np.clip(values, -30, 30)))
    return found


def _objective(rows: Floats, wanted: Floats, fixed: Floats, weights: Floats) -> float:
    score = rows @ weights + fixed
    loss: Any = np.logaddexp(0, score) - wanted * score
    return float(loss.sum() + 0.5 * _RIDGE * len(rows) * weights @ weights)
