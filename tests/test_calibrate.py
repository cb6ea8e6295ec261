"""Fitting and applying a calibration, on vectors whose truth is known."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vizinho.calibrate import Calibration
from vizinho.calibrate.familiarity import Familiarity, fit_familiarity
from vizinho.calibrate.fitting import CalibrationImpossible, conformal_cut, fit_judgement
from vizinho.calibrate.heldout import HeldOut, calibrate_embeddings, neighbours
from vizinho.calibrate.regression import log_loss
from vizinho.evaluate.certainty import reliability

D = 8


def clusters(
    count: int, seed: int, classes: int = 6, spread: float = 0.5
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Overlapping clusters: about one neighbour in six is of another class."""
    centres = np.random.default_rng(0).normal(size=(classes, D))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    widths = rng.uniform(0.5, 1.8, count)[:, None]
    rows = centres[labels] + spread * widths * rng.normal(size=(count, D))
    return rows.astype(np.float32), labels


@pytest.fixture(scope="module")
def fitted() -> Calibration:
    return calibrate_embeddings(
        HeldOut(*clusters(1500, 1)), familiar=False, about={"data": "clusters"}
    )


def told(
    calibration: Calibration, rows: NDArray[Any], labels: NDArray[np.int64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Chances and truth of the first ten of every query in a gallery of ``size``; unlikeness."""
    among = np.sort(np.random.default_rng(5).permutation(len(rows))[:size])
    near, distances = neighbours(rows, np.arange(len(rows)), among)
    chances = np.stack([calibration.probabilities(row, row, size) for row in distances])
    unlike = calibration.unlikeness(rows, distances[:, 0])
    return chances.ravel(), (labels[near] == labels[:, None]).ravel(), unlike


@pytest.mark.parametrize("size", [500, 2000, 6000])
def test_probabilities_hold_in_galleries_of_other_sizes(fitted: Calibration, size: int) -> None:
    chances, right, _ = told(fitted, *clusters(6000, 2), size)
    assert 0.7 < right.mean() < 0.95
    assert reliability(chances, right).error < 0.02
    # They tell more than the mean does.
    assert log_loss(chances, right) < 0.97 * log_loss(np.full(len(right), right.mean()), right)


def test_without_the_size_they_would_not_hold(fitted: Calibration) -> None:
    rows, labels = clusters(6000, 2)
    near, distances = neighbours(rows, np.arange(6000), np.arange(6000))
    wrong = np.stack([fitted.probabilities(row, row, 60) for row in distances]).ravel()
    right = (labels[near] == labels[:, None]).ravel()
    good = np.stack([fitted.probabilities(row, row, 6000) for row in distances]).ravel()
    assert reliability(good, right).error < 0.8 * reliability(wrong, right).error


def test_closer_is_never_less_likely(fitted: Calibration) -> None:
    distances = np.linspace(0, 9, 400)
    chances = fitted.probabilities(distances, [0.4] * 10, 1500)
    assert (np.diff(chances) <= 0).all()
    assert chances[0] > chances[-1] + 0.1
    assert (chances >= 0).all()
    assert (chances <= 1).all()


def test_further_from_everything_is_less_likely(fitted: Calibration) -> None:
    near = np.linspace(0.3, 0.6, 10)
    means = [fitted.probabilities(far * near, far * near, 1500).mean() for far in (1, 2, 4, 9)]
    assert means == sorted(means, reverse=True)
    assert means[0] > means[-1]


def test_genuine_queries_are_refused_as_seldom_as_promised(fitted: Calibration) -> None:
    _, _, unlike = told(fitted, *clusters(6000, 3), 1500)
    assert fitted.judgement.queries == 750
    # 750 scores place the cut to within a standard deviation of 0.8 %.
    assert abs(np.mean(unlike > fitted.judgement.cut) - 0.05) < 0.025


def test_what_is_far_from_everything_is_unknown(fitted: Calibration) -> None:
    rows, _ = clusters(1500, 1)
    away = rows[:1] + 30
    nearest = np.linalg.norm(rows - away, axis=1).min()
    assert not fitted.known(fitted.unlikeness(away, [nearest])[0])
    # The very picture is known however strange it is.
    assert fitted.known(fitted.unlikeness(away, [0.0])[0])


@pytest.mark.parametrize("familiar", [False, True])
def test_a_gallery_without_the_query_s_kind(familiar: bool) -> None:
    rows, labels = clusters(2000, 1, spread=0.08)
    found = calibrate_embeddings(HeldOut(rows, labels), familiar=familiar)
    others = np.flatnonzero(labels != 0)
    strangers = np.flatnonzero(labels == 0)
    _, distances = neighbours(rows, strangers, others)
    unlike = found.unlikeness(rows[strangers], distances[:, 0])
    assert np.mean(unlike > found.judgement.cut) > 0.95


def test_familiarity_sees_what_distance_alone_does_not() -> None:
    rng = np.random.default_rng(0)
    rows, labels = clusters(1000, 1)
    rows[:, 0] *= 0.02
    plain = calibrate_embeddings(HeldOut(rows, labels), familiar=False)
    familiar = calibrate_embeddings(HeldOut(rows, labels))
    # Off by little, but in the direction in which no picture ever differs.
    odd = rows[rng.integers(0, 1000, 200)].copy()
    odd[:, 0] += 0.8
    nearest = np.array([np.linalg.norm(rows - each, axis=1).min() for each in odd])
    refused = [
        np.mean(each.unlikeness(odd, nearest) > each.judgement.cut) for each in (plain, familiar)
    ]
    assert refused[0] < 0.3 < 0.7 < refused[1]


def test_mahalanobis_against_the_definition() -> None:
    rows, labels = clusters(400, 4)
    known = fit_familiarity(rows, labels)
    assert known is not None
    means = np.stack([rows[labels == each].astype(float).mean(axis=0) for each in range(6)])
    apart = rows.astype(float) - means[labels]
    spread = apart.T @ apart / len(rows)
    spread = 0.99 * spread + 0.01 * np.trace(spread) / D * np.eye(D)
    inverse = np.linalg.inv(spread)
    for row, found in zip(rows[:20].astype(float), known.distances(rows[:20]), strict=True):
        slow = min(math.sqrt((row - mean) @ inverse @ (row - mean)) for mean in means)
        assert found == pytest.approx(slow, rel=1e-4)


def test_familiarity_is_left_out_where_it_can_t_be_had() -> None:
    rows, labels = clusters(20, 4)
    assert fit_familiarity(rows, labels) is None
    assert fit_familiarity(np.zeros((5000, 300), np.float32), np.zeros(5000, np.int64)) is None
    assert fit_familiarity(np.zeros((100, 4), np.float32), np.zeros(100, np.int64)) is None


def test_conformal_rank() -> None:
    scores = np.random.default_rng(0).permutation(100).astype(float)
    # ceil(101 * 0.95) = 96: the 96th smallest of 0..99.
    assert conformal_cut(scores, 0.05) == pytest.approx(95)
    assert conformal_cut(np.arange(19.0), 0.05) == pytest.approx(18)
    with pytest.raises(CalibrationImpossible, match="18 queries are too few"):
        conformal_cut(np.arange(18.0), 0.05)


def test_ties_at_the_cut_are_known() -> None:
    scores = np.array([1.0] * 50 + [2.0] * 50)
    cut = conformal_cut(scores, 0.05)
    assert cut == pytest.approx(2.0)
    assert not (scores > cut).any()


@pytest.mark.parametrize("refused", [0.02, 0.1, 0.3])
def test_coverage_over_many_draws(refused: float) -> None:
    """The mean over draws of how many further queries are refused: at most what was promised, and
    not much less."""
    rng = np.random.default_rng(1)
    shares = []
    for _ in range(200):
        drawn = rng.lognormal(size=200)
        judged = fit_judgement(drawn, None, refused)
        fresh = rng.lognormal(size=500)
        shares.append(np.mean(judged.unlikeness(fresh, None) > judged.cut))
    assert refused - 0.02 < np.mean(shares) < refused + 0.006


def test_json_and_back(fitted: Calibration) -> None:
    for one in (fitted, calibrate_embeddings(HeldOut(*clusters(600, 7)), familiar=True)):
        data = json.loads(json.dumps(one.to_dict()))
        again = Calibration.from_dict(data)
        assert again.to_dict() == data
        rows, _ = clusters(50, 8)
        near = np.linspace(0.1, 2, 10)
        assert again.probabilities(near, near, 700).tolist() == pytest.approx(
            one.probabilities(near, near, 700).tolist()
        )
        nearest = np.linspace(0, 2, 50)
        assert again.unlikeness(rows, nearest) == pytest.approx(one.unlikeness(rows, nearest))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 2),
        (("extra",), 1),
        (("floor",), 0),
        (("floor",), "x"),
        (("chance", "method"), "magic"),
        (("chance", "distance"), 1.0),
        (("chance", "slope"), 1.0),
        (("chance", "sizes"), [1]),
        (("chance", "knots"), [[1, 2, 3]]),
        (("judgement", "cut"), float("nan")),
        (("judgement", "nearest"), [0.0, 0.0, 1.0]),
        (("judgement", "familiarity"), [0.0, 1.0, 1.0]),
        (("familiarity",), {"classes": 1}),
        (("about",), None),
    ],
)
def test_anything_else_is_refused(
    fitted: Calibration, path: tuple[str, ...], value: object
) -> None:
    data: Any = copy.deepcopy(fitted.to_dict())
    inner = data
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    with pytest.raises(ValueError, match="the calibration is damaged"):
        Calibration.from_dict(data)


def test_damaged_numbers_of_familiarity() -> None:
    known = fit_familiarity(*clusters(400, 4))
    assert known is not None
    data = known.to_dict()
    for name, value in (("means", data["means"][:-8]), ("dimension", 9), ("whitening", "?")):
        with pytest.raises(ValueError, match=r"numbers, got|base64|padding|padded"):
            Familiarity.from_dict({**data, name: value})


def test_too_little_to_learn_from() -> None:
    rows, labels = clusters(1500, 1)
    with pytest.raises(CalibrationImpossible, match="60 pictures have another"):
        calibrate_embeddings(HeldOut(rows[:60], labels[:60]))
    with pytest.raises(CalibrationImpossible, match="5 pictures are too few"):
        calibrate_embeddings(HeldOut(rows[:5], labels[:5]))
    with pytest.raises(CalibrationImpossible, match="same embedding"):
        calibrate_embeddings(HeldOut(np.ones((300, 4), np.float32), labels[:300]))
    with pytest.raises(CalibrationImpossible, match="too few to refuse"):
        calibrate_embeddings(HeldOut(rows[:300], labels[:300]), refused=0.001)


@pytest.mark.parametrize("right", [True, False])
def test_where_all_results_are_right_or_none_is(right: bool) -> None:
    rows, _ = clusters(1500, 1)
    # Either one kind, or 150 pairs, each of which lies far apart.
    kinds = np.zeros(300, np.int64) if right else np.arange(300) % 150
    found = calibrate_embeddings(HeldOut(rows[:300], kinds))
    _, distances = neighbours(rows[:300], np.arange(300), np.arange(300))
    chances = np.stack([found.probabilities(row, row, 300) for row in distances])
    assert chances.mean() > 0.99 if right else chances.mean() < 0.05
    assert 0 < chances.min() <= chances.max() < 1


def test_neighbours_against_the_slow_way() -> None:
    rows, _ = clusters(80, 9)
    among = np.arange(0, 80, 2)
    near, distances = neighbours(rows, np.arange(80), among)
    for i in range(80):
        apart = [
            (math.dist(rows[i].astype(float), rows[j].astype(float)), j) for j in among if j != i
        ]
        slow = sorted(apart)[:10]
        assert near[i].tolist() == [j for _, j in slow]
        assert distances[i] == pytest.approx([d for d, _ in slow])
