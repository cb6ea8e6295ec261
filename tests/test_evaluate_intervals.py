from __future__ import annotations

import math

import numpy as np
import pytest

from vizinho.evaluate import bootstrap_interval, bootstrap_means


def test_bootstrap_interval_is_that_of_resampled_queries() -> None:
    correct = np.arange(400) < 360
    low, high = bootstrap_interval(correct)
    rng = np.random.default_rng(1)
    drawn = [rng.choice(correct, correct.size).mean() for _ in range(4000)]
    assert (low, high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.006)
    assert low < 0.9 < high
    assert bootstrap_interval(np.ones(50, dtype=bool)) == (1.0, 1.0)


def test_bootstrap_of_means_is_that_of_resampled_queries() -> None:
    rng = np.random.default_rng(3)
    values = {"skewed": rng.random(300) ** 4, "share": (rng.random(300) < 0.7).astype(float)}
    found = bootstrap_means(values)
    for name, each in values.items():
        drawn = [rng.choice(each, each.size).mean() for _ in range(4000)]
        low, high = np.quantile(drawn, [0.025, 0.975])
        assert found[name] == pytest.approx((low, high), abs=0.08 * (high - low))
    assert found == bootstrap_means(values)
    # A share is a mean: both ways to its interval agree.
    assert found["share"] == pytest.approx(bootstrap_interval(values["share"] == 1), abs=0.008)
    assert all(math.isnan(end) for end in bootstrap_means({"none": np.empty(0)})["none"])
