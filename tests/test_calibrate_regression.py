from __future__ import annotations

import numpy as np
import pytest

from vizinho.calibrate.regression import isotonic, logistic


def test_isotonic_against_the_slow_way() -> None:
    """min over ends, max over starts, of the mean between: the textbook's formula."""
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 30, 120).astype(float)
    right = rng.random(120) < scores / 40 + 0.1
    places, chances = isotonic(scores, right)
    levels = np.unique(scores)
    slow = [
        max(
            min(
                right[(scores >= levels[i]) & (scores <= levels[j])].mean()
                for j in range(at, len(levels))
            )
            for i in range(at + 1)
        )
        for at in range(len(levels))
    ]
    steps = sorted(set(np.clip(slow, 1e-3, 1 - 1e-3).round(9)))
    assert chances.round(9).tolist() == steps
    assert (np.diff(places) > 0).all()


def test_logistic_finds_what_made_the_data() -> None:
    rng = np.random.default_rng(0)
    figures = rng.normal(size=(40_000, 2)) * [3, 0.1] + [5, -2]
    true = np.array([0.7, -6.0])
    chance = 1 / (1 + np.exp(-(figures @ true - 15)))
    found = logistic(figures, rng.random(40_000) < chance)
    assert found == pytest.approx([0.7, -6.0, -15], rel=0.1)
    # What a line parts has no finite answer; it must stop all the same.
    parted = logistic(figures, figures[:, 0] > 5)
    assert np.isfinite(parted).all()
