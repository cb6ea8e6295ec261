"""How sure is a figure? Percentile bootstrap over queries.

What such an interval covers: had other queries been drawn from where these came from, this is how
far the figure would have moved. Each query's neighbours are kept as they were found, so it does
*not* cover the choice of the references (which in a leave-one-out measurement are the queries
themselves: a picture that misleads many others is drawn or not, its victims stay misled), nor
another training of the same model with another seed, nor pictures from elsewhere. Two models
measured on the same pictures differ more surely than their two intervals suggest, because they are
asked the same queries.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]

LEVEL = 0.95
#: Indices that are drawn at a time.
CHUNK = 1 << 20


def bootstrap_interval(
    correct: NDArray[np.bool_], *, level: float = LEVEL, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Of a share: ``correct`` [n] says which queries were right. ``nan`` twice when n is 0.

    Drawing n queries with replacement and counting the right ones *is* a binomial draw, so no
    query is drawn one by one.
    """
    if correct.size == 0:
        return (math.nan, math.nan)
    draws = np.random.default_rng(seed).binomial(correct.size, correct.mean(), resamples)
    return _middle(draws / correct.size, level)


def bootstrap_means(
    values: Mapping[str, NDArray[Any]],
    *,
    level: float = LEVEL,
    resamples: int = 2_000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Of means: ``values`` are arrays [n], one number a query; all are resampled alike.

    2,000 resamples place an end of the interval to within about 2 % of its width. The memory does
    not grow with the resamples.
    """
    count = len(next(iter(values.values()), ()))
    if count == 0:
        return dict.fromkeys(values, (math.nan, math.nan))
    rng = np.random.default_rng(seed)
    means = {name: np.empty(resamples) for name in values}
    height = max(1, CHUNK // count)
    for start in range(0, resamples, height):
        rows = slice(start, min(start + height, resamples))
        drawn = rng.integers(0, count, (rows.stop - start, count), dtype=np.uint32)
        for name, each in values.items():
            means[name][rows] = each[drawn].mean(axis=1)
    return {name: _middle(found, level) for name, found in means.items()}


def _middle(found: NDArray[np.floating[Any]], level: float) -> Interval:
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return (float(low), float(high))
