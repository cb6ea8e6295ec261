from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from vizinho.evaluate.certainty import auroc, false_positives, reliability
from vizinho.evaluate.nonsense import MAKERS


def slow_error(chances: list[float], right: list[bool], bins: int = 15) -> float:
    answers = sorted(zip(chances, right, strict=True), key=lambda each: each[0])
    edges = [round(len(answers) * i / bins) for i in range(bins + 1)]
    total = 0.0
    for low, high in pairwise(edges):
        part = answers[low:high]
        told = sum(chance for chance, _ in part) / len(part)
        found = sum(hit for _, hit in part) / len(part)
        total += len(part) / len(answers) * abs(told - found)
    return total


@pytest.mark.parametrize("count", [15, 100, 1234])
def test_calibration_error_against_the_slow_way(count: int) -> None:
    rng = np.random.default_rng(count)
    chances = rng.random(count).round(2)
    right = rng.random(count) < chances**2
    found = reliability(chances, right)
    assert found.error == pytest.approx(slow_error(chances.tolist(), right.tolist()))
    assert (found.answers, sum(each[2] for each in found.bins)) == (count, count)
    assert max(each[2] for each in found.bins) - min(each[2] for each in found.bins) <= 1


def test_what_is_right_has_no_error_and_what_is_wrong_all_of_it() -> None:
    assert reliability(np.array([0.0, 1.0] * 30), np.array([False, True] * 30)).error == 0
    assert reliability(np.array([0.0, 1.0] * 30), np.array([True, False] * 30)).error > 0.9
    assert reliability(np.array([0.25]), np.array([True])).error == 0.75
    with pytest.raises(ValueError, match="at least one"):
        reliability(np.empty(0), np.empty(0, bool))


def test_auroc_against_all_pairs() -> None:
    rng = np.random.default_rng(0)
    known, unknown = rng.integers(0, 20, 60), rng.integers(5, 30, 45)
    pairs = [(a < b) + 0.5 * (a == b) for a in known for b in unknown]
    assert auroc(known, unknown) == pytest.approx(np.mean(pairs))
    assert auroc(known, known) == pytest.approx(0.5)
    assert auroc(np.arange(3), np.arange(3, 9)) == 1
    with pytest.raises(ValueError, match="both kinds"):
        auroc(known, np.empty(0))


@pytest.mark.parametrize("share", [0.95, 0.5, 1.0])
def test_false_positives_against_every_cut(share: float) -> None:
    rng = np.random.default_rng(1)
    known, unknown = rng.integers(0, 40, 83), rng.integers(10, 60, 70)
    cuts = [cut for cut in known if np.mean(known <= cut) >= share]
    assert false_positives(known, unknown, share) == np.mean(unknown <= min(cuts))


@pytest.mark.parametrize("name", MAKERS)
def test_nonsense_is_the_same_each_time_and_never_twice_the_same(name: str) -> None:
    made = MAKERS[name](40, 24)
    assert (made.shape, made.dtype) == ((40, 24, 24, 3), np.uint8)
    assert (made == MAKERS[name](40, 24)).all()
    assert len(np.unique(made.reshape(40, -1), axis=0)) == 40
    spread = made.astype(float).std(axis=(1, 2)).mean(axis=1)
    assert (spread == 0).all() if name == "flat colours" else np.median(spread) > 10
